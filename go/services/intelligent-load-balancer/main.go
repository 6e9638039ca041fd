// Command intelligent-load-balancer knows who serves what, where, and how busy it is: the source of Envoy's endpoints.
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
	server, err := newServer(configuration, SystemClock{}, newRandom())
	if err != nil {
		return err
	}
	return server.RunUntilSignal()
}
