package telemetry

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Spans are encoded as they end: one append to a buffer instead of a tree of messages that the garbage collector has to
// follow until they are exported (decision 0024). The numbers are those of opentelemetry/proto/trace/v1/trace.proto.
const (
	fieldTraceID    = 1
	fieldSpanID     = 2
	fieldTraceState = 3
	fieldParent     = 4
	fieldName       = 5
	fieldKind       = 6
	fieldStart      = 7
	fieldEnd        = 8
	fieldAttributes = 9
	fieldStatus     = 15

	fieldStatusCode  = 3
	statusCodeError  = 2
	fieldKey         = 1
	fieldValue       = 2
	fieldStringValue = 1
	fieldBoolValue   = 2
	fieldIntValue    = 3
	fieldDoubleValue = 4
)

// Kind says which side of a call or message a span is.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = iota + 1
	Server
	Client
	Producer
	Consumer
)

// Attribute is a key and a value of a span, encoded. It may be shared by spans and must not be changed.
type Attribute []byte

// String is an attribute of text.
func String(key, value string) Attribute {
	return attribute(key, protowire.AppendString(protowire.AppendTag(nil, fieldStringValue, protowire.BytesType), value))
}

// Int is an attribute of a whole number.
func Int(key string, value int64) Attribute {
	return attribute(key, protowire.AppendVarint(protowire.AppendTag(nil, fieldIntValue, protowire.VarintType), uint64(value)))
}

// Float is an attribute of a number.
func Float(key string, value float64) Attribute {
	tag := protowire.AppendTag(nil, fieldDoubleValue, protowire.Fixed64Type)
	return attribute(key, protowire.AppendFixed64(tag, math.Float64bits(value)))
}

// Bool is an attribute that is true or false.
func Bool(key string, value bool) Attribute {
	tag := protowire.AppendTag(nil, fieldBoolValue, protowire.VarintType)
	return attribute(key, protowire.AppendVarint(tag, protowire.EncodeBool(value)))
}

func attribute(key string, value []byte) Attribute {
	return appendBytes(nil, fieldAttributes, keyValue(key, value))
}

func keyValue(key string, value []byte) []byte {
	pair := protowire.AppendString(protowire.AppendTag(nil, fieldKey, protowire.BytesType), key)
	return appendBytes(pair, fieldValue, value)
}

func appendBytes(to []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), value)
}

func appendString(to []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), value)
}

const tenantKey = "uait.tenant"

// appendSpan encodes an ended span as the body of an OTLP Span; last is one more attribute, or nil.
func appendSpan(to []byte, s *Span, end time.Time, failed bool, last Attribute) []byte {
	to = appendBytes(to, fieldTraceID, s.TraceID[:])
	to = appendBytes(to, fieldSpanID, s.SpanID[:])
	if s.State != "" {
		to = appendString(to, fieldTraceState, s.State)
	}
	if s.parent != (SpanID{}) {
		to = appendBytes(to, fieldParent, s.parent[:])
	}
	to = appendString(to, fieldName, s.name)
	to = protowire.AppendVarint(protowire.AppendTag(to, fieldKind, protowire.VarintType), uint64(s.kind))
	started := uint64(s.start.UnixNano())
	to = protowire.AppendFixed64(protowire.AppendTag(to, fieldStart, protowire.Fixed64Type), started)
	to = protowire.AppendFixed64(protowire.AppendTag(to, fieldEnd, protowire.Fixed64Type), started+uint64(max(end.Sub(s.start), 0)))
	for _, attribute := range s.attributes {
		to = append(to, attribute...)
	}
	to = append(to, last...)
	if s.tenant != "" {
		to = appendTenant(to, s.tenant)
	}
	if failed {
		to = protowire.AppendTag(to, fieldStatus, protowire.BytesType)
		to = protowire.AppendVarint(to, 2)
		to = protowire.AppendVarint(protowire.AppendTag(to, fieldStatusCode, protowire.VarintType), statusCodeError)
	}
	return to
}

// appendTenant is String(tenantKey, tenant) without its allocations: every span has it.
func appendTenant(to []byte, tenant string) []byte {
	value := protowire.SizeTag(fieldStringValue) + protowire.SizeBytes(len(tenant))
	pair := protowire.SizeTag(fieldKey) + protowire.SizeBytes(len(tenantKey)) + protowire.SizeTag(fieldValue) + protowire.SizeBytes(value)
	to = protowire.AppendVarint(protowire.AppendTag(to, fieldAttributes, protowire.BytesType), uint64(pair))
	to = appendString(to, fieldKey, tenantKey)
	to = protowire.AppendVarint(protowire.AppendTag(to, fieldValue, protowire.BytesType), uint64(value))
	return appendString(to, fieldStringValue, tenant)
}
