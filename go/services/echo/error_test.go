package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	errorv1 "uait.dev/go/gen/uait/error/v1"
)

func TestMapError_EveryKind_HasAReasonAndATextOfItsOwn(t *testing.T) {
	for kind := errorKind(0); kind < numKinds; kind++ {
		failed := &echoError{kind: kind, name: "atlantis"}
		mapped := mapError(fmt.Errorf("deep: %w", failed))
		if mapped == nil || mapped.Reason == errorv1.Reason_REASON_UNSPECIFIED {
			t.Fatalf("kind %d is mapped to %v", kind, mapped)
		}
		if strings.Contains(failed.Error(), "error kind") || mapped.Message != failed.Error() {
			t.Errorf("kind %d reads %q and %q", kind, failed, mapped.Message)
		}
	}
}

func TestMapError_UnknownError_IsNotMapped(t *testing.T) {
	for _, err := range []error{errors.New("x"), &echoError{kind: numKinds}} {
		if mapped := mapError(err); mapped != nil {
			t.Errorf("%v is mapped to %v", err, mapped)
		}
	}
}
