package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"uait.dev/go/kit/value"
)

// Kind is what sort of thing is remembered.
type Kind int

// The kinds, as the contract numbers them.
const (
	Semantic Kind = iota + 1
	Episodic
	Procedural
	Preference
)

// Memory is a version of a memory.
type Memory struct {
	// ID is unique in the tenant.
	ID string `json:"id"`
	// Text is what is remembered.
	Text string `json:"text,omitempty"`
	// Kind is its kind.
	Kind Kind `json:"kind"`
	// Importance is how much it matters: 0 to 1.
	Importance float64 `json:"importance"`
	// Tags are words to find it by.
	Tags []string `json:"tags,omitempty"`
	// Properties are typed properties.
	Properties map[string]value.Value `json:"properties,omitempty"`
	// Origin is where it comes from.
	Origin string `json:"origin,omitempty"`
	// Subject is who stored this version.
	Subject string `json:"subject,omitempty"`
	// Version is the number of the version, from 1.
	Version int `json:"version"`
	// CreateTime is when its first version was stored.
	CreateTime time.Time `json:"create_time"`
	// UpdateTime is when this version was stored.
	UpdateTime time.Time `json:"update_time"`
	// ExpireTime is when it is deleted by itself; nil for never.
	ExpireTime *time.Time `json:"expire_time,omitempty"`
	// Indexed says whether the vector index has this version.
	Indexed bool `json:"-"`
}

// Etag changes with every version.
func (m Memory) Etag() string { return strconv.Itoa(m.Version) + "-" + m.ID }

// Draft is a memory to store.
type Draft struct {
	Text       string
	Kind       Kind
	Importance float64
	Tags       []string
	Properties map[string]value.Value
	Origin     string
	ExpireTime *time.Time
}

// memory makes the first version.
//
// Errors: kindConflict for a time to expire that is over.
func (d Draft) memory(id, subject string, now time.Time) (Memory, error) {
	if err := checkExpiry(d.ExpireTime, now); err != nil {
		return Memory{}, err
	}
	return Memory{
		ID: id, Text: d.Text, Kind: d.Kind, Importance: d.Importance, Tags: d.Tags, Properties: d.Properties, Origin: d.Origin,
		Subject: subject, Version: 1, CreateTime: now, UpdateTime: now, ExpireTime: d.ExpireTime,
	}, nil
}

// Revision is what an update changes; nil keeps what is there.
type Revision struct {
	Text       *string
	Kind       *Kind
	Importance *float64
	Tags       *[]string
	Properties *map[string]value.Value
	ExpireTime *time.Time
}

// revise makes the next version.
//
// Errors: kindConflict for a time to expire that is over.
func (m Memory) revise(r Revision, subject string, now time.Time) (Memory, error) {
	if err := checkExpiry(r.ExpireTime, now); err != nil {
		return Memory{}, err
	}
	m.Version, m.Subject, m.UpdateTime, m.Indexed = m.Version+1, subject, now, false
	if r.Text != nil {
		m.Text = *r.Text
	}
	if r.Kind != nil {
		m.Kind = *r.Kind
	}
	if r.Importance != nil {
		m.Importance = *r.Importance
	}
	if r.Tags != nil {
		m.Tags = *r.Tags
	}
	if r.Properties != nil {
		m.Properties = *r.Properties
	}
	if r.ExpireTime != nil {
		m.ExpireTime = r.ExpireTime
	}
	return m, nil
}

func checkExpiry(at *time.Time, now time.Time) error {
	if at != nil && !at.After(now) {
		return &memoryError{kind: kindConflict, name: "expire_time", detail: "must be in the future"}
	}
	return nil
}

// encode is the memory as the store keeps it.
func (m Memory) encode() (string, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode memory %s: %w", m.ID, err)
	}
	return string(data), nil
}

func decodeMemory(record string) (Memory, error) {
	var m Memory
	if err := json.Unmarshal([]byte(record), &m); err != nil {
		return Memory{}, fmt.Errorf("decode a memory: %w", err)
	}
	return m, nil
}

// Criteria are what memories must fulfil to be listed or found.
type Criteria struct {
	// Kinds are the kinds; none for all.
	Kinds []Kind
	// Tags are tags that a memory must have, each of them.
	Tags []string
	// Filter is what its properties must fulfil.
	Filter value.Filter
	// Start and End bound its creation, Start inclusive and End exclusive; the zero time for no bound.
	Start, End time.Time
}
