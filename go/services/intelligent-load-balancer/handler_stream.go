package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
	"uait.dev/go/kit/serve"
)

type leaseStream = grpc.BidiStreamingServer[balancerv1.RegisterEndpointRequest, balancerv1.RegisterEndpointResponse]

// RegisterEndpoint holds a lease for as long as its stream lives.
func (h *Handler) RegisterEndpoint(stream leaseStream) error {
	messages, failed := receive(stream)
	var lease *Lease
	select {
	case <-h.Draining:
		return serve.Draining()
	case err := <-failed:
		return withoutEOF(err)
	case first := <-messages:
		endpoint, err := registration(first)
		if err != nil {
			return err
		}
		lease = h.Leases.Open(endpoint)
	}
	err := h.hold(lease, stream, messages, failed)
	select {
	case <-h.Draining:
		// The lease is left as it is: the endpoint serves on, and Envoy must not hear otherwise from a balancer that goes.
		return serve.Draining()
	default:
	}
	if err == nil {
		lease.Withdraw()
	} else {
		lease.Break()
	}
	return err
}

// hold answers each message until the lease is over; nil means that the caller half-closed.
func (h *Handler) hold(lease *Lease, stream leaseStream, messages <-chan *balancerv1.RegisterEndpointRequest, failed <-chan error) error {
	for {
		answer := &balancerv1.RegisterEndpointResponse{Ttl: durationpb.New(h.Leases.TTL), State: toState(lease.State())}
		if err := stream.Send(answer); err != nil {
			return err
		}
		select {
		case <-h.Draining:
			return nil
		case <-lease.Ended():
			return lease.Err()
		case err := <-failed:
			return withoutEOF(err)
		case message := <-messages:
			renewal, ok := message.GetAction().(*balancerv1.RegisterEndpointRequest_Renew)
			if !ok {
				return &Error{Kind: KindActionInvalid, What: "must be renew in every message after the first"}
			}
			if err := lease.Renew(fromUtilisation(renewal.Renew)); err != nil {
				return err
			}
		}
	}
}

// receive reads the stream, so that its handler can wait for other things too: each message, then the error that ended
// it, io.EOF for a half-close.
func receive(stream leaseStream) (messages <-chan *balancerv1.RegisterEndpointRequest, failed <-chan error) {
	read, ended := make(chan *balancerv1.RegisterEndpointRequest), make(chan error, 1)
	go func() {
		for {
			message, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case read <- message:
			case <-stream.Context().Done(): // the next Recv tells why
			}
		}
	}()
	return read, ended
}

// withoutEOF turns the orderly end of a stream into no error.
func withoutEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// WatchEndpoints streams the present state unless resumed, then every change.
func (h *Handler) WatchEndpoints(request *balancerv1.WatchEndpointsRequest, stream grpc.ServerStreamingServer[balancerv1.WatchEndpointsResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-h.Draining:
			cancel(serve.Draining())
		case <-ctx.Done():
		}
	}()
	send := func(changes []Change) error {
		for _, change := range changes {
			if service := request.GetService(); service != "" && change.Status.Endpoint.Service != service {
				continue
			}
			message := &balancerv1.WatchEndpointsResponse{
				Sequence: change.Sequence,
				Endpoint: toEndpointStatus(change.Status),
				Removed:  change.Removed,
			}
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		return nil
	}
	last := request.GetResumeAfter()
	if last == 0 {
		var state []Change
		state, last = h.Registry.Present()
		if err := send(state); err != nil {
			return err
		}
	}
	for {
		changes, err := h.Registry.Next(ctx, last)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if err := send(changes); err != nil {
			return err
		}
		last = changes[len(changes)-1].Sequence
	}
}
