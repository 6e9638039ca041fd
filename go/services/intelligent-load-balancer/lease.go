package main

import (
	"sync"
	"time"
)

// Leases opens the leases by which endpoints stay in the registry.
type Leases struct {
	Registry *Registry
	Clock    Clock
	TTL      time.Duration // a lease ends when this passes without a renewal

	mu   sync.Mutex
	open map[Key]*Lease
}

// Lease keeps one endpoint in the registry until it is withdrawn, broken, silent for longer than its TTL, or superseded
// by a later lease of the same instance.
type Lease struct {
	leases *Leases
	key    Key
	ticket uint64
	ended  chan struct{}

	mu      sync.Mutex
	timer   Timer
	expires time.Time
	err     error // why the lease ended; nil while it is open or after its holder ended it
	over    bool
}

// Open registers the endpoint. Another lease of the same instance ends as superseded.
func (l *Leases) Open(endpoint Endpoint) *Lease {
	lease := &Lease{leases: l, key: endpoint.Key(), ended: make(chan struct{})}
	l.mu.Lock()
	former := l.open[lease.key]
	if l.open == nil {
		l.open = map[Key]*Lease{}
	}
	l.open[lease.key] = lease
	lease.ticket = l.Registry.Join(endpoint)
	l.mu.Unlock()

	lease.mu.Lock()
	if !lease.over {
		lease.expires = l.Clock.Now().Add(l.TTL)
		lease.timer = l.Clock.AfterFunc(l.TTL, lease.expire)
	}
	lease.mu.Unlock()
	if former != nil {
		former.end(CauseNone, &Error{Kind: KindLeaseSuperseded})
	}
	return lease
}

// Renew keeps the lease for another TTL and notes how busy the endpoint is.
//
// Errors: that of Err where the lease is over.
func (l *Lease) Renew(utilisation Utilisation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return l.err
	}
	l.expires = l.leases.Clock.Now().Add(l.leases.TTL)
	l.timer.Reset(l.leases.TTL)
	l.leases.Registry.Report(l.key, l.ticket, utilisation)
	return nil
}

// State is the endpoint's state now.
func (l *Lease) State() State {
	status, _ := l.leases.Registry.Get(l.key)
	return status.State
}

// Withdraw ends the lease at the holder's wish, as a draining service does.
func (l *Lease) Withdraw() { l.end(CauseWithdrawn, nil) }

// Break ends the lease whose stream broke.
func (l *Lease) Break() { l.end(CauseLeaseLost, nil) }

// Ended is closed when the lease is over.
func (l *Lease) Ended() <-chan struct{} { return l.ended }

// Err tells why the lease ended where its holder did not end it; nil otherwise.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// expire ends the lease unless a renewal overtook the timer that had fired already.
func (l *Lease) expire() {
	l.mu.Lock()
	silent := !l.leases.Clock.Now().Before(l.expires)
	l.mu.Unlock()
	if silent {
		l.end(CauseLeaseLost, &Error{Kind: KindLeaseExpired})
	}
}

// end is idempotent: the first reason counts. A superseded lease leaves the registry as it is, because its ticket is
// void there already.
func (l *Lease) end(cause Cause, err error) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over, l.err = true, err
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()

	l.leases.mu.Lock()
	if l.leases.open[l.key] == l {
		delete(l.leases.open, l.key)
	}
	l.leases.mu.Unlock()
	l.leases.Registry.Leave(l.key, l.ticket, cause)
	close(l.ended)
}
