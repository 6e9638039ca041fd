package serve

import (
	"context"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"
)

type headersKey struct{}

// keepHeaders puts a call's headers into its context as they are. What the metadata package returns is a copy, and a header
// that is missing costs it a comparison with each that is there (decision 0024).
func keepHeaders(ctx context.Context, call *tap.Info) (context.Context, error) {
	return context.WithValue(ctx, headersKey{}, call.Header), nil
}

// headersOf are the headers of an incoming call, lower-case as HTTP/2 has them. They must not be changed.
func headersOf(ctx context.Context) metadata.MD {
	headers, _ := ctx.Value(headersKey{}).(metadata.MD)
	return headers
}
