package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Caller is on whose behalf the store is changed, and by which request.
type Caller struct {
	// Tenant is whose memories they are.
	Tenant string
	// Subject is who acts.
	Subject string
	// RequestID and Digest tell a repeat of a request from another one.
	RequestID string
	Digest    []byte
	// Traceparent is the span of the call.
	Traceparent string
}

// answer is the first answer of a request as it is remembered: by names, without any text.
type answer struct {
	// ID and Version name a version of a memory.
	ID      string `json:"id,omitempty"`
	Version int    `json:"version,omitempty"`
	// Items are the answers of a batch.
	Items []answer `json:"items,omitempty"`
	// Failed is the field of a draft that was refused, and Detail why.
	Failed string `json:"failed,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Deleted is how many were.
	Deleted int64 `json:"deleted,omitempty"`
}

// Stored is what became of one draft of a batch.
type Stored struct {
	// Memory is its first version, when Err is nil.
	Memory Memory
	// Err is why it was refused.
	Err error
}

// once does work in a transaction unless the request came before, and returns what it answered first.
func (s *store) once(ctx context.Context, caller Caller, rpc string, work func(*writing) (answer, error)) (first answer, err error) {
	err = s.commit(ctx, true, func(tx *sql.Tx) error {
		w := &writing{tx: tx, ctx: context.WithoutCancel(ctx), caller: caller, now: s.now().UTC(), newID: s.newID, publishes: s.publishes}
		if err := w.begin(); err != nil {
			return err
		}
		var digest []byte
		var remembered string
		err := tx.QueryRow("SELECT digest, answer FROM requests WHERE tenant = ? AND rpc = ? AND request_id = ?",
			w.tenant, rpc, caller.RequestID).Scan(&digest, &remembered)
		switch {
		case err == nil && !bytes.Equal(digest, caller.Digest):
			return &memoryError{kind: kindReused, name: caller.RequestID}
		case err == nil:
			return json.Unmarshal([]byte(remembered), &first)
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("look for a request: %w", err)
		}
		if first, err = work(w); err != nil {
			return err
		}
		data, err := json.Marshal(first)
		if err != nil {
			return fmt.Errorf("encode an answer: %w", err)
		}
		return w.exec("INSERT INTO requests (tenant, rpc, request_id, digest, answer, time) VALUES (?, ?, ?, ?, ?, ?)",
			w.tenant, rpc, caller.RequestID, caller.Digest, string(data), w.now.UnixMicro())
	})
	return first, err
}

// add stores memories; each draft succeeds or fails for itself.
func (s *store) add(ctx context.Context, caller Caller, rpc string, drafts []Draft) ([]Stored, error) {
	first, err := s.once(ctx, caller, rpc, func(w *writing) (answer, error) {
		var batch answer
		for _, draft := range drafts {
			made, err := draft.memory(w.newID(), caller.Subject, w.now)
			if refused, known := errors.AsType[*memoryError](err); known {
				batch.Items = append(batch.Items, answer{Failed: refused.name, Detail: refused.detail})
				continue
			}
			if err := w.insert(made); err != nil {
				return answer{}, err
			}
			batch.Items = append(batch.Items, answer{ID: made.ID, Version: made.Version})
		}
		return batch, nil
	})
	if err != nil {
		return nil, err
	}
	stored := make([]Stored, len(first.Items))
	for i, item := range first.Items {
		if item.Failed != "" {
			stored[i].Err = &memoryError{kind: kindConflict, name: item.Failed, detail: item.Detail}
			continue
		}
		stored[i].Memory, stored[i].Err = s.version(ctx, caller.Tenant, item.ID, item.Version)
	}
	return stored, nil
}

// update makes the next version of a memory; etag is "" to change whatever is there.
//
// Errors: kindMissing, kindEtag, kindConflict, kindReused.
func (s *store) update(ctx context.Context, caller Caller, id, etag string, revision Revision) (Memory, error) {
	first, err := s.once(ctx, caller, "Update", func(w *writing) (answer, error) {
		before, row, err := w.present(id, etag)
		if err != nil {
			return answer{}, err
		}
		after, err := before.revise(revision, caller.Subject, w.now)
		if err != nil {
			return answer{}, err
		}
		return answer{ID: id, Version: after.Version}, w.replace(row, before, after)
	})
	if err != nil {
		return Memory{}, err
	}
	return s.version(ctx, caller.Tenant, first.ID, first.Version)
}

// remove deletes a memory with its history.
//
// Errors: kindMissing, kindEtag, kindReused.
func (s *store) remove(ctx context.Context, caller Caller, id, etag string) error {
	_, err := s.once(ctx, caller, "Delete", func(w *writing) (answer, error) {
		before, row, err := w.present(id, etag)
		if err != nil {
			return answer{}, err
		}
		return answer{}, w.delete(row, before, Deleted)
	})
	return err
}

// purge deletes every memory of a tenant, and returns how many there were.
//
// Errors: kindReused.
func (s *store) purge(ctx context.Context, caller Caller) (int64, error) {
	first, err := s.once(ctx, caller, "PurgeTenant", func(w *writing) (answer, error) {
		deleted, err := w.purge()
		return answer{Deleted: deleted}, err
	})
	return first.Deleted, err
}

// expire deletes at most most memories whose time is over, and returns how many it did.
func (s *store) expire(ctx context.Context, most int) (int, error) {
	type expired struct{ tenant, id string }
	over, err := all(ctx, s.reader, func(rows *sql.Rows) (e expired, err error) {
		return e, rows.Scan(&e.tenant, &e.id)
	}, `SELECT t.name, m.memory_id FROM memories m JOIN tenants t ON t.id = m.tenant
		WHERE m.expire_time <= ? ORDER BY m.expire_time LIMIT ?`, s.now().UnixMicro(), most)
	if err != nil || len(over) == 0 {
		return 0, err
	}
	err = s.commit(ctx, true, func(tx *sql.Tx) error {
		for _, e := range over {
			w := &writing{tx: tx, ctx: ctx, caller: Caller{Tenant: e.tenant}, now: s.now().UTC(), newID: s.newID, publishes: s.publishes}
			if err := w.begin(); err != nil {
				return err
			}
			before, row, err := w.find(e.id)
			if err != nil {
				return err
			}
			if row == 0 || before.ExpireTime == nil || before.ExpireTime.After(w.now) {
				continue // Changed since.
			}
			if err := w.delete(row, before, Expired); err != nil {
				return err
			}
		}
		return nil
	})
	return len(over), err
}

// forget drops answers older than a day and published changes older than a week.
func (s *store) forget(ctx context.Context) error {
	const day = 24 * time.Hour
	return s.commit(ctx, false, func(tx *sql.Tx) error {
		now := s.now()
		if _, err := tx.Exec("DELETE FROM requests WHERE time < ?", now.Add(-day).UnixMicro()); err != nil {
			return fmt.Errorf("forget requests: %w", err)
		}
		week := now.Add(-7 * day).UnixMicro()
		if _, err := tx.Exec(`UPDATE tenants SET forgotten = max(forgotten, coalesce(
			(SELECT max(sequence) FROM changes WHERE tenant = tenants.id AND time < ? AND published = 1), 0))`, week); err != nil {
			return fmt.Errorf("forget changes: %w", err)
		}
		if _, err := tx.Exec("DELETE FROM changes WHERE time < ? AND published = 1", week); err != nil {
			return fmt.Errorf("forget changes: %w", err)
		}
		return nil
	})
}
