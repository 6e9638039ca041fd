package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/value"
)

func upsertBatch(t *testing.T, ctx context.Context, s *service, name string, objects ...*weaviatev1.VectorObject) *weaviatev1.UpsertResponse {
	t.Helper()
	stream, err := s.Upsert(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&weaviatev1.UpsertRequest{Collection: name, Objects: objects}); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return response
}

func upsert(t *testing.T, ctx context.Context, s *service, name string, objects ...*weaviatev1.VectorObject) {
	t.Helper()
	if response := upsertBatch(t, ctx, s, name, objects...); int(response.GetStored()) != len(objects) {
		t.Fatalf("got %v", response)
	}
}

func vec(values ...float32) *typesv1.Vector { return &typesv1.Vector{Values: values} }

func keyword(name, text string) *weaviatev1.SearchRequest {
	return &weaviatev1.SearchRequest{Collection: name, Query: &weaviatev1.SearchRequest_Keyword_{
		Keyword: &weaviatev1.SearchRequest_Keyword{Text: text},
	}}
}

func near(name string, vector *typesv1.Vector, vectorName string) *weaviatev1.SearchRequest {
	return &weaviatev1.SearchRequest{Collection: name, Query: &weaviatev1.SearchRequest_Near_{
		Near: &weaviatev1.SearchRequest_Near{Vector: vector, VectorName: vectorName},
	}}
}

func found(response *weaviatev1.SearchResponse) []string {
	var ids []string
	for _, hit := range response.GetHits() {
		ids = append(ids, hit.GetObject().GetObjectId())
	}
	return ids
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

func TestUpsert_object_comesBackAsItWasGiven(t *testing.T) {
	s := startService(t)
	ctx := as(t, "whole")
	create(t, ctx, s, "things", everyType())
	properties := map[string]value.Value{
		"text": value.OfText("  Hello, \x00 wörld  "), "id": value.OfInteger(1 << 53), "number": value.OfNumber(0.1),
		"flag": value.OfFlag(true), "time": value.OfTime(noon), "words": value.OfWords("a b", "c"), "kept": value.OfInteger(math.MaxInt64),
	}
	given := &weaviatev1.VectorObject{
		ObjectId: "id_with-Both", Properties: value.MapProto(properties),
		Vectors: map[string]*typesv1.Vector{"meaning": vec(1, 0, 0.25), "place": vec(7, -8)},
	}
	before := time.Now()
	upsert(t, ctx, s, "things", given)
	request := near("things", vec(1, 0, 0), "meaning")
	request.IncludeVectors = true
	response, err := s.Search(ctx, request)
	if err != nil || len(response.GetHits()) != 1 {
		t.Fatalf("got %v, %v", response, err)
	}
	got := response.GetHits()[0].GetObject()
	if at := got.GetUpdateTime().AsTime(); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("updated at %s", at)
	}
	got.UpdateTime = nil
	// Weaviate normalizes vectors that are compared by their cosine; the direction is what was given.
	length := float32(math.Sqrt(1.0625))
	for i, want := range []float32{1 / length, 0, 0.25 / length} {
		if math.Abs(float64(got.GetVectors()["meaning"].GetValues()[i]-want)) > 1e-6 && got.GetVectors()["meaning"].GetValues()[i] != given.GetVectors()["meaning"].GetValues()[i] {
			t.Errorf("the vector is %v", got.GetVectors()["meaning"])
		}
	}
	got.Vectors["meaning"] = given.GetVectors()["meaning"]
	if !proto.Equal(got, given) {
		t.Errorf("got  %v\nwant %v", got, given)
	}
	given.Properties = value.MapProto(map[string]value.Value{"text": value.OfText("new")})
	upsert(t, ctx, s, "things", given)
	upsert(t, ctx, s, "things", given)
	c, err := s.GetCollection(ctx, &weaviatev1.GetCollectionRequest{Collection: "things"})
	if err != nil || c.GetCollection().GetObjects() != 1 {
		t.Errorf("stored again there are %v, %v", c, err)
	}
	if response, err = s.Search(ctx, near("things", vec(1, 0, 0), "meaning")); err != nil || len(response.GetHits()[0].GetObject().GetProperties()) != 1 {
		t.Errorf("replaced it is %v, %v", response, err)
	}
}

