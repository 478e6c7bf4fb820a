package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/backfill"
	"docspace-router/internal/portalsim"
)

func TestUploadsDoNotWaitForABackfill(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector this proves nothing: a slow machine is busy with what was uploaded before")
	}
	t.Parallel()
	const files = 600
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{ItemDuration: 20 * portalTime}})
	old := w.fillRoom(w.room, 4, files)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	id := w.backfill(backfillBody{"rule": "uploads"})
	w.eventually("the backfill has begun to copy", func() bool { return len(w.portal.List(w.dest)) > 0 })
	for i := range 3 {
		live := fmt.Sprintf("Live %d.pdf", i)
		w.portal.Upload(w.room, live, 10, w.client)
		w.eventually("the upload arrives", func() bool { return slices.Contains(w.titles(w.dest), live) })
		if n := len(w.portal.List(w.dest)); n > files/2 {
			t.Errorf("%d of %d old files had arrived before upload %d", n, files, i)
		}
		old = append(old, live)
	}
	w.backfilled(id)
	w.wantTitles(w.dest, old...)
}

// TestAFileUploadedDuringABackfillIsCopiedOnce uploads files while a backfill walks the room, some
// of them behind and some before the page that it reads.
func TestAFileUploadedDuringABackfillIsCopiedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	want := w.fillRoom(w.room, 5, fewer(300, 100))
	w.writeRules(rule("uploads", w.room, w.dest, "triggers: [file.uploaded, file.created, file.updated]"))
	w.start()
	id := w.backfill(backfillBody{"rule": "uploads"})
	for i := range 60 {
		title := fmt.Sprintf("Live %02d.pdf", i)
		w.portal.UploadOneShot(w.room, title, 10, w.client) // two events
		want = append(want, title)
	}
	w.backfilled(id)
	w.wantTitles(w.dest, want...)
}

func TestBackfillLeavesOutWhatTheRuleDoesNotWant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.portal.SetTags(w.room, "client")
	other := w.addRoom("Not tagged")
	below := w.portal.AddFolder(w.room, "2025", w.client)
	ago := func(hours int) time.Time { return time.Now().Add(-time.Duration(hours) * time.Hour) }
	add := func(in portalsim.ID, title string, size int64, by portalsim.UserID, hours int) portalsim.ID {
		return w.portal.AddFile(in, portalsim.File{Title: title, Size: size, By: by, Created: ago(hours)})
	}
	add(w.room, "Wanted.pdf", 100, w.client, 10)
	add(below, "Wanted below.pdf", 200, w.client, 20)
	add(below, "Old.pdf", 100, w.client, 1000)
	add(w.room, "Too large.pdf", 10<<20, w.client, 10)
	add(w.room, "Program.exe", 100, w.client, 10)
	add(w.room, "From the gateway.pdf", 100, w.robot, 10)
	add(w.room, "Stopped.pdf", 100, w.client, 10)
	add(other, "Elsewhere.pdf", 100, w.client, 10)
	w.writeRules(
		aRule("stops", fmt.Sprintf("source: {room: %s}", w.room), `when: file.name == "Stopped"`, "stop: true",
			fmt.Sprintf("destination: {folder: %s}", other)),
		aRule("pdfs", "source: {room_tag: Client}", `when: file.extension == "pdf" && file.size < 1 * MB && event.created_by == file.created_by.id`,
			fmt.Sprintf(`destination: {folder: %s, path: 'file.folder_path + "/" + string(event.created_on.Year())'}`, w.dest)))
	w.start()
	since := backfillBody{"rule": "pdfs", "since": ago(100)}
	_, rehearsed := w.rehearse(since)
	done := w.backfilled(w.backfill(since))
	year := func(hours int) string { return ago(hours).UTC().Format("2006") }
	want := []string{"2025", year(10), year(10) + "/Wanted.pdf", "2025/" + year(20), "2025/" + year(20) + "/Wanted below.pdf"}
	w.wantPaths(w.dest, slices.Compact(slices.Sorted(slices.Values(want)))...)
	skipped := map[string]int{
		backfill.SkippedSince: 1, backfill.SkippedWhen: 2, backfill.SkippedOwn: 1, backfill.SkippedOther: 1,
	}
	for _, tally := range []backfill.Tally{rehearsed, done.Tally} {
		if fmt.Sprint(tally.Skipped) != fmt.Sprint(skipped) || tally.Routed != (backfill.Amount{Entries: 2, Bytes: 300}) {
			t.Errorf("the tally is %+v, want %v left out", tally, skipped)
		}
	}
	for _, tr := range w.transfers("") {
		if tr.Source != string(w.room) {
			t.Errorf("%s comes from %q, want the room %s", tr.Title, tr.Source, w.room)
		}
	}
	if n := w.transfersOf("stops"); len(n) != 0 {
		t.Errorf("the backfill of one rule led to transfers of another: %v", n)
	}
}

func TestBackfillOfPairsWalksTheOnesAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	second, forSecond := w.addRoom("Second"), w.addRoom("For the second")
	first := w.fillRoom(w.room, 1, 5)
	w.portal.AddFile(second, portalsim.File{Title: "Second.pdf", By: w.client})
	w.writeRules(aRule("pairs", fmt.Sprintf("pairs: [{source: %s, destination: %s}, {source: %s, destination: %s}]", w.room, w.dest, second, forSecond)))
	w.start()
	w.backfilled(w.backfill(backfillBody{"rule": "pairs", "sources": []string{string(second)}}))
	w.wantTitles(forSecond, "Second.pdf")
	w.wantTitles(w.dest)
	w.backfilled(w.backfill(backfillBody{"rule": "pairs"}))
	w.wantTitles(forSecond, "Second.pdf")
	w.wantTitles(w.dest, first...)
}

