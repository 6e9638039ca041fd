package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	lbv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

const (
	leaseBackoffLeast = 200 * time.Millisecond
	leaseBackoffMost  = 5 * time.Second
	// withdrawTimeout bounds how long a drain waits for the balancer to take a lease back.
	withdrawTimeout = time.Second
)

// HoldLease keeps endpoint registered with the balancer until ctx ends, then withdraws it. While the balancer is away it tries again, for ever.
func HoldLease(ctx context.Context, mesh grpc.ClientConnInterface, endpoint *lbv1.Endpoint, meter *Meter, logger *slog.Logger) {
	balancer := lbv1.NewBalancerServiceClient(mesh)
	backoff := leaseBackoffLeast
	for ctx.Err() == nil {
		held, err := hold(ctx, balancer, endpoint, meter)
		if ctx.Err() != nil {
			return
		}
		if held {
			backoff = leaseBackoffLeast
			logger.Info("the balancer's lease was lost", "error", err)
		} else {
			logger.Debug("the balancer gives no lease", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, leaseBackoffMost)
	}
}

// hold keeps one lease until it breaks or ctx ends; held says whether the balancer ever granted it.
func hold(ctx context.Context, balancer lbv1.BalancerServiceClient, endpoint *lbv1.Endpoint, meter *Meter) (held bool, err error) {
	// The stream outlives ctx by the half-close that withdraws it.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stream, err := balancer.RegisterEndpoint(streamCtx)
	if err != nil {
		return false, err
	}
	register := &lbv1.RegisterEndpointRequest{Action: &lbv1.RegisterEndpointRequest_Register{Register: endpoint}}
	if err := stream.Send(register); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	grants, broken := receive(streamCtx, stream)
	var renew <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return held, withdraw(stream, broken)
		case err := <-broken:
			return held, err
		case ttl := <-grants:
			held = true
			renew = time.After(ttl / 3)
		case <-renew:
			renew = nil // The answer to this renewal sets the next.
			action := &lbv1.RegisterEndpointRequest_Renew{Renew: meter.Utilisation()}
			if err := stream.Send(&lbv1.RegisterEndpointRequest{Action: action}); err != nil {
				return held, <-broken
			}
		}
	}
}

type leaseStream = grpc.BidiStreamingClient[lbv1.RegisterEndpointRequest, lbv1.RegisterEndpointResponse]

// receive passes on the ttl of each answer, and the error that ended the stream.
func receive(ctx context.Context, stream leaseStream) (grants <-chan time.Duration, broken <-chan error) {
	ttls, ended := make(chan time.Duration), make(chan error, 1)
	go func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case ttls <- max(response.GetTtl().AsDuration(), 3*time.Millisecond):
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			}
		}
	}()
	return ttls, ended
}

func withdraw(stream leaseStream, broken <-chan error) error {
	if err := stream.CloseSend(); err != nil {
		return err
	}
	select {
	case err := <-broken:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-time.After(withdrawTimeout):
		return context.DeadlineExceeded
	}
}
