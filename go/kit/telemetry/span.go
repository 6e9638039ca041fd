package telemetry

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"uait.dev/go/kit/identity"
)

// Span is one timed step of a trace. It belongs to one goroutine at a time.
type Span struct {
	SpanContext
	parent     SpanID
	name       string
	kind       Kind
	start      time.Time
	recorder   *recorder // nil when the span is not recorded
	tenant     string
	attributes []Attribute
}

// ContextKey is the key under which a context holds its *Span. It is exported so that the server can answer
// for several keys with one allocation; everybody else uses FromContext and Tracer.Start.
type ContextKey struct{}

// FromContext is the trace context of the span that ctx runs in; the zero SpanContext outside of any.
func FromContext(ctx context.Context) SpanContext {
	if span, ok := ctx.Value(ContextKey{}).(*Span); ok {
		return span.SpanContext
	}
	return SpanContext{}
}

// SpanFromContext is the span that ctx runs in; outside of any it is one that records nothing.
func SpanFromContext(ctx context.Context) *Span {
	if span, ok := ctx.Value(ContextKey{}).(*Span); ok {
		return span
	}
	return &Span{}
}

// Start begins a span within that of ctx, and makes it the span of the context returned. End must be called.
func (t *Tracer) Start(ctx context.Context, name string, kind Kind, attributes ...Attribute) (context.Context, *Span) {
	return t.StartFrom(ctx, FromContext(ctx), name, kind, attributes...)
}

// StartFrom begins a span within parent, which came from outside the process.
func (t *Tracer) StartFrom(
	ctx context.Context, parent SpanContext, name string, kind Kind, attributes ...Attribute,
) (context.Context, *Span) {
	span := &Span{}
	t.Begin(span, parent, name, kind, time.Now())
	span.tenant = identity.FromContext(ctx).Tenant
	span.attributes = attributes
	return context.WithValue(ctx, ContextKey{}, span), span
}

// Begin begins a span in place, for those who embed it in a larger struct.
func (t *Tracer) Begin(span *Span, parent SpanContext, name string, kind Kind, start time.Time) {
	span.SpanContext = parent
	if !t.recording {
		return
	}
	span.start = start
	span.name, span.kind = name, kind
	span.parent = parent.SpanID
	if !parent.Valid() {
		span.TraceID = newTraceID()
		span.Sampled = t.samples(span.TraceID)
	}
	span.SpanID = newSpanID()
	if span.Sampled {
		span.recorder = t.recorder
	}
}

// SetTenant gives the span the attribute `uait.tenant`.
func (s *Span) SetTenant(tenant string) { s.tenant = tenant }

// SetAttributes adds attributes to the span.
func (s *Span) SetAttributes(attributes ...Attribute) {
	if s.recorder != nil {
		s.attributes = append(s.attributes, attributes...)
	}
}

// End ends the span; with an error its status is ERROR, without the error's text, which may hold what only the log should.
func (s *Span) End(err error) {
	if s.recorder == nil {
		return
	}
	s.recorder.record(s, time.Now(), err != nil, nil)
}

// EndRPC ends a span of kind SERVER or CLIENT with the call's code.
func (s *Span) EndRPC(code codes.Code, now time.Time) {
	if s.recorder == nil {
		return
	}
	failed := code != codes.OK && (s.kind == Client || ServerFault(code))
	s.recorder.record(s, now, failed, codeAttribute(code))
}

// ServerFault says whether a code means that the server failed, by the OpenTelemetry conventions for gRPC.
func ServerFault(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	default:
		return false
	}
}

// numCodes is the number of gRPC codes.
const numCodes = int(codes.Unauthenticated) + 1

var codeAttributes = func() (attributes [numCodes]Attribute) {
	for code := range attributes {
		attributes[code] = Int("rpc.grpc.status_code", int64(code))
	}
	return attributes
}()

func codeAttribute(code codes.Code) Attribute {
	if int(code) < numCodes {
		return codeAttributes[code]
	}
	return Int("rpc.grpc.status_code", int64(code))
}

// RPCAttributes are the attributes that every call of a method has. The slice has no spare capacity, so that
// spans may share it and still append.
func RPCAttributes(service, method string) []Attribute {
	attributes := []Attribute{String("rpc.system", "grpc"), String("rpc.service", service), String("rpc.method", method)}
	return attributes[:len(attributes):len(attributes)]
}

// Untraced is ctx in a trace of its own that is not sampled, for calls that only keep the mesh running.
func Untraced(ctx context.Context) context.Context {
	return context.WithValue(ctx, ContextKey{}, &Span{SpanContext: SpanContext{TraceID: newTraceID(), SpanID: newSpanID()}})
}
