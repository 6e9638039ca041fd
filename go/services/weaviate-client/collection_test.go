package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
)

type (
	spec         = weaviatev1.CollectionSpec
	propertySpec = weaviatev1.CollectionSpec_Property
	index        = weaviatev1.CollectionSpec_VectorIndex
)

// everyType has a property of each type and two vectors.
func everyType() *spec {
	return &spec{
		Description: "one of each",
		Properties: []*propertySpec{
			{Name: "text", Type: weaviatev1.CollectionSpec_TYPE_TEXT, Searchable: true, Filterable: true},
			{Name: "Text", Type: weaviatev1.CollectionSpec_TYPE_TEXT, Searchable: true},
			{Name: "id", Type: weaviatev1.CollectionSpec_TYPE_INTEGER, Filterable: true},
			{Name: "number", Type: weaviatev1.CollectionSpec_TYPE_NUMBER, Filterable: true},
			{Name: "flag", Type: weaviatev1.CollectionSpec_TYPE_FLAG, Filterable: true},
			{Name: "time", Type: weaviatev1.CollectionSpec_TYPE_TIME, Filterable: true},
			{Name: "words", Type: weaviatev1.CollectionSpec_TYPE_WORDS, Searchable: true, Filterable: true},
			{Name: "kept", Type: weaviatev1.CollectionSpec_TYPE_INTEGER},
		},
		Vectors: []*index{
			{Name: "meaning", Dimensions: 3},
			{Name: "place", Dimensions: 2, Metric: weaviatev1.CollectionSpec_METRIC_SQUARED_EUCLIDEAN,
				Index: &weaviatev1.CollectionSpec_VectorIndex_Flat{Flat: &weaviatev1.CollectionSpec_Flat{}}},
		},
	}
}

