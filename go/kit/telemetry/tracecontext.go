package telemetry

import (
	"encoding/hex"

	"google.golang.org/grpc/metadata"
)

// The metadata keys of W3C Trace Context (https://www.w3.org/TR/trace-context/).
const (
	TraceparentKey = "traceparent"
	TracestateKey  = "tracestate"
)

// TraceID names a trace; all zero is not valid.
type TraceID [16]byte

// String is the id as 32 lower-case hex digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// SpanID names a span within a trace; all zero is not valid.
type SpanID [8]byte

// String is the id as 16 lower-case hex digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// SpanContext is the part of a span that travels with a call.
type SpanContext struct {
	// TraceID is the trace; zero where there is none.
	TraceID TraceID
	// SpanID is the span within it.
	SpanID SpanID
	// Sampled says whether the trace is recorded.
	Sampled bool
	// State is the `tracestate` of other tracing systems, forwarded as it came.
	State string
}

// Valid says whether there is a trace at all.
func (s SpanContext) Valid() bool { return s.TraceID != TraceID{} && s.SpanID != SpanID{} }

const (
	traceparentLength = len("00-00000000000000000000000000000000-0000000000000000-00")
	sampledFlag       = 0x01
)

// Traceparent is the W3C header of version 00; empty where there is no trace.
func (s SpanContext) Traceparent() string {
	if !s.Valid() {
		return ""
	}
	var header [traceparentLength]byte
	copy(header[:], "00-")
	hex.Encode(header[3:35], s.TraceID[:])
	header[35] = '-'
	hex.Encode(header[36:52], s.SpanID[:])
	copy(header[52:], "-00")
	if s.Sampled {
		header[54] = '1'
	}
	return string(header[:])
}

// ParseTraceparent reads a W3C header; what it cannot read is the zero SpanContext, as the standard wants.
func ParseTraceparent(header string) SpanContext {
	if len(header) < traceparentLength || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return SpanContext{}
	}
	var version, flags [1]byte
	var s SpanContext
	if !decode(version[:], header[:2]) || !decode(s.TraceID[:], header[3:35]) ||
		!decode(s.SpanID[:], header[36:52]) || !decode(flags[:], header[53:55]) {
		return SpanContext{}
	}
	known := version[0] == 0 && len(header) == traceparentLength
	later := version[0] > 0 && version[0] < 0xff && (len(header) == traceparentLength || header[traceparentLength] == '-')
	if !known && !later || !s.Valid() {
		return SpanContext{}
	}
	s.Sampled = flags[0]&sampledFlag != 0
	return s
}

// decode reads lower-case hex digits, the only ones that the standard allows.
func decode(into []byte, digits string) bool {
	for i := range into {
		high, low := digit(digits[2*i]), digit(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		into[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}

// FromHeaders is the trace context that a call's headers carry; the zero SpanContext when they have none.
func FromHeaders(headers metadata.MD) SpanContext {
	parents := headers[TraceparentKey]
	if len(parents) == 0 {
		return SpanContext{}
	}
	span := ParseTraceparent(parents[0])
	if states := headers[TracestateKey]; len(states) > 0 && span.Valid() {
		span.State = states[0]
	}
	return span
}

// AppendOutgoing adds the trace context as pairs of keys and values for metadata.AppendToOutgoingContext.
func AppendOutgoing(pairs []string, span SpanContext) []string {
	if header := span.Traceparent(); header != "" {
		pairs = append(pairs, TraceparentKey, header)
		if span.State != "" {
			pairs = append(pairs, TracestateKey, span.State)
		}
	}
	return pairs
}
