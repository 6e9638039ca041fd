package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	inferencev1 "uait.dev/go/gen/uait/ml_inference/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	weaviatev1 "uait.dev/go/gen/uait/weaviate_client/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/serve"
	"uait.dev/go/kit/status"
	"uait.dev/go/kit/value"
)

// neighbours are ml-inference and weaviate-client in one process, behind one address as the mesh has it. They can go away.
type neighbours struct {
	inferencev1.UnimplementedInferenceServiceServer
	weaviatev1.UnimplementedVectorServiceServer
	address       string
	inferenceAway atomic.Bool
	vectorsAway   atomic.Bool

	mu          sync.Mutex
	collections map[string]map[string]*weaviatev1.VectorObject // by tenant and name, then by object
	refuse      string                                         // no memory with this text can be embedded
	embedded    int
}

func startNeighbours(t *testing.T) *neighbours {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbours{address: listener.Addr().String(), collections: map[string]map[string]*weaviatev1.VectorObject{}}
	server := grpc.NewServer()
	inferencev1.RegisterInferenceServiceServer(server, n)
	weaviatev1.RegisterVectorServiceServer(server, n)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return n
}

func (n *neighbours) key(ctx context.Context, collection string) string {
	incoming, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(incoming.Get("x-uait-tenant"), ",") + "/" + collection
}

// count is how many objects a tenant has in all its collections.
func (n *neighbours) count(tenant string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for key, objects := range n.collections {
		if strings.HasPrefix(key, tenant+"/") {
			count += len(objects)
		}
	}
	return count
}

// lose forgets everything, as a Weaviate does whose files were lost.
func (n *neighbours) lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.collections)
}

var errAway = grpcstatus.Error(codes.Unavailable, "away")

// synonyms have one meaning.
var synonyms = map[string]string{"automobile": "car", "vehicle": "car", "feline": "cat", "kitten": "cat"}

const dimensions = 64

// meaning is a bag of words in which synonyms are the same.
func meaning(text string) []float32 {
	vector := make([]float32, dimensions)
	for _, word := range strings.Fields(strings.ToLower(text)) {
		sum := fnv.New32a()
		_, _ = io.WriteString(sum, cmp.Or(synonyms[word], word))
		vector[sum.Sum32()%dimensions]++
	}
	length := math.Sqrt(cosine(vector, vector))
	for i := range vector {
		vector[i] /= float32(max(length, 1e-9))
	}
	return vector
}

