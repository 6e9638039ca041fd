package main

import (
	"context"
	"sync"
)

// key names a fact of a tenant; nobody learns of another tenant's facts.
type key struct{ tenant, name string }

// registry keeps the newest facts and lets callers wait for one. It is safe for concurrent use.
type registry[V any] struct {
	mu      sync.Mutex
	facts   map[key]V
	waiting map[key]*waiters
	recent  []key // a ring of the keys of facts, oldest at next once it is full
	next    int
}

// waiters are the callers that wait for one key.
type waiters struct {
	count int
	known chan struct{}
}

// newRegistry makes a registry that forgets all but the last keep facts.
func newRegistry[V any](keep int) *registry[V] {
	return &registry[V]{facts: map[key]V{}, waiting: map[key]*waiters{}, recent: make([]key, keep)}
}

// update sets a fact to what change makes of the present one (the zero V where there is none) and wakes who waits for it.
func (r *registry[V]) update(k key, change func(V) V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, found := r.facts[k]
	r.facts[k] = change(before)
	if !found {
		r.remember(k)
	}
	if w := r.waiting[k]; w != nil {
		close(w.known)
		delete(r.waiting, k)
	}
}

// remember puts a new key into the ring, in the place of the oldest.
func (r *registry[V]) remember(k key) {
	if oldest := r.recent[r.next]; oldest != (key{}) {
		delete(r.facts, oldest)
	}
	r.recent[r.next] = k
	r.next = (r.next + 1) % len(r.recent)
}

// await returns a fact as soon as there is one, or the error of ctx.
func (r *registry[V]) await(ctx context.Context, k key) (V, error) {
	for {
		fact, w := r.look(k)
		if w == nil {
			return fact, nil
		}
		select {
		case <-w.known:
		case <-ctx.Done():
			r.leave(k, w)
			var none V
			return none, ctx.Err()
		}
	}
}

// look returns a fact, or joins those who wait for it.
func (r *registry[V]) look(k key) (V, *waiters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fact, found := r.facts[k]
	if found {
		return fact, nil
	}
	w := r.waiting[k]
	if w == nil {
		w = &waiters{known: make(chan struct{})}
		r.waiting[k] = w
	}
	w.count++
	return fact, w
}

func (r *registry[V]) leave(k key, w *waiters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.count--
	if w.count == 0 && r.waiting[k] == w {
		delete(r.waiting, k)
	}
}
