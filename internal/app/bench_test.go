package app_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
)

// queue stores n queued transfers in the world's database, as a gateway that was killed would
// leave them.
func (w *world) queue(n int) {
	w.t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URL: w.options.Database})
	if err != nil {
		w.t.Fatal(err)
	}
	const chunk = 1000
	for first := 0; first < n; first += chunk {
		events := make([]store.NewEvent, chunk)
		for i := range events {
			id := strconv.Itoa(1_000_000 + first + i)
			events[i] = store.NewEvent{
				Portal: "default", ReceivedAt: time.Now(), Body: []byte(`{"id":` + id + `}`),
				Event: event.Event{ID: id, Trigger: "file.uploaded", Entry: event.Entry{Kind: event.File, ID: event.ID(id), Title: "File " + id + ".pdf"}},
			}
		}
		if err := s.InTx(ctx, func(tx *sql.Tx) error {
			ids, err := s.InsertEvents(ctx, tx, events)
			if err != nil {
				return err
			}
			decisions := make([]store.Decision, chunk)
			for i, e := range events {
				decisions[i] = store.Decision{EventID: ids[i], State: event.EventRouted, Transfers: []store.NewTransfer{{
					Portal: "default", Rule: "uploads", Action: event.Copy, Conflict: event.Duplicate, Entry: e.Event.Entry,
					Destination: event.ID(strconv.Itoa(1000 + i%20)), Trigger: "file.uploaded", HappenedAt: e.ReceivedAt,
				}}}
			}
			_, err = s.SaveDecisions(ctx, tx, decisions)
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// peakMemory is the most memory the process ever held, in bytes, as the kernel counts it.
func (c *child) peakMemory(t testing.TB) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Skipf("the kernel does not tell: %v", err)
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Skip("the kernel does not tell")
	return 0
}

// BenchmarkRestart kills a gateway that has 100 000 queued transfers and shows how long the next
// one takes from its start until it has routed a new upload, and how much memory it needs.
func BenchmarkRestart(b *testing.B) {
	w := newWorld(b, portalsim.Options{})
	w.options.Pace.Poll, w.options.Pace.Sweep = 0, 0 // the gateway's own pace
	w.writeRules(rule("uploads", w.room, w.dest))
	w.queue(100_000)
	w.spawn().kill()
	w.spawn()
	w.addWebhook()
	for b.Loop() {
		b.StopTimer()
		w.gateway.(*child).kill()
		before := time.Now()
		b.StartTimer()
		c := w.spawn()
		w.portal.Upload(w.room, fmt.Sprintf("New %d.pdf", before.UnixNano()), 1, w.client)
		n := len(w.portal.List(w.room))
		w.eventually("the new upload is routed", func() bool {
			return w.status().Events["routed"] >= 100_000+n
		})
		b.ReportMetric(time.Since(before).Seconds(), "s-to-routed")
		b.ReportMetric(float64(c.peakMemory(b))/(1<<20), "peak-MiB")
	}
}

// BenchmarkLoneUpload shows how long after its delivery a single upload on an idle portal is
// sent to its destination.
func BenchmarkLoneUpload(b *testing.B) {
	w := newWorld(b, portalsim.Options{})
	w.options.Pace.Poll, w.options.Pace.Sweep = 0, 0
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	var slowest, sum time.Duration
	n := 0
	for b.Loop() {
		w.portal.Upload(w.room, fmt.Sprintf("Lone %d.pdf", n), 1, w.client)
		n++
		w.eventually("it has arrived", func() bool { return len(w.portal.List(w.dest)) == n })
		var delivered, sent time.Time // when DocSpace began to deliver it, and took its copying
		for _, r := range w.portal.DeliveryLog() {
			if r.Trigger == "file.uploaded" && r.Sends[0].At.After(delivered) {
				delivered = r.Sends[0].At
			}
		}
		for _, op := range w.portal.Operations() {
			if op.Queued.After(sent) {
				sent = op.Queued
			}
		}
		took := sent.Sub(delivered)
		sum += took
		slowest = max(slowest, took)
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(n), "ms-to-sent")
	b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
}