func TestUpsert_objectsThatDoNotFit_failAlone(t *testing.T) {
	s := startService(t)
	ctx := as(t, "unfit")
	create(t, ctx, s, "things", everyType())
	with := func(name string, v value.Value) *weaviatev1.VectorObject {
		return &weaviatev1.VectorObject{ObjectId: "bad", Properties: value.MapProto(map[string]value.Value{name: v})}
	}
	for name, c := range map[string]struct {
		object *weaviatev1.VectorObject
		reason string
	}{
		"unknown_property": {with("colour", value.OfText("x")), "VALUE_CONFLICT"},
		"other_type":       {with("flag", value.OfText("x")), "VALUE_CONFLICT"},
		"inexact_integer":  {with("id", value.OfInteger(1<<53+1)), "FIELD_INVALID"},
		"wrong_length":     {&weaviatev1.VectorObject{ObjectId: "bad", Vectors: map[string]*typesv1.Vector{"meaning": vec(1)}}, "VALUE_CONFLICT"},
		"unknown_vector":   {&weaviatev1.VectorObject{ObjectId: "bad", Vectors: map[string]*typesv1.Vector{"x": vec(1)}}, "VALUE_CONFLICT"},
		"not_finite": {&weaviatev1.VectorObject{ObjectId: "bad", Vectors: map[string]*typesv1.Vector{
			"meaning": vec(1, float32(math.NaN()), 0),
		}}, "FIELD_INVALID"},
	} {
		response := upsertBatch(t, ctx, s, "things", &weaviatev1.VectorObject{ObjectId: "good"}, c.object)
		if response.GetStored() != 1 || len(response.GetFailures()) != 1 || response.GetFailures()[0].GetFailure().GetReason() != c.reason ||
			response.GetFailures()[0].GetObjectId() != "bad" || response.GetBatch() != 1 {
			t.Errorf("%s: got %v", name, response)
		}
	}
	stream, err := s.Upsert(ctx)
	if err != nil {
		t.Fatal(err)
	}
	twice := []*weaviatev1.VectorObject{{ObjectId: "a"}, {ObjectId: "a"}}
	if err := stream.Send(&weaviatev1.UpsertRequest{Collection: "things", Objects: twice}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantFailure(t, "the same id twice", err, codes.InvalidArgument, "VALUE_CONFLICT")
}

// filtered are objects whose properties differ in what filters ask for.
var filtered = map[string]map[string]value.Value{
	"none": {},
	"low": {"text": value.OfText("Invoice 7"), "id": value.OfInteger(-3), "number": value.OfNumber(0.5), "flag": value.OfFlag(false),
		"time": value.OfTime(noon), "words": value.OfWords("red", "green")},
	"high": {"text": value.OfText(" invoice 7 "), "id": value.OfInteger(1 << 53), "number": value.OfNumber(7), "flag": value.OfFlag(true),
		"time": value.OfTime(noon.Add(time.Hour)), "words": value.OfWords("green")},
	"empty": {"text": value.OfText(""), "words": value.OfWords()},
}

func TestSearch_everyComparison_agreesWithTheContract(t *testing.T) {
	s := startService(t)
	ctx := as(t, "filters")
	create(t, ctx, s, "things", everyType())
	for id, properties := range filtered {
		upsert(t, ctx, s, "things", &weaviatev1.VectorObject{
			ObjectId: id, Properties: value.MapProto(properties), Vectors: map[string]*typesv1.Vector{"meaning": vec(1, 1, 1)},
		})
	}
	for _, c := range conditions() {
		filter := value.Filter{{c}}
		var want []string
		for id, properties := range filtered {
			if filter.Matches(properties) {
				want = append(want, id)
			}
		}
		request := near("things", vec(1, 1, 1), "meaning")
		request.Filter = filterProto(filter)
		response, err := s.Search(ctx, request)
		got := found(response)
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: got %v, %v; want %v", c, got, err, want)
		}
	}
	both := near("things", vec(1, 1, 1), "meaning")
	both.Filter = filterProto(value.Filter{
		{{Property: "id", Comparison: value.Less, Value: value.OfInteger(0)}, {Property: "flag", Comparison: value.Equal, Value: value.OfFlag(true)}},
		{{Property: "words", Comparison: value.AnyOf, Value: value.OfWords("red")}},
	})
	if response, err := s.Search(ctx, both); err != nil || !slices.Equal(found(response), []string{"low"}) {
		t.Errorf("clauses: got %v, %v", response, err)
	}
	for name, c := range map[string]value.Condition{
		"not filterable": {Property: "kept", Comparison: value.Equal, Value: value.OfInteger(1)},
		"unknown":        {Property: "colour", Comparison: value.Present},
		"another type":   {Property: "flag", Comparison: value.Equal, Value: value.OfText("x")},
	} {
		both.Filter = filterProto(value.Filter{{c}})
		_, err := s.Search(ctx, both)
		wantFailure(t, name, err, codes.InvalidArgument, "VALUE_CONFLICT")
	}
}

