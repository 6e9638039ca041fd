package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	exportInterval = time.Second
	exportTimeout  = 10 * time.Second
	// batchSize is the number of spans that wakes the exporter before its interval, and the most in one request.
	batchSize = 1024
	// maxWaiting bounds the memory of spans while the collector is away, about 4 MB; later spans are dropped and counted.
	maxWaiting = 16384
	// usualSpan is the room on the stack in which a span is encoded; a longer one is encoded on the heap.
	usualSpan = 512
)

// batch is what one request carries: spans, each encoded as a field of ScopeSpans.
type batch struct {
	spans []byte
	count int
}

// recorder keeps ended spans until a goroutine of its own has exported them. A call never waits for it.
type recorder struct {
	exporter *exporter
	logger   *slog.Logger
	wake     chan struct{}
	stop     context.CancelFunc
	stopped  chan struct{}
	away     bool // of the goroutine, and of shutdown once that has ended

	mu      sync.Mutex
	full    []batch
	open    batch
	dropped int
}

func newRecorder(exporter *exporter, logger *slog.Logger) *recorder {
	ctx, stop := context.WithCancel(context.Background())
	r := &recorder{
		exporter: exporter,
		logger:   logger,
		wake:     make(chan struct{}, 1),
		stop:     stop,
		stopped:  make(chan struct{}),
	}
	go r.run(ctx)
	return r
}

// record takes an ended span; last is one more attribute, or nil.
func (r *recorder) record(s *Span, end time.Time, failed bool, last Attribute) {
	var room [usualSpan]byte
	span := appendSpan(room[:0], s, end, failed, last)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.full)*batchSize+r.open.count >= maxWaiting {
		r.dropped++
		return
	}
	r.open.spans = appendBytes(r.open.spans, fieldSpans, span)
	r.open.count++
	if r.open.count < batchSize {
		return
	}
	r.full, r.open = append(r.full, r.open), batch{}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// waiting is the number of spans that are kept.
func (r *recorder) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.full)*batchSize + r.open.count
}

func (r *recorder) run(ctx context.Context) {
	defer close(r.stopped)
	ticker := time.NewTicker(exportInterval)
	defer ticker.Stop()
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.wake:
		}
		batches, dropped := r.take(spare)
		err := r.export(ctx, batches, true)
		spare = nil
		if len(batches) > 0 {
			spare = batches[0].spans[:0]
		}
		if failed := err != nil; len(batches) > 0 && failed != r.away && ctx.Err() == nil {
			r.away = failed
			if failed {
				r.logger.Warn("spans are being lost: the collector cannot be reached", "error", err)
			} else {
				r.logger.Info("the collector takes spans again", "dropped", dropped)
			}
		}
	}
}

// take returns the waiting spans and leaves spare to gather the next ones.
func (r *recorder) take(spare []byte) (batches []batch, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	batches, dropped = r.full, r.dropped
	if r.open.count > 0 {
		batches = append(batches, r.open)
	}
	r.full, r.open, r.dropped = nil, batch{spans: spare}, 0
	return batches, dropped
}

func (r *recorder) export(ctx context.Context, batches []batch, patience bool) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	var failed error
	for _, waiting := range batches {
		if err := r.exporter.upload(ctx, waiting.spans, patience); err != nil {
			failed = err
		}
	}
	return failed
}

// shutdown exports what is waiting; a collector that was away is not waited for.
func (r *recorder) shutdown(ctx context.Context) {
	r.stop()
	<-r.stopped
	batches, dropped := r.take(nil)
	lost := dropped
	for _, waiting := range batches {
		lost += waiting.count
	}
	if r.away {
		r.logger.Warn("the last spans are lost", "dropped", lost)
	} else if err := r.export(ctx, batches, false); err != nil {
		r.logger.Warn("the last spans are lost", "dropped", lost, "error", err)
	}
	if err := r.exporter.close(); err != nil {
		r.logger.Warn("close the exporter of spans", "error", err)
	}
}
