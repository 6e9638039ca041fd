// Command bare is an echo server on plain grpc-go, with nothing of the kit: what the bench measures the kit against.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

type server struct {
	echov1.UnimplementedEchoServiceServer
}

func (server) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Message: request.GetMessage(), Payload: request.GetPayload()}, nil
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
