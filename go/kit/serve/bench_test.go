package serve

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
)

// The benchmark measures the processor time of a server in a process of its own, so that neither the client's nor the
// collector's is counted: this binary, run again with a role.
const (
	roleVariable      = "UAIT_BENCH_ROLE"
	collectorVariable = "UAIT_BENCH_COLLECTOR"
)

func TestMain(m *testing.M) {
	play, asked := map[string]func(net.Listener) error{
		"bare": serveBare, "kit": serveKit, "collector": serveCollector,
	}[os.Getenv(roleVariable)]
	if !asked {
		os.Exit(m.Run())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { panic(play(listener)) }()
	fmt.Println(listener.Addr())
	// Each line asked for is answered by the processor time used so far, in nanoseconds; the end of input ends the process.
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			panic(err)
		}
		fmt.Println(usage.Utime.Nano() + usage.Stime.Nano())
	}
}

// plainEcho is what an echo costs at least.
type plainEcho struct {
	echov1.UnimplementedEchoServiceServer
}

func (plainEcho) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Message: request.GetMessage()}, nil
}

func serveBare(listener net.Listener) error {
	server := grpc.NewServer()
	echov1.RegisterEchoServiceServer(server, plainEcho{})
	return server.Serve(listener)
}

func serveKit(listener net.Listener) error {
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("echo-go", 0)
	kit.NATSURL, kit.Lease, kit.OTLPEndpoint = "", false, "http://"+os.Getenv(collectorVariable)
	server, err := New(kit, Logs(os.Stderr))
	if err != nil {
		return err
	}
	echov1.RegisterEchoServiceServer(server, plainEcho{})
	go server.meter.Run(context.Background())
	return server.grpc.Serve(listener)
}

func serveCollector(listener net.Listener) error {
	return grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&tracepb.TracesData{}); err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{})
	})).Serve(listener)
}

// actor is this binary in a role.
type actor struct {
	address string
	ask     func() time.Duration
}

func startActor(b *testing.B, role string, variables ...string) actor {
	b.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(append(os.Environ(), roleVariable+"="+role), variables...)
	stdin, err := process.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = process.Wait()
	})
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	return actor{address: strings.TrimSpace(lines.Text()), ask: func() time.Duration {
		if _, err := fmt.Fprintln(stdin); err != nil {
			b.Fatal(err)
		}
		lines.Scan()
		var nanoseconds int64
		if _, err := fmt.Sscan(lines.Text(), &nanoseconds); err != nil {
			b.Fatal(err)
		}
		return time.Duration(nanoseconds)
	}}
}

// BenchmarkUnary compares a server of the kit, traced, with one of grpc-go alone. server-ns/op is the processor time that the
// server's process spends on one call, with its share of exporting spans and collecting garbage.
func BenchmarkUnary(b *testing.B) {
	for _, concurrency := range []int{1, 16} {
		for _, role := range []string{"bare", "kit"} {
			b.Run(fmt.Sprintf("%s/%d", role, concurrency), func(b *testing.B) {
				collector := startActor(b, "collector")
				server := startActor(b, role, collectorVariable+"="+collector.address)
				connection, err := grpc.NewClient(server.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = connection.Close() }()
				client := echov1.NewEchoServiceClient(connection)
				ctx := metadata.AppendToOutgoingContext(context.Background(), identity.TenantKey, "acme",
					"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
				callMany(b, ctx, client, concurrency, 2000) // Warm up: connection, rules, pools.
				before := server.ask()
				b.ResetTimer()
				callMany(b, ctx, client, concurrency, b.N)
				b.StopTimer()
				b.ReportMetric(float64(server.ask()-before)/float64(b.N), "server-ns/op")
			})
		}
	}
}

func callMany(b *testing.B, ctx context.Context, client echov1.EchoServiceClient, concurrency, count int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(count))
	failures := make(chan error, concurrency)
	for range concurrency {
		go func() {
			for left.Add(-1) >= 0 {
				if _, err := client.Echo(ctx, &echov1.EchoRequest{Message: "hello"}); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for range concurrency {
		if err := <-failures; err != nil {
			b.Fatal(err)
		}
	}
}
