// Command weaviate-client is the mesh's view of Weaviate: each tenant's collections of objects, found by vectors and by words.
package main

import (
	"time"

	"uait.dev/go/kit/config"
	"uait.dev/go/kit/serve"
)

func main() { serve.Exit(run()) }

func run() error {
	configuration, err := readConfig(config.FromProcess())
	if err != nil {
		return err
	}
	server, err := newServer(configuration)
	if err != nil {
		return err
	}
	return server.RunUntilSignal()
}

// newServer builds the service; tests run it as main does.
func newServer(configuration Config, options ...serve.Option) (*serve.Server, error) {
	upstream, err := dialWeaviate(configuration)
	if err != nil {
		return nil, err
	}
	options = append(options, serve.Errors(mapError), serve.Checked("weaviate", upstream.state))
	server, err := serve.New(configuration.Kit, options...)
	if err != nil {
		return nil, err
	}
	upstream.tracer = server.Telemetry().Tracer
	registerVectors(server, newRegistry(upstream, time.Now))
	return server, nil
}
