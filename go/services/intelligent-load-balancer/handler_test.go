package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

// wantStatus checks a failed call's code, reason and one key of its metadata (none where the key is empty).
func wantStatus(t *testing.T, err error, code codes.Code, reason, key, value string) {
	t.Helper()
	s := status.Convert(err)
	var info *errdetails.ErrorInfo
	for _, detail := range s.Details() {
		if found, ok := detail.(*errdetails.ErrorInfo); ok {
			info = found
		}
	}
	if s.Code() != code || info.GetReason() != reason || info.GetDomain() != "uait.dev" {
		t.Errorf("got %v, %v; want %s, %s", err, info, code, reason)
	}
	if key != "" && info.GetMetadata()[key] != value {
		t.Errorf("metadata %v, want %s=%s", info.GetMetadata(), key, value)
	}
}

func register(endpoint *balancerv1.Endpoint) *balancerv1.RegisterEndpointRequest {
	return &balancerv1.RegisterEndpointRequest{Action: &balancerv1.RegisterEndpointRequest_Register{Register: endpoint}}
}

func renew(utilisation *balancerv1.Utilisation) *balancerv1.RegisterEndpointRequest {
	return &balancerv1.RegisterEndpointRequest{Action: &balancerv1.RegisterEndpointRequest_Renew{Renew: utilisation}}
}

// openLease sends the messages and returns the answer to the last of them.
func openLease(ctx context.Context, t *testing.T, b *balancer, messages ...*balancerv1.RegisterEndpointRequest) (
	grpc.BidiStreamingClient[balancerv1.RegisterEndpointRequest, balancerv1.RegisterEndpointResponse], *balancerv1.RegisterEndpointResponse, error,
) {
	t.Helper()
	stream, err := b.client.RegisterEndpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var answer *balancerv1.RegisterEndpointResponse
	for _, message := range messages {
		if err := stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if answer, err = stream.Recv(); err != nil {
			return stream, nil, err
		}
	}
	return stream, answer, nil
}

func TestRegisterEndpoint_renewals_bringUtilisationAndState(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_LEASE_TTL_MS": "7000"})
	backend := startBackend(t, "echo-go", "one")
	stream, answer, err := openLease(testContext(t), t, b, register(backend.endpoint))
	if err != nil || answer.GetTtl().AsDuration() != 7*time.Second {
		t.Fatalf("got %v, %v", answer, err)
	}
	b.await(t, "echo-go", healthy("one"))
	if err := stream.Send(renew(&balancerv1.Utilisation{Cpu: 0.5, Rps: 12})); err != nil {
		t.Fatal(err)
	}
	if answer, err = stream.Recv(); err != nil || answer.GetState() != balancerv1.EndpointState_ENDPOINT_STATE_HEALTHY {
		t.Fatalf("got %v, %v", answer, err)
	}
	list, err := b.client.ListEndpoints(testContext(t), &balancerv1.ListEndpointsRequest{Service: "echo-go"})
	if err != nil || len(list.GetEndpoints()) != 1 || list.GetEndpoints()[0].GetUtilisation().GetRps() != 12 {
		t.Fatalf("got %v, %v", list, err)
	}
}

