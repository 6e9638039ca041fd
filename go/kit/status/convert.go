package status

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorv1 "uait.dev/go/gen/uait/error/v1"
)

// Map is a service's one exhaustive map of its domain errors; nil for an error that it does not know.
type Map func(error) *Error

// lateCancel is how long before its deadline a cancelled call still counts as one whose deadline passed: the
// caller's clock runs ahead of ours by what its headers took to arrive, so that its reset comes first.
const lateCancel = 100 * time.Millisecond

// Convert is the status with which a call ends whose handler returned err under ctx. It reports as hidden whether
// the status hides err, which then belongs into the log.
func Convert(ctx context.Context, err error, domain Map) (s *status.Status, hidden bool) {
	if err == nil {
		return status.New(codes.OK, ""), false
	}
	if ended := FromContext(ctx); ended != nil {
		return ended.GRPCStatus(), false
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own.GRPCStatus(), false
	}
	if domain != nil {
		if mapped := domain(err); mapped != nil {
			return mapped.GRPCStatus(), false
		}
	}
	if foreign, ok := status.FromError(err); ok {
		if reason, passes := passedOn(foreign.Code()); passes {
			if ReasonOf(foreign) == nil {
				foreign = withDetails(status.FromProto(foreign.Proto()), info(reason, nil))
			}
			return foreign, false
		}
	}
	return Internal().GRPCStatus(), true
}

// Internal is what the wire sees of a fault of ours.
func Internal() *Error {
	return &Error{Code: codes.Internal, Reason: errorv1.Reason_REASON_INTERNAL, Message: "internal error"}
}

// FromContext is how a call ended whose ctx has ended, or nil while ctx lives.
func FromContext(ctx context.Context) *Error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if deadline, ok := ctx.Deadline(); errors.Is(err, context.DeadlineExceeded) || ok && time.Until(deadline) < lateCancel {
		return &Error{
			Code:    codes.DeadlineExceeded,
			Reason:  errorv1.Reason_REASON_DEADLINE_EXCEEDED,
			Message: "the deadline passed before the work was done",
		}
	}
	return &Error{Code: codes.Canceled, Reason: errorv1.Reason_REASON_CANCELLED, Message: "the caller went away"}
}

// passedOn says whether a call that failed because another call failed ends with that call's code,
// and which reason it gets where the other side gave none.
func passedOn(code codes.Code) (errorv1.Reason, bool) {
	switch code {
	case codes.Unavailable:
		return errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE, true
	case codes.DeadlineExceeded:
		return errorv1.Reason_REASON_DEADLINE_EXCEEDED, true
	case codes.Canceled:
		return errorv1.Reason_REASON_CANCELLED, true
	case codes.ResourceExhausted:
		return errorv1.Reason_REASON_OVERLOADED, true
	case codes.NotFound:
		return errorv1.Reason_REASON_RESOURCE_NOT_FOUND, true
	case codes.InvalidArgument:
		return errorv1.Reason_REASON_FIELD_INVALID, true
	case codes.FailedPrecondition:
		return errorv1.Reason_REASON_STATE_CONFLICT, true
	case codes.Unauthenticated:
		return errorv1.Reason_REASON_KEY_INVALID, true
	case codes.PermissionDenied:
		return errorv1.Reason_REASON_SCOPE_MISSING, true
	case codes.Unimplemented:
		return errorv1.Reason_REASON_NOT_IMPLEMENTED, true
	case codes.OK, codes.Unknown, codes.AlreadyExists, codes.Aborted, codes.OutOfRange, codes.Internal, codes.DataLoss:
		return errorv1.Reason_REASON_INTERNAL, false
	default:
		return errorv1.Reason_REASON_INTERNAL, false
	}
}

// Code is the gRPC code of the error of a call, of a context or nil.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// FromDependency names the dependency in the error of a call to it that nobody answered, so that the name reaches the caller.
func FromDependency(err error, dependency string) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.Unavailable || ReasonOf(s) != nil {
		return err
	}
	named := info(errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE, map[string]string{"dependency": dependency})
	return withDetails(s, named).Err()
}
