"""Spans as an OTLP `ExportTraceServiceRequest` (opentelemetry-proto 1.x), put together from bytes.

A span as a message of its own, filled and then encoded, takes 6 us and waits as an object that the garbage collector
looks at (deploy/decisions/0173); most of its bytes are the same for every call of a method.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from uait_kit._trace import Span

__all__ = ["Attribute", "attribute", "encode_request", "encode_span", "new_attribute"]

Attribute = NewType("Attribute", bytes)
"""An attribute of a span, encoded as its field."""

_Value = str | bool | int | float

# Tags, as opentelemetry/proto/trace/v1/trace.proto numbers the fields of Span; ids have lengths that are known.
_TRACE_ID = b"\x0a\x10"
_SPAN_ID = b"\x12\x08"
_PARENT_SPAN_ID = b"\x22\x08"
_START = 7 << 3 | 1
_END = 8 << 3 | 1
_ATTRIBUTES = 9
_FLAGS = b"\x85\x01"

_times = struct.Struct("<BQBQ").pack
_flags = struct.Struct("<I").pack

_SAMPLED = 1
_LOCAL = _FLAGS + _flags(_SAMPLED | trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
_REMOTE = _FLAGS + _flags(
    _SAMPLED | trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
)
_FAILED = trace_pb2.Span(status=trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR)).SerializeToString()
_SCOPE = trace_pb2.ScopeSpans(scope=InstrumentationScope(name="uait_kit")).SerializeToString()


# Typed, because 1 and True are equal as keys.
@lru_cache(maxsize=1_024, typed=True)
def attribute(key: str, value: _Value) -> Attribute:
    """Returns an attribute of a value that comes again; the same object for the same arguments."""
    return new_attribute(key, value)


def new_attribute(key: str, value: _Value) -> Attribute:
    """Returns an attribute of a value that will not come again."""
    return Attribute(_field(_ATTRIBUTES, _key_value(key, value).SerializeToString()))


def encode_span(span: Span) -> bytes:
    """Returns an ended span as one field of a ScopeSpans."""
    parent = span.parent
    encoded = b"".join(
        (
            _TRACE_ID,
            bytes.fromhex(span.trace_id),
            _SPAN_ID,
            bytes.fromhex(span.span_id),
            b"" if parent is None else _PARENT_SPAN_ID + bytes.fromhex(parent.span_id),
            trace_pb2.Span(trace_state=span.state).SerializeToString() if span.state else b"",
            _name_and_kind(span.name, span.kind),
            _times(_START, span.start_ns, _END, span.end_ns),
            *span.attributes,
            _FAILED if span.failed else b"",
            _REMOTE if parent is not None and parent.remote else _LOCAL,
        )
    )
    return _field(2, encoded)


def encode_request(spans: Sequence[bytes], resource: Iterable[tuple[str, str]]) -> bytes:
    """Returns the request that brings encoded spans of one process to the collector.

    Args:
        spans: Each as `encode_span` made it.
        resource: Attributes of the process.
    """
    described = trace_pb2.ResourceSpans(resource=Resource(attributes=[_key_value(*pair) for pair in resource]))
    scope_spans = _field(2, b"".join((_SCOPE, *spans)))
    return _field(1, described.SerializeToString() + scope_spans)


@lru_cache(maxsize=1_024)
def _name_and_kind(name: str, kind: trace_pb2.Span.SpanKind.ValueType) -> bytes:
    return trace_pb2.Span(name=name, kind=kind).SerializeToString()


def _field(number: int, message: bytes) -> bytes:
    """Returns a message as a field: its tag, its length as a varint, its bytes."""
    length = len(message)
    head = bytearray((number << 3 | 2,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + message


def _key_value(key: str, value: _Value) -> KeyValue:
    match value:
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))
