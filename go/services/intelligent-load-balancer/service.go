package main

import (
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/serve"
)

// newServer builds the balancer; tests run it as main does.
func newServer(c Config, clock Clock, random *rand.Rand, options ...serve.Option) (*serve.Server, error) {
	options = append(options,
		serve.Errors(toStatus),
		serve.Tenantless(balancerv1.BalancerService_ServiceDesc.ServiceName, discovery.AggregatedDiscoveryService_ServiceDesc.ServiceName),
	)
	if c.Descriptors != nil {
		options = append(options, serve.Reflection(c.Descriptors.Reflection(
			healthpb.Health_ServiceDesc.ServiceName,
			reflectionv1.ServerReflection_ServiceDesc.ServiceName,
			reflectionv1alpha.ServerReflection_ServiceDesc.ServiceName,
		)))
	}
	server, err := serve.New(c.Kit, options...)
	if err != nil {
		return nil, err
	}
	running := untilStopping(server)
	registry := NewRegistry(clock, c.Seeds, c.History)
	ads := NewDiscovery(running, clock, c.Settle)
	if err := server.Telemetry().Registry.Register(newCollector(registry, ads)); err != nil {
		return nil, err
	}
	discovery.RegisterAggregatedDiscoveryServiceServer(server, ads)
	balancerv1.RegisterBalancerServiceServer(server, &Handler{
		Registry: registry,
		Leases:   &Leases{Registry: registry, Clock: clock, TTL: c.LeaseTTL},
		Picker:   NewPicker(random),
		Draining: server.Stopping(),
	})

	log := server.Telemetry().Logger
	loops := []func(context.Context){
		(&Checker{
			Registry: registry, Clock: clock, Prober: healthProber{clientCredentials(c.Kit)},
			Interval: c.HealthInterval, Timeout: c.HealthTimeout, Thresholds: c.HealthThresholds, Log: log,
		}).Run,
		(&Publisher{Registry: registry, Clock: clock, Audience: ads, Coalesce: c.Coalesce, Log: log}).Run,
	}
	if c.Kit.NATSURL != "" {
		loops = append(loops, (&Announcer{Registry: registry, Events: jetStream{server.Events()}, Log: log}).Run)
	}
	go func() {
		select {
		case <-server.Ready(): // from then on the event log can be used
		case <-running.Done():
		}
		for _, loop := range loops {
			go loop(running)
		}
	}()
	return server, nil
}

// untilStopping is a context that ends when calls in flight are asked to end. Envoy's streams end with it, before any
// lease does: what a balancer that goes would say of its endpoints is not worth hearing.
func untilStopping(server *serve.Server) context.Context {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		<-server.Stopping()
		stop()
	}()
	return ctx
}

func clientCredentials(kit config.Kit) credentials.TransportCredentials {
	if kit.TLS != nil {
		return kit.TLS.Client()
	}
	return insecure.NewCredentials()
}

// newRandom seeds a generator from the system's entropy: what Pick chooses need not be repeatable outside of tests.
func newRandom() *rand.Rand {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails (crypto/rand, since Go 1.24)
	return rand.New(rand.NewChaCha8(seed))
}
