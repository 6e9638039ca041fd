from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from uait.echo.v1 import echo_pb2
from uait_kit import LoadMeter, Span, SpanKind, Telemetry
from uait_kit._layers import Layers
from uait_kit._otlp import attribute
from uait_kit.testing import eventually, settings

from .echo_servicer import TENANT, calling, failure, serving


async def test_handler_that_crashes_answers_internal_and_logs_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(settings()) as (server, _), calling(server) as stub:
        with caplog.at_level(logging.ERROR):
            code, message, info = await failure(stub.Echo(echo_pb2.EchoRequest(message="crash"), metadata=TENANT))
    assert (code, message, info.reason) == ("INTERNAL", "internal error", "INTERNAL")
    assert "hunter2" in caplog.text


async def test_handler_whose_own_work_was_cancelled_answers_internal() -> None:
    """grpc.aio takes any CancelledError for the call's and never answers."""
    async with serving(settings()) as (server, _), calling(server) as stub:
        request = echo_pb2.EchoRequest(message="cancel something else")
        code, message, info = await failure(stub.Echo(request, metadata=TENANT, timeout=5))
    assert (code, message, info.reason) == ("INTERNAL", "internal error", "INTERNAL")


async def test_handler_that_aborts_by_hand_is_recorded_with_its_code() -> None:
    async with serving(settings()) as (server, echo), calling(server) as stub:
        code, message, _ = await failure(stub.Echo(echo_pb2.EchoRequest(message="abort"), metadata=TENANT))
        assert (code, message) == ("ABORTED", "by hand")
        assert await asyncio.wait_for(echo.ended.get(), 5) == "ABORTED"


async def test_caller_that_goes_away_ends_the_handler_as_cancelled() -> None:
    async with serving(settings()) as (server, echo), calling(server) as stub:
        call = stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT, timeout=60)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        call.cancel()
        assert await asyncio.wait_for(echo.ended.get(), 5) == "CANCELLED"


async def test_deadline_that_passes_ends_the_handler_as_deadline_exceeded() -> None:
    async with serving(settings()) as (server, echo), calling(server) as stub:
        code, _, _ = await failure(stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT, timeout=0.2))
        assert code == "DEADLINE_EXCEEDED"
        assert await asyncio.wait_for(echo.ended.get(), 5) == "DEADLINE_EXCEEDED"


