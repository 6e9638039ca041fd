package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the database's driver
)

//go:embed schema.sql
var schema string

const (
	schemaVersion = 1
	// readers is how many queries read at the same time.
	readers = 4
	// groupMost is how many changes share one commit, and with it one fsync.
	groupMost = 128
)

// store keeps memories in one SQLite database. Reads see what was committed; changes are made by one goroutine, which commits
// those that wait together. It is safe for concurrent use.
type store struct {
	now   func() time.Time
	newID func() string
	// publishes says whether changes wait to be published as events.
	publishes bool

	reader *sql.DB
	writer *sql.DB
	queue  chan *change
	stop   chan struct{}
	ended  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed by the next commit that changed memories
}

// openStore opens the database in directory, or makes it.
func openStore(directory string, publishes bool, now func() time.Time, newID func() string) (*store, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(directory, "memory.db"))
	if err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	s := &store{
		now: now, newID: newID, publishes: publishes, changed: make(chan struct{}),
		queue: make(chan *change, groupMost), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	// FULL: in WAL mode a commit is on disk before it returns.
	if s.writer, err = openDatabase(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"); err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(s.writer); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if s.reader, err = openDatabase(path, "query_only(1)"); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	go s.commitLoop()
	return s, nil
}

func openDatabase(path string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "temp_store(2)"}, pragmas...), "_txlock": {"immediate"}}
	location := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	database, err := sql.Open("sqlite", location.String())
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return database, nil
}

func migrate(database *sql.DB) error {
	var version int
	if err := database.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
		_, err := database.Exec(fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", schema, schemaVersion))
		if err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("the database has version %d of its tables, and this program knows %d", version, schemaVersion)
	}
}

// close waits for the changes under way and closes the database.
func (s *store) close() error {
	close(s.stop)
	<-s.ended
	return errors.Join(s.reader.Close(), s.writer.Close())
}

// errClosed is what changes get that come after close.
var errClosed = errors.New("the store is closed")

// change is work that waits to be committed.
type change struct {
	ctx  context.Context
	work func(*sql.Tx) error
	done chan error
	// announces says whether watchers are to look again.
	announces bool
	err       error
}

// commit does work in a transaction and returns when it is on disk. Work that fails leaves nothing behind.
func (s *store) commit(ctx context.Context, announces bool, work func(*sql.Tx) error) error {
	c := &change{ctx: ctx, work: work, done: make(chan error, 1), announces: announces}
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return errClosed
	}
	// Not given up when the caller goes away: the work may be under way, and writes what the caller reads.
	select {
	case err := <-c.done:
		return err
	case <-s.ended:
		select {
		case err := <-c.done:
			return err
		default:
			return errClosed
		}
	}
}

// commitLoop takes the changes that wait and commits them together.
func (s *store) commitLoop() {
	defer close(s.ended)
	for {
		select {
		case first := <-s.queue:
			s.commitGroup(s.group(first))
		case <-s.stop:
			return
		}
	}
}

func (s *store) group(first *change) []*change {
	group := []*change{first}
	for len(group) < groupMost {
		select {
		case next := <-s.queue:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

func (s *store) commitGroup(group []*change) {
	err := s.transact(group)
	announces := false
	for _, c := range group {
		announces = announces || c.announces && err == nil && c.err == nil
	}
	if announces {
		s.announce()
	}
	for _, c := range group {
		if err != nil {
			c.done <- err
		} else {
			c.done <- c.err
		}
	}
}

// transact does the work of a group in one transaction, each in a savepoint of its own.
func (s *store) transact(group []*change) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	for _, c := range group {
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if err := attempt(tx, c); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func attempt(tx *sql.Tx, c *change) error {
	if _, err := tx.Exec("SAVEPOINT one"); err != nil {
		return fmt.Errorf("begin a change: %w", err)
	}
	if c.err = perform(tx, c.work); c.err != nil {
		if _, err := tx.Exec("ROLLBACK TO one"); err != nil {
			return fmt.Errorf("take back a change: %w", err)
		}
	}
	if _, err := tx.Exec("RELEASE one"); err != nil {
		return fmt.Errorf("end a change: %w", err)
	}
	return nil
}

// perform keeps a panic of one change from ending the others.
func perform(tx *sql.Tx, work func(*sql.Tx) error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
		}
	}()
	return work(tx)
}

// announce wakes who waits for changes.
func (s *store) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// changes is closed when memories have changed after the call.
func (s *store) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// tenantID is the number of a tenant; 0 for one that never stored anything.
func tenantID(ctx context.Context, q queryer, tenant string) (int64, error) {
	var id int64
	err := q.QueryRowContext(ctx, "SELECT id FROM tenants WHERE name = ?", tenant).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find a tenant: %w", err)
	}
	return id, nil
}

// wordsTable is the full-text index of a tenant. Each has one of its own, so that nobody's texts weigh in another's BM25, and a
// search reads no other's (decision 0131).
func wordsTable(tenant int64) string { return fmt.Sprintf("words_%d", tenant) }

// all reads every row of a query.
func all[T any](ctx context.Context, q queryer, scan func(*sql.Rows) (T, error), query string, args ...any) (found []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
