"""A channel on which EchoService goes by another name."""

from __future__ import annotations

from typing import Any, cast

import grpc.aio

__all__ = ["renamed"]

_CALLS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def renamed(channel: grpc.aio.Channel, api: str) -> grpc.aio.Channel:
    """Returns a channel whose every call goes to the method of that name of the gRPC service `api`."""
    return cast(grpc.aio.Channel, _Renamed(channel, api))


class _Renamed:
    def __init__(self, channel: grpc.aio.Channel, api: str) -> None:
        self._channel = channel
        self._api = api

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._channel, name)
        if name not in _CALLS:
            return found

        def make(method: str, *arguments: Any, **options: Any) -> Any:
            return found(f"/{self._api}/{method.rpartition('/')[2]}", *arguments, **options)

        return make
