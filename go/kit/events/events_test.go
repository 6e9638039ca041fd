package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/natstest"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
	"uait.dev/go/kit/validate"
)

func newLog(t *testing.T, url, service string) *Log {
	t.Helper()
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit(service, 0)
	kit.NATSURL, kit.Tracing = url, false
	own, err := telemetry.New(kit, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	validator, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	return New(kit, own, validator)
}

func startLog(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		l.Close(ctx)
	})
}

// acme is a context of the tenant acme that lives as long as a test may take.
func acme(t *testing.T, timeout time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return identity.NewContext(ctx, identity.Identity{Tenant: "acme"})
}

func echoed(message string) *eventv1.Event {
	return &eventv1.Event{Payload: &eventv1.Event_Echoed{Echoed: &eventv1.Echoed{Message: message}}}
}

// await waits until holds, and fails the test when ctx ends before.
func await(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestPublish_RequestRepeated_ReturnsTheFirstReceipt(t *testing.T) {
	nats := natstest.Start(t)
	ctx := acme(t, 30*time.Second)
	first, second := newLog(t, nats.URL, "echo-go"), newLog(t, nats.URL, "echo-go")
	other := newLog(t, nats.URL, "echo-ts")
	for _, l := range []*Log{first, second, other} {
		startLog(t, l)
	}
	publish := func(l *Log, ctx context.Context, request string) Receipt {
		t.Helper()
		receipt, err := l.Publish(ctx, "echo", request, echoed("x"))
		if err != nil {
			t.Fatal(err)
		}
		return receipt
	}
	original := publish(first, ctx, "r1")
	if original.Sequence != 1 || original.Duplicate {
		t.Errorf("got %+v", original)
	}
	repeat := publish(second, ctx, "r1")
	if want := (Receipt{ID: original.ID, Sequence: 1, Duplicate: true}); repeat != want {
		t.Errorf("by a second replica: got %+v, want %+v", repeat, want)
	}
	globex := identity.NewContext(ctx, identity.Identity{Tenant: "globex"})
	for name, receipt := range map[string]Receipt{
		"another_request": publish(first, ctx, "r2"), "another_tenant": publish(first, globex, "r1"),
		"another_service": publish(other, ctx, "r1"), "no_request_id": publish(first, ctx, ""),
	} {
		if receipt.Duplicate || receipt.ID == original.ID {
			t.Errorf("%s: got %+v", name, receipt)
		}
	}
}

func TestPublish_HappenedBefore_KeepsItsTime(t *testing.T) {
	l := newLog(t, natstest.Start(t).URL, "echo-go")
	times := make(chan time.Time, 2)
	l.Consume("echo", func(_ context.Context, event *eventv1.Event) error {
		times <- event.GetTime().AsTime()
		return nil
	})
	startLog(t, l)
	before := time.Unix(1_000_000, 0).UTC()
	event := echoed("x")
	event.Time = timestamppb.New(before)
	if _, err := l.Publish(acme(t, 10*time.Second), "echo", "", event); err != nil {
		t.Fatal(err)
	}
	if got := <-times; !got.Equal(before) {
		t.Errorf("it is dated %s", got)
	}
}

func TestPublish_NATSAway_IsUnavailableBeforeTheDeadline(t *testing.T) {
	for name, url := range map[string]string{"away": "nats://127.0.0.1:1", "off": ""} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, url, "echo-go")
			startLog(t, l)
			ctx := acme(t, 500*time.Millisecond)
			_, err := l.Publish(ctx, "echo", "", echoed("x"))
			failed, ok := errors.AsType[*status.Error](err)
			if !ok || failed.Code != codes.Unavailable || failed.Reason != errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE ||
				failed.Metadata["dependency"] != "nats" {
				t.Errorf("got %v", err)
			}
			if ctx.Err() != nil {
				t.Error("the answer came after the caller had gone")
			}
			if state := l.State(); state == Up {
				t.Errorf("the state is %s", state)
			}
		})
	}
}

