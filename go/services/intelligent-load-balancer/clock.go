package main

import (
	"context"
	"time"
)

// Clock is the domain's only source of time, so that a test decides when a lease expires.
type Clock interface {
	// Now returns the present moment.
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own, when d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call; it reports whether it came in time.
	Stop() bool
	// Reset moves the call to d from now.
	Reset(d time.Duration) bool
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now returns the machine's time.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// pause returns when d has passed, or the context's error when that ends first.
func pause(ctx context.Context, clock Clock, d time.Duration) error {
	over := make(chan struct{})
	timer := clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
