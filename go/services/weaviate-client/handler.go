package main

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/idempotency"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/page"
	"uait.dev/go/kit/serve"
)

const defaultPageSize = 100

// vectorHandler implements VectorService.
type vectorHandler struct {
	weaviatev1.UnsafeVectorServiceServer
	registry *registry
	upstream *weaviate
	memo     *idempotency.Memo
}

var _ weaviatev1.VectorServiceServer = (*vectorHandler)(nil)

func registerVectors(server *serve.Server, registry *registry) {
	weaviatev1.RegisterVectorServiceServer(server, &vectorHandler{
		registry: registry, upstream: registry.upstream, memo: idempotency.New(time.Now),
	})
}

// collection finds a collection of the caller.
func (h *vectorHandler) collection(ctx context.Context, name string) (Collection, error) {
	return h.registry.find(ctx, identity.FromContext(ctx).Tenant, name)
}

// CreateCollection creates a collection. A repeat is known by the registry, for as long as the collection is there.
func (h *vectorHandler) CreateCollection(
	ctx context.Context, request *weaviatev1.CreateCollectionRequest,
) (*weaviatev1.CreateCollectionResponse, error) {
	digest, err := idempotency.Digest(request)
	if err != nil {
		return nil, err
	}
	created, err := h.registry.create(ctx, Collection{
		Tenant: identity.FromContext(ctx).Tenant, Name: request.GetCollection(), Spec: specFromProto(request.GetSpec()),
		RequestID: request.GetRequestId(), Digest: hex.EncodeToString(digest[:]),
	})
	if err != nil {
		return nil, err
	}
	return &weaviatev1.CreateCollectionResponse{Collection: collectionProto(created, 0)}, nil
}

// GetCollection returns a collection.
func (h *vectorHandler) GetCollection(
	ctx context.Context, request *weaviatev1.GetCollectionRequest,
) (*weaviatev1.GetCollectionResponse, error) {
	found, err := h.registry.get(ctx, identity.FromContext(ctx).Tenant, request.GetCollection())
	if err != nil {
		return nil, err
	}
	objects, err := h.objects(ctx, found)
	if err != nil {
		return nil, err
	}
	return &weaviatev1.GetCollectionResponse{Collection: collectionProto(found, objects)}, nil
}

// objects counts the objects of a collection; 0 unless its shard is active.
func (h *vectorHandler) objects(ctx context.Context, c Collection) (int64, error) {
	count, err := h.upstream.count(ctx, c)
	if err == nil {
		return count, nil
	}
	err = h.registry.explain(ctx, c, err)
	if known, ok := errors.AsType[*vectorError](err); ok && known.kind == kindInactive {
		return 0, nil
	}
	return 0, err
}

// ListCollections lists the caller's collections by name; a token is the last name shown.
func (h *vectorHandler) ListCollections(
	ctx context.Context, request *weaviatev1.ListCollectionsRequest,
) (*weaviatev1.ListCollectionsResponse, error) {
	scope := "ListCollections/" + identity.FromContext(ctx).Tenant
	last, err := page.Cursor(scope, request.GetPageToken())
	if err != nil {
		return nil, err
	}
	collections, err := h.registry.list(ctx, identity.FromContext(ctx).Tenant)
	if err != nil {
		return nil, err
	}
	response := &weaviatev1.ListCollectionsResponse{}
	size := orDefault(int(request.GetPageSize()), defaultPageSize)
	for _, c := range collections {
		if c.Name <= last {
			continue
		}
		if len(response.GetCollections()) == size {
			response.NextPageToken = page.Token(scope, response.GetCollections()[size-1].GetName())
			break
		}
		objects, err := h.objects(ctx, c)
		if err != nil {
			return nil, err
		}
		response.Collections = append(response.Collections, collectionProto(c, objects))
	}
	return response, nil
}