func TestPublish_NATSComesLater_IsStored(t *testing.T) {
	nats := natstest.New(t)
	l := newLog(t, nats.URL, "echo-go")
	var state atomic.Value
	l.OnChange(func(s State) { state.Store(s) })
	startLog(t, l)
	published := make(chan error, 1)
	go func() {
		_, err := l.Publish(acme(t, 30*time.Second), "echo", "", echoed("x"))
		published <- err
	}()
	nats.Start(t)
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	ctx := acme(t, 10*time.Second)
	await(t, ctx, "the state up", func() bool { return state.Load() == Up && l.State() == Up })
	nats.Kill(t)
	await(t, ctx, "the state down", func() bool { return state.Load() == Down && l.State() == Down })
}

func TestPublish_EventWithoutTenantOrPayload_IsRefused(t *testing.T) {
	l := newLog(t, "", "echo-go")
	if _, err := l.Publish(context.Background(), "echo", "", echoed("x")); err == nil {
		t.Error("an event of nobody was taken")
	}
	if _, err := l.Publish(acme(t, time.Second), "echo", "", &eventv1.Event{}); err == nil {
		t.Error("an event of nothing was taken")
	}
	if _, err := l.Publish(acme(t, time.Second), "echo", "", echoed("")); err == nil {
		t.Error("an event that breaks its rules was taken")
	}
}

// tally counts how often each event was handled.
type tally struct {
	mu    sync.Mutex
	times map[string]int
}

func (c *tally) handle(_ context.Context, event *eventv1.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[string]int{}
	}
	c.times[event.GetId()]++
	return nil
}

func (c *tally) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

func TestConsume_Event_IsHandledForItsTenantInItsTrace(t *testing.T) {
	nats := natstest.Start(t)
	l := newLog(t, nats.URL, "echo-go")
	type saw struct {
		event  *eventv1.Event
		tenant string
		trace  telemetry.SpanContext
	}
	handled := make(chan saw, 1)
	l.Consume("echo", func(ctx context.Context, event *eventv1.Event) error {
		handled <- saw{event, identity.FromContext(ctx).Tenant, telemetry.FromContext(ctx)}
		return nil
	})
	startLog(t, l)
	parent := telemetry.ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ctx, _ := l.telemetry.Tracer.StartFrom(acme(t, 30*time.Second), parent, "call", telemetry.Server)
	receipt, err := l.Publish(ctx, "echo", "", echoed("news"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-handled:
		if got.event.GetId() != receipt.ID || got.event.GetEchoed().GetMessage() != "news" || got.event.GetSource() != "echo-go" ||
			got.tenant != "acme" || got.trace.TraceID != parent.TraceID || got.event.GetTime() == nil {
			t.Errorf("got %+v", got)
		}
	case <-ctx.Done():
		t.Fatal("the event was not handled")
	}
}

func TestConsume_HandlerFailsOrPanics_IsTriedAgain(t *testing.T) {
	nats := natstest.Start(t)
	l := newLog(t, nats.URL, "echo-go")
	var attempts atomic.Int32
	done := make(chan time.Time, 1)
	begin := time.Now()
	l.Consume("echo", func(context.Context, *eventv1.Event) error {
		switch attempts.Add(1) {
		case 1:
			return errors.New("not yet")
		case 2:
			panic("nor now")
		default:
			done <- time.Now()
			return nil
		}
	})
	startLog(t, l)
	ctx := acme(t, 30*time.Second)
	if _, err := l.Publish(ctx, "echo", "", echoed("x")); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-done:
		if waited := at.Sub(begin); waited < 300*time.Millisecond {
			t.Errorf("three attempts took %s, which leaves no back-off of 0.1 s and 0.2 s", waited)
		}
	case <-ctx.Done():
		t.Fatalf("the event was given up after %d attempts", attempts.Load())
	}
}

