package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const errorDomain = "uait.dev"

// check says how an answer differs from what a case expects.
func (r *runner) check(expected Expect, came answer) error {
	wanted := expected.Code
	if wanted == "" {
		wanted = code.Code_OK.String()
	}
	if got := code.Code(came.status.Code()).String(); got != wanted {
		return fmt.Errorf("code: expected %s, came %s (%s)", wanted, got, came.status.Message())
	}
	return errors.Join(
		r.checkStatus(expected, came.status),
		r.checkResponses(expected, came.responses),
		r.checkTrailers(expected.Trailers, came.trailers),
		checkHides(expected.Hides, came),
	)
}

func (r *runner) checkResponses(expected Expect, came []proto.Message) error {
	if expected.Count != nil && len(came) != *expected.Count {
		return fmt.Errorf("count: expected %d responses, came %d", *expected.Count, len(came))
	}
	if expected.Count == nil && expected.Responses != nil && len(came) != len(expected.Responses) {
		return fmt.Errorf("count: expected %d responses, came %d", len(expected.Responses), len(came))
	}
	if len(came) < len(expected.Responses) {
		return fmt.Errorf("responses: expected %d at least, came %d", len(expected.Responses), len(came))
	}
	wanted, err := r.words.inAll(expected.Responses)
	if err != nil {
		return err
	}
	if expected.Bytes == nil { // A payload of megabytes is measured, not decoded.
		responses, err := decoded(came[:len(expected.Responses)])
		if err != nil {
			return err
		}
		return match("responses", wanted, responses)
	}
	return checkBytes(expected.Bytes, wanted, came)
}

// checkBytes measures fields of the first response and looks at the rest of it without them.
func checkBytes(sizes map[string]int, wanted any, came []proto.Message) error {
	if len(came) == 0 {
		return errors.New("bytes: no response came")
	}
	first := proto.Clone(came[0]).ProtoReflect()
	for name, size := range sizes {
		field := first.Descriptor().Fields().ByJSONName(name)
		if field == nil || field.Kind() != protoreflect.BytesKind {
			return fmt.Errorf("bytes: %s has no such field %q", first.Descriptor().Name(), name)
		}
		if got := len(first.Get(field).Bytes()); got != size {
			return fmt.Errorf("bytes: expected %d in %s, came %d", size, name, got)
		}
		first.Clear(field)
	}
	rest := append([]proto.Message{first.Interface()}, came[1:]...)
	expectedList, _ := wanted.([]any)
	responses, err := decoded(rest[:len(expectedList)])
	if err != nil {
		return err
	}
	return match("responses", wanted, responses)
}

func (r *runner) checkStatus(expected Expect, came *status.Status) error {
	if expected.Message != nil {
		message, err := r.words.in(*expected.Message)
		if err != nil {
			return err
		}
		if err := matchText("message", message, came.Message()); err != nil {
			return err
		}
	}
	if expected.Reason != "" || len(expected.Metadata) > 0 {
		info := detail[*errdetails.ErrorInfo](came)
		if info == nil {
			return fmt.Errorf("reason: expected %s, came no ErrorInfo", expected.Reason)
		}
		if info.GetReason() != expected.Reason || info.GetDomain() != errorDomain {
			return fmt.Errorf("reason: expected %s of %s, came %s of %s", expected.Reason, errorDomain, info.GetReason(), info.GetDomain())
		}
		for name, value := range expected.Metadata {
			if err := matchText("metadata."+name, value, info.GetMetadata()[name]); err != nil {
				return err
			}
		}
	}
	if len(expected.Violations) > 0 {
		return checkViolations(expected.Violations, detail[*errdetails.BadRequest](came))
	}
	return nil
}

func checkViolations(expected []any, came *errdetails.BadRequest) error {
	violations := make([]any, len(came.GetFieldViolations()))
	for i, violation := range came.GetFieldViolations() {
		violations[i] = map[string]any{
			"field": violation.GetField(), "reason": violation.GetReason(), "description": violation.GetDescription(),
		}
	}
	return matchInOrder("violations", expected, violations)
}

func (r *runner) checkTrailers(expected map[string]string, came metadata.MD) error {
	for name, value := range expected {
		value, err := r.words.in(value)
		if err != nil {
			return err
		}
		values := came.Get(name)
		if len(values) == 0 {
			return fmt.Errorf("trailers.%s: expected %q, came none", name, value)
		}
		if err := matchText("trailers."+name, value, strings.Join(values, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// checkHides looks for a text in all of the status and the trailers; the details are looked at as the bytes that came.
func checkHides(hidden string, came answer) error {
	if hidden == "" {
		return nil
	}
	wire, err := proto.Marshal(came.status.Proto())
	if err != nil {
		return err
	}
	trailers, err := json.Marshal(came.trailers)
	if err != nil {
		return err
	}
	if strings.Contains(string(wire), hidden) || strings.Contains(string(trailers), hidden) {
		return fmt.Errorf("hides: the status tells %q", hidden)
	}
	return nil
}

// detail is the first detail of that type, or its nil.
func detail[D proto.Message](s *status.Status) (none D) {
	for _, candidate := range s.Details() {
		if found, ok := candidate.(D); ok {
			return found
		}
	}
	return none
}
