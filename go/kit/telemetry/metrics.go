package telemetry

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// Metrics are the metrics that every service has; CONTRIBUTING.md names them.
type Metrics struct {
	durations *prometheus.HistogramVec
	inFlight  atomic.Int64
	published *prometheus.CounterVec
	handled   *prometheus.CounterVec
}

// durationBuckets reach from a fast unary call to a long stream, in seconds.
var durationBuckets = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}

func newMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rpc_server_duration_seconds",
			Help:    "Time from a call's start to its end.",
			Buckets: durationBuckets,
		}, []string{"rpc_service", "rpc_method", "rpc_grpc_status_code"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_published_total",
			Help: "Events published, by outcome: stored, duplicate or failed.",
		}, []string{"area", "outcome"}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_handled_total",
			Help: "Deliveries of events, by outcome: handled, duplicate or failed.",
		}, []string{"area", "outcome"}),
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rpc_server_in_flight",
		Help: "Calls in flight.",
	}, func() float64 { return float64(m.inFlight.Load()) })
	registry.MustRegister(m.durations, inFlight, m.published, m.handled)
	return m
}

// InFlight counts the calls in flight.
func (m *Metrics) InFlight() *atomic.Int64 { return &m.inFlight }

// Published counts an event of area that was published with outcome: stored, duplicate or failed.
func (m *Metrics) Published(area, outcome string) { m.published.WithLabelValues(area, outcome).Inc() }

// Handled counts a delivery of an event of area that ended with outcome: handled, duplicate or failed.
func (m *Metrics) Handled(area, outcome string) { m.handled.WithLabelValues(area, outcome).Inc() }

// Durations holds the histograms of one method, looked up once for each code.
type Durations struct {
	metrics         *Metrics
	service, method string
	byCode          [numCodes]atomic.Pointer[prometheus.Observer]
}

// Durations makes the histograms of a method.
func (m *Metrics) Durations(service, method string) *Durations {
	return &Durations{metrics: m, service: service, method: method}
}

// Observe counts a call that ended with code after elapsed.
func (d *Durations) Observe(code codes.Code, elapsed time.Duration) {
	if int(code) >= numCodes {
		code = codes.Unknown
	}
	observer := d.byCode[code].Load()
	if observer == nil {
		made := d.metrics.durations.WithLabelValues(d.service, d.method, strconv.Itoa(int(code)))
		observer = &made
		d.byCode[code].Store(observer)
	}
	(*observer).Observe(elapsed.Seconds())
}
