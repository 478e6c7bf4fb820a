package app_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/admin"
	"docspace-router/internal/backfill"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// fullBackfill makes TestKilledBackfillLosesAndRepeatsNothing walk 20 000 files in 500 folders.
var fullBackfill = flag.Bool("full-backfill", false, "walk 20 000 files in the test of a killed backfill")

// ask posts to the admin API and returns what it answered.
func (w *world) ask(path string, in any) (int, string) {
	w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.Post("http://"+w.gateway.AdminAddr()+path, "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

type backfillBody map[string]any

// backfill starts a backfill and returns its id.
func (w *world) backfill(body backfillBody) int64 {
	w.t.Helper()
	var s backfill.Status
	code, raw := w.ask("/api/v1/backfills", body)
	if code != http.StatusOK {
		w.t.Fatalf("backfill: %d %s", code, raw)
	}
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

func (w *world) backfillStatus(id int64) backfill.Status {
	w.t.Helper()
	var s backfill.Status
	w.get(fmt.Sprintf("/api/v1/backfills/%d", id), &s)
	return s
}

// backfilled waits until a backfill has ended.
func (w *world) backfilled(id int64) backfill.Status {
	w.t.Helper()
	var s backfill.Status
	w.eventually("the backfill ends", func() bool {
		s = w.backfillStatus(id)
		return s.State != "running"
	})
	return s
}

// rehearse asks what a backfill would route.
func (w *world) rehearse(body backfillBody) ([]backfill.Line, backfill.Tally) {
	w.t.Helper()
	code, raw := w.ask("/api/v1/backfills/rehearse", body)
	if code != http.StatusOK {
		w.t.Fatalf("rehearse: %d %s", code, raw)
	}
	var entries []backfill.Line
	for text := range strings.Lines(raw) {
		var line admin.RehearsalLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatal(err)
		}
		switch {
		case line.Error != "":
			w.t.Fatalf("rehearse: %s", line.Error)
		case line.Tally != nil:
			return entries, *line.Tally
		}
		entries = append(entries, *line.Entry)
	}
	w.t.Fatal("the rehearsal ended without a tally")
	return nil, backfill.Tally{}
}

// fillRoom puts files into a room: directly in it, and in folders within folders. It returns the
// titles, each of which is another.
func (w *world) fillRoom(room portalsim.ID, folders, files int) []string {
	places := []portalsim.ID{room}
	for i := range folders - 1 {
		places = append(places, w.portal.AddFolder(places[i/3], fmt.Sprintf("Folder %03d", i), w.client))
	}
	var titles []string
	created := time.Now().Add(-1000 * time.Hour)
	for i := range files {
		title := fmt.Sprintf("Old %05d.pdf", i)
		titles = append(titles, title)
		w.portal.AddFile(places[i%len(places)], portalsim.File{
			Title: title, Size: 10, By: w.client, Created: created.Add(time.Duration(i) * time.Minute),
		})
	}
	return titles
}

func TestBackfillRoutesWhatWasThereBeforeTheRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	old := w.fillRoom(w.room, 12, fewer(150, 60))
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()

	entries, rehearsed := w.rehearse(backfillBody{"rule": "uploads"})
	if n := w.status(); n.Events["routed"] != 0 || n.Transfers["queued"]+n.Transfers["done"] != 0 {
		t.Fatalf("a rehearsal stored something: %v", n)
	}
	if len(entries) != len(old) || rehearsed.Routed.Entries != len(old) || rehearsed.Routed.Bytes != int64(10*len(old)) {
		t.Errorf("the rehearsal tells of %d entries and tallies %+v, want %d", len(entries), rehearsed, len(old))
	}
	done := w.backfilled(w.backfill(backfillBody{"rule": "uploads"}))
	w.wantTitles(w.dest, old...)
	if done.Tally.Routed != rehearsed.Routed || done.Tally.Entries != rehearsed.Entries || done.Transfers["done"] != len(old) ||
		done.Tally.FoldersWalked != 12 || done.Tally.FoldersFound != 12 || rehearsed.FoldersWalked != 12 {
		t.Errorf("the backfill came to %+v, the rehearsal to %+v", done, rehearsed)
	}
	for _, e := range w.events("routed") {
		if e.Trigger != "file.uploaded" {
			t.Fatalf("an entry was presented as %s", e.Trigger)
		}
	}

	again := w.backfilled(w.backfill(backfillBody{"rule": "uploads"}))
	w.wantTitles(w.dest, old...)
	if again.Tally.Routed.Entries != 0 || again.Tally.Skipped[backfill.SkippedTransferred] != len(old) {
		t.Errorf("a second backfill came to %+v", again.Tally)
	}
}

// TestBackfillMovesWhatItWalks has the rule empty the very folders that are read.
func TestBackfillMovesWhatItWalks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	old := w.fillRoom(w.room, 2, fewer(900, 300))
	w.writeRules(rule("uploads", w.room, w.dest, "action: move"))
	w.start()
	done := w.backfilled(w.backfill(backfillBody{"rule": "uploads"}))
	w.wantTitles(w.dest, old...)
	if done.Tally.Routed.Entries != len(old) || done.Tally.Entries != len(old) {
		t.Errorf("the backfill came to %+v, want each of %d files once", done.Tally, len(old))
	}
}

