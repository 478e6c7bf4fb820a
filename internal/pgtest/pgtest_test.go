package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.Context())
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func newDatabase(t *testing.T, s *Server) string {
	t.Helper()
	url, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func TestWhatWasCommittedOutlastsRestartAndKill(t *testing.T) {
	t.Parallel()
	s := start(t)
	url := newDatabase(t, s)
	execute(t, connect(t, url), `CREATE TABLE kept (n int)`)
	for i, again := range []func() error{
		func() error { return s.Restart(t.Context()) },
		func() error { return errors.Join(s.Kill(), s.Restart(t.Context())) },
		func() error { return errors.Join(s.Kill(), s.Kill(), s.Restart(t.Context())) },
	} {
		conn := connect(t, url)
		execute(t, conn, `INSERT INTO kept VALUES (1)`)
		execute(t, conn, `BEGIN`)
		execute(t, conn, `INSERT INTO kept VALUES (1)`) // never committed
		if err := again(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Error("a client kept its connection over the server's end")
		}
		var n int
		if err := connect(t, url).QueryRow(t.Context(), `SELECT count(*) FROM kept`).Scan(&n); err != nil || n != i+1 {
			t.Errorf("after end %d there are %d rows (%v), want %d", i+1, n, err, i+1)
		}
	}
}

func TestAKilledServerIsAway(t *testing.T) {
	t.Parallel()
	s := start(t)
	url := newDatabase(t, s)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the killed server takes connections")
	}
	if _, err := s.Database(t.Context()); err == nil {
		t.Error("the killed server made a database")
	}
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := newDatabase(t, s), newDatabase(t, s)
	execute(t, connect(t, one), `CREATE TABLE here (n int)`)
	execute(t, connect(t, other), `CREATE TABLE here (n int)`)
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	url := newDatabase(t, s)
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the server's files are still there: %v", err)
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the stopped server takes connections")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a server stopped for good was restarted")
	}
}

func TestNewestInstallationIsUsed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	install := func(version string, mode os.FileMode, programs ...string) string {
		dir := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range programs {
			if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	nine := install("9", 0o700, "initdb", "postgres")
	ten := install("10", 0o700, "initdb", "postgres")
	client := install("18", 0o700, "psql")
	halfGone := install("17", 0o600, "initdb", "postgres")
	for _, tt := range []struct {
		name string
		dirs []string
		want string
		err  error
	}{
		{"versions are numbers", []string{nine, ten}, ten, nil},
		{"clients alone do not count", []string{ten, client, nine}, ten, nil},
		{"what cannot be run does not count", []string{halfGone, nine}, nine, nil},
		{"nothing is installed", nil, "", ErrNotInstalled},
		{"nothing usable is installed", []string{client}, "", ErrNotInstalled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := newest(tt.dirs)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("newest = %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAnEarlyEndTellsWhy(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.data(), "postgresql.conf"), []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("restart with a bad configuration: %v, want an error that says what is bad", err)
	}
}
