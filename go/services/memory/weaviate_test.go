package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	inferencev1 "uait.dev/go/gen/uait/ml_inference/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/weaviatetest"
)

// relay is the mesh: embeddings by the fake, vectors by the real weaviate-client, to which it passes every call on.
type relay struct {
	weaviatev1.UnimplementedVectorServiceServer
	to weaviatev1.VectorServiceClient
}

// onward carries the metadata of a call into the next.
func onward(ctx context.Context) context.Context {
	incoming, _ := metadata.FromIncomingContext(ctx)
	return metadata.NewOutgoingContext(ctx, metadata.MD{"x-uait-tenant": incoming.Get("x-uait-tenant")})
}

func (r *relay) CreateCollection(ctx context.Context, q *weaviatev1.CreateCollectionRequest) (*weaviatev1.CreateCollectionResponse, error) {
	return r.to.CreateCollection(onward(ctx), q)
}

func (r *relay) DeleteCollection(ctx context.Context, q *weaviatev1.DeleteCollectionRequest) (*weaviatev1.DeleteCollectionResponse, error) {
	return r.to.DeleteCollection(onward(ctx), q)
}

func (r *relay) Search(ctx context.Context, q *weaviatev1.SearchRequest) (*weaviatev1.SearchResponse, error) {
	return r.to.Search(onward(ctx), q)
}

func (r *relay) Delete(ctx context.Context, q *weaviatev1.DeleteRequest) (*weaviatev1.DeleteResponse, error) {
	return r.to.Delete(onward(ctx), q)
}

func (r *relay) Upsert(stream grpc.BidiStreamingServer[weaviatev1.UpsertRequest, weaviatev1.UpsertResponse]) error {
	next, err := r.to.Upsert(onward(stream.Context()))
	if err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := next.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		response, err := next.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

// startVectors runs the real weaviate-client over Weaviate and returns a connection to it.
func startVectors(t *testing.T, weaviate *weaviatetest.Server) *grpc.ClientConn {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "weaviate-client")
	if output, err := exec.Command("go", "build", "-o", binary, "../weaviate-client").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	_, connection := startProcess(t, binary, "UAIT_DRAIN_DELAY_MS=0",
		"UAIT_WEAVIATE_URL="+weaviate.URL, "UAIT_WEAVIATE_GRPC="+weaviate.GRPC)
	return connection
}

// servingAddress reads a service's log until it says where it takes gRPC, and goes on reading so that the pipe never fills.
func servingAddress(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		var line struct {
			Message string `json:"msg"`
			GRPC    string `json:"grpc"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not a JSON line: %s", lines.Text())
		}
		if line.Message == "serving" {
			go func() {
				for lines.Scan() {
				}
			}()
			return line.GRPC
		}
	}
	t.Fatal("it ended before it served")
	return ""
}

// The seam to the real weaviate-client and the real Weaviate, which goes away and comes back.
func TestMemory_overRealWeaviate_findsByMeaningAndOutlivesItsOutage(t *testing.T) {
	weaviate, err := weaviatetest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(weaviate.Kill)
	if err := weaviate.Start(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mesh, n := grpc.NewServer(), &neighbours{address: listener.Addr().String()}
	inferencev1.RegisterInferenceServiceServer(mesh, n)
	weaviatev1.RegisterVectorServiceServer(mesh, &relay{to: weaviatev1.NewVectorServiceClient(startVectors(t, weaviate))})
	go func() { _ = mesh.Serve(listener) }()
	t.Cleanup(mesh.Stop)

	m := startMemory(t, t.TempDir(), n, nil)
	acme, globex := as(t, "acme"), as(t, "globex")
	m.remember(t, acme, &memoryv1.MemoryDraft{Text: "red automobile", Tags: []string{"garage"}})
	gone := m.texts(t, acme, "old vehicle", "a kitten")[0]
	m.texts(t, globex, "their car")
	m.indexed(t, acme)
	m.indexed(t, globex)
	byMeaning := func(ctx context.Context, request *memoryv1.SearchRequest) []string {
		t.Helper()
		request.Ranking, request.MinScore = vector, 0.3
		response := m.search(t, ctx, request)
		if len(response.GetDegradations()) != 0 {
			t.Fatalf("degraded by %v", response.GetDegradations())
		}
		found := texts(response)
		slices.Sort(found)
		return found
	}
	if got := byMeaning(acme, &memoryv1.SearchRequest{Query: "car"}); !slices.Equal(got, []string{"old vehicle", "red automobile"}) {
		t.Errorf("by meaning: got %v", got)
	}
	if got := byMeaning(acme, &memoryv1.SearchRequest{
		Query: "car", Tags: []string{"garage"}, Kinds: []memoryv1.MemoryKind{memoryv1.MemoryKind_MEMORY_KIND_SEMANTIC},
	}); !slices.Equal(got, []string{"red automobile"}) {
		t.Errorf("with a tag: got %v", got)
	}
	weaviate.Kill()
	response := m.search(t, acme, &memoryv1.SearchRequest{Query: "red car"})
	if !slices.Equal(texts(response), []string{"red automobile"}) || len(response.GetDegradations()) != 1 ||
		response.GetDegradations()[0].GetDependency() != "weaviate-client" {
		t.Errorf("Weaviate away: got %v", response)
	}
	if _, err := m.Delete(acme, &memoryv1.DeleteRequest{RequestId: newRequest(), MemoryId: gone}); err != nil {
		t.Fatal(err)
	}
	m.texts(t, acme, "blue automobile")
	if err := weaviate.Start(); err != nil {
		t.Fatal(err)
	}
	m.indexed(t, as(t, "acme"))
	if got := byMeaning(as(t, "acme"), &memoryv1.SearchRequest{Query: "car"}); !slices.Equal(got, []string{"blue automobile", "red automobile"}) {
		t.Errorf("Weaviate back: got %v", got)
	}
	if _, err := m.PurgeTenant(as(t, "acme"), &memoryv1.PurgeTenantRequest{RequestId: newRequest(), Confirmation: "delete every memory"}); err != nil {
		t.Fatal(err)
	}
	m.indexed(t, as(t, "acme"))
	if got := byMeaning(as(t, "globex"), &memoryv1.SearchRequest{Query: "car"}); !slices.Equal(got, []string{"their car"}) {
		t.Errorf("another tenant's: got %v", got)
	}
}
