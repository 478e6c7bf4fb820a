package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the "sqlite" driver, which looks at the file from outside
)

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const noScheme, noFile = "the database URL has no scheme: " + wantURL, "the database URL names no file: " + wantURL
	tests := []struct{ name, url, text string }{
		{"a URL without a scheme", "router.db", noScheme},
		{"nothing", "", noScheme},
		{"a list of settings", "host=db password=canary", noScheme},
		{"another database", "mysql://u:canary@db/x", "database mysql://…: " + wantURL},
		{"another database with the password at the end", "mysql://db/x?password=canary", "database mysql://…: " + wantURL},
		{"a PostgreSQL URL that is none", "postgres://u:can%zzcanary@db", "the database URL cannot be read: " + wantURL},
		{"no file", "sqlite://", noFile},
		{"a folder", "sqlite://u:canary@data/", noFile},
		{"memory", "sqlite://:memory:", noFile},
		{"an existing folder", "sqlite://" + dir, "open database " + dir + ": that is a folder: name a file in it, such as sqlite://" + dir + "/router.db"},
		{"a folder that is not there", "sqlite://" + dir + "/none/x.db", "open database " + dir + "/none/x.db: the folder " + dir + "/none does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), Options{URL: tt.url})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Error("the password is shown")
			}
		})
	}
}

func TestAServerThatIsNotThereIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:canary@127.0.0.1:1/router", "postgresql://127.0.0.1:1/router?user=u&password=canary"} {
		s, err := Open(t.Context(), Options{URL: url})
		if err == nil {
			_ = s.Close()
			t.Fatal("opened")
		}
		if text := err.Error(); strings.Contains(text, "canary") || !strings.Contains(text, "postgres://127.0.0.1:1/router") {
			t.Errorf("error %q", text)
		}
	}
}

func TestOpenRefusesAFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), Options{URL: "sqlite://" + path}); err == nil {
		_ = s.Close()
		t.Fatal("opened")
	}
	// The lock was given back, so that the next try fails for the same reason.
	if _, err := Open(t.Context(), Options{URL: "sqlite://" + path}); err == nil || strings.Contains(err.Error(), "another docspace-router") {
		t.Errorf("the second try: %v", err)
	}
}

func TestOddFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with space.db", "100%.db", "a?b=c.db", "a#b.db", "ключ.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			s, err := Open(t.Context(), Options{URL: "sqlite:///" + path}) // one slash too many
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestANewDatabaseIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "router.db")
	modes := func() map[string]os.FileMode {
		t.Helper()
		s, err := Open(t.Context(), Options{URL: "sqlite://" + path})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		if err := s.SaveRules(t.Context(), "h", "start", []RuleFile{{Name: "rules.yaml", Hash: "abc", Text: []byte("secret")}}); err != nil {
			t.Fatal(err)
		}
		found := map[string]os.FileMode{}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			found[suffix] = info.Mode()
		}
		return found
	}
	if diff := cmp.Diff(map[string]os.FileMode{"": 0o600, "-wal": 0o600, "-shm": 0o600}, modes()); diff != "" {
		t.Errorf("a new database (-want +got):\n%s", diff)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]os.FileMode{"": 0o640, "-wal": 0o640, "-shm": 0o640}, modes()); diff != "" {
		t.Errorf("a database whose owner has shared it (-want +got):\n%s", diff)
	}
}

func TestOneDatabaseIsOpenOnce(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	_, err := Open(t.Context(), Options{URL: "sqlite://" + h.path})
	if want := "open database " + h.path + ": another docspace-router has it open"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	h.reopen() // Close gives it back
}

func TestASecondProcessIsRefused(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), program, "-try-open=sqlite://"+h.path).CombinedOutput()
		return string(out), err
	}
	out, err := second()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "another docspace-router has it open") {
		t.Errorf("the second process ended with %v: %s", err, out)
	}
	h.must(h.Close())
	if out, err := second(); err != nil {
		t.Errorf("after the first has closed it: %v: %s", err, out)
	}
	h.Store = nil
	h.reopen()
}

func TestDataOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned())
	h.claim(copyLane)
	before := [3]int{h.count("events"), h.count("transfers"), h.count("operations")}
	h.reopen()
	if got := [3]int{h.count("events"), h.count("transfers"), h.count("operations")}; got != before || got != [3]int{1, 1, 1} {
		t.Errorf("there were %v rows and now are %v", before, got)
	}
	op, err := h.OpenOperation(t.Context(), copyLane)
	if err != nil || op == nil || len(op.Transfers) != 1 {
		t.Errorf("the open operation is %+v (%v)", op, err)
	}
	// Times, ids and plans of the new process build on the old: an id is never given twice.
	if id := h.event(); id != 2 {
		t.Errorf("the next event has id %d", id)
	}
}

func TestTheDatabaseIsAsDurableAsPromised(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		for name, db := range map[string]*sql.DB{"write": h.write, "read": h.read} {
			var got string
			h.must(db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
			if got != want {
				t.Errorf("%s: %s is %s, want %s", name, pragma, got, want)
			}
		}
	}
}

