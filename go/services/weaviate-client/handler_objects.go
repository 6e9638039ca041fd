package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"

	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/idempotency"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/value"
)

const (
	defaultLimit  = 10
	defaultRows   = 100
	defaultWeight = 0.5
)

// Upsert stores objects batch by batch, and answers each batch once Weaviate has it.
func (h *vectorHandler) Upsert(stream grpc.BidiStreamingServer[weaviatev1.UpsertRequest, weaviatev1.UpsertResponse]) error {
	for batch := uint64(1); ; batch++ {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		response, err := h.upsert(stream.Context(), request)
		if err != nil {
			return err
		}
		response.Batch = batch
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func (h *vectorHandler) upsert(ctx context.Context, request *weaviatev1.UpsertRequest) (*weaviatev1.UpsertResponse, error) {
	c, err := h.collection(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	response := &weaviatev1.UpsertResponse{}
	seen := map[string]bool{}
	var objects []Object
	for i, sent := range request.GetObjects() {
		if seen[sent.GetObjectId()] {
			return nil, &vectorError{kind: kindConflict, name: fmt.Sprintf("objects[%d].object_id", i), detail: "comes twice in the batch"}
		}
		seen[sent.GetObjectId()] = true
		object, err := objectFromProto(sent)
		if err == nil {
			err = c.Spec.fits(object)
		}
		if err != nil {
			response.Failures = append(response.Failures, objectFailure(sent.GetObjectId(), err))
			continue
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		return response, nil
	}
	failed, err := h.upstream.put(ctx, c, objects)
	if err != nil {
		return nil, h.registry.explain(ctx, c, err)
	}
	if len(failed) == len(objects) { // The shard has gone, or is on disk; Weaviate says that once for each object.
		refused := h.registry.explain(ctx, c, &upstreamError{operation: "BatchObjects", code: "refused", text: failed[0]})
		if _, known := errors.AsType[*vectorError](refused); known {
			return nil, refused
		}
	}
	for i, object := range objects {
		if text, refused := failed[i]; refused {
			err := &upstreamError{operation: "BatchObjects", code: "refused", text: text}
			response.Failures = append(response.Failures, objectFailure(object.ID, err))
			continue
		}
		response.Stored++
	}
	return response, nil
}

func objectFailure(objectID string, err error) *weaviatev1.ObjectFailure {
	own, ok := errors.AsType[*status.Error](err)
	if !ok {
		own = mapError(err)
	}
	if own == nil {
		own = status.Internal()
	}
	return &weaviatev1.ObjectFailure{ObjectId: objectID, Failure: &typesv1.Failure{
		Code: int32(own.Code), Reason: status.ReasonName(own.Reason), Message: own.Message,
	}}
}

// Search finds the objects that fit best.
func (h *vectorHandler) Search(ctx context.Context, request *weaviatev1.SearchRequest) (*weaviatev1.SearchResponse, error) {
	c, err := h.collection(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	query, err := c.Spec.queryFromProto(request)
	if err != nil {
		return nil, err
	}
	found, err := h.upstream.find(ctx, c, query)
	if err != nil {
		return nil, h.registry.explain(ctx, c, err)
	}
	response := &weaviatev1.SearchResponse{Hits: make([]*weaviatev1.SearchResponse_Hit, len(found))}
	for i, f := range found {
		response.Hits[i] = &weaviatev1.SearchResponse_Hit{
			Object: objectProto(f.Object), Score: f.Score, Distance: f.Distance, Group: f.Group,
		}
	}
	return response, nil
}

// Aggregate counts objects and sums up their properties.
func (h *vectorHandler) Aggregate(ctx context.Context, request *weaviatev1.AggregateRequest) (*weaviatev1.AggregateResponse, error) {
	c, err := h.collection(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	filter, err := value.FilterFromProto("filter", request.GetFilter())
	if err != nil {
		return nil, err
	}
	asked := &pb.AggregateRequest{}
	if asked.Filters, err = c.Spec.filters(filter); err != nil {
		return nil, err
	}
	groupBy := -1
	if name := request.GetGroupBy(); name != "" {
		if groupBy, err = c.Spec.groupable(name); err != nil {
			return nil, err
		}
	}
	places := make([]int, len(request.GetProperties()))
	for i, name := range request.GetProperties() {
		if places[i], err = c.Spec.summable(fmt.Sprintf("properties[%d]", i), name); err != nil {
			return nil, err
		}
	}
	rows, err := h.upstream.aggregate(ctx, c, asked, places, groupBy)
	if err != nil {
		return nil, h.registry.explain(ctx, c, err)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(b.Objects, a.Objects) })
	limit := min(len(rows), orDefault(int(request.GetLimit()), defaultRows))
	return &weaviatev1.AggregateResponse{Rows: rowsProto(rows[:limit])}, nil
}

// Delete deletes objects by id or by condition.
func (h *vectorHandler) Delete(ctx context.Context, request *weaviatev1.DeleteRequest) (*weaviatev1.DeleteResponse, error) {
	return idempotency.Do(ctx, h.memo, "Delete", request.GetRequestId(), request,
		func(ctx context.Context) (*weaviatev1.DeleteResponse, error) {
			c, err := h.collection(ctx, request.GetCollection())
			if err != nil {
				return nil, err
			}
			filters, apply, err := c.Spec.deletionFromProto(request)
			if err != nil {
				return nil, err
			}
			response, err := h.remove(ctx, c, filters, apply)
			if err != nil {
				return nil, h.registry.explain(ctx, c, err)
			}
			return response, nil
		})
}

// remove deletes what filters match, 10,000 at a time, until nothing is left or nothing goes away any more.
func (h *vectorHandler) remove(ctx context.Context, c Collection, filters *pb.Filters, apply bool) (*weaviatev1.DeleteResponse, error) {
	if !apply {
		counted, err := h.upstream.aggregate(ctx, c, &pb.AggregateRequest{Filters: filters}, nil, -1)
		if err != nil {
			return nil, err
		}
		return &weaviatev1.DeleteResponse{Matched: counted[0].Objects}, nil
	}
	response := &weaviatev1.DeleteResponse{}
	for {
		done, err := h.upstream.remove(ctx, c, filters, false)
		if err != nil {
			return nil, err
		}
		response.Deleted += done.deleted
		if done.deleted == 0 || done.matched <= done.deleted+done.failed {
			response.Matched = response.GetDeleted() + done.failed
			if done.failed > 0 {
				return nil, &upstreamError{operation: "BatchDelete", code: "refused", text: fmt.Sprintf("%d objects could not be deleted", done.failed)}
			}
			return response, nil
		}
	}
}
