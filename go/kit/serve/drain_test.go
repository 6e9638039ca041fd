package serve

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
)

func awaitStopped(t *testing.T, r *running) {
	t.Helper()
	select {
	case err := <-r.stopped:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the server did not end")
	}
}

func TestDrain_CallsInFlight_AreCompletedAndNewOnesTakenDuringTheDelay(t *testing.T) {
	r := start(t, func(k *config.Kit) { k.DrainDelay = time.Second })
	ctx := acme(t)
	health, err := healthpb.NewHealthClient(r.conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := health.Recv(); err != nil || first.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("before: %v, %v", first, err)
	}
	collected, err := r.client.Collect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() {
		_, err := r.client.Echo(ctx, &echov1.EchoRequest{Message: "wait"})
		called <- err
	}()
	<-r.gate.entered

	r.stop()
	if second, err := health.Recv(); err != nil || second.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("draining: %v, %v", second, err)
	}
	if _, err := r.client.Echo(ctx, &echov1.EchoRequest{Message: "late"}); err != nil {
		t.Errorf("a new call during the delay: %v", err)
	}
	// The watch of health ends when the server no longer takes calls; were it left open, it would hold up the drain.
	if _, err := health.Recv(); grpcstatus.Code(err) != codes.Canceled {
		t.Errorf("the watch of health ended with %v", err)
	}
	<-r.Stopping()
	if err := collected.Send(&echov1.CollectRequest{Message: "still there"}); err != nil {
		t.Errorf("the stream in flight: %v", err)
	}
	if _, err := collected.CloseAndRecv(); err != nil {
		t.Errorf("the stream in flight: %v", err)
	}
	close(r.gate.open)
	if err := <-called; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	awaitStopped(t, r)
}

func TestDrain_CallOutlastsTheTimeout_IsCutOff(t *testing.T) {
	r := start(t, func(k *config.Kit) { k.DrainTimeout = 50 * time.Millisecond })
	called := make(chan error, 1)
	go func() {
		_, err := r.client.Echo(acme(t), &echov1.EchoRequest{Message: "wait"})
		called <- err
	}()
	<-r.gate.entered
	r.stop()
	if err := <-called; grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("the caller got %v", err)
	}
	awaitStopped(t, r)
	if !strings.Contains(r.logs.String(), "calls in flight are cut off") {
		t.Errorf("the log does not tell: %s", r.logs)
	}
}

func TestDrain_StreamWatchesStopping_EndsWithDraining(t *testing.T) {
	r := start(t, func(k *config.Kit) { k.DrainTimeout = time.Hour })
	stream, err := r.client.Converse(acme(t))
	if err != nil {
		t.Fatal(err)
	}
	<-r.gate.entered
	r.stop()
	_, err = stream.Recv()
	expect(t, err, codes.Unavailable, "DRAINING")
	awaitStopped(t, r)
}
