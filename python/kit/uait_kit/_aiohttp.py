"""Loads nats-py without aiohttp, which it takes for WebSockets where another service's needs have installed it.

It costs every service 8 MB of resident memory, and the kit speaks plain NATS only. Whoever imports aiohttp gets it.
"""

from __future__ import annotations

import sys

if "aiohttp" not in sys.modules:
    # The documented way to have an import fail: https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        import nats  # noqa: F401
    finally:
        del sys.modules["aiohttp"]
