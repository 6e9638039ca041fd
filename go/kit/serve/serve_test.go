package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	grpcstatus "google.golang.org/grpc/status"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/load"
	"uait.dev/go/kit/status"
)

const echoService = "uait.echo.v1.EchoService"

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// gate is an EchoService whose Echo tells that it was entered and does what the message says.
type gate struct {
	echov1.UnimplementedEchoServiceServer
	entered chan struct{}
	open    chan struct{}
	large   int
	server  *Server
}

func (g *gate) Echo(ctx context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	switch request.GetMessage() {
	case "wait":
		g.entered <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case "panic":
		panic("secret")
	case "large":
		return &echov1.EchoResponse{Payload: make([]byte, g.large)}, nil
	}
	return &echov1.EchoResponse{Message: identity.FromContext(ctx).Tenant}, nil
}

func (g *gate) Collect(stream grpc.ClientStreamingServer[echov1.CollectRequest, echov1.CollectResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&echov1.CollectResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (g *gate) Expand(_ *echov1.ExpandRequest, stream grpc.ServerStreamingServer[echov1.ExpandResponse]) error {
	return stream.Send(&echov1.ExpandResponse{Message: strings.Repeat("x", g.large)})
}

// Converse lasts until its server asks it to end, as a watch does.
func (g *gate) Converse(grpc.BidiStreamingServer[echov1.ConverseRequest, echov1.ConverseResponse]) error {
	g.entered <- struct{}{}
	<-g.server.Stopping()
	return Draining()
}

// running is a server under test.
type running struct {
	*Server
	gate    *gate
	client  echov1.EchoServiceClient
	conn    *grpc.ClientConn
	logs    *lines
	stop    context.CancelFunc
	stopped chan error
}

func start(t *testing.T, change func(*config.Kit), options ...Option) *running {
	t.Helper()
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("echo-go", 0)
	kit.HTTPPort, kit.NATSURL, kit.Lease, kit.Tracing, kit.DrainDelay = 0, "", false, false, 0
	change(&kit)
	r := &running{gate: &gate{entered: make(chan struct{}, 100), open: make(chan struct{}), large: 2048}, logs: &lines{}}
	server, err := New(kit, append(options, Logs(r.logs))...)
	if err != nil {
		t.Fatal(err)
	}
	r.Server, r.gate.server = server, server
	echov1.RegisterEchoServiceServer(server, r.gate)
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.stopped = stop, make(chan error, 1)
	go func() { r.stopped <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-r.stopped:
		t.Fatalf("the server did not start: %v", err)
	}
	r.conn, err = grpc.NewClient(server.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r.client = echov1.NewEchoServiceClient(r.conn)
	t.Cleanup(func() {
		stop()
		_ = r.conn.Close()
	})
	return r
}

func plain(*config.Kit) {}

func acme(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, identity.TenantKey, "acme")
}

// expect fails the test unless err has that code and reason; it returns the ErrorInfo's metadata.
func expect(t *testing.T, err error, code codes.Code, reason string) map[string]string {
	t.Helper()
	got := grpcstatus.Convert(err)
	info := status.ReasonOf(got)
	if got.Code() != code || info.GetReason() != reason {
		t.Errorf("got %v %q with %v, want %v %s", got.Code(), got.Message(), info, code, reason)
	}
	return info.GetMetadata()
}

func TestCall_OverTheInflightLimit_IsRefusedAndToldWhenToRetry(t *testing.T) {
	r := start(t, func(k *config.Kit) { k.MaxInflight = 2 })
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "wait"})
			ended <- err
		}()
		<-r.gate.entered
	}
	_, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "x"})
	if got := expect(t, err, codes.ResourceExhausted, "OVERLOADED"); got["limit"] != "2" {
		t.Errorf("got %v", got)
	}
	details := grpcstatus.Convert(err).Details()
	if retry, ok := details[len(details)-1].(*errdetails.RetryInfo); !ok || retry.GetRetryDelay().AsDuration() != 100*time.Millisecond {
		t.Errorf("got %v, want a RetryInfo of 100 ms", details)
	}
	close(r.gate.open)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if _, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "x"}); err != nil {
		t.Errorf("after the others ended: %v", err)
	}
}

func TestCall_MessageOverTheLimit_IsRefusedInEveryDirection(t *testing.T) {
	r := start(t, func(k *config.Kit) { k.MaxMessageBytes = 1024 })
	ctx := acme(t)
	_, err := r.client.Echo(ctx, &echov1.EchoRequest{Message: "x", Payload: make([]byte, 2048)})
	expect(t, err, codes.ResourceExhausted, "") // grpc-go answers before the kit can say why.
	_, err = r.client.Echo(ctx, &echov1.EchoRequest{Message: "large"})
	if got := expect(t, err, codes.ResourceExhausted, "MESSAGE_TOO_LARGE"); got["limit_bytes"] != "1024" {
		t.Errorf("got %v", got)
	}
	stream, err := r.client.Expand(ctx, &echov1.ExpandRequest{Message: "x", Count: 1})
	if err == nil {
		_, err = stream.Recv()
	}
	expect(t, err, codes.ResourceExhausted, "MESSAGE_TOO_LARGE")
}

