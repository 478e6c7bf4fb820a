package app_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/app"
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

// BenchmarkQuietRoom uploads one file into a quiet room beside a room that 10 000 files have just
// been uploaded to and a portal that does not answer, and shows how long after its delivery the
// one file arrives in its destination.
func BenchmarkQuietRoom(b *testing.B) {
	const hot = 10_000
	for b.Loop() {
		w := newWorld(b, portalsim.Options{Timings: portalsim.Timings{ItemDuration: 10 * portalTime}})
		w.options.Pace = app.Pace{} // the gateway's own
		quiet, forQuiet := w.addRoom("Quiet"), w.addRoom("For the quiet one")
		w.env["DEAD_KEY"] = "sk-dead"
		w.replaceRules(fmt.Sprintf("version: 1\nportals:\n"+
			"  live: {url: %q, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}\n"+
			"  dead: {url: http://127.0.0.1:1, api_key: {env: DEAD_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}\nrules:\n",
			w.env["DOCSPACE_API_HOST"]) +
			rule("dead", "1", "2", "portal: dead", "when: file.size > 0") +
			rule("hot", w.room, w.dest, "portal: live") + rule("quiet", quiet, forQuiet, "portal: live"))
		w.run()
		for i := range 500 {
			body := fmt.Appendf(nil, `{"data":{"fileId":%d,"folderId":1}}`, i+1)
			if code, answer := w.deliverTo("dead", body, event.Sign(body, secret)); code != http.StatusOK {
				b.Fatalf("answered %d %s", code, answer)
			}
		}
		w.hook(w.portal, w.owner, "live")
		for i := range hot {
			w.portal.Upload(w.room, fmt.Sprintf("Hot %05d.pdf", i), 1, w.client)
		}
		w.portal.Upload(quiet, "Quiet.pdf", 1, w.client)
		w.eventually("the quiet room's upload arrives", func() bool { return len(w.portal.List(forQuiet)) == 1 })
		arrived := time.Now()
		waiting := hot - len(w.portal.List(w.dest))
		if waiting < hot/10 {
			b.Fatalf("only %d files of the hot room are still to be copied: nothing is proved", waiting)
		}
		for _, r := range w.portal.DeliveryLog() {
			if strings.Contains(r.Body, "Quiet.pdf") && r.Trigger == "file.uploaded" {
				b.ReportMetric(arrived.Sub(r.Sends[0].At).Seconds(), "s-to-arrive")
			}
		}
		b.ReportMetric(float64(waiting), "hot-files-waiting")
		if err := w.stop(); err != nil {
			b.Fatal(err)
		}
	}
}
