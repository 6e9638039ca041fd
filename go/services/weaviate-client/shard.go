package main

import (
	"context"
	"net/http"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// Activity is where a tenant's shard of a class is.
type Activity int

// The places, as the contract numbers them; 0 is no shard.
const (
	Active Activity = iota + 1
	Inactive
	Offloaded
)

func (a Activity) String() string {
	switch a {
	case Active:
		return "ACTIVE"
	case Inactive:
		return "INACTIVE"
	case Offloaded:
		return "OFFLOADED"
	default:
		return "missing"
	}
}

type shardBody struct {
	Name           string `json:"name"`
	ActivityStatus string `json:"activityStatus,omitempty"`
}

func shardsPath(c Collection) string { return "/v1/schema/" + c.Class() + "/tenants" }

// activity is where the shard of a collection is; 0 when there is none.
func (w *weaviate) activity(ctx context.Context, c Collection) (Activity, error) {
	reply, err := ask(ctx, w, "TenantsGet", func(ctx context.Context) (*pb.TenantsGetReply, error) {
		return w.objects.TenantsGet(ctx, &pb.TenantsGetRequest{
			Collection: c.Class(),
			Params:     &pb.TenantsGetRequest_Names{Names: &pb.TenantNames{Values: []string{c.Tenant}}},
		})
	})
	if err != nil {
		return 0, err
	}
	for _, tenant := range reply.GetTenants() {
		if tenant.GetName() != c.Tenant {
			continue
		}
		switch tenant.GetActivityStatus() {
		case pb.TenantActivityStatus_TENANT_ACTIVITY_STATUS_HOT, pb.TenantActivityStatus_TENANT_ACTIVITY_STATUS_ACTIVE:
			return Active, nil
		case pb.TenantActivityStatus_TENANT_ACTIVITY_STATUS_COLD, pb.TenantActivityStatus_TENANT_ACTIVITY_STATUS_INACTIVE:
			return Inactive, nil
		default:
			return Offloaded, nil
		}
	}
	return 0, nil
}

// addShard makes the shard of a collection, empty and active.
func (w *weaviate) addShard(ctx context.Context, c Collection) error {
	_, err := w.rest(ctx, http.MethodPost, shardsPath(c), []shardBody{{Name: c.Tenant, ActivityStatus: "ACTIVE"}}, nil)
	return err
}

// moveShard puts the shard of a collection into memory or onto disk.
func (w *weaviate) moveShard(ctx context.Context, c Collection, to Activity) error {
	_, err := w.rest(ctx, http.MethodPut, shardsPath(c), []shardBody{{Name: c.Tenant, ActivityStatus: to.String()}}, nil)
	return err
}

// dropShard deletes the shard of a collection with everything in it; one that is not there is no failure.
func (w *weaviate) dropShard(ctx context.Context, c Collection) error {
	_, err := w.rest(ctx, http.MethodDelete, shardsPath(c), []string{c.Tenant}, nil)
	return err
}
