package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	"uait.dev/go/kit/value"
)

func full() *memoryv1.MemoryDraft {
	importance := 0.25
	return &memoryv1.MemoryDraft{
		Text: "Anna likes her \x00 coffee black", Kind: memoryv1.MemoryKind_MEMORY_KIND_PREFERENCE, Importance: &importance,
		Tags: []string{"anna", "drinks: hot"}, Origin: "run/7", ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
		Properties: value.MapProto(map[string]value.Value{"cups": value.OfInteger(1<<53 + 1), "when": value.OfTime(time.Unix(1, 5))}),
	}
}

func TestStore_memory_comesBackAsItWasGiven(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	before := time.Now()
	draft := full()
	stored := m.remember(t, ctx, draft)
	got, err := m.Get(ctx, &memoryv1.GetRequest{MemoryId: stored.GetMemoryId()})
	if err != nil {
		t.Fatal(err)
	}
	want := &memoryv1.Memory{
		MemoryId: stored.GetMemoryId(), Text: draft.GetText(), Kind: draft.GetKind(), Importance: 0.25, Tags: draft.GetTags(),
		Properties: draft.GetProperties(), Origin: "run/7", Subject: "tester", Version: 1, ExpireTime: draft.GetExpireTime(),
		CreateTime: stored.GetCreateTime(), UpdateTime: stored.GetCreateTime(), Etag: stored.GetEtag(),
	}
	got.GetMemory().Indexed = false
	if !proto.Equal(stored, want) || !proto.Equal(got.GetMemory(), want) {
		t.Errorf("stored %v\ngot %v\nwant %v", stored, got, want)
	}
	if at := stored.GetCreateTime().AsTime(); at.Before(before.Truncate(time.Microsecond)) || at.After(time.Now()) || stored.GetEtag() == "" {
		t.Errorf("stored at %s with etag %q", at, stored.GetEtag())
	}
	plain := m.remember(t, ctx, &memoryv1.MemoryDraft{Text: "x"})
	if plain.GetKind() != memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC || plain.GetImportance() != 0.5 {
		t.Errorf("the defaults are %v", plain)
	}
	_, err = m.Store(ctx, &memoryv1.StoreRequest{RequestId: newRequest(), Memory: &memoryv1.MemoryDraft{
		Text: "x", ExpireTime: timestamppb.New(time.Now().Add(-time.Second)),
	}})
	wantFailure(t, "expired already", err, codes.InvalidArgument, "VALUE_CONFLICT")
}

