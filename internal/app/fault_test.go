package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// upload puts n files into the client's room and returns their titles.
func (w *world) upload(n int) []string {
	titles := make([]string, n)
	for i := range titles {
		titles[i] = fmt.Sprintf("File %03d.pdf", i)
		w.portal.Upload(w.room, titles[i], 100, w.client)
	}
	return titles
}

// uploadAsOneBatch starts the gateway and uploads n files, all of which it knows of before the
// portal takes the first write; meanwhile is called just before.
func (w *world) uploadAsOneBatch(n int, meanwhile func()) []string {
	w.run()
	release := w.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Path: "files/fileops/{id}", Method: http.MethodPut})
	w.addWebhook()
	titles := w.upload(n)
	w.eventually("all transfers wait", func() bool { return len(w.transfers("queued")) == n })
	meanwhile()
	release()
	return titles
}

// TestWhatOneCallAchieved drives batches through everything that DocSpace or the network does
// to them. Each case ends with every file in the destination exactly once.
func TestWhatOneCallAchieved(t *testing.T) {
	t.Parallel()
	const files = 12
	for name, fault := range map[string]portalsim.Fault{
		"the answer is lost after the work was accepted":       {Kind: portalsim.LoseAnswer, Path: "files/fileops/{id}", Method: http.MethodPut, Times: 1},
		"the connection is reset before the work was accepted": {Kind: portalsim.Reset, Path: "files/fileops/{id}", Method: http.MethodPut, Times: 1},
		"a proxy answers with a page instead":                  {Kind: portalsim.Garbage, Path: "files/fileops/{id}", Method: http.MethodPut, Times: 1},
		"the answer is cut in half":                            {Kind: portalsim.Garbage, Truncate: true, Path: "files/fileops/{id}", Method: http.MethodPut, Times: 1},
		"a proxy gives up with 504":                            {Kind: portalsim.Refuse, Status: http.StatusGatewayTimeout, Path: "files/fileops/{id}", Method: http.MethodPut, Times: 1},
		"the operation does its work unseen":                   {Kind: portalsim.LoseOperation, Ran: true, Times: 1},
		"the operation is lost and does nothing":               {Kind: portalsim.LoseOperation, Times: 1},
		"the operation finishes within the call":               {Kind: portalsim.FinishInCall},
		"the operation makes no progress and is dropped":       {Kind: portalsim.Expire, Item: 3, Times: 1},
		"the same, and the item it hung at is not done":        {Kind: portalsim.Expire, Item: 3, Undone: true, Times: 1},
		"an item fails with an error":                          {Kind: portalsim.FailItem, Item: 2, Error: "Something went wrong", Times: 1},
		"an item fails and its error is lost":                  {Kind: portalsim.FailItem, Item: 2, Times: 1},
		"too many requests, without Retry-After":               {Kind: portalsim.RateLimit, Path: "files/fileops/{id}", Times: 2},
		"the portal is down for a while":                       {Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable, Times: 8},
		"polling is answered with garbage":                     {Kind: portalsim.Garbage, Path: "files/fileops$", Method: http.MethodGet, Times: 3},
		"the result is read and lost on its way":               {Kind: portalsim.LoseAnswer, Path: "files/fileops$", Method: http.MethodGet, Times: 2},
	} {
		for _, action := range []event.Action{event.Copy, event.Move} {
			t.Run(fmt.Sprintf("%s: %s", action, name), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
					ItemDuration: portalTime, OperationTTL: 300 * time.Millisecond, CleanInterval: 50 * time.Millisecond,
				}})
				w.writeRules(rule("uploads", w.room, w.dest, "action: "+string(action)))
				want := w.uploadAsOneBatch(files, func() { w.portal.Inject(fault) })
				w.wantTitles(w.dest, want...)
				if largest := slices.Max(w.portal.Calls().Batches); largest < files/2 {
					t.Errorf("the largest batch had %d files of %d", largest, files)
				}
				for _, tr := range w.transfers("") {
					if tr.State != "done" || tr.ResultID == "" {
						t.Errorf("transfer of %s: %+v, want done with its result", tr.Title, tr)
					}
				}
			})
		}
	}
}

func TestOneBadIDDoesNotHoldUpItsBatch(t *testing.T) {
	t.Parallel()
	for _, gone := range []int{0, 5, 11} { // DocSpace answers a missing first id otherwise than a later one
		t.Run(fmt.Sprintf("file %d of 12 is gone", gone), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			w.writeRules(rule("uploads", w.room, w.dest))
			want := w.uploadAsOneBatch(12, func() {
				e := w.portal.List(w.room)[gone]
				w.portal.Delete(portalsim.KindFile, e.ID, w.owner)
			})
			rest := append(append([]string{}, want[:gone]...), want[gone+1:]...)
			w.wantTitles(w.dest, rest...)
			failed := w.transfers("failed")
			if len(failed) != 1 || failed[0].Title != want[gone] || !strings.Contains(failed[0].Reason, "no longer exists") {
				t.Errorf("failed transfers: %+v, want only %s, because it no longer exists", failed, want[gone])
			}
		})
	}
}

func TestSkippedConflictsAreToldApartFromFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.portal.AddFile(w.dest, portalsim.File{Title: "FILE 001.pdf", Size: 1, By: w.owner})
	w.writeRules(rule("uploads", w.room, w.dest, "conflict: skip"))
	w.start()
	w.upload(3)
	w.wantTitles(w.dest, "FILE 001.pdf", "File 000.pdf", "File 002.pdf")
	skipped := w.transfers("skipped")
	if len(skipped) != 1 || skipped[0].Title != "File 001.pdf" {
		t.Errorf("skipped transfers: %+v, want only File 001.pdf", skipped)
	}
}

func TestOverwriteAddsOneVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	existing := w.portal.AddFile(w.dest, portalsim.File{Title: "File 000.pdf", Size: 1, By: w.robot})
	w.writeRules(rule("uploads", w.room, w.dest, "conflict: overwrite"))
	w.run()
	w.portal.Inject(portalsim.Fault{Kind: portalsim.LoseAnswer, Path: "files/fileops/copy", Times: 1})
	w.addWebhook()
	w.upload(1)
	w.wantTitles(w.dest, "File 000.pdf")
	if e, _ := w.portal.FileByID(existing); e.Version != 2 || e.Size != 100 {
		t.Errorf("the existing file is now version %d with %d bytes, want version 2 with 100", e.Version, e.Size)
	}
}

func TestAMissingDestinationFailsWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, "999999"))
	w.start()
	w.upload(3)
	w.rest()
	failed := w.transfers("failed")
	if len(failed) != 3 || !strings.Contains(failed[0].Reason, "the destination folder 999999 does not exist") {
		t.Errorf("failed transfers: %+v, want all three, because the destination does not exist", failed)
	}
}

func TestADestinationDeletedMidwayLosesNothingSilently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	w.portal.Inject(portalsim.Fault{Kind: portalsim.DeleteDestination, Times: 1})
	w.addWebhook()
	w.upload(3)
	w.rest()
	if failed := w.transfers("failed"); len(failed) != 3 {
		t.Errorf("transfers: %+v, want all three failed", w.transfers(""))
	}
}

func TestMissingRightsAreRetriedUntilTheyAreGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.portal.SetMember(w.dest, w.robot, portalsim.Read)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	want := w.upload(3)
	w.eventually("the transfers tell why they wait", func() bool {
		for _, tr := range w.transfers("queued") {
			if tr.Attempts > 1 && strings.Contains(tr.Reason, "may not create anything in the destination folder") {
				return true
			}
		}
		return false
	})
	w.portal.SetMember(w.dest, w.robot, portalsim.ContentCreator)
	w.wantTitles(w.dest, want...)
}

func TestARevokedKeyCostsNoTransfer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	w.portal.RevokeKey(w.env["DOCSPACE_API_KEY"])
	want := w.upload(3)
	// One that comes when the key is known to be refused is not even tried.
	w.eventually("the transfers wait, and those that were tried tell why", func() bool {
		refused, untried := 0, 0
		for _, tr := range w.transfers("queued") {
			switch {
			case strings.Contains(tr.Reason, "401"):
				refused++
			case tr.Reason == "" && tr.Attempts == 0:
				untried++
			}
		}
		return refused > 0 && refused+untried == 3
	})
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot)
	w.writeRules(rule("uploads", w.room, w.dest) + "# a new key\n")
	w.wantTitles(w.dest, want...)
	for _, tr := range w.transfers("") {
		if tr.Attempts > 1 {
			t.Errorf("transfer of %s took %d attempts, want none to count while the key was refused", tr.Title, tr.Attempts)
		}
	}
}

func TestSameNamedUploadsNeverShareABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{ItemDuration: portalTime}})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	var want []string
	for i := range 5 {
		folder := w.portal.AddFolder(w.room, fmt.Sprintf("Folder %d", i), w.client)
		w.portal.Upload(folder, "Invoice.pdf", int64(i+1), w.client)
		title := "Invoice.pdf"
		if i > 0 {
			title = fmt.Sprintf("Invoice (%d).pdf", i)
		}
		want = append(want, title)
	}
	w.wantTitles(w.dest, want...)
	sizes := map[int64]int{}
	for _, e := range w.portal.List(w.dest) {
		sizes[e.Size]++
	}
	for i := range 5 {
		if sizes[int64(i+1)] != 1 {
			t.Errorf("sizes in the destination: %v, want each of 1 to 5 bytes once", sizes)
		}
	}
}
