package main

import (
	"testing"
)

func seedAt(port uint16) Endpoint {
	return newSeed("echo", "127.0.0.1", port)
}

// origins counts the endpoints of service echo by origin.
func origins(registry *Registry) (leased, seeded int) {
	for _, status := range registry.List("echo") {
		if status.Origin == OriginLease {
			leased++
		} else {
			seeded++
		}
	}
	return leased, seeded
}

func TestSeeds_serviceWithoutLease_areThereFromTheStart(t *testing.T) {
	registry := NewRegistry(newFakeClock(), []Endpoint{seedAt(1), seedAt(2)}, 16)
	if leased, seeded := origins(registry); leased != 0 || seeded != 2 {
		t.Fatalf("leased %d, seeded %d", leased, seeded)
	}
}

func TestSeeds_leaseRegisters_stayUntilItIsHealthy(t *testing.T) {
	registry := NewRegistry(newFakeClock(), []Endpoint{seedAt(1), seedAt(2)}, 32)
	endpoint := endpointAt("a", 1)
	registry.Join(endpoint)
	if leased, seeded := origins(registry); leased != 1 || seeded != 2 {
		t.Fatalf("pending: leased %d, seeded %d", leased, seeded)
	}
	before := mark(registry)
	registry.SetState(endpoint, StateHealthy)
	if leased, seeded := origins(registry); leased != 1 || seeded != 0 {
		t.Fatalf("healthy: leased %d, seeded %d", leased, seeded)
	}
	for _, change := range changesSince(t, registry, before)[1:] {
		if !change.Removed || change.Cause != CauseSuperseded || change.Status.Origin != OriginSeed {
			t.Errorf("got %+v", change)
		}
	}
}

func TestSeeds_leaseTurnsUnhealthy_doNotReturn(t *testing.T) {
	registry := NewRegistry(newFakeClock(), []Endpoint{seedAt(1)}, 32)
	endpoint := endpointAt("a", 1)
	registry.Join(endpoint)
	registry.SetState(endpoint, StateHealthy)
	registry.SetState(endpoint, StateUnhealthy)
	if leased, seeded := origins(registry); leased != 1 || seeded != 0 {
		t.Fatalf("leased %d, seeded %d", leased, seeded)
	}
}

func TestSeeds_lastLeaseEnds_returnUnchecked(t *testing.T) {
	registry := NewRegistry(newFakeClock(), []Endpoint{seedAt(1)}, 32)
	first, second := endpointAt("a", 1), endpointAt("b", 2)
	firstTicket, secondTicket := registry.Join(first), registry.Join(second)
	registry.SetState(first, StateHealthy)
	registry.Leave(first.Key(), firstTicket, CauseLeaseLost)
	if _, seeded := origins(registry); seeded != 0 {
		t.Fatalf("seeded %d while a lease is left", seeded)
	}
	registry.Leave(second.Key(), secondTicket, CauseWithdrawn)
	statuses := registry.List("echo")
	if len(statuses) != 1 || statuses[0].Origin != OriginSeed || statuses[0].State != StatePending {
		t.Fatalf("got %+v", statuses)
	}
}

func TestWithoutShadowed_checkedLeaseAtASeedsAddress_hidesTheSeed(t *testing.T) {
	seed := Status{Endpoint: seedAt(1), Origin: OriginSeed, State: StateHealthy}
	lease := Status{Endpoint: endpointAt("a", 1), Origin: OriginLease}
	for state, want := range map[State]int{StatePending: 2, StateHealthy: 1, StateUnhealthy: 1} {
		lease.State = state
		if got := withoutShadowed([]Status{seed, lease}); len(got) != want {
			t.Errorf("lease %s: %d left, want %d", state, len(got), want)
		}
	}
	lease.State, lease.Endpoint.Port = StateHealthy, 2
	if got := withoutShadowed([]Status{seed, lease}); len(got) != 2 {
		t.Errorf("lease elsewhere: %d left, want 2", len(got))
	}
}
