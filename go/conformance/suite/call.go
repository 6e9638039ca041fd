package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

// answer is all that came of a call.
type answer struct {
	responses []proto.Message
	status    *status.Status
	trailers  metadata.MD
}

func (r *runner) call(ctx context.Context, c Case) error {
	service := echov1.File_uait_echo_v1_echo_proto.Services().ByName("EchoService")
	method := service.Methods().ByName(protoreflect.Name(c.Call))
	if method == nil {
		return fmt.Errorf("EchoService has no method %q", c.Call)
	}
	requests, err := r.requests(c, method.Input())
	if err != nil {
		return err
	}
	sent, err := r.words.inMap(c.Metadata)
	if err != nil {
		return err
	}
	deadline := defaultDeadline
	if c.DeadlineMS > 0 {
		deadline = time.Duration(c.DeadlineMS) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(r.outgoing(ctx, sent), deadline)
	defer cancel()
	var options []grpc.CallOption
	if c.Compress == gzip.Name {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	came := exchange(ctx, r.target, method, requests, options)
	if err := r.check(c.Expect, came); err != nil {
		return err
	}
	return r.save(c.Save, came)
}

// requests makes the messages that a case sends.
func (r *runner) requests(c Case, kind protoreflect.MessageDescriptor) ([]proto.Message, error) {
	var requests []proto.Message
	for range max(c.Repeat, 1) {
		for _, sent := range c.Send {
			replaced, err := r.words.inAll(sent)
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(replaced)
			if err != nil {
				return nil, err
			}
			request := dynamicpb.NewMessage(kind)
			if err := protojson.Unmarshal(text, request); err != nil {
				return nil, fmt.Errorf("send: %w", err)
			}
			requests = append(requests, request)
		}
	}
	for name, size := range c.Fill {
		field := kind.Fields().ByJSONName(name)
		if field == nil || len(requests) == 0 {
			return nil, fmt.Errorf("fill: %s has no field %q", kind.Name(), name)
		}
		requests[0].ProtoReflect().Set(field, protoreflect.ValueOfBytes(make([]byte, size)))
	}
	return requests, nil
}

// exchange sends the requests of a call, of whatever kind, and takes what comes; it does both at once, as streams may need it.
func exchange(
	ctx context.Context, connection grpc.ClientConnInterface, method protoreflect.MethodDescriptor,
	requests []proto.Message, options []grpc.CallOption,
) answer {
	desc := &grpc.StreamDesc{ClientStreams: method.IsStreamingClient(), ServerStreams: method.IsStreamingServer()}
	name := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	// Leaving the call early, as after an answer that was not asked for, ends it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := connection.NewStream(ctx, desc, name, options...)
	if err != nil {
		return answer{status: status.Convert(err)}
	}
	sending := make(chan error, 1)
	go func() { sending <- send(stream, requests) }()
	var came answer
	for {
		response := dynamicpb.NewMessage(method.Output())
		if err = stream.RecvMsg(response); err != nil {
			break
		}
		came.responses = append(came.responses, response)
		if !method.IsStreamingServer() {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	cancel()
	if sendErr := <-sending; err == nil && sendErr != nil {
		err = sendErr
	}
	came.status, came.trailers = status.Convert(err), stream.Trailer()
	return came
}

// send ends early without an error when the server has ended the call; receiving tells how.
func send(stream grpc.ClientStream, requests []proto.Message) error {
	for _, request := range requests {
		if err := stream.SendMsg(request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
	return stream.CloseSend()
}

// save keeps values of the first response for later cases.
func (r *runner) save(paths map[string]string, came answer) error {
	if len(paths) == 0 {
		return nil
	}
	responses, err := decoded(came.responses[:min(1, len(came.responses))])
	if err != nil {
		return err
	}
	if len(responses) == 0 {
		return errors.New("save: no response came")
	}
	for name, path := range paths {
		value := responses[0]
		for step := range strings.SplitSeq(path, ".") {
			object, _ := value.(map[string]any)
			value = object[step]
		}
		if value == nil {
			return fmt.Errorf("save: the response has no %s", path)
		}
		r.words[name] = fmt.Sprint(value)
	}
	return nil
}

// decoded turns messages into what their proto3 JSON decodes to.
func decoded(messages []proto.Message) ([]any, error) {
	values := make([]any, len(messages))
	for i, message := range messages {
		text, err := protojson.Marshal(message)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &values[i]); err != nil {
			return nil, err
		}
	}
	return values, nil
}
