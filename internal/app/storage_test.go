package app_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver

	"docspace-router/internal/app"
	"docspace-router/internal/pgtest"
	"docspace-router/internal/portalsim"
)

// TestStorageFaults breaks the database under a running gateway. While it lasts DocSpace is told
// 503 and tries again; afterwards everything arrives, once, without a restart.
func TestStorageFaults(t *testing.T) {
	t.Parallel()
	if server != nil {
		t.Skip("PostgreSQL has faults of its own; see TestPostgreSQLRestarts")
	}
	pragma := func(w *world, statement string) {
		w.t.Helper()
		if _, err := w.gateway.(*app.App).DB().ExecContext(w.t.Context(), statement); err != nil {
			w.t.Fatal(err)
		}
	}
	// A pragma holds for one connection, and one that was given up in the middle of a statement
	// is replaced by another: keep sets it again.
	for name, breakIt := range map[string]func(w *world) (keep, mend func()){
		"disk full": func(w *world) (keep, mend func()) {
			return func() { pragma(w, `PRAGMA max_page_count = 1`) }, // SQLite raises it to what is in use
				func() { pragma(w, `PRAGMA max_page_count = 1000000`) }
		},
		"read-only": func(w *world) (keep, mend func()) {
			return func() { pragma(w, `PRAGMA query_only = 1`) }, func() { pragma(w, `PRAGMA query_only = 0`) }
		},
		"locked by another process": func(w *world) (keep, mend func()) {
			other, err := sql.Open("sqlite", filepath.Join(w.dir, "router.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
			if err != nil {
				w.t.Fatal(err)
			}
			tx, err := other.BeginTx(context.Background(), nil)
			if err != nil {
				w.t.Fatal(err)
			}
			return func() { pragma(w, `PRAGMA busy_timeout = 50`) }, func() {
				if err := tx.Rollback(); err != nil {
					w.t.Error(err)
				}
				if err := other.Close(); err != nil {
					w.t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
				RetryWaits: slices.Repeat([]time.Duration{100 * time.Millisecond}, 200),
			}})
			w.writeRules(rule("uploads", w.room, w.dest))
			w.start()
			w.portal.Upload(w.room, "before.pdf", 1, w.client)
			w.wantTitles(w.dest, "before.pdf")

			keep, mend := breakIt(w)
			// The pages that the database has are filled before it needs more.
			want := []string{"before.pdf"}
			w.eventually("DocSpace is told 503", func() bool {
				keep()
				title := fmt.Sprintf("%s %d.pdf", strings.Repeat("long ", 25), len(want))
				want = append(want, title)
				w.portal.Upload(w.room, title, 1, w.client)
				return slices.ContainsFunc(w.portal.DeliveryLog(), func(r portalsim.DeliveryRow) bool {
					return slices.ContainsFunc(r.Sends, func(s portalsim.Send) bool { return s.Status == http.StatusServiceUnavailable })
				})
			})
			mend()
			w.wantTitles(w.dest, want...)
		})
	}
}

// TestStrangersLearnNothingOfTheDatabase asks both listeners whether the gateway is ready while
// another process has the database locked.
func TestStrangersLearnNothingOfTheDatabase(t *testing.T) {
	t.Parallel()
	if server != nil {
		t.Skip("about a database that is locked, which PostgreSQL is not")
	}
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	w.portal.Upload(w.room, "before.pdf", 1, w.client)
	w.wantTitles(w.dest, "before.pdf")
	other, err := sql.Open("sqlite", filepath.Join(w.dir, "router.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()

	// The database waits longer for a lock than a probe for its answer.
	if public, want := w.readyAt(w.gateway.Addr()), "database: failed\nrules: ok\n"; public != want {
		t.Errorf("/readyz tells strangers %q, want %q", public, want)
	}
	const why = "database: failed: begin: "
	if ready := w.ready(); !strings.HasPrefix(ready, why) {
		t.Errorf("/readyz tells administrators %q, want %q and why", ready, why)
	}
	if log := w.logs.String(); !strings.Contains(log, `level=ERROR msg="database not ready" component=app err="begin: `) {
		t.Error("the log does not say why")
	}
}

// TestPostgreSQLRestarts ends the server under a running gateway, at once and without a word to
// its clients. DocSpace is told 503 while it is away, and afterwards everything arrives, once.
func TestPostgreSQLRestarts(t *testing.T) {
	t.Parallel()
	if !*onPostgres {
		t.Skip("for PostgreSQL; SQLite's faults are in TestStorageFaults")
	}
	own, err := pgtest.Start(t.Context()) // the others' server goes on
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
		RetryWaits: slices.Repeat([]time.Duration{100 * time.Millisecond}, 300),
	}})
	if w.options.Database, err = own.Database(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	want := []string{"before.pdf"}
	w.portal.Upload(w.room, "before.pdf", 1, w.client)
	w.wantTitles(w.dest, want...)
	const refused = `docspace_router_webhook_requests_total{code="503",portal="default"}`
	for round := range 3 {
		before := w.metric(refused)
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			title := fmt.Sprintf("Round %d file %d.pdf", round, i)
			want = append(want, title)
			w.portal.Upload(w.room, title, 1, w.client)
		}
		w.eventually("DocSpace is told 503", func() bool { return w.metric(refused) != before })
		if err := own.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantTitles(w.dest, want...)
	}
}
