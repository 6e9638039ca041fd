package events

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/telemetry"
)

const (
	ackWait      = 30 * time.Second
	maxInFlight  = 256
	setUpTimeout = 5 * time.Second
	keepHandled  = 10000

	sessionLeast = 50 * time.Millisecond
	sessionMost  = time.Second
	retryLeast   = 100 * time.Millisecond
	retryMost    = 30 * time.Second
)

// Handler learns from one event. Its context acts for the event's tenant and ends after 30 s. Events are handled at the same
// time, up to 256 of them, in no order; an error has the event delivered again later.
type Handler func(ctx context.Context, event *eventv1.Event) error

// Consume has every event of area handled by handler, from the first one that the stream still holds, and goes on after a
// restart where the service was. To be called before Start.
func (l *Log) Consume(area string, handler Handler) {
	l.consumers = append(l.consumers, &consumer{
		log: l, area: area, handler: handler, handled: newHandledSet(keepHandled), slots: make(chan struct{}, maxInFlight),
	})
}

// consumer is the service's durable consumer of one area.
type consumer struct {
	log     *Log
	area    string
	handler Handler
	handled *handledSet
	slots   chan struct{}
}

// run keeps a session open until ctx ends, and waits for its handlers.
func (c *consumer) run(ctx context.Context) {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	pause := sessionLeast
	for ctx.Err() == nil {
		received, err := c.session(ctx, &handlers)
		if received {
			pause = sessionLeast
		}
		c.log.logger.Debug("consume again", "area", c.area, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, sessionMost)
	}
}

// session receives events until something breaks; received says whether one came.
func (c *consumer) session(ctx context.Context, handlers *sync.WaitGroup) (received bool, err error) {
	messages, err := c.open(ctx)
	if err != nil {
		c.log.forgetStream(c.area)
		return false, err
	}
	defer messages.Stop()
	for {
		message, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if !errors.Is(err, ctx.Err()) {
				c.log.forgetStream(c.area)
			}
			return received, err
		}
		received = true
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return received, ctx.Err() // Not acknowledged: it will be delivered again.
		}
		handlers.Go(func() {
			defer func() { <-c.slots }()
			c.deliver(context.WithoutCancel(ctx), message)
		})
	}
}

func (c *consumer) open(ctx context.Context) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	if err := c.log.ensureStream(ctx, c.area); err != nil {
		return nil, err
	}
	durable, err := c.log.stream.CreateOrUpdateConsumer(ctx, StreamName(c.area), jetstream.ConsumerConfig{
		Durable:       c.log.service,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxAckPending: maxInFlight,
	})
	if err != nil {
		return nil, err
	}
	return durable.Messages(jetstream.PullMaxMessages(maxInFlight), jetstream.WithMessagesErrOnMissingHeartbeat(true))
}

// deliver handles one delivery of an event and tells JetStream what became of it.
func (c *consumer) deliver(ctx context.Context, message jetstream.Msg) {
	event := &eventv1.Event{}
	if err := proto.Unmarshal(message.Data(), event); err != nil {
		c.log.logger.Error("an event cannot be read and is left out", "subject", message.Subject(), "error", err)
		c.log.telemetry.Metrics.Handled(c.area, "failed")
		c.answer(message.TermWithReason("not an event"))
		return
	}
	switch c.handled.begin(event.GetId()) {
	case running: // Delivered again while the handler takes long; the first delivery will be acknowledged.
		return
	case done:
		c.log.telemetry.Metrics.Handled(c.area, "duplicate")
		c.answer(message.Ack())
		return
	case fresh:
	}
	err := c.handle(ctx, event)
	c.handled.end(event.GetId(), err == nil)
	if err != nil {
		c.log.telemetry.Metrics.Handled(c.area, "failed")
		c.answer(message.NakWithDelay(retryDelay(message)))
		return
	}
	c.log.telemetry.Metrics.Handled(c.area, "handled")
	c.answer(message.Ack())
}

func (c *consumer) handle(ctx context.Context, event *eventv1.Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	ctx = identity.NewContext(ctx, identity.Identity{Tenant: event.GetTenant()})
	parent := telemetry.ParseTraceparent(event.GetTraceparent())
	ctx, span := c.log.telemetry.Tracer.StartFrom(ctx, parent, "process "+StreamName(c.area), telemetry.Consumer,
		telemetry.String("messaging.system", "nats"),
		telemetry.String("messaging.operation.type", "process"),
		telemetry.String("messaging.consumer.group.name", c.log.service),
		telemetry.String("messaging.message.id", event.GetId()),
	)
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
		}
		if err != nil {
			c.log.logger.ErrorContext(ctx, "an event could not be handled and will be tried again", "event_id", event.GetId(), "error", err)
		}
		span.End(err)
	}()
	return c.handler(ctx, event)
}

// answer notes an acknowledgement that did not leave; the event will come again and find that it was handled.
func (c *consumer) answer(err error) {
	if err != nil {
		c.log.logger.Debug("acknowledge an event", "area", c.area, "error", err)
	}
}

// retryDelay doubles from retryLeast to retryMost with the number of deliveries.
func retryDelay(message jetstream.Msg) time.Duration {
	metadata, err := message.Metadata()
	if err != nil || metadata.NumDelivered == 0 {
		return retryLeast
	}
	return min(retryLeast<<min(metadata.NumDelivered-1, 20), retryMost)
}
