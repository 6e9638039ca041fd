package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
)

// collector takes spans as an OTLP collector does.
type collector struct {
	address string
	mu      sync.Mutex
	spans   []*tracepb.Span
	service string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: listener.Addr().String()}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); method != exportMethod {
			t.Errorf("the exporter called %s", method)
		}
		request := &tracepb.TracesData{}
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			c.service = resource.GetResource().GetAttributes()[0].GetValue().GetStringValue()
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		return stream.SendMsg(&emptypb.Empty{})
	}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c
}

func start(t *testing.T, change func(*config.Kit)) (*Telemetry, *bytes.Buffer) {
	t.Helper()
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("echo-go", 0)
	change(&kit)
	logs := &bytes.Buffer{}
	telemetry, err := New(kit, logs)
	if err != nil {
		t.Fatal(err)
	}
	return telemetry, logs
}

func TestSpan_Ended_ReachesTheCollectorWhole(t *testing.T) {
	c := startCollector(t)
	telemetry, _ := start(t, func(k *config.Kit) { k.OTLPEndpoint = "http://" + c.address })
	parent := ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	parent.State = "vendor=1"
	ctx := identity.NewContext(context.Background(), identity.Identity{Tenant: "acme"})
	ctx, outer := telemetry.Tracer.StartFrom(ctx, parent, "outer", Server, RPCAttributes("a.B", "C")...)
	_, inner := telemetry.Tracer.Start(ctx, "inner", Internal, Int("n", 7))
	inner.SetAttributes(Bool("b", true), Float("f", 0.5))
	inner.End(errors.New("secret"))
	outer.EndRPC(codes.NotFound, time.Now())
	telemetry.Shutdown(context.Background())

	if len(c.spans) != 2 || c.service != "echo-go" {
		t.Fatalf("got %d spans of %q, want 2 of echo-go", len(c.spans), c.service)
	}
	gotInner, gotOuter := c.spans[0], c.spans[1]
	if gotOuter.GetName() != "outer" || Kind(gotOuter.GetKind()) != Server || gotOuter.GetTraceState() != "vendor=1" ||
		!bytes.Equal(gotOuter.GetTraceId(), parent.TraceID[:]) || !bytes.Equal(gotOuter.GetParentSpanId(), parent.SpanID[:]) {
		t.Errorf("outer: got %v", gotOuter)
	}
	if !bytes.Equal(gotInner.GetTraceId(), parent.TraceID[:]) || !bytes.Equal(gotInner.GetParentSpanId(), gotOuter.GetSpanId()) {
		t.Errorf("inner: got %v", gotInner)
	}
	if got := attributes(gotOuter); got != `rpc.grpc.status_code=int_value:5 rpc.method=string_value:"C" rpc.service=string_value:"a.B" rpc.system=string_value:"grpc" uait.tenant=string_value:"acme"` {
		t.Errorf("outer has %s", got)
	}
	if gotInner.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || gotInner.GetStatus().GetMessage() != "" {
		t.Errorf("inner has the status %v", gotInner.GetStatus())
	}
	if gotOuter.GetStatus() != nil {
		t.Errorf("a server that answers NOT_FOUND has not failed: %v", gotOuter.GetStatus())
	}
	if gotInner.GetStartTimeUnixNano() == 0 || gotInner.GetEndTimeUnixNano() < gotInner.GetStartTimeUnixNano() {
		t.Errorf("inner lasts from %d to %d", gotInner.GetStartTimeUnixNano(), gotInner.GetEndTimeUnixNano())
	}
}

