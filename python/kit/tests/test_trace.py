from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

from uait_kit import Call, Identity, Span, SpanKind, Telemetry
from uait_kit._export import Exporter
from uait_kit._otlp import attribute
from uait_kit._trace import Tracer, read_context
from uait_kit.testing import eventually, settings

_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def tracer(ended: list[Span], *, ratio: float = 1.0) -> Tracer:
    return Tracer(ratio=ratio, ended=ended.append)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        f"{_PARENT}\n",
    ],
)
def test_traceparent_malformed_begins_a_new_trace(value: str) -> None:
    assert read_context({"traceparent": value}) is None


def test_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    context = read_context({"traceparent": f"01{_PARENT[2:]}-more"})
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (_PARENT[3:35], _PARENT[36:52], True)


def test_child_is_of_its_parent_s_trace_and_hands_on_its_state() -> None:
    ended: list[Span] = []
    parent = read_context({"traceparent": _PARENT, "tracestate": "vendor=x"})
    span = tracer(ended).start("child", SpanKind.SPAN_KIND_SERVER, parent=parent, attributes=[])
    span.end()
    span.end()
    assert ended == [span]
    assert span.trace_id == _PARENT[3:35]
    assert span.headers() == {"traceparent": f"00-{span.trace_id}-{span.span_id}-01", "tracestate": "vendor=x"}


@pytest.mark.parametrize(("flags", "recorded"), [("01", 1), ("00", 0), ("03", 1), ("02", 0)])
def test_parent_s_decision_is_kept_whatever_the_ratio(flags: str, recorded: int) -> None:
    ended: list[Span] = []
    for ratio in (0.0, 1.0):
        parent = read_context({"traceparent": _PARENT[:-2] + flags})
        tracer(ended, ratio=ratio).start("x", SpanKind.SPAN_KIND_SERVER, parent=parent, attributes=[]).end()
    assert len(ended) == 2 * recorded


def test_root_traces_are_sampled_by_their_share_and_say_so_to_the_next_hop() -> None:
    ended: list[Span] = []
    some = tracer(ended, ratio=0.25)
    spans = [some.start("x", SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[]) for _ in range(4_000)]
    for span in spans:
        assert span.headers()["traceparent"].endswith("-01" if span.sampled else "-00")
        span.end()
    # Ten standard deviations of a binomial distribution.
    assert abs(len(ended) - 1_000) < 275
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == 4_000


def test_tracing_disabled_hands_the_parent_on_and_begins_no_trace() -> None:
    disabled = Tracer(ratio=1.0, ended=None)
    child = disabled.start("x", SpanKind.SPAN_KIND_SERVER, parent=read_context({"traceparent": _PARENT}), attributes=[])
    assert child.headers() == {"traceparent": _PARENT}
    root = disabled.start("x", SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[])
    assert (root.headers(), root.trace_id) == ({}, "")


async def test_span_of_a_block_is_the_parent_of_what_is_made_in_it() -> None:
    ended: list[Span] = []
    telemetry = Telemetry(settings(OTEL_SDK_DISABLED="false"), spans=ended.append)
    outer = telemetry.start_span("outer", SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[])
    call = Call(Identity("acme"), outer)
    call.enter()
    with telemetry.span("load model", model_name="x") as inner:
        assert call.span is inner
    with pytest.raises(RuntimeError), telemetry.span("fail"):
        raise RuntimeError
    assert call.span is outer
    assert [(span.name, span.failed, span.parent) for span in ended] == [
        ("load model", False, outer),
        ("fail", True, outer),
    ]
    assert list(inner.attributes) == [attribute("model.name", "x")]


class Collector:
    """Takes spans over OTLP, when it is not told to fail."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.failing = False

    @property
    def spans(self) -> list[trace_pb2.Span]:
        return [
            span
            for request in self.requests
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]

    async def export(
        self,
        request: ExportTraceServiceRequest,
        context: grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse],
    ) -> ExportTraceServiceResponse:
        if self.failing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "full disk")
        self.requests.append(request)
        return ExportTraceServiceResponse()

    async def serve(self) -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        server.add_registered_method_handlers(name, {"Export": handler})
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"http://127.0.0.1:{port}"


async def test_spans_reach_the_collector_complete() -> None:
    collector = Collector()
    server, url = await collector.serve()
    exporter = Exporter(url, resource={"service.name": "echo", "service.instance.id": "echo-1"})
    made = Tracer(ratio=1.0, ended=exporter.queue)
    parent = read_context({"traceparent": _PARENT, "tracestate": "vendor=x"})
    span = made.start("a.B/C", SpanKind.SPAN_KIND_SERVER, parent=parent, attributes=[attribute("rpc.system", "grpc")])
    child = made.start("d.E/F", SpanKind.SPAN_KIND_CLIENT, parent=span, attributes=[])
    child.end(failed=True)
    for value in (0, True, 0.5):
        span.set("value", value)
    span.end()
    await exporter.flush(timeout_s=5)
    await server.stop(None)
    (resource_spans,) = collector.requests[0].resource_spans
    assert [(each.key, each.value.string_value) for each in resource_spans.resource.attributes] == [
        ("service.name", "echo"),
        ("service.instance.id", "echo-1"),
    ]
    sent_child, sent = collector.spans
    assert (sent.name, sent.kind, sent.trace_state) == ("a.B/C", SpanKind.SPAN_KIND_SERVER, "vendor=x")
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (_PARENT[3:35], _PARENT[36:52])
    assert [(each.key, each.value.WhichOneof("value")) for each in sent.attributes] == [
        ("rpc.system", "string_value"),
        ("value", "int_value"),
        ("value", "bool_value"),
        ("value", "double_value"),
    ]
    assert (sent.start_time_unix_nano, sent.end_time_unix_nano) == (span.start_ns, span.end_ns)
    assert 0 < span.start_ns <= child.start_ns <= child.end_ns <= span.end_ns
    assert (sent.flags, sent_child.flags) == (0x301, 0x101)
    assert (sent_child.trace_id, sent_child.parent_span_id) == (sent.trace_id, sent.span_id)
    assert (sent.status.code, sent_child.status.code) == (0, trace_pb2.Status.STATUS_CODE_ERROR)


async def test_spans_wait_for_a_collector_that_fails_and_are_sent_once_and_in_order() -> None:
    collector = Collector()
    collector.failing = True
    server, url = await collector.serve()
    exporter = Exporter(url, resource={})
    made = Tracer(ratio=1.0, ended=exporter.queue)
    names = [f"span {number}" for number in range(300)]
    for name in names:
        made.start(name, SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[]).end()
    running = asyncio.create_task(exporter.run())
    await asyncio.sleep(0)
    assert not await exporter._send()
    collector.failing = False

    async def all_there() -> bool:
        return len(collector.spans) >= len(names)

    await eventually(all_there)
    running.cancel()
    await exporter.flush(timeout_s=5)
    await server.stop(None)
    assert [span.name for span in collector.spans] == names


async def test_queue_keeps_the_newest_when_the_collector_stays_away() -> None:
    exporter = Exporter("http://127.0.0.1:9", resource={})
    made = Tracer(ratio=1.0, ended=exporter.queue)
    for number in range(9_000):
        made.start(str(number), SpanKind.SPAN_KIND_SERVER, parent=None, attributes=[]).end()
    assert not await exporter._send()
    spans = [span.name for span in trace_pb2.ScopeSpans.FromString(b"".join(exporter._queue)).spans]
    assert [spans[0], spans[-1], len(spans)] == ["808", "8999", 8_192]
    await exporter.flush(timeout_s=0.1)
