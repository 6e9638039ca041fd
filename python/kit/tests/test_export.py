from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from uait_kit._export import encode

_REMOTE = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "x")]))


def spans_of_every_sort() -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "echo"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    remote = set_span_in_context(NonRecordingSpan(_REMOTE), Context())
    for kind in SpanKind:
        span = tracer.start_span(f"child {kind.name}", remote, kind, {"s": "a", "i": 1, "b": True, "f": 0.5})
        tracer.start_span("grandchild", set_span_in_context(span, Context()), kind).end()
        span.set_attribute("i", 0)
        span.end()
    failed = tracer.start_span("failed", Context())
    failed.set_status(Status(StatusCode.ERROR))
    failed.end()
    tracer.start_span("linked", Context(), links=[Link(_REMOTE)]).end()
    eventful = tracer.start_span("eventful", Context())
    eventful.add_event("seen", {"n": 1})
    eventful.end()
    return exporter.get_finished_spans()


def test_encoding_is_the_library_s_for_every_sort_of_span() -> None:
    spans = spans_of_every_sort()
    assert len(spans) == 2 * len(SpanKind) + 3
    assert encode(spans) == encode_spans(spans)
