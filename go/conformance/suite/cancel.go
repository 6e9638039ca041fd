package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

const (
	// cancelledDelay is longer than any run of the probe.
	cancelledDelay = 20 * time.Second
	// reachHandler is what a call is given to reach its handler before it is cancelled, and another call is answered after that;
	// nothing that a caller sees tells when it has.
	reachHandler = 100 * time.Millisecond
)

// probeCancel measures from the cancellation until AwaitOutcome, asked beforehand, answers that the handler ended.
func (r *runner) probeCancel(ctx context.Context, c Case) error {
	ctx, cancel := context.WithTimeout(r.outgoing(ctx, c.Metadata), defaultDeadline)
	defer cancel()
	tries := max(c.Tries, 1)
	took := make([]time.Duration, tries)
	for i := range took {
		var err error
		if took[i], err = r.cancelOnce(ctx, fmt.Sprintf("cancel-%s-%d", r.words["unique"], i)); err != nil {
			return err
		}
	}
	slices.Sort(took)
	within := time.Duration(c.WithinMS) * time.Millisecond
	if median := took[tries/2]; median > within {
		return fmt.Errorf("expected the handler to end within %s of the cancellation, came %s (median of %v)", within, median, took)
	}
	return nil
}

func (r *runner) cancelOnce(ctx context.Context, callID string) (time.Duration, error) {
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	called := make(chan error, 1)
	go func() {
		_, err := r.client().Echo(calling, &echov1.EchoRequest{
			Message: "slow", CallId: callID, Behaviour: &echov1.Behaviour{Delay: durationpb.New(cancelledDelay)},
		})
		called <- err
	}()
	type awaited struct {
		response *echov1.AwaitOutcomeResponse
		at       time.Time
		err      error
	}
	outcome := make(chan awaited, 1)
	go func() {
		response, err := r.client().AwaitOutcome(ctx, &echov1.AwaitOutcomeRequest{CallId: callID})
		outcome <- awaited{response, time.Now(), err}
	}()
	select {
	case err := <-called:
		return 0, fmt.Errorf("expected the call to wait, came %w", err)
	case <-time.After(reachHandler):
	}
	if _, err := r.client().Echo(ctx, &echov1.EchoRequest{Message: "x"}); err != nil {
		return 0, fmt.Errorf("a call beside it: expected OK, came %w", err)
	}
	start := time.Now()
	cancel()
	if err := <-called; status.Code(err) != codes.Canceled {
		return 0, fmt.Errorf("expected the caller to see CANCELLED, came %w", err)
	}
	end := <-outcome
	if end.err != nil {
		return 0, fmt.Errorf("AwaitOutcome: %w", end.err)
	}
	if got := end.response.GetCode(); got != "CANCELLED" {
		return 0, fmt.Errorf("expected the handler to end CANCELLED, came %s", got)
	}
	return end.at.Sub(start), nil
}
