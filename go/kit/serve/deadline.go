package serve

import (
	"context"
	"sync"
	"time"
)

// grpc-go resets a stream at its deadline, and a reset carries no status: the caller would read CANCELLED where its own timer is a
// little late. A handler is therefore stopped this much earlier, so that DEADLINE_EXCEEDED is on its way before the reset.
const (
	deadlineLead      = 10 * time.Millisecond
	deadlineLeadShare = 20 // at most a twentieth of the time given
)

// deadline stops a handler a little before its caller's deadline. Its timer exists only once the handler asks to be told.
type deadline struct {
	once   sync.Once
	early  context.Context
	cancel context.CancelFunc
}

// leadOf is the time by which a handler ends before a deadline that leaves it `left`.
func leadOf(left time.Duration) time.Duration {
	return max(0, min(deadlineLead, left/deadlineLeadShare))
}

// Deadline is the time at which the handler is stopped, which is also what calls to other services inherit.
func (c *call) Deadline() (time.Time, bool) {
	at, ok := c.Context.Deadline()
	if !ok {
		return at, false
	}
	return at.Add(-leadOf(at.Sub(c.start))), true
}

// Done is closed when the handler shall stop.
func (c *call) Done() <-chan struct{} {
	at, ok := c.Deadline()
	if !ok {
		return c.Context.Done()
	}
	return c.stopAt(at).Done()
}

// Err tells why Done is closed.
func (c *call) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if at, ok := c.Deadline(); ok {
		return c.stopAt(at).Err()
	}
	return nil
}

func (c *call) stopAt(at time.Time) context.Context {
	c.deadline.once.Do(func() {
		c.deadline.early, c.deadline.cancel = context.WithDeadline(c.Context, at)
	})
	return c.deadline.early
}

// release stops the timer. After it no handler runs, so that none begins one.
func (c *call) release() {
	if c.deadline.cancel != nil {
		c.deadline.cancel()
	}
}
