package main

import (
	"cmp"
	"net"
	"strconv"
	"time"
)

// Endpoint is where one process serves one service of the catalogue.
type Endpoint struct {
	Service  string // catalogue name
	Instance string // unique among the processes of the mesh
	Host     string // IP address
	Port     uint16
	Zone     string // locality; empty for none
}

// Key identifies the endpoint for as long as its process lives.
func (e Endpoint) Key() Key { return Key{Service: e.Service, Instance: e.Instance} }

// Address is host:port, IPv6 in brackets.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// Key names an endpoint; keys order by service, then by instance.
type Key struct{ Service, Instance string }

// Compare orders keys by service, then by instance.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Service, other.Service), cmp.Compare(k.Instance, other.Instance))
}

// State is what the balancer knows of an endpoint's health.
type State int

// The states of an endpoint.
const (
	StatePending   State = iota // not yet checked; takes no calls
	StateHealthy                // its health check answers SERVING; takes calls
	StateUnhealthy              // its health check fails or answers NOT_SERVING; takes no calls
)

// String names the state as metrics and logs show it.
func (s State) String() string {
	switch s {
	case StatePending:
		return "pending"
	case StateHealthy:
		return "healthy"
	case StateUnhealthy:
		return "unhealthy"
	}
	return "invalid"
}

// Utilisation is how busy an endpoint says it is, in the terms of the ORCA load report.
type Utilisation struct {
	CPU         float64 // share of the machine's processor time, 0 to 1
	Memory      float64 // resident share of the machine's memory, 0 to 1
	Application float64 // calls in flight as a share of their limit, 0 to 1
	RPS         float64 // calls finished per second
	EPS         float64 // calls that ended in a server fault per second
}

// Origin is how the balancer came to know an endpoint.
type Origin int

// The origins of an endpoint.
const (
	OriginLease Origin = iota // it registered itself
	OriginSeed                // the catalogue says that it should be there
)

// Status is an endpoint with what the balancer knows of it. Its values are never changed after they were handed out.
type Status struct {
	Endpoint    Endpoint
	Origin      Origin
	State       State
	Utilisation *Utilisation // nil before the first report
	Since       time.Time    // when State last changed
}

// Cause is why an endpoint left or stopped taking calls.
type Cause int

// The causes of leaving.
const (
	CauseNone       Cause = iota // it did not leave
	CauseWithdrawn               // it withdrew its lease, as a draining service does
	CauseLeaseLost               // its lease broke or went silent
	CauseSuperseded              // leased endpoints of the service took a seed's place
)

// Change is one step in the history of the endpoints.
type Change struct {
	Sequence uint64 // rises with each change, across restarts too
	Status   Status // the endpoint as it is now, or as it was when it left
	Before   State  // its state before the change; StatePending for one that is new
	Removed  bool
	Cause    Cause // why, where Removed
}
