package main

import (
	"sync"
	"testing"
	"time"
)

// fakeClock stands still until a test moves it. What falls due runs in the goroutine that moves it.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]struct{}
}

type fakeTimer struct {
	clock *fakeClock
	due   time.Time
	f     func()
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[*fakeTimer]struct{}{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) Timer {
	timer := &fakeTimer{clock: c, f: f}
	timer.Reset(d)
	return timer
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, pending := t.clock.timers[t]
	delete(t.clock.timers, t)
	return pending
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, pending := t.clock.timers[t]
	t.due = t.clock.now.Add(d)
	t.clock.timers[t] = struct{}{}
	return pending
}

// advance moves the clock by d, stopping at each timer on the way.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		var next *fakeTimer
		for timer := range c.timers {
			if !timer.due.After(end) && (next == nil || timer.due.Before(next.due)) {
				next = timer
			}
		}
		if next == nil {
			break
		}
		delete(c.timers, next)
		c.now = next.due
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

func TestFakeClock_advance_runsTimersInOrderAtTheirTime(t *testing.T) {
	clock := newFakeClock()
	start := clock.Now()
	var at []time.Duration
	note := func() { at = append(at, clock.Now().Sub(start)) }
	clock.AfterFunc(2*time.Second, note)
	clock.AfterFunc(time.Second, note)
	clock.AfterFunc(3*time.Second, note).Stop()
	clock.advance(5 * time.Second)
	if len(at) != 2 || at[0] != time.Second || at[1] != 2*time.Second {
		t.Fatalf("ran at %v, want [1s 2s]", at)
	}
}
