package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// endpointAt makes an endpoint of service echo on loopback.
func endpointAt(instance string, port uint16) Endpoint {
	return Endpoint{Service: "echo", Instance: instance, Host: "127.0.0.1", Port: port}
}

// changesSince returns what the registry recorded after the number, in order.
func changesSince(t *testing.T, registry *Registry, after uint64) []Change {
	t.Helper()
	registry.mu.Lock()
	defer registry.mu.Unlock()
	changes, err := registry.history.since(after)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func mark(registry *Registry) uint64 {
	_, last := registry.Present()
	return last
}

func TestRegistry_newEndpoint_isPendingUntilChecked(t *testing.T) {
	clock := newFakeClock()
	registry := NewRegistry(clock, nil, 16)
	endpoint := endpointAt("a", 1)
	registry.Join(endpoint)
	if status, ok := registry.Get(endpoint.Key()); !ok || status.State != StatePending || !status.Since.Equal(clock.Now()) {
		t.Fatalf("got %+v", status)
	}
	clock.advance(time.Second)
	registry.SetState(endpoint, StateHealthy)
	if status, _ := registry.Get(endpoint.Key()); status.State != StateHealthy || !status.Since.Equal(clock.Now()) {
		t.Fatalf("got %+v", status)
	}
}

func TestRegistry_sameAddressJoinsAgain_keepsHealthWithoutAChange(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	endpoint := endpointAt("a", 1)
	first := registry.Join(endpoint)
	registry.SetState(endpoint, StateHealthy)
	before := mark(registry)
	second := registry.Join(endpoint)
	if changes := changesSince(t, registry, before); len(changes) != 0 {
		t.Fatalf("recorded %+v", changes)
	}
	if registry.Leave(endpoint.Key(), first, CauseLeaseLost) {
		t.Fatal("the first registration still held the endpoint")
	}
	if status, ok := registry.Get(endpoint.Key()); !ok || status.State != StateHealthy {
		t.Fatalf("got %+v", status)
	}
	if !registry.Leave(endpoint.Key(), second, CauseWithdrawn) {
		t.Fatal("the second registration did not hold the endpoint")
	}
}

func TestRegistry_otherAddressJoinsAgain_isCheckedAnew(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	old, moved := endpointAt("a", 1), endpointAt("a", 2)
	registry.Join(old)
	registry.SetState(old, StateHealthy)
	registry.Join(moved)
	registry.SetState(old, StateHealthy) // a check of the old address that ends late
	if status, _ := registry.Get(moved.Key()); status.State != StatePending || status.Endpoint != moved {
		t.Fatalf("got %+v", status)
	}
}

func TestRegistry_list_isOrderedAndFiltered(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	for _, key := range []Key{{"b", "2"}, {"a", "9"}, {"b", "1"}} {
		registry.Join(Endpoint{Service: key.Service, Instance: key.Instance, Host: "127.0.0.1", Port: 1})
	}
	keys := func(statuses []Status) (keys []Key) {
		for _, status := range statuses {
			keys = append(keys, status.Endpoint.Key())
		}
		return keys
	}
	if got := keys(registry.List("")); !slices.Equal(got, []Key{{"a", "9"}, {"b", "1"}, {"b", "2"}}) {
		t.Fatalf("got %v", got)
	}
	if got := keys(registry.List("b")); !slices.Equal(got, []Key{{"b", "1"}, {"b", "2"}}) {
		t.Fatalf("got %v", got)
	}
}

func TestRegistry_report_showsInTheStatusButIsNoChange(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	endpoint := endpointAt("a", 1)
	ticket := registry.Join(endpoint)
	before := mark(registry)
	handedOut, _ := registry.Get(endpoint.Key())
	if !registry.Report(endpoint.Key(), ticket, Utilisation{CPU: 0.5}) || registry.Report(endpoint.Key(), ticket+1, Utilisation{CPU: 0.9}) {
		t.Fatal("a report counts with the ticket alone")
	}
	if status, _ := registry.Get(endpoint.Key()); status.Utilisation == nil || status.Utilisation.CPU != 0.5 || handedOut.Utilisation != nil {
		t.Fatalf("got %+v, handed out before: %+v", status, handedOut)
	}
	if changes := changesSince(t, registry, before); len(changes) != 0 {
		t.Fatalf("recorded %+v", changes)
	}
}

func TestRegistry_present_breaksOffAnywhereAndResumesWithoutLoss(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 64)
	for port, instance := range []string{"a", "b", "c", "d"} {
		registry.Join(endpointAt(instance, uint16(port+1)))
	}
	registry.SetState(endpointAt("b", 2), StateHealthy)
	state, last := registry.Present()
	for cut := 1; cut <= len(state); cut++ {
		known := map[Key]State{}
		for _, change := range state[:cut] {
			known[change.Status.Endpoint.Key()] = change.Status.State
		}
		for _, change := range changesSince(t, registry, state[cut-1].Sequence) {
			known[change.Status.Endpoint.Key()] = change.Status.State
		}
		if len(known) != 4 || known[Key{"echo", "b"}] != StateHealthy {
			t.Fatalf("cut after %d of %d: knew %v", cut, len(state), known)
		}
	}
	if last != state[len(state)-1].Sequence {
		t.Fatalf("last is %d, the state ends with %d", last, state[len(state)-1].Sequence)
	}
}

func TestRegistry_next_waitsForAChange(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	last := mark(registry)
	got := make(chan []Change)
	go func() {
		changes, _ := registry.Next(context.Background(), last)
		got <- changes
	}()
	registry.Join(endpointAt("a", 1))
	changes := <-got
	if len(changes) != 1 || changes[0].Sequence != last+1 || changes[0].Status.Endpoint.Instance != "a" {
		t.Fatalf("got %+v", changes)
	}
}

func TestRegistry_next_endsWithTheContext(t *testing.T) {
	registry := NewRegistry(newFakeClock(), nil, 16)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := registry.Next(ctx, mark(registry)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestHistory_resumeOutsideWhatIsKept_isExpired(t *testing.T) {
	clock := newFakeClock()
	registry := NewRegistry(clock, nil, 3)
	start := mark(registry)
	for port := range uint16(5) {
		registry.Join(endpointAt(string(rune('a'+port)), port+1))
	}
	for after, want := range map[uint64]int{start + 2: 3, start + 4: 1, start + 5: 0} {
		if changes := changesSince(t, registry, after); len(changes) != want {
			t.Errorf("after %d: %d changes, want %d", after-start, len(changes), want)
		}
	}
	for _, after := range []uint64{0, 1, start, start + 1, start + 6, ^uint64(0)} {
		_, err := registry.Next(testContext(t), after)
		var expired *Error
		if !errors.As(err, &expired) || expired.Kind != KindSequenceExpired || expired.Oldest != start+3 {
			t.Errorf("after %d: got %v", after, err)
		}
	}
}

func TestHistory_numbers_riseAcrossRestartsAndStayExactInJavaScript(t *testing.T) {
	clock := newFakeClock()
	first := NewRegistry(clock, nil, 4)
	for port := range uint16(1000) {
		first.Join(endpointAt("a", port+1))
	}
	last := mark(first)
	clock.advance(time.Second)
	second := NewRegistry(clock, nil, 4)
	if _, err := second.Next(context.Background(), last); !errors.Is(err, &Error{Kind: KindSequenceExpired}) {
		t.Fatalf("a number of the former process was taken for one of this: %v", err)
	}
	if mark(second) <= last || mark(second) >= 1<<53 {
		t.Fatalf("numbers go from %d to %d", last, mark(second))
	}
}