func TestConsume_ServiceStartsAgain_GoesOnWhereItWas(t *testing.T) {
	nats := natstest.Start(t)
	ctx := acme(t, 30*time.Second)
	var first, second tally
	before := newLog(t, nats.URL, "echo-go")
	before.Consume("echo", first.handle)
	startLog(t, before)
	publish := func(l *Log, request string) string {
		t.Helper()
		receipt, err := l.Publish(ctx, "echo", request, echoed("x"))
		if err != nil {
			t.Fatal(err)
		}
		return receipt.ID
	}
	publish(before, "a")
	await(t, ctx, "the first event", func() bool { return first.count() == 1 })
	before.Close(ctx)

	publisher := newLog(t, nats.URL, "other")
	startLog(t, publisher)
	missed := publish(publisher, "b")
	after := newLog(t, nats.URL, "echo-go")
	after.Consume("echo", second.handle)
	startLog(t, after)
	await(t, ctx, "the missed event", func() bool { return second.count() > 0 })
	if second.times[missed] != 1 || second.count() != 1 {
		t.Errorf("got %v, want only %s", second.times, missed)
	}
}

// An OK of Publish means that the event is on disk: killing NATS under load neither loses nor doubles one.
func TestPublish_NATSKilledUnderLoad_LosesAndDoublesNothing(t *testing.T) {
	const rounds, publishers = 4, 8
	nats := natstest.Start(t)
	ctx := acme(t, 2*time.Minute)
	var handled tally
	l := newLog(t, nats.URL, "echo-go")
	l.Consume("echo", handled.handle)
	startLog(t, l)

	var mu sync.Mutex
	receipts := map[string]uint64{}
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	for publisher := range publishers {
		publishing.Go(func() {
			for number := 0; ; number++ {
				select {
				case <-stop:
					return
				default:
				}
				receipt, err := l.Publish(ctx, "echo", fmt.Sprintf("p%d-%d", publisher, number), echoed("x"))
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				mu.Lock()
				receipts[receipt.ID] = receipt.Sequence
				mu.Unlock()
			}
		})
	}
	stored := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(receipts)
	}
	for range rounds {
		target := stored() + 200
		await(t, ctx, "200 more events", func() bool { return stored() >= target || t.Failed() })
		nats.Kill(t)
		nats.Start(t)
	}
	target := stored() + 200
	await(t, ctx, "200 events after the last kill", func() bool { return stored() >= target || t.Failed() })
	close(stop)
	publishing.Wait()

	await(t, ctx, "every event to be handled", func() bool { return handled.count() >= len(receipts) })
	for id := range receipts {
		if handled.times[id] != 1 {
			t.Errorf("event %s was handled %d times", id, handled.times[id])
		}
	}
	if len(handled.times) != len(receipts) {
		t.Errorf("%d events were stored and %d handled", len(receipts), len(handled.times))
	}
	info, err := l.stream.Stream(ctx, StreamName("echo"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.CachedInfo().State.Msgs; got != uint64(len(receipts)) {
		t.Errorf("the stream holds %d messages for %d events", got, len(receipts))
	}
	t.Logf("%d events over %d kills", len(receipts), rounds)
}

func TestHandledSet_MoreThanItKeeps_ForgetsTheOldest(t *testing.T) {
	set := newHandledSet(2)
	for _, id := range []string{"a", "b", "c"} {
		if got := set.begin(id); got != fresh {
			t.Errorf("%s: got %d, want fresh", id, got)
		}
		if got := set.begin(id); got != running {
			t.Errorf("%s: got %d, want running", id, got)
		}
		set.end(id, true)
	}
	for id, want := range map[string]progress{"a": fresh, "b": done, "c": done} {
		if got := set.begin(id); got != want {
			t.Errorf("%s: got %d, want %d", id, got, want)
		}
	}
	set.end("a", false)
	if got := set.begin("a"); got != fresh {
		t.Errorf("a after its handler failed: got %d, want fresh", got)
	}
	if len(set.progress) > 3 {
		t.Errorf("%d ids are kept", len(set.progress))
	}
}
