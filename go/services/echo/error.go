package main

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

// errorKind is why the service fails.
type errorKind int

const (
	// kindMissing: no echo of that name.
	kindMissing errorKind = iota
	// numKinds ends the enum; a test maps every kind below it.
	numKinds
)

// echoError is an error of the domain.
type echoError struct {
	kind errorKind
	// name is what the error is about.
	name string
}

func (e *echoError) Error() string {
	switch e.kind {
	case kindMissing:
		return fmt.Sprintf("no echo named %q", e.name)
	default:
		return fmt.Sprintf("error kind %d about %q", e.kind, e.name)
	}
}

// mapError is the one map from the domain's errors to the wire; an error that it does not know is a fault of ours.
func mapError(err error) *status.Error {
	known, ok := errors.AsType[*echoError](err)
	if !ok {
		return nil
	}
	switch known.kind {
	case kindMissing:
		return &status.Error{
			Code:     codes.NotFound,
			Reason:   errorv1.Reason_REASON_RESOURCE_NOT_FOUND,
			Message:  known.Error(),
			Metadata: map[string]string{"resource": "echo", "name": known.name},
		}
	default:
		return nil
	}
}
