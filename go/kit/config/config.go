// Package config reads a service's environment, and refuses to start on a value outside its range.
package config

import (
	"log/slog"
	"net"
	"strconv"
	"time"
)

// Kit is what every service takes from its environment; CONTRIBUTING.md has the table.
type Kit struct {
	// Service is the catalogue name, `service.name` in telemetry and the name of the durable consumers.
	Service string
	// Instance is unique among the processes of the mesh.
	Instance string
	// Host is the IP address on which gRPC and HTTP listen.
	Host string
	// Port takes gRPC; 0 takes a free one.
	Port int
	// HTTPPort takes /metrics and /healthz; 0 takes a free one.
	HTTPPort int
	// Mesh is the host:port of Envoy's mesh listener, the only address that the service dials.
	Mesh string
	// NATSURL is the event log; empty when it is off.
	NATSURL string
	// Lease says whether to join the balancer's endpoints.
	Lease bool
	// Zone is the locality of the endpoint; empty for none.
	Zone string
	// LogLevel is the least level logged.
	LogLevel slog.Level
	// DrainDelay is how long calls are still taken after health turned NOT_SERVING.
	DrainDelay time.Duration
	// DrainTimeout is how long calls in flight may take after the delay.
	DrainTimeout time.Duration
	// MaxMessageBytes is the largest message, received or sent.
	MaxMessageBytes int
	// MaxStreams is the number of concurrent streams of one connection.
	MaxStreams uint32
	// MaxInflight is the number of calls in flight of the process; more are refused.
	MaxInflight int64
	// Deadline is given to an outgoing unary call whose caller set none.
	Deadline time.Duration
	// TLS holds the keys of mutual TLS; nil when the service speaks plain text.
	TLS *TLS
	// OTLPEndpoint is the URL to which spans are exported, OTLP over gRPC.
	OTLPEndpoint string
	// Tracing says whether spans are recorded; trace context is forwarded in any case.
	Tracing bool
	// SampleRatio is the share of root traces that is sampled, 0 to 1.
	SampleRatio float64
}

// Address is where the service listens for gRPC.
func (k Kit) Address() string { return net.JoinHostPort(k.Host, strconv.Itoa(k.Port)) }

// HTTPAddress is where the service listens for HTTP.
func (k Kit) HTTPAddress() string { return net.JoinHostPort(k.Host, strconv.Itoa(k.HTTPPort)) }

// httpPortOffset lies between a service's gRPC port and the default of its HTTP port.
const httpPortOffset = 10000

// Kit reads the variables that every service has; service and port are its defaults from the catalogue.
func (e *Environment) Kit(service string, port int) Kit {
	k := Kit{
		Service: e.Match("UAIT_SERVICE", service, serviceName),
		Host:    e.Check("UAIT_HOST", "127.0.0.1", "an IP address", isIP),
		Port:    e.Int("UAIT_PORT", port, 0, 65535),
		Mesh:    e.Check("UAIT_MESH", "127.0.0.1:10001", "host:port", isHostPort),
		NATSURL: e.Check("UAIT_NATS_URL", "nats://127.0.0.1:4222", "nats://host:port, or off", isNATSURL),
		Lease:   e.OneOf("UAIT_LEASE", "on", "on", "off") == "on",
		Zone:    e.Check("UAIT_ZONE", "", "at most 64 characters", isZone),

		LogLevel:        levels[e.OneOf("UAIT_LOG_LEVEL", "info", "debug", "info", "warn", "error")],
		DrainDelay:      e.Millis("UAIT_DRAIN_DELAY_MS", 1000, 0, 60000),
		DrainTimeout:    e.Millis("UAIT_DRAIN_TIMEOUT_MS", 10000, 0, 600000),
		MaxMessageBytes: e.Int("UAIT_MAX_MESSAGE_BYTES", 4<<20, 1024, 256<<20),
		MaxStreams:      uint32(e.Int("UAIT_MAX_STREAMS", 4096, 1, 65536)),
		MaxInflight:     int64(e.Int("UAIT_MAX_INFLIGHT", 4096, 1, 65536)),
		Deadline:        e.Millis("UAIT_DEADLINE_MS", 30000, 1, 3600000),
		TLS:             e.tls(),
		OTLPEndpoint:    e.Check("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317", "URL", isURL),
		Tracing:         e.OneOf("OTEL_SDK_DISABLED", "false", "true", "false") == "false",
		SampleRatio:     e.Float("OTEL_TRACES_SAMPLER_ARG", 1, 0, 1),
	}
	k.Instance = e.Match("UAIT_INSTANCE", k.Service+"-"+strconv.Itoa(e.pid), instanceName)
	httpPort := 0
	if k.Port > 0 && k.Port+httpPortOffset <= 65535 {
		httpPort = k.Port + httpPortOffset
	}
	k.HTTPPort = e.Int("UAIT_HTTP_PORT", httpPort, 0, 65535)
	if k.NATSURL == "off" {
		k.NATSURL = ""
	}
	return k
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}
