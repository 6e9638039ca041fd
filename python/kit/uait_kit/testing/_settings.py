"""Settings for tests, and waiting without sleeping blindly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from uait_kit._config import Environment, KitConfig

__all__ = ["eventually", "settings"]

_ALONE = {
    "UAIT_HTTP_PORT": "0",
    "UAIT_LEASE": "off",
    "UAIT_NATS_URL": "off",
    "UAIT_DRAIN_DELAY_MS": "0",
    "OTEL_SDK_DISABLED": "true",
}
_POLL_S = 0.01


def settings(**variables: str) -> KitConfig:
    """Returns the settings of a service that stands alone on free ports.

    Args:
        variables: Environment variables that differ from that.
    """
    return KitConfig.read(Environment({**_ALONE, **variables}), service="echo-test", port=0)


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 10.0) -> None:
    """Waits until `condition` holds.

    Raises:
        AssertionError: It did not hold within `within_s` seconds.
    """
    ends_s = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < ends_s, f"the condition did not hold within {within_s} s"
        await asyncio.sleep(_POLL_S)
