"""The life of a process: environment, serving, signals, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol, TypeVar

from uait_kit._config import ConfigError, Environment, KitConfig
from uait_kit._log import configure_logs
from uait_kit._serve import AddressInUse, Kit, Server

__all__ = ["ServiceConfig", "run"]

_EXIT_CONFIG = 78
_EXIT_UNAVAILABLE = 69
_EXIT_SECOND_SIGNAL = 1


class ServiceConfig(Protocol):
    """A service's configuration: the kit's part and whatever else it needs."""

    @property
    def kit(self) -> KitConfig:
        """The settings that every service has."""


C = TypeVar("C", bound=ServiceConfig)


def run(read: Callable[[Environment], C], build: Callable[[Kit, C], Awaitable[Server]]) -> NoReturn:
    """Runs a service until SIGTERM or SIGINT, then drains it; never returns.

    Exit codes: 0 after a drain, 1 at a second signal, 69 when a port is taken, 78 when a variable is out of range.

    Args:
        read: Reads the service's whole configuration; nothing is bound before it has returned.
        build: Builds the handlers and serves them.
    """
    try:
        config = read(Environment())
    except ConfigError as error:
        _exit(error, _EXIT_CONFIG)
    common = config.kit
    configure_logs(service=common.service, instance=common.instance, level=common.log_level)
    try:
        asyncio.run(_serve_until_signal(lambda: build(Kit(common), config)))
    except AddressInUse as error:
        _exit(error, _EXIT_UNAVAILABLE)
    sys.exit(0)


async def _serve_until_signal(start: Callable[[], Awaitable[Server]]) -> None:
    signalled = asyncio.Event()

    def on_signal() -> None:
        if signalled.is_set():
            sys.stdout.flush()
            os._exit(_EXIT_SECOND_SIGNAL)
        signalled.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    server = await start()
    _settle()
    await signalled.wait()
    await server.drain()


def _settle() -> None:
    """Gives back what only starting needed: 5 MB of 70, which the C library would keep for later.

    What is alive now lives as long as the process, so the collector need not look at it again.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def _exit(error: Exception, code: int) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    sys.exit(code)
