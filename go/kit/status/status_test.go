package status

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorv1 "uait.dev/go/gen/uait/error/v1"
)

var errDomain = errors.New("domain")

func domain(err error) *Error {
	if errors.Is(err, errDomain) {
		return &Error{Code: codes.Aborted, Reason: errorv1.Reason_REASON_ETAG_MISMATCH, Message: "changed",
			Metadata: map[string]string{"etag": "7"}}
	}
	return nil
}

func TestConvert_Error_HasCodeReasonAndNoCause(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancelExpired := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelExpired()
	late, cancelLate := context.WithTimeout(context.Background(), lateCancel/2)
	cancelLate()
	early, cancelEarly := context.WithTimeout(context.Background(), time.Hour)
	cancelEarly()
	alive := context.Background()
	cases := []struct {
		name   string
		ctx    context.Context
		err    error
		code   codes.Code
		reason string
		hidden bool
	}{
		{"unknown_error_is_hidden", alive, errors.New("secret"), codes.Internal, "INTERNAL", true},
		{"domain_error_is_mapped", alive, fmt.Errorf("deep: %w", errDomain), codes.Aborted, "ETAG_MISMATCH", false},
		{"own_error_is_shown", alive, fmt.Errorf("deep: %w", DependencyUnavailable("x")), codes.Unavailable, "DEPENDENCY_UNAVAILABLE", false},
		{"deadline_wins_over_the_error", expired, errDomain, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", false},
		{"cancellation_wins_over_the_error", cancelled, errDomain, codes.Canceled, "CANCELLED", false},
		{"cancellation_long_before_the_deadline_is_one", early, context.Canceled, codes.Canceled, "CANCELLED", false},
		{"cancellation_at_the_deadline_is_the_deadline", late, context.Canceled, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", false},
		{"timeout_within_the_service_is_hidden", alive, context.DeadlineExceeded, codes.Internal, "INTERNAL", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, hidden := Convert(c.ctx, c.err, domain)
			if got.Code() != c.code || hidden != c.hidden || ReasonOf(got).GetReason() != c.reason {
				t.Errorf("got %v %v hidden %v; want %v %s hidden %v", got.Code(), ReasonOf(got), hidden, c.code, c.reason, c.hidden)
			}
			if hidden && got.Message() != "internal error" {
				t.Errorf("message %q tells the cause", got.Message())
			}
		})
	}
}

func TestConvert_EveryCodeOfAnotherService_IsPassedOnOrInternal(t *testing.T) {
	passed := map[codes.Code]string{
		codes.Unavailable: "DEPENDENCY_UNAVAILABLE", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Canceled: "CANCELLED",
		codes.ResourceExhausted: "OVERLOADED", codes.NotFound: "RESOURCE_NOT_FOUND", codes.InvalidArgument: "FIELD_INVALID",
		codes.FailedPrecondition: "STATE_CONFLICT", codes.Unauthenticated: "KEY_INVALID",
		codes.PermissionDenied: "SCOPE_MISSING", codes.Unimplemented: "NOT_IMPLEMENTED",
	}
	for code := codes.Canceled; code <= codes.Unauthenticated+1; code++ {
		t.Run(code.String(), func(t *testing.T) {
			got, hidden := Convert(context.Background(), fmt.Errorf("call: %w", status.Error(code, "theirs")), nil)
			reason, passes := passed[code]
			if !passes {
				if got.Code() != codes.Internal || got.Message() != "internal error" || !hidden {
					t.Errorf("got %v %q hidden %v, want it hidden", got.Code(), got.Message(), hidden)
				}
				return
			}
			if got.Code() != code || ReasonOf(got).GetReason() != reason || hidden {
				t.Errorf("got %v %v, want %v %s", got.Code(), ReasonOf(got), code, reason)
			}
		})
	}
}

func TestConvert_DetailsOfAnotherService_ArePassedOn(t *testing.T) {
	theirs := (&Error{
		Code: codes.ResourceExhausted, Reason: errorv1.Reason_REASON_OVERLOADED, Message: "busy",
		Metadata: map[string]string{"limit": "3"}, RetryAfter: 100 * time.Millisecond,
	}).GRPCStatus()
	got, _ := Convert(context.Background(), theirs.Err(), nil)
	if got.Message() != "busy" || ReasonOf(got).GetMetadata()["limit"] != "3" || len(got.Details()) != 2 {
		t.Errorf("got %v", got.Proto())
	}
	retry, ok := got.Details()[1].(*errdetails.RetryInfo)
	if !ok || retry.GetRetryDelay().AsDuration() != 100*time.Millisecond {
		t.Errorf("got %v, want a RetryInfo of 100 ms", got.Details()[1])
	}
}

func TestFromDependency_NobodyAnswered_NamesTheDependency(t *testing.T) {
	got := status.Convert(FromDependency(status.Error(codes.Unavailable, "connection refused"), "memory"))
	if got.Code() != codes.Unavailable || ReasonOf(got).GetMetadata()["dependency"] != "memory" {
		t.Errorf("got %v", got.Proto())
	}
	theirs := DependencyUnavailable("nats").GRPCStatus().Err()
	if got := status.Convert(FromDependency(theirs, "memory")); ReasonOf(got).GetMetadata()["dependency"] != "nats" {
		t.Errorf("the dependency's own reason was lost: %v", got.Proto())
	}
	if FromDependency(nil, "memory") != nil {
		t.Error("success became an error")
	}
}

func TestReasonName_EveryReason_LosesItsPrefix(t *testing.T) {
	for number, name := range errorv1.Reason_name {
		if got := "REASON_" + ReasonName(errorv1.Reason(number)); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
}

func TestCodeName_EveryCode_IsSpeltAsInTheSpecification(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.OK: "OK", codes.Canceled: "CANCELLED", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.DataLoss: "DATA_LOSS",
	} {
		if got := CodeName(code); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
