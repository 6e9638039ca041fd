package suite

import "testing"

func TestMatch_Expectation_AcceptsOnlyWhatItDescribes(t *testing.T) {
	type object = map[string]any
	type list = []any
	cases := []struct {
		name             string
		expected, actual any
		matches          bool
	}{
		{"equal_text", "a", "a", true},
		{"other_text", "a", "b", false},
		{"text_for_number", "3", 3.0, false},
		{"number_of_yaml_and_of_json", 3, 3.0, true},
		{"other_number", 3, 4.0, false},
		{"boolean", true, true, true},
		{"boolean_that_is_missing", true, nil, false},
		{"pattern_somewhere", "~b+", "abbc", true},
		{"pattern_nowhere", "~^b", "ab", false},
		{"pattern_for_nothing", "~.", nil, false},
		{"subset_of_an_object", object{"a": "1"}, object{"a": "1", "b": "2"}, true},
		{"field_that_is_missing", object{"a": "1"}, object{"b": "2"}, false},
		{"object_for_text", object{}, "a", false},
		{"nested", object{"a": list{object{"b": "~."}}}, object{"a": list{object{"b": "x", "c": 1.0}}}, true},
		{"shorter_list", list{"a", "b"}, list{"a"}, false},
		{"longer_list", list{"a"}, list{"a", "b"}, false},
		{"order_of_a_list", list{"a", "b"}, list{"b", "a"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := match("value", c.expected, c.actual); (err == nil) != c.matches {
				t.Errorf("got %v, want a match: %v", err, c.matches)
			}
		})
	}
}

func TestMatchInOrder_Expected_MayHaveOthersBetween(t *testing.T) {
	actual := []any{"a", "b", "c"}
	for name, c := range map[string]struct {
		expected []any
		matches  bool
	}{
		"with_a_gap":  {[]any{"a", "c"}, true},
		"wrong_order": {[]any{"c", "a"}, false},
		"missing":     {[]any{"a", "d"}, false},
		"twice":       {[]any{"a", "a"}, false},
	} {
		if err := matchInOrder("list", c.expected, actual); (err == nil) != c.matches {
			t.Errorf("%s: got %v, want a match: %v", name, err, c.matches)
		}
	}
}

func TestWords_Placeholder_IsReplacedOrRefused(t *testing.T) {
	w := words{"unique": "abc"}
	got, err := w.inAll(map[string]any{"list": []any{"x-${unique}", 3}})
	if err != nil || got.(map[string]any)["list"].([]any)[0] != "x-abc" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := w.inAll([]any{"${never}"}); err == nil {
		t.Error("a word that nobody saved was taken")
	}
	if word := uniqueWord(); len(word) != 16 || word == uniqueWord() {
		t.Errorf("%q is not a fresh word of 16", word)
	}
}