// conditions are every comparison with every property that it can compare.
func conditions() []value.Condition {
	var all []value.Condition
	for _, v := range []struct {
		property string
		values   []value.Value
	}{
		{"text", []value.Value{value.OfText("Invoice 7"), value.OfText(" invoice 7 "), value.OfText("invoice 7"), value.OfText("")}},
		{"id", []value.Value{value.OfInteger(-3), value.OfInteger(1 << 53), value.OfInteger(0)}},
		{"number", []value.Value{value.OfNumber(0.5), value.OfInteger(7)}},
		{"flag", []value.Value{value.OfFlag(true), value.OfFlag(false)}},
		{"time", []value.Value{value.OfTime(noon), value.OfTime(noon.Add(time.Nanosecond))}},
		{"words", []value.Value{value.OfWords("red", "green"), value.OfWords("green"), value.OfWords()}},
	} {
		all = append(all, value.Condition{Property: v.property, Comparison: value.Present}, value.Condition{Property: v.property, Comparison: value.Absent})
		comparisons := []value.Comparison{value.Equal, value.NotEqual}
		switch v.property {
		case "id", "number", "time":
			comparisons = append(comparisons, value.Less, value.LessOrEqual, value.Greater, value.GreaterOrEqual)
		case "text", "words":
			for _, words := range []value.Value{value.OfWords("Invoice 7", "red"), value.OfWords("green", "red"), value.OfWords("Invoice 7"), value.OfWords("blue")} {
				for _, comparison := range []value.Comparison{value.AnyOf, value.AllOf, value.NoneOf} {
					all = append(all, value.Condition{Property: v.property, Comparison: comparison, Value: words})
				}
			}
			for _, pattern := range []string{"*", "Invoice ?", "*oice*", "gr??n", "r.d", "red|"} {
				all = append(all, value.Condition{Property: v.property, Comparison: value.Like, Value: value.OfText(pattern)})
			}
		}
		for _, comparison := range comparisons {
			for _, compared := range v.values {
				all = append(all, value.Condition{Property: v.property, Comparison: comparison, Value: compared})
			}
		}
	}
	return all
}

func filterProto(filter value.Filter) *typesv1.Filter {
	sent := &typesv1.Filter{}
	for _, clause := range filter {
		one := &typesv1.Filter_Clause{}
		for _, c := range clause {
			one.Any = append(one.Any, &typesv1.Filter_Condition{
				Property: c.Property, Comparison: typesv1.Filter_Comparison(c.Comparison), Value: c.Value.Proto(),
			})
		}
		sent.All = append(sent.All, one)
	}
	return sent
}

// library stores four texts with vectors in a plane.
func library(t *testing.T, ctx context.Context, s *service) {
	t.Helper()
	create(t, ctx, s, "library", everyType())
	for i, text := range []string{"the quick brown fox", "the lazy dog", "a quick quick dog", "nothing at all"} {
		angle := float64(i) * math.Pi / 6
		upsert(t, ctx, s, "library", &weaviatev1.VectorObject{
			ObjectId: fmt.Sprint("o", i),
			Properties: value.MapProto(map[string]value.Value{
				"text": value.OfText(text), "id": value.OfInteger(int64(i)), "number": value.OfNumber(float64(i) / 2), "flag": value.OfFlag(i%2 == 0),
			}),
			Vectors: map[string]*typesv1.Vector{
				"meaning": vec(float32(math.Cos(angle)), float32(math.Sin(angle)), 0), "place": vec(float32(i), 0),
			},
		})
	}
}

