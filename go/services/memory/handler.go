package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/idempotency"
	"uait.dev/go/kit/identity"
	"uait.dev/go/kit/page"
	"uait.dev/go/kit/serve"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/telemetry"
)

const (
	defaultPageSize = 100
	// watchMost is how many changes a watcher reads at once.
	watchMost = 100
)

// memoryHandler implements MemoryService.
type memoryHandler struct {
	memoryv1.UnsafeMemoryServiceServer
	server       *serve.Server
	store        *store
	index        *vectorIndex
	indexTimeout time.Duration
}

var _ memoryv1.MemoryServiceServer = (*memoryHandler)(nil)

func registerMemories(server *serve.Server, kept *store, index *vectorIndex, indexTimeout time.Duration) {
	memoryv1.RegisterMemoryServiceServer(server, &memoryHandler{server: server, store: kept, index: index, indexTimeout: indexTimeout})
}

func tenantOf(ctx context.Context) string { return identity.FromContext(ctx).Tenant }

// caller is on whose behalf a request changes the store.
func caller(ctx context.Context, requestID string, request proto.Message) (Caller, error) {
	digest, err := idempotency.Digest(request)
	if err != nil {
		return Caller{}, err
	}
	c := Caller{
		Tenant: tenantOf(ctx), Subject: identity.FromContext(ctx).Subject, RequestID: requestID, Digest: digest[:],
	}
	if span := telemetry.FromContext(ctx); span.Valid() {
		c.Traceparent = span.Traceparent()
	}
	return c, nil
}

// Store stores a memory.
func (h *memoryHandler) Store(ctx context.Context, request *memoryv1.StoreRequest) (*memoryv1.StoreResponse, error) {
	who, err := caller(ctx, request.GetRequestId(), request)
	if err != nil {
		return nil, err
	}
	draft, err := draftFromProto("memory", request.GetMemory())
	if err != nil {
		return nil, err
	}
	stored, err := h.store.add(ctx, who, "Store", []Draft{draft})
	if err != nil {
		return nil, err
	}
	if stored[0].Err != nil {
		return nil, stored[0].Err
	}
	return &memoryv1.StoreResponse{Memory: memoryProto(stored[0].Memory)}, nil
}

// BatchStore stores memories in one commit; each succeeds or fails for itself.
func (h *memoryHandler) BatchStore(ctx context.Context, request *memoryv1.BatchStoreRequest) (*memoryv1.BatchStoreResponse, error) {
	who, err := caller(ctx, request.GetRequestId(), request)
	if err != nil {
		return nil, err
	}
	response := &memoryv1.BatchStoreResponse{Results: make([]*memoryv1.BatchStoreResponse_Stored, len(request.GetMemories()))}
	var drafts []Draft
	var places []int
	for i, sent := range request.GetMemories() {
		draft, err := draftFromProto(fmt.Sprintf("memories[%d]", i), sent)
		if err != nil {
			response.Results[i] = failed(err)
			continue
		}
		drafts, places = append(drafts, draft), append(places, i)
	}
	stored, err := h.store.add(ctx, who, "BatchStore", drafts)
	if err != nil {
		return nil, err
	}
	for i, s := range stored {
		if s.Err != nil {
			response.Results[places[i]] = failed(s.Err)
			continue
		}
		response.Results[places[i]] = &memoryv1.BatchStoreResponse_Stored{
			Result: &memoryv1.BatchStoreResponse_Stored_Memory{Memory: memoryProto(s.Memory)},
		}
	}
	return response, nil
}

func failed(err error) *memoryv1.BatchStoreResponse_Stored {
	own, ok := errors.AsType[*status.Error](err)
	if !ok {
		own = mapError(err)
	}
	if own == nil {
		own = status.Internal()
	}
	return &memoryv1.BatchStoreResponse_Stored{Result: &memoryv1.BatchStoreResponse_Stored_Failure{Failure: &typesv1.Failure{
		Code: int32(own.Code), Reason: status.ReasonName(own.Reason), Message: own.Message,
	}}}
}

// Get returns a memory.
func (h *memoryHandler) Get(ctx context.Context, request *memoryv1.GetRequest) (*memoryv1.GetResponse, error) {
	m, err := h.store.get(ctx, tenantOf(ctx), request.GetMemoryId())
	if err != nil {
		return nil, err
	}
	return &memoryv1.GetResponse{Memory: memoryProto(m)}, nil
}

// Update makes the next version of a memory.
func (h *memoryHandler) Update(ctx context.Context, request *memoryv1.UpdateRequest) (*memoryv1.UpdateResponse, error) {
	who, err := caller(ctx, request.GetRequestId(), request)
	if err != nil {
		return nil, err
	}
	revision, err := revisionFromProto(request)
	if err != nil {
		return nil, err
	}
	m, err := h.store.update(ctx, who, request.GetMemoryId(), request.GetEtag(), revision)
	if err != nil {
		return nil, err
	}
	return &memoryv1.UpdateResponse{Memory: memoryProto(m)}, nil
}

