// Package weaviatetest runs a real Weaviate for tests, which may kill it and start it again over the same files.
package weaviatetest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"uait.dev/go/kit/installed"
)

const startTimeout = 90 * time.Second

// Server is a Weaviate of one node. Its callers start it once for many tests, since it takes seconds to be ready.
type Server struct {
	// URL is where it takes REST; the same after a restart.
	URL string
	// GRPC is the host:port where it takes gRPC; the same after a restart.
	GRPC string

	command   []string
	variables []string
	log       string
	process   *exec.Cmd
}

// New prepares a server on free ports, with its files in directory.
func New(directory string) (*Server, error) {
	binary, err := installed.Program("weaviate-server", "UAIT_WEAVIATE_SERVER")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	return &Server{
		URL: "http://127.0.0.1:" + ports[0], GRPC: "127.0.0.1:" + ports[1],
		command: []string{binary, "--scheme", "http", "--host", "127.0.0.1", "--port", ports[0]},
		// As ts/apps/cli/src/made/infrastructure.ts runs it.
		variables: []string{
			"PERSISTENCE_DATA_PATH=" + directory, "DEFAULT_VECTORIZER_MODULE=none", "ENABLE_MODULES=", "DISABLE_TELEMETRY=true",
			"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true", "QUERY_DEFAULTS_LIMIT=25", "LOG_LEVEL=warning", "GO_PROFILING_DISABLE=true",
			"GRPC_PORT=" + ports[1], "CLUSTER_HOSTNAME=uait", "CLUSTER_ADVERTISE_ADDR=127.0.0.1", "CLUSTER_BIND_ADDR=127.0.0.1",
			"CLUSTER_IN_LOCALHOST=true", "CLUSTER_GOSSIP_BIND_PORT=" + ports[2], "CLUSTER_DATA_BIND_PORT=" + ports[3],
			"RAFT_PORT=" + ports[4], "RAFT_INTERNAL_RPC_PORT=" + ports[5], "RAFT_BOOTSTRAP_EXPECT=1", "RAFT_TIMEOUTS_MULTIPLIER=1",
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

// Start runs the server until Kill, and returns when it is ready.
func (s *Server) Start() error {
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
		response, err := http.Get(s.URL + "/v1/.well-known/ready")
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

// Kill ends Weaviate as kill -9 does; its files stay.
func (s *Server) Kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}
