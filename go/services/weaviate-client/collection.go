package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"uait.dev/go/kit/value"
)

// Metric is how far two vectors are.
type Metric int

// The metrics, as the contract numbers them.
const (
	Cosine Metric = iota + 1
	Dot
	SquaredEuclidean
)

// Quantization is how vectors are compressed.
type Quantization int

// The compressions, as the contract numbers them; 0 is none.
const (
	Binary Quantization = iota + 1
	Scalar
	Product
	Rotational
)

// Property is a property of a collection's objects.
type Property struct {
	// Name is its name, unique in the collection.
	Name string `json:"name"`
	// Kind is the type of its values.
	Kind value.Kind `json:"kind"`
	// Searchable says whether BM25 looks in it; texts and words only.
	Searchable bool `json:"searchable,omitempty"`
	// Filterable says whether filters may name it.
	Filterable bool `json:"filterable,omitempty"`
}

// VectorIndex is one vector of each object.
type VectorIndex struct {
	// Name is its name, unique in the collection.
	Name string `json:"name"`
	// Dimensions is its length.
	Dimensions int `json:"dimensions"`
	// Metric is its metric.
	Metric Metric `json:"metric"`
	// Flat makes a list of it instead of a graph.
	Flat bool `json:"flat,omitempty"`
	// Quantization is how it is compressed.
	Quantization Quantization `json:"quantization,omitempty"`
	// MaxConnections, EfConstruction and Ef belong to the graph; 0 for the contract's defaults.
	MaxConnections int `json:"max_connections,omitempty"`
	EfConstruction int `json:"ef_construction,omitempty"`
	Ef             int `json:"ef,omitempty"`
}

// Spec is what a collection is, fixed when it is created.
type Spec struct {
	Properties  []Property    `json:"properties"`
	Vectors     []VectorIndex `json:"vectors"`
	Description string        `json:"description,omitempty"`
}

// Collection is a collection of one tenant, as the registry keeps it.
type Collection struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	Spec   Spec   `json:"spec"`
	// CreateTime is when it was created.
	CreateTime time.Time `json:"create_time"`
	// RequestID and Digest tell a repeat of the request that created it.
	RequestID string `json:"request_id"`
	Digest    string `json:"digest"`
}

// Class is the Weaviate class that holds the collection: the same for all tenants whose collections have this name and
// specification, each tenant being a shard of it (decision 0133).
func (c Collection) Class() string {
	shape := c.Spec
	shape.Description = ""
	data, err := json.Marshal(struct {
		Name string `json:"name"`
		Spec Spec   `json:"spec"`
	}{c.Name, shape})
	if err != nil {
		panic(fmt.Sprintf("marshal a specification: %v", err)) // Strings, numbers and truth values: it cannot fail.
	}
	sum := sha256.Sum256(data)
	return "Uait" + hex.EncodeToString(sum[:16])
}

// check holds a specification to what its rules in proto cannot say.
//
// Errors: kindConflict.
func (s Spec) check() error {
	names := map[string]bool{}
	for i, property := range s.Properties {
		field := fmt.Sprintf("spec.properties[%d]", i)
		if names[property.Name] {
			return &vectorError{kind: kindConflict, name: field + ".name", detail: fmt.Sprintf("%q comes twice", property.Name)}
		}
		names[property.Name] = true
		if property.Searchable && property.Kind != value.Text && property.Kind != value.Words {
			return &vectorError{kind: kindConflict, name: field + ".searchable", detail: "is for TEXT and WORDS only"}
		}
	}
	names = map[string]bool{}
	for i, vector := range s.Vectors {
		field := fmt.Sprintf("spec.vectors[%d]", i)
		if names[vector.Name] {
			return &vectorError{kind: kindConflict, name: field + ".name", detail: fmt.Sprintf("%q comes twice", vector.Name)}
		}
		names[vector.Name] = true
		if vector.Flat && (vector.Quantization == Scalar || vector.Quantization == Product) {
			return &vectorError{kind: kindConflict, name: field + ".flat.quantization", detail: "is BINARY, ROTATIONAL or none"}
		}
		if !vector.Flat && vector.MaxConnections != 0 && vector.MaxConnections < 4 {
			return &vectorError{kind: kindConflict, name: field + ".hnsw.max_connections", detail: "is 4 to 128, or 0"}
		}
		if !vector.Flat && vector.EfConstruction != 0 && vector.EfConstruction < 8 {
			return &vectorError{kind: kindConflict, name: field + ".hnsw.ef_construction", detail: "is 8 to 2,000, or 0"}
		}
	}
	return nil
}

// property finds a property by name; its place is what Weaviate names it by.
func (s Spec) property(name string) (place int, found bool) {
	place = slices.IndexFunc(s.Properties, func(p Property) bool { return p.Name == name })
	return place, place >= 0
}

// vector finds a vector by name, or the only one.
//
// Errors: kindConflict.
func (s Spec) vector(field, name string) (place int, err error) {
	if name == "" {
		if len(s.Vectors) > 1 {
			return 0, &vectorError{kind: kindConflict, name: field, detail: "must name one of the collection's vectors, which has several"}
		}
		return 0, nil
	}
	place = slices.IndexFunc(s.Vectors, func(v VectorIndex) bool { return v.Name == name })
	if place < 0 {
		return 0, &vectorError{kind: kindConflict, name: field, detail: fmt.Sprintf("the collection has no vector %q", name)}
	}
	return place, nil
}
