package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	exportInterval = time.Second
	exportTimeout  = 10 * time.Second
	// batchSize is the number of spans that wakes the exporter before its interval, and the most in one request.
	batchSize = 1024
	// maxWaiting bounds the memory of spans while the collector is away, about 8 MB; later spans are dropped and counted.
	maxWaiting = 16384
)

// recorder keeps ended spans until a goroutine of its own has exported them. A call never waits for it.
type recorder struct {
	exporter *exporter
	logger   *slog.Logger
	wake     chan struct{}
	stop     context.CancelFunc
	stopped  chan struct{}
	pool     sync.Pool
	away     bool // of the goroutine, and of shutdown once that has ended

	mu      sync.Mutex
	waiting []*record
	dropped int
}

// record is an OTLP span with the memory that its fields point to, so that an ended span costs no allocation once the pool is warm.
type record struct {
	span        tracepb.Span
	ids         [32]byte
	tenant      commonpb.KeyValue
	tenantValue commonpb.AnyValue
	tenantText  commonpb.AnyValue_StringValue
}

func newRecorder(exporter *exporter, logger *slog.Logger) *recorder {
	ctx, stop := context.WithCancel(context.Background())
	r := &recorder{
		exporter: exporter,
		logger:   logger,
		wake:     make(chan struct{}, 1),
		stop:     stop,
		stopped:  make(chan struct{}),
		pool:     sync.Pool{New: func() any { return newRecord() }},
	}
	go r.run(ctx)
	return r
}

func newRecord() *record {
	r := &record{}
	r.tenant.Key, r.tenant.Value = "uait.tenant", &r.tenantValue
	r.tenantValue.Value = &r.tenantText
	return r
}

// record takes an ended span; last is one more attribute, or nil.
func (r *recorder) record(s *Span, end time.Time, status *tracepb.Status, last Attribute) {
	ended := r.pool.Get().(*record)
	copy(ended.ids[:16], s.TraceID[:])
	copy(ended.ids[16:24], s.SpanID[:])
	copy(ended.ids[24:], s.parent[:])
	span := &ended.span
	span.TraceId, span.SpanId, span.ParentSpanId = ended.ids[:16:16], ended.ids[16:24:24], nil
	if s.parent != (SpanID{}) {
		span.ParentSpanId = ended.ids[24:]
	}
	span.TraceState = s.State
	span.Name, span.Kind, span.Status = s.name, s.kind, status
	span.StartTimeUnixNano = uint64(s.start.UnixNano())
	span.EndTimeUnixNano = span.StartTimeUnixNano + uint64(max(end.Sub(s.start), 0))
	span.Attributes = append(span.Attributes[:0], s.attributes...)
	if last != nil {
		span.Attributes = append(span.Attributes, last)
	}
	if s.tenant != "" {
		ended.tenantText.StringValue = s.tenant
		span.Attributes = append(span.Attributes, &ended.tenant)
	}
	r.keep(ended)
}

func (r *recorder) keep(ended *record) {
	r.mu.Lock()
	if len(r.waiting) >= maxWaiting {
		r.dropped++
		r.mu.Unlock()
		r.pool.Put(ended)
		return
	}
	r.waiting = append(r.waiting, ended)
	full := len(r.waiting) == batchSize
	r.mu.Unlock()
	if full {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *recorder) run(ctx context.Context) {
	defer close(r.stopped)
	ticker := time.NewTicker(exportInterval)
	defer ticker.Stop()
	var spare []*record
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.wake:
		}
		batch, dropped := r.take(spare)
		err := r.export(ctx, batch)
		spare = batch
		if failed := err != nil; len(batch) > 0 && failed != r.away && ctx.Err() == nil {
			r.away = failed
			if failed {
				r.logger.Warn("spans are being lost: the collector cannot be reached", "error", err)
			} else {
				r.logger.Info("the collector takes spans again", "dropped", dropped)
			}
		}
	}
}

// take returns the waiting spans and leaves spare, emptied, to gather the next ones.
func (r *recorder) take(spare []*record) (batch []*record, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch, dropped = r.waiting, r.dropped
	r.waiting, r.dropped = spare[:0], 0
	return batch, dropped
}

func (r *recorder) export(ctx context.Context, batch []*record) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	var failed error
	for part := batch; len(part) > 0; {
		n := min(len(part), batchSize)
		spans := make([]*tracepb.Span, n)
		for i, ended := range part[:n] {
			spans[i] = &ended.span
		}
		if err := r.exporter.upload(ctx, spans); err != nil {
			failed = err
		}
		part = part[n:]
	}
	for i, ended := range batch {
		r.pool.Put(ended)
		batch[i] = nil
	}
	return failed
}

// shutdown exports what is waiting; a collector that was away is not waited for.
func (r *recorder) shutdown(ctx context.Context) {
	r.stop()
	<-r.stopped
	batch, dropped := r.take(nil)
	if r.away {
		r.logger.Warn("the last spans are lost", "dropped", dropped+len(batch))
	} else if err := r.export(ctx, batch); err != nil {
		r.logger.Warn("the last spans are lost", "dropped", dropped+len(batch), "error", err)
	}
	if err := r.exporter.close(); err != nil {
		r.logger.Warn("close the exporter of spans", "error", err)
	}
}
