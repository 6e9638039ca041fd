package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreak_thresholds_decideTheState(t *testing.T) {
	for _, test := range []struct {
		name       string
		thresholds Thresholds
		checks     string // + success, - failure
		want       string // p pending, h healthy, u unhealthy
	}{
		{"one success is in, two failures are out", Thresholds{Out: 2, In: 1}, "+-+--+--", "hhhhuhhu"},
		{"a pending endpoint that fails stays pending until out", Thresholds{Out: 2, In: 1}, "--", "pu"},
		{"three successes are in", Thresholds{Out: 1, In: 3}, "++-++++", "ppuuuhh"},
	} {
		var streak streak
		state := StatePending
		got := ""
		for _, check := range test.checks {
			state = streak.observe(test.thresholds, state, check == '+')
			got += state.String()[:1]
		}
		if got != test.want {
			t.Errorf("%s: %s gave %s, want %s", test.name, test.checks, got, test.want)
		}
	}
}

// fakeProber answers for each address as the test says, and counts.
type fakeProber struct {
	mu     sync.Mutex
	down   map[string]bool
	hangs  map[string]bool
	checks map[string]int
	open   map[string]int
}

func newFakeProber() *fakeProber {
	return &fakeProber{down: map[string]bool{}, hangs: map[string]bool{}, checks: map[string]int{}, open: map[string]int{}}
}

func (p *fakeProber) Open(address string) (Probe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[address]++
	return &fakeProbe{prober: p, address: address}, nil
}

func (p *fakeProber) set(table map[string]bool, address string, value bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	table[address] = value
}

func (p *fakeProber) count(table map[string]int, address string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return table[address]
}

type fakeProbe struct {
	prober  *fakeProber
	address string
}

func (p *fakeProbe) Check(ctx context.Context) error {
	p.prober.mu.Lock()
	p.prober.checks[p.address]++
	down, hangs := p.prober.down[p.address], p.prober.hangs[p.address]
	p.prober.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errors.New("connection refused")
	}
	return nil
}

func (p *fakeProbe) Close() {
	p.prober.mu.Lock()
	defer p.prober.mu.Unlock()
	p.prober.open[p.address]--
}

// checking runs a checker in a bubble of synthetic time: time passes when everybody waits.
func checking(t *testing.T, body func(registry *Registry, prober *fakeProber)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		registry, prober := NewRegistry(SystemClock{}, nil, 64), newFakeProber()
		checker := &Checker{
			Registry: registry, Clock: SystemClock{}, Prober: prober,
			Interval: time.Second, Timeout: 500 * time.Millisecond,
			Thresholds: Thresholds{Out: 2, In: 1}, Log: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { checker.Run(ctx) })
		body(registry, prober)
		cancel()
		running.Wait()
		for address, open := range prober.open {
			if open != 0 {
				t.Errorf("%d probes of %s were left open", open, address)
			}
		}
	})
}

func stateOf(registry *Registry, endpoint Endpoint) State {
	status, _ := registry.Get(endpoint.Key())
	return status.State
}

func TestChecker_newEndpoint_isCheckedAtOnce(t *testing.T) {
	checking(t, func(registry *Registry, _ *fakeProber) {
		endpoint := endpointAt("a", 1)
		start := time.Now()
		registry.Join(endpoint)
		synctest.Wait()
		if state := stateOf(registry, endpoint); state != StateHealthy || time.Since(start) != 0 {
			t.Errorf("%s after %s", state, time.Since(start))
		}
	})
}

func TestChecker_endpointFails_isOutAfterTwoChecksAndInAfterOne(t *testing.T) {
	checking(t, func(registry *Registry, prober *fakeProber) {
		endpoint := endpointAt("a", 1)
		registry.Join(endpoint)
		synctest.Wait()
		prober.set(prober.down, endpoint.Address(), true)
		want := func(after time.Duration, state State) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := stateOf(registry, endpoint); got != state {
				t.Errorf("%s, want %s", got, state)
			}
		}
		want(time.Second, StateHealthy)
		want(time.Second, StateUnhealthy)
		prober.set(prober.down, endpoint.Address(), false)
		want(time.Second, StateHealthy)
	})
}

func TestChecker_endpointHangs_isOutWithinThreeSeconds(t *testing.T) {
	checking(t, func(registry *Registry, prober *fakeProber) {
		endpoint := endpointAt("a", 1)
		registry.Join(endpoint)
		synctest.Wait()
		time.Sleep(time.Second + time.Millisecond) // just after a check, the worst moment
		prober.set(prober.hangs, endpoint.Address(), true)
		time.Sleep(2600 * time.Millisecond)
		synctest.Wait()
		if state := stateOf(registry, endpoint); state != StateUnhealthy {
			t.Errorf("still %s", state)
		}
	})
}

func TestChecker_endpointLeaves_isNoLongerChecked(t *testing.T) {
	checking(t, func(registry *Registry, prober *fakeProber) {
		endpoint := endpointAt("a", 1)
		ticket := registry.Join(endpoint)
		synctest.Wait()
		registry.Leave(endpoint.Key(), ticket, CauseWithdrawn)
		synctest.Wait()
		before := prober.count(prober.checks, endpoint.Address())
		time.Sleep(time.Minute)
		if after := prober.count(prober.checks, endpoint.Address()); after != before || before == 0 {
			t.Errorf("%d checks, then %d", before, after)
		}
		if open := prober.count(prober.open, endpoint.Address()); open != 0 {
			t.Errorf("%d probes open", open)
		}
	})
}

func TestChecker_endpointMoves_isCheckedAtItsNewAddress(t *testing.T) {
	checking(t, func(registry *Registry, prober *fakeProber) {
		old, moved := endpointAt("a", 1), endpointAt("a", 2)
		prober.set(prober.down, old.Address(), true)
		registry.Join(old)
		time.Sleep(2 * time.Second)
		registry.Join(moved)
		synctest.Wait()
		if state := stateOf(registry, moved); state != StateHealthy {
			t.Errorf("%s", state)
		}
		if open := prober.count(prober.open, old.Address()); open != 0 {
			t.Errorf("%d probes of the old address open", open)
		}
	})
}

// The history holds 64 changes; a checker that was kept busy past them must still know every endpoint.
func TestChecker_slowerThanTheHistory_beginsAgain(t *testing.T) {
	checking(t, func(registry *Registry, prober *fakeProber) {
		for port := range uint16(200) {
			registry.Join(endpointAt(string(rune('A'+port)), port+1))
		}
		synctest.Wait()
		for port := range uint16(200) {
			if state := stateOf(registry, endpointAt(string(rune('A'+port)), port+1)); state != StateHealthy {
				t.Fatalf("endpoint %d is %s", port, state)
			}
		}
	})
}