func attributes(span *tracepb.Span) string {
	var all []string
	for _, a := range span.GetAttributes() {
		all = append(all, a.GetKey()+"="+strings.ReplaceAll(a.GetValue().String(), " ", ""))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestTracer_Sampling_KeepsTheParentsDecisionAndTheRatioOfRoots(t *testing.T) {
	c := startCollector(t)
	for ratio, want := range map[float64]float64{0: 0, 0.25: 0.25, 1: 1} {
		telemetry, _ := start(t, func(k *config.Kit) { k.OTLPEndpoint, k.SampleRatio = "http://"+c.address, ratio })
		sampled := 0
		const roots = 20000
		for range roots {
			_, span := telemetry.Tracer.Start(context.Background(), "root", Internal)
			if span.Sampled {
				sampled++
			}
		}
		if got := float64(sampled) / roots; math.Abs(got-want) > 0.02 {
			t.Errorf("ratio %v: %v of the roots are sampled", ratio, got)
		}
		for _, decision := range []bool{true, false} {
			parent := SpanContext{TraceID: newTraceID(), SpanID: newSpanID(), Sampled: decision}
			if _, span := telemetry.Tracer.StartFrom(context.Background(), parent, "child", Internal); span.Sampled != decision {
				t.Errorf("ratio %v: a child of %v is %v", ratio, decision, span.Sampled)
			}
		}
		telemetry.Shutdown(context.Background())
	}
}

func TestTracer_Disabled_ForwardsTheContextAsItCame(t *testing.T) {
	telemetry, _ := start(t, func(k *config.Kit) { k.Tracing = false })
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	_, span := telemetry.Tracer.StartFrom(context.Background(), ParseTraceparent(header), "server", Server)
	span.EndRPC(codes.OK, time.Now())
	if got := span.Traceparent(); got != header {
		t.Errorf("got %s", got)
	}
	telemetry.Shutdown(context.Background())
}

func TestRecorder_CollectorAway_NeitherWaitsNorGrows(t *testing.T) {
	telemetry, _ := start(t, func(k *config.Kit) { k.OTLPEndpoint = "http://127.0.0.1:1" })
	begin := time.Now()
	for range 3 * maxWaiting {
		_, span := telemetry.Tracer.Start(context.Background(), "lost", Internal)
		span.End(nil)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("ending spans took %s", took)
	}
	recorder := telemetry.Tracer.recorder
	waiting := recorder.waiting()
	recorder.mu.Lock()
	dropped := recorder.dropped
	recorder.mu.Unlock()
	if waiting > maxWaiting || dropped == 0 {
		t.Errorf("%d spans wait and %d were dropped", waiting, dropped)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	telemetry.Shutdown(ctx)
}

func TestLogger_LineInASpan_CarriesItsIDs(t *testing.T) {
	telemetry, logs := start(t, func(k *config.Kit) { k.Tracing = false })
	parent := ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ctx, _ := telemetry.Tracer.StartFrom(context.Background(), parent, "server", Server)
	telemetry.Logger.DebugContext(ctx, "not shown at info")
	telemetry.Logger.WarnContext(ctx, "shown", "field", 7)
	var line map[string]any
	if err := json.Unmarshal(logs.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, logs)
	}
	delete(line, "time")
	got, _ := json.Marshal(line)
	want := `{"field":7,"instance":"echo-go-1","level":"warn","msg":"shown","service":"echo-go",` +
		`"span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMetrics_Counted_AppearUnderTheNamesOfTheSpecification(t *testing.T) {
	telemetry, _ := start(t, func(k *config.Kit) { k.Tracing = false })
	durations := telemetry.Metrics.Durations("a.B", "C")
	durations.Observe(codes.OK, time.Millisecond)
	durations.Observe(codes.OK, time.Millisecond)
	durations.Observe(codes.NotFound, time.Millisecond)
	durations.Observe(codes.Code(99), time.Millisecond)
	telemetry.Metrics.InFlight().Add(3)
	telemetry.Metrics.Published("echo", "stored")
	telemetry.Metrics.Handled("echo", "failed")
	for name, want := range map[string]int{
		"rpc_server_duration_seconds": 3, "rpc_server_in_flight": 1, "events_published_total": 1, "events_handled_total": 1,
		"process_resident_memory_bytes": 1, "go_goroutines": 1,
	} {
		if got, err := testutil.GatherAndCount(telemetry.Registry, name); err != nil || got != want {
			t.Errorf("%s: got %d series, %v; want %d", name, got, err, want)
		}
	}
	if err := testutil.GatherAndCompare(telemetry.Registry, strings.NewReader(`
# HELP rpc_server_in_flight Calls in flight.
# TYPE rpc_server_in_flight gauge
rpc_server_in_flight 3
`), "rpc_server_in_flight"); err != nil {
		t.Error(err)
	}
}

func FuzzParseTraceparent(f *testing.F) {
	for _, seed := range []string{
		"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		parsed := ParseTraceparent(header)
		if !parsed.Valid() {
			if parsed != (SpanContext{}) {
				t.Errorf("%q: half read as %+v", header, parsed)
			}
			return
		}
		if again := ParseTraceparent(parsed.Traceparent()); again != parsed {
			t.Errorf("%q: read as %+v, written and read again %+v", header, parsed, again)
		}
		if !strings.Contains(header, parsed.TraceID.String()+"-"+parsed.SpanID.String()) {
			t.Errorf("%q: read as %+v", header, parsed)
		}
	})
}

func TestParseTraceparent_Versions_AreReadAsTheStandardSays(t *testing.T) {
	const ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
	for header, want := range map[string]bool{
		"00-" + ids + "-01": true, "00-" + ids + "-00": true, "00-" + ids + "-01-x": false, "01-" + ids + "-01-x": true,
		"01-" + ids + "-01x": false, "ff-" + ids + "-01": false, "00-" + strings.ToUpper(ids) + "-01": false, ids: false,
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": false,
	} {
		if got := ParseTraceparent(header).Valid(); got != want {
			t.Errorf("%s: got %v, want %v", header, got, want)
		}
	}
}