async def test_deadline_that_passes_is_answered_with_its_reason() -> None:
    """A client's own timer hides what the server sends, so this asks the wrapped handler itself."""

    async def handle(request: object, context: object) -> None:
        await asyncio.sleep(60)

    layers = Layers(telemetry=Telemetry(settings()), meter=LoadMeter(limit=1), max_message_bytes=1024)
    handler = grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=echo_pb2.EchoRequest.FromString,
        response_serializer=echo_pb2.EchoResponse.SerializeToString,
    )
    wrapped: Any = layers.wrap("a.B", "C", handler, errors=lambda error: None, tenantless=True).unary_unary
    context = MagicMock()
    context.invocation_metadata.return_value = ()
    context.trailing_metadata.return_value = ()
    context.time_remaining.return_value = 0.05
    context.abort = AsyncMock(side_effect=grpc.aio.AbortError("aborted"))
    with pytest.raises(grpc.aio.AbortError):
        await wrapped(echo_pb2.EchoRequest(message="x").SerializeToString(), context)
    (code, _, trailers), _ = context.abort.call_args
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"]).details[0].Unpack(info)
    assert (code.name, info.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert layers.meter.in_flight == 0


async def test_call_over_the_limit_is_refused_with_a_time_to_retry() -> None:
    async with serving(settings(UAIT_MAX_INFLIGHT="1")) as (server, echo), calling(server) as stub:
        first = stub.Echo(echo_pb2.EchoRequest(message="wait"), metadata=TENANT)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Echo(echo_pb2.EchoRequest(message="x"), metadata=TENANT)
        details = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        sent = status_pb2.Status.FromString(details if isinstance(details, bytes) else b"").details
        assert sent[0].Unpack(info)
        assert sent[1].Unpack(retry)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (info.reason, dict(info.metadata)) == ("OVERLOADED", {"limit": "1"})
        assert retry.retry_delay.ToMilliseconds() == 100
        echo.release.set()
        await first
        await stub.Echo(echo_pb2.EchoRequest(message="room again"), metadata=TENANT)


async def test_request_over_the_limit_is_refused() -> None:
    async with serving(settings(UAIT_MAX_MESSAGE_BYTES="1024")) as (server, _), calling(server) as stub:
        request = echo_pb2.EchoRequest(message="x", payload=bytes(2000))
        code, _, _ = await failure(stub.Echo(request, metadata=TENANT))
    assert code == "RESOURCE_EXHAUSTED"


async def test_response_over_the_limit_is_refused_with_the_limit() -> None:
    async with serving(settings(UAIT_MAX_MESSAGE_BYTES="1024")) as (server, _), calling(server) as stub:
        request = echo_pb2.EchoRequest(message="x", payload=bytes(700))
        code, _, info = await failure(stub.Echo(request, metadata=TENANT))
    assert (code, info.reason, dict(info.metadata)) == (
        "RESOURCE_EXHAUSTED",
        "MESSAGE_TOO_LARGE",
        {"limit_bytes": "1024"},
    )


async def test_request_that_is_no_message_is_invalid() -> None:
    async with serving(settings()) as (server, _), grpc.aio.insecure_channel(server.address) as channel:
        raw: Any = channel.unary_unary("/uait.echo.v1.EchoService/Echo")
        code, _, info = await failure(raw(b"\xff\xff\xff", metadata=TENANT))
    assert (code, info.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_method_that_nobody_serves_is_unimplemented_with_its_name() -> None:
    async with serving(settings()) as (server, _), grpc.aio.insecure_channel(server.address) as channel:
        raw: Any = channel.unary_unary("/uait.echo.v1.EchoService/Nothing")
        code, _, info = await failure(raw(b""))
    assert (code, info.reason, dict(info.metadata)) == (
        "UNIMPLEMENTED",
        "NOT_IMPLEMENTED",
        {"what": "uait.echo.v1.EchoService/Nothing"},
    )


async def test_tenant_missing_in_a_tenantless_service_is_let_in() -> None:
    async with serving(settings(), tenantless=True) as (server, _), calling(server) as stub:
        answer = await stub.Echo(echo_pb2.EchoRequest(message="x"))
    assert answer.seen.tenant == ""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("quota", ("RESOURCE_EXHAUSTED", "no room", "QUOTA_EXCEEDED", {"quota": "files"})),
        ("abort", ("INTERNAL", "internal error", "INTERNAL", {})),
    ],
)
async def test_failure_of_another_service_is_passed_on_or_internal(message: str, expected: tuple[Any, ...]) -> None:
    async with (
        serving(settings()) as (behind, _),
        serving(settings(UAIT_MESH=behind.address)) as (server, _),
        calling(server) as stub,
    ):
        code, text, info = await failure(stub.Relay(echo_pb2.RelayRequest(message=message), metadata=TENANT))
    assert (code, text, info.reason, dict(info.metadata)) == expected


async def test_service_that_is_away_is_unavailable_with_its_reason() -> None:
    async with serving(settings()) as (gone, _):
        pass
    async with serving(settings(UAIT_MESH=gone.address)) as (server, _), calling(server) as stub:
        code, _, info = await failure(stub.Relay(echo_pb2.RelayRequest(message="x"), metadata=TENANT))
    assert (code, info.reason, dict(info.metadata)) == (
        "UNAVAILABLE",
        "DEPENDENCY_UNAVAILABLE",
        {"dependency": "mesh"},
    )


