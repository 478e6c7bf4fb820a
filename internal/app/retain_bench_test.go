package app_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

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
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: senders, MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	next := 0
	turn := func(longest *atomic.Int64) time.Duration {
		var group errgroup.Group
		first := next
		next += senders * perTurn
		began := time.Now()
		for s := range senders {
			group.Go(func() error {
				for i := range perTurn {
					sent := time.Now()
					if err := deliverOne(client, "http://"+w.gateway.Addr()+"/webhook", first+s*perTurn+i+1); err != nil {
						return err
					}
					if waited := int64(time.Since(sent)); waited > longest.Load() {
						longest.Store(waited)
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	count := func() (n int64) {
		if err := gateway.DB().QueryRow(`SELECT count(*) FROM events WHERE portal = 'gone'`).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	var longest, longestBeside, before atomic.Int64
	turn(&before)
	var alone, beside, deleting time.Duration
	turns, left := 0, count()
	for b.Loop() {
		alone += turn(&longest)
		ctx, stop := context.WithCancel(b.Context())
		var round sync.WaitGroup
		round.Go(func() { gateway.Prune(ctx, newest.Add(time.Hour)) })
		began := time.Now()
		beside += turn(&longestBeside)
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
	b.ReportMetric(float64(longest.Load())/1e6, "alone-longest-ms")
	b.ReportMetric(float64(longestBeside.Load())/1e6, "beside-longest-ms")
	b.ReportMetric(float64(deleted)/deleting.Seconds(), "deleted/s")
	b.ReportMetric(float64(log.Size())/(1<<20), "log-MiB")
	b.ReportMetric(0, "ns/op")
}
