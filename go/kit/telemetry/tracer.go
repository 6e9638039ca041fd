package telemetry

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"math/rand/v2"

	"uait.dev/go/kit/config"
)

// Tracer begins spans and decides which traces are sampled.
type Tracer struct {
	recording bool
	// threshold: a root trace is sampled when the low 63 bits of its id are below it, so that every service of a mesh with
	// the same ratio decides alike (the OpenTelemetry specification's TraceIdRatioBased).
	threshold uint64
	recorder  *recorder
}

func newTracer(kit config.Kit, logger *slog.Logger) (*Tracer, error) {
	if !kit.Tracing {
		return &Tracer{}, nil
	}
	exporter, err := newExporter(kit)
	if err != nil {
		return nil, err
	}
	return &Tracer{
		recording: true,
		threshold: uint64(kit.SampleRatio * math.MaxInt64),
		recorder:  newRecorder(exporter, logger),
	}, nil
}

func (t *Tracer) samples(id TraceID) bool {
	return binary.BigEndian.Uint64(id[8:])>>1 <= t.threshold && t.threshold > 0
}

func (t *Tracer) shutdown(ctx context.Context) {
	if t.recorder != nil {
		t.recorder.shutdown(ctx)
	}
}

func newTraceID() (id TraceID) {
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1)
	return id
}

func newSpanID() (id SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
