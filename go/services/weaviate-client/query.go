package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// hit is an object that Weaviate found.
type hit struct {
	object   Object
	distance float64 // of a search by vector
	score    float64 // BM25, of a search by words
}

// Near asks for what is near a vector.
type Near struct {
	// Vector is the vector.
	Vector []float32
	// Place is which of the collection's vectors.
	Place int
	// MaxDistance leaves out what is farther; nil for no limit.
	MaxDistance *float64
}

// Keyword asks for what has words.
type Keyword struct {
	// Text has the words.
	Text string
	// Places are the properties to look in.
	Places []int
}

// near finds the objects that are nearest.
func (w *weaviate) near(ctx context.Context, c Collection, near Near, filters *pb.Filters, limit int, vectors bool) ([]hit, error) {
	name := vectorName(near.Place)
	request := searchOf(c, filters, limit, vectors)
	request.Metadata.Distance = true
	request.NearVector = &pb.NearVector{
		Distance: near.MaxDistance,
		Targets:  &pb.Targets{TargetVectors: []string{name}},
		Vectors:  []*pb.Vectors{{Name: name, VectorBytes: vectorBytes(near.Vector), Type: pb.Vectors_VECTOR_TYPE_SINGLE_FP32}},
	}
	return w.search(ctx, c, request)
}

// keyword finds the objects that have the words best.
func (w *weaviate) keyword(ctx context.Context, c Collection, keyword Keyword, filters *pb.Filters, limit int, vectors bool) ([]hit, error) {
	request := searchOf(c, filters, limit, vectors)
	request.Metadata.Score = true
	request.Bm25Search = &pb.BM25{Query: keyword.Text}
	for _, place := range keyword.Places {
		request.Bm25Search.Properties = append(request.Bm25Search.Properties, searchName(place))
	}
	return w.search(ctx, c, request)
}

func searchOf(c Collection, filters *pb.Filters, limit int, vectors bool) *pb.SearchRequest {
	request := &pb.SearchRequest{
		Collection: c.Class(), Tenant: c.Tenant, Uses_127Api: true, Limit: uint32(limit), Filters: filters,
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{recordProperty}},
		Metadata:   &pb.MetadataRequest{LastUpdateTimeUnix: true},
	}
	if vectors {
		for place := range c.Spec.Vectors {
			request.Metadata.Vectors = append(request.Metadata.Vectors, vectorName(place))
		}
	}
	return request
}

func (w *weaviate) search(ctx context.Context, c Collection, request *pb.SearchRequest) ([]hit, error) {
	reply, err := ask(ctx, w, "Search", func(ctx context.Context) (*pb.SearchReply, error) { return w.objects.Search(ctx, request) })
	if err != nil {
		return nil, err
	}
	hits := make([]hit, len(reply.GetResults()))
	for i, result := range reply.GetResults() {
		if hits[i].object, err = objectOf(c, result); err != nil {
			return nil, err
		}
		hits[i].distance = float64(result.GetMetadata().GetDistance())
		hits[i].score = float64(result.GetMetadata().GetScore())
	}
	return hits, nil
}

func recordOf(result *pb.SearchResult) string {
	return result.GetProperties().GetNonRefProps().GetFields()[recordProperty].GetTextValue()
}

func objectOf(c Collection, result *pb.SearchResult) (Object, error) {
	var kept record
	if err := json.Unmarshal([]byte(recordOf(result)), &kept); err != nil {
		return Object{}, fmt.Errorf("read the record of an object of %s: %w", c.Class(), err)
	}
	found := Object{
		ID: kept.ID, Properties: kept.Properties,
		UpdateTime: time.UnixMilli(result.GetMetadata().GetLastUpdateTimeUnix()).UTC(),
	}
	for _, vector := range result.GetMetadata().GetVectors() {
		for place, index := range c.Spec.Vectors {
			if vector.GetName() == vectorName(place) && len(vector.GetVectorBytes()) > 0 {
				if found.Vectors == nil {
					found.Vectors = map[string][]float32{}
				}
				found.Vectors[index.Name] = vectorOf(vector.GetVectorBytes())
			}
		}
	}
	return found, nil
}

