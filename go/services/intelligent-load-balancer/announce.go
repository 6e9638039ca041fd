package main

import (
	"context"
	"fmt"
	"log/slog"
)

// Announcement is what the rest of the mesh hears of an endpoint: that it takes calls from now on, or no longer.
type Announcement struct {
	ID        string // the same for each repeat of one announcement
	Endpoint  Endpoint
	Up        bool
	Unhealthy bool  // why it is down, where it is still there
	Cause     Cause // why it is down, where it left
}

// announcementOf returns what a change means to others, and whether it means anything: an endpoint that never took
// calls comes and goes in silence.
func announcementOf(change Change) (Announcement, bool) {
	endpoint := change.Status.Endpoint
	announcement := Announcement{
		ID:       fmt.Sprintf("%s/%s/%d", endpoint.Service, endpoint.Instance, change.Sequence),
		Endpoint: endpoint,
	}
	was := change.Before == StateHealthy
	is := change.Status.State == StateHealthy && !change.Removed
	switch {
	case is && !was:
		announcement.Up = true
	case was && !is:
		announcement.Unhealthy, announcement.Cause = !change.Removed, change.Cause
	}
	return announcement, is != was
}

// EventLog stores announcements for everybody who learns from them.
type EventLog interface {
	// Announce returns when the announcement is stored, or with the reason why it is not.
	Announce(ctx context.Context, announcement Announcement) error
	// Transient tells whether trying again may help.
	Transient(err error) bool
}

// Announcer tells the event log who came and who left. It has the registry's history to fall behind in, so the log may
// be away for long; when even that is too short it begins again with those that are up, which the log knows by their ID
// if it has them already.
type Announcer struct {
	Registry *Registry
	Events   EventLog
	Log      *slog.Logger
}

// Run announces until the context ends.
func (a *Announcer) Run(ctx context.Context) {
	follow(ctx, a.Registry, func(change Change) {
		if announcement, ok := announcementOf(change); ok {
			a.announce(ctx, announcement)
		}
	}, func() {
		a.Log.Warn("the event log was away for longer than the history of endpoints; some changes were not announced")
	})
}

func (a *Announcer) announce(ctx context.Context, announcement Announcement) {
	for ctx.Err() == nil {
		err := a.Events.Announce(ctx, announcement)
		if err == nil {
			return
		}
		if !a.Events.Transient(err) {
			a.Log.Error("an announcement cannot be stored", "id", announcement.ID, "error", err)
			return
		}
	}
}
