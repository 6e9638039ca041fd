//lint:file-ignore SA1019 Clients older than reflection v1 still ask v1alpha, and this tests that they are answered.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
	balancerv1 "uait.dev/go/gen/uait/intelligent_load_balancer/v1"
)

// foreign is a service that no Go program of the mesh links, as the services of other languages are.
const foreign = `
name: "uait/foreign/v1/foreign.proto"
package: "uait.foreign.v1"
syntax: "proto3"
message_type { name: "HelloRequest" }
service { name: "ForeignService" method { name: "Hello" input_type: ".uait.foreign.v1.HelloRequest" output_type: ".uait.foreign.v1.HelloRequest" } }
`

// writeDescriptors writes what `buf build -o` would: the files with all that they import.
func writeDescriptors(t *testing.T) string {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	known := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if known[file.Path()] {
			return
		}
		known[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i))
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(echov1.File_uait_echo_v1_echo_proto)
	add(balancerv1.File_uait_intelligent_load_balancer_v1_intelligent_load_balancer_proto)
	set.File = append(set.File, foreignFile(t))
	raw, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "descriptors.binpb")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func foreignFile(t *testing.T) *descriptorpb.FileDescriptorProto {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(foreign), file); err != nil {
		t.Fatal(err)
	}
	return file
}

// reflected asks the v1 service one question.
func reflected(t *testing.T, connection grpc.ClientConnInterface, question *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(connection).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(question); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	return answer
}

func listed(t *testing.T, connection grpc.ClientConnInterface) (names []string) {
	t.Helper()
	answer := reflected(t, connection, &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	return names
}

func described(t *testing.T, connection grpc.ClientConnInterface, symbol string) string {
	t.Helper()
	answer := reflected(t, connection, &reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol},
	})
	files := answer.GetFileDescriptorResponse().GetFileDescriptorProto()
	if len(files) == 0 {
		return answer.GetErrorResponse().GetErrorMessage()
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(files[0], file); err != nil {
		t.Fatal(err)
	}
	return file.GetName()
}

func TestReflection_withDescriptors_listsAndDescribesTheWholeMesh(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_DESCRIPTORS": writeDescriptors(t)})
	names := listed(t, b.connection)
	want := []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"uait.echo.v1.EchoService", "uait.foreign.v1.ForeignService", "uait.intelligent_load_balancer.v1.BalancerService",
	}
	if !slices.Equal(names, want) {
		t.Errorf("listed %q, want %q", names, want)
	}
	for _, name := range names {
		if file := described(t, b.connection, name); !strings.HasSuffix(file, ".proto") {
			t.Errorf("%s: %s", name, file)
		}
	}
	if file := described(t, b.connection, "uait.foreign.v1.ForeignService.Hello"); file != "uait/foreign/v1/foreign.proto" {
		t.Errorf("a method of another language's service: %s", file)
	}
	if answer := described(t, b.connection, "uait.absent.v1.AbsentService"); strings.HasSuffix(answer, ".proto") || answer == "" {
		t.Errorf("an absent service: %q", answer)
	}
}

func TestReflection_olderClients_areAnsweredToo(t *testing.T) {
	b := startBalancer(t, map[string]string{"UAIT_DESCRIPTORS": writeDescriptors(t)})
	stream, err := reflectionv1alpha.NewServerReflectionClient(b.connection).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	question := &reflectionv1alpha.ServerReflectionRequest{MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(question); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetListServicesResponse().GetService()) != 6 {
		t.Fatalf("got %v, %v", answer, err)
	}
	_ = stream.CloseSend()
}

func TestReflection_withoutDescriptors_listsTheBalancerAlone(t *testing.T) {
	b := startBalancer(t, nil)
	names := listed(t, b.connection)
	if !slices.Contains(names, balancerv1.BalancerService_ServiceDesc.ServiceName) || !slices.Contains(names, discovery.AggregatedDiscoveryService_ServiceDesc.ServiceName) ||
		slices.Contains(names, echov1.EchoService_ServiceDesc.ServiceName) {
		t.Errorf("listed %q", names)
	}
}
