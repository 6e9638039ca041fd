package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/config"
)

func TestMapError_everyKind_hasAReasonAndATextOfItsOwn(t *testing.T) {
	for kind := errorKind(0); kind < numKinds; kind++ {
		failed := &vectorError{kind: kind, name: "n", detail: "d", cause: errors.New("secret")}
		mapped := mapError(fmt.Errorf("deep: %w", failed))
		if mapped == nil || mapped.Reason == errorv1.Reason_REASON_UNSPECIFIED {
			t.Fatalf("kind %d is mapped to %v", kind, mapped)
		}
		if strings.Contains(failed.Error(), "error kind") || strings.Contains(mapped.Message, "secret") {
			t.Errorf("kind %d reads %q and %q", kind, failed, mapped.Message)
		}
	}
	for _, err := range []error{errors.New("x"), &upstreamError{}, &vectorError{kind: numKinds}} {
		if mapped := mapError(err); mapped != nil {
			t.Errorf("%v is mapped to %v", err, mapped)
		}
	}
}

func TestConfig_valueOutsideItsRange_isRefused(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"UAIT_WEAVIATE_URL", "127.0.0.1:8081", "UAIT_WEAVIATE_URL=127.0.0.1:8081: must be http://host:port"},
		{"UAIT_WEAVIATE_URL", "http://127.0.0.1", "UAIT_WEAVIATE_URL=http://127.0.0.1: must be http://host:port"},
		{"UAIT_WEAVIATE_GRPC", "127.0.0.1", "UAIT_WEAVIATE_GRPC=127.0.0.1: must be host:port"},
		{"UAIT_WEAVIATE_GRPC", "127.0.0.1:0", "UAIT_WEAVIATE_GRPC=127.0.0.1:0: must be host:port"},
	} {
		_, err := readConfig(config.From(func(name string) (string, bool) { return c.value, name == c.variable }, 1))
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
