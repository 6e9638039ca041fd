package suite

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
)

// words are the values of ${name} in the cases.
type words map[string]string

// uniqueWord is a fresh word of [a-z0-9]{16}.
func uniqueWord() string { return strings.ToLower(rand.Text())[:16] }

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

// in replaces every ${name} in text.
func (w words) in(text string) (string, error) {
	var missing error
	replaced := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		value, known := w[found[2:len(found)-1]]
		if !known && missing == nil {
			missing = fmt.Errorf("nothing was saved as %s", found)
		}
		return value
	})
	return replaced, missing
}

// inAll replaces every ${name} in the strings of a tree of maps and lists; the keys stay as they are.
func (w words) inAll(value any) (any, error) {
	switch value := value.(type) {
	case string:
		return w.in(value)
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			replaced, err := w.inAll(item)
			if err != nil {
				return nil, err
			}
			list[i] = replaced
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(value))
		for name, item := range value {
			replaced, err := w.inAll(item)
			if err != nil {
				return nil, err
			}
			object[name] = replaced
		}
		return object, nil
	default:
		return value, nil
	}
}

// inMap replaces every ${name} in the values of a map.
func (w words) inMap(values map[string]string) (map[string]string, error) {
	replaced := make(map[string]string, len(values))
	for name, value := range values {
		text, err := w.in(value)
		if err != nil {
			return nil, err
		}
		replaced[name] = text
	}
	return replaced, nil
}
