package app_test

import (
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
)

// BenchmarkScrape reads /metrics of a gateway that has a million transfers stored, most of them
// done, some failed and a few thousand still queued. It shows what the first scrape costs, which
// counts all of them, and the slowest and the middle one of the rest.
func BenchmarkScrape(b *testing.B) {
	if server != nil {
		b.Skip("the database is filled as a SQLite file")
	}
	w := newWorld(b, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.fill(1_000_000, time.Now())
	w.run()
	scrape := func() time.Duration {
		started := time.Now()
		resp, err := http.Get("http://" + w.gateway.AdminAddr() + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s %v", resp.Status, err)
		}
		return time.Since(started)
	}
	first := scrape()
	var all []time.Duration
	for b.Loop() {
		all = append(all, scrape())
	}
	slices.Sort(all)
	b.ReportMetric(float64(first.Milliseconds()), "ms-first")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms-middle")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "ms-slowest")
}

// fill stores n transfers of as many events, as years of work leave them, one a second. They are of a portal
// that has left the rules file, so that the queued ones stay where they are.
func (w *world) fill(n int, newest time.Time) {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), store.Options{URL: w.options.Database})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "router.db")+"?_pragma=synchronous(off)&_pragma=cache_size(-200000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	first := newest.Add(-time.Duration(n) * time.Second).UnixMilli()
	for _, statement := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO events (portal, webhook_id, event_id, "trigger", entry_kind, entry_id, entry_title, created_on,
				happened_at, received_at, state, routed_at, body)
			SELECT 'gone', '1', i, 'file.uploaded', 'file', i, 'File ' || i || '.pdf', $2 + i * 1000, $2 + i * 1000, $2 + i * 1000, 'routed', $2 + i * 1000, zeroblob(900) FROM n`,
		`INSERT INTO transfers (event_id, portal, rule, "action", conflict, entry_kind, entry_id, entry_title, source, destination, base,
				lane, happening, happened_at, state, result_id, created_at, queued_at, ended_at)
			SELECT id, portal, 'rule-' || id % 40, 'copy', 'duplicate', entry_kind, entry_id, entry_title, 1000 + id % 40, id % 40, id % 40,
				'gone|copy|file|duplicate|' || id % 40, 'file.arrived', received_at, CASE WHEN id % 300 = 0 THEN 'queued' WHEN id % 200 = 1 THEN 'failed' ELSE 'done' END,
				id, received_at, received_at, received_at FROM events WHERE id <= $1 AND received_at > $2`,
	} {
		if _, err := db.ExecContext(w.t.Context(), statement, n, first); err != nil {
			w.t.Fatal(err)
		}
	}
}
