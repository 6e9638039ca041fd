package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAssign_services_haveTheirCheckedEndpointsByZone(t *testing.T) {
	status := func(instance, zone string, port uint16, state State) Status {
		endpoint := endpointAt(instance, port)
		endpoint.Zone = zone
		return Status{Endpoint: endpoint, State: state}
	}
	statuses := []Status{
		status("a", "z2", 1, StateHealthy),
		status("b", "z1", 2, StateUnhealthy),
		status("c", "z1", 3, StateHealthy),
		status("d", "z1", 4, StatePending),
	}
	assignments := assign(statuses, []string{"echo", "empty"})
	var got []string
	for _, member := range assignments["echo"].Members {
		got = append(got, member.Endpoint.Instance)
	}
	if !slices.Equal(got, []string{"b", "c", "a"}) {
		t.Errorf("members %v", got)
	}
	if members := assignments["echo"].Members; members[0].Healthy || !members[1].Healthy {
		t.Errorf("health %+v", members)
	}
	if empty, ok := assignments["empty"]; !ok || len(empty.Members) != 0 || empty.Service != "empty" {
		t.Errorf("a service without endpoints: %+v, %t", empty, ok)
	}
}

func TestClusterLoadAssignment_carriesHealthWeightAndLocality(t *testing.T) {
	near, far := endpointAt("a", 1), endpointAt("b", 2)
	near.Zone, far.Zone = "near", "zfar"
	message := toClusterLoadAssignment(Assignment{Service: "echo", Members: []Member{{near, true}, {far, false}}})
	if message.GetClusterName() != "echo" || len(message.GetEndpoints()) != 2 {
		t.Fatalf("got %v", message)
	}
	for i, want := range []struct {
		zone   string
		port   uint32
		health string
	}{{"near", 1, "HEALTHY"}, {"zfar", 2, "UNHEALTHY"}} {
		locality := message.GetEndpoints()[i]
		endpoint := locality.GetLbEndpoints()[0]
		address := endpoint.GetEndpoint().GetAddress().GetSocketAddress()
		if locality.GetLocality().GetZone() != want.zone || locality.GetPriority() != 0 || address.GetAddress() != "127.0.0.1" ||
			address.GetPortValue() != want.port || endpoint.GetHealthStatus().String() != want.health || endpoint.GetLoadBalancingWeight().GetValue() != 1 {
			t.Errorf("got %v, want %+v", locality, want)
		}
	}
	if factor := message.GetPolicy().GetOverprovisioningFactor().GetValue(); factor != overprovisioning {
		t.Errorf("overprovisioning factor %d", factor)
	}
	if err := message.ValidateAll(); err != nil {
		t.Error(err)
	}
}

// fakeAudience notes what it is told and when.
type fakeAudience struct {
	mu      sync.Mutex
	updates []map[string]Assignment
	at      []time.Time
}

func (a *fakeAudience) Update(assignments map[string]Assignment) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updates = append(a.updates, assignments)
	a.at = append(a.at, time.Now())
	return nil
}

func (a *fakeAudience) told() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.updates)
}

// publishing runs a publisher in a bubble of synthetic time.
func publishing(t *testing.T, seeds []Endpoint, body func(*Registry, *fakeAudience)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		registry, audience := NewRegistry(SystemClock{}, seeds, 64), &fakeAudience{}
		publisher := &Publisher{Registry: registry, Clock: SystemClock{}, Audience: audience, Coalesce: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { publisher.Run(ctx) })
		synctest.Wait()
		body(registry, audience)
		cancel()
		running.Wait()
	})
}

func TestPublisher_start_publishesSeededServicesAtOnce(t *testing.T) {
	publishing(t, []Endpoint{seedAt(1)}, func(_ *Registry, audience *fakeAudience) {
		if audience.told() != 1 {
			t.Fatalf("%d updates", audience.told())
		}
		if assignment, ok := audience.updates[0]["echo"]; !ok || len(assignment.Members) != 0 {
			t.Errorf("got %+v", audience.updates[0])
		}
	})
}

func TestPublisher_burstOfChanges_goesOutOnceWithin50ms(t *testing.T) {
	publishing(t, nil, func(registry *Registry, audience *fakeAudience) {
		start := time.Now()
		for port := range uint16(10) {
			endpoint := endpointAt(string(rune('a'+port)), port+1)
			registry.Join(endpoint)
			registry.SetState(endpoint, StateHealthy)
			time.Sleep(4 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if audience.told() != 1 || audience.at[0].Sub(start) > 50*time.Millisecond {
			t.Fatalf("%d updates, at %v", audience.told(), audience.at)
		}
		if members := audience.updates[0]["echo"].Members; len(members) != 10 {
			t.Errorf("%d members", len(members))
		}
	})
}

func TestPublisher_changeThatEnvoyWouldNotSee_isNotPublished(t *testing.T) {
	publishing(t, nil, func(registry *Registry, audience *fakeAudience) {
		registry.Join(Endpoint{Service: "other", Instance: "o", Host: "127.0.0.1", Port: 9})
		time.Sleep(time.Second)
		before := audience.told() // the service itself was new
		registry.Join(endpointAt("a", 1))
		time.Sleep(time.Second)
		registry.Join(endpointAt("b", 2)) // pending, like the first
		time.Sleep(time.Second)
		if audience.told() != before+1 {
			t.Fatalf("%d updates, %d before", audience.told(), before)
		}
		if _, ok := audience.updates[before]["other"]; ok || len(audience.updates[before]) != 1 {
			t.Errorf("got %+v, want service echo alone", audience.updates[before])
		}
	})
}

func TestPublisher_lastEndpointLeaves_publishesAnEmptyAssignment(t *testing.T) {
	publishing(t, nil, func(registry *Registry, audience *fakeAudience) {
		endpoint := endpointAt("a", 1)
		ticket := registry.Join(endpoint)
		registry.SetState(endpoint, StateHealthy)
		time.Sleep(time.Second)
		registry.Leave(endpoint.Key(), ticket, CauseLeaseLost)
		time.Sleep(time.Second)
		last := audience.updates[audience.told()-1]
		if assignment, ok := last["echo"]; !ok || len(assignment.Members) != 0 {
			t.Errorf("got %+v", last)
		}
	})
}
