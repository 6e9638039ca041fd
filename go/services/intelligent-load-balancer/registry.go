package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// Registry is the one place that knows every endpoint. Everything else (health checks, Envoy's snapshot, watchers,
// events) follows its numbered changes. It is held in memory alone: after a restart the leases bring it back.
// Safe for concurrent use.
type Registry struct {
	clock Clock
	seeds map[string][]Endpoint // by service; never changed after NewRegistry

	mu      sync.Mutex
	entries map[Key]*entry
	history *history
	tickets uint64
}

// entry is an endpoint as the registry holds it.
type entry struct {
	status   Status
	ticket   uint64 // which registration holds the entry; 0 for a seed
	sequence uint64 // number of its last change
}

// NewRegistry starts with the catalogue's seeds, which count only until a service has leases (see seed.go).
// historySize is the number of changes kept for watchers to resume from, at least 1.
func NewRegistry(clock Clock, seeds []Endpoint, historySize int) *Registry {
	r := &Registry{
		clock:   clock,
		seeds:   map[string][]Endpoint{},
		entries: map[Key]*entry{},
		history: newHistory(historySize, clock.Now()),
	}
	for _, seed := range seeds {
		r.seeds[seed.Service] = append(r.seeds[seed.Service], seed)
	}
	for service := range r.seeds {
		r.settleSeeds(service)
	}
	return r
}

// Join enters a leased endpoint and returns the ticket with which it is renewed and left. An instance that registers
// again, as after a broken stream, takes its own entry over: at the same address it keeps its health, so that a
// reconnecting lease costs no traffic. The former ticket is void from then on.
func (r *Registry) Join(endpoint Endpoint) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tickets++
	key := endpoint.Key()
	if present, ok := r.entries[key]; ok && present.status.Origin == OriginLease && present.status.Endpoint == endpoint {
		present.ticket = r.tickets
		return r.tickets
	}
	r.enter(Status{Endpoint: endpoint, Origin: OriginLease}, r.tickets)
	r.settleSeeds(endpoint.Service)
	return r.tickets
}

// Report notes the utilisation of a leased endpoint. It is no change: load is read where it is needed, and numbering it
// would push what watchers resume from out of the history. It reports whether the ticket was valid.
func (r *Registry) Report(key Key, ticket uint64, utilisation Utilisation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	present, ok := r.entries[key]
	if !ok || present.ticket != ticket {
		return false
	}
	present.status.Utilisation = &utilisation
	return true
}

// Leave ends a leased endpoint; a void ticket does nothing. It reports whether the ticket was valid.
func (r *Registry) Leave(key Key, ticket uint64, cause Cause) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	present, ok := r.entries[key]
	if !ok || present.ticket != ticket {
		return false
	}
	r.remove(present, cause)
	r.settleSeeds(key.Service)
	return true
}

// SetState notes the outcome of a health check of the endpoint, provided that it is still the one that was checked.
func (r *Registry) SetState(endpoint Endpoint, state State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	present, ok := r.entries[endpoint.Key()]
	if !ok || present.status.Endpoint != endpoint || present.status.State == state {
		return
	}
	before := present.status.State
	present.status.State = state
	present.status.Since = r.clock.Now()
	r.record(present, Change{Status: present.status, Before: before})
	r.settleSeeds(endpoint.Service)
}

// Get returns an endpoint's status and whether it is there.
func (r *Registry) Get(key Key) (Status, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if present, ok := r.entries[key]; ok {
		return present.status, true
	}
	return Status{}, false
}

// List returns the endpoints of a service, or of all where it is empty, ordered by key.
func (r *Registry) List(service string) []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var statuses []Status
	for _, present := range r.entries {
		if service == "" || present.status.Endpoint.Service == service {
			statuses = append(statuses, present.status)
		}
	}
	slices.SortFunc(statuses, func(a, b Status) int { return a.Endpoint.Key().Compare(b.Endpoint.Key()) })
	return statuses
}

// Present returns every endpoint as a change with the number of its own last change, rising, and the number of the last
// change of all. A watcher that breaks off midway and resumes after the number it saw last has therefore missed none.
func (r *Registry) Present() (state []Change, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, present := range r.entries {
		state = append(state, Change{Sequence: present.sequence, Status: present.status, Before: StatePending})
	}
	slices.SortFunc(state, func(a, b Change) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return state, r.history.last
}

// Next waits for changes after the given number and returns them in order, at least one.
//
// Errors: KindSequenceExpired, or the context's error.
func (r *Registry) Next(ctx context.Context, after uint64) ([]Change, error) {
	for {
		r.mu.Lock()
		changes, err := r.history.since(after)
		changed := r.history.changed
		r.mu.Unlock()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Services returns the names of the services that have endpoints or seeds, in order.
func (r *Registry) Services() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]struct{}{}
	for name := range r.seeds {
		names[name] = struct{}{}
	}
	for key := range r.entries {
		names[key.Service] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}

// enter puts a new endpoint in, in the place of one with the same key.
func (r *Registry) enter(status Status, ticket uint64) {
	status.State = StatePending
	status.Since = r.clock.Now()
	var before State
	if former, ok := r.entries[status.Endpoint.Key()]; ok {
		before = former.status.State
	}
	present := &entry{status: status, ticket: ticket}
	r.entries[status.Endpoint.Key()] = present
	r.record(present, Change{Status: status, Before: before})
}

func (r *Registry) remove(present *entry, cause Cause) {
	delete(r.entries, present.status.Endpoint.Key())
	r.record(present, Change{Status: present.status, Before: present.status.State, Removed: true, Cause: cause})
}

func (r *Registry) record(present *entry, change Change) {
	present.sequence = r.history.append(change).Sequence
}
