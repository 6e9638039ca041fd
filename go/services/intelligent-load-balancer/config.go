package main

import (
	"net/netip"
	"regexp"
	"strings"
	"time"

	"uait.dev/go/kit/config"
)

// Name and port of the balancer in the catalogue.
const (
	catalogueName = "intelligent-load-balancer"
	cataloguePort = 8080
)

// Config is the balancer's environment; the README has the table.
type Config struct {
	Kit config.Kit
	// Seeds are the endpoints that the catalogue expects.
	Seeds []Endpoint
	// Descriptors describe the whole mesh for reflection; nil answers for the balancer alone.
	Descriptors *Descriptors
	// LeaseTTL is how long a lease lives without a renewal.
	LeaseTTL time.Duration
	// HealthInterval is the time between two health checks of an endpoint.
	HealthInterval time.Duration
	// HealthTimeout is how long a health check may take.
	HealthTimeout time.Duration
	// HealthThresholds are the checks in a row that change an endpoint's state.
	HealthThresholds Thresholds
	// Coalesce is how long changes are gathered before Envoy hears of them.
	Coalesce time.Duration
	// Settle is how long after the start an Envoy that has endpoints keeps them.
	Settle time.Duration
	// History is the number of changes from which a watcher can resume.
	History int
}

func readConfig(e *config.Environment) (Config, error) {
	c := Config{
		Kit:            e.Kit(catalogueName, cataloguePort),
		LeaseTTL:       e.Millis("UAIT_LEASE_TTL_MS", 3000, 100, 60_000),
		HealthInterval: e.Millis("UAIT_HEALTH_INTERVAL_MS", 1000, 50, 60_000),
		HealthTimeout:  e.Millis("UAIT_HEALTH_TIMEOUT_MS", 500, 10, 60_000),
		HealthThresholds: Thresholds{
			Out: e.Int("UAIT_HEALTH_OUT", 2, 1, 10),
			In:  e.Int("UAIT_HEALTH_IN", 1, 1, 10),
		},
		Coalesce: e.Millis("UAIT_XDS_COALESCE_MS", 50, 0, 1000),
		Settle:   e.Millis("UAIT_XDS_SETTLE_MS", 6000, 0, 60_000),
		History:  e.Int("UAIT_HISTORY", 4096, 1, 1_000_000),
	}
	e.Check("UAIT_SEEDS", "", "service=ip:port, separated by commas", func(value string) bool {
		seeds, ok := parseSeeds(value)
		c.Seeds = seeds
		return ok
	})
	e.Check("UAIT_DESCRIPTORS", "", "path of a FileDescriptorSet with services", func(path string) bool {
		descriptors, err := LoadDescriptors(path)
		c.Descriptors = descriptors
		return err == nil
	})
	return c, e.Err()
}

// parseSeeds reads `service=ip:port,...`. Names of hosts are refused, because Envoy takes only addresses over EDS; in
// Envoy's static clusters, which cover for the seeds, names are welcome.
func parseSeeds(value string) ([]Endpoint, bool) {
	name := regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	known := map[Key]bool{}
	var seeds []Endpoint
	for part := range strings.SplitSeq(value, ",") {
		service, place, ok := strings.Cut(strings.TrimSpace(part), "=")
		address, err := netip.ParseAddrPort(place)
		if !ok || err != nil || !name.MatchString(service) || address.Port() == 0 || address.Addr().Zone() != "" || address.Addr().IsUnspecified() {
			return nil, false
		}
		seed := newSeed(service, address.Addr().String(), address.Port())
		if known[seed.Key()] {
			return nil, false
		}
		known[seed.Key()] = true
		seeds = append(seeds, seed)
	}
	return seeds, true
}
