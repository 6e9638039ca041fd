"""One call of EchoService as a case describes it, over the generated stubs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from uait.echo.v1 import echo_pb2
from uait.echo.v1.echo_pb2_grpc import EchoServiceStub
from uait_kit import feed

__all__ = ["Answer", "call", "echo_method"]

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(slots=True)
class Answer:
    """Everything that came back.

    Attributes:
        code: Name of the gRPC code.
        message: The status message.
        details: The serialised `google.rpc.Status`; empty when none came.
        responses: All responses.
        trailers: Trailing metadata of text.
    """

    code: str = "OK"
    message: str = ""
    details: bytes = b""
    responses: list[Message] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Message | None:
        """The first response, None when none came."""
        return self.responses[0] if self.responses else None

    def as_json(self, count: int) -> list[dict[str, Any]]:
        """Returns the first responses as proto3 JSON: of ten thousand a case looks at one."""
        return [json_format.MessageToDict(response) for response in self.responses[:count]]

    def error_info(self) -> error_details_pb2.ErrorInfo | None:
        """Returns the ErrorInfo of the details, None when there is none."""
        info = error_details_pb2.ErrorInfo()
        return info if self._unpack(info) else None

    def violations(self) -> list[dict[str, str]]:
        """Returns the field violations, in order."""
        bad = error_details_pb2.BadRequest()
        self._unpack(bad)
        return [{"field": v.field, "description": v.description, "reason": v.reason} for v in bad.field_violations]

    def _unpack(self, message: Message) -> bool:
        return any(any_.Unpack(message) for any_ in status_pb2.Status.FromString(self.details).details)


def echo_method(name: str) -> Any:
    """Returns the descriptor of a method.

    Raises:
        ValueError: EchoService has no such method.
    """
    method = _SERVICE.methods_by_name.get(name)
    if method is None:
        raise ValueError(f"EchoService has no method {name}")
    return method


async def call(
    channel: grpc.aio.Channel,
    name: str,
    requests: list[Message],
    *,
    metadata: Mapping[str, str],
    timeout_s: float,
    gzip: bool,
) -> Answer:
    """Makes the call and gathers all that comes.

    Args:
        channel: Leads to the target.
        name: Method of EchoService.
        requests: Exactly one for methods that take one.
        metadata: Request metadata.
        timeout_s: The deadline.
        gzip: Whether to compress the requests.
    """
    method = echo_method(name)
    pending = getattr(EchoServiceStub(channel), name)(
        None if method.client_streaming else requests[0],
        timeout=timeout_s,
        metadata=tuple(metadata.items()),
        compression=grpc.Compression.Gzip if gzip else None,
    )
    answer = Answer()
    feeding = asyncio.create_task(feed(pending, requests)) if method.client_streaming else None
    try:
        if method.server_streaming:
            async for response in pending:
                answer.responses.append(response)
        else:
            answer.responses.append(await pending)
    except grpc.aio.AioRpcError as error:
        answer.code = error.code().name
        answer.message = error.details() or ""
    if feeding is not None:
        await feeding
    for key, value in await pending.trailing_metadata():
        if isinstance(value, bytes):
            if key == _DETAILS_KEY:
                answer.details = value
        else:
            answer.trailers[key] = value
    return answer
