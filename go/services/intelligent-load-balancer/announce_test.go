package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventv1 "uait.dev/go/gen/uait/event/v1"
)

var errAway = errors.New("nats is away")

// fakeEventLog stores announcements while it is there.
type fakeEventLog struct {
	mu     sync.Mutex
	away   bool
	stored []Announcement
}

func (l *fakeEventLog) Announce(ctx context.Context, announcement Announcement) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		l.mu.Unlock()
		time.Sleep(time.Second) // it tries for a while, as the kit does
		l.mu.Lock()
		return errAway
	}
	l.stored = append(l.stored, announcement)
	return ctx.Err()
}

func (l *fakeEventLog) Transient(err error) bool { return errors.Is(err, errAway) }

func (l *fakeEventLog) setAway(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

// all returns what was stored.
func (l *fakeEventLog) all() []Announcement {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.stored)
}

// lines renders what was stored.
func (l *fakeEventLog) lines() (lines []string) {
	for _, a := range l.all() {
		word := "down"
		if a.Up {
			word = "up"
		}
		lines = append(lines, fmt.Sprintf("%s %s unhealthy=%t cause=%d", a.Endpoint.Instance, word, a.Unhealthy, a.Cause))
	}
	return lines
}

// announcing runs an announcer in a bubble of synthetic time.
func announcing(t *testing.T, historySize int, body func(*Registry, *fakeEventLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		registry, events := NewRegistry(SystemClock{}, nil, historySize), &fakeEventLog{}
		announcer := &Announcer{Registry: registry, Events: events, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { announcer.Run(ctx) })
		synctest.Wait()
		body(registry, events)
		cancel()
		running.Wait()
	})
}

func TestAnnouncer_endpointLife_isToldWithItsCauses(t *testing.T) {
	announcing(t, 64, func(registry *Registry, events *fakeEventLog) {
		endpoint := endpointAt("a", 1)
		ticket := registry.Join(endpoint)
		registry.SetState(endpoint, StateHealthy)
		registry.SetState(endpoint, StateUnhealthy)
		registry.SetState(endpoint, StateHealthy)
		registry.Leave(endpoint.Key(), ticket, CauseLeaseLost)
		synctest.Wait()
		want := []string{
			"a up unhealthy=false cause=0", fmt.Sprintf("a down unhealthy=true cause=%d", CauseNone),
			"a up unhealthy=false cause=0", fmt.Sprintf("a down unhealthy=false cause=%d", CauseLeaseLost),
		}
		if got := events.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAnnouncer_endpointThatNeverServed_isNotTold(t *testing.T) {
	announcing(t, 64, func(registry *Registry, events *fakeEventLog) {
		endpoint := endpointAt("a", 1)
		ticket := registry.Join(endpoint)
		registry.SetState(endpoint, StateUnhealthy)
		registry.Leave(endpoint.Key(), ticket, CauseWithdrawn)
		synctest.Wait()
		if got := events.lines(); len(got) != 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnnouncer_eventLogAway_neitherBlocksNorLoses(t *testing.T) {
	announcing(t, 64, func(registry *Registry, events *fakeEventLog) {
		events.setAway(true)
		start := time.Now()
		for port := range uint16(10) {
			endpoint := endpointAt(string(rune('a'+port)), port+1)
			registry.Join(endpoint)
			registry.SetState(endpoint, StateHealthy)
		}
		if time.Since(start) != 0 {
			t.Errorf("the registry waited %s", time.Since(start))
		}
		time.Sleep(time.Minute)
		events.setAway(false)
		time.Sleep(2 * time.Second)
		if got := events.lines(); len(got) != 10 {
			t.Errorf("stored %q", got)
		}
	})
}

func TestAnnouncer_eventLogAwayPastTheHistory_tellsWhoIsUpUnderTheSameID(t *testing.T) {
	announcing(t, 4, func(registry *Registry, events *fakeEventLog) {
		steady := endpointAt("steady", 1)
		registry.Join(steady)
		registry.SetState(steady, StateHealthy)
		synctest.Wait()
		events.setAway(true)
		for port := range uint16(20) {
			endpoint := endpointAt("late", port+2)
			registry.Join(endpoint)
			registry.SetState(endpoint, StateHealthy)
		}
		time.Sleep(time.Minute)
		events.setAway(false)
		time.Sleep(2 * time.Second)
		ids := map[string][]string{}
		for _, announcement := range events.all() {
			if announcement.Up {
				ids[announcement.Endpoint.Instance] = append(ids[announcement.Endpoint.Instance], announcement.ID)
			}
		}
		if len(ids["late"]) == 0 {
			t.Errorf("the endpoint that came while the log was away was never told: %q", events.lines())
		}
		if repeats := ids["steady"]; len(repeats) < 2 || repeats[0] != repeats[len(repeats)-1] {
			t.Errorf("the steady endpoint was told under the ids %q, want one id, repeated", repeats)
		}
	})
}

func TestToEvent_everyAnnouncement_hasItsPayload(t *testing.T) {
	endpoint := endpointAt("a", 1)
	up := toEvent(Announcement{Endpoint: endpoint, Up: true}).GetEndpointUp()
	if up.GetService() != "echo" || up.GetInstance() != "a" || up.GetAddress() != "127.0.0.1:1" {
		t.Errorf("got %v", up)
	}
	for _, test := range []struct {
		announcement Announcement
		want         eventv1.EndpointDown_Cause
	}{
		{Announcement{Unhealthy: true}, eventv1.EndpointDown_CAUSE_UNHEALTHY},
		{Announcement{Cause: CauseWithdrawn}, eventv1.EndpointDown_CAUSE_WITHDRAWN},
		{Announcement{Cause: CauseLeaseLost}, eventv1.EndpointDown_CAUSE_LEASE_LOST},
		{Announcement{Cause: CauseSuperseded}, eventv1.EndpointDown_CAUSE_UNSPECIFIED},
	} {
		test.announcement.Endpoint = endpoint
		down := toEvent(test.announcement).GetEndpointDown()
		if down.GetCause() != test.want || down.GetAddress() != "127.0.0.1:1" {
			t.Errorf("%+v: got %v", test.announcement, down)
		}
	}
}
