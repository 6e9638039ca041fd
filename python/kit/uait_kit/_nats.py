"""nats-py without aiohttp, which it would import for WebSockets if it is there: 8 MB that no process here needs."""

from __future__ import annotations

import sys

_spared = "aiohttp" not in sys.modules
if _spared:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # the import system's own mark of what cannot be imported
try:
    import nats.errors
    import nats.js.errors
    from nats.aio.client import Client
    from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
finally:
    if _spared:
        del sys.modules["aiohttp"]

__all__ = ["AckPolicy", "Client", "ConsumerConfig", "RetentionPolicy", "StorageType", "StreamConfig", "nats"]
