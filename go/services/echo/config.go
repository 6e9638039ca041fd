package main

import "uait.dev/go/kit/config"

const (
	catalogueName = "echo-go"
	cataloguePort = 8002
)

// Config is what the service takes from its environment; a service's own variables stand beside the kit's.
type Config struct {
	// Kit is what every service has.
	Kit config.Kit
}

func readConfig(environment *config.Environment) (Config, error) {
	configuration := Config{Kit: environment.Kit(catalogueName, cataloguePort)}
	return configuration, environment.Err()
}
