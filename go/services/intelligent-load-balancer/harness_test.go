package main

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/load"
	"uait.dev/go/kit/serve"
)

// patience is how long a test waits for what should happen much sooner.
const patience = 10 * time.Second

// testContext ends before the test's patience does.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	t.Cleanup(cancel)
	return ctx
}

// environment is the balancer's environment in tests: free ports, nothing else of the mesh, and what the test sets.
func environment(t *testing.T, set map[string]string) Config {
	t.Helper()
	variables := map[string]string{
		"UAIT_PORT": "0", "UAIT_HTTP_PORT": "0", "UAIT_NATS_URL": "off", "UAIT_LEASE": "off", "OTEL_SDK_DISABLED": "true",
		"UAIT_DRAIN_DELAY_MS": "0", "UAIT_DRAIN_TIMEOUT_MS": "5000", "UAIT_XDS_SETTLE_MS": "0",
	}
	for name, value := range set {
		variables[name] = value
	}
	c, err := readConfig(config.From(func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}, 1))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// balancer is a balancer that serves on loopback.
type balancer struct {
	address    string
	connection *grpc.ClientConn
	client     balancerv1.BalancerServiceClient
	// stop drains it and waits for its end.
	stop func()
}

func startBalancer(t *testing.T, set map[string]string) *balancer {
	t.Helper()
	return startBalancerAt(t, SystemClock{}, set)
}

func startBalancerAt(t *testing.T, clock Clock, set map[string]string) *balancer {
	t.Helper()
	server, err := newServer(environment(t, set), clock, rand.New(rand.NewPCG(1, 2)), serve.Logs(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatalf("the balancer did not start: %v", err)
	}
	b := &balancer{address: server.Address()}
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the balancer ended with %v", err)
		}
	})
	t.Cleanup(b.stop)
	b.connection = connect(t, b.address)
	b.client = balancerv1.NewBalancerServiceClient(b.connection)
	return b
}

func connect(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// backend is a small echo server that tells which one it is, with health.
type backend struct {
	echov1.UnimplementedEchoServiceServer
	endpoint *balancerv1.Endpoint
	health   *health.Server
	server   *grpc.Server
	calls    atomic.Int64
	// unlease withdraws its lease, where it has one.
	unlease func()
}

func (b *backend) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	b.calls.Add(1)
	return &echov1.EchoResponse{Message: request.GetMessage(), Seen: &echov1.Seen{Instance: b.endpoint.GetInstance()}}, nil
}

func startBackend(t *testing.T, service, instance string) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{
		endpoint: &balancerv1.Endpoint{Service: service, Instance: instance, Host: "127.0.0.1", Port: uint32(listener.Addr().(*net.TCPAddr).Port)},
		health:   health.NewServer(),
		server:   grpc.NewServer(),
		unlease:  func() {},
	}
	echov1.RegisterEchoServiceServer(b.server, b)
	healthpb.RegisterHealthServer(b.server, b.health)
	go func() { _ = b.server.Serve(listener) }()
	t.Cleanup(b.server.Stop)
	return b
}

func (b *backend) address() string {
	return net.JoinHostPort(b.endpoint.GetHost(), strconv.Itoa(int(b.endpoint.GetPort())))
}

// lease holds the backend's lease as every service does, through the connection given, until the test ends.
func (b *backend) lease(t *testing.T, mesh grpc.ClientConnInterface) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var holding sync.WaitGroup
	meter := load.NewMeter(&b.calls, 1)
	holding.Go(func() { load.HoldLease(ctx, mesh, b.endpoint, meter, slog.New(slog.DiscardHandler)) })
	b.unlease = sync.OnceFunc(func() {
		cancel()
		holding.Wait()
	})
	t.Cleanup(b.unlease)
}

// kill ends the backend as SIGKILL would: every connection breaks, that of its lease too.
func (b *backend) kill(lease *grpc.ClientConn) {
	_ = lease.Close()
	b.server.Stop()
}

// await asks for the endpoints of a service until done says so, and returns their states, by instance.
func (b *balancer) await(t *testing.T, service string, done func(map[string]balancerv1.EndpointState) bool) map[string]balancerv1.EndpointState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := b.client.ListEndpoints(ctx, &balancerv1.ListEndpointsRequest{Service: service})
		state := map[string]balancerv1.EndpointState{}
		for _, status := range list.GetEndpoints() {
			state[status.GetEndpoint().GetInstance()] = status.GetState()
		}
		if err == nil && done(state) {
			return state
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("endpoints of %s are %v, %v", service, state, err)
		}
	}
}

// healthy says whether exactly these instances are there and healthy.
func healthy(instances ...string) func(map[string]balancerv1.EndpointState) bool {
	return func(state map[string]balancerv1.EndpointState) bool {
		for _, instance := range instances {
			if state[instance] != balancerv1.EndpointState_ENDPOINT_STATE_HEALTHY {
				return false
			}
		}
		return len(state) == len(instances)
	}
}