// TestKilledBackfillLosesAndRepeatsNothing kills the gateway twice amid a backfill.
func TestKilledBackfillLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	folders, files := 30, 600
	if *fullBackfill {
		folders, files = 500, 20_000
	}
	for _, action := range []event.Action{event.Copy, event.Move} {
		t.Run(string(action), func(t *testing.T) {
			if !*fullBackfill {
				t.Parallel()
			}
			w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
				ItemDuration: portalTime, RetryWaits: slices.Repeat([]time.Duration{200 * time.Millisecond}, 100),
			}})
			w.options.Pace.SettleAfter = 3 * time.Second
			w.options.Pace.Poll = 500 * time.Millisecond // what is counted against the portal's limits counts here
			old := w.fillRoom(w.room, folders, files)
			w.writeRules(rule("uploads", w.room, w.dest, "action: "+string(action)))
			started := time.Now()
			gateway := w.spawn()
			w.addWebhook()
			id := w.backfill(backfillBody{"rule": "uploads"})
			for _, part := range []int{10, 3} {
				w.eventually("a part of the files has arrived", func() bool { return w.backfillStatus(id).Transfers[event.Done] >= files/part })
				gateway.kill()
				gateway = w.spawn()
			}
			var done backfill.Status
			heap := 0.0
			for part := 1; done.State != "done"; part++ { // in parts, as all of it may take longer than a test waits
				w.eventually("the backfill goes on", func() bool {
					done = w.backfillStatus(id)
					return done.State != "running" || done.Transfers[event.Done] >= part*files/20
				})
				heap = max(heap, w.heap())
			}
			took := time.Since(started)
			w.wantTitles(w.dest, old...)
			if done.Transfers["done"] != files || done.Tally.Entries != files || done.Tally.FoldersWalked != folders {
				t.Errorf("the backfill came to %+v, want %d files in %d folders", done, files, folders)
			}
			calls := w.portal.Calls()
			t.Logf("%d files in %d folders took %s with 2 crashes: %d calls, %d to copy or move, %d refused for a limit; heap of the gateway in use at most: %.1f MiB",
				files, folders, took.Round(time.Millisecond), calls.Total, calls.Transfers(), calls.Limited, heap)
			if calls.Limited > 0 {
				t.Errorf("the portal refused %d calls for its limits", calls.Limited)
			}
			if n := calls.Transfers(); n > files/10 {
				t.Errorf("%d calls to copy or move %d files: batches are not used", n, files)
			}
		})
	}
}

// heap is what the gateway's metrics say of its memory in use, in MiB.
func (w *world) heap() float64 {
	w.t.Helper()
	for line := range strings.Lines(w.metrics()) {
		var bytes float64
		if n, _ := fmt.Sscanf(line, "go_memstats_heap_inuse_bytes %g", &bytes); n == 1 {
			return bytes / (1 << 20)
		}
	}
	w.t.Fatal("the metrics say nothing of the heap")
	return 0
}
