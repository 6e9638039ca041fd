package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Change is something that happened to a memory.
type Change struct {
	// Row is its number in the store; it rises.
	Row int64
	// Tenant is whose memory it is.
	Tenant string
	// Sequence is its number in the tenant, from 1.
	Sequence uint64
	// Time is when it happened.
	Time time.Time
	// Kind is what happened.
	Kind ChangeKind
	// ID is the memory; "" for all of the tenant.
	ID string
	// Tags are the tags that it had.
	Tags []string
	// Memory is the version that was stored, for Added and Updated; nil when it is deleted by now.
	Memory *Memory
	// Traceparent is the span of the call that did it.
	Traceparent string
}

const changeColumns = "c.id, t.name, c.sequence, c.time, c.kind, c.memory_id, c.tags, c.traceparent, coalesce(c.record, v.record)"

const changeTables = ` FROM changes c JOIN tenants t ON t.id = c.tenant
	LEFT JOIN versions v ON v.tenant = c.tenant AND v.memory_id = c.memory_id AND v.version = c.version AND c.kind IN (1, 2) `

func scanChange(rows *sql.Rows) (Change, error) {
	var c Change
	var micros int64
	var tags string
	var record *string
	if err := rows.Scan(&c.Row, &c.Tenant, &c.Sequence, &micros, &c.Kind, &c.ID, &tags, &c.Traceparent, &record); err != nil {
		return Change{}, fmt.Errorf("read a change: %w", err)
	}
	c.Time = time.UnixMicro(micros).UTC()
	if err := json.Unmarshal([]byte(tags), &c.Tags); err != nil {
		return Change{}, fmt.Errorf("read a change's tags: %w", err)
	}
	if record != nil && (c.Kind == Added || c.Kind == Updated) {
		m, err := decodeMemory(*record)
		if err != nil {
			return Change{}, err
		}
		c.Memory = &m
	}
	return c, nil
}

// unpublished returns the oldest changes that the event log has not got yet.
func (s *store) unpublished(ctx context.Context, most int) ([]Change, error) {
	return all(ctx, s.reader, scanChange, "SELECT "+changeColumns+changeTables+"WHERE c.published = 0 ORDER BY c.id LIMIT ?", most)
}

// published notes that the event log has changes, and drops the copies that were kept for it.
func (s *store) published(ctx context.Context, rows []int64) error {
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		for _, row := range rows {
			if _, err := tx.Exec("UPDATE changes SET published = 1, record = NULL WHERE id = ?", row); err != nil {
				return fmt.Errorf("note what is published: %w", err)
			}
		}
		return nil
	})
}

// watched returns the changes of a tenant after one, oldest first.
//
// Errors: kindExpired.
func (s *store) watched(ctx context.Context, tenant string, after uint64, most int) ([]Change, error) {
	var forgotten uint64
	err := s.reader.QueryRowContext(ctx, "SELECT forgotten FROM tenants WHERE name = ?", tenant).Scan(&forgotten)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("find a tenant: %w", err)
	}
	if after < forgotten {
		return nil, &memoryError{kind: kindExpired, name: strconv.FormatUint(forgotten+1, 10)}
	}
	return all(ctx, s.reader, scanChange,
		"SELECT "+changeColumns+changeTables+"WHERE t.name = ? AND c.sequence > ? ORDER BY c.sequence LIMIT ?", tenant, after, most)
}

// newest is the sequence of a tenant's last change.
func (s *store) newest(ctx context.Context, tenant string) (sequence uint64, err error) {
	err = s.reader.QueryRowContext(ctx, "SELECT sequence FROM tenants WHERE name = ?", tenant).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return sequence, err
}

// Job is one thing that the vector index has to be told.
type Job struct {
	// Tenant is whose memory it is.
	Tenant string
	// ID is the memory; "" to forget the tenant.
	ID string
	// Revision tells whether the memory changed again meanwhile.
	Revision int64
	// Attempts is how often the index refused it.
	Attempts int
	// Memory is its present version; nil when it is deleted.
	Memory *Memory
}

