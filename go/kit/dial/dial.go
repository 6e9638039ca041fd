// Package dial calls other services: through the mesh listener only, with the caller's deadline, cancellation, identity and trace.
package dial

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // answers that Envoy or a server compresses
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

// ServiceKey is the metadata key by which Envoy chooses among services that implement the same gRPC service.
const ServiceKey = "x-uait-service"

const (
	keepaliveInterval = 30 * time.Second
	keepaliveTimeout  = 10 * time.Second
	connectTimeout    = 5 * time.Second
)

// Mesh is one connection to the mesh listener. It is a grpc.ClientConnInterface that routes by the gRPC service called,
// and safe for concurrent use.
type Mesh struct {
	connection *grpc.ClientConn
	tracer     *telemetry.Tracer
	deadline   time.Duration
	methods    sync.Map // full method name -> *method
}

var _ grpc.ClientConnInterface = (*Mesh)(nil)

// New makes the connection, which connects when the first call needs it.
func New(kit config.Kit, tracer *telemetry.Tracer) (*Mesh, error) {
	credentials := insecure.NewCredentials()
	if kit.TLS != nil {
		credentials = kit.TLS.Client()
	}
	connection, err := grpc.NewClient(kit.Mesh,
		grpc.WithTransportCredentials(credentials),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent(kit.Service),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(kit.MaxMessageBytes),
			grpc.MaxCallSendMsgSize(kit.MaxMessageBytes),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveInterval, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: connectTimeout,
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 2 * time.Second},
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial the mesh at %s: %w", kit.Mesh, err)
	}
	return &Mesh{connection: connection, tracer: tracer, deadline: kit.Deadline}, nil
}

// Close ends the connection and every call on it.
func (m *Mesh) Close() error { return m.connection.Close() }

// Invoke makes a unary call.
func (m *Mesh) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return m.invoke(ctx, "", method, request, reply, options)
}

// NewStream begins a streaming call.
func (m *Mesh) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return m.newStream(ctx, "", desc, method, options)
}

// To calls the service of that catalogue name, where several implement the same gRPC service.
func (m *Mesh) To(service string) grpc.ClientConnInterface { return named{mesh: m, service: service} }

// named is the mesh with one service chosen.
type named struct {
	mesh    *Mesh
	service string
}

func (n named) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return n.mesh.invoke(ctx, n.service, method, request, reply, options)
}

func (n named) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return n.mesh.newStream(ctx, n.service, desc, method, options)
}

func (m *Mesh) invoke(ctx context.Context, service, fullMethod string, request, reply any, options []grpc.CallOption) error {
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.deadline)
		defer cancel()
	}
	called := m.method(fullMethod)
	ctx, span := m.begin(ctx, called, service)
	err := m.connection.Invoke(ctx, fullMethod, request, reply, options...)
	span.EndRPC(status.Code(err), time.Now())
	return status.FromDependency(err, called.dependency(service))
}

// method is what is the same in every call of a method.
type method struct {
	service    string
	spanName   string
	attributes []telemetry.Attribute
}

func (m *method) dependency(service string) string {
	if service != "" {
		return service
	}
	return m.service
}

func (m *Mesh) method(fullMethod string) *method {
	if known, ok := m.methods.Load(fullMethod); ok {
		return known.(*method)
	}
	name := strings.TrimPrefix(fullMethod, "/")
	service, rpc, _ := strings.Cut(name, "/")
	made, _ := m.methods.LoadOrStore(fullMethod, &method{
		service:    service,
		spanName:   name,
		attributes: telemetry.RPCAttributes(service, rpc),
	})
	return made.(*method)
}

// begin starts the client's span and puts into the metadata what travels with a call.
func (m *Mesh) begin(ctx context.Context, called *method, service string) (context.Context, *telemetry.Span) {
	ctx, span := m.tracer.Start(ctx, called.spanName, telemetry.Client, called.attributes...)
	pairs := identity.AppendOutgoing(make([]string, 0, 12), ctx)
	pairs = telemetry.AppendOutgoing(pairs, span.SpanContext)
	if service != "" {
		pairs = append(pairs, ServiceKey, service)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...), span
}
