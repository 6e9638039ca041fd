package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// columns are what scanMemory reads.
const columns = "m.text, m.record, m.indexed_version = m.version"

func scanMemory(rows interface{ Scan(...any) error }, more ...any) (Memory, error) {
	var text, record string
	var indexed bool
	if err := rows.Scan(append([]any{&text, &record, &indexed}, more...)...); err != nil {
		return Memory{}, err
	}
	m, err := decodeMemory(record)
	m.Text, m.Indexed = text, indexed
	return m, err
}

// get returns a memory.
//
// Errors: kindMissing.
func (s *store) get(ctx context.Context, tenant, id string) (Memory, error) {
	m, err := scanMemory(s.reader.QueryRowContext(ctx, "SELECT "+columns+` FROM memories m JOIN tenants t ON t.id = m.tenant
		WHERE t.name = ? AND m.memory_id = ? AND (m.expire_time IS NULL OR m.expire_time > ?)`, tenant, id, s.now().UnixMicro()))
	if errors.Is(err, sql.ErrNoRows) {
		return Memory{}, &memoryError{kind: kindMissing, name: id}
	}
	return m, err
}

// version returns one version of a memory as it was stored.
//
// Errors: kindMissing.
func (s *store) version(ctx context.Context, tenant, id string, version int) (Memory, error) {
	var record string
	err := s.reader.QueryRowContext(ctx, `SELECT v.record FROM versions v JOIN tenants t ON t.id = v.tenant
		WHERE t.name = ? AND v.memory_id = ? AND v.version = ?`, tenant, id, version).Scan(&record)
	if errors.Is(err, sql.ErrNoRows) {
		return Memory{}, &memoryError{kind: kindMissing, name: id}
	}
	if err != nil {
		return Memory{}, fmt.Errorf("find a version: %w", err)
	}
	return decodeMemory(record)
}

// where says criteria, but for the filter, in SQL over memories m.
func (s *store) where(tenant int64, c Criteria) (condition string, args []any) {
	condition, args = "m.tenant = ? AND (m.expire_time IS NULL OR m.expire_time > ?)", []any{tenant, s.now().UnixMicro()}
	if len(c.Kinds) > 0 {
		condition += " AND m.kind IN (?" + strings.Repeat(", ?", len(c.Kinds)-1) + ")"
		for _, kind := range c.Kinds {
			args = append(args, kind)
		}
	}
	for _, tag := range c.Tags {
		condition += " AND m.id IN (SELECT memory FROM memory_tags WHERE tenant = ? AND tag = ?)"
		args = append(args, tenant, tag)
	}
	if !c.Start.IsZero() {
		condition += " AND m.create_time >= ?"
		args = append(args, ceilMicro(c.Start))
	}
	if !c.End.IsZero() {
		condition += " AND m.create_time < ?"
		args = append(args, ceilMicro(c.End))
	}
	return condition, args
}

// ceilMicro is the first whole microsecond at or after a moment; memories are created at whole ones.
func ceilMicro(at time.Time) int64 {
	micro := at.UnixMicro()
	if at.Nanosecond()%1000 != 0 {
		micro++
	}
	return micro
}

// list returns at most most memories, the newest first, and where to go on: the cursor of the next page, "" on the last.
func (s *store) list(ctx context.Context, tenant string, c Criteria, cursor string, most int) (page []Memory, next string, err error) {
	id, err := tenantID(ctx, s.reader, tenant)
	if err != nil || id == 0 {
		return nil, "", err
	}
	condition, args := s.where(id, c)
	if cursor != "" {
		created, row, _ := strings.Cut(cursor, "/")
		condition += " AND (m.create_time, m.id) < (CAST(? AS INTEGER), CAST(? AS INTEGER))"
		args = append(args, created, row)
	}
	var created, row int64
	page, err = all(ctx, s.reader, func(rows *sql.Rows) (Memory, error) {
		lastCreated, lastRow := created, row
		m, err := scanMemory(rows, &created, &row)
		if next = ""; lastRow != 0 {
			next = strconv.FormatInt(lastCreated, 10) + "/" + strconv.FormatInt(lastRow, 10)
		}
		return m, err
	}, "SELECT "+columns+", m.create_time, m.id FROM memories m WHERE "+condition+
		" ORDER BY m.create_time DESC, m.id DESC LIMIT ?", append(args, most+1)...)
	if err != nil || len(page) <= most {
		return page, "", err
	}
	return page[:most], next, nil
}

// history returns at most most versions of a memory below one, the newest first; more says whether there are others.
//
// Errors: kindMissing.
func (s *store) history(ctx context.Context, tenant, id string, below, most int) (versions []Memory, more bool, err error) {
	present, err := s.get(ctx, tenant, id)
	if err != nil {
		return nil, false, err
	}
	versions, err = all(ctx, s.reader, func(rows *sql.Rows) (Memory, error) {
		var record string
		if err := rows.Scan(&record); err != nil {
			return Memory{}, err
		}
		m, err := decodeMemory(record)
		m.Indexed = m.Version == present.Version && present.Indexed
		return m, err
	}, `SELECT v.record FROM versions v JOIN tenants t ON t.id = v.tenant
		WHERE t.name = ? AND v.memory_id = ? AND v.version < ? ORDER BY v.version DESC LIMIT ?`, tenant, id, below, most+1)
	if err != nil || len(versions) <= most {
		return versions, false, err
	}
	return versions[:most], true, nil
}

