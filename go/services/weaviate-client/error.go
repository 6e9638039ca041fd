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
	// kindMissing: the tenant has no collection of that name.
	kindMissing errorKind = iota
	// kindExists: the tenant has a collection of that name.
	kindExists
	// kindConflict: name is a field whose value contradicts another or the collection.
	kindConflict
	// kindInvalid: name is a field whose value breaks a rule that proto cannot say.
	kindInvalid
	// kindInactive: the tenant's shard of the collection is not in memory; detail is where it is.
	kindInactive
	// kindAway: Weaviate cannot be reached, or is not ready.
	kindAway
	// kindNotBuilt: name is part of the contract and not of this build.
	kindNotBuilt
	// numKinds ends the enum; a test maps every kind below it.
	numKinds
)

// vectorError is an error of the domain.
type vectorError struct {
	kind errorKind
	// name is what the error is about.
	name string
	// detail says more.
	detail string
	// cause is for the log alone.
	cause error
}

func (e *vectorError) Unwrap() error { return e.cause }

func (e *vectorError) Error() string {
	switch e.kind {
	case kindMissing:
		return fmt.Sprintf("no collection named %q", e.name)
	case kindExists:
		return fmt.Sprintf("there is a collection named %q", e.name)
	case kindConflict, kindInvalid:
		return fmt.Sprintf("invalid request: %s: %s", e.name, e.detail)
	case kindInactive:
		return fmt.Sprintf("the shard of the collection %q is %s: make it ACTIVE first", e.name, e.detail)
	case kindAway:
		return "weaviate cannot be reached"
	case kindNotBuilt:
		return fmt.Sprintf("%s is not part of this build: %s", e.name, e.detail)
	case numKinds:
	}
	return fmt.Sprintf("error kind %d about %q", e.kind, e.name)
}

// mapError is the one map from the domain's errors to the wire; an error that it does not know is a fault of ours.
func mapError(err error) *status.Error {
	known, ok := errors.AsType[*vectorError](err)
	if !ok {
		return nil
	}
	mapped := &status.Error{Message: known.Error()}
	switch known.kind {
	case kindMissing:
		mapped.Code, mapped.Reason = codes.NotFound, errorv1.Reason_REASON_RESOURCE_NOT_FOUND
		mapped.Metadata = map[string]string{"resource": "collection", "name": known.name}
	case kindExists:
		mapped.Code, mapped.Reason = codes.AlreadyExists, errorv1.Reason_REASON_RESOURCE_EXISTS
		mapped.Metadata = map[string]string{"resource": "collection", "name": known.name}
	case kindConflict:
		mapped.Code, mapped.Reason = codes.InvalidArgument, errorv1.Reason_REASON_VALUE_CONFLICT
		mapped.Metadata = map[string]string{"field": known.name}
	case kindInvalid:
		mapped.Code, mapped.Reason = codes.InvalidArgument, errorv1.Reason_REASON_FIELD_INVALID
		mapped.Metadata = map[string]string{"field": known.name}
	case kindInactive:
		mapped.Code, mapped.Reason = codes.FailedPrecondition, errorv1.Reason_REASON_STATE_CONFLICT
		mapped.Metadata = map[string]string{"resource": "shard", "state": known.detail}
	case kindAway:
		mapped.Code, mapped.Reason = codes.Unavailable, errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE
		mapped.Metadata = map[string]string{"dependency": "weaviate"}
	case kindNotBuilt:
		mapped.Code, mapped.Reason = codes.Unimplemented, errorv1.Reason_REASON_NOT_IMPLEMENTED
		mapped.Metadata = map[string]string{"what": known.name}
	case numKinds:
		return nil
	default:
		return nil
	}
	return mapped
}
