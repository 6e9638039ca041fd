// Package value holds the typed values that users attach to memories, files and objects, and the conditions over them
// (uait.types.v1.Value and Filter), without their wire format.
package value

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Kind is the type of a value.
type Kind int

// The types of values; the zero Kind is no value.
const (
	Text Kind = iota + 1
	Integer
	Number
	Flag
	Time
	Words
)

// Value is a scalar or a list of words. The zero Value is none.
type Value struct {
	kind    Kind
	text    string
	integer int64
	number  float64
	flag    bool
	time    time.Time
	words   []string
}

// OfText makes a text.
func OfText(text string) Value { return Value{kind: Text, text: text} }

// OfInteger makes a whole number.
func OfInteger(integer int64) Value { return Value{kind: Integer, integer: integer} }

// OfNumber makes a finite number.
func OfNumber(number float64) Value { return Value{kind: Number, number: number} }

// OfFlag makes a truth value.
func OfFlag(flag bool) Value { return Value{kind: Flag, flag: flag} }

// OfTime makes a moment.
func OfTime(moment time.Time) Value { return Value{kind: Time, time: moment.UTC()} }

// OfWords makes a list of words.
func OfWords(words ...string) Value { return Value{kind: Words, words: slices.Clone(words)} }

// Kind is the type of the value.
func (v Value) Kind() Kind { return v.kind }

// Text is the text; "" for another type.
func (v Value) Text() string { return v.text }

// Integer is the whole number; 0 for another type.
func (v Value) Integer() int64 { return v.integer }

// Number is the number, also of a whole number; 0 for another type.
func (v Value) Number() float64 {
	if v.kind == Integer {
		return float64(v.integer)
	}
	return v.number
}

// Flag is the truth value; false for another type.
func (v Value) Flag() bool { return v.flag }

// Time is the moment, in UTC; the zero time for another type.
func (v Value) Time() time.Time { return v.time }

// Words are the words, not to be changed; none for another type.
func (v Value) Words() []string { return v.words }

// Equal says whether both are the same; a whole number equals the number of its worth.
func (v Value) Equal(other Value) bool {
	if order, ok := v.compare(other); ok {
		return order == 0
	}
	if v.kind != other.kind {
		return false
	}
	switch v.kind {
	case Text:
		return v.text == other.text
	case Flag:
		return v.flag == other.flag
	case Words:
		return slices.Equal(v.words, other.words)
	default:
		return v.kind == 0
	}
}

// compare orders numbers and moments; ok is false for what has no order.
func (v Value) compare(other Value) (order int, ok bool) {
	switch {
	case v.kind == Integer && other.kind == Integer:
		return cmp.Compare(v.integer, other.integer), true
	case v.numeric() && other.numeric():
		return cmp.Compare(v.Number(), other.Number()), true
	case v.kind == Time && other.kind == Time:
		return v.time.Compare(other.time), true
	default:
		return 0, false
	}
}

func (v Value) numeric() bool { return v.kind == Integer || v.kind == Number }

// stored is a value as JSON: an object with the one key that names its type.
type stored struct {
	Text    *string    `json:"text,omitempty"`
	Integer *int64     `json:"integer,omitempty"`
	Number  *float64   `json:"number,omitempty"`
	Flag    *bool      `json:"flag,omitempty"`
	Time    *time.Time `json:"time,omitempty"`
	Words   *[]string  `json:"words,omitempty"`
}

// MarshalJSON keeps the type beside the value, so that a whole number comes back as one.
func (v Value) MarshalJSON() ([]byte, error) {
	var s stored
	switch v.kind {
	case Text:
		s.Text = &v.text
	case Integer:
		s.Integer = &v.integer
	case Number:
		s.Number = &v.number
	case Flag:
		s.Flag = &v.flag
	case Time:
		s.Time = &v.time
	case Words:
		words := v.words
		if words == nil {
			words = []string{}
		}
		s.Words = &words
	default:
		return nil, fmt.Errorf("a value without a type (%d)", v.kind)
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(data []byte) error {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	switch {
	case s.Text != nil:
		*v = OfText(*s.Text)
	case s.Integer != nil:
		*v = OfInteger(*s.Integer)
	case s.Number != nil:
		*v = OfNumber(*s.Number)
	case s.Flag != nil:
		*v = OfFlag(*s.Flag)
	case s.Time != nil:
		*v = OfTime(*s.Time)
	case s.Words != nil:
		*v = OfWords(*s.Words...)
	default:
		return fmt.Errorf("not a value: %.64s", data)
	}
	return nil
}
