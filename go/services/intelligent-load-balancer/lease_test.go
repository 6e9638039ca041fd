package main

import (
	"errors"
	"testing"
	"time"
)

const testTTL = 3 * time.Second

func newLeases(t *testing.T) (*fakeClock, *Leases) {
	t.Helper()
	clock := newFakeClock()
	return clock, &Leases{Registry: NewRegistry(clock, nil, 64), Clock: clock, TTL: testTTL}
}

func over(lease *Lease) bool {
	select {
	case <-lease.Ended():
		return true
	default:
		return false
	}
}

// lastChange is the registry's latest change.
func lastChange(t *testing.T, registry *Registry) Change {
	t.Helper()
	return changesSince(t, registry, mark(registry)-1)[0]
}

func TestLease_renewedInTime_lives(t *testing.T) {
	clock, leases := newLeases(t)
	lease := leases.Open(endpointAt("a", 1))
	for range 10 {
		clock.advance(testTTL - time.Millisecond)
		if err := lease.Renew(Utilisation{CPU: 0.25}); err != nil {
			t.Fatal(err)
		}
	}
	status, ok := leases.Registry.Get(Key{"echo", "a"})
	if !ok || over(lease) || status.Utilisation == nil || status.Utilisation.CPU != 0.25 {
		t.Fatalf("got %+v", status)
	}
}

func TestLease_silentForItsTTL_isLost(t *testing.T) {
	clock, leases := newLeases(t)
	lease := leases.Open(endpointAt("a", 1))
	clock.advance(testTTL - time.Nanosecond)
	if over(lease) {
		t.Fatal("ended before its ttl")
	}
	clock.advance(time.Nanosecond)
	if !over(lease) || !errors.Is(lease.Err(), &Error{Kind: KindLeaseExpired}) {
		t.Fatalf("err %v", lease.Err())
	}
	if change := lastChange(t, leases.Registry); !change.Removed || change.Cause != CauseLeaseLost {
		t.Fatalf("got %+v", change)
	}
	if err := lease.Renew(Utilisation{}); !errors.Is(err, &Error{Kind: KindLeaseExpired}) {
		t.Fatalf("renewed after its end: %v", err)
	}
}

func TestLease_endedByItsHolder_leavesWithTheCauseAtOnce(t *testing.T) {
	for cause, end := range map[Cause]func(*Lease){CauseWithdrawn: (*Lease).Withdraw, CauseLeaseLost: (*Lease).Break} {
		clock, leases := newLeases(t)
		lease := leases.Open(endpointAt("a", 1))
		end(lease)
		change := lastChange(t, leases.Registry)
		if !change.Removed || change.Cause != cause || lease.Err() != nil {
			t.Errorf("got %+v, err %v", change, lease.Err())
		}
		before := mark(leases.Registry)
		lease.Break()
		clock.advance(time.Hour)
		if mark(leases.Registry) != before {
			t.Error("an ended lease ended again")
		}
	}
}

func TestLease_sameInstanceRegistersAgain_supersedesWithoutAGap(t *testing.T) {
	clock, leases := newLeases(t)
	first := leases.Open(endpointAt("a", 1))
	leases.Registry.SetState(endpointAt("a", 1), StateHealthy)
	before := mark(leases.Registry)
	clock.advance(testTTL / 2)
	second := leases.Open(endpointAt("a", 1))
	if !over(first) || !errors.Is(first.Err(), &Error{Kind: KindLeaseSuperseded}) || over(second) {
		t.Fatalf("first: %v, second over: %v", first.Err(), over(second))
	}
	first.Break() // its stream breaks only now
	clock.advance(testTTL - time.Nanosecond)
	if mark(leases.Registry) != before || second.State() != StateHealthy {
		t.Fatalf("recorded %+v, state %s", changesSince(t, leases.Registry, before), second.State())
	}
	second.Withdraw()
	if change := lastChange(t, leases.Registry); !change.Removed || change.Cause != CauseWithdrawn {
		t.Fatalf("got %+v", change)
	}
}

// A timer that has fired waits for the lock while a renewal holds it; the lease must survive that.
func TestLease_renewalOvertakesAFiredTimer_lives(t *testing.T) {
	clock, leases := newLeases(t)
	lease := leases.Open(endpointAt("a", 1))
	clock.advance(testTTL - time.Nanosecond)
	if err := lease.Renew(Utilisation{}); err != nil {
		t.Fatal(err)
	}
	lease.expire()
	if over(lease) {
		t.Fatal("the late timer ended a renewed lease")
	}
	clock.advance(testTTL)
	if !over(lease) {
		t.Fatal("the lease outlived its ttl")
	}
}
