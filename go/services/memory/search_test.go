package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/value"
)

func texts(response *memoryv1.SearchResponse) []string {
	var texts []string
	for _, hit := range response.GetHits() {
		texts = append(texts, hit.GetMemory().GetText())
	}
	return texts
}

func (r *running) search(t *testing.T, ctx context.Context, request *memoryv1.SearchRequest) *memoryv1.SearchResponse {
	t.Helper()
	response, err := r.Search(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for i, hit := range response.GetHits() {
		if hit.GetScore() < 0 || hit.GetScore() > 1 || i > 0 && hit.GetScore() > response.GetHits()[i-1].GetScore() {
			t.Errorf("the scores are %v", response.GetHits())
		}
	}
	return response
}

const (
	keyword = memoryv1.SearchRequest_RANKING_KEYWORD
	vector  = memoryv1.SearchRequest_RANKING_VECTOR
)

func TestSearch_wordsAndMeaning_findEachTheirsAndBothFirst(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "red automobile parked", "red car outside", "red wine tasting", "blue sky")
	m.indexed(t, ctx)
	response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "red car outside"})
	if got := texts(response); got[0] != "red car outside" || !slices.Contains(got, "red automobile parked") || len(response.GetDegradations()) != 0 {
		t.Errorf("hybrid: got %v, %v", got, response.GetDegradations())
	}
	if hit := response.GetHits()[0]; hit.GetScore() != 1 || hit.GetKeywordRank() != 1 || hit.GetVectorRank() != 1 || hit.GetCosine() < 0.7 || hit.GetSnippet() != "red car outside" {
		t.Errorf("the first is %v", hit)
	}
	if got := texts(m.search(t, ctx, &memoryv1.SearchRequest{Query: "vehicle", Ranking: keyword})); len(got) != 0 {
		t.Errorf("words: got %v", got)
	}
	response = m.search(t, ctx, &memoryv1.SearchRequest{Query: "vehicle", Ranking: vector, Limit: 2, MinScore: 0.1})
	if got := texts(response); len(got) != 2 || slices.Contains(got, "blue sky") {
		t.Errorf("meaning: got %v", got)
	}
	if hit := response.GetHits()[0]; hit.GetKeywordRank() != 0 || math.Abs(hit.GetScore()-hit.GetCosine()) > 1e-9 || hit.GetSnippet() != "" {
		t.Errorf("by meaning the first is %v", hit)
	}
	// Stems and accents: the tokenizer is porter over unicode61 without diacritics.
	m.texts(t, ctx, "Crème brûlée recipes")
	if got := texts(m.search(t, ctx, &memoryv1.SearchRequest{Query: "creme recipe", Ranking: keyword})); !slices.Equal(got, []string{"Crème brûlée recipes"}) {
		t.Errorf("stems: got %v", got)
	}
	all := 1.0
	if hit := m.search(t, ctx, &memoryv1.SearchRequest{Query: "red vehicle parked", VectorWeight: &all}).GetHits()[0]; hit.GetVectorRank() != 1 {
		t.Errorf("with all the weight on meaning the first is %v", hit)
	}
}

