package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

const (
	attemptTimeout = 5 * time.Second
	publishLeast   = 20 * time.Millisecond
	publishMost    = 500 * time.Millisecond
	// answerMargin is left of the caller's deadline, so that UNAVAILABLE reaches the caller before it.
	answerMargin = 100 * time.Millisecond
)

// Receipt says what JetStream did with an event.
type Receipt struct {
	// ID is the id of the event.
	ID string
	// Sequence is its number in the stream, from 1.
	Sequence uint64
	// Duplicate says that JetStream had an event of that id already.
	Duplicate bool
}

// Publish stores an event of which only the payload is set, and the time where it happened before now, on the subject
// uait.<area>.<tenant>.<name of the payload>.
// A requestID makes a repeat of the same request store nothing and return the first receipt; "" makes each call a new event.
// It returns when JetStream has the event on disk, and tries until then; shortly before the deadline of ctx it gives up with
// UNAVAILABLE, reason DEPENDENCY_UNAVAILABLE.
func (l *Log) Publish(ctx context.Context, area, requestID string, event *eventv1.Event) (Receipt, error) {
	tenant := identity.FromContext(ctx).Tenant
	subject, err := subjectOf(area, tenant, event)
	if err != nil {
		return Receipt{}, err
	}
	id, err := l.eventID(area, tenant, requestID)
	if err != nil {
		return Receipt{}, err
	}
	ctx, span := l.telemetry.Tracer.Start(ctx, "publish "+StreamName(area), telemetry.Producer,
		telemetry.String("messaging.system", "nats"),
		telemetry.String("messaging.operation.type", "send"),
		telemetry.String("messaging.destination.name", subject),
		telemetry.String("messaging.message.id", id),
	)
	event.Id, event.Source, event.Tenant, event.Traceparent = id, l.service, tenant, span.Traceparent()
	if event.Time == nil {
		event.Time = timestamppb.Now()
	}
	ack, err := l.store(ctx, area, subject, event)
	span.End(err)
	switch {
	case err != nil:
		l.telemetry.Metrics.Published(area, "failed")
		return Receipt{}, err
	case ack.Duplicate:
		l.telemetry.Metrics.Published(area, "duplicate")
	default:
		l.telemetry.Metrics.Published(area, "stored")
	}
	return Receipt{ID: id, Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

func subjectOf(area, tenant string, event *eventv1.Event) (string, error) {
	if tenant == "" {
		return "", fmt.Errorf("publish to area %q: the context has no tenant", area)
	}
	reflected := event.ProtoReflect()
	payload := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName("payload"))
	if payload == nil {
		return "", fmt.Errorf("publish to area %q: the event has no payload", area)
	}
	return "uait." + area + "." + tenant + "." + string(payload.Name()), nil
}

// requestNamespace is the namespace (RFC 9562, section 5.5) of event ids that come from a request_id.
var requestNamespace = uuid.MustParse("0b6f3c1e-6a52-4f0c-9d5b-7a0f4f6f0d1e")

// eventID names the service too, so that two services of one area may get the same request_id for requests of their own.
func (l *Log) eventID(area, tenant, requestID string) (string, error) {
	if requestID != "" {
		return uuid.NewSHA1(requestNamespace, []byte(l.service+"/"+area+"/"+tenant+"/"+requestID)).String(), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an event id: %w", err)
	}
	return id.String(), nil
}

func (l *Log) store(ctx context.Context, area, subject string, event *eventv1.Event) (*jetstream.PubAck, error) {
	if err := l.validator.Check(event); err != nil {
		return nil, fmt.Errorf("publish an event that breaks its rules: %w", err)
	}
	data, err := proto.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("marshal an event: %w", err)
	}
	if l.connection == nil {
		return nil, status.DependencyUnavailable("nats")
	}
	trying, cancel := context.WithDeadline(ctx, l.giveUpAt(ctx))
	defer cancel()
	for pause := publishLeast; ; pause = min(2*pause, publishMost) {
		ack, err := l.attempt(trying, area, subject, event.GetId(), data)
		if err == nil {
			return ack, nil
		}
		if errors.Is(err, nats.ErrMaxPayload) {
			return nil, tooLarge(l.connection.MaxPayload())
		}
		l.logger.DebugContext(ctx, "publish again", "subject", subject, "error", err)
		select {
		case <-trying.Done():
			if ended := status.FromContext(ctx); ended != nil {
				return nil, ended
			}
			return nil, status.DependencyUnavailable("nats")
		case <-time.After(pause):
		}
	}
}

func (l *Log) giveUpAt(ctx context.Context) time.Time {
	deadline, set := ctx.Deadline()
	if !set {
		return time.Now().Add(l.deadline)
	}
	return deadline.Add(-min(answerMargin, time.Until(deadline)/10))
}

// attempt publishes once; nats.Msg is made anew because a client library may add headers to it.
func (l *Log) attempt(ctx context.Context, area, subject, id string, data []byte) (*jetstream.PubAck, error) {
	ctx, cancel := l.untilLost(ctx)
	defer cancel()
	if err := l.ensureStream(ctx, area); err != nil {
		return nil, err
	}
	message := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	ack, err := l.stream.PublishMsg(ctx, message, jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		l.forgetStream(area)
	}
	return ack, err
}

func tooLarge(limit int64) error {
	return &status.Error{
		Code:     codes.ResourceExhausted,
		Reason:   errorv1.Reason_REASON_MESSAGE_TOO_LARGE,
		Message:  fmt.Sprintf("the event is larger than %d bytes", limit),
		Metadata: map[string]string{"limit_bytes": strconv.FormatInt(limit, 10)},
	}
}
