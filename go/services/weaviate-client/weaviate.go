package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	grpcstatus "google.golang.org/grpc/status"

	"uait.dev/go/kit/telemetry"
)

const (
	// maxReplyBytes is the largest answer taken from Weaviate; 1,000 objects of 16 vectors are larger than a message of ours.
	maxReplyBytes = 64 << 20
	// readyTimeout bounds the question whether Weaviate is ready.
	readyTimeout = 500 * time.Millisecond
	// maxErrorBytes is how much of the text of an error is kept for the log.
	maxErrorBytes = 4096
)

// weaviate speaks to one Weaviate: gRPC for objects, REST for the schema. It connects by itself, again and again.
type weaviate struct {
	base     string
	web      *http.Client
	objects  pb.WeaviateClient
	tracer   *telemetry.Tracer
	deadline time.Duration
}

// upstreamError is what Weaviate answered when it refused. Its text is for the log: what it means is found out by asking for
// the state of things, never by reading it.
type upstreamError struct {
	operation string
	code      string
	text      string
}

func (e *upstreamError) Error() string {
	return fmt.Sprintf("weaviate %s: %s: %s", e.operation, e.code, e.text)
}

func dialWeaviate(configuration Config) (*weaviate, error) {
	connection, err := grpc.NewClient(configuration.WeaviateGRPC,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent(catalogueName),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBytes), grpc.MaxCallSendMsgSize(maxReplyBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: 5 * time.Second,
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 2 * time.Second},
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial weaviate at %s: %w", configuration.WeaviateGRPC, err)
	}
	return &weaviate{
		base:     configuration.WeaviateURL,
		web:      &http.Client{},
		objects:  pb.NewWeaviateClient(connection),
		deadline: configuration.Kit.Deadline,
	}, nil
}

// state is what /healthz says of Weaviate.
func (w *weaviate) state(ctx context.Context) string {
	if w.ready(ctx) {
		return "up"
	}
	return "down"
}

// ready asks Weaviate whether it takes calls.
func (w *weaviate) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/v1/.well-known/ready", http.NoBody)
	if err != nil {
		return false
	}
	response, err := w.web.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// ask makes one call of Weaviate: in a span, with a deadline, and with an error that says no more than kindAway where nobody
// answered.
func ask[R any](ctx context.Context, w *weaviate, operation string, call func(context.Context) (R, error)) (R, error) {
	parent := ctx
	ctx, span := w.tracer.Start(ctx, "weaviate "+operation, telemetry.Client,
		telemetry.String("db.system.name", "weaviate"), telemetry.String("db.operation.name", operation))
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.deadline)
		defer cancel()
	}
	reply, err := call(ctx)
	span.End(err)
	var none R
	switch {
	case err == nil:
		return reply, nil
	case parent.Err() != nil:
		return none, parent.Err()
	case ctx.Err() != nil:
		return none, &vectorError{kind: kindAway, cause: err}
	}
	if refused, ok := grpcstatus.FromError(err); ok {
		if refused.Code() == codes.Unavailable {
			return none, &vectorError{kind: kindAway, cause: err}
		}
		return none, &upstreamError{operation: operation, code: refused.Code().String(), text: refused.Message()}
	}
	if _, ok := errors.AsType[*upstreamError](err); ok {
		return none, err
	}
	return none, &vectorError{kind: kindAway, cause: err} // The connection broke.
}

// rest makes one call of the REST interface; found is false for 404. Every other answer but 2xx is an upstreamError.
func (w *weaviate) rest(ctx context.Context, method, path string, body, answer any) (found bool, err error) {
	return ask(ctx, w, method+" "+path, func(ctx context.Context) (bool, error) {
		var payload io.Reader = http.NoBody
		if body != nil {
			data, err := json.Marshal(body)
			if err != nil {
				return false, fmt.Errorf("marshal the body of %s %s: %w", method, path, err)
			}
			payload = bytes.NewReader(data)
		}
		request, err := http.NewRequestWithContext(ctx, method, w.base+path, payload)
		if err != nil {
			return false, err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := w.web.Do(request)
		if err != nil {
			return false, err
		}
		defer func() { _ = response.Body.Close() }()
		switch {
		case response.StatusCode == http.StatusNotFound:
			return false, nil
		case response.StatusCode < 200 || response.StatusCode > 299:
			text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
			return false, &upstreamError{operation: method + " " + path, code: response.Status, text: string(text)}
		case answer == nil:
			return true, nil
		}
		if err := json.NewDecoder(io.LimitReader(response.Body, maxReplyBytes)).Decode(answer); err != nil {
			return false, &upstreamError{operation: method + " " + path, code: response.Status, text: err.Error()}
		}
		return true, nil
	})
}

// ensureClass creates a class unless there is one of that name, which is the same, since classes are named by what they are.
func (w *weaviate) ensureClass(ctx context.Context, class object) error {
	path := "/v1/schema/" + class["class"].(string)
	if found, err := w.rest(ctx, http.MethodGet, path, nil, nil); err != nil || found {
		return err
	}
	_, refused := w.rest(ctx, http.MethodPost, "/v1/schema", class, nil)
	if refused == nil {
		return nil
	}
	if found, err := w.rest(ctx, http.MethodGet, path, nil, nil); err == nil && found {
		return nil // Another replica was faster.
	}
	return refused
}
