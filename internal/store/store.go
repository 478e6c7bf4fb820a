package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations
var migrations embed.FS

// ErrNotFound says that no row has the asked-for id.
var ErrNotFound = errors.New("not found")

// readers is how many connections may read the SQLite file at the same time.
const readers = 4

// Store is the gateway's database.
type Store struct {
	write *sql.DB // SQLite: exactly one connection, which makes every transaction serial
	read  *sql.DB
	lock  *flock.Flock
	now   func() time.Time
}

// Options says where the database is.
type Options struct {
	// URL is sqlite://FILE, with a path relative to the working directory or, with a third
	// slash, an absolute one.
	URL string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Open opens the database, creating the file where there is none, and brings its tables up
// to date. One process at a time may have a SQLite database open: a second one is refused.
func Open(ctx context.Context, o Options) (*Store, error) {
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open database %s: the folder %s does not exist", path, filepath.Dir(path))
	}

	s := &Store{lock: flock.New(path + ".lock"), now: o.Now}
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("open database %s: lock: %w", path, err)
	}
	if !locked {
		return nil, fmt.Errorf("open database %s: another docspace-router has it open", path)
	}
	if err := s.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	var err error
	if s.write, err = openCaching(dsn(path, "rwc")); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	// fdatasync leaves out the time stamps, which nothing here reads, and with them half of
	// what a commit waits for; where the system lacks it, fsync stays.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return err
	}
	if err := migrate(ctx, s.write); err != nil {
		return err
	}
	if s.read, err = openCaching(dsn(path, "ro")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s.read.PingContext(ctx)
}

// Close closes the database and lets another process open it.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
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
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// sqlitePath reads sqlite://FILE.
func sqlitePath(raw string) (string, error) {
	scheme, path, ok := strings.Cut(raw, "://")
	const want = "want sqlite://FILE, such as sqlite://docspace-router.db"
	switch {
	case !ok:
		return "", errors.New("the database URL has no scheme: " + want)
	case scheme != "sqlite":
		// No more than the scheme is shown: what follows may hold a password in several places.
		return "", fmt.Errorf("database %s://…: %s", scheme, want)
	case path == "" || strings.HasSuffix(path, "/") || path == ":memory:":
		return "", errors.New("the database URL names no file: " + want)
	}
	return filepath.Clean(path), nil
}

// dsn opens the file with a write-ahead log, an fsync per commit, and temporary tables in
// memory, because the root file system may be read-only.
func dsn(path, mode string) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}}
	for _, pragma := range []string{
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)",
		"foreign_keys(1)", "temp_store(MEMORY)",
	} {
		if mode == "ro" && strings.HasPrefix(pragma, "journal_mode") {
			continue
		}
		q.Add("_pragma", pragma)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
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