func TestSearch_criteria_leaveOutWhatDoesNotFulfilThem(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	store := func(text string, kind memoryv1.MemoryKind, pages int64, tags ...string) {
		m.remember(t, ctx, &memoryv1.MemoryDraft{
			Text: text, Kind: kind, Tags: tags, Properties: value.MapProto(map[string]value.Value{"pages": value.OfInteger(pages)}),
		})
	}
	store("note one", memoryv1.MemoryKind_MEMORY_KIND_EPISODIC, 1, "x")
	middle := now()
	await(t, ctx, "the clock to go on", func() bool { return now().After(middle) })
	store("note two", memoryv1.MemoryKind_MEMORY_KIND_EPISODIC, 2, "x", "y")
	store("note three", memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC, 3, "y")
	m.indexed(t, ctx)
	filter := &typesv1.Filter{All: []*typesv1.Filter_Clause{{Any: []*typesv1.Filter_Condition{
		{Property: "pages", Comparison: typesv1.Filter_COMPARISON_GREATER, Value: value.OfInteger(1).Proto()},
	}}}}
	for name, c := range map[string]struct {
		request *memoryv1.SearchRequest
		want    []string
	}{
		"tags":   {&memoryv1.SearchRequest{Tags: []string{"x", "y"}}, []string{"note two"}},
		"kinds":  {&memoryv1.SearchRequest{Kinds: []memoryv1.MemoryKind{memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC}}, []string{"note three"}},
		"filter": {&memoryv1.SearchRequest{Filter: filter}, []string{"note three", "note two"}},
		"before": {&memoryv1.SearchRequest{CreateTime: &typesv1.TimeRange{End: timestamppb.New(middle.Add(time.Microsecond))}}, []string{"note one"}},
		"since":  {&memoryv1.SearchRequest{CreateTime: &typesv1.TimeRange{Start: timestamppb.New(middle.Add(time.Nanosecond))}}, []string{"note three", "note two"}},
		"limit":  {&memoryv1.SearchRequest{Limit: 1, Tags: []string{"y"}, Filter: filter, Kinds: []memoryv1.MemoryKind{memoryv1.MemoryKind_MEMORY_KIND_EPISODIC}}, []string{"note two"}},
		"score":  {&memoryv1.SearchRequest{MinScore: 0.5, Tags: []string{"y"}, Kinds: []memoryv1.MemoryKind{memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC}}, []string{"note three"}},
	} {
		for _, ranking := range []memoryv1.SearchRequest_Ranking{0, keyword, vector} {
			c.request.Query, c.request.Ranking = "note", ranking
			if ranking == vector {
				c.request.MinScore = 0 // The cosine of a part of a text is below 1.
			}
			got := texts(m.search(t, ctx, c.request))
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got %v, want %v", name, ranking, got, c.want)
			}
		}
	}
	_, err := m.Search(ctx, &memoryv1.SearchRequest{Query: "x", CreateTime: &typesv1.TimeRange{
		Start: timestamppb.New(middle), End: timestamppb.New(middle.Add(-time.Second)),
	}})
	wantFailure(t, "an end before its start", err, codes.InvalidArgument, "VALUE_CONFLICT")
}

func TestSearch_neighbourAway_ranksByWordsAndSaysSo(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "red car")
	m.indexed(t, ctx)
	for name, c := range map[string]struct {
		away       func(bool)
		dependency string
	}{
		"ml-inference":    {n.inferenceAway.Store, "ml-inference"},
		"weaviate-client": {n.vectorsAway.Store, "weaviate-client"},
	} {
		c.away(true)
		for _, ranking := range []memoryv1.SearchRequest_Ranking{0, vector} {
			response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "car", Ranking: ranking})
			if !slices.Equal(texts(response), []string{"red car"}) || len(response.GetDegradations()) != 1 {
				t.Fatalf("%s: got %v", name, response)
			}
			got := response.GetDegradations()[0]
			if got.GetDependency() != c.dependency || got.GetEffect() == "" || got.GetFailure().GetCode() != int32(codes.Unavailable) ||
				got.GetFailure().GetReason() != errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE.String()[len("REASON_"):] {
				t.Errorf("%s: degraded by %v", name, got)
			}
		}
		if response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "car", Ranking: keyword}); len(response.GetDegradations()) != 0 {
			t.Errorf("%s: words alone are degraded by %v", name, response.GetDegradations())
		}
		c.away(false)
		if response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "vehicle"}); len(response.GetHits()) != 1 || len(response.GetDegradations()) != 0 {
			t.Errorf("%s back: got %v", name, response)
		}
	}
	if response := m.search(t, as(t, "newcomer"), &memoryv1.SearchRequest{Query: "car"}); len(response.GetHits())+len(response.GetDegradations()) != 0 {
		t.Errorf("a tenant without memories got %v", response)
	}
}

