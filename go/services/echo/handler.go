package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/serve"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

const (
	// area is the part of the event log to which echo services publish.
	area = "echo"
	// keep is how many outcomes and handled events can still be asked for.
	keep = 10000
)

// outcome is how a call with a call_id ended.
type outcome struct {
	code    string
	endedAt time.Time
}

// handled is what the consumer saw of an event.
type handled struct {
	message string
	traceID string
	source  string
	times   int32
}

// echoHandler implements EchoService.
type echoHandler struct {
	echov1.UnsafeEchoServiceServer
	server   *serve.Server
	config   Config
	outcomes *registry[outcome]
	events   *registry[handled]
}

var _ echov1.EchoServiceServer = (*echoHandler)(nil)

func registerEcho(server *serve.Server, config Config) {
	handler := &echoHandler{
		server:   server,
		config:   config,
		outcomes: newRegistry[outcome](keep),
		events:   newRegistry[handled](keep),
	}
	echov1.RegisterEchoServiceServer(server, handler)
	server.Events().Consume(area, handler.echoed)
}

// Echo returns the message together with what the server saw of the call.
func (h *echoHandler) Echo(ctx context.Context, request *echov1.EchoRequest) (response *echov1.EchoResponse, err error) {
	defer func() { h.ended(ctx, request.GetCallId(), err) }()
	seen := h.seen(ctx)
	if err := behave(ctx, request.GetBehaviour()); err != nil {
		return nil, err
	}
	return &echov1.EchoResponse{Message: request.GetMessage(), Payload: request.GetPayload(), Seen: seen}, nil
}

// Collect joins the caller's messages.
func (h *echoHandler) Collect(stream grpc.ClientStreamingServer[echov1.CollectRequest, echov1.CollectResponse]) error {
	seen := h.seen(stream.Context())
	var messages []string
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&echov1.CollectResponse{
				Message: strings.Join(messages, " "), Count: int32(len(messages)), Seen: seen,
			})
		}
		if err != nil {
			return err
		}
		messages = append(messages, request.GetMessage())
	}
}

// Expand repeats the message.
func (h *echoHandler) Expand(request *echov1.ExpandRequest, stream grpc.ServerStreamingServer[echov1.ExpandResponse]) (err error) {
	ctx := stream.Context()
	defer func() { h.ended(ctx, request.GetCallId(), err) }()
	seen := h.seen(ctx)
	for index := range request.GetCount() {
		if index > 0 {
			if err := pause(ctx, request.GetInterval().AsDuration()); err != nil {
				return err
			}
		}
		if err := stream.Send(&echov1.ExpandResponse{Message: request.GetMessage(), Index: index, Seen: seen}); err != nil {
			return err
		}
		seen = nil
	}
	return nil
}

// Converse answers each message as it arrives.
func (h *echoHandler) Converse(stream grpc.BidiStreamingServer[echov1.ConverseRequest, echov1.ConverseResponse]) error {
	seen := h.seen(stream.Context())
	for index := int32(0); ; index++ {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&echov1.ConverseResponse{Message: request.GetMessage(), Index: index, Seen: seen}); err != nil {
			return err
		}
		seen = nil
	}
}

// Relay passes the message along the rest of the route.
func (h *echoHandler) Relay(ctx context.Context, request *echov1.RelayRequest) (*echov1.RelayResponse, error) {
	hops := []*echov1.Seen{h.seen(ctx)}
	route := request.GetRoute()
	if len(route) == 0 {
		return &echov1.RelayResponse{Message: request.GetMessage(), Hops: hops}, nil
	}
	next := echov1.NewEchoServiceClient(h.server.Mesh().To(route[0]))
	rest, err := next.Relay(ctx, &echov1.RelayRequest{Message: request.GetMessage(), Route: route[1:]})
	if err != nil {
		return nil, err
	}
	return &echov1.RelayResponse{Message: rest.GetMessage(), Hops: append(hops, rest.GetHops()...)}, nil
}

