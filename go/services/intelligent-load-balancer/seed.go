package main

import (
	"fmt"
	"slices"
	"strings"
)

// newSeed is the endpoint that the catalogue expects at an address. Its instance is made of the address, in the
// characters that an instance may have.
func newSeed(service, host string, port uint16) Endpoint {
	instance := fmt.Sprintf("seed-%s-%d", strings.ReplaceAll(host, ":", "-"), port)
	return Endpoint{Service: service, Instance: instance, Host: host, Port: port}
}

// settleSeeds keeps the rule of the catalogue's seeds for one service; the lock is held.
//
// A seed says where a service should be, a lease says where it is. Seeds therefore matter only for a service that has
// no lease yet: one that was not built with the kit, or one whose leases have not come back after the balancer's
// restart. They leave when the first leased endpoint becomes healthy, not when it registers, so that the service has no
// moment without a healthy endpoint, and they return when the last lease has ended. They are checked like any endpoint,
// so a seed where nobody serves takes no calls.
func (r *Registry) settleSeeds(service string) {
	seeds := r.seeds[service]
	if len(seeds) == 0 {
		return
	}
	var leased, healthy bool
	for key, present := range r.entries {
		if key.Service == service && present.status.Origin == OriginLease {
			leased = true
			healthy = healthy || present.status.State == StateHealthy
		}
	}
	for _, seed := range seeds {
		present, there := r.entries[seed.Key()]
		switch {
		case healthy && there && present.status.Origin == OriginSeed:
			r.remove(present, CauseSuperseded)
		case !leased && !there:
			r.enter(Status{Endpoint: seed, Origin: OriginSeed}, 0)
		}
	}
}

// withoutShadowed leaves out the seeds at whose address a leased endpoint of the same service is known: while a new
// lease waits for its first check, both describe one process.
func withoutShadowed(statuses []Status) []Status {
	type place struct{ service, address string }
	leased := map[place]bool{}
	for _, status := range statuses {
		if status.Origin == OriginLease && status.State != StatePending {
			leased[place{status.Endpoint.Service, status.Endpoint.Address()}] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(statuses), func(status Status) bool {
		return status.Origin == OriginSeed && leased[place{status.Endpoint.Service, status.Endpoint.Address()}]
	})
}
