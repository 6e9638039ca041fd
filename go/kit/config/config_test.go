package config

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func read(variables map[string]string) (Kit, error) {
	environment := From(func(name string) (string, bool) {
		value, set := variables[name]
		return value, set
	}, 4711)
	kit := environment.Kit("echo-go", 8002)
	return kit, environment.Err()
}

func TestKit_NothingSet_HasTheDefaultsOfTheTable(t *testing.T) {
	kit, err := read(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Kit{
		Service: "echo-go", Instance: "echo-go-4711", Host: "127.0.0.1", Port: 8002, HTTPPort: 18002,
		Mesh: "127.0.0.1:10001", NATSURL: "nats://127.0.0.1:4222", Lease: true, LogLevel: slog.LevelInfo,
		DrainDelay: time.Second, DrainTimeout: 10 * time.Second, MaxMessageBytes: 4194304, MaxStreams: 4096, MaxInflight: 4096,
		Deadline: 30 * time.Second, OTLPEndpoint: "http://127.0.0.1:4317", Tracing: true, SampleRatio: 1,
	}
	if kit != want {
		t.Errorf("got  %+v\nwant %+v", kit, want)
	}
}

func TestKit_EverythingSet_IsTaken(t *testing.T) {
	kit, err := read(map[string]string{
		"UAIT_SERVICE": "other", "UAIT_INSTANCE": "A.b_c-1", "UAIT_HOST": "::1", "UAIT_PORT": "65535", "UAIT_HTTP_PORT": "1",
		"UAIT_MESH": "envoy.example:1", "UAIT_NATS_URL": "off", "UAIT_LEASE": "off", "UAIT_ZONE": "zürich", "UAIT_LOG_LEVEL": "debug",
		"UAIT_DRAIN_DELAY_MS": "0", "UAIT_DRAIN_TIMEOUT_MS": "600000", "UAIT_MAX_MESSAGE_BYTES": "1024", "UAIT_MAX_STREAMS": "65536",
		"UAIT_MAX_INFLIGHT": "1", "UAIT_DEADLINE_MS": "3600000", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector",
		"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_SAMPLER_ARG": "0.25",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Kit{
		Service: "other", Instance: "A.b_c-1", Host: "::1", Port: 65535, HTTPPort: 1, Mesh: "envoy.example:1", Zone: "zürich",
		LogLevel: slog.LevelDebug, DrainTimeout: 10 * time.Minute, MaxMessageBytes: 1024, MaxStreams: 65536, MaxInflight: 1,
		Deadline: time.Hour, OTLPEndpoint: "https://collector", SampleRatio: 0.25,
	}
	if kit != want {
		t.Errorf("got  %+v\nwant %+v", kit, want)
	}
}

func TestKit_ValueOutsideItsRange_IsRefusedByNameAndRange(t *testing.T) {
	long := strings.Repeat("a", 129)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	cases := []struct{ variable, value, allowed string }{
		{"UAIT_SERVICE", "Echo", "[a-z][a-z0-9-]{0,62}"},
		{"UAIT_SERVICE", "echo\n", "[a-z][a-z0-9-]{0,62}"},
		{"UAIT_SERVICE", strings.Repeat("a", 64), "[a-z][a-z0-9-]{0,62}"},
		{"UAIT_INSTANCE", long, "1 to 128 of [A-Za-z0-9._-]"},
		{"UAIT_INSTANCE", "a b", "1 to 128 of [A-Za-z0-9._-]"},
		{"UAIT_HOST", "localhost", "an IP address"},
		{"UAIT_PORT", "65536", "0 to 65535"},
		{"UAIT_PORT", "-1", "0 to 65535"},
		{"UAIT_PORT", "eighty", "0 to 65535"},
		{"UAIT_HTTP_PORT", "80.5", "0 to 65535"},
		{"UAIT_MESH", "127.0.0.1", "host:port"},
		{"UAIT_MESH", ":1", "host:port"},
		{"UAIT_MESH", "host:0", "host:port"},
		{"UAIT_NATS_URL", "127.0.0.1:4222", "nats://host:port, or off"},
		{"UAIT_NATS_URL", "nats://127.0.0.1", "nats://host:port, or off"},
		{"UAIT_LEASE", "yes", "on, off"},
		{"UAIT_ZONE", strings.Repeat("ü", 65), "at most 64 characters"},
		{"UAIT_LOG_LEVEL", "loud", "debug, info, warn, error"},
		{"UAIT_DRAIN_DELAY_MS", "60001", "0 to 60000"},
		{"UAIT_DRAIN_TIMEOUT_MS", "600001", "0 to 600000"},
		{"UAIT_MAX_MESSAGE_BYTES", "1023", "1024 to 268435456"},
		{"UAIT_MAX_STREAMS", "0", "1 to 65536"},
		{"UAIT_MAX_INFLIGHT", "65537", "1 to 65536"},
		{"UAIT_DEADLINE_MS", "0", "1 to 3600000"},
		{"UAIT_TLS_CERT", missing, "paths of PEM files, all three or none"},
		{"UAIT_TLS_KEY", missing, "paths of PEM files, all three or none"},
		{"UAIT_TLS_CA", missing, "paths of PEM files, all three or none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317", "URL"},
		{"OTEL_SDK_DISABLED", "1", "true, false"},
		{"OTEL_TRACES_SAMPLER_ARG", "1.1", "0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "0 to 1"},
	}
	for _, c := range cases {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			_, err := read(map[string]string{c.variable: c.value})
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok {
				t.Fatalf("got %v, want a refusal", err)
			}
			if want := c.variable + "=" + c.value + ": must be " + c.allowed; refusal.Error() != want {
				t.Errorf("got %q, want %q", refusal, want)
			}
		})
	}
}

func TestKit_SetToNothing_CountsAsNotSet(t *testing.T) {
	want, _ := read(nil)
	got, err := read(map[string]string{"UAIT_PORT": "", "UAIT_SERVICE": "", "UAIT_TLS_CERT": "", "OTEL_SDK_DISABLED": ""})
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestKit_TwoRefused_NamesTheFirst(t *testing.T) {
	_, err := read(map[string]string{"UAIT_HOST": "x", "UAIT_DEADLINE_MS": "0"})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Variable != "UAIT_HOST" {
		t.Errorf("got %v, want UAIT_HOST refused", err)
	}
}

func TestKit_HTTPPort_FollowsThePortWhereItFits(t *testing.T) {
	for port, want := range map[string]int{"0": 0, "1": 10001, "55535": 65535, "55536": 0} {
		kit, err := read(map[string]string{"UAIT_PORT": port})
		if err != nil || kit.HTTPPort != want {
			t.Errorf("UAIT_PORT=%s: got %d, %v; want %d", port, kit.HTTPPort, err, want)
		}
	}
}

func TestKit_TLS_NeedsAllThree(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(file, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"UAIT_TLS_CERT": file, "UAIT_TLS_KEY": file, "UAIT_TLS_CA": file}
	for name := range all {
		some := maps.Clone(all)
		delete(some, name)
		_, err := read(some)
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Variable != name {
			t.Errorf("without %s: got %v, want it refused", name, err)
		}
	}
	if _, err := read(all); err == nil {
		t.Error("files that are not PEM were taken")
	}
}
