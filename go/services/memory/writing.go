package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ChangeKind is what happened to a memory.
type ChangeKind int

// What happens to memories.
const (
	// Added: it was stored.
	Added ChangeKind = iota + 1
	// Updated: it has a new version.
	Updated
	// Deleted: somebody deleted it.
	Deleted
	// Expired: its time was over.
	Expired
	// Vanished: it was deleted with all others of the tenant, of which Purged tells.
	Vanished
	// Purged: every memory of the tenant was deleted.
	Purged
)

// writing is one change of the store inside its transaction.
type writing struct {
	tx        *sql.Tx
	ctx       context.Context
	caller    Caller
	now       time.Time
	newID     func() string
	publishes bool
	tenant    int64
}

func (w *writing) exec(statement string, args ...any) error {
	if _, err := w.tx.Exec(statement, args...); err != nil {
		return fmt.Errorf("%.40s: %w", statement, err)
	}
	return nil
}

// begin finds the tenant, or makes it with its full-text index.
func (w *writing) begin() (err error) {
	if w.tenant, err = tenantID(w.ctx, w.tx, w.caller.Tenant); err != nil || w.tenant != 0 {
		return err
	}
	if err := w.tx.QueryRow("INSERT INTO tenants (name) VALUES (?) RETURNING id", w.caller.Tenant).Scan(&w.tenant); err != nil {
		return fmt.Errorf("make a tenant: %w", err)
	}
	return w.exec(fmt.Sprintf(`CREATE VIRTUAL TABLE %s USING fts5(
		text, content='memories', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')`, wordsTable(w.tenant)))
}

// find returns the present version of a memory with the number of its row, which is 0 when there is none.
func (w *writing) find(id string) (Memory, int64, error) {
	var row int64
	var text, record string
	err := w.tx.QueryRow("SELECT id, text, record FROM memories WHERE tenant = ? AND memory_id = ?", w.tenant, id).Scan(&row, &text, &record)
	if errors.Is(err, sql.ErrNoRows) {
		return Memory{}, 0, nil
	}
	if err != nil {
		return Memory{}, 0, fmt.Errorf("find a memory: %w", err)
	}
	m, err := decodeMemory(record)
	m.Text = text
	return m, row, err
}

// present returns the version that a caller means to change.
//
// Errors: kindMissing, kindEtag.
func (w *writing) present(id, etag string) (Memory, int64, error) {
	m, row, err := w.find(id)
	switch {
	case err != nil:
		return Memory{}, 0, err
	case row == 0 || m.ExpireTime != nil && !m.ExpireTime.After(w.now):
		return Memory{}, 0, &memoryError{kind: kindMissing, name: id}
	case etag != "" && etag != m.Etag():
		return Memory{}, 0, &memoryError{kind: kindEtag, name: m.Etag()}
	default:
		return m, row, nil
	}
}