// Every RPC that can name a memory of another tenant, or would show one.
func TestTenants_anothersMemory_doesNotExist(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	acme, globex := as(t, "acme"), as(t, "globex")
	id := m.remember(t, acme, full()).GetMemoryId()
	m.texts(t, globex, "something of its own")
	m.indexed(t, acme)
	m.indexed(t, globex)
	text := "stolen"
	for name, call := range map[string]func() error{
		"get":     func() error { _, err := m.Get(globex, &memoryv1.GetRequest{MemoryId: id}); return err },
		"history": func() error { _, err := m.GetHistory(globex, &memoryv1.GetHistoryRequest{MemoryId: id}); return err },
		"update": func() error {
			_, err := m.Update(globex, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: id, Text: &text})
			return err
		},
		"delete": func() error {
			_, err := m.Delete(globex, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: id})
			return err
		},
	} {
		wantFailure(t, name, call(), codes.NotFound, "RESOURCE_NOT_FOUND")
	}
	list, err := m.List(globex, &memoryv1.ListRequest{})
	if err != nil || len(list.GetMemories()) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	found, err := m.Search(globex, &memoryv1.SearchRequest{Query: "Anna coffee black"})
	if err != nil || slices.ContainsFunc(found.GetHits(), func(h *memoryv1.SearchResponse_Hit) bool { return h.GetMemory().GetMemoryId() == id }) {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := m.PurgeTenant(globex, &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "delete every memory"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(acme, &memoryv1.GetRequest{MemoryId: id}); err != nil {
		t.Errorf("another tenant's purge took it: %v", err)
	}
	_, err = m.Get(context.Background(), &memoryv1.GetRequest{MemoryId: id})
	wantFailure(t, "nobody", err, codes.Unauthenticated, "TENANT_MISSING")
}

func TestRequestID_repeated_returnsTheFirstAnswerEvenAfterARestart(t *testing.T) {
	directory, n := t.TempDir(), startNeighbours(t)
	ctx := as(t, "acme")
	store := &memoryv1.StoreRequest{RequestId: "same", Memory: full()}
	batch := &memoryv1.BatchStoreRequest{RequestId: "same", Memories: []*memoryv1.MemoryDraft{
		{Text: "a"}, {Text: "b", ExpireTime: timestamppb.New(time.Unix(0, 0))}, {Text: "c"},
	}}
	var stored *memoryv1.StoreResponse
	var batched *memoryv1.BatchStoreResponse
	var updated *memoryv1.UpdateResponse
	var update *memoryv1.UpdateRequest
	for round := range 2 {
		m := startMemory(t, directory, n, nil)
		for range 2 {
			s, err := m.Store(ctx, store)
			if err != nil || stored != nil && !proto.Equal(s, stored) {
				t.Fatalf("store: got %v, %v; want %v", s, err, stored)
			}
			stored = s
			b, err := m.BatchStore(ctx, batch)
			if err != nil || batched != nil && !proto.Equal(b, batched) {
				t.Fatalf("batch: got %v, %v; want %v", b, err, batched)
			}
			batched = b
			text := "new"
			update = &memoryv1.UpdateRequest{RequestId: "same", MemoryId: s.GetMemory().GetMemoryId(), Text: &text}
			u, err := m.Update(ctx, update)
			if err != nil || updated != nil && !proto.Equal(u, updated) {
				t.Fatalf("update: got %v, %v; want %v", u, err, updated)
			}
			updated = u
		}
		stats, err := m.GetStats(ctx, &memoryv1.GetStatsRequest{})
		if err != nil || stats.GetMemories() != 3 || stats.GetVersions() != 4 {
			t.Errorf("round %d: %v, %v", round, stats, err)
		}
		_, err = m.Store(ctx, &memoryv1.StoreRequest{RequestId: "same", Memory: &memoryv1.MemoryDraft{Text: "other"}})
		wantFailure(t, "another request", err, codes.InvalidArgument, "REQUEST_ID_REUSED")
		if _, err := m.Store(as(t, fmt.Sprint("other", round)), store); err != nil {
			t.Errorf("another tenant's: %v", err)
		}
		if round == 1 {
			remove := &memoryv1.DeleteRequest{RequestId: "same", MemoryId: stored.GetMemory().GetMemoryId()}
			for range 2 {
				if _, err := m.Delete(ctx, remove); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
			_, err = m.Store(ctx, store)
			wantFailure(t, "the answer of what is deleted", err, codes.NotFound, "RESOURCE_NOT_FOUND")
		}
		m.stop()
	}
	if batched.GetResults()[1].GetFailure().GetReason() != "VALUE_CONFLICT" || batched.GetResults()[2].GetMemory().GetText() != "c" {
		t.Errorf("got %v", batched)
	}
}

func TestUpdate_presentFields_makeAVersionAndKeepTheRest(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	first := m.remember(t, ctx, full())
	id := first.GetMemoryId()
	text, kind := "Anna switched to tea", memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC
	second, err := m.Update(ctx, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: id, Text: &text, Etag: first.GetEtag()})
	if err != nil {
		t.Fatal(err)
	}
	want := proto.CloneOf(first)
	want.Text, want.Version, want.Etag, want.UpdateTime = text, 2, second.GetMemory().GetEtag(), second.GetMemory().GetUpdateTime()
	if !proto.Equal(second.GetMemory(), want) || want.GetEtag() == first.GetEtag() {
		t.Errorf("got %v, want %v", second, want)
	}
	_, err = m.Update(ctx, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: id, Kind: &kind, Etag: first.GetEtag()})
	wantFailure(t, "an old etag", err, codes.Aborted, "ETAG_MISMATCH")
	_, err = m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: id, Etag: first.GetEtag()})
	wantFailure(t, "deleted by an old etag", err, codes.Aborted, "ETAG_MISMATCH")
	third, err := m.Update(ctx, &memoryv1.UpdateRequest{
		RequestId: newRequest(), MemoryId: id, Kind: &kind, Tags: &memoryv1.TagList{}, Properties: &memoryv1.PropertyMap{},
	})
	if got := third.GetMemory(); err != nil || got.GetKind() != kind || len(got.GetTags())+len(got.GetProperties()) != 0 || got.GetText() != text {
		t.Errorf("got %v, %v", third, err)
	}
	var versions []*memoryv1.Memory
	for token := ""; ; {
		history, err := m.GetHistory(ctx, &memoryv1.GetHistoryRequest{MemoryId: id, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, history.GetVersions()...)
		if token = history.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(versions) != 3 || versions[0].GetVersion() != 3 || versions[2].GetText() != first.GetText() {
		t.Errorf("the history is %v", versions)
	}
	if found, err := m.Search(ctx, &memoryv1.SearchRequest{Query: "coffee", Ranking: memoryv1.SearchRequest_RANKING_KEYWORD}); err != nil || len(found.GetHits()) != 0 {
		t.Errorf("the old text is found: %v, %v", found, err)
	}
	if _, err := m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: id}); err != nil {
		t.Fatal(err)
	}
	_, err = m.GetHistory(ctx, &memoryv1.GetHistoryRequest{MemoryId: id})
	wantFailure(t, "the history of what is deleted", err, codes.NotFound, "RESOURCE_NOT_FOUND")
	if found, err := m.Search(ctx, &memoryv1.SearchRequest{Query: "tea", Ranking: memoryv1.SearchRequest_RANKING_KEYWORD}); err != nil || len(found.GetHits()) != 0 {
		t.Errorf("what is deleted is found: %v, %v", found, err)
	}
}