func TestSearch_wordsOfMostMemories_countForNothingBesideMeaning(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "the button of the printer", "the cat", "the invoice", "automobile", "the sky")
	m.indexed(t, ctx)
	query := &memoryv1.SearchRequest{Query: "where is the vehicle"}
	if hit := m.search(t, ctx, query).GetHits()[0]; hit.GetMemory().GetText() != "automobile" || hit.GetScore() != 0.5 || hit.GetKeywordRank() != 0 {
		t.Errorf("the first is %v", hit)
	}
	query.Ranking = keyword
	if got := texts(m.search(t, ctx, query)); len(got) != 4 {
		t.Errorf("by words alone: got %v", got)
	}
	n.inferenceAway.Store(true)
	fresh := m.texts(t, ctx, "the newest")[0] // The index has it not: words are all there is to find it by.
	n.inferenceAway.Store(false)
	n.vectorsAway.Store(true)
	query.Ranking = 0
	if got := m.search(t, ctx, query); !slices.ContainsFunc(got.GetHits(), func(h *memoryv1.SearchResponse_Hit) bool { return h.GetMemory().GetMemoryId() == fresh }) {
		t.Errorf("got %v", got)
	}
}

func TestScoring_commonWords_areLeftToMeaningOnlyWhereItCanRank(t *testing.T) {
	indexed, fresh := Memory{ID: "indexed", Indexed: true}, Memory{ID: "fresh"}
	worded := []Candidate{{Memory: indexed, Common: true}, {Memory: fresh, Common: true}}
	hits := Scoring{Ranking: Hybrid, VectorWeight: 0.5, Limit: 10}.hits(worded, nil, time.Unix(0, 0))
	if len(hits) != 1 || hits[0].Memory.ID != "fresh" || hits[0].KeywordRank != 1 {
		t.Errorf("got %v", hits)
	}
}

func TestScoring_age_halvesTheScoreEachHalfLife(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	old := Candidate{Memory: Memory{ID: "old", CreateTime: at.Add(-2 * time.Hour)}}
	young := Candidate{Memory: Memory{ID: "young", CreateTime: at}}
	scoring := Scoring{Ranking: KeywordOnly, HalfLife: time.Hour, Limit: 10}
	hits := scoring.hits([]Candidate{old, young}, nil, at)
	if len(hits) != 2 || hits[0].Memory.ID != "young" || math.Abs(hits[1].Score-0.25) > 1e-12 || math.Abs(hits[0].Score-61.0/62) > 1e-12 {
		t.Errorf("got %v", hits)
	}
	scoring.MinScore, scoring.HalfLife = 0.99, 0
	if hits := scoring.hits([]Candidate{old, young}, nil, at); len(hits) != 1 || hits[0].Score != 1 || hits[0].KeywordRank != 1 {
		t.Errorf("got %v", hits)
	}
}

