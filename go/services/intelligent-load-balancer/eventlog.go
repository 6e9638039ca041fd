package main

import (
	"context"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	eventv1 "uait.dev/go/gen/uait/event/v1"
	"uait.dev/go/kit/events"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/telemetry"
)

// eventArea and eventTenant are where the mesh's own events belong.
const (
	eventArea   = "mesh"
	eventTenant = "system"
)

// jetStream announces on the event log of the mesh.
type jetStream struct {
	log *events.Log
}

var _ EventLog = jetStream{}

// Announce publishes an event that no call caused, so without a trace, of the tenant "system".
func (j jetStream) Announce(ctx context.Context, announcement Announcement) error {
	ctx = identity.NewContext(telemetry.Untraced(ctx), identity.Identity{Tenant: eventTenant})
	_, err := j.log.Publish(ctx, eventArea, announcement.ID, toEvent(announcement))
	return err
}

// Transient is true where the log could not be reached. Publish has tried for a while by then.
func (j jetStream) Transient(err error) bool { return grpcstatus.Code(err) == codes.Unavailable }

func toEvent(announcement Announcement) *eventv1.Event {
	endpoint := announcement.Endpoint
	if announcement.Up {
		return &eventv1.Event{Payload: &eventv1.Event_EndpointUp{EndpointUp: &eventv1.EndpointUp{
			Service: endpoint.Service, Instance: endpoint.Instance, Address: endpoint.Address(),
		}}}
	}
	return &eventv1.Event{Payload: &eventv1.Event_EndpointDown{EndpointDown: &eventv1.EndpointDown{
		Service: endpoint.Service, Instance: endpoint.Instance, Address: endpoint.Address(), Cause: toCause(announcement),
	}}}
}

func toCause(announcement Announcement) eventv1.EndpointDown_Cause {
	if announcement.Unhealthy {
		return eventv1.EndpointDown_CAUSE_UNHEALTHY
	}
	switch announcement.Cause {
	case CauseWithdrawn:
		return eventv1.EndpointDown_CAUSE_WITHDRAWN
	case CauseLeaseLost:
		return eventv1.EndpointDown_CAUSE_LEASE_LOST
	case CauseNone, CauseSuperseded: // a seed made way for leases, or an instance moved: no fault of the endpoint
		return eventv1.EndpointDown_CAUSE_UNSPECIFIED
	}
	return eventv1.EndpointDown_CAUSE_UNSPECIFIED
}
