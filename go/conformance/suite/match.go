package suite

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// match says how actual, decoded from JSON, differs from what a case expects of it: objects need only have the expected fields,
// lists the expected length, and a string that begins with ~ is a regular expression. path leads to the value.
func match(path string, expected, actual any) error {
	switch expected := expected.(type) {
	case map[string]any:
		object, ok := actual.(map[string]any)
		if !ok {
			return differs(path, expected, actual)
		}
		for name, value := range expected {
			if err := match(path+"."+name, value, object[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := actual.([]any)
		if !ok || len(list) != len(expected) {
			return differs(path, expected, actual)
		}
		for i, value := range expected {
			if err := match(fmt.Sprintf("%s[%d]", path, i), value, list[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		text, ok := actual.(string)
		if !ok {
			return differs(path, expected, actual)
		}
		return matchText(path, expected, text)
	default:
		if fmt.Sprint(expected) != fmt.Sprint(actual) { // 3 and 3.0, as YAML and JSON decode it, print alike.
			return differs(path, expected, actual)
		}
		return nil
	}
}

func matchText(path, expected, actual string) error {
	pattern, isPattern := strings.CutPrefix(expected, "~")
	if !isPattern {
		if expected != actual {
			return differs(path, expected, actual)
		}
		return nil
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !expression.MatchString(actual) {
		return differs(path, expected, actual)
	}
	return nil
}

// matchInOrder says whether the expected values occur among the actual ones, in their order.
func matchInOrder(path string, expected, actual []any) error {
	rest := actual
	for _, wanted := range expected {
		found := false
		for len(rest) > 0 && !found {
			found = match(path, wanted, rest[0]) == nil
			rest = rest[1:]
		}
		if !found {
			return differs(path, wanted, actual)
		}
	}
	return nil
}

// longestShown keeps a message of megabytes out of a result.
const longestShown = 500

func differs(path string, expected, actual any) error {
	return fmt.Errorf("%s: expected %s, came %s", path, shown(expected), shown(actual))
}

func shown(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	if len(text) > longestShown {
		return string(text[:longestShown]) + "…"
	}
	return string(text)
}
