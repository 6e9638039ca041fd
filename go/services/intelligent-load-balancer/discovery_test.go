package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
)

// members reads an assignment as sorted lines of port and health.
func members(t *testing.T, packed *anypb.Any) (service string, lines []string) {
	t.Helper()
	message := &endpointv3.ClusterLoadAssignment{}
	if err := packed.UnmarshalTo(message); err != nil {
		t.Fatal(err)
	}
	for _, locality := range message.GetEndpoints() {
		for _, endpoint := range locality.GetLbEndpoints() {
			lines = append(lines, fmt.Sprintf("%d %s", endpoint.GetEndpoint().GetAddress().GetSocketAddress().GetPortValue(), endpoint.GetHealthStatus()))
		}
	}
	slices.Sort(lines)
	return message.GetClusterName(), lines
}

// worldClient is a state-of-the-world xDS client that acknowledges everything.
type worldClient struct {
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	names  []string
	// version is what the client says it has when it subscribes.
	version string
}

func newWorldClient(t *testing.T, connection grpc.ClientConnInterface) *worldClient {
	t.Helper()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).StreamAggregatedResources(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return &worldClient{stream: stream}
}

func (c *worldClient) subscribe(names ...string) {
	c.names = names
	c.send("", c.version)
}

func (c *worldClient) send(nonce, version string) {
	_ = c.stream.Send(&discovery.DiscoveryRequest{
		Node: &core.Node{Id: "test"}, TypeUrl: resource.EndpointType, ResourceNames: c.names, ResponseNonce: nonce, VersionInfo: version,
	}) // a failure shows in the next Recv
}

// next returns the assignments of the next response, by service.
func (c *worldClient) next(t *testing.T) map[string][]string {
	t.Helper()
	response, err := c.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	c.version = response.GetVersionInfo()
	c.send(response.GetNonce(), response.GetVersionInfo())
	assignments := map[string][]string{}
	for _, packed := range response.GetResources() {
		service, lines := members(t, packed)
		assignments[service] = lines
	}
	return assignments
}

// deltaClient is an incremental xDS client that acknowledges everything.
type deltaClient struct {
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	known  map[string]string // versions by name
}

func newDeltaClient(t *testing.T, connection grpc.ClientConnInterface, known map[string]string) *deltaClient {
	t.Helper()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return &deltaClient{stream: stream, known: known}
}

func (c *deltaClient) subscribe(names ...string) {
	_ = c.stream.Send(&discovery.DeltaDiscoveryRequest{
		Node: &core.Node{Id: "test"}, TypeUrl: resource.EndpointType, ResourceNamesSubscribe: names, InitialResourceVersions: c.known,
	})
}

func (c *deltaClient) next(t *testing.T) map[string][]string {
	t.Helper()
	response, err := c.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if c.known == nil {
		c.known = map[string]string{}
	}
	assignments := map[string][]string{}
	for _, one := range response.GetResources() {
		service, lines := members(t, one.GetResource())
		if service != one.GetName() {
			t.Errorf("resource %s holds cluster %s", one.GetName(), service)
		}
		c.known[one.GetName()] = one.GetVersion()
		assignments[service] = lines
	}
	if removed := response.GetRemovedResources(); len(removed) > 0 {
		t.Errorf("removed %v: Envoy would forget its endpoints", removed)
	}
	_ = c.stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResponseNonce: response.GetNonce()})
	return assignments
}

// xdsClient is either kind.
type xdsClient interface {
	subscribe(names ...string)
	next(t *testing.T) map[string][]string
}

func eachXDS(t *testing.T, body func(t *testing.T, dial func(t *testing.T, b *balancer) xdsClient)) {
	t.Run("state of the world", func(t *testing.T) {
		body(t, func(t *testing.T, b *balancer) xdsClient { return newWorldClient(t, b.connection) })
	})
	t.Run("delta", func(t *testing.T) {
		body(t, func(t *testing.T, b *balancer) xdsClient { return newDeltaClient(t, b.connection, nil) })
	})
}

// until reads responses until the service has the members wanted.
func until(t *testing.T, client xdsClient, service string, want ...string) {
	t.Helper()
	for {
		assignments := client.next(t)
		if lines, ok := assignments[service]; ok && slices.Equal(lines, want) {
			return
		}
	}
}

func line(b *backend, health string) string {
	return fmt.Sprintf("%d %s", b.endpoint.GetPort(), health)
}

func TestADS_unknownService_isEmptyAtOnce(t *testing.T) {
	eachXDS(t, func(t *testing.T, dial func(*testing.T, *balancer) xdsClient) {
		client := dial(t, startBalancer(t, nil))
		client.subscribe("nobody", "also-nobody")
		assignments := client.next(t)
		if lines, ok := assignments["nobody"]; !ok || len(lines) != 0 || len(assignments) != 2 {
			t.Fatalf("got %v", assignments)
		}
	})
}

