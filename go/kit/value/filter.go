package value

import "slices"

// Comparison is how a condition compares a property.
type Comparison int

// The comparisons, as uait.types.v1.Filter.Comparison names them.
const (
	Equal Comparison = iota + 1
	NotEqual
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
	AnyOf
	AllOf
	NoneOf
	Like
	Present
	Absent
)

// Condition compares one property with a value.
type Condition struct {
	// Property is the name of the property.
	Property string
	// Comparison is how to compare.
	Comparison Comparison
	// Value is what to compare with; none for Present and Absent.
	Value Value
}

// Filter is a condition in conjunctive normal form: of each clause one condition must hold. An empty one always holds.
type Filter [][]Condition

// Matches says whether properties fulfil the filter.
func (f Filter) Matches(properties map[string]Value) bool {
	for _, clause := range f {
		if !slices.ContainsFunc(clause, func(c Condition) bool { return c.matches(properties) }) {
			return false
		}
	}
	return true
}

func (c Condition) matches(properties map[string]Value) bool {
	property, found := properties[c.Property]
	if !found {
		return c.Comparison == NotEqual || c.Comparison == NoneOf || c.Comparison == Absent
	}
	order, ordered := property.compare(c.Value)
	switch c.Comparison {
	case Equal:
		return property.Equal(c.Value)
	case NotEqual:
		return !property.Equal(c.Value)
	case Less:
		return ordered && order < 0
	case LessOrEqual:
		return ordered && order <= 0
	case Greater:
		return ordered && order > 0
	case GreaterOrEqual:
		return ordered && order >= 0
	case AnyOf:
		return hasAny(property, c.Value.words)
	case AllOf:
		return hasAll(property, c.Value.words)
	case NoneOf:
		return !hasAny(property, c.Value.words)
	case Like:
		return slices.ContainsFunc(wordsOf(property), func(word string) bool { return glob([]rune(c.Value.text), []rune(word)) })
	case Present:
		return true
	case Absent:
		return false
	default:
		return false
	}
}

// wordsOf is what a text or a list of words can have; another type has none.
func wordsOf(v Value) []string {
	if v.kind == Text {
		return []string{v.text}
	}
	return v.words
}

func hasAny(property Value, words []string) bool {
	return slices.ContainsFunc(wordsOf(property), func(word string) bool { return slices.Contains(words, word) })
}

func hasAll(property Value, words []string) bool {
	has := wordsOf(property)
	return !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(has, word) })
}

// glob matches `*` with any characters and `?` with one, in time proportional to the product of the lengths.
func glob(pattern, text []rune) bool {
	p, t, star, resume := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
