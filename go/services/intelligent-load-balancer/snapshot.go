package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// Member is one endpoint of an assignment, as Envoy shall see it.
type Member struct {
	Endpoint Endpoint
	Healthy  bool
}

// Assignment is all that Envoy shall know of a service: its members by zone and instance. Pending endpoints are left
// out, because nobody knows yet whether they serve.
type Assignment struct {
	Service string
	Members []Member
}

// equal reports whether Envoy would see no difference.
func (a Assignment) equal(other Assignment) bool {
	return a.Service == other.Service && slices.Equal(a.Members, other.Members)
}

// assign groups the endpoints by service. Every service named is there, without members where it has no endpoint: an
// empty assignment is what makes Envoy's aggregate cluster fall to its static member at once.
func assign(endpoints []Status, services []string) map[string]Assignment {
	assignments := make(map[string]Assignment, len(services))
	for _, service := range services {
		assignments[service] = Assignment{Service: service}
	}
	for _, status := range withoutShadowed(endpoints) {
		if status.State == StatePending {
			continue
		}
		assignment := assignments[status.Endpoint.Service]
		assignment.Service = status.Endpoint.Service
		assignment.Members = append(assignment.Members, Member{Endpoint: status.Endpoint, Healthy: status.State == StateHealthy})
		assignments[assignment.Service] = assignment
	}
	for _, assignment := range assignments {
		slices.SortFunc(assignment.Members, func(a, b Member) int {
			return cmp.Or(cmp.Compare(a.Endpoint.Zone, b.Endpoint.Zone), a.Endpoint.Key().Compare(b.Endpoint.Key()))
		})
	}
	return assignments
}

// Audience receives what changed of the assignments.
type Audience interface {
	// Update replaces the assignments of the services given and leaves the others as they are.
	Update(assignments map[string]Assignment) error
}

// Publisher keeps an audience up to date with the registry.
type Publisher struct {
	Registry *Registry
	Clock    Clock
	Audience Audience
	Coalesce time.Duration // changes within this time after the first one go out together
	Log      *slog.Logger
}

// Run publishes the present state at once, and then every change within Coalesce, until the context ends.
func (p *Publisher) Run(ctx context.Context) {
	published := map[string]Assignment{}
	for {
		_, last := p.Registry.Present()
		changed := map[string]Assignment{}
		for service, assignment := range assign(p.Registry.List(""), p.services(published)) {
			if before, ok := published[service]; !ok || !before.equal(assignment) {
				changed[service], published[service] = assignment, assignment
			}
		}
		if len(changed) > 0 {
			if err := p.Audience.Update(changed); err != nil {
				p.Log.Error("endpoints could not be published", "error", err)
			}
		}
		// That the history was too short to tell what changed does not matter: the whole state is compared.
		_, _ = p.Registry.Next(ctx, last)
		if pause(ctx, p.Clock, p.Coalesce) != nil {
			return
		}
	}
}

// services names every service that has endpoints or seeds now, or had some before.
func (p *Publisher) services(published map[string]Assignment) []string {
	services := p.Registry.Services()
	for service := range published {
		services = append(services, service)
	}
	return services
}
