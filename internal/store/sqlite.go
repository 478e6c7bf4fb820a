package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// readers is how many connections may read the SQLite file at the same time.
const readers = 4

func openSQLite(ctx context.Context, o Options) (*Store, error) {
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open database %s: the folder %s does not exist", path, filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("open database %s: that is a folder: name a file in it, such as sqlite://%s", path, filepath.Join(path, "router.db"))
	}

	s := &Store{kind: SQLite, lock: flock.New(path + ".lock"), now: o.Now}
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("open database %s: lock: %w", path, err)
	}
	if !locked {
		return nil, fmt.Errorf("open database %s: another docspace-router has it open", path)
	}
	if err := s.openFile(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) openFile(ctx context.Context, path string) error {
	if err := createPrivate(path); err != nil {
		return err
	}
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
	if err := migrate(ctx, s.write, goose.DialectSQLite3, "sqlite"); err != nil {
		return err
	}
	if s.read, err = openCaching(dsn(path, "ro")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s.read.PingContext(ctx)
}

// createPrivate makes the file, where there is none, for its owner alone: it will hold the text of
// the rules file, and with it any secret that stands there. SQLite gives the files it puts beside
// it the same mode. The mode of a file that is there is its owner's affair.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// sqlitePath reads sqlite://FILE.
func sqlitePath(raw string) (string, error) {
	path := strings.TrimPrefix(raw, "sqlite://")
	if path == "" || strings.HasSuffix(path, "/") || path == ":memory:" {
		return "", errors.New("the database URL names no file: " + wantURL)
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