// put stores objects that fit, with different ids; failed says by their place what Weaviate answered to those it refused.
func (w *weaviate) put(ctx context.Context, c Collection, objects []Object) (failed map[int]string, err error) {
	batch := make([]*pb.BatchObject, len(objects))
	for i, o := range objects {
		if batch[i], err = batchObject(c, o); err != nil {
			return nil, err
		}
	}
	refusals, err := w.batch(ctx, batch)
	if err != nil {
		return nil, err
	}
	failed = map[int]string{}
	for _, refused := range refusals {
		failed[int(refused.GetIndex())] = refused.GetError()
	}
	for i, stored := range batch {
		if _, refused := failed[i]; !refused {
			// Weaviate 1.35 answers a batch before the logs of its vector indexes are written: killed then, it has the objects and
			// not their vectors. The next batch writes them, whatever is in it, and one that is there already changes nothing
			// (decision 0134).
			_, err = w.batch(ctx, []*pb.BatchObject{stored})
			return failed, err
		}
	}
	return failed, nil
}

func (w *weaviate) batch(ctx context.Context, objects []*pb.BatchObject) ([]*pb.BatchObjectsReply_BatchError, error) {
	reply, err := ask(ctx, w, "BatchObjects", func(ctx context.Context) (*pb.BatchObjectsReply, error) {
		return w.objects.BatchObjects(ctx, &pb.BatchObjectsRequest{Objects: objects})
	})
	return reply.GetErrors(), err
}

func batchObject(c Collection, o Object) (*pb.BatchObject, error) {
	whole, err := o.record()
	if err != nil {
		return nil, err
	}
	scalars := map[string]any{recordProperty: whole}
	properties := &pb.BatchObject_Properties{}
	for name, indexed := range c.Spec.indexed(o) {
		words, list := indexed.([]string)
		switch {
		case !list:
			scalars[name] = indexed
		case len(words) == 0:
			properties.EmptyListProps = append(properties.EmptyListProps, name)
		default:
			properties.TextArrayProperties = append(properties.TextArrayProperties, &pb.TextArrayProperties{PropName: name, Values: words})
		}
	}
	if properties.NonRefProperties, err = structpb.NewStruct(scalars); err != nil {
		return nil, fmt.Errorf("say an object in Weaviate's terms: %w", err)
	}
	stored := &pb.BatchObject{Uuid: uuidOf(o.ID), Collection: c.Class(), Tenant: c.Tenant, Properties: properties}
	for place, index := range c.Spec.Vectors {
		if vector, has := o.Vectors[index.Name]; has {
			stored.Vectors = append(stored.Vectors, &pb.Vectors{
				Name: vectorName(place), VectorBytes: vectorBytes(vector), Type: pb.Vectors_VECTOR_TYPE_SINGLE_FP32,
			})
		}
	}
	return stored, nil
}

// deletion is what became of one batch of deletions.
type deletion struct{ matched, deleted, failed int64 }

// remove deletes what filters match, or only counts it; Weaviate takes at most 10,000 objects a call.
func (w *weaviate) remove(ctx context.Context, c Collection, filters *pb.Filters, dryRun bool) (deletion, error) {
	reply, err := ask(ctx, w, "BatchDelete", func(ctx context.Context) (*pb.BatchDeleteReply, error) {
		return w.objects.BatchDelete(ctx, &pb.BatchDeleteRequest{Collection: c.Class(), Tenant: &c.Tenant, Filters: filters, DryRun: dryRun})
	})
	if err != nil {
		return deletion{}, err
	}
	return deletion{matched: reply.GetMatches(), deleted: reply.GetSuccessful(), failed: reply.GetFailed()}, nil
}

func vectorBytes(vector []float32) []byte {
	data := make([]byte, 0, 4*len(vector))
	for _, component := range vector {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(component))
	}
	return data
}

func vectorOf(data []byte) []float32 {
	vector := make([]float32, len(data)/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return vector
}
