// Command bare is an echo server on plain grpc-go, with nothing of the kit: what the bench measures the kit against.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

type server struct {
	echov1.UnimplementedEchoServiceServer
}

func (server) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Message: request.GetMessage(), Payload: request.GetPayload(), Seen: seen()}, nil
}

// seen is as long as what the kit's echo answers, so that both encode the same bytes.
func seen() *echov1.Seen {
	return &echov1.Seen{
		Service:  "echo-go",
		Instance: "echo-go-12345",
		Tenant:   "bench",
		TraceId:  "4bf92f3577b34da6a3ce929d0e0e4736",
		SpanId:   "00f067aa0ba902b7",
		TimeLeft: &durationpb.Duration{Seconds: 19, Nanos: 999_000_000},
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("UAIT_PORT"))
	if err != nil {
		log.Fatal(err)
	}
	srv := grpc.NewServer()
	echov1.RegisterEchoServiceServer(srv, server{})
	fmt.Printf("{\"msg\":\"serving\",\"grpc\":%q,\"http\":\"\"}\n", listener.Addr())
	log.Fatal(srv.Serve(listener))
}
