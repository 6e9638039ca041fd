package main

import (
	"errors"
	"fmt"
	"testing"

	errorv1 "uait.dev/go/gen/uait/error/v1"

	"google.golang.org/grpc/codes"
)

func TestToStatus_everyKind_hasCodeReasonAndMessage(t *testing.T) {
	for kind := range kinds {
		s := toStatus(fmt.Errorf("wrapped: %w", &Error{Kind: kind, Service: "echo", What: "it", Oldest: 7}))
		if s == nil || s.Code == codes.OK || s.Reason == errorv1.Reason_REASON_UNSPECIFIED || s.Message == "" || s.Message == "unknown error" {
			t.Errorf("kind %d: %+v", kind, s)
		}
	}
	if s := toStatus(errors.New("foreign")); s != nil {
		t.Errorf("a foreign error was mapped: %+v", s)
	}
}
