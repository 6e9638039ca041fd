// Package load measures how busy the process is, and tells callers and the balancer.
package load

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	lbv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

// TrailerKey is the trailer of Open Request Cost Aggregation (ORCA) per-call reports.
const TrailerKey = "endpoint-load-metrics"

const measureInterval = time.Second

// Meter counts calls and measures the process once a second. It is safe for concurrent use.
type Meter struct {
	inFlight *atomic.Int64
	limit    int64
	finished atomic.Uint64
	faults   atomic.Uint64
	report   atomic.Pointer[report]
}

type report struct {
	utilisation *lbv1.Utilisation
	trailer     metadata.MD
}

// NewMeter makes a meter of a process that takes at most limit calls at once.
func NewMeter(inFlight *atomic.Int64, limit int64) *Meter {
	m := &Meter{inFlight: inFlight, limit: limit}
	m.report.Store(newReport(&lbv1.Utilisation{}))
	return m
}

// Finished counts a call that ended with code.
func (m *Meter) Finished(code codes.Code) {
	m.finished.Add(1)
	switch code {
	case codes.Unknown, codes.Internal, codes.Unavailable, codes.DataLoss:
		m.faults.Add(1)
	default:
	}
}

// Utilisation is the last measurement; it must not be changed.
func (m *Meter) Utilisation() *lbv1.Utilisation { return m.report.Load().utilisation }

// Trailer is the last measurement as the trailer of a call; it must not be changed.
func (m *Meter) Trailer() metadata.MD { return m.report.Load().trailer }

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	ticker := time.NewTicker(measureInterval)
	defer ticker.Stop()
	previous := m.sample()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			current := m.sample()
			m.report.Store(newReport(m.between(previous, current)))
			previous = current
		}
	}
}

// sample is what the counters say at one moment.
type sample struct {
	time             time.Time
	processor        time.Duration
	finished, faults uint64
}

func (m *Meter) sample() sample {
	return sample{time: time.Now(), processor: processorTime(), finished: m.finished.Load(), faults: m.faults.Load()}
}

func (m *Meter) between(before, after sample) *lbv1.Utilisation {
	elapsed := after.time.Sub(before.time).Seconds()
	if elapsed <= 0 {
		return m.Utilisation()
	}
	return &lbv1.Utilisation{
		Cpu:         min(1, (after.processor-before.processor).Seconds()/elapsed/float64(processors())),
		Memory:      residentShare(),
		Application: min(1, float64(m.inFlight.Load())/float64(m.limit)),
		Rps:         float64(after.finished-before.finished) / elapsed,
		Eps:         float64(after.faults-before.faults) / elapsed,
	}
}

func newReport(u *lbv1.Utilisation) *report {
	text := append([]byte("TEXT cpu_utilization="), decimal(u.GetCpu())...)
	text = append(append(text, ", mem_utilization="...), decimal(u.GetMemory())...)
	text = append(append(text, ", application_utilization="...), decimal(u.GetApplication())...)
	text = append(append(text, ", rps_fractional="...), decimal(u.GetRps())...)
	text = append(append(text, ", eps="...), decimal(u.GetEps())...)
	return &report{utilisation: u, trailer: metadata.MD{TrailerKey: {string(text)}}}
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 5, 64) }
