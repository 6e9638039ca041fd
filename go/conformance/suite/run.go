package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
)

const (
	defaultDeadline = 10 * time.Second
	defaultTenant   = "acme"
	tenantKey       = "x-uait-tenant"
	serviceKey      = "x-uait-service"
)

// Options say what is tested.
type Options struct {
	// Target is the host:port that is called: the server itself, or Envoy.
	Target string
	// Server is the server's own host:port, for health checks; empty means the target.
	Server string
	// Service is the catalogue name of the service; sent as x-uait-service, and the value of ${service}.
	Service string
	// API is the full name of the gRPC service to call, which has the RPCs and messages of EchoService, as a service made from the
	// template has until its author replaces them; empty means uait.echo.v1.EchoService itself.
	API string
	// Process is the server's process, for the drain; nil fails that case.
	Process Process
	// TLS holds the client's keys; nil speaks plain text.
	TLS *config.TLS
	// Only runs one case alone, after the cases that save what it uses; empty runs all.
	Only string
}

// Process is the server's process as the drain needs it.
type Process interface {
	// Terminate asks it to end, as SIGTERM does.
	Terminate() error
	// Gone says whether it has ended.
	Gone() bool
}

// Result is how a case went.
type Result struct {
	// Case is its name.
	Case string `json:"case"`
	// OK says whether everything was as expected.
	OK bool `json:"ok"`
	// MS is how long it took, in milliseconds.
	MS float64 `json:"ms"`
	// Error says what was expected and what came.
	Error string `json:"error,omitempty"`
}

// runner is one run of a file.
type runner struct {
	options Options
	target  grpc.ClientConnInterface
	server  *grpc.ClientConn
	words   words
}

// Run runs the cases in the file's order and reports each; its error says that the run itself was not possible.
func Run(ctx context.Context, file *File, options Options, report func(Result) error) error {
	if options.Server == "" {
		options.Server = options.Target
	}
	if options.API == "" {
		options.API = echov1.EchoService_ServiceDesc.ServiceName
	}
	target, err := connect(options.Target, options.TLS)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	server, err := connect(options.Server, options.TLS)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	r := &runner{
		options: options, target: renamed{ClientConnInterface: target, api: options.API}, server: server,
		words: words{"unique": uniqueWord(), "service": options.Service},
	}
	cases, err := choose(file.Cases, options.Only)
	if err != nil {
		return err
	}
	for _, c := range cases {
		result := r.run(ctx, c)
		if options.Only != "" && c.Name != options.Only {
			continue
		}
		if err := report(result); err != nil {
			return err
		}
	}
	return nil
}

// renamed calls the methods of EchoService under the name of another gRPC service.
type renamed struct {
	grpc.ClientConnInterface
	api string
}

func (c renamed) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return c.ClientConnInterface.Invoke(ctx, c.rename(method), request, reply, options...)
}

func (c renamed) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return c.ClientConnInterface.NewStream(ctx, desc, c.rename(method), options...)
}

func (c renamed) rename(method string) string { return "/" + c.api + "/" + path.Base(method) }

// choose keeps the case called only, and the cases before it that it may build upon.
func choose(cases []Case, only string) ([]Case, error) {
	if only == "" {
		return cases, nil
	}
	var chosen []Case
	for _, c := range cases {
		if c.Name == only {
			return append(chosen, c), nil
		}
		if c.Probe == "" && (len(c.Save) > 0 || c.Expect.Code == "DEADLINE_EXCEEDED") {
			chosen = append(chosen, c)
		}
	}
	return nil, fmt.Errorf("no case named %q", only)
}

func connect(address string, keys *config.TLS) (*grpc.ClientConn, error) {
	credentials := insecure.NewCredentials()
	if keys != nil {
		credentials = keys.Client()
	}
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
}

func (r *runner) run(ctx context.Context, c Case) Result {
	start := time.Now()
	err := r.runCase(ctx, c)
	result := Result{Case: c.Name, OK: err == nil, MS: math.Round(float64(time.Since(start).Microseconds())/100) / 10}
	if err != nil {
		result.Error = err.Error()
	}
	return result
}

func (r *runner) runCase(ctx context.Context, c Case) error {
	switch {
	case c.Call != "" && c.Probe == "":
		return r.call(ctx, c)
	case c.Call == "" && c.Probe == "cancel":
		return r.probeCancel(ctx, c)
	case c.Call == "" && c.Probe == "streams":
		return r.probeStreams(ctx, c)
	case c.Call == "" && c.Probe == "drain":
		return r.probeDrain(ctx, c)
	default:
		return errors.New("the case is neither a call nor a probe that is known")
	}
}

// outgoing is ctx with the metadata that every call carries, and changes on top of it; an empty value sends none.
func (r *runner) outgoing(ctx context.Context, changes map[string]string) context.Context {
	sent := metadata.Pairs(tenantKey, defaultTenant)
	if r.options.Service != "" {
		sent.Set(serviceKey, r.options.Service)
	}
	for name, value := range changes {
		if value == "" {
			sent.Delete(name)
			continue
		}
		sent.Set(name, value)
	}
	return metadata.NewOutgoingContext(ctx, sent)
}

// client calls the target from the probes, with the metadata of outgoing.
func (r *runner) client() echov1.EchoServiceClient { return echov1.NewEchoServiceClient(r.target) }