func cosine(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func (n *neighbours) Embed(_ context.Context, request *inferencev1.EmbedRequest) (*inferencev1.EmbedResponse, error) {
	if n.inferenceAway.Load() {
		return nil, errAway
	}
	if request.GetModel() != "minilm-l6-v2" {
		return nil, grpcstatus.Error(codes.NotFound, "no such model")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	response := &inferencev1.EmbedResponse{Model: request.GetModel()}
	for _, text := range request.GetTexts() {
		if n.refuse != "" && text == n.refuse {
			return nil, grpcstatus.Error(codes.InvalidArgument, "cannot be embedded")
		}
		n.embedded++
		response.Vectors = append(response.Vectors, &typesv1.Vector{Values: meaning(text)})
	}
	return response, nil
}

func (n *neighbours) CreateCollection(
	ctx context.Context, request *weaviatev1.CreateCollectionRequest,
) (*weaviatev1.CreateCollectionResponse, error) {
	if n.vectorsAway.Load() {
		return nil, errAway
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := n.key(ctx, request.GetCollection())
	if n.collections[key] != nil {
		return nil, grpcstatus.Error(codes.AlreadyExists, "it is there")
	}
	n.collections[key] = map[string]*weaviatev1.VectorObject{}
	return &weaviatev1.CreateCollectionResponse{}, nil
}

func (n *neighbours) found(ctx context.Context, collection string) (map[string]*weaviatev1.VectorObject, error) {
	if n.vectorsAway.Load() {
		return nil, errAway
	}
	objects := n.collections[n.key(ctx, collection)]
	if objects == nil {
		return nil, grpcstatus.Error(codes.NotFound, "no such collection")
	}
	return objects, nil
}

func (n *neighbours) DeleteCollection(
	ctx context.Context, request *weaviatev1.DeleteCollectionRequest,
) (*weaviatev1.DeleteCollectionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.found(ctx, request.GetCollection()); err != nil {
		return nil, err
	}
	delete(n.collections, n.key(ctx, request.GetCollection()))
	return &weaviatev1.DeleteCollectionResponse{}, nil
}

func (n *neighbours) Upsert(stream grpc.BidiStreamingServer[weaviatev1.UpsertRequest, weaviatev1.UpsertResponse]) error {
	for batch := uint64(1); ; batch++ {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		if err := n.upsert(stream.Context(), request); err != nil {
			return err
		}
		if err := stream.Send(&weaviatev1.UpsertResponse{Batch: batch, Stored: int32(len(request.GetObjects()))}); err != nil {
			return err
		}
	}
}

func (n *neighbours) upsert(ctx context.Context, request *weaviatev1.UpsertRequest) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	objects, err := n.found(ctx, request.GetCollection())
	if err != nil {
		return err
	}
	for _, object := range request.GetObjects() {
		objects[object.GetObjectId()] = object
	}
	return nil
}

func (n *neighbours) Delete(ctx context.Context, request *weaviatev1.DeleteRequest) (*weaviatev1.DeleteResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	objects, err := n.found(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	for _, id := range request.GetIds().GetObjectIds() {
		delete(objects, id)
	}
	return &weaviatev1.DeleteResponse{}, nil
}

func (n *neighbours) Search(ctx context.Context, request *weaviatev1.SearchRequest) (*weaviatev1.SearchResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	objects, err := n.found(ctx, request.GetCollection())
	if err != nil {
		return nil, err
	}
	filter, err := value.FilterFromProto("filter", request.GetFilter())
	if err != nil {
		return nil, err
	}
	response := &weaviatev1.SearchResponse{}
	for object := range maps.Values(objects) {
		properties, err := value.MapFromProto("properties", object.GetProperties())
		if err != nil {
			return nil, err
		}
		if filter.Matches(properties) {
			distance := 1 - cosine(request.GetNear().GetVector().GetValues(), object.GetVectors()["text"].GetValues())
			response.Hits = append(response.Hits, &weaviatev1.SearchResponse_Hit{Object: object, Distance: distance})
		}
	}
	slices.SortFunc(response.GetHits(), func(a, b *weaviatev1.SearchResponse_Hit) int {
		return cmp.Or(cmp.Compare(a.GetDistance(), b.GetDistance()), cmp.Compare(a.GetObject().GetObjectId(), b.GetObject().GetObjectId()))
	})
	response.Hits = response.GetHits()[:min(len(response.GetHits()), int(request.GetLimit()))]
	return response, nil
}

// running is the service under test and a connection to it.
type running struct {
	memoryv1.MemoryServiceClient
	service *service
	stop    func()
}

// settings are variables of the service under test.
type settings map[string]string

// startMemory runs the service as main does, on free ports, with its data in directory.
func startMemory(t *testing.T, directory string, n *neighbours, more settings) *running {
	t.Helper()
	variables := settings{
		"UAIT_PORT": "0", "UAIT_HTTP_PORT": "0", "UAIT_LEASE": "off", "UAIT_NATS_URL": "off", "OTEL_SDK_DISABLED": "true",
		"UAIT_DRAIN_DELAY_MS": "0", "UAIT_DATA_DIR": directory, "UAIT_MESH": n.address,
	}
	maps.Copy(variables, more)
	configuration, err := readConfig(config.From(func(name string) (string, bool) {
		v, set := variables[name]
		return v, set
	}, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	logs := io.Discard
	if testing.Verbose() {
		logs = os.Stderr
	}
	made, err := newService(configuration, serve.Logs(logs))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- made.run(ctx) }()
	select {
	case <-made.server.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	connection, err := grpc.NewClient(made.server.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	r := &running{MemoryServiceClient: memoryv1.NewMemoryServiceClient(connection), service: made}
	r.stop = func() {
		once.Do(func() {
			_ = connection.Close()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// as is a context of a tenant that lives as long as a test may take.
func as(t *testing.T, tenant string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "x-uait-tenant", tenant, "x-uait-subject", "tester")
}

var requests atomic.Int64

// newRequest is a request_id that no other test has.
func newRequest() string { return fmt.Sprint("r", requests.Add(1)) }

func (r *running) remember(t *testing.T, ctx context.Context, draft *memoryv1.MemoryDraft) *memoryv1.Memory {
	t.Helper()
	response, err := r.Store(ctx, &memoryv1.StoreRequest{RequestId: newRequest(), Memory: draft})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetMemory()
}

func (r *running) texts(t *testing.T, ctx context.Context, texts ...string) []string {
	t.Helper()
	var ids []string
	for _, text := range texts {
		ids = append(ids, r.remember(t, ctx, &memoryv1.MemoryDraft{Text: text}).GetMemoryId())
	}
	return ids
}

// indexed waits until the vector index has everything of a tenant.
func (r *running) indexed(t *testing.T, ctx context.Context) {
	t.Helper()
	await(t, ctx, "everything to be indexed", func() bool {
		stats, err := r.GetStats(ctx, &memoryv1.GetStatsRequest{})
		_, waiting, waitErr := r.service.store.waiting(ctx)
		return err == nil && waitErr == nil && stats.GetUnindexed() == 0 && waiting == 0
	})
}

// await waits until holds, and fails the test when ctx ends before.
func await(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantFailure checks how a call failed.
func wantFailure(t *testing.T, what string, err error, code codes.Code, reason string) {
	t.Helper()
	failed := grpcstatus.Convert(err)
	if failed.Code() != code || status.ReasonOf(failed).GetReason() != reason {
		t.Errorf("%s: got %v, %v; want %s, %s", what, err, status.ReasonOf(failed), code, reason)
	}
}
