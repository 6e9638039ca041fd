package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Prober opens probes.
type Prober interface {
	// Open makes a probe of the endpoint at address, host:port; it connects with the first check.
	Open(address string) (Probe, error)
}

// Probe asks one endpoint, again and again, whether it serves. Not safe for concurrent use.
type Probe interface {
	// Check returns nil where the endpoint answers within the context's deadline that it serves.
	Check(ctx context.Context) error
	// Close frees the connection.
	Close()
}

// Thresholds say how many health checks in a row change an endpoint's state.
type Thresholds struct {
	Out int // failures until it takes no more calls, at least 1
	In  int // successes until it takes calls, at least 1
}

// streak counts checks of one outcome in a row.
type streak struct {
	healthy bool
	length  int
}

// observe counts a check and returns the state that follows from it, or present where nothing follows yet.
func (s *streak) observe(thresholds Thresholds, present State, healthy bool) State {
	if s.length == 0 || s.healthy != healthy {
		*s = streak{healthy: healthy}
	}
	s.length++
	switch {
	case healthy && s.length >= thresholds.In:
		return StateHealthy
	case !healthy && s.length >= thresholds.Out:
		return StateUnhealthy
	}
	return present
}

// Checker checks the health of every endpoint of the registry and writes its findings there.
type Checker struct {
	Registry   *Registry
	Clock      Clock
	Prober     Prober
	Interval   time.Duration // from the beginning of one check of an endpoint to that of the next
	Timeout    time.Duration // a check that takes longer has failed
	Thresholds Thresholds
	Log        *slog.Logger
}

// Run checks until the context ends: each endpoint at once when it appears, then at every interval.
func (c *Checker) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	checks := map[Key]context.CancelFunc{}
	targets := map[Key]Endpoint{}
	stop := func(key Key) {
		if cancel, ok := checks[key]; ok {
			cancel()
			delete(checks, key)
			delete(targets, key)
		}
	}
	apply := func(change Change) {
		endpoint := change.Status.Endpoint
		key := endpoint.Key()
		if change.Removed {
			stop(key)
			return
		}
		if present, ok := targets[key]; ok && present == endpoint {
			return
		}
		stop(key)
		checking, cancel := context.WithCancel(ctx)
		checks[key], targets[key] = cancel, endpoint
		running.Go(func() { c.check(checking, endpoint) })
	}
	follow(ctx, c.Registry, apply, func() {
		for key := range checks {
			stop(key)
		}
	})
	for key := range checks {
		stop(key)
	}
}

// check checks one endpoint until the context ends.
func (c *Checker) check(ctx context.Context, endpoint Endpoint) {
	log := c.Log.With("endpoint_service", endpoint.Service, "endpoint_instance", endpoint.Instance, "address", endpoint.Address())
	probe, err := c.Prober.Open(endpoint.Address())
	if err != nil {
		log.Error("endpoint cannot be checked", "cause", err)
		c.Registry.SetState(endpoint, StateUnhealthy)
		return
	}
	defer probe.Close()
	var streak streak
	for {
		begun := c.Clock.Now()
		probing, cancel := context.WithTimeout(ctx, c.Timeout)
		err := probe.Check(probing)
		cancel()
		if ctx.Err() != nil {
			return
		}
		status, ok := c.Registry.Get(endpoint.Key())
		if ok && status.Endpoint == endpoint {
			state := streak.observe(c.Thresholds, status.State, err == nil)
			if state != status.State {
				log.Info("endpoint state changed", "from", status.State.String(), "to", state.String(), "cause", err)
				c.Registry.SetState(endpoint, state)
			}
		}
		if pause(ctx, c.Clock, c.Interval-c.Clock.Now().Sub(begun)) != nil {
			return
		}
	}
}

// follow applies the present state and then every change until the context ends. A follower that was too slow for the
// history begins again, after restart.
func follow(ctx context.Context, registry *Registry, apply func(Change), restart func()) {
	for {
		state, last := registry.Present()
		for _, change := range state {
			apply(change)
		}
		for {
			changes, err := registry.Next(ctx, last)
			if err != nil {
				break
			}
			for _, change := range changes {
				apply(change)
				last = change.Sequence
			}
		}
		if ctx.Err() != nil {
			return
		}
		restart()
	}
}
