package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes the binary that the mesh runs.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo")
	if output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	return path
}

// command runs the binary with nothing in its environment but these variables, on free ports.
func command(binary string, variables ...string) *exec.Cmd {
	started := exec.Command(binary)
	started.Env = append([]string{"UAIT_PORT=0", "UAIT_NATS_URL=off", "UAIT_LEASE=off", "OTEL_SDK_DISABLED=true"}, variables...)
	return started
}

func TestBinary_CannotStart_SaysWhyInOneLineAndExitsByTheReason(t *testing.T) {
	binary := build(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for variable, want := range map[string]struct {
		code int
		line string
	}{
		"UAIT_PORT=70000":         {78, "UAIT_PORT=70000: must be 0 to 65535"},
		"UAIT_LOG_LEVEL=loud":     {78, "UAIT_LOG_LEVEL=loud: must be debug, info, warn, error"},
		"UAIT_TLS_CERT=/missing":  {78, "UAIT_TLS_CERT=/missing: must be paths of PEM files, all three or none"},
		"UAIT_PORT=" + port:       {69, "UAIT_PORT=" + port + ": 127.0.0.1:" + port + " is in use"},
		"UAIT_HTTP_PORT=" + port:  {69, "UAIT_HTTP_PORT=" + port + ": 127.0.0.1:" + port + " is in use"},
		"UAIT_MAX_INFLIGHT=65537": {78, "UAIT_MAX_INFLIGHT=65537: must be 1 to 65536"},
	} {
		t.Run(variable, func(t *testing.T) {
			refused := command(binary, variable)
			var stdout, stderr bytes.Buffer
			refused.Stdout, refused.Stderr = &stdout, &stderr
			exited, ok := errors.AsType[*exec.ExitError](refused.Run())
			if !ok || exited.ExitCode() != want.code || stderr.String() != want.line+"\n" || stdout.Len() != 0 {
				t.Errorf("got %v, stderr %q, stdout %q; want %d and %q", exited, &stderr, &stdout, want.code, want.line)
			}
		})
	}
}

func TestBinary_Signalled_ExitsByHowOften(t *testing.T) {
	binary := build(t)
	for name, c := range map[string]struct {
		signals []os.Signal
		delay   string
		code    int
	}{
		"sigterm_drains":               {[]os.Signal{syscall.SIGTERM}, "0", 0},
		"sigint_drains":                {[]os.Signal{syscall.SIGINT}, "0", 0},
		"second_signal_ends_it_at_one": {[]os.Signal{syscall.SIGTERM, syscall.SIGTERM}, "60000", 1},
	} {
		t.Run(name, func(t *testing.T) {
			running := command(binary, "UAIT_DRAIN_DELAY_MS="+c.delay)
			stdout, err := running.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := running.Start(); err != nil {
				t.Fatal(err)
			}
			// A service that does not end in time is killed, and fails the test by its exit code.
			late := time.AfterFunc(20*time.Second, func() { _ = running.Process.Kill() })
			defer late.Stop()
			lines := bufio.NewScanner(stdout)
			waitFor := []string{"serving", "draining"}
			for i, signal := range c.signals {
				awaitLine(t, lines, waitFor[i])
				if err := running.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.Copy(io.Discard, stdout); err != nil {
				t.Fatal(err)
			}
			_ = running.Wait()
			if got := running.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
		})
	}
}

// awaitLine reads log lines until one has that msg.
func awaitLine(t *testing.T, lines *bufio.Scanner, message string) {
	t.Helper()
	for lines.Scan() {
		var line struct {
			Message string `json:"msg"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not a JSON line: %s", lines.Text())
		}
		if strings.HasPrefix(line.Message, message) {
			return
		}
	}
	t.Fatalf("no line says %q", message)
}
