package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventv1 "uait.dev/go/gen/uait/event/v1"
	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	"uait.dev/go/kit/natstest"
)

func TestIndexer_neighboursAwayOverARestart_indexesEverythingLater(t *testing.T) {
	directory, n := t.TempDir(), startNeighbours(t)
	ctx := as(t, "acme")
	n.inferenceAway.Store(true)
	m := startMemory(t, directory, n, nil)
	ids := m.texts(t, ctx, "one", "two", "three")
	if _, err := m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: ids[1]}); err != nil {
		t.Fatal(err)
	}
	stats, err := m.GetStats(ctx, &memoryv1.GetStatsRequest{})
	if err != nil || stats.GetUnindexed() != 2 {
		t.Errorf("got %v, %v", stats, err)
	}
	m.stop()
	n.vectorsAway.Store(true)
	n.inferenceAway.Store(false)
	m = startMemory(t, directory, n, nil)
	m.texts(t, ctx, "four")
	n.vectorsAway.Store(false)
	m.indexed(t, ctx)
	if n.count("acme") != 3 {
		t.Errorf("the index has %d", n.count("acme"))
	}
	got, err := m.Get(ctx, &memoryv1.GetRequest{MemoryId: ids[0]})
	if err != nil || !got.GetMemory().GetIndexed() {
		t.Errorf("got %v, %v", got, err)
	}
	n.vectorsAway.Store(true)
	if _, err := m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: ids[0]}); err != nil {
		t.Fatal(err)
	}
	if response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "one"}); len(response.GetHits()) != 0 {
		t.Errorf("what is deleted is found: %v", response)
	}
	n.vectorsAway.Store(false)
	await(t, ctx, "the deletion to reach the index", func() bool { return n.count("acme") == 2 })
}

func TestIndexer_updated_indexesTheNewVersion(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	id := m.texts(t, ctx, "an automobile")[0]
	m.indexed(t, ctx)
	text := "a kitten"
	if _, err := m.Update(ctx, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: id, Text: &text}); err != nil {
		t.Fatal(err)
	}
	m.indexed(t, ctx)
	response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "feline", Ranking: vector})
	if len(response.GetHits()) != 1 || response.GetHits()[0].GetCosine() < 0.5 || n.count("acme") != 1 {
		t.Errorf("got %v", response)
	}
}

func TestIndexer_indexLosesEverything_isToldAgain(t *testing.T) {
	n := startNeighbours(t)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "one", "two", "three")
	m.indexed(t, ctx)
	n.lose()
	if response := m.search(t, ctx, &memoryv1.SearchRequest{Query: "one"}); len(response.GetDegradations()) != 1 || len(response.GetHits()) != 1 {
		t.Errorf("meanwhile: got %v", response)
	}
	await(t, ctx, "the index to have everything", func() bool { return n.count("acme") == 3 })
	n.lose() // Noticed by the next memory as well.
	m.texts(t, ctx, "four")
	await(t, ctx, "the index to have everything again", func() bool { return n.count("acme") == 4 })
}

func TestIndexer_oneMemoryRefused_waitsAloneAndIsTriedAgain(t *testing.T) {
	n := startNeighbours(t)
	n.refuse = "poison"
	n.inferenceAway.Store(true)
	m := startMemory(t, t.TempDir(), n, nil)
	ctx := as(t, "acme")
	m.texts(t, ctx, "one", "poison", "two")
	n.inferenceAway.Store(false)
	await(t, ctx, "the others to be indexed", func() bool { return n.count("acme") == 2 })
	n.mu.Lock()
	n.refuse = ""
	n.mu.Unlock()
	await(t, ctx, "the refused one to be indexed", func() bool { return n.count("acme") == 3 })
}