func TestRegisterEndpoint_halfClose_withdrawsAndEndsOK(t *testing.T) {
	b := startBalancer(t, nil)
	backend := startBackend(t, "echo-go", "one")
	stream, _, err := openLease(testContext(t), t, b, register(backend.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	b.await(t, "echo-go", healthy("one"))
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("ended with %v", err)
	}
	list, err := b.client.ListEndpoints(testContext(t), &balancerv1.ListEndpointsRequest{})
	if err != nil || len(list.GetEndpoints()) != 0 {
		t.Fatalf("got %v, %v", list, err)
	}
}

func TestRegisterEndpoint_brokenStream_losesTheLeaseAtOnce(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_LEASE_TTL_MS": "60000", "UAIT_HEALTH_INTERVAL_MS": "60000"})
	backend := startBackend(t, "echo-go", "one")
	ctx, cancel := context.WithCancel(testContext(t))
	if _, _, err := openLease(ctx, t, b, register(backend.endpoint)); err != nil {
		t.Fatal(err)
	}
	b.await(t, "echo-go", healthy("one"))
	cancel()
	b.await(t, "echo-go", func(state map[string]balancerv1.EndpointState) bool { return len(state) == 0 })
}

func TestRegisterEndpoint_silence_endsTheLeaseAfterItsTTL(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_LEASE_TTL_MS": "200"})
	backend := startBackend(t, "echo-go", "one")
	stream, _, err := openLease(testContext(t), t, b, register(backend.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, codes.FailedPrecondition, "STATE_CONFLICT", "state", "expired")
}

func TestRegisterEndpoint_sameInstanceAgain_endsTheFormerStream(t *testing.T) {
	b := startBalancer(t, nil)
	backend := startBackend(t, "echo-go", "one")
	first, _, err := openLease(testContext(t), t, b, register(backend.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openLease(testContext(t), t, b, register(backend.endpoint)); err != nil {
		t.Fatal(err)
	}
	_, err = first.Recv()
	wantStatus(t, err, codes.FailedPrecondition, "STATE_CONFLICT", "state", "superseded")
	b.await(t, "echo-go", healthy("one"))
}

func TestRegisterEndpoint_invalidMessages_areRefused(t *testing.T) {
	b := startBalancer(t, nil)
	endpoint := &balancerv1.Endpoint{Service: "echo-go", Instance: "one", Host: "127.0.0.1", Port: 1}
	for name, messages := range map[string][]*balancerv1.RegisterEndpointRequest{
		"renew first":    {renew(&balancerv1.Utilisation{})},
		"register twice": {register(endpoint), register(endpoint)},
		"no action":      {{}},
		"any address":    {register(&balancerv1.Endpoint{Service: "echo-go", Instance: "one", Host: "0.0.0.0", Port: 1})},
		"no address":     {register(&balancerv1.Endpoint{Service: "echo-go", Instance: "one", Host: "localhost", Port: 1})},
		"no port":        {register(&balancerv1.Endpoint{Service: "echo-go", Instance: "one", Host: "127.0.0.1"})},
		"odd instance":   {register(&balancerv1.Endpoint{Service: "echo-go", Instance: "a/b", Host: "127.0.0.1", Port: 1})},
		"negative load":  {register(endpoint), renew(&balancerv1.Utilisation{Cpu: -1})},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := openLease(testContext(t), t, b, messages...)
			wantStatus(t, err, codes.InvalidArgument, "FIELD_INVALID", "", "")
		})
	}
	if list, err := b.client.ListEndpoints(testContext(t), &balancerv1.ListEndpointsRequest{}); err != nil || len(list.GetEndpoints()) != 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestHealth_endpointStopsServing_isUnhealthyAndReturns(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_HEALTH_INTERVAL_MS": "50"})
	backend := startBackend(t, "echo-go", "one")
	backend.lease(t, b.connection)
	b.await(t, "echo-go", healthy("one"))
	backend.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	b.await(t, "echo-go", func(state map[string]balancerv1.EndpointState) bool {
		return state["one"] == balancerv1.EndpointState_ENDPOINT_STATE_UNHEALTHY
	})
	_, err := b.client.Pick(testContext(t), &balancerv1.PickRequest{Service: "echo-go"})
	wantStatus(t, err, codes.Unavailable, "DEPENDENCY_UNAVAILABLE", "dependency", "echo-go")
	backend.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	b.await(t, "echo-go", healthy("one"))
	picked, err := b.client.Pick(testContext(t), &balancerv1.PickRequest{Service: "echo-go"})
	if err != nil || picked.GetEndpoint().GetEndpoint().GetInstance() != "one" {
		t.Fatalf("picked %v, %v", picked, err)
	}
}

func TestSeeds_serviceWithoutLeases_isCheckedAndPicked(t *testing.T) {
	backend := startBackend(t, "echo-go", "unused")
	b := startBalancer(t, map[string]string{"UAIT_SEEDS": "echo-go=" + backend.address()})
	seed := fromEndpoint(backend.endpoint)
	instance := newSeed(seed.Service, seed.Host, seed.Port).Instance
	b.await(t, "echo-go", healthy(instance))
	leased := startBackend(t, "echo-go", "leased")
	leased.lease(t, b.connection)
	b.await(t, "echo-go", healthy("leased"))
	leased.unlease()
	b.await(t, "echo-go", healthy(instance))
}

func TestListEndpoints_pages_areBoundToTheirFilter(t *testing.T) {
	backend := startBackend(t, "a", "unused")
	b := startBalancer(t, map[string]string{"UAIT_SEEDS": "a=" + backend.address() + ",b=" + backend.address()})
	ctx := testContext(t)
	first, err := b.client.ListEndpoints(ctx, &balancerv1.ListEndpointsRequest{PageSize: 1})
	if err != nil || len(first.GetEndpoints()) != 1 || first.GetEndpoints()[0].GetEndpoint().GetService() != "a" || first.GetNextPageToken() == "" {
		t.Fatalf("got %v, %v", first, err)
	}
	second, err := b.client.ListEndpoints(ctx, &balancerv1.ListEndpointsRequest{PageSize: 1, PageToken: first.GetNextPageToken()})
	if err != nil || second.GetEndpoints()[0].GetEndpoint().GetService() != "b" || second.GetNextPageToken() != "" {
		t.Fatalf("got %v, %v", second, err)
	}
	_, err = b.client.ListEndpoints(ctx, &balancerv1.ListEndpointsRequest{Service: "a", PageToken: first.GetNextPageToken()})
	wantStatus(t, err, codes.InvalidArgument, "PAGE_TOKEN_INVALID", "", "")
}

func TestWatchEndpoints_resume_goesOnWhereItBrokeOff(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_HISTORY": "64"})
	first := startBackend(t, "echo-go", "first")
	first.lease(t, b.connection)
	ctx, cancel := context.WithCancel(testContext(t))
	stream, err := b.client.WatchEndpoints(ctx, &balancerv1.WatchEndpointsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	change, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	second := startBackend(t, "echo-go", "second")
	second.lease(t, b.connection)
	b.await(t, "echo-go", healthy("first", "second"))
	resumed, err := b.client.WatchEndpoints(testContext(t), &balancerv1.WatchEndpointsRequest{ResumeAfter: change.GetSequence()})
	if err != nil {
		t.Fatal(err)
	}
	last, seen := change.GetSequence(), map[string]balancerv1.EndpointState{"first": change.GetEndpoint().GetState()}
	for !healthy("first", "second")(seen) {
		next, err := resumed.Recv()
		if err != nil || next.GetSequence() != last+1 {
			t.Fatalf("got %v, %v after %d", next, err, last)
		}
		last = next.GetSequence()
		seen[next.GetEndpoint().GetEndpoint().GetInstance()] = next.GetEndpoint().GetState()
	}
}

func TestWatchEndpoints_resumeBeforeTheHistory_isOutOfRange(t *testing.T) {
	b := startBalancer(t, nil)
	for _, after := range []uint64{1, 1 << 62} {
		stream, err := b.client.WatchEndpoints(testContext(t), &balancerv1.WatchEndpointsRequest{ResumeAfter: after})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantStatus(t, err, codes.OutOfRange, "SEQUENCE_EXPIRED", "", "")
	}
}

func TestExplainPick_unknownService_isNotFound(t *testing.T) {
	b := startBalancer(t, nil)
	_, err := b.client.ExplainPick(testContext(t), &balancerv1.ExplainPickRequest{Pick: &balancerv1.PickRequest{Service: "nobody"}})
	wantStatus(t, err, codes.NotFound, "RESOURCE_NOT_FOUND", "name", "nobody")
}

func TestExplainPick_replicas_shareTheProbability(t *testing.T) {
	b := startBalancer(t, nil)
	for _, instance := range []string{"one", "two"} {
		startBackend(t, "echo-go", instance).lease(t, b.connection)
	}
	b.await(t, "echo-go", healthy("one", "two"))
	explained, err := b.client.ExplainPick(testContext(t), &balancerv1.ExplainPickRequest{Pick: &balancerv1.PickRequest{Service: "echo-go"}})
	if err != nil || len(explained.GetCandidates()) != 2 {
		t.Fatalf("got %v, %v", explained, err)
	}
	if sum := explained.GetCandidates()[0].GetProbability() + explained.GetCandidates()[1].GetProbability(); sum < 1-1e-9 || sum > 1+1e-9 {
		t.Errorf("probabilities sum to %g", sum)
	}
}

func TestGetForecast_isNotImplemented(t *testing.T) {
	b := startBalancer(t, nil)
	_, err := b.client.GetForecast(testContext(t), &balancerv1.GetForecastRequest{Service: "echo-go", Horizon: durationpb.New(time.Minute)})
	wantStatus(t, err, codes.Unimplemented, "NOT_IMPLEMENTED", "what", "GetForecast")
}

func TestDrain_openStreams_endAtOnceAsDraining(t *testing.T) {
	b := startBalancer(t, nil)
	backend := startBackend(t, "echo-go", "one")
	lease, _, err := openLease(testContext(t), t, b, register(backend.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	watch, err := b.client.WatchEndpoints(testContext(t), &balancerv1.WatchEndpointsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	world := newWorldClient(t, b.connection)
	world.subscribe("echo-go")
	world.next(t)
	start := time.Now()
	b.stop()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the drain took %s", took)
	}
	_, err = lease.Recv()
	wantStatus(t, err, codes.Unavailable, "DRAINING", "", "")
	for err = nil; err == nil; {
		var change *balancerv1.WatchEndpointsResponse
		if change, err = watch.Recv(); change.GetRemoved() {
			t.Error("the drain made the endpoint leave")
		}
	}
	wantStatus(t, err, codes.Unavailable, "DRAINING", "", "")
}

// scriptedStream is a lease's stream without a network: it gives the messages, then waits for its context.
type scriptedStream struct {
	grpc.ServerStream
	ctx      context.Context
	messages chan *balancerv1.RegisterEndpointRequest
	answered chan struct{}
}

func (s *scriptedStream) Context() context.Context { return s.ctx }

func (s *scriptedStream) Recv() (*balancerv1.RegisterEndpointRequest, error) {
	select {
	case message := <-s.messages:
		return message, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *scriptedStream) Send(*balancerv1.RegisterEndpointResponse) error {
	s.answered <- struct{}{}
	return nil
}

func TestDrain_openLease_leavesItsEndpointInTheRegistry(t *testing.T) {
	registry, draining := NewRegistry(SystemClock{}, nil, 16), make(chan struct{})
	handler := &Handler{Registry: registry, Leases: &Leases{Registry: registry, Clock: SystemClock{}, TTL: time.Hour}, Draining: draining}
	stream := &scriptedStream{ctx: testContext(t), messages: make(chan *balancerv1.RegisterEndpointRequest, 1), answered: make(chan struct{}, 1)}
	stream.messages <- register(&balancerv1.Endpoint{Service: "echo", Instance: "a", Host: "127.0.0.1", Port: 1})
	ended := make(chan error, 1)
	go func() { ended <- handler.RegisterEndpoint(stream) }()
	<-stream.answered
	close(draining)
	wantStatus(t, <-ended, codes.Unavailable, "DRAINING", "", "")
	if _, there := registry.Get(Key{"echo", "a"}); !there {
		t.Error("the drain made the endpoint leave")
	}
}
