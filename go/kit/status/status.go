// Package status turns errors into gRPC statuses that carry a machine-readable reason and hide their cause.
package status

import (
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
)

// Domain is the domain of every ErrorInfo of the mesh.
const Domain = "uait.dev"

// Error is an error that may be shown on the wire. A service's map makes one of each of its domain errors.
type Error struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason says why, for machines; its comment in error.proto names the code and the metadata keys.
	Reason errorv1.Reason
	// Message says what was wrong, for people.
	Message string
	// Metadata are the keys that the reason's comment asks for.
	Metadata map[string]string
	// Violations are the fields that break their rules; for FIELD_INVALID.
	Violations []*errdetails.BadRequest_FieldViolation
	// RetryAfter tells when to try again; 0 says nothing.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", ReasonName(e.Reason), e.Message) }

// GRPCStatus is the status with its details, as grpc-go asks for it.
func (e *Error) GRPCStatus() *status.Status {
	details := []protoadapt.MessageV1{info(e.Reason, e.Metadata)}
	if len(e.Violations) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: e.Violations})
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	return withDetails(status.New(e.Code, e.Message), details...)
}

// ReasonName is the reason as ErrorInfo carries it: without the prefix REASON_.
func ReasonName(reason errorv1.Reason) string { return reason.String()[len("REASON_"):] }

// ReasonOf is the ErrorInfo of a failed call, or nil when it has none of ours.
func ReasonOf(s *status.Status) *errdetails.ErrorInfo {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}

// DependencyUnavailable says that a dependency cannot be reached; trying again may help.
func DependencyUnavailable(dependency string) *Error {
	return &Error{
		Code:     codes.Unavailable,
		Reason:   errorv1.Reason_REASON_DEPENDENCY_UNAVAILABLE,
		Message:  dependency + " cannot be reached",
		Metadata: map[string]string{"dependency": dependency},
	}
}

func info(reason errorv1.Reason, metadata map[string]string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: ReasonName(reason), Domain: Domain, Metadata: metadata}
}

// withDetails keeps the status without details if one of them cannot be marshalled, as text that is not UTF-8 cannot.
func withDetails(s *status.Status, details ...protoadapt.MessageV1) *status.Status {
	detailed, err := s.WithDetails(details...)
	if err != nil {
		return s
	}
	return detailed
}

// CodeName is the code as the gRPC specification spells it, such as "DEADLINE_EXCEEDED".
func CodeName(c codes.Code) string { return code.Code(c).String() }