func TestIndexer_anotherModel_indexesEverythingAgain(t *testing.T) {
	directory, n := t.TempDir(), startNeighbours(t)
	ctx := as(t, "acme")
	m := startMemory(t, directory, n, nil)
	m.texts(t, ctx, "one", "two")
	m.indexed(t, ctx)
	m.stop()
	m = startMemory(t, directory, n, settings{"UAIT_EMBEDDING_MODEL": "another/model"})
	stats, err := m.GetStats(ctx, &memoryv1.GetStatsRequest{})
	if err != nil || stats.GetUnindexed() != 2 {
		t.Errorf("got %v, %v", stats, err)
	}
	m.stop()
	m = startMemory(t, directory, n, nil)
	m.indexed(t, ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.embedded != 4 {
		t.Errorf("%d were embedded, want both twice", n.embedded)
	}
}

// listen collects the events of the area, in the order of the stream.
func listen(t *testing.T, url string) func() []*eventv1.Event {
	t.Helper()
	connection, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	stream, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	return func() []*eventv1.Event {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		consumer, err := stream.OrderedConsumer(ctx, "UAIT_MEMORY", jetstream.OrderedConsumerConfig{})
		if err != nil {
			return nil // Nobody has published yet.
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var events []*eventv1.Event
		for range info.NumPending {
			message, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			event := &eventv1.Event{}
			if err := proto.Unmarshal(message.Data(), event); err != nil {
				t.Fatal(err)
			}
			events = append(events, event)
		}
		return events
	}
}

func TestPublisher_natsAwayOverARestart_publishesEverythingOnceInOrder(t *testing.T) {
	log := natstest.New(t)
	directory, n := t.TempDir(), startNeighbours(t)
	ctx := as(t, "acme")
	variables := settings{"UAIT_NATS_URL": log.URL}
	m := startMemory(t, directory, n, variables)
	begin := time.Now()
	first := m.remember(t, ctx, &memoryv1.MemoryDraft{Text: "first", Tags: []string{"t"}})
	gone := m.remember(t, ctx, &memoryv1.MemoryDraft{Text: "gone"})
	if _, err := m.Delete(ctx, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: gone.GetMemoryId()}); err != nil {
		t.Fatal(err)
	}
	stored := time.Now()
	m.stop()
	m = startMemory(t, directory, n, variables)
	log.Start(t)
	text := "second"
	if _, err := m.Update(ctx, &memoryv1.UpdateRequest{RequestId: newRequest(), MemoryId: first.GetMemoryId(), Text: &text}); err != nil {
		t.Fatal(err)
	}
	read := listen(t, log.URL)
	await(t, ctx, "four events", func() bool { return len(read()) >= 4 })
	log.Kill(t)
	m.texts(t, ctx, "while away")
	if _, err := m.PurgeTenant(ctx, &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "delete every memory"}); err != nil {
		t.Fatal(err)
	}
	log.Start(t)
	await(t, ctx, "everything to be published", func() bool {
		events, _, err := m.service.store.waiting(ctx)
		return err == nil && events == 0
	})
	events := listen(t, log.URL)()
	var saw []string
	ids := map[string]bool{}
	for _, event := range events {
		ids[event.GetId()] = true
		switch payload := event.GetPayload().(type) {
		case *eventv1.Event_MemoryStored:
			saw = append(saw, fmt.Sprintf("stored %s %d", payload.MemoryStored.GetMemory().GetText(), payload.MemoryStored.GetMemory().GetVersion()))
		case *eventv1.Event_MemoryDeleted:
			saw = append(saw, fmt.Sprintf("deleted %d %s", len(payload.MemoryDeleted.GetMemoryIds()), payload.MemoryDeleted.GetCause()))
		}
		if event.GetTenant() != "acme" || event.GetSource() != "memory" {
			t.Errorf("got %v", event)
		}
	}
	// Whether the publisher had this one in hand when all was purged is a matter of time; the purge comes after it in any case.
	saw = slices.DeleteFunc(saw, func(s string) bool { return s == "stored while away 1" })
	want := []string{"stored first 1", "stored gone 1", "deleted 1 CAUSE_REQUESTED", "stored second 2", "deleted 0 CAUSE_PURGED"}
	if !slices.Equal(saw, want) || len(ids) != len(events) {
		t.Errorf("got %v, want %v", saw, want)
	}
	if at := events[0].GetTime().AsTime(); at.Before(begin.Truncate(time.Microsecond)) || at.After(stored) {
		t.Errorf("the first is dated %s, and happened between %s and %s", at, begin, stored)
	}
}

func TestStore_manyAtOnce_shareCommitsAndEachIsThere(t *testing.T) {
	m := startMemory(t, t.TempDir(), startNeighbours(t), nil)
	ctx := as(t, "acme")
	const callers, each = 16, 20
	var all sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	for c := range callers {
		all.Go(func() {
			for i := range each {
				response, err := m.Store(ctx, &memoryv1.StoreRequest{
					RequestId: newRequest(), Memory: &memoryv1.MemoryDraft{Text: fmt.Sprintf("caller %d, %d", c, i)},
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ids[response.GetMemory().GetMemoryId()] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	stats, err := m.GetStats(ctx, &memoryv1.GetStatsRequest{})
	if err != nil || stats.GetMemories() != callers*each || len(ids) != callers*each {
		t.Errorf("%d ids, %v, %v", len(ids), stats, err)
	}
}