func (w *writing) insert(m Memory) error {
	var row int64
	short, whole, err := records(m)
	if err != nil {
		return err
	}
	err = w.tx.QueryRow(`INSERT INTO memories (tenant, memory_id, text, kind, version, create_time, expire_time, record)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		w.tenant, m.ID, m.Text, m.Kind, m.Version, m.CreateTime.UnixMicro(), micros(m.ExpireTime), short).Scan(&row)
	if err != nil {
		return fmt.Errorf("insert a memory: %w", err)
	}
	if err := w.exec(fmt.Sprintf("INSERT INTO %s (rowid, text) VALUES (?, ?)", wordsTable(w.tenant)), row, m.Text); err != nil {
		return err
	}
	return w.keep(row, m, whole, Added)
}

func (w *writing) replace(row int64, before, after Memory) error {
	short, whole, err := records(after)
	if err != nil {
		return err
	}
	if err := w.unindex(row, before); err != nil {
		return err
	}
	if err := w.exec("UPDATE memories SET text = ?, kind = ?, version = ?, expire_time = ?, record = ? WHERE id = ?",
		after.Text, after.Kind, after.Version, micros(after.ExpireTime), short, row); err != nil {
		return err
	}
	if err := w.exec(fmt.Sprintf("INSERT INTO %s (rowid, text) VALUES (?, ?)", wordsTable(w.tenant)), row, after.Text); err != nil {
		return err
	}
	if err := w.exec("DELETE FROM memory_tags WHERE memory = ?", row); err != nil {
		return err
	}
	return w.keep(row, after, whole, Updated)
}

// unindex takes a text out of the full-text index, which needs it to be told what it was.
func (w *writing) unindex(row int64, before Memory) error {
	words := wordsTable(w.tenant)
	return w.exec(fmt.Sprintf("INSERT INTO %s (%s, rowid, text) VALUES ('delete', ?, ?)", words, words), row, before.Text)
}

// keep writes what a new version has besides its row: tags, history, and what others are to be told.
func (w *writing) keep(row int64, m Memory, whole string, kind ChangeKind) error {
	for _, tag := range m.Tags {
		if err := w.exec("INSERT INTO memory_tags (tenant, tag, memory) VALUES (?, ?, ?)", w.tenant, tag, row); err != nil {
			return err
		}
	}
	if err := w.exec("INSERT INTO versions (tenant, memory_id, version, record) VALUES (?, ?, ?, ?)", w.tenant, m.ID, m.Version, whole); err != nil {
		return err
	}
	if err := w.tell(kind, m, &whole); err != nil {
		return err
	}
	return w.enqueue(m.ID)
}

func (w *writing) delete(row int64, before Memory, kind ChangeKind) error {
	if err := w.unindex(row, before); err != nil {
		return err
	}
	if err := w.exec("DELETE FROM memories WHERE id = ?", row); err != nil {
		return err
	}
	if err := w.exec("DELETE FROM versions WHERE tenant = ? AND memory_id = ?", w.tenant, before.ID); err != nil {
		return err
	}
	if err := w.tell(kind, before, nil); err != nil {
		return err
	}
	return w.enqueue(before.ID)
}

// purge deletes what the tenant has; its number stays, with the sequence of its changes.
func (w *writing) purge() (int64, error) {
	var deleted int64
	if err := w.tx.QueryRow("SELECT count(*) FROM memories WHERE tenant = ?", w.tenant).Scan(&deleted); err != nil {
		return 0, fmt.Errorf("count memories: %w", err)
	}
	words := wordsTable(w.tenant)
	for _, statement := range []string{
		fmt.Sprintf("DROP TABLE %s", words),
		fmt.Sprintf(`CREATE VIRTUAL TABLE %s USING fts5(
			text, content='memories', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')`, words),
	} {
		if err := w.exec(statement); err != nil {
			return 0, err
		}
	}
	// Watchers learn of each memory; the event log of all at once.
	if err := w.exec(`INSERT INTO changes (tenant, sequence, time, kind, memory_id, version, tags, traceparent, published)
		SELECT m.tenant, t.sequence + row_number() OVER (ORDER BY m.id), ?, ?, m.memory_id, m.version,
			coalesce((SELECT json_group_array(tag) FROM memory_tags g WHERE g.memory = m.id), '[]'), '', 1
		FROM memories m JOIN tenants t ON t.id = m.tenant WHERE m.tenant = ?`, w.now.UnixMicro(), Vanished, w.tenant); err != nil {
		return 0, err
	}
	if err := w.exec("UPDATE tenants SET sequence = sequence + ? WHERE id = ?", deleted, w.tenant); err != nil {
		return 0, err
	}
	for _, statement := range []string{
		"DELETE FROM memories WHERE tenant = ?",
		"DELETE FROM versions WHERE tenant = ?",
		"DELETE FROM index_queue WHERE tenant = ?",
		// What was not published yet is told by the purge.
		"DELETE FROM changes WHERE tenant = ? AND record IS NOT NULL",
	} {
		if err := w.exec(statement, w.tenant); err != nil {
			return 0, err
		}
	}
	if err := w.tell(Purged, Memory{}, nil); err != nil {
		return 0, err
	}
	return deleted, w.enqueue("")
}

// tell writes a change for the event log and for watchers.
func (w *writing) tell(kind ChangeKind, m Memory, record *string) error {
	tags, err := json.Marshal(m.Tags)
	if err != nil {
		return fmt.Errorf("encode tags: %w", err)
	}
	var sequence int64
	if err := w.tx.QueryRow("UPDATE tenants SET sequence = sequence + 1 WHERE id = ? RETURNING sequence", w.tenant).Scan(&sequence); err != nil {
		return fmt.Errorf("count a change: %w", err)
	}
	if !w.publishes {
		record = nil
	}
	return w.exec(`INSERT INTO changes (tenant, sequence, time, kind, memory_id, version, tags, record, traceparent, published)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.tenant, sequence, w.now.UnixMicro(), kind, m.ID, m.Version, string(tags), record, w.caller.Traceparent, !w.publishes)
}

// enqueue has the vector index told of a memory; the empty id has it forget the tenant.
func (w *writing) enqueue(id string) error {
	return w.exec(`INSERT INTO index_queue (tenant, memory_id, revision, attempts, due) VALUES (?, ?, 1, 0, ?)
		ON CONFLICT (tenant, memory_id) DO UPDATE SET revision = revision + 1, attempts = 0, due = excluded.due`,
		w.tenant, id, w.now.UnixMicro())
}

// records are a memory without its text, which has a column, and with it.
func records(m Memory) (short, whole string, err error) {
	if whole, err = m.encode(); err != nil {
		return "", "", err
	}
	m.Text = ""
	short, err = m.encode()
	return short, whole, err
}

func micros(at *time.Time) *int64 {
	if at == nil {
		return nil
	}
	micros := at.UnixMicro()
	return &micros
}
