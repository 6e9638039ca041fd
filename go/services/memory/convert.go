package main

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	memoryv1 "uait.dev/go/gen/uait/memory/v1"
	typesv1 "uait.dev/go/gen/uait/types/v1"
	"uait.dev/go/kit/value"
)

const defaultImportance = 0.5

func memoryProto(m Memory) *memoryv1.Memory {
	sent := &memoryv1.Memory{
		MemoryId: m.ID, Text: m.Text, Kind: memoryv1.MemoryKind(m.Kind), Importance: m.Importance, Tags: m.Tags,
		Properties: value.MapProto(m.Properties), Origin: m.Origin, Subject: m.Subject, Version: int32(m.Version), Indexed: m.Indexed,
		CreateTime: timestamppb.New(m.CreateTime), UpdateTime: timestamppb.New(m.UpdateTime), Etag: m.Etag(),
	}
	if m.ExpireTime != nil {
		sent.ExpireTime = timestamppb.New(*m.ExpireTime)
	}
	return sent
}

func memoriesProto(memories []Memory) []*memoryv1.Memory {
	sent := make([]*memoryv1.Memory, len(memories))
	for i, m := range memories {
		sent[i] = memoryProto(m)
	}
	return sent
}

// draftFromProto reads a draft; field is its path in the request.
//
// Errors: FIELD_INVALID for moments outside the years 1 to 9999.
func draftFromProto(field string, sent *memoryv1.MemoryDraft) (Draft, error) {
	properties, err := value.MapFromProto(field+".properties", sent.GetProperties())
	if err != nil {
		return Draft{}, err
	}
	expires, err := timeFromProto(field+".expire_time", sent.GetExpireTime())
	if err != nil {
		return Draft{}, err
	}
	draft := Draft{
		Text: sent.GetText(), Kind: Kind(sent.GetKind()), Importance: defaultImportance, Tags: sent.GetTags(), Properties: properties,
		Origin: sent.GetOrigin(), ExpireTime: expires,
	}
	if draft.Kind == 0 {
		draft.Kind = Semantic
	}
	if sent.Importance != nil {
		draft.Importance = sent.GetImportance()
	}
	return draft, nil
}

// revisionFromProto reads what an update changes.
//
// Errors: as draftFromProto.
func revisionFromProto(sent *memoryv1.UpdateRequest) (Revision, error) {
	expires, err := timeFromProto("expire_time", sent.GetExpireTime())
	if err != nil {
		return Revision{}, err
	}
	revision := Revision{Text: sent.Text, Importance: sent.Importance, ExpireTime: expires}
	if sent.Kind != nil {
		kind := Kind(sent.GetKind())
		revision.Kind = &kind
	}
	if sent.Tags != nil {
		tags := sent.GetTags().GetTags()
		revision.Tags = &tags
	}
	if sent.Properties != nil {
		properties, err := value.MapFromProto("properties.properties", sent.GetProperties().GetProperties())
		if err != nil {
			return Revision{}, err
		}
		revision.Properties = &properties
	}
	return revision, nil
}

// criteriaFromProto reads what a search leaves memories out by.
//
// Errors: FIELD_INVALID, EXPRESSION_INVALID, kindConflict for an end before its start.
func criteriaFromProto(sent *memoryv1.SearchRequest) (Criteria, error) {
	criteria := Criteria{Tags: sent.GetTags()}
	for _, kind := range sent.GetKinds() {
		criteria.Kinds = append(criteria.Kinds, Kind(kind))
	}
	var err error
	if criteria.Filter, err = value.FilterFromProto("filter", sent.GetFilter()); err != nil {
		return Criteria{}, err
	}
	criteria.Start, criteria.End, err = rangeFromProto("create_time", sent.GetCreateTime())
	return criteria, err
}

func rangeFromProto(field string, sent *typesv1.TimeRange) (start, end time.Time, err error) {
	from, err := timeFromProto(field+".start", sent.GetStart())
	if err != nil {
		return start, end, err
	}
	until, err := timeFromProto(field+".end", sent.GetEnd())
	if err != nil {
		return start, end, err
	}
	if from != nil {
		start = *from
	}
	if until != nil {
		end = *until
	}
	if from != nil && until != nil && end.Before(start) {
		return start, end, &memoryError{kind: kindConflict, name: field + ".end", detail: "must not be before the start"}
	}
	return start, end, nil
}

// timeFromProto reads a moment that may be absent.
func timeFromProto(field string, sent *timestamppb.Timestamp) (*time.Time, error) {
	if sent == nil {
		return nil, nil //nolint:nilnil // Absent is no error.
	}
	read, err := value.FromProto(field, &typesv1.Value{Kind: &typesv1.Value_Time{Time: sent}})
	if err != nil {
		return nil, err
	}
	at := read.Time()
	return &at, nil
}

func hitsProto(hits []Hit) []*memoryv1.SearchResponse_Hit {
	sent := make([]*memoryv1.SearchResponse_Hit, len(hits))
	for i, h := range hits {
		sent[i] = &memoryv1.SearchResponse_Hit{
			Memory: memoryProto(h.Memory), Score: h.Score, KeywordRank: int32(h.KeywordRank), VectorRank: int32(h.VectorRank),
			Cosine: h.Cosine, Snippet: h.Snippet,
		}
	}
	return sent
}

// changeProto is a change as watchers see it; nil for one of which another change tells.
func changeProto(c Change) *memoryv1.WatchMemoriesResponse {
	sent := &memoryv1.WatchMemoriesResponse{Sequence: c.Sequence, Time: timestamppb.New(c.Time)}
	switch c.Kind {
	case Added, Updated:
		if c.Memory == nil {
			return nil
		}
		if c.Kind == Added {
			sent.Change = &memoryv1.WatchMemoriesResponse_Stored{Stored: memoryProto(*c.Memory)}
		} else {
			sent.Change = &memoryv1.WatchMemoriesResponse_Updated{Updated: memoryProto(*c.Memory)}
		}
	case Deleted, Expired, Vanished:
		sent.Change = &memoryv1.WatchMemoriesResponse_DeletedId{DeletedId: c.ID}
	case Purged:
		return nil
	}
	return sent
}
