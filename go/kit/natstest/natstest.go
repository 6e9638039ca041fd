// Package natstest runs a real nats-server for tests, which may kill it and start it again over the same files.
package natstest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uait.dev/go/kit/installed"
)

const readyTimeout = 20 * time.Second

// Server is a nats-server with JetStream that syncs every write, as the mesh runs it.
type Server struct {
	// URL is where it listens; the same after a restart.
	URL string

	binary, directory, address string
	process                    *exec.Cmd
}

// New prepares a server of its own port and files without starting it; it is stopped when the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	binary, err := installed.Program("nats-server", "UAIT_NATS_SERVER")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{binary: binary, directory: t.TempDir(), address: freeAddress(t)}
	s.URL = "nats://" + s.address
	configuration := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n", s.address, s.directory)
	if err := os.WriteFile(s.configurationFile(), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// Start prepares a server and starts it.
func Start(t testing.TB) *Server {
	t.Helper()
	s := New(t)
	s.Start(t)
	return s
}

// Start runs the server until Kill, and returns when it takes connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.process != nil {
		t.Fatal("the nats-server runs already")
	}
	s.process = exec.Command(s.binary, "-c", s.configurationFile(), "-l", filepath.Join(s.directory, "nats.log"))
	if err := s.process.Start(); err != nil {
		t.Fatalf("start %s: %v", s.binary, err)
	}
	for until := time.Now().Add(readyTimeout); ; {
		err := s.greets()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			log, _ := os.ReadFile(filepath.Join(s.directory, "nats.log"))
			t.Fatalf("nats-server at %s is not ready: %v\n%s", s.address, err, log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Kill ends the server as kill -9 does; its files stay.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Kill(); err != nil {
		t.Errorf("kill nats-server: %v", err)
	}
	var killed *exec.ExitError
	if err := s.process.Wait(); err != nil && !errors.As(err, &killed) {
		t.Errorf("wait for nats-server: %v", err)
	}
	s.process = nil
}

func (s *Server) configurationFile() string { return filepath.Join(s.directory, "nats.conf") }

// greets says whether the server sends the INFO line with which the NATS protocol begins.
func (s *Server) greets() error {
	connection, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "INFO ") {
		err = fmt.Errorf("it says %q", line)
	}
	return err
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
