package store

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkKeptStatement runs a statement whose limit is now one and now another, as the job queue does with
// one for each of its queues, and in turns one that has its limit written in it, which is planned once. It
// reports what share of the second one's rate the first one has.
func BenchmarkKeptStatement(b *testing.B) {
	db, err := openCaching("file:" + filepath.Join(b.TempDir(), "kept.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE jobs (id INTEGER PRIMARY KEY, queue TEXT, state TEXT, due INTEGER); CREATE INDEX jobs_due ON jobs (state, queue, due, id)`); err != nil {
		b.Fatal(err)
	}
	const query = `UPDATE jobs SET state = 'running' WHERE id IN
		(SELECT id FROM jobs WHERE queue = $1 AND state = 'available' ORDER BY due, id LIMIT `
	run := func(query string, args func(i int) []any) time.Duration {
		began := time.Now()
		for i := range 100 {
			if err := db.QueryRow(query, args(i)...).Scan(new(int)); err != sql.ErrNoRows {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	var given, written time.Duration
	for b.Loop() {
		given += run(query+`$2) RETURNING id`, func(i int) []any { return []any{"uploads", 16 + i%2} })
		written += run(query+`16) RETURNING id`, func(int) []any { return []any{"uploads"} })
	}
	b.ReportMetric(written.Seconds()/given.Seconds(), "of-rate-planned-once")
	b.ReportMetric(0, "ns/op")
}
