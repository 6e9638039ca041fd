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
	// kindMissing: the tenant has no memory of that id.
	kindMissing errorKind = iota
	// kindConflict: name is a field whose value contradicts what is there.
	kindConflict
	// kindEtag: the memory changed since it was read; name is its etag now.
	kindEtag
	// kindReused: the request_id came before with another request.
	kindReused
	// kindExpired: the change to resume after is kept no more; name is the oldest sequence that is.
	kindExpired
	// kindNotBuilt: name is part of the contract and not of this build.
	kindNotBuilt
	// numKinds ends the enum; a test maps every kind below it.
	numKinds
)

// memoryError is an error of the domain.
type memoryError struct {
	kind errorKind
	// name is what the error is about.
	name string
	// detail says more.
	detail string
}

func (e *memoryError) Error() string {
	switch e.kind {
	case kindMissing:
		return fmt.Sprintf("no memory %q", e.name)
	case kindConflict:
		return fmt.Sprintf("invalid request: %s: %s", e.name, e.detail)
	case kindEtag:
		return fmt.Sprintf("the memory changed since it was read: its etag is %q now", e.name)
	case kindReused:
		return fmt.Sprintf("the request_id %q was used before with a different request", e.name)
	case kindExpired:
		return fmt.Sprintf("changes before %s are kept no more", e.name)
	case kindNotBuilt:
		return fmt.Sprintf("%s is not part of this build: %s", e.name, e.detail)
	case numKinds:
	}
	return fmt.Sprintf("error kind %d about %q", e.kind, e.name)
}

// mapError is the one map from the domain's errors to the wire; an error that it does not know is a fault of ours.
func mapError(err error) *status.Error {
	known, ok := errors.AsType[*memoryError](err)
	if !ok {
		return nil
	}
	mapped := &status.Error{Message: known.Error()}
	switch known.kind {
	case kindMissing:
		mapped.Code, mapped.Reason = codes.NotFound, errorv1.Reason_REASON_RESOURCE_NOT_FOUND
		mapped.Metadata = map[string]string{"resource": "memory", "name": known.name}
	case kindConflict:
		mapped.Code, mapped.Reason = codes.InvalidArgument, errorv1.Reason_REASON_VALUE_CONFLICT
		mapped.Metadata = map[string]string{"field": known.name}
	case kindEtag:
		mapped.Code, mapped.Reason = codes.Aborted, errorv1.Reason_REASON_ETAG_MISMATCH
		mapped.Metadata = map[string]string{"etag": known.name}
	case kindReused:
		mapped.Code, mapped.Reason = codes.InvalidArgument, errorv1.Reason_REASON_REQUEST_ID_REUSED
		mapped.Metadata = map[string]string{"request_id": known.name}
	case kindExpired:
		mapped.Code, mapped.Reason = codes.OutOfRange, errorv1.Reason_REASON_SEQUENCE_EXPIRED
		mapped.Metadata = map[string]string{"oldest_sequence": known.name}
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
