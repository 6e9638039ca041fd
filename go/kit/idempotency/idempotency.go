// Package idempotency makes a repeat of a mutating call return the first answer, or join the work that is still under way.
package idempotency

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
)

// remember is for how long a service without a store remembers (proto/README.md).
const remember = 10 * time.Minute

// Digest is what tells two requests of one request_id apart.
func Digest(request proto.Message) ([sha256.Size]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("marshal a request: %w", err)
	}
	return sha256.Sum256(data), nil
}

// Reused refuses a request_id that came before with another request.
func Reused(requestID string) error {
	return &status.Error{
		Code:     codes.InvalidArgument,
		Reason:   errorv1.Reason_REASON_REQUEST_ID_REUSED,
		Message:  fmt.Sprintf("the request_id %q was used before with a different request", requestID),
		Metadata: map[string]string{"request_id": requestID},
	}
}

// Memo remembers answers in memory, for ten minutes. It is safe for concurrent use.
type Memo struct {
	now func() time.Time

	mu      sync.Mutex
	calls   map[key]*call
	settled []*call // by the time they ended
}

type key struct{ tenant, rpc, requestID string }

// call is the first call of a request_id.
type call struct {
	key    key
	digest [sha256.Size]byte
	ended  chan struct{}
	// answer is nil where the call failed; endedAt and it are set before ended is closed.
	answer  proto.Message
	endedAt time.Time
}

// New makes a memo that tells the time by now.
func New(now func() time.Time) *Memo { return &Memo{now: now, calls: map[key]*call{}} }

// Do answers request with what work returns, or with what it returned for the same tenant, rpc and requestID before. A call
// that failed is not remembered: a repeat does the work anew, and so does one that waited for it.
//
// Errors: REQUEST_ID_REUSED, and those of work and ctx.
func Do[R proto.Message](
	ctx context.Context, m *Memo, rpc, requestID string, request proto.Message, work func(context.Context) (R, error),
) (R, error) {
	var none R
	digest, err := Digest(request)
	if err != nil {
		return none, err
	}
	k := key{identity.FromContext(ctx).Tenant, rpc, requestID}
	for {
		first, mine := m.begin(k, digest)
		if mine {
			return run(ctx, m, first, work)
		}
		if first.digest != digest {
			return none, Reused(requestID)
		}
		select {
		case <-first.ended:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		if first.answer != nil {
			return proto.Clone(first.answer).(R), nil
		}
	}
}

func run[R proto.Message](ctx context.Context, m *Memo, c *call, work func(context.Context) (R, error)) (answer R, err error) {
	finished := false
	defer func() {
		if finished && err == nil {
			m.end(c, proto.Clone(answer))
		} else {
			m.end(c, nil) // It failed or panicked.
		}
	}()
	answer, err = work(ctx)
	finished = true
	return answer, err
}

// begin returns the first call of k, and whether the caller is to make it.
func (m *Memo) begin(k key, digest [sha256.Size]byte) (*call, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	if first := m.calls[k]; first != nil {
		return first, false
	}
	first := &call{key: k, digest: digest, ended: make(chan struct{})}
	m.calls[k] = first
	return first, true
}

func (m *Memo) end(c *call, answer proto.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.answer, c.endedAt = answer, m.now()
	if answer == nil {
		delete(m.calls, c.key)
	} else {
		m.settled = append(m.settled, c)
	}
	close(c.ended)
}

// forget drops what ended too long ago.
func (m *Memo) forget() {
	before := m.now().Add(-remember)
	dropped := 0
	for dropped < len(m.settled) && m.settled[dropped].endedAt.Before(before) {
		delete(m.calls, m.settled[dropped].key)
		dropped++
	}
	m.settled = m.settled[dropped:]
}
