package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/events"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

const (
	// area is the part of the event log to which memory publishes.
	area = "memory"
	// publishMost is how many events are published before the store is told.
	publishMost = 64
	// publishTimeout is how long one event is tried before the log is taken for away.
	publishTimeout = 5 * time.Second
	// publishPause is how long the publisher leaves an event log alone that is away.
	publishPause = 500 * time.Millisecond
)

// publisher brings the store's changes into the event log, in order and each at least once; a repeat has the same id, by which
// JetStream and consumers know it.
type publisher struct {
	store  *store
	log    *events.Log
	tracer *telemetry.Tracer
	logger *slog.Logger
}

// run works until ctx ends. Whatever fails stays in the store.
func (p *publisher) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := p.store.changes()
		worked, err := p.step(ctx)
		wait := idleMost
		if err != nil {
			p.logger.DebugContext(ctx, "the event log cannot be told; it will be tried again", "error", err)
			wait, changed = publishPause, nil
		}
		if worked {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// step publishes the oldest changes; worked says whether it published any.
func (p *publisher) step(ctx context.Context) (worked bool, err error) {
	waiting, err := p.store.unpublished(ctx, publishMost)
	if err != nil {
		return false, err
	}
	var published []int64
	for _, change := range waiting {
		if err = p.publish(ctx, change); err != nil {
			break
		}
		published = append(published, change.Row)
	}
	if len(published) == 0 {
		return false, err
	}
	return err == nil, p.store.published(ctx, published)
}

func (p *publisher) publish(ctx context.Context, change Change) error {
	event := eventOf(change)
	if event == nil {
		return nil // The version is deleted by now, which a later change tells.
	}
	event.Time = timestamppb.New(change.Time)
	ctx, cancel := context.WithTimeout(identity.NewContext(ctx, identity.Identity{Tenant: change.Tenant}), publishTimeout)
	defer cancel()
	ctx, span := p.tracer.StartFrom(ctx, telemetry.ParseTraceparent(change.Traceparent), "publish a change", telemetry.Internal)
	// The time keeps the ids of a database that began anew apart from those of the one before.
	_, err := p.log.Publish(ctx, area, fmt.Sprintf("change-%d-%d", change.Row, change.Time.UnixMicro()), event)
	span.End(err)
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return err
	default:
		// An event that can never be stored must not hold up all others.
		p.logger.ErrorContext(ctx, "a change cannot be an event and is left out", "row", change.Row, "memory_id", change.ID, "error", err)
		return nil
	}
}

// eventOf is a change as others are told of it; nil for one of which another change tells.
func eventOf(c Change) *eventv1.Event {
	deleted := func(cause eventv1.MemoryDeleted_Cause, ids ...string) *eventv1.Event {
		return &eventv1.Event{Payload: &eventv1.Event_MemoryDeleted{MemoryDeleted: &eventv1.MemoryDeleted{MemoryIds: ids, Cause: cause}}}
	}
	switch c.Kind {
	case Added, Updated:
		if c.Memory == nil {
			return nil
		}
		return &eventv1.Event{Payload: &eventv1.Event_MemoryStored{MemoryStored: &eventv1.MemoryStored{Memory: memoryProto(*c.Memory)}}}
	case Deleted:
		return deleted(eventv1.MemoryDeleted_CAUSE_REQUESTED, c.ID)
	case Expired:
		return deleted(eventv1.MemoryDeleted_CAUSE_EXPIRED, c.ID)
	case Purged:
		return deleted(eventv1.MemoryDeleted_CAUSE_PURGED)
	case Vanished:
		return nil
	default:
		return nil
	}
}
