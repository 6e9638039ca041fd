package main

import (
	"net"
	"net/url"
	"strconv"

	"uait.dev/go/kit/config"
)

const (
	catalogueName = "weaviate-client"
	cataloguePort = 8016
)

// Config is what the service takes from its environment.
type Config struct {
	// Kit is what every service has.
	Kit config.Kit
	// WeaviateURL is where Weaviate takes REST, such as "http://127.0.0.1:8081".
	WeaviateURL string
	// WeaviateGRPC is the host:port where it takes gRPC.
	WeaviateGRPC string
}

func readConfig(environment *config.Environment) (Config, error) {
	configuration := Config{
		Kit:          environment.Kit(catalogueName, cataloguePort),
		WeaviateURL:  environment.Check("UAIT_WEAVIATE_URL", "http://127.0.0.1:8081", "http://host:port", isBase),
		WeaviateGRPC: environment.Check("UAIT_WEAVIATE_GRPC", "127.0.0.1:50051", "host:port", isHostPort),
	}
	return configuration, environment.Err()
}

// isBase says whether paths can be put behind v.
func isBase(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && isHostPort(u.Host) && u.Path == "" && u.RawQuery == ""
}

func isHostPort(v string) bool {
	host, port, err := net.SplitHostPort(v)
	if err != nil || host == "" {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}
