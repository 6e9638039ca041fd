// Package serve runs a gRPC service the way every service of the mesh runs: layers, health, reflection, metrics, lease and drain.
package serve

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // requests that a caller compresses
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"

	"uait.dev/go/kit/config"
	"uait.dev/go/kit/dial"
	"uait.dev/go/kit/events"
	"uait.dev/go/kit/load"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
	"uait.dev/go/kit/validate"
)

const (
	pingLeast   = 10 * time.Second
	pingEvery   = 30 * time.Second
	pingTimeout = 10 * time.Second

	workersPerProcessor = 8
)

// Server is a gRPC server with everything around it. Services register with it as with a *grpc.Server, before Run.
type Server struct {
	kit       config.Kit
	telemetry *telemetry.Telemetry
	meter     *load.Meter
	validator *validate.Validator
	mesh      *dial.Mesh
	events    *events.Log

	errors     status.Map
	tenantless map[string]bool
	logs       io.Writer
	reflection *reflection.ServerOptions
	checks     map[string]Check

	grpc     *grpc.Server
	health   *health.Server
	stopping chan struct{}
	ready    chan struct{}
	address  string
	http     string
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// Option changes a Server.
type Option func(*Server)

// Errors gives the service's map of domain errors.
func Errors(domain status.Map) Option { return func(s *Server) { s.errors = domain } }

// Tenantless names gRPC services, such as "uait.echo.v1.EchoService", whose calls need no tenant.
func Tenantless(services ...string) Option {
	return func(s *Server) {
		for _, service := range services {
			s.tenantless[service] = true
		}
	}
}

// Logs sends the log lines to out instead of stdout.
func Logs(out io.Writer) Option { return func(s *Server) { s.logs = out } }

// Check says in a word, such as "up" or "down", how a dependency is. It is asked by /healthz, whose code it does not change.
type Check func(context.Context) string

// Checked adds what /healthz says of a dependency beside nats.
func Checked(dependency string, check Check) Option {
	return func(s *Server) { s.checks[dependency] = check }
}

// Reflection answers reflection (v1, and v1alpha for older clients) with these services and descriptors instead of the server's own.
func Reflection(described reflection.ServerOptions) Option {
	return func(s *Server) { s.reflection = &described }
}

// New makes a server; nothing is bound or connected before Run.
func New(kit config.Kit, options ...Option) (*Server, error) {
	s := &Server{
		kit: kit, logs: os.Stdout, tenantless: map[string]bool{}, checks: map[string]Check{},
		health: health.NewServer(), stopping: make(chan struct{}), ready: make(chan struct{}),
	}
	for _, option := range options {
		option(s)
	}
	var err error
	if s.telemetry, err = telemetry.New(kit, s.logs); err != nil {
		return nil, err
	}
	if s.validator, err = validate.New(); err != nil {
		return nil, err
	}
	if s.mesh, err = dial.New(kit, s.telemetry.Tracer); err != nil {
		return nil, err
	}
	s.meter = load.NewMeter(s.telemetry.Metrics.InFlight(), kit.MaxInflight)
	s.events = events.New(kit, s.telemetry, s.validator)
	s.events.OnChange(s.eventsChanged)
	s.grpc = s.newGRPC()
	s.health.SetServingStatus(eventsHealth, healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s.grpc, watchable{Server: s.health, stopping: s.stopping})
	s.registerReflection()
	return s, nil
}

func (s *Server) registerReflection() {
	if s.reflection == nil {
		reflection.RegisterV1(s.grpc)
		return
	}
	reflectionv1.RegisterServerReflectionServer(s.grpc, reflection.NewServerV1(*s.reflection))
	reflectionv1alpha.RegisterServerReflectionServer(s.grpc, reflection.NewServer(*s.reflection))
}

func (s *Server) newGRPC() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(s.kit.MaxMessageBytes),
		grpc.MaxSendMsgSize(s.kit.MaxMessageBytes),
		grpc.MaxConcurrentStreams(s.kit.MaxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.UnknownServiceHandler(unknownMethod),
		grpc.InTapHandle(keepHeaders),
		// A goroutine made for each call grows its stack anew each time, an eighth of the call's cost. Calls beyond the workers
		// still get goroutines of their own.
		grpc.NumStreamWorkers(uint32(workersPerProcessor * runtime.GOMAXPROCS(0))),
	}
	if s.kit.TLS != nil {
		options = append(options, grpc.Creds(s.kit.TLS.Server()))
	}
	return grpc.NewServer(options...)
}

// RegisterService wraps every method of a service in the layers of the kit and serves it.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, method := range desc.Methods {
		wrapped.Methods[i] = s.newMethod(desc.ServiceName, method.MethodName).unary(method)
	}
	wrapped.Streams = make([]grpc.StreamDesc, len(desc.Streams))
	for i, stream := range desc.Streams {
		wrapped.Streams[i] = s.newMethod(desc.ServiceName, stream.StreamName).stream(stream)
	}
	s.validator.Prepare(protoreflect.FullName(desc.ServiceName))
	s.grpc.RegisterService(&wrapped, implementation)
	s.health.SetServingStatus(desc.ServiceName, healthpb.HealthCheckResponse_SERVING)
}

// Mesh calls other services.
func (s *Server) Mesh() *dial.Mesh { return s.mesh }

// Events is the event log; consumers are to be added before Run.
func (s *Server) Events() *events.Log { return s.events }

// Telemetry is the server's logger, tracer and metrics.
func (s *Server) Telemetry() *telemetry.Telemetry { return s.telemetry }

// Ready is closed once the server takes calls; Address and HTTPAddress are known from then on.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Address is the host:port that takes gRPC.
func (s *Server) Address() string { return s.address }

// HTTPAddress is the host:port that takes HTTP.
func (s *Server) HTTPAddress() string { return s.http }

// Stopping is closed when calls in flight are asked to end. Handlers of streams that last until the caller leaves
// watch it, and return Draining; others need not.
func (s *Server) Stopping() <-chan struct{} { return s.stopping }

// PortInUse refuses to start because somebody else has a port; its text is the line that the service leaves on stderr.
type PortInUse struct {
	// Variable is the environment variable that chose the port.
	Variable string
	// Host is where the service wanted to listen.
	Host string
	// Port is the port in use.
	Port int
}

func (p *PortInUse) Error() string {
	return fmt.Sprintf("%s=%d: %s:%d is in use", p.Variable, p.Port, p.Host, p.Port)
}
