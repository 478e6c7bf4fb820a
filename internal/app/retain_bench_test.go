package app_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"docspace-router/internal/app"
	"docspace-router/internal/portalsim"
)

// BenchmarkIngestWhileOldIsDeleted delivers in turns with nothing to delete and while retention deletes
// what is old from a database with a million transfers. The turns are short, so that a busy machine slows
// both alike. It reports the longest that a sender waited in either, what was deleted per second, and the
// size of SQLite's write-ahead log.
func BenchmarkIngestWhileOldIsDeleted(b *testing.B) {
	if server != nil {
		b.Skip("the database is filled as a SQLite file")
	}
	const stored = 1_000_000
	w := newWorld(b, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	newest := time.Now().Add(-24 * time.Hour)
	w.fill(stored, newest)
	w.run()
	gateway := w.gateway.(*app.App)
	const senders, perTurn = 64, 16
	turn := w.turns(senders, perTurn)
	count := func() (n int64) {
		if err := gateway.DB().QueryRow(`SELECT count(*) FROM events WHERE portal = 'gone'`).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	turn()
	var alone, beside, deleting, longest, longestBeside time.Duration
	turns, left := 0, count()
	for b.Loop() {
		took, waited := turn()
		alone, longest = alone+took, max(longest, waited)
		ctx, stop := context.WithCancel(b.Context())
		var round sync.WaitGroup
		round.Go(func() { gateway.Prune(ctx, newest.Add(time.Hour)) })
		began := time.Now()
		took, waited = turn()
		beside, longestBeside = beside+took, max(longestBeside, waited)
		stop()
		round.Wait()
		deleting += time.Since(began)
		turns++
	}
	deleted := left - count()
	if deleted == 0 {
		b.Error("nothing was deleted")
	}
	log, err := os.Stat(filepath.Join(w.dir, "router.db-wal"))
	if err != nil {
		b.Fatal(err)
	}
	requests := float64(turns * senders * perTurn)
	b.ReportMetric(requests/alone.Seconds(), "alone-req/s")
	b.ReportMetric(requests/beside.Seconds(), "beside-req/s")
	b.ReportMetric(alone.Seconds()/beside.Seconds(), "of-rate-alone")
	b.ReportMetric(longest.Seconds()*1000, "alone-longest-ms")
	b.ReportMetric(longestBeside.Seconds()*1000, "beside-longest-ms")
	b.ReportMetric(float64(deleted)/deleting.Seconds(), "deleted/s")
	b.ReportMetric(float64(log.Size())/(1<<20), "log-MiB")
	b.ReportMetric(0, "ns/op")
}
