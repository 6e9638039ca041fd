// Command memory keeps what the tenant's agents and users want remembered, and finds it again by words and by meaning.
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
	service, err := newService(configuration)
	if err != nil {
		return err
	}
	return service.runUntilSignal()
}
