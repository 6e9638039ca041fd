package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

const (
	drainPoll = 10 * time.Millisecond
	// drainInterval is the pause between the messages of a stream under way.
	drainInterval = 50 * time.Millisecond
)

// probeDrain terminates the server while calls and streams are under way and sees that all of them are completed.
func (r *runner) probeDrain(ctx context.Context, c Case) error {
	if r.options.Process == nil {
		return errors.New("the drain needs the server's process: --pid")
	}
	delay := time.Duration(c.DelayMS) * time.Millisecond
	ctx, cancel := context.WithTimeout(r.outgoing(ctx, c.Metadata), delay+defaultDeadline)
	defer cancel()

	underWay := make(chan struct{}, c.Calls)
	ended := make(chan error, 1)
	go func() {
		ended <- forEach(2*c.Calls, func(i int) error {
			if i%2 == 0 {
				return r.drainedCall(ctx, delay)
			}
			return r.drainedStream(ctx, delay, underWay)
		})
	}()
	// The unary calls were sent beside the streams; once every stream has answered, they are with the server too.
	for range c.Calls {
		select {
		case <-underWay:
		case err := <-ended:
			return fmt.Errorf("before the signal: %w", err)
		}
	}
	signalled := time.Now()
	if err := r.options.Process.Terminate(); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	if err := r.awaitNotServing(ctx, signalled.Add(time.Duration(c.WithinMS)*time.Millisecond)); err != nil {
		return err
	}
	if _, err := r.client().Echo(ctx, &echov1.EchoRequest{Message: "late"}); err != nil {
		return fmt.Errorf("a new call after the signal: expected OK, came %w", err)
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("under way at the signal: %w", err)
	}
	return r.awaitGone(ctx, signalled.Add(time.Duration(c.GoneMS)*time.Millisecond))
}

func (r *runner) drainedCall(ctx context.Context, delay time.Duration) error {
	response, err := r.client().Echo(ctx, &echov1.EchoRequest{
		Message: "under way", Behaviour: &echov1.Behaviour{Delay: durationpb.New(delay)},
	})
	if err != nil {
		return fmt.Errorf("unary call: expected OK, came %w", err)
	}
	if response.GetMessage() != "under way" {
		return fmt.Errorf("unary call: expected its message, came %q", response.GetMessage())
	}
	return nil
}

func (r *runner) drainedStream(ctx context.Context, length time.Duration, underWay chan<- struct{}) error {
	count := int32(length/drainInterval) + 1
	stream, err := r.client().Expand(ctx, &echov1.ExpandRequest{
		Message: "under way", Count: count, Interval: durationpb.New(drainInterval),
	})
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	for index := range count {
		response, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("stream: expected %d messages, came %d and then %w", count, index, err)
		}
		if response.GetIndex() != index {
			return fmt.Errorf("stream: expected message %d, came %d", index, response.GetIndex())
		}
		if index == 0 {
			underWay <- struct{}{}
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("stream: expected OK, came %w", err)
	}
	return nil
}

// awaitNotServing asks the server itself, as Envoy answers nothing of its health.
func (r *runner) awaitNotServing(ctx context.Context, until time.Time) error {
	health := healthpb.NewHealthClient(r.server)
	return poll(ctx, until, func() error {
		response, err := health.Check(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return fmt.Errorf("health: expected NOT_SERVING, came %w", err)
		}
		if response.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			return fmt.Errorf("health: expected NOT_SERVING, came %s", response.GetStatus())
		}
		return nil
	})
}

func (r *runner) awaitGone(ctx context.Context, until time.Time) error {
	return poll(ctx, until, func() error {
		if !r.options.Process.Gone() {
			return errors.New("the process is still there")
		}
		return nil
	})
}

// poll tries until try succeeds, and returns its last error once the time is up.
func poll(ctx context.Context, until time.Time, try func() error) error {
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-ticker.C:
		}
	}
}