func TestADS_endpointComesAndGoes_isTold(t *testing.T) {
	eachXDS(t, func(t *testing.T, dial func(*testing.T, *balancer) xdsClient) {
		b := startBalancer(t, map[string]string{"UAIT_HEALTH_INTERVAL_MS": "50"})
		client := dial(t, b)
		client.subscribe("echo-go")
		if lines := client.next(t)["echo-go"]; len(lines) != 0 {
			t.Fatalf("got %v", lines)
		}
		one, two := startBackend(t, "echo-go", "one"), startBackend(t, "echo-go", "two")
		one.lease(t, b.connection)
		until(t, client, "echo-go", line(one, "HEALTHY"))
		two.lease(t, b.connection)
		both := []string{line(one, "HEALTHY"), line(two, "HEALTHY")}
		slices.Sort(both)
		until(t, client, "echo-go", both...)
		two.server.Stop() // its lease lives on: the health checks must find out
		broken := []string{line(one, "HEALTHY"), line(two, "UNHEALTHY")}
		slices.Sort(broken)
		until(t, client, "echo-go", broken...)
		two.unlease()
		until(t, client, "echo-go", line(one, "HEALTHY"))
		one.unlease()
		until(t, client, "echo-go")
	})
}

func TestADS_changeOfOneService_isNotSentToSubscribersOfOthers(t *testing.T) {
	eachXDS(t, func(t *testing.T, dial func(*testing.T, *balancer) xdsClient) {
		b := startBalancer(t, nil)
		client := dial(t, b)
		client.subscribe("echo-go")
		client.next(t)
		startBackend(t, "echo-rust", "other").lease(t, b.connection)
		b.await(t, "echo-rust", healthy("other"))
		mine := startBackend(t, "echo-go", "mine")
		mine.lease(t, b.connection)
		for {
			assignments := client.next(t)
			if _, ok := assignments["echo-rust"]; ok {
				t.Fatalf("got %v", assignments)
			}
			if slices.Equal(assignments["echo-go"], []string{line(mine, "HEALTHY")}) {
				return
			}
		}
	})
}

func TestADS_otherTypes_areRefused(t *testing.T) {
	b := startBalancer(t, nil)
	world := newWorldClient(t, b.connection)
	_ = world.stream.Send(&discovery.DiscoveryRequest{TypeUrl: resource.ClusterType})
	_, err := world.stream.Recv()
	wantStatus(t, err, codes.Unimplemented, "NOT_IMPLEMENTED", "what", "xDS type "+resource.ClusterType)
	delta := newDeltaClient(t, b.connection, nil)
	_ = delta.stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.ClusterType})
	_, err = delta.stream.Recv()
	wantStatus(t, err, codes.Unimplemented, "NOT_IMPLEMENTED", "what", "xDS type "+resource.ClusterType)
}

// settlingClock is the system's clock, except that the time to settle passes when the test says so.
type settlingClock struct {
	SystemClock
	settle time.Duration
	passed chan struct{}
}

func (c *settlingClock) AfterFunc(d time.Duration, f func()) Timer {
	if d != c.settle {
		return c.SystemClock.AfterFunc(d, f)
	}
	go func() {
		<-c.passed
		f()
	}()
	return nil // nobody stops this timer
}

// After a restart the first lease to return must not look like the only endpoint there is.
func TestADS_clientWithEndpoints_hearsNothingUntilTheLeasesAreBack(t *testing.T) {
	const formerVersion = "20200101T000000.000000-7"
	for name, dial := range map[string]func(*testing.T, *balancer) xdsClient{
		"state of the world": func(t *testing.T, b *balancer) xdsClient {
			client := newWorldClient(t, b.connection)
			client.version = formerVersion
			return client
		},
		"delta": func(t *testing.T, b *balancer) xdsClient {
			return newDeltaClient(t, b.connection, map[string]string{"echo-go": formerVersion})
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &settlingClock{settle: 59_999 * time.Millisecond, passed: make(chan struct{})}
			b := startBalancerAt(t, clock, map[string]string{"UAIT_XDS_SETTLE_MS": "59999"})
			held, fresh := dial(t, b), newWorldClient(t, b.connection)
			held.subscribe("echo-go")
			fresh.subscribe("echo-go")
			one, two := startBackend(t, "echo-go", "one"), startBackend(t, "echo-go", "two")
			one.lease(t, b.connection)
			until(t, fresh, "echo-go", line(one, "HEALTHY")) // one without endpoints is told at once
			two.lease(t, b.connection)
			both := []string{line(one, "HEALTHY"), line(two, "HEALTHY")}
			slices.Sort(both)
			until(t, fresh, "echo-go", both...)
			close(clock.passed)
			if lines := held.next(t)["echo-go"]; !slices.Equal(lines, both) {
				t.Errorf("the first that it heard was %v, want %v", lines, both)
			}
		})
	}
}

func TestADS_goingBalancer_saysNothingOfItsEndpoints(t *testing.T) {
	eachXDS(t, func(t *testing.T, dial func(*testing.T, *balancer) xdsClient) {
		b := startBalancer(t, nil)
		one := startBackend(t, "echo-go", "one")
		one.lease(t, b.connection)
		b.await(t, "echo-go", healthy("one"))
		client := dial(t, b)
		client.subscribe("echo-go")
		until(t, client, "echo-go", line(one, "HEALTHY"))
		b.stop()
		var err error
		switch client := client.(type) {
		case *worldClient:
			_, err = client.stream.Recv()
		case *deltaClient:
			_, err = client.stream.Recv()
		}
		if err == nil {
			t.Error("a last response came")
		}
	})
}
