package suite

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

const casesFile = "../../../proto/uait/echo/v1/cases.yaml"

// mute answers every call with an empty success, and never notices that its caller went away.
type mute struct {
	echov1.UnimplementedEchoServiceServer
}

func (mute) Echo(context.Context, *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{}, nil
}

func (mute) Relay(context.Context, *echov1.RelayRequest) (*echov1.RelayResponse, error) {
	return &echov1.RelayResponse{}, nil
}

func (mute) Publish(context.Context, *echov1.PublishRequest) (*echov1.PublishResponse, error) {
	return &echov1.PublishResponse{}, nil
}

func (mute) AwaitEvent(context.Context, *echov1.AwaitEventRequest) (*echov1.AwaitEventResponse, error) {
	return &echov1.AwaitEventResponse{}, nil
}

func (mute) AwaitOutcome(context.Context, *echov1.AwaitOutcomeRequest) (*echov1.AwaitOutcomeResponse, error) {
	return &echov1.AwaitOutcomeResponse{}, nil
}

func (mute) Collect(stream grpc.ClientStreamingServer[echov1.CollectRequest, echov1.CollectResponse]) error {
	return stream.SendAndClose(&echov1.CollectResponse{})
}

func (mute) Expand(*echov1.ExpandRequest, grpc.ServerStreamingServer[echov1.ExpandResponse]) error {
	return nil
}

func (mute) Converse(grpc.BidiStreamingServer[echov1.ConverseRequest, echov1.ConverseResponse]) error {
	return nil
}

// unmoved is a process that does not end.
type unmoved struct{}

func (unmoved) Terminate() error { return nil }
func (unmoved) Gone() bool       { return false }

// A suite that a server without a kit can pass proves nothing: of all cases, one that says nothing and knows nothing passes none but
// those whose refusal is grpc-go's own.
func TestRun_ServerWithoutTheKit_FailsEveryCase(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(4 << 20))
	echov1.RegisterEchoServiceServer(server, mute{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	file, err := Load(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	byTheFramework := map[string]bool{
		"message_over_the_limit_is_refused": true, "compressed_request_over_the_limit_is_refused": true,
	}
	count := 0
	options := Options{Target: listener.Addr().String(), Service: "echo-go", Process: unmoved{}}
	err = Run(context.Background(), file, options, func(result Result) error {
		count++
		if result.OK != byTheFramework[result.Case] {
			t.Errorf("%s: ok is %v (%s)", result.Case, result.OK, result.Error)
		}
		if !result.OK && result.Error == "" {
			t.Errorf("%s: fails without saying why", result.Case)
		}
		return nil
	})
	if err != nil || count != len(file.Cases) {
		t.Errorf("%d of %d cases were run: %v", count, len(file.Cases), err)
	}
}

func TestRun_OnlyOneCase_ReportsItAlone(t *testing.T) {
	file := &File{Cases: []Case{{Name: "a", Call: "Echo"}, {Name: "b", Call: "NoSuchMethod"}, {Name: "c", Probe: "none"}}}
	var reported []Result
	report := func(result Result) error {
		reported = append(reported, result)
		return nil
	}
	options := Options{Target: "127.0.0.1:1", Only: "b"}
	if err := Run(context.Background(), file, options, report); err != nil {
		t.Fatal(err)
	}
	if len(reported) != 1 || reported[0].Case != "b" || reported[0].OK {
		t.Errorf("got %+v", reported)
	}
	options.Only = "z"
	if err := Run(context.Background(), file, options, report); err == nil {
		t.Error("a case that does not exist was run")
	}
}

func TestLoad_UnknownField_IsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(path, []byte("cases: [{name: a, call: Echo, expekt: {}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Error("a misspelt field was taken")
	}
}

func TestProcessID_Terminated_IsGoneEvenBeforeItIsWaitedFor(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	process := ProcessID(child.Process.Pid)
	if process.Gone() {
		t.Fatal("a running process is gone")
	}
	if err := process.Terminate(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(10 * time.Second); !process.Gone(); {
		if time.Now().After(until) {
			t.Fatal("a terminated process is not gone")
		}
		time.Sleep(time.Millisecond)
	}
	_ = child.Wait()
	if !process.Gone() {
		t.Error("a process that was waited for is not gone")
	}
}
