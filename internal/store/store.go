package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// ErrNotFound says that no row has the asked-for id.
var ErrNotFound = errors.New("not found")

// Store is the gateway's database.
type Store struct {
	kind  Kind
	write *sql.DB // SQLite: exactly one connection, which makes every transaction serial
	read  *sql.DB // PostgreSQL: the same pool
	lock  *flock.Flock
	now   func() time.Time

	tally      tally
	releasedTo atomic.Int64 // the blocked move that ReleaseMoves looked at last
}

// Kind says which database a Store is in.
type Kind string

// The databases.
const (
	SQLite     Kind = "sqlite"
	PostgreSQL Kind = "postgres"
)

// Options says where the database is.
type Options struct {
	// URL is sqlite://FILE, with a path relative to the working directory or, with a third
	// slash, an absolute one; or postgres://USER:PASSWORD@HOST/DATABASE.
	URL string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Open opens the database, creating a SQLite file where there is none, and brings its tables
// up to date. One process at a time may have a SQLite database open: a second one is refused.
// A PostgreSQL database may be shared by any number of processes.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := CheckURL(o.URL); err != nil {
		return nil, err
	}
	if strings.HasPrefix(o.URL, "sqlite://") {
		return openSQLite(ctx, o)
	}
	return openPostgres(ctx, o)
}

// Kind is the database's kind.
func (s *Store) Kind() Kind { return s.kind }

// Close closes the database and lets another process open it.
func (s *Store) Close() error {
	s.stopCounting()
	var errs []error
	if s.read != nil && s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Unlock())
	}
	return errors.Join(errs...)
}

// DB is the writing connection, for the job queue whose tables lie in the same database.
func (s *Store) DB() *sql.DB { return s.write }

// Ping reports whether the database answers and can be written to.
func (s *Store) Ping(ctx context.Context) error {
	return s.InTx(ctx, func(*sql.Tx) error { return nil })
}

// InTx runs f in one writing transaction and commits it; an error from f rolls it back and
// is returned. While it runs, only the transaction may be used: on SQLite any other write
// waits for it.
func (s *Store) InTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// After a commit this does nothing. It also gives the one connection back when f panics,
	// which the job queue survives.
	defer tx.Rollback()
	if err := f(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			return errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			err = ctx.Err() // which has rolled it back already
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// migrate brings the gateway's own tables up to date.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string, options ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, options...)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// millis writes a time as the database keeps it; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// placeholders writes ($1, $2, …) for n values, counting from first.
func placeholders(first, n int) string {
	var b strings.Builder
	b.WriteByte('(')
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	b.WriteByte(')')
	return b.String()
}

// inChunks calls f with at most size items at a time, so that no statement exceeds the
// number of values a database takes.
func inChunks[T any](items []T, size int, f func([]T) error) error {
	for len(items) > 0 {
		n := min(size, len(items))
		if err := f(items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

func anys[T any](items []T) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}
