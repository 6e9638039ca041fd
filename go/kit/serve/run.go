package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	lbv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/load"
	"uait.dev/go/kit/telemetry"
)

const (
	httpHeaderTimeout = 5 * time.Second
	// flushTimeout bounds what happens after the last call: acknowledgements, metrics' last scrape, spans.
	flushTimeout = 3 * time.Second
)

// Run serves until ctx ends, then drains: health NOT_SERVING and the lease withdrawn at once, calls still taken for the drain's
// delay, calls in flight ended within its timeout, spans exported.
func (s *Server) Run(ctx context.Context) error {
	grpcListener, err := listen(ctx, "UAIT_PORT", s.kit.Host, s.kit.Port)
	if err != nil {
		return err
	}
	httpListener, err := listen(ctx, "UAIT_HTTP_PORT", s.kit.Host, s.kit.HTTPPort)
	if err != nil {
		return errors.Join(err, grpcListener.Close())
	}
	s.address, s.http = grpcListener.Addr().String(), httpListener.Addr().String()

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	if err := s.events.Start(background); err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	go s.meter.Run(background)
	web := &http.Server{Handler: s.httpHandler(), ReadHeaderTimeout: httpHeaderTimeout}
	ended := make(chan error, 2)
	go func() { ended <- s.grpc.Serve(grpcListener) }()
	go func() { ended <- web.Serve(httpListener) }()
	leased, withdraw := context.WithCancel(ctx)
	defer withdraw()
	lease := s.startLease(leased)
	s.telemetry.Logger.Info("serving", "grpc", s.address, "http", s.http)
	close(s.ready)
	collectLessOften()
	if err := releaseStartup(); err != nil {
		s.telemetry.Logger.Debug("give back the memory of starting", "error", err)
	}

	select {
	case <-ctx.Done():
		err = nil
	case err = <-ended:
	}
	withdraw()
	s.drain(web, lease)
	return err
}

// listen binds a port and names its variable if somebody else has it.
func listen(ctx context.Context, variable, host string, port int) (net.Listener, error) {
	var binder net.ListenConfig
	listener, err := binder.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &PortInUse{Variable: variable, Host: host, Port: port}
	}
	return listener, err
}

// startLease joins the balancer's endpoints until ctx ends; Wait waits for the withdrawal.
func (s *Server) startLease(ctx context.Context) *sync.WaitGroup {
	var lease sync.WaitGroup
	if s.kit.Lease {
		endpoint := s.endpoint()
		lease.Go(func() { load.HoldLease(telemetry.Untraced(ctx), s.mesh, endpoint, s.meter, s.telemetry.Logger) })
	}
	return &lease
}

func (s *Server) endpoint() *lbv1.Endpoint {
	host, port, _ := net.SplitHostPort(s.address)
	number, _ := net.LookupPort("tcp", port)
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = s.hostTowardsMesh(host)
	}
	return &lbv1.Endpoint{Service: s.kit.Service, Instance: s.kit.Instance, Host: host, Port: uint32(number), Zone: s.kit.Zone}
}

// hostTowardsMesh is the address that a service which listens on all of them has on the way to the mesh. Connecting a
// datagram socket chooses it and sends nothing.
func (s *Server) hostTowardsMesh(otherwise string) string {
	probe, err := net.Dial("udp", s.kit.Mesh)
	if err != nil {
		return otherwise
	}
	defer func() { _ = probe.Close() }()
	host, _, err := net.SplitHostPort(probe.LocalAddr().String())
	if err != nil {
		return otherwise
	}
	return host
}

func (s *Server) drain(web *http.Server, lease *sync.WaitGroup) {
	log := s.telemetry.Logger
	log.Info("draining", "delay_ms", s.kit.DrainDelay.Milliseconds(), "timeout_ms", s.kit.DrainTimeout.Milliseconds())
	s.health.Shutdown()
	time.Sleep(s.kit.DrainDelay)
	close(s.stopping)
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(s.kit.DrainTimeout):
		log.Warn("calls in flight are cut off", "in_flight", s.telemetry.Metrics.InFlight().Load())
		s.grpc.Stop()
	}
	lease.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	s.events.Close(ctx)
	if err := web.Shutdown(ctx); err != nil {
		log.Debug("stop HTTP", "error", err)
	}
	if err := s.mesh.Close(); err != nil {
		log.Debug("leave the mesh", "error", err)
	}
	s.telemetry.Shutdown(ctx)
	log.Info("stopped")
}

// RunUntilSignal runs until SIGTERM or SIGINT; a second one ends the process at once with 1.
func (s *Server) RunUntilSignal() error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFault)
	}()
	return s.Run(ctx)
}

// Exit codes; 69 and 78 are EX_UNAVAILABLE and EX_CONFIG of sysexits.h.
const (
	exitFault       = 1
	exitUnavailable = 69
	exitConfig      = 78
)

// Exit ends the process: with 0 without an error, else with the error in one line on stderr and the code that goes with it.
func Exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	if _, refused := errors.AsType[*config.Refusal](err); refused {
		return exitConfig
	}
	if _, inUse := errors.AsType[*PortInUse](err); inUse {
		return exitUnavailable
	}
	return exitFault
}

// collectGarbageAt is by how much the heap may grow, in percent of what is alive, before garbage is collected. A service
// has a live heap of a few megabytes, which Go's default would have it search thirty times a second under load (decision 0024).
const collectGarbageAt = 200

func collectLessOften() {
	if _, chosen := os.LookupEnv("GOGC"); !chosen {
		debug.SetGCPercent(collectGarbageAt)
	}
}