async def test_cancellation_and_deadline_reach_the_service_behind() -> None:
    async with (
        serving(settings()) as (behind, echo_behind),
        serving(settings(UAIT_MESH=behind.address)) as (server, _),
        calling(server) as stub,
    ):
        call = stub.Relay(echo_pb2.RelayRequest(message="wait"), metadata=TENANT, timeout=60)
        await asyncio.wait_for(echo_behind.arrived.wait(), 5)
        call.cancel()
        assert await asyncio.wait_for(echo_behind.ended.get(), 5) == "CANCELLED"
        await failure(stub.Relay(echo_pb2.RelayRequest(message="wait"), metadata=TENANT, timeout=0.2))
        assert await asyncio.wait_for(echo_behind.ended.get(), 5) == "DEADLINE_EXCEEDED"


async def test_call_without_a_deadline_goes_out_with_the_default_one() -> None:
    async with (
        serving(settings()) as (behind, _),
        serving(settings(UAIT_MESH=behind.address, UAIT_DEADLINE_MS="7000")) as (server, _),
        calling(server) as stub,
    ):
        # The upper bounds have a second to spare: gRPC rounds a timeout up on the wire.
        answer = await stub.Relay(echo_pb2.RelayRequest(message="x"), metadata=TENANT)
        assert 5 < answer.hops[0].time_left.ToNanoseconds() / 1e9 <= 8
        answer = await stub.Relay(echo_pb2.RelayRequest(message="x"), metadata=TENANT, timeout=60)
        assert 50 < answer.hops[0].time_left.ToNanoseconds() / 1e9 <= 61


async def test_spans_of_two_hops_are_one_chain_with_tenant_and_code() -> None:
    ended: list[Span] = []
    traced = {"OTEL_SDK_DISABLED": "false"}
    async with (
        serving(settings(**traced), spans=ended.append) as (behind, _),
        serving(settings(**traced, UAIT_MESH=behind.address), spans=ended.append) as (server, _),
        calling(server) as stub,
    ):
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await stub.Relay(echo_pb2.RelayRequest(message="x"), metadata=(*TENANT, ("traceparent", parent)))

        async def all_ended() -> bool:
            return len(ended) == 3

        await eventually(all_ended)
    spans = {(span.name, span.kind): span for span in ended}
    relay = spans["uait.echo.v1.EchoService/Relay", SpanKind.SPAN_KIND_SERVER]
    client = spans["uait.echo.v1.EchoService/Echo", SpanKind.SPAN_KIND_CLIENT]
    echo = spans["uait.echo.v1.EchoService/Echo", SpanKind.SPAN_KIND_SERVER]
    parents = [span.parent.span_id for span in (relay, client, echo) if span.parent is not None]
    assert parents == ["00f067aa0ba902b7", relay.span_id, client.span_id]
    for span in (relay, client, echo):
        assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert list(span.attributes) == [
            attribute("rpc.system", "grpc"),
            attribute("rpc.service", "uait.echo.v1.EchoService"),
            attribute("rpc.method", span.name.rpartition("/")[2]),
            attribute("uait.tenant", "acme"),
            attribute("rpc.grpc.status_code", 0),
        ]


async def test_tracing_disabled_still_forwards_the_trace_context() -> None:
    async with (
        serving(settings()) as (behind, _),
        serving(settings(UAIT_MESH=behind.address)) as (server, _),
        calling(server) as stub,
    ):
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        answer = await stub.Relay(echo_pb2.RelayRequest(message="x"), metadata=(*TENANT, ("traceparent", parent)))
    assert answer.hops[0].trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_log_line_is_json_with_service_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    from uait_kit._log import JsonFormatter

    record = logging.LogRecord("uait", logging.WARNING, __file__, 1, "odd %s", ("thing",), None)
    record.fields = {"n": 1, "path": object}
    line = json.loads(JsonFormatter(service="echo", instance="echo-1").format(record))
    assert line["time"].endswith("+00:00")
    assert (line["level"], line["msg"], line["service"], line["instance"], line["n"]) == (
        "warn",
        "odd thing",
        "echo",
        "echo-1",
        1,
    )