func TestSearch_nearKeywordHybrid_rankAndScore(t *testing.T) {
	s := startService(t)
	ctx := as(t, "library")
	library(t, ctx, s)
	check := func(name string, request *weaviatev1.SearchRequest, want ...string) *weaviatev1.SearchResponse {
		t.Helper()
		response, err := s.Search(ctx, request)
		if err != nil || !slices.Equal(found(response), want) {
			t.Fatalf("%s: got %v, %v; want %v", name, found(response), err, want)
		}
		for i, hit := range response.GetHits() {
			if hit.GetScore() < 0 || hit.GetScore() > 1 || i > 0 && hit.GetScore() > response.GetHits()[i-1].GetScore() {
				t.Errorf("%s: scores %v", name, response.GetHits())
			}
		}
		return response
	}
	got := check("near", near("library", vec(1, 0, 0), "meaning"), "o0", "o1", "o2", "o3")
	if d := got.GetHits()[1].GetDistance(); math.Abs(d-(1-math.Cos(math.Pi/6))) > 1e-4 {
		t.Errorf("the distance is %g", d)
	}
	check("near the other vector", near("library", vec(3, 0), "place"), "o3", "o2", "o1", "o0")
	most := 0.2
	limited := near("library", vec(1, 0, 0), "meaning")
	limited.GetNear().MaxDistance = &most
	check("near within", limited, "o0", "o1")
	first := near("library", vec(1, 0, 0), "meaning")
	first.Limit = 2
	check("near with a limit", first, "o0", "o1")
	check("keyword", keyword("library", "quick dog!"), "o2", "o1", "o0")
	hybrid := &weaviatev1.SearchRequest{Collection: "library", Query: &weaviatev1.SearchRequest_Hybrid_{Hybrid: &weaviatev1.SearchRequest_Hybrid{
		Near: near("library", vec(1, 0, 0), "meaning").GetNear(), Keyword: keyword("library", "fox").GetKeyword(),
	}}}
	got = check("hybrid", hybrid, "o0", "o1", "o2", "o3")
	if got.GetHits()[0].GetScore() != 1 || math.Abs(got.GetHits()[1].GetScore()-0.5*61/62) > 1e-9 {
		t.Errorf("hybrid: scores %v", got.GetHits())
	}
	words := 0.0
	hybrid.GetHybrid().VectorWeight = &words
	check("hybrid by words alone", hybrid, "o0")
	words = 0.5
	hybrid.GetHybrid().Fusion = weaviatev1.SearchRequest_FUSION_RELATIVE_SCORE
	check("hybrid by scores", hybrid, "o0", "o1", "o2", "o3")
	grouped := near("library", vec(1, 0, 0), "meaning")
	grouped.GroupBy, grouped.GroupLimit = "flag", 1
	got = check("grouped", grouped, "o0", "o1")
	if got.GetHits()[0].GetGroup() != "true" || got.GetHits()[1].GetGroup() != "false" {
		t.Errorf("groups %v", got.GetHits())
	}
	_, err := s.Search(ctx, near("library", vec(1, 0, 0), ""))
	wantFailure(t, "one of two vectors unnamed", err, codes.InvalidArgument, "VALUE_CONFLICT")
	_, err = s.Search(ctx, near("library", vec(1, 0), "meaning"))
	wantFailure(t, "a vector too short", err, codes.InvalidArgument, "VALUE_CONFLICT")
	_, err = s.Search(as(t, "stranger"), keyword("library", "quick"))
	wantFailure(t, "another tenant's", err, codes.NotFound, "RESOURCE_NOT_FOUND")
	for _, hostile := range []string{`"`, `\`, "{}", "AND OR NOT", "\x00", strings.Repeat("(", 5000), "🦊"} {
		if _, err := s.Search(ctx, keyword("library", hostile)); err != nil {
			t.Errorf("%.10q: %v", hostile, err)
		}
	}
}

func TestDelete_byIdAndByCondition_deletesThoseAlone(t *testing.T) {
	s := startService(t)
	ctx := as(t, "deleter")
	library(t, ctx, s)
	byIDs := func(id string, ids ...string) *weaviatev1.DeleteRequest {
		return &weaviatev1.DeleteRequest{RequestId: id, Collection: "library", Target: &weaviatev1.DeleteRequest_Ids_{
			Ids: &weaviatev1.DeleteRequest_Ids{ObjectIds: ids},
		}}
	}
	for range 2 { // A repeat returns the first answer.
		response, err := s.Delete(ctx, byIDs("r1", "o0", "never"))
		if err != nil || response.GetDeleted() != 1 || response.GetMatched() != 1 {
			t.Errorf("got %v, %v", response, err)
		}
	}
	_, err := s.Delete(ctx, byIDs("r1", "o1"))
	wantFailure(t, "the request_id of another", err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	matching := &weaviatev1.DeleteRequest_ByFilter{
		Filter: filterProto(value.Filter{{{Property: "id", Comparison: value.GreaterOrEqual, Value: value.OfInteger(2)}}}),
	}
	request := &weaviatev1.DeleteRequest{RequestId: "dry", Collection: "library", Target: &weaviatev1.DeleteRequest_Matching{Matching: matching}}
	response, err := s.Delete(ctx, request)
	if err != nil || response.GetMatched() != 2 || response.GetDeleted() != 0 {
		t.Errorf("a dry run got %v, %v", response, err)
	}
	request.RequestId, matching.Apply = "wet", true
	if response, err = s.Delete(ctx, request); err != nil || response.GetMatched() != 2 || response.GetDeleted() != 2 {
		t.Errorf("got %v, %v", response, err)
	}
	if left, err := s.Search(ctx, near("library", vec(1, 0, 0), "meaning")); err != nil || !slices.Equal(found(left), []string{"o1"}) {
		t.Errorf("left are %v, %v", found(left), err)
	}
	request.RequestId, matching.Filter = "all", &typesv1.Filter{}
	_, err = s.Delete(ctx, request)
	wantFailure(t, "no condition", err, codes.InvalidArgument, "VALUE_CONFLICT")
}

func TestAggregate_groupedAndWhole_sumsUp(t *testing.T) {
	s := startService(t)
	ctx := as(t, "summer")
	library(t, ctx, s)
	whole, err := s.Aggregate(ctx, &weaviatev1.AggregateRequest{Collection: "library", Properties: []string{"number", "id"}})
	if err != nil || len(whole.GetRows()) != 1 {
		t.Fatalf("got %v, %v", whole, err)
	}
	want := &weaviatev1.AggregateResponse_Row{Objects: 4, Summaries: []*weaviatev1.AggregateResponse_Summary{
		{Property: "number", Count: 4, Minimum: 0, Maximum: 1.5, Mean: 0.75, Sum: 3},
		{Property: "id", Count: 4, Minimum: 0, Maximum: 3, Mean: 1.5, Sum: 6},
	}}
	if !proto.Equal(whole.GetRows()[0], want) {
		t.Errorf("got %v, want %v", whole.GetRows()[0], want)
	}
	for property, wants := range map[string][]value.Value{
		"flag": {value.OfFlag(true), value.OfFlag(false)},
		"text": {value.OfText("the quick brown fox"), value.OfText("a quick quick dog")},
		"id":   {value.OfInteger(0), value.OfInteger(2)},
	} {
		request := &weaviatev1.AggregateRequest{Collection: "library", GroupBy: property, Properties: []string{"number"}}
		if property != "flag" {
			request.Filter = filterProto(value.Filter{{{Property: "flag", Comparison: value.Equal, Value: value.OfFlag(true)}}})
		}
		grouped, err := s.Aggregate(ctx, request)
		if err != nil || len(grouped.GetRows()) != 2 {
			t.Fatalf("%s: got %v, %v", property, grouped, err)
		}
		for _, want := range wants {
			if !slices.ContainsFunc(grouped.GetRows(), func(row *weaviatev1.AggregateResponse_Row) bool { return proto.Equal(row.GetGroup(), want.Proto()) }) {
				t.Errorf("%s: no row of %v in %v", property, want, grouped)
			}
		}
	}
	_, err = s.Aggregate(ctx, &weaviatev1.AggregateRequest{Collection: "library", Properties: []string{"text"}})
	wantFailure(t, "the sum of texts", err, codes.InvalidArgument, "VALUE_CONFLICT")
}
