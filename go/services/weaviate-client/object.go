package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"uait.dev/go/kit/value"
)

// exactInteger is the greatest whole number that a filter can compare: Weaviate keeps numbers as doubles.
const exactInteger = 1 << 53

// Object is an object of a collection.
type Object struct {
	// ID is unique in the collection.
	ID string
	// Vectors are its vectors by name.
	Vectors map[string][]float32
	// Properties are its properties by name.
	Properties map[string]value.Value
	// UpdateTime is when it was last stored.
	UpdateTime time.Time
}

// record is what Weaviate keeps of an object as a whole, beside what it indexes, so that everything comes back as it was given.
type record struct {
	ID         string                 `json:"id"`
	Properties map[string]value.Value `json:"properties,omitempty"`
}

func (o Object) record() (string, error) {
	data, err := json.Marshal(record{ID: o.ID, Properties: o.Properties})
	if err != nil {
		return "", fmt.Errorf("marshal an object: %w", err)
	}
	return string(data), nil
}

// objectNamespace is the namespace (RFC 9562, section 5.5) of the UUIDs by which Weaviate knows objects.
var objectNamespace = uuid.MustParse("5d8f0a52-3c5e-4a3b-8a38-5f1e3a0c9b77")

// uuidOf is Weaviate's id of an object.
func uuidOf(objectID string) string { return uuid.NewSHA1(objectNamespace, []byte(objectID)).String() }

// check says why an object does not fit a collection.
//
// Errors: kindConflict, kindInvalid.
func (s Spec) fits(o Object) error {
	for name, vector := range o.Vectors {
		field := fmt.Sprintf("vectors[%q]", name)
		place, err := s.vector(field, name)
		if err != nil {
			return err
		}
		if err := checkVector(field, vector, s.Vectors[place].Dimensions); err != nil {
			return err
		}
	}
	for name, v := range o.Properties {
		field := fmt.Sprintf("properties[%q]", name)
		place, found := s.property(name)
		if !found {
			return &vectorError{kind: kindConflict, name: field, detail: "the collection has no such property"}
		}
		property := s.Properties[place]
		if v.Kind() != property.Kind && (property.Kind != value.Number || v.Kind() != value.Integer) {
			return &vectorError{kind: kindConflict, name: field, detail: "is of another type than the collection's property"}
		}
		if i := v.Integer(); property.Filterable && (i > exactInteger || i < -exactInteger) {
			return &vectorError{kind: kindInvalid, name: field, detail: "must be within ±2^53, because the property is filterable"}
		}
	}
	return nil
}

func checkVector(field string, vector []float32, dimensions int) error {
	if len(vector) != dimensions {
		return &vectorError{kind: kindConflict, name: field, detail: fmt.Sprintf("has %d components where the collection has %d", len(vector), dimensions)}
	}
	for i, component := range vector {
		if math.IsNaN(float64(component)) || math.IsInf(float64(component), 0) {
			return &vectorError{kind: kindInvalid, name: fmt.Sprintf("%s.values[%d]", field, i), detail: "must be finite"}
		}
	}
	return nil
}

// Names of Weaviate's own properties of an object. They are numbered by the place of ours, because Weaviate reserves some
// names, changes the case of others, and takes no two that differ in case only.
const (
	recordProperty  = "record"
	presentProperty = "present"
)

func searchName(place int) string { return fmt.Sprintf("s%d", place) }
func filterName(place int) string { return fmt.Sprintf("f%d", place) }
func listName(place int) string   { return fmt.Sprintf("l%d", place) }
func vectorName(place int) string { return fmt.Sprintf("v%d", place) }

// exact makes a text that Weaviate's field tokenization keeps as it is, which cuts spaces off the ends, and that is never empty.
func exact(text string) string { return "|" + text + "|" }

// inexact is the text of which exact made v.
func inexact(v string) string { return v[1 : len(v)-1] }

// listKey tells lists of words apart.
func listKey(words []string) string {
	data, err := json.Marshal(words)
	if err != nil {
		panic(fmt.Sprintf("marshal words: %v", err)) // Strings alone: it cannot fail.
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// indexed is what Weaviate indexes of an object that fits; lists of words are []string, all else a JSON scalar.
func (s Spec) indexed(o Object) map[string]any {
	present := []string{""} // An empty list would not be indexed.
	properties := map[string]any{}
	for name, v := range o.Properties {
		place, _ := s.property(name)
		property := s.Properties[place]
		if property.Searchable {
			switch property.Kind {
			case value.Text:
				properties[searchName(place)] = v.Text()
			default:
				properties[searchName(place)] = v.Words()
			}
		}
		if !property.Filterable {
			continue
		}
		present = append(present, filterName(place))
		switch property.Kind {
		case value.Text:
			properties[filterName(place)] = exact(v.Text())
		case value.Integer, value.Number:
			properties[filterName(place)] = v.Number()
		case value.Flag:
			properties[filterName(place)] = v.Flag()
		case value.Time:
			properties[filterName(place)] = v.Time().Format(time.RFC3339Nano)
		case value.Words:
			words := make([]string, len(v.Words()))
			for i, word := range v.Words() {
				words[i] = exact(word)
			}
			properties[filterName(place)] = words
			properties[listName(place)] = listKey(v.Words())
		}
	}
	for i, name := range present {
		present[i] = exact(name)
	}
	properties[presentProperty] = present
	return properties
}
