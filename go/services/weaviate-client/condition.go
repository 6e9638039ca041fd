package main

import (
	"fmt"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"uait.dev/go/kit/value"
)

// filters says a filter in Weaviate's terms; nil for one without a clause.
//
// Errors: kindConflict.
func (s Spec) filters(filter value.Filter) (*pb.Filters, error) {
	clauses := make([]*pb.Filters, len(filter))
	for i, clause := range filter {
		conditions := make([]*pb.Filters, len(clause))
		for j, condition := range clause {
			field := fmt.Sprintf("filter.all[%d].any[%d]", i, j)
			var err error
			if conditions[j], err = s.condition(field, condition); err != nil {
				return nil, err
			}
		}
		clauses[i] = joined(pb.Filters_OPERATOR_OR, conditions)
	}
	return joined(pb.Filters_OPERATOR_AND, clauses), nil
}

func joined(operator pb.Filters_Operator, parts []*pb.Filters) *pb.Filters {
	switch len(parts) {
	case 0:
		return nil
	case 1:
		return parts[0]
	default:
		return &pb.Filters{Operator: operator, Filters: parts}
	}
}

// condition says one condition. What an absent property fulfils is said as the opposite of what it does not, because Weaviate's
// own NOT_EQUAL and CONTAINS_NONE treat an absent property in ways of their own.
func (s Spec) condition(field string, c value.Condition) (*pb.Filters, error) {
	place, found := s.property(c.Property)
	if !found || !s.Properties[place].Filterable {
		return nil, &vectorError{kind: kindConflict, name: field + ".property", detail: fmt.Sprintf("the collection has no filterable property %q", c.Property)}
	}
	if err := s.Properties[place].compares(field, c); err != nil {
		return nil, err
	}
	name := filterName(place)
	switch c.Comparison {
	case value.Equal:
		return equal(place, c.Value), nil
	case value.NotEqual:
		return not(equal(place, c.Value)), nil
	case value.Less:
		return scalar(pb.Filters_OPERATOR_LESS_THAN, name, c.Value), nil
	case value.LessOrEqual:
		return scalar(pb.Filters_OPERATOR_LESS_THAN_EQUAL, name, c.Value), nil
	case value.Greater:
		return scalar(pb.Filters_OPERATOR_GREATER_THAN, name, c.Value), nil
	case value.GreaterOrEqual:
		return scalar(pb.Filters_OPERATOR_GREATER_THAN_EQUAL, name, c.Value), nil
	case value.AnyOf:
		return texts(pb.Filters_OPERATOR_CONTAINS_ANY, name, c.Value.Words()), nil
	case value.AllOf:
		return texts(pb.Filters_OPERATOR_CONTAINS_ALL, name, c.Value.Words()), nil
	case value.NoneOf:
		return not(texts(pb.Filters_OPERATOR_CONTAINS_ANY, name, c.Value.Words())), nil
	case value.Like:
		return scalar(pb.Filters_OPERATOR_LIKE, name, c.Value), nil
	case value.Present:
		return texts(pb.Filters_OPERATOR_CONTAINS_ANY, presentProperty, []string{name}), nil
	case value.Absent:
		return not(texts(pb.Filters_OPERATOR_CONTAINS_ANY, presentProperty, []string{name})), nil
	default:
		return nil, &vectorError{kind: kindConflict, name: field + ".comparison", detail: "is unknown"}
	}
}

// compares refuses a comparison with a value that can never fit the property's type.
func (p Property) compares(field string, c value.Condition) error {
	fits := true
	switch c.Comparison {
	case value.AnyOf, value.AllOf, value.NoneOf, value.Like:
		fits = p.Kind == value.Text || p.Kind == value.Words
	case value.Present, value.Absent:
	case value.Less, value.LessOrEqual, value.Greater, value.GreaterOrEqual, value.Equal, value.NotEqual:
		fits = c.Value.Kind() == p.Kind || p.Kind == value.Number && c.Value.Kind() == value.Integer
	}
	if !fits {
		return &vectorError{kind: kindConflict, name: field + ".value", detail: "does not fit the type of the property " + p.Name}
	}
	return nil
}

func equal(place int, v value.Value) *pb.Filters {
	if v.Kind() == value.Words {
		return property(pb.Filters_OPERATOR_EQUAL, listName(place), &pb.Filters{TestValue: &pb.Filters_ValueText{ValueText: listKey(v.Words())}})
	}
	return scalar(pb.Filters_OPERATOR_EQUAL, filterName(place), v)
}

func scalar(operator pb.Filters_Operator, name string, v value.Value) *pb.Filters {
	tested := &pb.Filters{}
	switch v.Kind() {
	case value.Integer:
		tested.TestValue = &pb.Filters_ValueInt{ValueInt: v.Integer()}
	case value.Number:
		tested.TestValue = &pb.Filters_ValueNumber{ValueNumber: v.Number()}
	case value.Flag:
		tested.TestValue = &pb.Filters_ValueBoolean{ValueBoolean: v.Flag()}
	case value.Time:
		tested.TestValue = &pb.Filters_ValueText{ValueText: v.Time().Format(time.RFC3339Nano)}
	default:
		tested.TestValue = &pb.Filters_ValueText{ValueText: exact(v.Text())}
	}
	return property(operator, name, tested)
}

func texts(operator pb.Filters_Operator, name string, words []string) *pb.Filters {
	values := make([]string, len(words))
	for i, word := range words {
		values[i] = exact(word)
	}
	return property(operator, name, &pb.Filters{TestValue: &pb.Filters_ValueTextArray{ValueTextArray: &pb.TextArray{Values: values}}})
}

// byID holds for the objects of these UUIDs.
func byID(uuids []string) *pb.Filters {
	return property(pb.Filters_OPERATOR_CONTAINS_ANY, "_id",
		&pb.Filters{TestValue: &pb.Filters_ValueTextArray{ValueTextArray: &pb.TextArray{Values: uuids}}})
}

func property(operator pb.Filters_Operator, name string, tested *pb.Filters) *pb.Filters {
	tested.Operator = operator
	tested.Target = &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: name}}
	return tested
}

func not(condition *pb.Filters) *pb.Filters {
	return &pb.Filters{Operator: pb.Filters_OPERATOR_NOT, Filters: []*pb.Filters{condition}}
}