func TestList_pages_haveEachOnceNewestFirst(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	var want, even []string
	for i := range 25 {
		draft := &memoryv1.MemoryDraft{Text: fmt.Sprint("memory ", i), Tags: []string{"all"}}
		if i%2 == 0 {
			draft.Tags, draft.Kind = append(draft.Tags, "even"), memoryv1.MemoryKind_MEMORY_KIND_EPISODIC
		}
		id := m.remember(t, ctx, draft).GetMemoryId()
		want = append(want, id)
		if i%2 == 0 {
			even = append(even, id)
		}
	}
	slices.Reverse(want)
	slices.Reverse(even)
	walk := func(request *memoryv1.ListRequest) (ids []string) {
		t.Helper()
		for {
			list, err := m.List(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range list.GetMemories() {
				ids = append(ids, one.GetMemoryId())
			}
			if request.PageToken = list.GetNextPageToken(); request.GetPageToken() == "" {
				return ids
			}
		}
	}
	for name, c := range map[string]struct {
		request *memoryv1.ListRequest
		want    []string
	}{
		"all":          {&memoryv1.ListRequest{}, want},
		"pages of 7":   {&memoryv1.ListRequest{PageSize: 7}, want},
		"pages of 5":   {&memoryv1.ListRequest{PageSize: 5}, want},
		"both tags":    {&memoryv1.ListRequest{PageSize: 4, Tags: []string{"all", "even"}}, even},
		"kind":         {&memoryv1.ListRequest{PageSize: 4, Kind: memoryv1.MemoryKind_MEMORY_KIND_EPISODIC}, even},
		"unknown tag":  {&memoryv1.ListRequest{Tags: []string{"odd"}}, nil},
		"another kind": {&memoryv1.ListRequest{Kind: memoryv1.MemoryKind_MEMORY_KIND_PREFERENCE}, nil},
	} {
		if got := walk(c.request); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	page, err := m.List(ctx, &memoryv1.ListRequest{PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.List(ctx, &memoryv1.ListRequest{PageToken: page.GetNextPageToken(), Tags: []string{"even"}})
	wantFailure(t, "the token of another list", err, codes.InvalidArgument, "PAGE_TOKEN_INVALID")
	_, err = m.List(as(t, "globex"), &memoryv1.ListRequest{PageToken: page.GetNextPageToken()})
	wantFailure(t, "the token of another tenant", err, codes.InvalidArgument, "PAGE_TOKEN_INVALID")
}

func TestExpiry_timeIsOver_isGoneEverywhere(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	kept := m.texts(t, ctx, "kept for ever")[0]
	id := m.remember(t, ctx, &memoryv1.MemoryDraft{Text: "fleeting", ExpireTime: timestamppb.New(time.Now().Add(300 * time.Millisecond))}).GetMemoryId()
	await(t, ctx, "it to expire", func() bool {
		_, err := m.Get(ctx, &memoryv1.GetRequest{MemoryId: id})
		return err != nil
	})
	await(t, ctx, "it to be swept out of store and index", func() bool {
		stats, err := m.service.store.stats(ctx, "acme")
		return err == nil && stats.Versions == 1 && n.count("acme") == 1
	})
	if _, err := m.Get(ctx, &memoryv1.GetRequest{MemoryId: kept}); err != nil {
		t.Error(err)
	}
}

func TestPurgeTenant_everything_isDeletedForEver(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "one", "two", "three")
	m.indexed(t, ctx)
	purge := &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "delete every memory"}
	for range 2 {
		response, err := m.PurgeTenant(ctx, purge)
		if err != nil || response.GetDeleted() != 3 {
			t.Errorf("got %v, %v", response, err)
		}
	}
	stats, err := m.GetStats(ctx, &memoryv1.GetStatsRequest{})
	if err != nil || !proto.Equal(stats, &memoryv1.GetStatsResponse{}) {
		t.Errorf("left are %v, %v", stats, err)
	}
	m.texts(t, ctx, "a new one")
	m.indexed(t, ctx)
	if n.count("acme") != 1 {
		t.Errorf("the index has %d", n.count("acme"))
	}
	if found, err := m.Search(ctx, &memoryv1.SearchRequest{Query: "one"}); err != nil || len(found.GetHits()) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	_, err = m.PurgeTenant(ctx, &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "yes"})
	wantFailure(t, "no confirmation", err, codes.InvalidArgument, "FIELD_INVALID")
	_, err = m.Consolidate(ctx, &memoryv1.ConsolidateRequest{RequestId: newRequest()})
	wantFailure(t, "consolidate", err, codes.Unimplemented, "NOT_IMPLEMENTED")
}

func TestWatchMemories_resumed_hasEveryChangeOnceInOrder(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	before := m.texts(t, ctx, "before")[0]
	live, stopLive := context.WithCancel(ctx)
	defer stopLive()
	stream, err := m.WatchMemories(live, &memoryv1.WatchMemoriesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	first := m.remember(t, ctx, &memoryv1.MemoryDraft{Text: "first", Tags: []string{"t"}}).GetMemoryId()
	m.texts(t, as(t, "globex"), "of another tenant")
	text := "changed"
	if _, err := m.Update(ctx, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: first, Text: &text}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: before}); err != nil {
		t.Fatal(err)
	}
	var last uint64
	next := func(stream interface {
		Recv() (*memoryv1.WatchMemoriesResponse, error)
	}) *memoryv1.WatchMemoriesResponse {
		t.Helper()
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.GetSequence() <= last {
			t.Errorf("sequence %d after %d", response.GetSequence(), last)
		}
		last = response.GetSequence()
		return response
	}
	if got := next(stream); got.GetStored().GetText() != "first" {
		t.Errorf("got %v", got)
	}
	resume := last
	if got := next(stream); got.GetUpdated().GetText() != text {
		t.Errorf("got %v", got)
	}
	if got := next(stream); got.GetDeletedId() != before {
		t.Errorf("got %v", got)
	}
	tagged, err := m.WatchMemories(ctx, &memoryv1.WatchMemoriesRequest{ResumeAfter: resume, Tags: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	last = resume
	if got := next(tagged); got.GetUpdated().GetMemoryId() != first {
		t.Errorf("resumed with a tag: got %v", got)
	}
	if _, err := m.PurgeTenant(ctx, &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "delete every memory"}); err != nil {
		t.Fatal(err)
	}
	if got := next(tagged); got.GetDeletedId() != first {
		t.Errorf("purged: got %v", got)
	}
}

func TestForget_changesOlderThanAWeek_cannotBeResumed(t *testing.T) {
	clock := now()
	s, err := openStore(t.TempDir(), false, func() time.Time { return clock }, newID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	ctx := context.Background()
	add := func(id string) {
		t.Helper()
		if _, err := s.add(ctx, Caller{Tenant: "acme", RequestID: id, Digest: []byte{}}, "Store", []Draft{{Text: id, Kind: Semantic}}); err != nil {
			t.Fatal(err)
		}
	}
	add("a")
	add("b")
	clock = clock.Add(8 * 24 * time.Hour)
	add("c")
	if err := s.forget(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = s.watched(ctx, "acme", 1, 10)
	if failed, ok := errors.AsType[*memoryError](err); !ok || failed.kind != kindExpired || failed.name != "3" {
		t.Errorf("after 1: got %v", err)
	}
	if changes, err := s.watched(ctx, "acme", 2, 10); err != nil || len(changes) != 1 || changes[0].Sequence != 3 {
		t.Errorf("after 2: got %v, %v", changes, err)
	}
	var remembered int
	if err := s.reader.QueryRow("SELECT count(*) FROM requests").Scan(&remembered); err != nil || remembered != 1 {
		t.Errorf("%d requests are remembered, %v", remembered, err)
	}
}

func TestCommit_oneOfAGroupFailsOrPanics_leavesNothingAndSparesTheOthers(t *testing.T) {
	s, err := openStore(t.TempDir(), false, now, newID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	failed := errors.New("no")
	work := func(name string, fail func() error) *change {
		return &change{ctx: context.Background(), done: make(chan error, 1), work: func(tx *sql.Tx) error {
			if _, err := tx.Exec("INSERT INTO settings (name, value) VALUES (?, '')", name); err != nil {
				return err
			}
			return fail()
		}}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	group := []*change{
		work("a", func() error { return nil }), work("b", func() error { return failed }), work("c", func() error { panic("no") }),
		work("d", func() error { return nil }), work("e", func() error { return nil }),
	}
	group[4].ctx = gone
	s.commitGroup(group)
	for i, want := range []bool{true, false, false, true, false} {
		if err := <-group[i].done; (err == nil) != want {
			t.Errorf("change %d ended with %v", i, err)
		}
	}
	var names string
	if err := s.reader.QueryRow("SELECT group_concat(name) FROM settings").Scan(&names); err != nil || names != "a,d" {
		t.Errorf("there are %q, %v", names, err)
	}
}
