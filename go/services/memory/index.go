package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	inferencev1 "uait.dev/go/gen/uait/ml_inference/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/dial"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/value"
)

// Neighbour is a memory near a query, as the vector index knows it.
type Neighbour struct {
	// ID is the memory.
	ID string
	// Cosine is that of its embedding and the query's.
	Cosine float64
}

// Names of the services that the ranking by meaning needs.
const (
	inferenceName = "ml-inference"
	vectorsName   = "weaviate-client"
)

// neighbourError says which service failed.
type neighbourError struct {
	service string
	err     error
}

func (e *neighbourError) Error() string { return e.service + ": " + e.err.Error() }
func (e *neighbourError) Unwrap() error { return e.err }

// unwrapped is the error of the call that failed.
func unwrapped(err error) error {
	if named, ok := errors.AsType[*neighbourError](err); ok {
		return named.err
	}
	return err
}

// vectorIndex finds memories by meaning: ml-inference embeds, weaviate-client keeps the vectors. It keeps no text of a memory,
// only what a search can leave memories out by. The tenant is that of the context.
type vectorIndex struct {
	inference inferencev1.InferenceServiceClient
	vectors   weaviatev1.VectorServiceClient
	model     string
	newID     func() string
}

func newVectorIndex(mesh *dial.Mesh, model string, newID func() string) *vectorIndex {
	return &vectorIndex{
		inference: inferencev1.NewInferenceServiceClient(mesh), vectors: weaviatev1.NewVectorServiceClient(mesh), model: model, newID: newID,
	}
}

// maxCollectionModel is how much of a model's name fits into the name of a collection.
const maxCollectionModel = 54

// collection is named after the model: vectors of two models cannot be compared.
func (x *vectorIndex) collection() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, x.model)
	return "Memories_" + name[:min(len(name), maxCollectionModel)]
}

func (x *vectorIndex) embed(ctx context.Context, purpose inferencev1.EmbedRequest_Purpose, texts []string) ([]*typesv1.Vector, error) {
	response, err := x.inference.Embed(ctx, &inferencev1.EmbedRequest{Model: x.model, Texts: texts, Purpose: purpose})
	if err != nil {
		return nil, &neighbourError{inferenceName, err}
	}
	if len(response.GetVectors()) != len(texts) {
		return nil, &neighbourError{inferenceName, fmt.Errorf("%d vectors for %d texts", len(response.GetVectors()), len(texts))}
	}
	return response.GetVectors(), nil
}

// vectorField is the name of the vector of a memory.
const vectorField = "text"

// put has the index hold memories. refused says why it took some of them not; created that it had none of the tenant before.
func (x *vectorIndex) put(ctx context.Context, memories []Memory) (refused map[string]string, created bool, err error) {
	texts := make([]string, len(memories))
	for i, m := range memories {
		texts[i] = m.Text
	}
	vectors, err := x.embed(ctx, inferencev1.EmbedRequest_PURPOSE_DOCUMENT, texts)
	if err != nil {
		return nil, false, err
	}
	request := &weaviatev1.UpsertRequest{Collection: x.collection()}
	for i, m := range memories {
		request.Objects = append(request.Objects, &weaviatev1.VectorObject{
			ObjectId: m.ID,
			Vectors:  map[string]*typesv1.Vector{vectorField: vectors[i]},
			Properties: value.MapProto(map[string]value.Value{
				"kind": value.OfInteger(int64(m.Kind)), "tags": value.OfWords(m.Tags...), "created": value.OfTime(m.CreateTime),
			}),
		})
	}
	response, err := x.upsert(ctx, request)
	if status.Code(err) == codes.NotFound {
		if err := x.create(ctx, len(vectors[0].GetValues())); err != nil {
			return nil, false, &neighbourError{vectorsName, err}
		}
		created = true
		response, err = x.upsert(ctx, request)
	}
	if err != nil {
		return nil, created, &neighbourError{vectorsName, err}
	}
	refused = map[string]string{}
	for _, failure := range response.GetFailures() {
		refused[failure.GetObjectId()] = failure.GetFailure().GetMessage()
	}
	return refused, created, nil
}

func (x *vectorIndex) upsert(ctx context.Context, request *weaviatev1.UpsertRequest) (*weaviatev1.UpsertResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := x.vectors.Upsert(ctx)
	if err != nil {
		return nil, err
	}
	// An error of Send is io.EOF; Recv tells the reason.
	_ = stream.Send(request)
	_ = stream.CloseSend()
	return stream.Recv()
}

