package serve

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

// method is what is the same in every call of a method, found once when its service is registered. Wrapping each method's
// handler, rather than intercepting all calls, saves the look-up, and covers messages that cannot be decoded (decision 0021).
type method struct {
	server     *Server
	spanName   string
	attributes []telemetry.Attribute
	durations  *telemetry.Durations
	tenantless bool
}

func (s *Server) newMethod(service, name string) *method {
	return &method{
		server:     s,
		spanName:   service + "/" + name,
		attributes: telemetry.RPCAttributes(service, name),
		durations:  s.telemetry.Metrics.Durations(service, name),
		tenantless: s.tenantless[service],
	}
}

// call is one call in flight: the context of its handler, which answers for the span and the identity with one allocation.
type call struct {
	context.Context
	method   *method
	start    time.Time
	span     telemetry.Span
	identity identity.Identity
	deadline deadline
}

// Value finds the kit's own values in the call itself.
func (c *call) Value(key any) any {
	switch key.(type) {
	case telemetry.ContextKey:
		return &c.span
	case identity.ContextKey:
		return &c.identity
	default:
		return c.Context.Value(key)
	}
}

// begin passes a call through the layers outside of its handler: span and metrics, overload limit, identity. The call is to be
// finished even when it is refused.
func (m *method) begin(ctx context.Context) (*call, error) {
	s := m.server
	c := &call{Context: ctx, method: m, start: time.Now()}
	headers := headersOf(ctx)
	s.telemetry.Tracer.Begin(&c.span, telemetry.FromHeaders(headers), m.spanName, telemetry.Server, c.start)
	c.span.SetAttributes(m.attributes...)
	if s.telemetry.Metrics.InFlight().Add(1) > s.kit.MaxInflight {
		return c, overloaded(s.kit.MaxInflight)
	}
	var known bool
	if c.identity, known = identity.FromHeaders(headers); known {
		c.span.SetTenant(c.identity.Tenant)
	} else if !m.tenantless {
		return c, tenantMissing()
	}
	return c, nil
}

// finish turns the handler's error into the call's status and counts the call.
func (c *call) finish(err error) error {
	defer c.release()
	s := c.method.server
	code := codes.OK
	if err != nil {
		converted, hidden := status.Convert(c, err, s.errors)
		if hidden {
			s.telemetry.Logger.ErrorContext(c, "a call failed by a fault of ours", "method", c.method.spanName, "error", err)
		}
		code, err = converted.Code(), converted.Err()
	}
	now := time.Now()
	s.telemetry.Metrics.InFlight().Add(-1)
	c.method.durations.Observe(code, now.Sub(c.start))
	s.meter.Finished(code)
	c.span.EndRPC(code, now)
	return err
}

// recovered keeps a panic of one call from ending the others.
func (c *call) recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
	}
}

func (m *method) unary(desc grpc.MethodDesc) grpc.MethodDesc {
	handler := desc.Handler
	desc.Handler = func(
		implementation any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
	) (any, error) {
		// Before decoding: grpc-go itself answers a message that it cannot decode, at once and with the trailer as it is then.
		// Setting fails only once the caller has gone, and then nobody reads the trailer.
		_ = grpc.SetTrailer(ctx, m.server.meter.Trailer())
		c, err := m.begin(ctx)
		var reply any
		if err == nil {
			reply, err = c.handle(handler, implementation, decode)
		}
		return reply, c.finish(err)
	}
	return desc
}

func (c *call) handle(handler grpc.MethodHandler, implementation any, decode func(any) error) (reply any, err error) {
	defer c.recovered(&err)
	reply, err = handler(implementation, c, func(message any) error {
		return c.accept(decode(message), message)
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := c.fits(reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// accept holds a decoded message to its rules. One that is too large was answered by grpc-go already, without our reason.
func (c *call) accept(decoding error, message any) error {
	if decoding != nil {
		return decoding
	}
	if message, ok := message.(proto.Message); ok {
		return c.method.server.validator.Check(message)
	}
	return nil
}

// fits refuses a response that grpc-go would refuse, so that the caller learns the reason and the limit.
func (c *call) fits(response any) error {
	limit := c.method.server.kit.MaxMessageBytes
	message, ok := response.(proto.Message)
	if !ok || proto.Size(message) <= limit {
		return nil
	}
	return &status.Error{
		Code:     codes.ResourceExhausted,
		Reason:   errorv1.Reason_REASON_MESSAGE_TOO_LARGE,
		Message:  fmt.Sprintf("the response is larger than %d bytes", limit),
		Metadata: map[string]string{"limit_bytes": strconv.Itoa(limit)},
	}
}

func (m *method) stream(desc grpc.StreamDesc) grpc.StreamDesc {
	handler := desc.Handler
	desc.Handler = func(implementation any, inner grpc.ServerStream) error {
		c, err := m.begin(inner.Context())
		if err == nil {
			err = c.handleStream(handler, implementation, inner)
		}
		inner.SetTrailer(m.server.meter.Trailer())
		return c.finish(err)
	}
	return desc
}

func (c *call) handleStream(handler grpc.StreamHandler, implementation any, inner grpc.ServerStream) (err error) {
	defer c.recovered(&err)
	return handler(implementation, &serverStream{ServerStream: inner, call: c})
}

// serverStream shows the handler the call's context, and only messages that keep their rules.
type serverStream struct {
	grpc.ServerStream
	call *call
}

func (s *serverStream) Context() context.Context { return s.call }

func (s *serverStream) RecvMsg(message any) error {
	return s.call.accept(s.ServerStream.RecvMsg(message), message)
}

func (s *serverStream) SendMsg(message any) error {
	if err := s.call.fits(message); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(message)
}

func unknownMethod(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	return (&status.Error{
		Code:     codes.Unimplemented,
		Reason:   errorv1.Reason_REASON_NOT_IMPLEMENTED,
		Message:  "no method " + name,
		Metadata: map[string]string{"what": name},
	}).GRPCStatus().Err()
}

const retryOverload = 100 * time.Millisecond

func overloaded(limit int64) error {
	return &status.Error{
		Code:       codes.ResourceExhausted,
		Reason:     errorv1.Reason_REASON_OVERLOADED,
		Message:    fmt.Sprintf("more than %d calls in flight", limit),
		Metadata:   map[string]string{"limit": strconv.FormatInt(limit, 10)},
		RetryAfter: retryOverload,
	}
}

func tenantMissing() error {
	return &status.Error{
		Code:    codes.Unauthenticated,
		Reason:  errorv1.Reason_REASON_TENANT_MISSING,
		Message: "the call carries no valid " + identity.TenantKey,
	}
}

// Draining is what a handler returns that was asked by Stopping to end.
func Draining() error {
	return &status.Error{
		Code:    codes.Unavailable,
		Reason:  errorv1.Reason_REASON_DRAINING,
		Message: "the service is shutting down; another replica may answer",
	}
}