// Publish stores the message as an event.
func (h *echoHandler) Publish(ctx context.Context, request *echov1.PublishRequest) (*echov1.PublishResponse, error) {
	event := &eventv1.Event{Payload: &eventv1.Event_Echoed{Echoed: &eventv1.Echoed{Message: request.GetMessage()}}}
	receipt, err := h.server.Events().Publish(ctx, area, request.GetRequestId(), event)
	if err != nil {
		return nil, err
	}
	return &echov1.PublishResponse{EventId: receipt.ID, Sequence: receipt.Sequence, Duplicate: receipt.Duplicate}, nil
}

// echoed handles an event of the area.
func (h *echoHandler) echoed(ctx context.Context, event *eventv1.Event) error {
	h.events.update(key{event.GetTenant(), event.GetId()}, func(before handled) handled {
		return handled{
			message: event.GetEchoed().GetMessage(),
			traceID: telemetry.FromContext(ctx).TraceID.String(),
			source:  event.GetSource(),
			times:   before.times + 1,
		}
	})
	return nil
}

// AwaitEvent tells what the consumer saw of an event.
func (h *echoHandler) AwaitEvent(ctx context.Context, request *echov1.AwaitEventRequest) (*echov1.AwaitEventResponse, error) {
	saw, err := h.events.await(ctx, key{identity.FromContext(ctx).Tenant, request.GetEventId()})
	if err != nil {
		return nil, err
	}
	return &echov1.AwaitEventResponse{Message: saw.message, TraceId: saw.traceID, Handled: saw.times, Source: saw.source}, nil
}

// AwaitOutcome tells how an earlier call ended.
func (h *echoHandler) AwaitOutcome(
	ctx context.Context, request *echov1.AwaitOutcomeRequest,
) (*echov1.AwaitOutcomeResponse, error) {
	end, err := h.outcomes.await(ctx, key{identity.FromContext(ctx).Tenant, request.GetCallId()})
	if err != nil {
		return nil, err
	}
	return &echov1.AwaitOutcomeResponse{Code: end.code, EndedAt: timestamppb.New(end.endedAt)}, nil
}

// ended notes how a call ended, for those who ask by its call_id.
func (h *echoHandler) ended(ctx context.Context, callID string, err error) {
	if callID == "" {
		return
	}
	converted, _ := status.Convert(ctx, err, mapError)
	h.outcomes.update(key{identity.FromContext(ctx).Tenant, callID}, func(outcome) outcome {
		return outcome{code: status.CodeName(converted.Code()), endedAt: time.Now()}
	})
}

// seen is what the kit saw of the call of ctx.
func (h *echoHandler) seen(ctx context.Context) *echov1.Seen {
	caller, span := identity.FromContext(ctx), telemetry.FromContext(ctx)
	seen := &echov1.Seen{
		Service:  h.config.Kit.Service,
		Instance: h.config.Kit.Instance,
		Tenant:   caller.Tenant,
		Subject:  caller.Subject,
		Scopes:   caller.Scopes,
	}
	if span.Valid() {
		seen.TraceId, seen.SpanId = span.TraceID.String(), span.SpanID.String()
	}
	if deadline, set := ctx.Deadline(); set {
		seen.TimeLeft = durationpb.New(time.Until(deadline))
	}
	return seen
}

// behave waits and fails as the caller asked.
func behave(ctx context.Context, behaviour *echov1.Behaviour) error {
	if trailers := behaviour.GetTrailers(); len(trailers) > 0 {
		if err := grpc.SetTrailer(ctx, metadata.New(trailers)); err != nil {
			return err
		}
	}
	if err := pause(ctx, behaviour.GetDelay().AsDuration()); err != nil {
		return err
	}
	switch failure := behaviour.GetFailure().(type) {
	case *echov1.Behaviour_Missing:
		return &echoError{kind: kindMissing, name: failure.Missing}
	case *echov1.Behaviour_Crash:
		return errors.New(failure.Crash)
	default:
		return nil
	}
}

// pause waits for d, and gives up at once when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
