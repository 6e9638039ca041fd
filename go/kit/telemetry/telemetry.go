// Package telemetry records spans, metrics and logs. Spans are its own small structs, exported over OTLP, because
// a general SDK would by itself spend the processor time that a call through the kit may cost (decision 0020).
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"uait.dev/go/kit/config"
)

// Telemetry is a process's logger, tracer and metrics.
type Telemetry struct {
	// Logger writes JSON lines that carry the trace of the context they are logged with.
	Logger *slog.Logger
	// Tracer makes spans.
	Tracer *Tracer
	// Registry is what /metrics shows; a service registers its own collectors in it.
	Registry *prometheus.Registry
	// Metrics are those that every service has.
	Metrics *Metrics
}

// New starts telemetry as the environment wants it; logs go to out.
func New(kit config.Kit, out io.Writer) (*Telemetry, error) {
	logger := NewLogger(out, kit.LogLevel, kit.Service, kit.Instance)
	tracer, err := newTracer(kit, logger)
	if err != nil {
		return nil, fmt.Errorf("start tracing: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &Telemetry{Logger: logger, Tracer: tracer, Registry: registry, Metrics: newMetrics(registry)}, nil
}

// Shutdown exports the spans still waiting, for as long as ctx lives.
func (t *Telemetry) Shutdown(ctx context.Context) { t.Tracer.shutdown(ctx) }
