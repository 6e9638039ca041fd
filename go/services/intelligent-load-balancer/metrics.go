package main

import "github.com/prometheus/client_golang/prometheus"

// collector reads the balancer's state when it is scraped.
type collector struct {
	registry  *Registry
	discovery *Discovery
	endpoints *prometheus.Desc
	streams   *prometheus.Desc
}

var _ prometheus.Collector = (*collector)(nil)

func newCollector(registry *Registry, discovery *Discovery) *collector {
	return &collector{
		registry:  registry,
		discovery: discovery,
		endpoints: prometheus.NewDesc("balancer_endpoints", "Endpoints known, by service and state.", []string{"endpoint_service", "state"}, nil),
		streams:   prometheus.NewDesc("balancer_xds_streams", "xDS streams open, one for each Envoy.", nil, nil),
	}
}

// Describe names the metrics.
func (c *collector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.endpoints
	descriptions <- c.streams
}

// Collect counts.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	type label struct {
		service string
		state   State
	}
	counts := map[label]int{}
	for _, service := range c.registry.Services() {
		for _, state := range []State{StatePending, StateHealthy, StateUnhealthy} {
			counts[label{service, state}] = 0 // so that a state which empties falls to 0 rather than vanish
		}
	}
	for _, status := range c.registry.List("") {
		counts[label{status.Endpoint.Service, status.State}]++
	}
	for label, count := range counts {
		metrics <- prometheus.MustNewConstMetric(c.endpoints, prometheus.GaugeValue, float64(count), label.service, label.state.String())
	}
	metrics <- prometheus.MustNewConstMetric(c.streams, prometheus.GaugeValue, float64(c.discovery.Streams()))
}