// Delete deletes a memory with its history.
func (h *memoryHandler) Delete(ctx context.Context, request *memoryv1.DeleteRequest) (*memoryv1.DeleteResponse, error) {
	who, err := caller(ctx, request.GetRequestId(), request)
	if err != nil {
		return nil, err
	}
	return &memoryv1.DeleteResponse{}, h.store.remove(ctx, who, request.GetMemoryId(), request.GetEtag())
}

// PurgeTenant deletes every memory of the caller's tenant.
func (h *memoryHandler) PurgeTenant(ctx context.Context, request *memoryv1.PurgeTenantRequest) (*memoryv1.PurgeTenantResponse, error) {
	who, err := caller(ctx, request.GetRequestId(), request)
	if err != nil {
		return nil, err
	}
	deleted, err := h.store.purge(ctx, who)
	if err != nil {
		return nil, err
	}
	return &memoryv1.PurgeTenantResponse{Deleted: deleted}, nil
}

// List lists memories, the newest first.
func (h *memoryHandler) List(ctx context.Context, request *memoryv1.ListRequest) (*memoryv1.ListResponse, error) {
	scope := fmt.Sprintf("List/%s/%d/%q/%t", tenantOf(ctx), request.GetKind(), request.GetTags(), request.GetIncludeSuperseded())
	cursor, err := page.Cursor(scope, request.GetPageToken())
	if err != nil {
		return nil, err
	}
	criteria := Criteria{Tags: request.GetTags()}
	if request.GetKind() != memoryv1.MemoryKind_MEMORY_KIND_UNSPECIFIED {
		criteria.Kinds = []Kind{Kind(request.GetKind())}
	}
	memories, next, err := h.store.list(ctx, tenantOf(ctx), criteria, cursor, pageSize(request.GetPageSize()))
	if err != nil {
		return nil, err
	}
	response := &memoryv1.ListResponse{Memories: memoriesProto(memories)}
	if next != "" {
		response.NextPageToken = page.Token(scope, next)
	}
	return response, nil
}

// GetHistory lists the versions of a memory, the newest first.
func (h *memoryHandler) GetHistory(ctx context.Context, request *memoryv1.GetHistoryRequest) (*memoryv1.GetHistoryResponse, error) {
	scope := fmt.Sprintf("GetHistory/%s/%s", tenantOf(ctx), request.GetMemoryId())
	cursor, err := page.Cursor(scope, request.GetPageToken())
	if err != nil {
		return nil, err
	}
	below := math.MaxInt32
	if cursor != "" {
		if below, err = strconv.Atoi(cursor); err != nil {
			return nil, fmt.Errorf("read a cursor of ours: %w", err)
		}
	}
	versions, more, err := h.store.history(ctx, tenantOf(ctx), request.GetMemoryId(), below, pageSize(request.GetPageSize()))
	if err != nil {
		return nil, err
	}
	response := &memoryv1.GetHistoryResponse{Versions: memoriesProto(versions)}
	if more {
		response.NextPageToken = page.Token(scope, strconv.Itoa(versions[len(versions)-1].Version))
	}
	return response, nil
}

func pageSize(asked int32) int {
	if asked == 0 {
		return defaultPageSize
	}
	return int(asked)
}

// GetStats tells how much is stored.
func (h *memoryHandler) GetStats(ctx context.Context, _ *memoryv1.GetStatsRequest) (*memoryv1.GetStatsResponse, error) {
	stats, err := h.store.stats(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	response := &memoryv1.GetStatsResponse{
		Memories: stats.Memories, Versions: stats.Versions, TextBytes: stats.TextBytes, Unindexed: stats.Unindexed,
	}
	for kind := Semantic; kind <= Preference; kind++ {
		if count := stats.Kinds[kind]; count > 0 {
			response.Kinds = append(response.Kinds, &memoryv1.GetStatsResponse_KindCount{Kind: memoryv1.MemoryKind(kind), Memories: count})
		}
	}
	return response, nil
}

// Consolidate is not built.
func (*memoryHandler) Consolidate(context.Context, *memoryv1.ConsolidateRequest) (*memoryv1.ConsolidateResponse, error) {
	return nil, &memoryError{kind: kindNotBuilt, name: "Consolidate", detail: "groups of memories that say the same are not searched for yet, so that nothing supersedes anything"}
}

// WatchMemories streams the tenant's changes.
func (h *memoryHandler) WatchMemories(
	request *memoryv1.WatchMemoriesRequest, stream grpc.ServerStreamingServer[memoryv1.WatchMemoriesResponse],
) error {
	ctx := stream.Context()
	after := request.GetResumeAfter()
	if after == 0 {
		var err error
		if after, err = h.store.newest(ctx, tenantOf(ctx)); err != nil {
			return err
		}
		// What happens from now on is watched: the caller learns by the headers that it may go on.
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
	}
	for {
		changed := h.store.changes()
		changes, err := h.store.watched(ctx, tenantOf(ctx), after, watchMost)
		if err != nil {
			return err
		}
		for _, change := range changes {
			after = change.Sequence
			response := changeProto(change)
			if response == nil || !hasAll(change.Tags, request.GetTags()) {
				continue
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
		if len(changes) == watchMost {
			continue
		}
		select {
		case <-changed:
		case <-h.server.Stopping():
			return serve.Draining()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func hasAll(tags, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(tag string) bool { return !slices.Contains(tags, tag) })
}