// DeleteCollection deletes a collection.
func (h *vectorHandler) DeleteCollection(
	ctx context.Context, request *weaviatev1.DeleteCollectionRequest,
) (*weaviatev1.DeleteCollectionResponse, error) {
	return idempotency.Do(ctx, h.memo, "DeleteCollection", request.GetRequestId(), request,
		func(ctx context.Context) (*weaviatev1.DeleteCollectionResponse, error) {
			err := h.registry.drop(ctx, identity.FromContext(ctx).Tenant, request.GetCollection())
			return &weaviatev1.DeleteCollectionResponse{}, err
		})
}

// GetTenant tells where the caller's shard is.
func (h *vectorHandler) GetTenant(ctx context.Context, request *weaviatev1.GetTenantRequest) (*weaviatev1.GetTenantResponse, error) {
	shard, err := h.shard(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	return &weaviatev1.GetTenantResponse{Shard: shard}, nil
}

func (h *vectorHandler) shard(ctx context.Context, name string) (*weaviatev1.Shard, error) {
	c, err := h.registry.get(ctx, identity.FromContext(ctx).Tenant, name)
	if err != nil {
		return nil, err
	}
	activity, err := h.upstream.activity(ctx, c)
	if err != nil {
		return nil, h.registry.explain(ctx, c, err)
	}
	shard := &weaviatev1.Shard{Activity: weaviatev1.Shard_Activity(activity)}
	if activity == Active {
		if shard.Objects, err = h.objects(ctx, c); err != nil {
			return nil, err
		}
	}
	return shard, nil
}

// UpdateTenant moves the caller's shard between memory and disk.
func (h *vectorHandler) UpdateTenant(
	ctx context.Context, request *weaviatev1.UpdateTenantRequest,
) (*weaviatev1.UpdateTenantResponse, error) {
	return idempotency.Do(ctx, h.memo, "UpdateTenant", request.GetRequestId(), request,
		func(ctx context.Context) (*weaviatev1.UpdateTenantResponse, error) {
			if request.GetActivity() == weaviatev1.Shard_ACTIVITY_OFFLOADED {
				return nil, &vectorError{kind: kindNotBuilt, name: "ACTIVITY_OFFLOADED", detail: "cold storage needs Weaviate's module offload-s3, which the mesh does not run"}
			}
			c, err := h.collection(ctx, request.GetCollection())
			if err != nil {
				return nil, err
			}
			if request.Activity != nil {
				if err := h.upstream.moveShard(ctx, c, Activity(request.GetActivity())); err != nil {
					return nil, h.registry.explain(ctx, c, err)
				}
			}
			shard, err := h.shard(ctx, request.GetCollection())
			if err != nil {
				return nil, err
			}
			return &weaviatev1.UpdateTenantResponse{Shard: shard}, nil
		})
}

// DeleteTenant deletes the caller's objects of a collection.
func (h *vectorHandler) DeleteTenant(
	ctx context.Context, request *weaviatev1.DeleteTenantRequest,
) (*weaviatev1.DeleteTenantResponse, error) {
	return idempotency.Do(ctx, h.memo, "DeleteTenant", request.GetRequestId(), request,
		func(ctx context.Context) (*weaviatev1.DeleteTenantResponse, error) {
			c, err := h.collection(ctx, request.GetCollection())
			if err != nil {
				return nil, err
			}
			deleted, err := h.upstream.count(ctx, c)
			if err != nil {
				return nil, h.registry.explain(ctx, c, err)
			}
			return &weaviatev1.DeleteTenantResponse{Deleted: deleted}, h.registry.empty(ctx, c)
		})
}

const noBackups = "a backup of one tenant alone is nothing that Weaviate makes, and its store (a folder or S3) is not configured"

// Backup is not built.
func (*vectorHandler) Backup(context.Context, *weaviatev1.BackupRequest) (*weaviatev1.BackupResponse, error) {
	return nil, &vectorError{kind: kindNotBuilt, name: "Backup", detail: noBackups}
}

// Restore is not built.
func (*vectorHandler) Restore(context.Context, *weaviatev1.RestoreRequest) (*weaviatev1.RestoreResponse, error) {
	return nil, &vectorError{kind: kindNotBuilt, name: "Restore", detail: noBackups}
}