func create(t *testing.T, ctx context.Context, s *service, name string, spec *spec) {
	t.Helper()
	_, err := s.CreateCollection(ctx, &weaviatev1.CreateCollectionRequest{RequestId: "create-" + name, Collection: name, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCollection_created_isTheTenantsOwnUntilDeleted(t *testing.T) {
	s := startService(t)
	acme, globex := as(t, "owner-acme"), as(t, "owner-globex")
	request := &weaviatev1.CreateCollectionRequest{RequestId: "r1", Collection: "Things", Spec: everyType()}
	created, err := s.CreateCollection(acme, request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.CreateCollection(acme, request)
	if err != nil || !proto.Equal(created, again) {
		t.Errorf("a repeat got %v, %v", again, err)
	}
	other := proto.Clone(request).(*weaviatev1.CreateCollectionRequest)
	other.RequestId = "r2"
	_, err = s.CreateCollection(acme, other)
	wantFailure(t, "a second of that name", err, codes.AlreadyExists, "RESOURCE_EXISTS")
	_, err = s.GetCollection(globex, &weaviatev1.GetCollectionRequest{Collection: "Things"})
	wantFailure(t, "another tenant's", err, codes.NotFound, "RESOURCE_NOT_FOUND")
	if _, err := s.CreateCollection(globex, other); err != nil {
		t.Errorf("the same name for another tenant: %v", err)
	}
	got, err := s.GetCollection(acme, &weaviatev1.GetCollectionRequest{Collection: "Things"})
	if err != nil || !proto.Equal(got.GetCollection(), created.GetCollection()) || got.GetCollection().GetCreateTime() == nil {
		t.Errorf("got %v, %v; want %v", got, err, created)
	}
	remove := &weaviatev1.DeleteCollectionRequest{RequestId: "d1", Collection: "Things"}
	for range 2 {
		if _, err := s.DeleteCollection(acme, remove); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	remove.RequestId = "d2"
	_, err = s.DeleteCollection(acme, remove)
	wantFailure(t, "deleted anew", err, codes.NotFound, "RESOURCE_NOT_FOUND")
	if _, err := s.GetCollection(globex, &weaviatev1.GetCollectionRequest{Collection: "Things"}); err != nil {
		t.Errorf("the other tenant's went too: %v", err)
	}
}

func TestCollection_recreated_isEmptyAndMayDiffer(t *testing.T) {
	s := startService(t)
	ctx := as(t, "recreate")
	create(t, ctx, s, "again", everyType())
	upsert(t, ctx, s, "again", &weaviatev1.VectorObject{ObjectId: "a"})
	if _, err := s.DeleteCollection(ctx, &weaviatev1.DeleteCollectionRequest{RequestId: "d", Collection: "again"}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Search(ctx, keyword("again", "x"))
	wantFailure(t, "searched after", err, codes.NotFound, "RESOURCE_NOT_FOUND")
	changed := everyType()
	changed.Vectors = changed.Vectors[:1]
	for i, spec := range []*spec{everyType(), changed} {
		id := fmt.Sprint("c", i)
		if _, err := s.CreateCollection(ctx, &weaviatev1.CreateCollectionRequest{RequestId: id, Collection: "again", Spec: spec}); err != nil {
			t.Fatal(err)
		}
		got, err := s.GetCollection(ctx, &weaviatev1.GetCollectionRequest{Collection: "again"})
		if err != nil || got.GetCollection().GetObjects() != 0 || len(got.GetCollection().GetSpec().GetVectors()) != len(spec.GetVectors()) {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := s.DeleteCollection(ctx, &weaviatev1.DeleteCollectionRequest{RequestId: id, Collection: "again"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListCollections_severalPages_haveEachOnceByName(t *testing.T) {
	s := startService(t)
	ctx := as(t, "lister")
	if list, err := s.ListCollections(as(t, "nobody"), &weaviatev1.ListCollectionsRequest{}); err != nil || len(list.GetCollections()) != 0 {
		t.Errorf("a tenant without any got %v, %v", list, err)
	}
	for _, name := range []string{"b", "c", "A"} {
		create(t, ctx, s, name, everyType())
	}
	var names []string
	token := ""
	for {
		list, err := s.ListCollections(ctx, &weaviatev1.ListCollectionsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.GetCollections() {
			names = append(names, c.GetName())
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if fmt.Sprint(names) != "[A b c]" {
		t.Errorf("got %v", names)
	}
	_, err := s.ListCollections(ctx, &weaviatev1.ListCollectionsRequest{PageToken: "nonsense"})
	wantFailure(t, "a token of nobody", err, codes.InvalidArgument, "PAGE_TOKEN_INVALID")
}

func TestCreateCollection_specThatContradictsItself_isRefused(t *testing.T) {
	s := startService(t)
	for name, change := range map[string]func(*spec){
		"property_twice":    func(s *spec) { s.Properties[1].Name = "text" },
		"vector_twice":      func(s *spec) { s.Vectors[1].Name = "meaning" },
		"searchable_number": func(s *spec) { s.Properties[3].Searchable = true },
		"flat_product": func(s *spec) {
			s.Vectors[1].GetFlat().Quantization = weaviatev1.CollectionSpec_QUANTIZATION_PRODUCT
		},
		"too_few_links": func(s *spec) {
			s.Vectors[0].Index = &weaviatev1.CollectionSpec_VectorIndex_Hnsw{Hnsw: &weaviatev1.CollectionSpec_Hnsw{MaxConnections: 3}}
		},
	} {
		spec := everyType()
		change(spec)
		_, err := s.CreateCollection(as(t, "refused"), &weaviatev1.CreateCollectionRequest{RequestId: name, Collection: name, Spec: spec})
		wantFailure(t, name, err, codes.InvalidArgument, "VALUE_CONFLICT")
	}
}

func TestCreateCollection_everyIndex_isTakenByWeaviate(t *testing.T) {
	s := startService(t)
	ctx := as(t, "indexes")
	for number, name := range weaviatev1.CollectionSpec_Quantization_name {
		quantization := weaviatev1.CollectionSpec_Quantization(number)
		vectors := []*index{{Name: "graph", Dimensions: 8, Index: &weaviatev1.CollectionSpec_VectorIndex_Hnsw{Hnsw: &weaviatev1.CollectionSpec_Hnsw{
			Quantization: quantization, MaxConnections: 16, EfConstruction: 64, Ef: 50,
		}}}}
		if (Spec{Vectors: []VectorIndex{{Flat: true, Quantization: Quantization(number)}}}).check() == nil {
			vectors = append(vectors, &index{Name: "list", Dimensions: 8, Index: &weaviatev1.CollectionSpec_VectorIndex_Flat{
				Flat: &weaviatev1.CollectionSpec_Flat{Quantization: quantization},
			}})
		}
		create(t, ctx, s, name, &spec{Vectors: vectors})
	}
}

func TestTenant_movedToDisk_mustBeMadeActiveFirst(t *testing.T) {
	s := startService(t)
	ctx := as(t, "mover")
	create(t, ctx, s, "moved", everyType())
	upsert(t, ctx, s, "moved", &weaviatev1.VectorObject{ObjectId: "a"}, &weaviatev1.VectorObject{ObjectId: "b"})
	move := func(id string, to weaviatev1.Shard_Activity) *weaviatev1.Shard {
		t.Helper()
		moved, err := s.UpdateTenant(ctx, &weaviatev1.UpdateTenantRequest{RequestId: id, Collection: "moved", Activity: &to})
		if err != nil {
			t.Fatal(err)
		}
		return moved.GetShard()
	}
	if shard := move("off", weaviatev1.Shard_ACTIVITY_INACTIVE); shard.GetActivity() != weaviatev1.Shard_ACTIVITY_INACTIVE || shard.GetObjects() != 0 {
		t.Errorf("got %v", shard)
	}
	_, err := s.Search(ctx, keyword("moved", "x"))
	wantFailure(t, "searched on disk", err, codes.FailedPrecondition, "STATE_CONFLICT")
	stream, err := s.Upsert(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&weaviatev1.UpsertRequest{Collection: "moved", Objects: []*weaviatev1.VectorObject{{ObjectId: "c"}}}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantFailure(t, "stored on disk", err, codes.FailedPrecondition, "STATE_CONFLICT")
	if shard := move("on", weaviatev1.Shard_ACTIVITY_ACTIVE); shard.GetActivity() != weaviatev1.Shard_ACTIVITY_ACTIVE || shard.GetObjects() != 2 {
		t.Errorf("got %v", shard)
	}
	cold := weaviatev1.Shard_ACTIVITY_OFFLOADED
	_, err = s.UpdateTenant(ctx, &weaviatev1.UpdateTenantRequest{RequestId: "cold", Collection: "moved", Activity: &cold})
	wantFailure(t, "cold storage", err, codes.Unimplemented, "NOT_IMPLEMENTED")
	deleted, err := s.DeleteTenant(ctx, &weaviatev1.DeleteTenantRequest{RequestId: "del", Collection: "moved"})
	if err != nil || deleted.GetDeleted() != 2 {
		t.Errorf("got %v, %v", deleted, err)
	}
	got, err := s.GetTenant(ctx, &weaviatev1.GetTenantRequest{Collection: "moved"})
	if err != nil || got.GetShard().GetObjects() != 0 || got.GetShard().GetActivity() != weaviatev1.Shard_ACTIVITY_ACTIVE {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = s.Backup(ctx, &weaviatev1.BackupRequest{RequestId: "b", BackupId: "b"})
	wantFailure(t, "backup", err, codes.Unimplemented, "NOT_IMPLEMENTED")
	_, err = s.Restore(ctx, &weaviatev1.RestoreRequest{RequestId: "b", BackupId: "b"})
	wantFailure(t, "restore", err, codes.Unimplemented, "NOT_IMPLEMENTED")
}

func TestWeaviate_killedAndBack_isUnavailableMeanwhileAndLosesNothing(t *testing.T) {
	s := startService(t)
	ctx := as(t, "outage")
	create(t, ctx, s, "kept", everyType())
	upsert(t, ctx, s, "kept", &weaviatev1.VectorObject{ObjectId: "a"})
	server.Kill()
	_, err := s.Search(ctx, keyword("kept", "x"))
	wantFailure(t, "search", err, codes.Unavailable, "DEPENDENCY_UNAVAILABLE")
	_, err = s.GetCollection(ctx, &weaviatev1.GetCollectionRequest{Collection: "kept"})
	wantFailure(t, "get", err, codes.Unavailable, "DEPENDENCY_UNAVAILABLE")
	if code, checks := healthz(t, s); code != http.StatusOK || checks["weaviate"] != "down" {
		t.Errorf("/healthz: %d, %v", code, checks)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var got *weaviatev1.GetCollectionResponse
	for {
		if got, err = s.GetCollection(ctx, &weaviatev1.GetCollectionRequest{Collection: "kept"}); err == nil || ctx.Err() != nil {
			break
		}
	}
	if got.GetCollection().GetObjects() != 1 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if code, checks := healthz(t, s); code != http.StatusOK || checks["weaviate"] != "up" {
		t.Errorf("/healthz: %d, %v", code, checks)
	}
}

func healthz(t *testing.T, s *service) (int, map[string]string) {
	t.Helper()
	response, err := http.Get("http://" + s.server.HTTPAddress() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Checks map[string]string `json:"checks"`
	}
	data, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(data, &body) != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return response.StatusCode, body.Checks
}
