// Command echo says back what it is told: the proof of the Go kit, and the template of a Go service.
package main

import (
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
	server, err := serve.New(configuration.Kit, append(options, serve.Errors(mapError))...)
	if err != nil {
		return nil, err
	}
	registerEcho(server, configuration)
	return server, nil
}
