package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
)

const (
	binaryVariable = "UAIT_WEAVIATE_SERVER"
	startTimeout   = 90 * time.Second
)

// server is the one real Weaviate of these tests, on free ports and files of its own.
var server *weaviateServer

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	directory, err := os.MkdirTemp("", "weaviate-client")
	if err == nil {
		defer func() { _ = os.RemoveAll(directory) }()
		server, err = newWeaviateServer(directory)
	}
	if err == nil {
		defer server.kill()
		err = server.start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// weaviateServer is a real Weaviate that can be killed and started again over the same files.
type weaviateServer struct {
	url, grpc string
	command   []string
	variables []string
	log       string
	process   *exec.Cmd
}

func newWeaviateServer(directory string) (*weaviateServer, error) {
	binary, err := findBinary()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	return &weaviateServer{
		url: "http://127.0.0.1:" + ports[0], grpc: "127.0.0.1:" + ports[1],
		command: []string{binary, "--scheme", "http", "--host", "127.0.0.1", "--port", ports[0]},
		// As ts/apps/cli/src/made/infrastructure.ts runs it.
		variables: []string{
			"PERSISTENCE_DATA_PATH=" + directory, "DEFAULT_VECTORIZER_MODULE=none", "ENABLE_MODULES=", "DISABLE_TELEMETRY=true",
			"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true", "QUERY_DEFAULTS_LIMIT=25", "LOG_LEVEL=warning", "GO_PROFILING_DISABLE=true",
			"GRPC_PORT=" + ports[1], "CLUSTER_HOSTNAME=uait", "CLUSTER_ADVERTISE_ADDR=127.0.0.1", "CLUSTER_BIND_ADDR=127.0.0.1",
			"CLUSTER_IN_LOCALHOST=true", "CLUSTER_GOSSIP_BIND_PORT=" + ports[2], "CLUSTER_DATA_BIND_PORT=" + ports[3],
			"RAFT_PORT=" + ports[4], "RAFT_INTERNAL_RPC_PORT=" + ports[5], "RAFT_BOOTSTRAP_EXPECT=1",
		},
		log: filepath.Join(directory, "weaviate.log"),
	}, nil
}

// freePorts finds free ports in a row: a Weaviate of one node finds itself only when its data port follows its gossip port, and
// its RPC port its raft port.
func freePorts(count int) ([]string, error) {
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners, base := []net.Listener{first}, first.Addr().(*net.TCPAddr).Port
		ports := []string{strconv.Itoa(base)}
		for port := base + 1; len(ports) < count; port++ {
			next, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				break
			}
			listeners, ports = append(listeners, next), append(ports, strconv.Itoa(port))
		}
		for _, listener := range listeners {
			_ = listener.Close()
		}
		if len(ports) == count {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports in a row", count)
}

func findBinary() (string, error) {
	if named := os.Getenv(binaryVariable); named != "" {
		return named, nil
	}
	path := filepath.Join("..", "..", "..", ".uait", "bin", "weaviate-server")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("weaviate-server is missing: set %s, or install it into .uait/bin (`make install` does): %w", binaryVariable, err)
	}
	return path, nil
}

func (s *weaviateServer) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.process = exec.Command(s.command[0], s.command[1:]...)
	s.process.Env, s.process.Stdout, s.process.Stderr = s.variables, log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	for until := time.Now().Add(startTimeout); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(s.url + "/v1/.well-known/ready")
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
	text, _ := os.ReadFile(s.log)
	return fmt.Errorf("weaviate is not ready after %s:\n%s", startTimeout, text)
}

// kill ends Weaviate as kill -9 does.
func (s *weaviateServer) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
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
			"UAIT_WEAVIATE_URL": server.url, "UAIT_WEAVIATE_GRPC": server.grpc, "UAIT_DRAIN_DELAY_MS": "0",
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
		_, _ = io.WriteString(os.Stderr, string(line))
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
