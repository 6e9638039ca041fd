package main

import (
	"context"
	"fmt"
	"math"
	"testing"

	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
)

// The real Weaviate is killed by SIGKILL while a caller upserts; every object of a batch that was answered is found afterwards
// by each of its vectors. Without the second batch of `put` the last ones before the kill are not.
func TestUpsert_weaviateKilledUnderLoad_losesNothingAnswered(t *testing.T) {
	const rounds, killAfter = 3, 25
	s := startService(t)
	ctx := as(t, "killed")
	create(t, ctx, s, "kept", everyType())
	answered := map[string]*weaviatev1.VectorObject{}
	for round := range rounds {
		upsertUntilKilled(t, ctx, s, round, killAfter, answered)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for id, object := range answered {
		for name, vector := range object.GetVectors() {
			request := near("kept", vector, name)
			request.Limit = 1
			response, err := s.Search(ctx, request)
			if err != nil || len(response.GetHits()) != 1 || response.GetHits()[0].GetObject().GetObjectId() != id {
				t.Errorf("%s was answered and is not found by %s: %v, %v", id, name, found(response), err)
			}
		}
	}
	t.Logf("%d objects answered over %d kills", len(answered), rounds)
}

// upsertUntilKilled upserts one object a batch, and kills Weaviate with a batch under way. Every object has vectors of its own.
func upsertUntilKilled(t *testing.T, ctx context.Context, s *service, round, killAfter int, answered map[string]*weaviatev1.VectorObject) {
	t.Helper()
	stream, err := s.Upsert(ctx)
	if err != nil {
		t.Fatal(err)
	}
	killed := make(chan struct{})
	for i := 0; ; i++ {
		number := float64(round*10000 + i)
		object := &weaviatev1.VectorObject{ObjectId: fmt.Sprintf("o%d-%d", round, i), Vectors: map[string]*typesv1.Vector{
			"meaning": vec(float32(math.Cos(number)), float32(math.Sin(number)), 0), "place": vec(float32(number), 0),
		}}
		if err := stream.Send(&weaviatev1.UpsertRequest{Collection: "kept", Objects: []*weaviatev1.VectorObject{object}}); err != nil {
			break
		}
		if i == killAfter {
			go func() {
				defer close(killed)
				server.Kill()
			}()
		}
		response, err := stream.Recv()
		if err != nil {
			break
		}
		if response.GetStored() == 1 {
			answered[object.GetObjectId()] = object
		}
	}
	<-killed
}
