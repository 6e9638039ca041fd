// Package events publishes facts to the event log and learns from it: NATS JetStream, at least once, each event handled once.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"uait.dev/go/kit/config"
	"uait.dev/go/kit/telemetry"
	"uait.dev/go/kit/validate"
)

const (
	duplicateWindow = 10 * time.Minute
	maxAge          = 30 * 24 * time.Hour

	reconnectLeast = 50 * time.Millisecond
	reconnectMost  = time.Second
	pingInterval   = 10 * time.Second
)

// State is what the service knows of the event log.
type State string

// The states of the event log.
const (
	Up   State = "up"
	Down State = "down"
	Off  State = "off"
)

// Log is the event log as one service sees it. It is safe for concurrent use; NATS may come and go at any time.
type Log struct {
	service   string
	url       string
	deadline  time.Duration
	telemetry *telemetry.Telemetry
	logger    *slog.Logger
	validator *validate.Validator
	onChange  func(State)

	connection *nats.Conn
	stream     jetstream.JetStream
	consumers  []*consumer
	running    sync.WaitGroup
	stop       context.CancelFunc

	mu    sync.Mutex
	known map[string]bool // areas whose stream exists
	// session ends when the connection is lost, and with it the wait for answers that cannot come any more.
	session    context.Context
	endSession context.CancelFunc
}

// New makes the log; nothing is connected before Start.
func New(kit config.Kit, t *telemetry.Telemetry, validator *validate.Validator) *Log {
	session, endSession := context.WithCancel(context.Background())
	return &Log{
		service:   kit.Service,
		url:       kit.NATSURL,
		deadline:  kit.Deadline,
		telemetry: t,
		logger:    t.Logger,
		validator: validator,
		onChange:  func(State) {},
		stop:      func() {},
		known:     map[string]bool{},

		session:    session,
		endSession: endSession,
	}
}

// OnChange calls changed whenever NATS comes or goes; to be set before Start.
func (l *Log) OnChange(changed func(State)) { l.onChange = changed }

// State says whether the event log can be reached now.
func (l *Log) State() State {
	switch {
	case l.url == "":
		return Off
	case l.connection != nil && l.connection.IsConnected():
		return Up
	default:
		return Down
	}
}

// Start connects, or begins to try for ever, and starts the consumers.
func (l *Log) Start(ctx context.Context) error {
	if l.url == "" {
		return nil
	}
	connection, err := nats.Connect(l.url,
		nats.Name(l.service),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ReconnectBufSize(-1), // Publish tries again by itself; a buffer would hide that nothing is stored.
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { l.changed(Up, nil) }),
		nats.ReconnectHandler(func(*nats.Conn) { l.changed(Up, nil) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.changed(Down, err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.logger.Warn("nats", "error", err) }),
	)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", l.url, err)
	}
	l.connection = connection
	l.stream, err = jetstream.New(connection)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	ctx, l.stop = context.WithCancel(ctx)
	for _, c := range l.consumers {
		l.running.Go(func() { c.run(ctx) })
	}
	return nil
}

// Close stops the consumers, waits for their handlers as long as ctx lives, and disconnects.
func (l *Log) Close(ctx context.Context) {
	if l.connection == nil {
		return
	}
	l.stop()
	l.connection.SetDisconnectErrHandler(nil) // Leaving is no failure.
	done := make(chan struct{})
	go func() {
		l.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		l.logger.Warn("events were still being handled at the end; they will be delivered again")
	}
	// Acknowledgements are on their way until the server has seen a later ping.
	if l.connection.IsConnected() {
		if err := l.connection.FlushWithContext(ctx); err != nil {
			l.logger.Debug("flush the last acknowledgements", "error", err)
		}
	}
	l.connection.Close()
}

func (l *Log) changed(state State, err error) {
	if state == Down {
		l.mu.Lock()
		l.endSession()
		l.session, l.endSession = context.WithCancel(context.Background())
		l.mu.Unlock()
		l.logger.Warn("the event log cannot be reached", "url", l.url, "error", err)
	} else {
		l.logger.Info("the event log can be reached", "url", l.url)
	}
	l.onChange(state)
}

// untilLost is ctx, ended early when the connection is lost.
func (l *Log) untilLost(ctx context.Context) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	session := l.session
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	stop := context.AfterFunc(session, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// reconnectDelay doubles from reconnectLeast to reconnectMost.
func reconnectDelay(attempts int) time.Duration {
	return min(reconnectLeast<<min(attempts, 10), reconnectMost)
}

// StreamName is the JetStream stream of an area.
func StreamName(area string) string {
	return "UAIT_" + strings.ToUpper(strings.ReplaceAll(area, "-", "_"))
}

// ensureStream makes the stream of area unless this process knows that it exists.
func (l *Log) ensureStream(ctx context.Context, area string) error {
	l.mu.Lock()
	known := l.known[area]
	l.mu.Unlock()
	if known {
		return nil
	}
	_, err := l.stream.CreateStream(ctx, jetstream.StreamConfig{
		Name:       StreamName(area),
		Subjects:   []string{"uait." + area + ".>"},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Duplicates: duplicateWindow,
		MaxAge:     maxAge,
	})
	// Another client may have made it with settings of its own; it is the stream of the area all the same.
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return err
	}
	l.mu.Lock()
	l.known[area] = true
	l.mu.Unlock()
	return nil
}

// forgetStream makes the next use of area's stream check again that it exists.
func (l *Log) forgetStream(area string) {
	l.mu.Lock()
	delete(l.known, area)
	l.mu.Unlock()
}
