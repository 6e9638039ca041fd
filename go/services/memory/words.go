package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxWords is how many different words of a query are looked for; later ones are left out.
	maxWords = 64
	// maxSnippet is the contract's limit of a passage, in characters.
	maxSnippet = 500
)

// matchExpression makes an FTS5 query that holds for texts with at least one word of query; "" when query has no word. Each word
// stands in quotes and has letters, digits and marks alone, so that nothing in a query can be FTS5's own syntax.
func matchExpression(query string) string {
	seen := map[string]bool{}
	var quoted []string
	for _, word := range strings.FieldsFunc(query, func(r rune) bool { return !inWord(r) }) {
		folded := strings.ToLower(word)
		if seen[folded] {
			continue
		}
		seen[folded] = true
		if quoted = append(quoted, `"`+word+`"`); len(quoted) == maxWords {
			break
		}
	}
	return strings.Join(quoted, " OR ")
}

// inWord says what FTS5's tokenizer unicode61 takes for a part of a word: categories L, N, Co, and marks.
func inWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || unicode.Is(unicode.Co, r))
}

// cut shortens a passage to the contract's limit.
func cut(passage string) string {
	if utf8.RuneCountInString(passage) <= maxSnippet {
		return passage
	}
	return string([]rune(passage)[:maxSnippet])
}
