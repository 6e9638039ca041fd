package dial

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

// peer tells what arrived, and waits in Echo until its caller goes away when it is told to hang.
type peer struct {
	echov1.UnimplementedEchoServiceServer
	arrived chan metadata.MD
	ended   chan error
}

func (p *peer) Echo(ctx context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	if deadline, set := ctx.Deadline(); set {
		sent = metadata.Join(sent, metadata.Pairs("left", time.Until(deadline).String()))
	}
	p.arrived <- sent
	if request.GetMessage() == "hang" {
		<-ctx.Done()
		p.ended <- ctx.Err()
		return nil, ctx.Err()
	}
	return &echov1.EchoResponse{}, nil
}

func (p *peer) Expand(_ *echov1.ExpandRequest, stream grpc.ServerStreamingServer[echov1.ExpandResponse]) error {
	sent, _ := metadata.FromIncomingContext(stream.Context())
	p.arrived <- sent
	return stream.Send(&echov1.ExpandResponse{})
}

func start(t *testing.T) (*peer, *Mesh, *telemetry.Telemetry) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{arrived: make(chan metadata.MD, 10), ended: make(chan error, 10)}
	server := grpc.NewServer()
	echov1.RegisterEchoServiceServer(server, p)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	mesh, own := dial(t, listener.Addr().String())
	return p, mesh, own
}

func dial(t *testing.T, address string) (*Mesh, *telemetry.Telemetry) {
	t.Helper()
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("test", 0)
	kit.Mesh, kit.OTLPEndpoint, kit.Deadline = address, "http://127.0.0.1:1", 7*time.Second
	own, err := telemetry.New(kit, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	mesh, err := New(kit, own.Tracer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mesh.Close()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		own.Shutdown(ended)
	})
	return mesh, own
}

func TestInvoke_Context_TravelsWithTheCall(t *testing.T) {
	p, mesh, own := start(t)
	ctx := identity.NewContext(context.Background(), identity.Identity{Tenant: "acme", Subject: "user:7", Scopes: []string{"a", "b"}})
	ctx, span := own.Tracer.Start(ctx, "handler", telemetry.Server)
	span.State = "vendor=1"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := echov1.NewEchoServiceClient(mesh.To("echo-rust")).Echo(ctx, &echov1.EchoRequest{}); err != nil {
		t.Fatal(err)
	}
	arrived := <-p.arrived
	for key, want := range map[string]string{
		identity.TenantKey: "acme", identity.SubjectKey: "user:7", identity.ScopesKey: "a b", ServiceKey: "echo-rust",
		telemetry.TracestateKey: "vendor=1",
	} {
		if got := arrived.Get(key); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	came := telemetry.ParseTraceparent(arrived.Get(telemetry.TraceparentKey)[0])
	if came.TraceID != span.TraceID || came.SpanID == span.SpanID || !came.Sampled {
		t.Errorf("traceparent: got %+v, want a child of %+v", came, span.SpanContext)
	}
	if left, err := time.ParseDuration(arrived.Get("left")[0]); err != nil || left > 5*time.Second || left < 2*time.Second {
		t.Errorf("of 5 s are left %s, %v", left, err)
	}
}

func TestInvoke_NoDeadline_TakesTheDefault(t *testing.T) {
	p, mesh, _ := start(t)
	if _, err := echov1.NewEchoServiceClient(mesh).Echo(context.Background(), &echov1.EchoRequest{}); err != nil {
		t.Fatal(err)
	}
	arrived := <-p.arrived
	if left, err := time.ParseDuration(arrived.Get("left")[0]); err != nil || left > 7*time.Second || left < 4*time.Second {
		t.Errorf("of 7 s are left %s, %v", left, err)
	}
	if got := arrived.Get(ServiceKey); len(got) != 0 {
		t.Errorf("nobody asked for the service %q", got)
	}
}

func TestInvoke_CallerCancels_ReachesTheOtherSide(t *testing.T) {
	p, mesh, _ := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-p.arrived
		cancel()
	}()
	_, err := echov1.NewEchoServiceClient(mesh).Echo(ctx, &echov1.EchoRequest{Message: "hang"})
	if grpcstatus.Code(err) != codes.Canceled {
		t.Errorf("the caller got %v", err)
	}
	select {
	case err := <-p.ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the handler got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler was not told")
	}
}

func TestInvoke_NobodyListens_NamesTheDependency(t *testing.T) {
	mesh, _ := dial(t, "127.0.0.1:1")
	_, err := echov1.NewEchoServiceClient(mesh).Echo(context.Background(), &echov1.EchoRequest{})
	if got := status.ReasonOf(grpcstatus.Convert(err)); got.GetMetadata()["dependency"] != "uait.echo.v1.EchoService" {
		t.Errorf("got %v", err)
	}
	stream, err := echov1.NewEchoServiceClient(mesh.To("echo-go")).Expand(context.Background(), &echov1.ExpandRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if got := status.ReasonOf(grpcstatus.Convert(err)); got.GetMetadata()["dependency"] != "echo-go" {
		t.Errorf("got %v", err)
	}
}

func TestNewStream_ReadToItsEnd_IsWhole(t *testing.T) {
	p, mesh, _ := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := echov1.NewEchoServiceClient(mesh.To("echo-go")).Expand(ctx, &echov1.ExpandRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	if arrived := <-p.arrived; len(arrived.Get(telemetry.TraceparentKey)) != 1 {
		t.Errorf("the stream carries %v", arrived)
	}
}