func TestReadingConnectionsCannotWrite(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	if _, err := h.read.ExecContext(t.Context(), `DELETE FROM events`); err == nil {
		t.Error("a reading connection wrote")
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	tests := []struct {
		name string
		f    func(h *harness, tx *sql.Tx) error
	}{
		{"an error rolls back", func(*harness, *sql.Tx) error { return failure }},
		{"a roll-back inside is no second error", func(_ *harness, tx *sql.Tx) error { return errors.Join(failure, tx.Rollback()) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			err := h.InTx(t.Context(), func(tx *sql.Tx) error {
				if _, err := h.InsertEvents(t.Context(), tx, []NewEvent{h.delivery("1")}); err != nil {
					return err
				}
				return tt.f(h, tx)
			})
			if !errors.Is(err, failure) {
				t.Errorf("error %v", err)
			}
			if n := h.count("events"); n != 0 {
				t.Errorf("%d events are stored", n)
			}
			if h.event() == 0 {
				t.Error("the store takes nothing afterwards")
			}
		})
	}
}

func TestAPanicInATransactionGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = h.InTx(t.Context(), func(tx *sql.Tx) error {
			if _, err := h.InsertEvents(t.Context(), tx, []NewEvent{h.delivery("1")}); err != nil {
				return err
			}
			panic("a bug")
		})
	}()
	if h.event(); h.count("events") != 1 {
		t.Errorf("%d events are stored, want the second alone", h.count("events"))
	}
}

func TestAnEndedContextLeavesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := h.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := h.InsertEvents(ctx, tx, []NewEvent{h.delivery("1")}); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := h.count("events"); n != 0 {
		t.Errorf("%d events are stored", n)
	}
	if err := h.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping with an ended context: %v", err)
	}
	h.must(h.Ping(t.Context()))
}

func TestACopyTakenInTheMiddleOfATransactionOpens(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	h.route(h.planned())
	copied := &harness{t: t, path: filepath.Join(t.TempDir(), "copy.db"), time: h.time, next: 1000}
	copied.url = "sqlite://" + copied.path
	h.must(h.InTx(t.Context(), func(tx *sql.Tx) error {
		for range 200 { // enough to spill into the file
			h.next++
			e := h.delivery("open" + string(rune('a'+h.next)))
			e.Body = []byte(strings.Repeat("x", 20_000))
			if _, err := h.InsertEvents(t.Context(), tx, []NewEvent{e}); err != nil {
				return err
			}
		}
		for _, suffix := range []string{"", "-wal"} { // what a crash leaves behind
			raw, err := os.ReadFile(h.path + suffix)
			if err != nil {
				return err
			}
			if err := os.WriteFile(copied.path+suffix, raw, 0o600); err != nil {
				return err
			}
		}
		return nil
	}))
	copied.reopen()
	t.Cleanup(func() { _ = copied.Close() })
	var check string
	h.must(copied.write.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&check))
	if got := [3]any{check, copied.count("events"), copied.count("transfers")}; got != [3]any{"ok", 1, 1} {
		t.Errorf("the copy holds %v, want what was committed", got)
	}
	if copied.event(); copied.count("events") != 2 {
		t.Error("the copy takes nothing new")
	}
}

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", dsn(filepath.Join(t.TempDir(), "m.db"), "rwc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	schema := func() []string {
		list, err := queryColumn[string](t.Context(), db, `SELECT type || ' ' || name FROM sqlite_master
			WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	up := schema()
	if len(up) < 4 {
		t.Fatalf("the schema is %v", up)
	}
	if _, err := provider.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left := schema(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(up, schema()); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
}

func TestKeptStatements(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	h.must(h.InTx(t.Context(), func(tx *sql.Tx) error {
		// The same text while its rows are being read, and more texts than are kept.
		const query = `SELECT 1 UNION ALL SELECT 2`
		outer, err := tx.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		defer outer.Close()
		seen := 0
		for outer.Next() {
			inner, err := queryColumn[int](t.Context(), tx, query)
			if err != nil {
				return err
			}
			if diff := cmp.Diff([]int{1, 2}, inner); diff != "" {
				t.Errorf("inner rows (-want +got):\n%s", diff)
			}
			for i := range keptStatements + 1 {
				if got, err := queryColumn[int](t.Context(), tx, `SELECT `+strings.Repeat("1+", i)+`1`); err != nil || got[0] != i+1 {
					return errors.Join(errors.New("wrong result"), err)
				}
			}
			seen++
		}
		if seen != 2 {
			t.Errorf("the outer query had %d rows", seen)
		}
		return outer.Err()
	}))
	// A kept statement sees a changed table.
	h.event()
	if _, err := h.write.ExecContext(t.Context(), `ALTER TABLE events ADD COLUMN later TEXT NOT NULL DEFAULT ''`); err != nil {
		t.Fatal(err)
	}
	if h.event(); h.count("events") != 2 {
		t.Error("not stored after the table changed")
	}
	// A failed statement can be used again.
	const broken = `INSERT INTO rule_files (name, hash, text, loaded_at) VALUES ($1, '', '', 0)`
	for i, name := range []any{"a", "a", nil, "b"} {
		_, err := h.write.ExecContext(t.Context(), broken, name)
		if wantErr := i == 1 || i == 2; (err != nil) != wantErr {
			t.Errorf("run %d: %v", i, err)
		}
	}
}
