package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/serve"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/weaviatetest"
)

// server is the one real Weaviate of these tests, on free ports and files of its own.
var server *weaviatetest.Server

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	directory, err := os.MkdirTemp("", "weaviate-client")
	if err == nil {
		defer func() { _ = os.RemoveAll(directory) }()
		server, err = weaviatetest.New(directory)
	}
	if err == nil {
		defer server.Kill()
		err = server.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// service is the service under test and a connection to it.
type service struct {
	weaviatev1.VectorServiceClient
	server *serve.Server
}

// startService runs the service as main does, on free ports, over the real Weaviate.
func startService(t *testing.T) *service {
	t.Helper()
	configuration, err := readConfig(config.From(func(name string) (string, bool) {
		value, set := map[string]string{
			"UAIT_PORT": "0", "UAIT_HTTP_PORT": "0", "UAIT_LEASE": "off", "UAIT_NATS_URL": "off", "OTEL_SDK_DISABLED": "true",
			"UAIT_WEAVIATE_URL": server.URL, "UAIT_WEAVIATE_GRPC": server.GRPC, "UAIT_DRAIN_DELAY_MS": "0",
		}[name]
		return value, set
	}, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	running, err := newServer(configuration, serve.Logs(logs{t}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	select {
	case <-running.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	connection, err := grpc.NewClient(running.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &service{VectorServiceClient: weaviatev1.NewVectorServiceClient(connection), server: running}
}

// logs shows what a failing test's service logged.
type logs struct{ t *testing.T }

func (l logs) Write(line []byte) (int, error) {
	if testing.Verbose() {
		return os.Stderr.Write(line)
	}
	return len(line), nil
}

// as is a context of a tenant that lives as long as a test may take.
func as(t *testing.T, tenant string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "x-uait-tenant", tenant)
}

// wantFailure checks how a call failed.
func wantFailure(t *testing.T, what string, err error, code codes.Code, reason string) {
	t.Helper()
	failed := grpcstatus.Convert(err)
	if failed.Code() != code || status.ReasonOf(failed).GetReason() != reason {
		t.Errorf("%s: got %v, %v; want %s, %s", what, err, status.ReasonOf(failed), code, reason)
	}
}
