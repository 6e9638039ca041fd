package telemetry

import (
	"context"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"uait.dev/go/kit/config"
)

// exportMethod takes an ExportTraceServiceRequest. The generated client would bring grpc-gateway into every service, 2 MB of
// its resident memory (decision 0020).
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// exportRetries are the codes upon which OTLP wants a client to try again.
const exportRetries = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["CANCELLED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]}}]}`

// The numbers of ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Resource and InstrumentationScope.
const (
	fieldResourceSpans      = 1
	fieldResource           = 1
	fieldScopeSpans         = 2
	fieldScope              = 1
	fieldSpans              = 2
	fieldResourceAttributes = 1
	fieldScopeName          = 1
)

// exporter sends spans to a collector, OTLP over gRPC.
type exporter struct {
	connection *grpc.ClientConn
	resource   []byte // field `resource` of ResourceSpans
	scope      []byte // field `scope` of ScopeSpans
}

func newExporter(kit config.Kit) (*exporter, error) {
	endpoint, err := url.Parse(kit.OTLPEndpoint)
	if err != nil {
		return nil, err
	}
	keys, port := insecure.NewCredentials(), ":80"
	if endpoint.Scheme == "https" {
		keys, port = credentials.NewTLS(nil), ":443"
	}
	address := endpoint.Host
	if endpoint.Port() == "" {
		address = strings.TrimSuffix(address, ":") + port
	}
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(keys),
		grpc.WithUserAgent("uait-go-kit"),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(exportRetries),
	)
	if err != nil {
		return nil, err
	}
	var resource []byte
	for _, pair := range [][2]string{{"service.name", kit.Service}, {"service.instance.id", kit.Instance}} {
		resource = appendBytes(resource, fieldResourceAttributes, keyValue(pair[0], appendString(nil, fieldStringValue, pair[1])))
	}
	return &exporter{
		connection: connection,
		resource:   appendBytes(nil, fieldResource, resource),
		scope:      appendBytes(nil, fieldScope, appendString(nil, fieldScopeName, "uait.dev/go/kit")),
	}, nil
}

// upload sends spans, each a field of ScopeSpans; with patience it waits as long as ctx lives for a collector that is away.
func (e *exporter) upload(ctx context.Context, spans []byte, patience bool) error {
	scopeSpans := len(e.scope) + len(spans)
	resourceSpans := len(e.resource) + protowire.SizeTag(fieldScopeSpans) + protowire.SizeBytes(scopeSpans)
	request := make(encoded, 0, protowire.SizeTag(fieldResourceSpans)+protowire.SizeBytes(resourceSpans))
	request = protowire.AppendVarint(protowire.AppendTag(request, fieldResourceSpans, protowire.BytesType), uint64(resourceSpans))
	request = append(request, e.resource...)
	request = protowire.AppendVarint(protowire.AppendTag(request, fieldScopeSpans, protowire.BytesType), uint64(scopeSpans))
	request = append(append(request, e.scope...), spans...)
	return e.connection.Invoke(ctx, exportMethod, request, nil, grpc.WaitForReady(patience), grpc.ForceCodecV2(asEncoded{}))
}

// encoded is a message's bytes.
type encoded []byte

// asEncoded sends messages that are encoded already, and reads no answers: that of the collector says nothing more than its status.
type asEncoded struct{}

func (asEncoded) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.(encoded))}, nil
}

func (asEncoded) Unmarshal(mem.BufferSlice, any) error { return nil }

func (asEncoded) Name() string { return "proto" }

func (e *exporter) close() error { return e.connection.Close() }
