package dial

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

func (m *Mesh) newStream(
	ctx context.Context, service string, desc *grpc.StreamDesc, fullMethod string, options []grpc.CallOption,
) (grpc.ClientStream, error) {
	called := m.method(fullMethod)
	ctx, span := m.begin(ctx, called, service)
	opened, err := m.connection.NewStream(ctx, desc, fullMethod, options...)
	if err != nil {
		span.EndRPC(status.Code(err), time.Now())
		return nil, status.FromDependency(err, called.dependency(service))
	}
	s := &stream{ClientStream: opened, dependency: called.dependency(service), oneReply: !desc.ServerStreams, span: span}
	// A caller may go away without reading to the end; grpc-go asks it to cancel ctx then, and that ends the span.
	s.unwatch = context.AfterFunc(ctx, func() { s.end(ctx.Err()) })
	return s, nil
}

// stream ends its span when the call has ended.
type stream struct {
	grpc.ClientStream
	dependency string
	oneReply   bool
	unwatch    func() bool
	span       *telemetry.Span
	once       sync.Once
}

func (s *stream) SendMsg(message any) error {
	err := s.ClientStream.SendMsg(message)
	if err != nil && !errors.Is(err, io.EOF) { // On EOF, RecvMsg has the status.
		s.finish(err)
		return status.FromDependency(err, s.dependency)
	}
	return err
}

func (s *stream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil && !s.oneReply {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		s.finish(nil)
		return err
	}
	s.finish(err)
	return status.FromDependency(err, s.dependency)
}

func (s *stream) finish(err error) {
	s.unwatch()
	s.end(err)
}

func (s *stream) end(err error) {
	s.once.Do(func() { s.span.EndRPC(status.Code(err), time.Now()) })
}