// TestBackfillOfFoldersTakesEachWithWhatIsInIt has folders within folders: those go along.
func TestBackfillOfFoldersTakesEachWithWhatIsInIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	project := w.portal.AddFolder(w.room, "Project", w.client)
	w.portal.AddFile(w.portal.AddFolder(project, "Drawings", w.client), portalsim.File{Title: "Plan.pdf", By: w.client})
	w.portal.AddFolder(w.portal.AddFolder(w.room, "other", w.client), "Project below", w.client)
	w.writeRules(aRule("folders", "triggers: [folder.created]", fmt.Sprintf("source: {room: %s}", w.room), `when: folder.title startsWith "Project"`,
		fmt.Sprintf("destination: {folder: %s}", w.dest)))
	w.start()
	done := w.backfilled(w.backfill(backfillBody{"rule": "folders"}))
	w.wantPaths(w.dest, "Project", "Project/Drawings", "Project/Drawings/Plan.pdf", "Project below")
	if done.Tally.Routed.Entries != 2 || done.Tally.Skipped[backfill.SkippedWhen] != 1 {
		t.Errorf("the tally is %+v", done.Tally)
	}
}

func TestCancelledBackfillEndsAndCanBeAskedForAnew(t *testing.T) {
	t.Parallel()
	files := fewer(900, 600)
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{ItemDuration: 10 * portalTime}})
	old := w.fillRoom(w.room, 4, files)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	id := w.backfill(backfillBody{"rule": "uploads"})
	w.eventually("some have arrived", func() bool { return len(w.portal.List(w.dest)) > 10 })
	if code, raw := w.ask(fmt.Sprintf("/api/v1/backfills/%d/cancel", id), nil); code != http.StatusOK {
		t.Fatalf("cancel: %d %s", code, raw)
	}
	w.rest()
	s := w.backfillStatus(id)
	arrived := len(w.portal.List(w.dest))
	if s.State != "cancelled" || arrived == files || s.Transfers["done"] != arrived || s.Transfers["queued"] != 0 {
		t.Errorf("after the cancelling %d files have arrived, and the backfill is %+v", arrived, s)
	}
	if code, raw := w.ask(fmt.Sprintf("/api/v1/backfills/%d/cancel", id), nil); code != http.StatusUnprocessableEntity {
		t.Errorf("a second cancelling: %d %s", code, raw)
	}
	w.backfilled(w.backfill(backfillBody{"rule": "uploads"}))
	w.wantTitles(w.dest, old...)
}

func TestBackfillWaitsForThePortalAndForItsRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	old := w.fillRoom(w.room, 20, 100)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	mend := w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Method: http.MethodGet, Path: "files/{id}", Status: http.StatusServiceUnavailable})
	id := w.backfill(backfillBody{"rule": "uploads"})
	waitsFor := func(what string) {
		t.Helper()
		w.eventually("it waits: "+what, func() bool { return strings.Contains(w.backfillStatus(id).Note, what) })
	}
	waitsFor("503")
	w.writeRules(rule("uploads", w.room, w.dest, "enabled: false"))
	waitsFor("disabled")
	mend()
	w.writeRules(rule("renamed", w.room, w.dest))
	waitsFor(`no rule "uploads"`)

	// The portal leaves the rules file while the gateway is away.
	w.options.Listen = w.gateway.Addr()
	w.halt()
	w.writePortals(rule("uploads", w.room, w.dest), map[string]string{"other": "http://127.0.0.1:1"})
	w.run()
	waitsFor("not for portal default")
	w.writeRules(rule("uploads", w.room, w.dest))
	w.backfilled(id)
	w.wantTitles(w.dest, old...)
}

func TestBackfillRefusesWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.fillRoom(w.room, 1, 1)
	// So the first one stays under way.
	w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Method: http.MethodPut, Path: "files/fileops/copy", Status: http.StatusServiceUnavailable})
	w.writeRules(rule("uploads", w.room, w.dest), rule("off", w.room, w.dest, "enabled: false"), rule("forms", w.room, w.dest, "triggers: [form.submit]"),
		aRule("tagged", "source: {room_tag: nobody}", fmt.Sprintf("destination: {folder: %s}", w.dest)))
	w.run()
	id := w.backfill(backfillBody{"rule": "uploads"})
	for want, body := range map[string]backfillBody{
		`there is no rule \"upload\", did you mean \"uploads\"?`: {"rule": "upload"},
		"rule off is disabled":                                      {"rule": "off"},
		"rule forms is about form.submit":                           {"rule": "forms"},
		"5 is no source of rule uploads, which has":                 {"rule": "uploads", "sources": []string{"5"}},
		"rule uploads is not for portal acme, only for default":     {"rule": "uploads", "portal": "acme"},
		"rule tagged has no source: no room":                        {"rule": "tagged"},
		fmt.Sprintf("backfill %d of rule uploads is under way", id): {"rule": "uploads"},
	} {
		if code, raw := w.ask("/api/v1/backfills", body); code != http.StatusUnprocessableEntity || !strings.Contains(raw, want) {
			t.Errorf("%v: %d %s, want %s", body, code, raw, want)
		}
	}
	if code, raw := w.ask("/api/v1/backfills/77/cancel", nil); code != http.StatusNotFound {
		t.Errorf("cancelling a backfill that never was: %d %s", code, raw)
	}
}
