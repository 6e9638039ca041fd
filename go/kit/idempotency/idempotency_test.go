package idempotency

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
)

func as(tenant string) context.Context {
	return identity.NewContext(context.Background(), identity.Identity{Tenant: tenant})
}

// counter is work that answers with how often it was done.
type counter struct{ done atomic.Int32 }

func (c *counter) work(context.Context) (*echov1.CollectResponse, error) {
	return &echov1.CollectResponse{Count: c.done.Add(1)}, nil
}

func (c *counter) do(t *testing.T, m *Memo, ctx context.Context, rpc, id, message string) int32 {
	t.Helper()
	answer, err := Do(ctx, m, rpc, id, &echov1.CollectRequest{Message: message}, c.work)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetCount()
}

func TestDo_repeated_returnsTheFirstAnswerForTenMinutes(t *testing.T) {
	now := time.Unix(0, 0)
	m := New(func() time.Time { return now })
	var c counter
	if first, second := c.do(t, m, as("acme"), "Make", "r", "x"), c.do(t, m, as("acme"), "Make", "r", "x"); first != 1 || second != 1 {
		t.Errorf("got %d and %d", first, second)
	}
	if other := c.do(t, m, as("globex"), "Make", "r", "y"); other != 2 {
		t.Errorf("another tenant got %d", other)
	}
	if other := c.do(t, m, as("acme"), "Unmake", "r", "y"); other != 3 {
		t.Errorf("another rpc got %d", other)
	}
	_, err := Do(as("acme"), m, "Make", "r", &echov1.CollectRequest{Message: "y"}, c.work)
	if refused, ok := errors.AsType[*status.Error](err); !ok || refused.Reason != errorv1.Reason_REASON_REQUEST_ID_REUSED {
		t.Errorf("another request got %v", err)
	}
	now = now.Add(remember + time.Second)
	if late := c.do(t, m, as("acme"), "Make", "r", "x"); late != 4 || len(m.calls) != 1 {
		t.Errorf("ten minutes later got %d, %d are remembered", late, len(m.calls))
	}
}

func TestDo_firstStillUnderWay_isJoined(t *testing.T) {
	m := New(time.Now)
	began, goOn := make(chan struct{}), make(chan struct{})
	var c counter
	slow := func(ctx context.Context) (*echov1.CollectResponse, error) {
		close(began)
		<-goOn
		return c.work(ctx)
	}
	request := &echov1.CollectRequest{Message: "x"}
	var callers sync.WaitGroup
	callers.Go(func() { _, _ = Do(as("acme"), m, "Make", "r", request, slow) })
	<-began
	callers.Go(func() {
		if answer, err := Do(as("acme"), m, "Make", "r", request, c.work); err != nil || answer.GetCount() != 1 {
			t.Errorf("got %v, %v", answer, err)
		}
	})
	gone, cancel := context.WithCancel(as("acme"))
	cancel()
	if _, err := Do(gone, m, "Make", "r", request, c.work); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone got %v", err)
	}
	close(goOn)
	callers.Wait()
}

func TestDo_workFailedOrPanicked_isDoneAnew(t *testing.T) {
	m := New(time.Now)
	request := &echov1.CollectRequest{Message: "x"}
	failed := errors.New("no")
	fail := func(context.Context) (*echov1.CollectResponse, error) { return nil, failed }
	if _, err := Do(as("acme"), m, "Make", "r", request, fail); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = Do(as("acme"), m, "Make", "r", request, func(context.Context) (*echov1.CollectResponse, error) { panic("no") })
	}()
	var c counter
	if got := c.do(t, m, as("acme"), "Make", "r", "x"); got != 1 {
		t.Errorf("got %d", got)
	}
}
