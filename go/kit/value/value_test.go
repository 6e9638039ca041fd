package value

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorv1 "uait.dev/go/gen/uait/error/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/status"
)

var moment = time.Date(2026, 11, 24, 10, 30, 0, 123456789, time.UTC)

var oneOfEach = []Value{
	OfText(""), OfText("a\x00b"), OfInteger(math.MaxInt64), OfInteger(math.MinInt64), OfNumber(0.1), OfNumber(3), OfFlag(false),
	OfTime(moment), OfWords(), OfWords("a", "b"),
}

func TestValue_storedAndSent_comesBackTheSame(t *testing.T) {
	for _, v := range oneOfEach {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var stored Value
		if err := json.Unmarshal(data, &stored); err != nil || !stored.Equal(v) || stored.Kind() != v.Kind() {
			t.Errorf("%s is read as %+v, %v", data, stored, err)
		}
		sent, err := FromProto("value", v.Proto())
		if err != nil || !sent.Equal(v) || sent.Kind() != v.Kind() {
			t.Errorf("%v arrives as %+v, %v", v.Proto(), sent, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"colour":1}`), &Value{}); err == nil {
		t.Error("a value without a type is read")
	}
}

func TestFilter_eachComparison_holdsAsTheContractSays(t *testing.T) {
	properties := map[string]Value{
		"text": OfText("invoice 7"), "integer": OfInteger(7), "number": OfNumber(0.5), "flag": OfFlag(true), "time": OfTime(moment),
		"words": OfWords("red", "green"),
	}
	for name, c := range map[string]struct {
		condition Condition
		want      bool
	}{
		"equal text":                 {Condition{"text", Equal, OfText("invoice 7")}, true},
		"equal text of other case":   {Condition{"text", Equal, OfText("Invoice 7")}, false},
		"equal integer to number":    {Condition{"integer", Equal, OfNumber(7)}, true},
		"equal integer to text":      {Condition{"integer", Equal, OfText("7")}, false},
		"equal words":                {Condition{"words", Equal, OfWords("red", "green")}, true},
		"equal words in other order": {Condition{"words", Equal, OfWords("green", "red")}, false},
		"equal flag":                 {Condition{"flag", Equal, OfFlag(true)}, true},
		"not equal":                  {Condition{"flag", NotEqual, OfFlag(true)}, false},
		"not equal absent":           {Condition{"none", NotEqual, OfFlag(true)}, true},
		"equal absent":               {Condition{"none", Equal, OfFlag(true)}, false},
		"less":                       {Condition{"integer", Less, OfInteger(7)}, false},
		"less or equal":              {Condition{"integer", LessOrEqual, OfInteger(7)}, true},
		"greater number":             {Condition{"number", Greater, OfInteger(0)}, true},
		"greater or equal time":      {Condition{"time", GreaterOrEqual, OfTime(moment)}, true},
		"greater time":               {Condition{"time", Greater, OfTime(moment)}, false},
		"less text":                  {Condition{"text", Less, OfInteger(9)}, false},
		"less absent":                {Condition{"none", Less, OfInteger(9)}, false},
		"any of words":               {Condition{"words", AnyOf, OfWords("blue", "red")}, true},
		"any of text":                {Condition{"text", AnyOf, OfWords("x", "invoice 7")}, true},
		"any of none":                {Condition{"words", AnyOf, OfWords("blue")}, false},
		"all of words":               {Condition{"words", AllOf, OfWords("green", "red")}, true},
		"all of more":                {Condition{"words", AllOf, OfWords("green", "blue")}, false},
		"none of":                    {Condition{"words", NoneOf, OfWords("blue")}, true},
		"none of some":               {Condition{"words", NoneOf, OfWords("red")}, false},
		"none of absent":             {Condition{"none", NoneOf, OfWords("red")}, true},
		"none of another type":       {Condition{"integer", NoneOf, OfWords("7")}, true},
		"like":                       {Condition{"text", Like, OfText("inv*?")}, true},
		"like words":                 {Condition{"words", Like, OfText("gr??n")}, true},
		"like too short":             {Condition{"text", Like, OfText("inv?")}, false},
		"present":                    {Condition{"words", Present, Value{}}, true},
		"present absent":             {Condition{"none", Present, Value{}}, false},
		"absent":                     {Condition{"none", Absent, Value{}}, true},
		"absent present":             {Condition{"text", Absent, Value{}}, false},
	} {
		if got := (Filter{{c.condition}}).Matches(properties); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	yes, no := Condition{"text", Present, Value{}}, Condition{"text", Absent, Value{}}
	if !(Filter{}).Matches(nil) || !(Filter{{no, yes}, {yes}}).Matches(properties) || (Filter{{yes}, {no}}).Matches(properties) {
		t.Error("clauses are not joined by and, conditions by or")
	}
}

func TestFilterFromProto_valueThatItsComparisonCannotUse_isRefused(t *testing.T) {
	for name, c := range map[string]struct {
		comparison typesv1.Filter_Comparison
		value      *typesv1.Value
		reason     errorv1.Reason
	}{
		"less_text":      {typesv1.Filter_COMPARISON_LESS, OfText("x").Proto(), errorv1.Reason_REASON_EXPRESSION_INVALID},
		"any_of_nothing": {typesv1.Filter_COMPARISON_ANY_OF, OfWords().Proto(), errorv1.Reason_REASON_EXPRESSION_INVALID},
		"like_number":    {typesv1.Filter_COMPARISON_LIKE, OfNumber(1).Proto(), errorv1.Reason_REASON_EXPRESSION_INVALID},
		"equal_nothing":  {typesv1.Filter_COMPARISON_EQUAL, nil, errorv1.Reason_REASON_FIELD_INVALID},
		"equal_never": {
			typesv1.Filter_COMPARISON_EQUAL,
			&typesv1.Value{Kind: &typesv1.Value_Time{Time: &timestamppb.Timestamp{Seconds: math.MaxInt64}}},
			errorv1.Reason_REASON_FIELD_INVALID,
		},
	} {
		filter := &typesv1.Filter{All: []*typesv1.Filter_Clause{{Any: []*typesv1.Filter_Condition{
			{Property: "p", Comparison: c.comparison, Value: c.value},
		}}}}
		_, err := FilterFromProto("filter", filter)
		if refused, ok := errors.AsType[*status.Error](err); !ok || refused.Reason != c.reason {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMap_sentAndRead_keepsEveryProperty(t *testing.T) {
	sent := MapProto(map[string]Value{"a": OfInteger(1), "b": OfWords("x")})
	read, err := MapFromProto("properties", sent)
	if err != nil || !proto.Equal(read["a"].Proto(), sent["a"]) || !proto.Equal(read["b"].Proto(), sent["b"]) || len(read) != 2 {
		t.Errorf("got %v, %v", read, err)
	}
}

// FuzzGlob compares with a plain recursive definition.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 24 {
			t.Skip("the definition takes exponential time")
		}
		if got, want := glob([]rune(pattern), []rune(text)), defined([]rune(pattern), []rune(text)); got != want {
			t.Errorf("%q, %q: got %t", pattern, text, got)
		}
	})
}

func defined(pattern, text []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == '*':
		return defined(pattern[1:], text) || len(text) > 0 && defined(pattern, text[1:])
	default:
		return len(text) > 0 && (pattern[0] == '?' || pattern[0] == text[0]) && defined(pattern[1:], text[1:])
	}
}