// hostile are queries that FTS5 would take for syntax, or that its tokenizer could stumble over.
var hostile = []string{
	`"`, `""`, `'`, `*`, `^`, `-`, `+`, `(`, `)`, `{`, `}`, `:`, `\`, `text:`, `text : x`, `- text : x`, `NEAR(a b, 5)`, `NEAR(`, `AND`, `a AND`,
	`OR OR OR`, `NOT x`, `a NOT`, `"unterminated`, `a"b"c`, `^"a" *`, "\x00", "a\x00b", `{text} : x`, `words_1`, `'; DROP TABLE memories; --`,
	"\u202e", "\u0301", "e\u0301", "日本語", "🦊", "\ufffd", "ﬃ", "İ", "ß", "ﷺ", "\u00ad", "a*b", `x' OR 1=1`, "rank", "?1", "@a", ":a", "$a",
}

func TestSearch_hostileQueries_findOrFindNothing(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	ids := m.texts(t, ctx, hostile...)
	for i, query := range append(hostile, strings.Repeat("(", 16384), strings.Repeat("a ", 8192), strings.Repeat(`"x" `, 4096)) {
		response := m.search(t, ctx, &memoryv1.SearchRequest{Query: query, Ranking: keyword, Limit: 1000})
		if i >= len(hostile) || matchExpression(query) == "" {
			continue
		}
		if !slices.ContainsFunc(response.GetHits(), func(h *memoryv1.SearchResponse_Hit) bool { return h.GetMemory().GetMemoryId() == ids[i] }) &&
			!slices.Contains([]string{"\u0301", "\u202e"}, query) {
			t.Errorf("%q does not find itself: %v", query, texts(response))
		}
	}
	for i, id := range ids {
		got, err := m.Get(ctx, &memoryv1.GetRequest{MemoryId: id})
		if err != nil || got.GetMemory().GetText() != hostile[i] {
			t.Errorf("%q is kept as %v, %v", hostile[i], got, err)
		}
	}
}

// FuzzWords stores and searches for any text: neither may fail, and a text without stop finds itself or has no word.
func FuzzWords(f *testing.F) {
	for _, query := range hostile {
		f.Add(query)
	}
	s, err := openStore(f.TempDir(), false, now, newID)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.close() })
	count := 0
	f.Fuzz(func(t *testing.T, query string) {
		if !utf8.ValidString(query) || query == "" || len(query) > 16384 {
			t.Skip("never comes through the contract")
		}
		ctx := context.Background()
		tenant := fmt.Sprint("t", count%50)
		count++
		stored, err := s.add(ctx, Caller{Tenant: tenant, RequestID: newID(), Digest: []byte{}}, "Store", []Draft{{Text: query, Kind: Semantic}})
		if err != nil || stored[0].Err != nil {
			t.Fatalf("%q: %v, %v", query, err, stored)
		}
		if _, err := s.words(ctx, tenant, query, Criteria{}, 5); err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		passage, err := s.passage(ctx, tenant, query, stored[0].Memory.ID)
		if err != nil || utf8.RuneCountInString(passage) > maxSnippet || !utf8.ValidString(passage) {
			t.Fatalf("%q: passage %q, %v", query, passage, err)
		}
		if err := s.remove(ctx, Caller{Tenant: tenant, RequestID: newID(), Digest: []byte{}}, stored[0].Memory.ID, ""); err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		if found, err := s.words(ctx, tenant, query, Criteria{}, 5); err != nil || len(found) != 0 {
			t.Fatalf("%q: deleted, but %v, %v", query, found, err)
		}
	})
}

func TestMapError_everyKind_hasAReasonAndATextOfItsOwn(t *testing.T) {
	for kind := errorKind(0); kind < numKinds; kind++ {
		failed := &memoryError{kind: kind, name: "n", detail: "d"}
		mapped := mapError(fmt.Errorf("deep: %w", failed))
		if mapped == nil || mapped.Reason == errorv1.Reason_REASON_UNSPECIFIED || strings.Contains(failed.Error(), "error kind") {
			t.Fatalf("kind %d is mapped to %v and reads %q", kind, mapped, failed)
		}
	}
	for _, err := range []error{errors.New("x"), &memoryError{kind: numKinds}} {
		if mapped := mapError(err); mapped != nil {
			t.Errorf("%v is mapped to %v", err, mapped)
		}
	}
}

func TestSearch_recency_isTakenFromTheRequest(t *testing.T) {
	got := scoringFromProto(&memoryv1.SearchRequest{RecencyHalfLife: durationpb.New(time.Hour), MinScore: 0.5})
	want := Scoring{Ranking: Hybrid, VectorWeight: 0.5, HalfLife: time.Hour, MinScore: 0.5, Limit: 10}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
