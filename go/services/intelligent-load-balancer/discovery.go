package main

import (
	"context"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/config"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
)

// maxRequestedNames bounds the empty assignments that are kept because a client asked for an unknown service.
const maxRequestedNames = 4096

// Discovery serves endpoint assignments to Envoy by xDS: EDS over ADS, state of the world and delta. A resource has the
// name of its service.
type Discovery struct {
	discovery.UnsafeAggregatedDiscoveryServiceServer

	cache   *cache.LinearCache
	world   sotw.Server
	delta   delta.Server
	name    *regexp.Regexp
	streams atomic.Int64
	// settled is closed when the leases have had time to come back after a start.
	settled chan struct{}

	mu    sync.Mutex
	known map[string]bool // resources in the cache
}

var (
	_ discovery.AggregatedDiscoveryServiceServer = (*Discovery)(nil)
	_ Audience                                   = (*Discovery)(nil)
)

// NewDiscovery serves streams until the context ends. Version numbers carry the moment of the start, so that none of an
// earlier process is taken for one of this.
//
// settle is how long after the start a client that already has endpoints waits for news. The leases need that long to
// come back: told of the first of them only, Envoy would lay everybody's load on it, while the endpoints that Envoy
// holds still serve. A client that has none is answered at once.
func NewDiscovery(ctx context.Context, clock Clock, settle time.Duration) *Discovery {
	d := &Discovery{
		cache:   cache.NewLinearCache(resource.EndpointType, cache.WithVersionPrefix(clock.Now().UTC().Format("20060102T150405.000000-"))),
		name:    regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`),
		settled: make(chan struct{}),
		known:   map[string]bool{},
	}
	clock.AfterFunc(settle, func() { close(d.settled) })
	// An EDS client that asks for no resource wants none; only LDS and CDS know the legacy wildcard.
	noWildcard := config.DeactivateLegacyWildcard()
	d.world = sotw.NewServer(ctx, d.cache, onlyEndpoints{}, noWildcard)
	d.delta = delta.NewServer(ctx, d.cache, onlyEndpoints{}, noWildcard)
	return d
}

// Update puts the assignments in the cache, from which every stream that asked for them is answered.
func (d *Discovery) Update(assignments map[string]Assignment) error {
	resources := make(map[string]types.Resource, len(assignments))
	for service, assignment := range assignments {
		resources[service] = toClusterLoadAssignment(assignment)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for service := range resources {
		d.known[service] = true
	}
	return d.cache.UpdateResources(resources, nil)
}

// Streams is how many xDS streams are open.
func (d *Discovery) Streams() int64 { return d.streams.Load() }

// StreamAggregatedResources is ADS, state of the world.
func (d *Discovery) StreamAggregatedResources(stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	d.streams.Add(1)
	defer d.streams.Add(-1)
	return d.world.StreamHandler(&worldStream{AggregatedDiscoveryService_StreamAggregatedResourcesServer: stream, discovery: d}, resource.AnyType)
}

// DeltaAggregatedResources is ADS, incremental.
func (d *Discovery) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	d.streams.Add(1)
	defer d.streams.Add(-1)
	return d.delta.DeltaStreamHandler(&deltaStream{AggregatedDiscoveryService_DeltaAggregatedResourcesServer: stream, discovery: d}, resource.AnyType)
}

// worldStream prepares each request of a state-of-the-world stream before the cache sees it.
type worldStream struct {
	discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer
	discovery *Discovery
	begun     bool
}

// Recv is called by one goroutine only.
func (s *worldStream) Recv() (*discovery.DiscoveryRequest, error) {
	request, err := s.AggregatedDiscoveryService_StreamAggregatedResourcesServer.Recv()
	if err != nil {
		return nil, err
	}
	if !s.begun && request.GetVersionInfo() != "" {
		err = s.discovery.settle(s.Context())
	}
	s.begun = true
	s.discovery.expect(request.GetResourceNames())
	return request, err
}

// deltaStream prepares each request of an incremental stream before the cache sees it.
type deltaStream struct {
	discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	discovery *Discovery
}

// Recv is called by one goroutine only.
func (s *deltaStream) Recv() (*discovery.DeltaDiscoveryRequest, error) {
	request, err := s.AggregatedDiscoveryService_DeltaAggregatedResourcesServer.Recv()
	if err != nil {
		return nil, err
	}
	if len(request.GetInitialResourceVersions()) > 0 { // only ever in the first request of a stream
		err = s.discovery.settle(s.Context())
	}
	s.discovery.expect(request.GetResourceNamesSubscribe())
	return request, err
}

// settle waits until the leases have had time to come back.
func (d *Discovery) settle(ctx context.Context) error {
	select {
	case <-d.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expect makes an empty assignment for each service that the registry has not heard of, so that Envoy need not wait out
// its initial_fetch_timeout to learn that there are no endpoints.
func (d *Discovery) expect(services []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	unknown := map[string]types.Resource{}
	for _, service := range services {
		if !d.known[service] && d.name.MatchString(service) && len(d.known) < maxRequestedNames {
			unknown[service] = toClusterLoadAssignment(Assignment{Service: service})
			d.known[service] = true
		}
	}
	if len(unknown) == 0 {
		return
	}
	// The cache can only fail to marshal, and these hold nothing but a name that is plain ASCII.
	_ = d.cache.UpdateResources(unknown, nil)
}
