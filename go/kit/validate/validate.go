// Package validate holds messages to the protovalidate rules of their fields.
package validate

import (
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	"uait.dev/go/kit/status"
)

// Validator checks messages; it is safe for concurrent use.
type Validator struct {
	rules protovalidate.Validator
}

// New makes a validator. The rules of a message are compiled when the first one comes, or by Prepare.
func New() (*Validator, error) {
	rules, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("make a validator: %w", err)
	}
	return &Validator{rules: rules}, nil
}

// Prepare compiles the rules of a service's requests, so that no caller waits for it.
func (v *Validator) Prepare(service protoreflect.FullName) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(service)
	if err != nil {
		return // Not linked in by its descriptor; its messages are still held to their rules.
	}
	described, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return
	}
	for i := range described.Methods().Len() {
		request, err := protoregistry.GlobalTypes.FindMessageByName(described.Methods().Get(i).Input().FullName())
		if err == nil {
			_ = v.rules.Validate(request.New().Interface()) // An empty message may break its rules; compiling them was the point.
		}
	}
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
