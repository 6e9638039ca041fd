package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// healthProber checks endpoints by grpc.health.v1. It dials each endpoint itself rather than through the mesh: what it
// asks is whether this one process serves, and Envoy would answer for any of its service.
type healthProber struct {
	credentials credentials.TransportCredentials
}

var _ Prober = healthProber{}

// Open makes a connection of its own, so that a check does not share the fate of anybody's calls.
func (p healthProber) Open(address string) (Probe, error) {
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(p.credentials),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent(catalogueName),
		// The default grows to two minutes, in which a process that has come back would look dead.
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: time.Second,
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return &healthProbe{connection: connection, health: healthpb.NewHealthClient(connection)}, nil
}

type healthProbe struct {
	connection *grpc.ClientConn
	health     healthpb.HealthClient
}

// Check asks for the health of the empty name, which stands for the whole process.
func (p *healthProbe) Check(ctx context.Context) error {
	response, err := p.health.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if response.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %s", response.GetStatus())
	}
	return nil
}

// Close frees the connection; it can only fail where it was closed before.
func (p *healthProbe) Close() { _ = p.connection.Close() }
