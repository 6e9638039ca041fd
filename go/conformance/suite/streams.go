package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	echov1 "uait.dev/go/gen/uait/echo/v1"
)

const streamsDeadline = 60 * time.Second

type conversation = grpc.BidiStreamingClient[echov1.ConverseRequest, echov1.ConverseResponse]

// probeStreams holds count streams open at once: no second message is sent before every stream has its first answer.
func (r *runner) probeStreams(ctx context.Context, c Case) error {
	ctx, cancel := context.WithTimeout(r.outgoing(ctx, c.Metadata), streamsDeadline)
	defer cancel()
	streams := make([]conversation, c.Count)
	err := forEach(c.Count, func(i int) error {
		stream, err := r.client().Converse(ctx)
		if err != nil {
			return err
		}
		streams[i] = stream
		return say(stream, i, 0)
	})
	if err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	err = forEach(c.Count, func(i int) error {
		if err := say(streams[i], i, 1); err != nil {
			return err
		}
		if err := streams[i].CloseSend(); err != nil {
			return err
		}
		if _, err := streams[i].Recv(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("stream %d: expected OK, came %w", i, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("second message: %w", err)
	}
	return nil
}

// say sends one message of a stream and takes its answer.
func say(stream conversation, number int, index int32) error {
	message := fmt.Sprintf("stream %d message %d", number, index)
	if err := stream.Send(&echov1.ConverseRequest{Message: message}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	response, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("stream %d: %w", number, err)
	}
	if response.GetMessage() != message || response.GetIndex() != index {
		return fmt.Errorf("stream %d: expected %q at %d, came %q at %d",
			number, message, index, response.GetMessage(), response.GetIndex())
	}
	return nil
}

// forEach runs do for 0 to count-1 at once and returns the first error by number, after all have ended.
func forEach(count int, do func(int) error) error {
	failures := make([]error, count)
	var running sync.WaitGroup
	for i := range count {
		running.Go(func() { failures[i] = do(i) })
	}
	running.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}
