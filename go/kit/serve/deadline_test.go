package serve

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDeadline_of_a_call_leads_the_callers(t *testing.T) {
	for _, test := range []struct {
		name string
		left time.Duration
		lead time.Duration
	}{
		{"long", 10 * time.Second, 10 * time.Millisecond},
		{"short", 100 * time.Millisecond, 5 * time.Millisecond},
		{"passed", -time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithDeadline(context.Background(), start.Add(test.left))
			defer cancel()
			c := &call{Context: ctx, start: start}
			at, ok := c.Deadline()
			if !ok || start.Add(test.left).Sub(at) != test.lead {
				t.Fatalf("deadline leads by %v, want %v", start.Add(test.left).Sub(at), test.lead)
			}
		})
	}
}

func TestDone_at_the_deadline_says_that_it_passed(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	c := &call{Context: ctx, start: time.Now()}
	defer c.release()
	<-c.Done()
	if !errors.Is(c.Err(), context.DeadlineExceeded) {
		t.Fatalf("ended with %v", c.Err())
	}
}

func TestDone_without_deadline_is_the_callers(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{Context: ctx, start: time.Now()}
	if c.Err() != nil {
		t.Fatalf("ended before it was cancelled: %v", c.Err())
	}
	cancel()
	<-c.Done()
	if !errors.Is(c.Err(), context.Canceled) {
		t.Fatalf("ended with %v", c.Err())
	}
}