// jobs returns at most most jobs of one tenant that are due: to forget the tenant alone, if that is among them.
func (s *store) jobs(ctx context.Context, most int) ([]Job, error) {
	found, err := all(ctx, s.reader, func(rows *sql.Rows) (j Job, err error) {
		var text, record *string
		if err := rows.Scan(&j.Tenant, &j.ID, &j.Revision, &j.Attempts, &text, &record); err != nil {
			return Job{}, fmt.Errorf("read a job: %w", err)
		}
		if record != nil {
			m, err := decodeMemory(*record)
			if err != nil {
				return Job{}, err
			}
			m.Text = *text
			j.Memory = &m
		}
		return j, nil
	}, `SELECT t.name, q.memory_id, q.revision, q.attempts, m.text, m.record FROM index_queue q JOIN tenants t ON t.id = q.tenant
		LEFT JOIN memories m ON m.tenant = q.tenant AND m.memory_id = q.memory_id
		WHERE q.tenant = (SELECT tenant FROM index_queue WHERE due <= ?1 ORDER BY due LIMIT 1) AND q.due <= ?1
		ORDER BY q.memory_id <> '', q.due LIMIT ?2`, s.now().UnixMicro(), most)
	if len(found) > 0 && found[0].ID == "" {
		return found[:1], err
	}
	return found, err
}

// done takes jobs off the queue unless their memory changed meanwhile, and notes the versions that the index has now.
func (s *store) done(ctx context.Context, jobs []Job) error {
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		for _, j := range jobs {
			tenant, err := tenantID(ctx, tx, j.Tenant)
			if err != nil {
				return err
			}
			if _, err := tx.Exec("DELETE FROM index_queue WHERE tenant = ? AND memory_id = ? AND revision = ?", tenant, j.ID, j.Revision); err != nil {
				return fmt.Errorf("end a job: %w", err)
			}
			if j.Memory == nil {
				continue
			}
			if _, err := tx.Exec("UPDATE memories SET indexed_version = ? WHERE tenant = ? AND memory_id = ?", j.Memory.Version, tenant, j.ID); err != nil {
				return fmt.Errorf("note what is indexed: %w", err)
			}
		}
		return nil
	})
}

// postpone has a job tried again at a later time, because the index refused it.
func (s *store) postpone(ctx context.Context, j Job, due time.Time) error {
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE index_queue SET attempts = attempts + 1, due = ?
			WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND memory_id = ? AND revision = ?`, due.UnixMicro(), j.Tenant, j.ID, j.Revision)
		return err
	})
}

// reindex has the index told of every memory of a tenant again, because it lost them.
func (s *store) reindex(ctx context.Context, tenant string) error {
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		return requeue(tx, "tenant = (SELECT id FROM tenants WHERE name = ?)", s.now(), tenant)
	})
}

// indexedBy has every memory indexed again when the index was made by another model.
func (s *store) indexedBy(ctx context.Context, model string) error {
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		var before string
		err := tx.QueryRow("SELECT value FROM settings WHERE name = 'model'").Scan(&before)
		switch {
		case err == nil && before == model:
			return nil
		case err == nil:
			if err := requeue(tx, "1", s.now()); err != nil {
				return err
			}
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("read a setting: %w", err)
		}
		_, err = tx.Exec("INSERT INTO settings (name, value) VALUES ('model', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", model)
		return err
	})
}

// requeue has the index told again of what it was told of among which memories.
func requeue(tx *sql.Tx, which string, now time.Time, args ...any) error {
	told := "indexed_version > 0 AND " + which
	_, err := tx.Exec(`INSERT INTO index_queue (tenant, memory_id, revision, attempts, due)
		SELECT tenant, memory_id, 1, 0, ? FROM memories WHERE `+told+`
		ON CONFLICT (tenant, memory_id) DO UPDATE SET revision = revision + 1, attempts = 0, due = excluded.due`,
		append([]any{now.UnixMicro()}, args...)...)
	if err != nil {
		return fmt.Errorf("queue again what is indexed: %w", err)
	}
	if _, err := tx.Exec("UPDATE memories SET indexed_version = 0 WHERE "+told, args...); err != nil {
		return fmt.Errorf("queue again what is indexed: %w", err)
	}
	return nil
}

// waiting counts what is in the outboxes.
func (s *store) waiting(ctx context.Context) (events, index int64, err error) {
	err = s.reader.QueryRowContext(ctx,
		"SELECT (SELECT count(*) FROM changes WHERE published = 0), (SELECT count(*) FROM index_queue)").Scan(&events, &index)
	return events, index, err
}