func TestCall_HandlerPanics_IsInternalAndLogged(t *testing.T) {
	r := start(t, plain)
	_, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "panic"})
	expect(t, err, codes.Internal, "INTERNAL")
	if strings.Contains(grpcstatus.Convert(err).Proto().String(), "secret") {
		t.Errorf("the status tells the cause: %v", err)
	}
	if !strings.Contains(r.logs.String(), "panic: secret") {
		t.Errorf("the log does not tell the cause: %s", r.logs)
	}
	if _, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "x"}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestCall_MethodNotKnownOrNotImplemented_SaysWhich(t *testing.T) {
	r := start(t, plain)
	err := r.conn.Invoke(acme(t), "/no.Service/Method", &echov1.EchoRequest{}, &echov1.EchoResponse{})
	if got := expect(t, err, codes.Unimplemented, "NOT_IMPLEMENTED"); got["what"] != "/no.Service/Method" {
		t.Errorf("got %v", got)
	}
	_, err = r.client.Relay(acme(t), &echov1.RelayRequest{Message: "x"})
	expect(t, err, codes.Unimplemented, "NOT_IMPLEMENTED")
}

func TestCall_TenantlessService_NeedsNoTenant(t *testing.T) {
	r := start(t, plain, Tenantless(echoService))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for tenant, want := range map[string]string{"": "", "acme": "acme", "../etc": ""} {
		got, err := r.client.Echo(metadata.AppendToOutgoingContext(ctx, identity.TenantKey, tenant), &echov1.EchoRequest{Message: "x"})
		if err != nil || got.GetMessage() != want {
			t.Errorf("tenant %q: got %q, %v", tenant, got.GetMessage(), err)
		}
	}
	strict := start(t, plain)
	_, err := strict.client.Echo(ctx, &echov1.EchoRequest{Message: "x"})
	expect(t, err, codes.Unauthenticated, "TENANT_MISSING")
}

func TestCall_Ended_HasTheLoadTrailer(t *testing.T) {
	r := start(t, plain)
	for name, message := range map[string]string{"ok": "x", "refused": "", "failed": "panic"} {
		var trailer metadata.MD
		_, _ = r.client.Echo(acme(t), &echov1.EchoRequest{Message: message}, grpc.Trailer(&trailer))
		if got := trailer.Get(load.TrailerKey); len(got) != 1 || !strings.HasPrefix(got[0], "TEXT cpu_utilization=") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestServer_Reflection_ListsItsServices(t *testing.T) {
	r := start(t, plain)
	stream, err := reflectionpb.NewServerReflectionClient(r.conn).ServerReflectionInfo(acme(t))
	if err != nil {
		t.Fatal(err)
	}
	request := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	for _, want := range []string{echoService, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("%v lacks %s", names, want)
		}
	}
}

func TestServer_DependencyDown_IsTold_AndServes(t *testing.T) {
	r := start(t, plain, Checked("weaviate", func(context.Context) string { return "down" }))
	code, body := get(t, r.HTTPAddress(), "/healthz")
	if code != http.StatusOK || strings.TrimSpace(body) != `{"status":"SERVING","checks":{"nats":"off","weaviate":"down"}}` {
		t.Errorf("/healthz: %d %s", code, body)
	}
}

func TestServer_HTTP_TellsHealthAndMetrics(t *testing.T) {
	r := start(t, plain)
	if _, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "x"}); err != nil {
		t.Fatal(err)
	}
	code, body := get(t, r.HTTPAddress(), "/healthz")
	if code != http.StatusOK || strings.TrimSpace(body) != `{"status":"SERVING","checks":{"nats":"off"}}` {
		t.Errorf("/healthz: %d %s", code, body)
	}
	code, body = get(t, r.HTTPAddress(), "/metrics")
	want := `rpc_server_duration_seconds_count{rpc_grpc_status_code="0",rpc_method="Echo",rpc_service="` + echoService + `"} 1`
	if code != http.StatusOK || !strings.Contains(body, want) || !strings.Contains(body, "\nrpc_server_in_flight 0") {
		t.Errorf("/metrics: %d, lacks %s:\n%s", code, want, body)
	}
	for name, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
		"": healthpb.HealthCheckResponse_SERVING, echoService: healthpb.HealthCheckResponse_SERVING,
		"events": healthpb.HealthCheckResponse_NOT_SERVING,
	} {
		got, err := healthpb.NewHealthClient(r.conn).Check(acme(t), &healthpb.HealthCheckRequest{Service: name})
		if err != nil || got.GetStatus() != want {
			t.Errorf("health of %q: got %v, %v; want %v", name, got, err, want)
		}
	}
}

func get(t *testing.T, address, path string) (code int, body string) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestServer_Ready_LogsWhereItServes(t *testing.T) {
	r := start(t, plain)
	line, _, _ := strings.Cut(r.logs.String(), "\n")
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "serving" || got["grpc"] != r.Address() || got["http"] != r.HTTPAddress() || got["service"] != "echo-go" {
		t.Errorf("got %s", line)
	}
}

func TestRun_PortInUse_NamesTheVariable(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	for variable, change := range map[string]func(*config.Kit){
		"UAIT_PORT": func(k *config.Kit) { k.Port = port }, "UAIT_HTTP_PORT": func(k *config.Kit) { k.HTTPPort = port },
	} {
		kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("echo-go", 0)
		kit.HTTPPort, kit.NATSURL, kit.Tracing = 0, "", false
		change(&kit)
		server, err := New(kit, Logs(io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		err = server.Run(context.Background())
		number := strconv.Itoa(port)
		if want := variable + "=" + number + ": 127.0.0.1:" + number + " is in use"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if code := exitCode(err); code != 69 {
			t.Errorf("exit code %d, want 69", code)
		}
	}
}
