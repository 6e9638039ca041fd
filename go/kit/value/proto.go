package value

import (
	"fmt"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/status"
)

// FromProto reads a value that keeps its rules; field is its path in the request.
//
// Errors: INVALID_ARGUMENT, reason FIELD_INVALID, for a moment outside the years 1 to 9999.
func FromProto(field string, v *typesv1.Value) (Value, error) {
	switch kind := v.GetKind().(type) {
	case *typesv1.Value_Text:
		return OfText(kind.Text), nil
	case *typesv1.Value_Integer:
		return OfInteger(kind.Integer), nil
	case *typesv1.Value_Number:
		return OfNumber(kind.Number), nil
	case *typesv1.Value_Flag:
		return OfFlag(kind.Flag), nil
	case *typesv1.Value_Time:
		if err := kind.Time.CheckValid(); err != nil {
			return Value{}, invalid(field+".time", "must be a moment of the years 1 to 9999", "timestamp.valid")
		}
		return OfTime(kind.Time.AsTime()), nil
	case *typesv1.Value_Words:
		return OfWords(kind.Words.GetWords()...), nil
	default:
		return Value{}, invalid(field, "must have a value", "required")
	}
}

// MapFromProto reads properties; field is their path in the request.
//
// Errors: as FromProto.
func MapFromProto(field string, properties map[string]*typesv1.Value) (map[string]Value, error) {
	values := make(map[string]Value, len(properties))
	for name, property := range properties {
		read, err := FromProto(field+"["+strconv.Quote(name)+"]", property)
		if err != nil {
			return nil, err
		}
		values[name] = read
	}
	return values, nil
}

// Proto is the value on the wire.
func (v Value) Proto() *typesv1.Value {
	switch v.kind {
	case Text:
		return &typesv1.Value{Kind: &typesv1.Value_Text{Text: v.text}}
	case Integer:
		return &typesv1.Value{Kind: &typesv1.Value_Integer{Integer: v.integer}}
	case Number:
		return &typesv1.Value{Kind: &typesv1.Value_Number{Number: v.number}}
	case Flag:
		return &typesv1.Value{Kind: &typesv1.Value_Flag{Flag: v.flag}}
	case Time:
		return &typesv1.Value{Kind: &typesv1.Value_Time{Time: timestamppb.New(v.time)}}
	case Words:
		return &typesv1.Value{Kind: &typesv1.Value_Words{Words: &typesv1.WordList{Words: v.words}}}
	default:
		return nil
	}
}

// MapProto is properties on the wire.
func MapProto(properties map[string]Value) map[string]*typesv1.Value {
	if len(properties) == 0 {
		return nil
	}
	written := make(map[string]*typesv1.Value, len(properties))
	for name, property := range properties {
		written[name] = property.Proto()
	}
	return written
}

// FilterFromProto reads a filter that keeps its rules; field is its path in the request.
//
// Errors: INVALID_ARGUMENT, reason EXPRESSION_INVALID, for a value that its comparison cannot use.
func FilterFromProto(field string, filter *typesv1.Filter) (Filter, error) {
	read := make(Filter, 0, len(filter.GetAll()))
	position := 0
	for i, clause := range filter.GetAll() {
		conditions := make([]Condition, 0, len(clause.GetAny()))
		for j, condition := range clause.GetAny() {
			path := fmt.Sprintf("%s.all[%d].any[%d]", field, i, j)
			one, err := conditionFromProto(path, position, condition)
			if err != nil {
				return nil, err
			}
			conditions = append(conditions, one)
			position++
		}
		read = append(read, conditions)
	}
	return read, nil
}

func conditionFromProto(field string, position int, condition *typesv1.Filter_Condition) (Condition, error) {
	read := Condition{Property: condition.GetProperty(), Comparison: Comparison(condition.GetComparison())}
	if read.Comparison == Present || read.Comparison == Absent {
		return read, nil
	}
	var err error
	if read.Value, err = FromProto(field+".value", condition.GetValue()); err != nil {
		return Condition{}, err
	}
	if wanted := read.wants(); wanted != "" {
		return Condition{}, &status.Error{
			Code:     codes.InvalidArgument,
			Reason:   errorv1.Reason_REASON_EXPRESSION_INVALID,
			Message:  fmt.Sprintf("%s.value: %s compares with %s", field, condition.GetComparison(), wanted),
			Metadata: map[string]string{"field": field, "kind": "filter", "position": strconv.Itoa(position)},
		}
	}
	return read, nil
}

// wants says what the comparison compares with where the value is something else, or "".
func (c Condition) wants() string {
	kind := c.Value.kind
	switch c.Comparison {
	case Less, LessOrEqual, Greater, GreaterOrEqual:
		if kind != Integer && kind != Number && kind != Time {
			return "an integer, a number or a time"
		}
	case AnyOf, AllOf, NoneOf:
		if kind != Words || len(c.Value.words) == 0 {
			return "at least one word"
		}
	case Like:
		if kind != Text {
			return "a text"
		}
	case Equal, NotEqual, Present, Absent:
	}
	return ""
}

func invalid(field, description, rule string) error {
	return &status.Error{
		Code:       codes.InvalidArgument,
		Reason:     errorv1.Reason_REASON_FIELD_INVALID,
		Message:    fmt.Sprintf("invalid request: %s: %s", field, description),
		Violations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description, Reason: rule}},
	}
}
