package main

import (
	"context"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
)

// onlyEndpoints ends a stream that asks for anything but endpoints: clusters and routes are in Envoy's own file, and a
// client that waits for them here would wait for ever.
//
// It is written out, because the ready-made callbacks are in a package that pulls in the services of every xDS type.
type onlyEndpoints struct{}

var (
	_ sotw.Callbacks  = onlyEndpoints{}
	_ delta.Callbacks = onlyEndpoints{}
)

func servedType(url string) error {
	if url != resource.EndpointType {
		return &Error{Kind: KindNotImplemented, What: "xDS type " + url}
	}
	return nil
}

func (onlyEndpoints) OnStreamRequest(_ int64, request *discovery.DiscoveryRequest) error {
	return servedType(request.GetTypeUrl())
}

func (onlyEndpoints) OnStreamDeltaRequest(_ int64, request *discovery.DeltaDiscoveryRequest) error {
	return servedType(request.GetTypeUrl())
}

func (onlyEndpoints) OnStreamOpen(context.Context, int64, string) error      { return nil }
func (onlyEndpoints) OnStreamClosed(int64, *core.Node)                       {}
func (onlyEndpoints) OnDeltaStreamOpen(context.Context, int64, string) error { return nil }
func (onlyEndpoints) OnDeltaStreamClosed(int64, *core.Node)                  {}

func (onlyEndpoints) OnStreamResponse(context.Context, int64, *discovery.DiscoveryRequest, *discovery.DiscoveryResponse) {
}

func (onlyEndpoints) OnStreamDeltaResponse(int64, *discovery.DeltaDiscoveryRequest, *discovery.DeltaDiscoveryResponse) {
}
