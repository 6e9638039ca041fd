// Package validate holds messages to the protovalidate rules of their fields.
package validate

import (
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

// Validator checks messages; it is safe for concurrent use.
type Validator struct {
	rules protovalidate.Validator
}

// New compiles the rules of messages ahead of their first use; the rules of any other message are compiled when it first comes.
func New(messages ...proto.Message) (*Validator, error) {
	rules, err := protovalidate.New(protovalidate.WithMessages(messages...))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of messages: %w", err)
	}
	return &Validator{rules: rules}, nil
}

// Check returns nil, or a *status.Error with reason FIELD_INVALID that names every field which breaks a rule.
func (v *Validator) Check(message proto.Message) error {
	err := v.rules.Validate(message)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return fmt.Errorf("validate %s: %w", message.ProtoReflect().Descriptor().FullName(), err)
	}
	violations := make([]*errdetails.BadRequest_FieldViolation, len(invalid.Violations))
	for i, violation := range invalid.Violations {
		violations[i] = &errdetails.BadRequest_FieldViolation{
			Field:       protovalidate.FieldPathString(violation.Proto.GetField()),
			Description: violation.Proto.GetMessage(),
			Reason:      violation.Proto.GetRuleId(),
		}
	}
	return &status.Error{
		Code:       codes.InvalidArgument,
		Reason:     errorv1.Reason_REASON_FIELD_INVALID,
		Message:    fmt.Sprintf("invalid request: %s: %s", violations[0].GetField(), violations[0].GetDescription()),
		Violations: violations,
	}
}