// commonest is the least BM25 of a memory that a telling word found: FTS5 gives a word in more than half of the rows a weight of
// 1e-6, and a query has at most maxWords of them.
const commonest = 2e-4

// words finds the memories that have words of query, best first by BM25, at most most.
func (s *store) words(ctx context.Context, tenant, query string, c Criteria, most int) (found []Candidate, err error) {
	expression := matchExpression(query)
	id, err := tenantID(ctx, s.reader, tenant)
	if err != nil || id == 0 || expression == "" {
		return nil, err
	}
	condition, args := s.where(id, c)
	words := wordsTable(id)
	// CROSS JOIN reads the index first, in its own order; memories are looked at one by one until there are enough.
	rows, err := s.reader.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s.rank FROM %s CROSS JOIN memories m ON m.id = %s.rowid WHERE %s MATCH ? AND %s ORDER BY %s.rank",
		columns, words, words, words, words, condition, words), append([]any{expression}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("search by words: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for len(found) < most && rows.Next() {
		var rank float64 // BM25 times -1
		m, err := scanMemory(rows, &rank)
		if err != nil {
			return nil, err
		}
		if c.Filter.Matches(m.Properties) {
			found = append(found, Candidate{Memory: m, Common: -rank < commonest})
		}
	}
	return found, rows.Err()
}

// passage is the part of a memory that has words of query.
func (s *store) passage(ctx context.Context, tenant, query, memoryID string) (string, error) {
	expression := matchExpression(query)
	id, err := tenantID(ctx, s.reader, tenant)
	if err != nil || id == 0 || expression == "" {
		return "", err
	}
	words := wordsTable(id)
	var passage string
	err = s.reader.QueryRowContext(ctx, fmt.Sprintf(`SELECT snippet(%s, 0, '', '', '…', 40) FROM %s WHERE %s MATCH ?
		AND rowid = (SELECT id FROM memories WHERE tenant = ? AND memory_id = ?)`, words, words, words), expression, id, memoryID).Scan(&passage)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil // Deleted since.
	}
	if err != nil {
		return "", fmt.Errorf("find a passage: %w", err)
	}
	return cut(passage), nil
}

// near turns what the vector index found, best first, into candidates: what is still there and fulfils the criteria.
func (s *store) near(ctx context.Context, tenant string, neighbours []Neighbour, c Criteria) ([]Candidate, error) {
	id, err := tenantID(ctx, s.reader, tenant)
	if err != nil || id == 0 {
		return nil, err
	}
	var found []Candidate
	condition, args := s.where(id, c)
	for _, n := range neighbours {
		m, err := scanMemory(s.reader.QueryRowContext(ctx, "SELECT "+columns+" FROM memories m WHERE m.memory_id = ? AND "+condition,
			append([]any{n.ID}, args...)...))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find a memory: %w", err)
		}
		if c.Filter.Matches(m.Properties) {
			found = append(found, Candidate{Memory: m, Cosine: n.Cosine})
		}
	}
	return found, nil
}

// has says whether a tenant has memories, or such of which the vector index was told.
func (s *store) has(ctx context.Context, tenant string, indexed bool) (has bool, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM memories
		WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND (NOT ? OR indexed_version > 0))`, tenant, indexed).Scan(&has)
	return has, err
}

// Stats is how much a tenant has.
type Stats struct {
	Memories, Versions, TextBytes, Unindexed int64
	Kinds                                    map[Kind]int64
}

func (s *store) stats(ctx context.Context, tenant string) (Stats, error) {
	stats := Stats{Kinds: map[Kind]int64{}}
	id, err := tenantID(ctx, s.reader, tenant)
	if err != nil || id == 0 {
		return stats, err
	}
	condition, args := s.where(id, Criteria{})
	_, err = all(ctx, s.reader, func(rows *sql.Rows) (Kind, error) {
		var kind Kind
		var memories, bytes, unindexed int64
		err := rows.Scan(&kind, &memories, &bytes, &unindexed)
		stats.Memories, stats.TextBytes, stats.Unindexed = stats.Memories+memories, stats.TextBytes+bytes, stats.Unindexed+unindexed
		stats.Kinds[kind] = memories
		return kind, err
	}, "SELECT m.kind, count(*), sum(octet_length(m.text)), sum(m.indexed_version <> m.version) FROM memories m WHERE "+condition+" GROUP BY m.kind", args...)
	if err != nil {
		return Stats{}, err
	}
	err = s.reader.QueryRowContext(ctx, "SELECT count(*) FROM versions WHERE tenant = ?", id).Scan(&stats.Versions)
	return stats, err
}
