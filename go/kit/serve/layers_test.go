package serve

import (
	"context"
	"os"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	"uait.dev/go/kit/config"
	"uait.dev/go/kit/identity"
)

// noStream takes a handler's headers and trailers, and forgets them.
type noStream struct{}

func (noStream) Method() string               { return "/uait.echo.v1.EchoService/Echo" }
func (noStream) SetHeader(metadata.MD) error  { return nil }
func (noStream) SendHeader(metadata.MD) error { return nil }
func (noStream) SetTrailer(metadata.MD) error { return nil }

// BenchmarkLayers is what the kit's layers cost around a handler, without a connection: the part of BenchmarkUnary's difference
// that is the kit's own code.
func BenchmarkLayers(b *testing.B) {
	kit := config.From(func(string) (string, bool) { return "", false }, 1).Kit("echo-go", 0)
	kit.NATSURL, kit.Lease, kit.OTLPEndpoint = "", false, "http://127.0.0.1:9"
	server, err := New(kit, Logs(os.Stderr))
	if err != nil {
		b.Fatal(err)
	}
	var bare grpc.MethodDesc
	for _, method := range echov1.EchoService_ServiceDesc.Methods {
		if method.MethodName == "Echo" {
			bare = method
		}
	}
	layered := server.newMethod("uait.echo.v1.EchoService", "Echo").unary(bare)
	encoded, err := proto.Marshal(&echov1.EchoRequest{Message: "hello, echo"})
	if err != nil {
		b.Fatal(err)
	}
	decode := func(message any) error { return proto.Unmarshal(encoded, message.(proto.Message)) }
	ctx, _ := keepHeaders(grpc.NewContextWithServerTransportStream(context.Background(), noStream{}), &tap.Info{Header: metadata.MD{
		identity.TenantKey: {"bench"}, "content-type": {"application/grpc"}, "user-agent": {"grpc-go/1.80"},
		":authority": {"127.0.0.1:8001"}, "x-uait-service": {"echo-go"},
	}})
	for name, method := range map[string]grpc.MethodDesc{"bare": bare, "kit": layered} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := method.Handler(plainEcho{}, ctx, decode, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
