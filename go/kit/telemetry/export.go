package telemetry

import (
	"context"
	"net/url"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"uait.dev/go/kit/config"
)

// exportMethod takes an ExportTraceServiceRequest, which is on the wire what TracesData is: the resource spans in field 1.
// The generated client would bring grpc-gateway into every service, 2 MB of its resident memory (decision 0020).
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// exportRetries are the codes upon which OTLP wants a client to try again.
const exportRetries = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["CANCELLED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]}}]}`

// exporter sends spans to a collector, OTLP over gRPC.
type exporter struct {
	connection *grpc.ClientConn
	resource   *resourcepb.Resource
	scope      *commonpb.InstrumentationScope
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
	return &exporter{
		connection: connection,
		resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			String("service.name", kit.Service),
			String("service.instance.id", kit.Instance),
		}},
		scope: &commonpb.InstrumentationScope{Name: "uait.dev/go/kit"},
	}, nil
}

// upload sends spans, and waits as long as ctx lives for a collector that is away.
func (e *exporter) upload(ctx context.Context, spans []*tracepb.Span) error {
	request := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   e.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: e.scope, Spans: spans}},
	}}}
	return e.connection.Invoke(ctx, exportMethod, request, &emptypb.Empty{}, grpc.WaitForReady(true))
}

func (e *exporter) close() error { return e.connection.Close() }