func (x *vectorIndex) create(ctx context.Context, dimensions int) error {
	_, err := x.vectors.CreateCollection(ctx, &weaviatev1.CreateCollectionRequest{
		RequestId: x.newID(), Collection: x.collection(),
		Spec: &weaviatev1.CollectionSpec{
			Description: "memories by " + x.model,
			Properties: []*weaviatev1.CollectionSpec_Property{
				{Name: "kind", Type: weaviatev1.CollectionSpec_TYPE_INTEGER, Filterable: true},
				{Name: "tags", Type: weaviatev1.CollectionSpec_TYPE_WORDS, Filterable: true},
				{Name: "created", Type: weaviatev1.CollectionSpec_TYPE_TIME, Filterable: true},
			},
			Vectors: []*weaviatev1.CollectionSpec_VectorIndex{{Name: vectorField, Dimensions: int32(dimensions)}},
		},
	})
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// remove has the index hold memories no more.
func (x *vectorIndex) remove(ctx context.Context, ids []string) error {
	_, err := x.vectors.Delete(ctx, &weaviatev1.DeleteRequest{
		RequestId: x.newID(), Collection: x.collection(),
		Target: &weaviatev1.DeleteRequest_Ids_{Ids: &weaviatev1.DeleteRequest_Ids{ObjectIds: ids}},
	})
	return unlessMissing(err)
}

// forget has the index hold nothing of the tenant.
func (x *vectorIndex) forget(ctx context.Context) error {
	_, err := x.vectors.DeleteCollection(ctx, &weaviatev1.DeleteCollectionRequest{RequestId: x.newID(), Collection: x.collection()})
	return unlessMissing(err)
}

func unlessMissing(err error) error {
	if err == nil || status.Code(err) == codes.NotFound {
		return nil
	}
	return &neighbourError{vectorsName, err}
}

// near finds at most most memories that mean what query means, the nearest first.
func (x *vectorIndex) near(ctx context.Context, query string, c Criteria, most int) ([]Neighbour, error) {
	vectors, err := x.embed(ctx, inferencev1.EmbedRequest_PURPOSE_QUERY, []string{query})
	if err != nil {
		return nil, err
	}
	response, err := x.vectors.Search(ctx, &weaviatev1.SearchRequest{
		Collection: x.collection(), Limit: int32(most), Filter: indexFilter(c),
		Query: &weaviatev1.SearchRequest_Near_{Near: &weaviatev1.SearchRequest_Near{Vector: vectors[0], VectorName: vectorField}},
	})
	if err != nil {
		return nil, &neighbourError{vectorsName, err}
	}
	found := make([]Neighbour, len(response.GetHits()))
	for i, hit := range response.GetHits() {
		found[i] = Neighbour{ID: hit.GetObject().GetObjectId(), Cosine: 1 - hit.GetDistance()}
	}
	return found, nil
}

// indexFilter says the criteria that the index knows of; the store holds the rest to what it finds.
func indexFilter(c Criteria) *typesv1.Filter {
	filter := &typesv1.Filter{}
	and := func(conditions ...*typesv1.Filter_Condition) {
		filter.All = append(filter.All, &typesv1.Filter_Clause{Any: conditions})
	}
	condition := func(property string, comparison typesv1.Filter_Comparison, v value.Value) *typesv1.Filter_Condition {
		return &typesv1.Filter_Condition{Property: property, Comparison: comparison, Value: v.Proto()}
	}
	if len(c.Kinds) > 0 {
		var kinds []*typesv1.Filter_Condition
		for _, kind := range c.Kinds {
			kinds = append(kinds, condition("kind", typesv1.Filter_COMPARISON_EQUAL, value.OfInteger(int64(kind))))
		}
		and(kinds...)
	}
	if len(c.Tags) > 0 {
		and(condition("tags", typesv1.Filter_COMPARISON_ALL_OF, value.OfWords(c.Tags...)))
	}
	if !c.Start.IsZero() {
		and(condition("created", typesv1.Filter_COMPARISON_GREATER_OR_EQUAL, value.OfTime(c.Start)))
	}
	if !c.End.IsZero() {
		and(condition("created", typesv1.Filter_COMPARISON_LESS, value.OfTime(c.End)))
	}
	return filter
}

// degradation says what an answer lacks because a service failed; its failure is passed on as the kit would pass on a call's.
func degradation(ctx context.Context, failed error, effect string) *typesv1.Degradation {
	service := vectorsName
	if named, ok := errors.AsType[*neighbourError](failed); ok {
		service = named.service
	}
	converted, _ := status.Convert(context.WithoutCancel(ctx), unwrapped(failed), nil)
	return &typesv1.Degradation{
		Dependency: service, Effect: effect,
		Failure: &typesv1.Failure{
			Code: int32(converted.Code()), Reason: status.ReasonOf(converted).GetReason(), Message: converted.Message(),
		},
	}
}
