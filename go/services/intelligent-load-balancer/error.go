package main

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

// Kind is what went wrong; the service's one enum of errors.
type Kind int

// The kinds of errors.
const (
	KindServiceUnknown    Kind = iota // no endpoint of Error.Service has been seen
	KindNoHealthyEndpoint             // Error.Service has endpoints, but none takes calls
	KindSequenceExpired               // the change to resume from is not kept; Error.Oldest is
	KindPageTokenInvalid              // the token was not issued for this list
	KindLeaseExpired                  // no renewal came within the ttl
	KindLeaseSuperseded               // the same instance registered again
	KindActionInvalid                 // a lease's message at the wrong place; Error.What says which
	KindHostUnspecified               // an endpoint registered an address that nobody can dial
	KindNotImplemented                // part of the contract, not of this build; Error.What
	kinds                             // how many there are
)

// Error is an error of the balancer's domain.
type Error struct {
	Kind    Kind
	Service string
	Oldest  uint64
	What    string
}

func (e *Error) Error() string { return e.message() }

func (e *Error) message() string {
	switch e.Kind {
	case KindServiceUnknown:
		return fmt.Sprintf("no endpoint of service %q is known", e.Service)
	case KindNoHealthyEndpoint:
		return fmt.Sprintf("no endpoint of service %q is healthy", e.Service)
	case KindSequenceExpired:
		return fmt.Sprintf("changes are kept from sequence %d on; begin again with resume_after 0", e.Oldest)
	case KindPageTokenInvalid:
		return "page_token was not issued for this list"
	case KindLeaseExpired:
		return "the lease ended: no renewal came within its ttl"
	case KindLeaseSuperseded:
		return "the lease ended: the same instance registered again"
	case KindActionInvalid:
		return "invalid request: action: " + e.What
	case KindHostUnspecified:
		return "invalid request: register.host: must be an address that others can dial"
	case KindNotImplemented:
		return e.What + " is not implemented in this build"
	}
	return "unknown error"
}

// Is makes errors.Is(err, &Error{Kind: k}) compare by kind.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Kind == e.Kind
}

// toStatus is the exhaustive map of the domain's errors to the wire.
func toStatus(err error) *status.Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	s := &status.Error{Message: e.message()}
	switch e.Kind {
	case KindServiceUnknown:
		s.Code, s.Reason = codes.NotFound, errorv1.Reason_REASON_RESOURCE_NOT_FOUND
		s.Metadata = map[string]string{"resource": "service", "name": e.Service}
	case KindNoHealthyEndpoint:
		s.Code, s.Reason = codes.Unavailable, errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE
		s.Metadata = map[string]string{"dependency": e.Service}
	case KindSequenceExpired:
		s.Code, s.Reason = codes.OutOfRange, errorv1.Reason_REASON_SEQUENCE_EXPIRED
		s.Metadata = map[string]string{"oldest_sequence": strconv.FormatUint(e.Oldest, 10)}
	case KindPageTokenInvalid:
		s.Code, s.Reason = codes.InvalidArgument, errorv1.Reason_REASON_PAGE_TOKEN_INVALID
	case KindLeaseExpired:
		s.Code, s.Reason = codes.FailedPrecondition, errorv1.Reason_REASON_STATE_CONFLICT
		s.Metadata = map[string]string{"resource": "lease", "state": "expired"}
	case KindLeaseSuperseded:
		s.Code, s.Reason = codes.FailedPrecondition, errorv1.Reason_REASON_STATE_CONFLICT
		s.Metadata = map[string]string{"resource": "lease", "state": "superseded"}
	case KindActionInvalid:
		s.Code, s.Reason = codes.InvalidArgument, errorv1.Reason_REASON_FIELD_INVALID
		s.Violations = violation("action", e.What, "lease.order")
	case KindHostUnspecified:
		s.Code, s.Reason = codes.InvalidArgument, errorv1.Reason_REASON_FIELD_INVALID
		s.Violations = violation("register.host", "must be an address that others can dial", "lease.host")
	case KindNotImplemented:
		s.Code, s.Reason = codes.Unimplemented, errorv1.Reason_REASON_NOT_IMPLEMENTED
		s.Metadata = map[string]string{"what": e.What}
	case kinds:
		return nil
	}
	return s
}

func violation(field, description, rule string) []*errdetails.BadRequest_FieldViolation {
	return []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description, Reason: rule}}
}
