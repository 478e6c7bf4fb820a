package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"docspace-router/internal/portalsim"
)

func TestUploadsIntoARoomAndBelowItAreCopied(t *testing.T) {
	t.Parallel()
	for _, generation := range []int{3, 4} {
		t.Run(fmt.Sprintf("generation %d", generation), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{Generation: generation})
			below := w.portal.AddFolder(w.portal.AddFolder(w.room, "2026", w.client), "11", w.client)
			w.writeRules(rule("uploads", w.room, w.dest, `when: file.size < 2 * MB`))
			w.start()

			w.portal.Upload(w.room, "Offer.pdf", 1000, w.client)
			w.portal.Upload(below, "Plan & 'Größe' 1.docx", 1000, w.client)
			w.portal.UploadOneShot(w.room, "Both triggers.pdf", 1000, w.client)
			w.portal.Upload(w.room, "Huge.pdf", 3_000_000, w.client)
			w.portal.Upload(w.dest, "Ours.pdf", 1000, w.client)
			w.wantTitles(w.dest, "Offer.pdf", "Plan & 'Größe' 1.docx", "Both triggers.pdf", "Ours.pdf")
			if got := w.titles(w.room); len(got) != 4 { // three files and the folder; copies leave them
				t.Errorf("the client's room holds %q", got)
			}
		})
	}
}

func TestFilesOfTheSameNameFromTwoRoomsBothArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	second := w.addRoom("Second client")
	w.writeRules(rule("first", w.room, w.dest), rule("second", second, w.dest))
	w.start()
	w.portal.Upload(w.room, "invoice.pdf", 10, w.client)
	w.portal.Upload(second, "invoice.pdf", 20, w.client)
	w.wantTitles(w.dest, "invoice.pdf", "invoice (1).pdf")
	sizes := map[int64]bool{}
	for _, e := range w.portal.List(w.dest) {
		sizes[e.Size] = true
	}
	if !sizes[10] || !sizes[20] {
		t.Errorf("sizes in the destination: %v, want one of 10 and one of 20 bytes", sizes)
	}
}

func TestMovesFoldersAndCopiesBeforeMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	archive := w.addRoom("Archive of ours")
	w.writeRules(
		rule("move-away", w.room, archive, "action: move"),
		rule("copy-too", w.room, w.dest),
		rule("folders", w.room, w.dest, "triggers: [folder.created]"),
	)
	w.start()
	file := w.portal.Upload(w.room, "Signed.pdf", 10, w.client)
	w.wantTitles(archive, "Signed.pdf")
	w.wantTitles(w.dest, "Signed.pdf")
	if got := w.portal.List(archive); len(got) != 1 || got[0].ID != file {
		t.Errorf("the archive holds %+v, want file %s itself", got, file)
	}
	w.portal.CreateFolder(w.room, "New folder", w.client)
	w.wantTitles(w.dest, "Signed.pdf", "New folder")
	w.wantTitles(w.room, "New folder")
}

func TestOwnEchoesAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	third := w.addRoom("Third")
	w.writeRules(
		rule("first", w.room, w.dest, "triggers: [file.*]"),
		rule("second", w.dest, third, "triggers: [file.*]"),
	)
	w.start()
	w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.wantTitles(w.dest, "a.pdf")
	w.wantTitles(third)
	ignored := w.events("ignored")
	if len(ignored) != 1 || ignored[0].Trigger != "file.copied" || !strings.Contains(ignored[0].Reason, "the gateway itself") {
		t.Errorf("ignored events: %+v, want one file.copied caused by the gateway itself", ignored)
	}
	// A person's copy is no echo.
	w.portal.CopyEntry(portalsim.KindFile, w.portal.List(w.dest)[0].ID, w.dest, portalsim.Duplicate, w.client)
	w.wantTitles(third, "a (1).pdf")
}

// TestCapturedDeliveriesAreRouted takes the two real deliveries byte for byte, each with its
// own secret and signature, from a portal on which their files lie.
func TestCapturedDeliveriesAreRouted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file, secret, signature string
		folder, entry                 int
		title                         string
	}{
		{
			"3.x", "file.created.v3.json", "test123!@#%ABC",
			"sha256=520FEF8A53886234C06559A5204F54248DE7E346C72BF1A908CC3B098B81D3A8", 6590430, 3358285, "321.xlsx",
		},
		{
			"next generation", "file.created.v4.json", "ednntakm",
			"sha256=609B57702289EB58113BCCFC4955097C5D4338E10C94DB3C1E1FF8DA87991E21", 18, 47, "TestDoc.docx",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "webhooks", c.file))
			if os.IsNotExist(err) {
				t.Skip("the captured deliveries are kept outside of the project")
			}
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, portalsim.Options{FirstFileID: c.entry, FirstFolderID: c.folder - 12})
			w.env["DOCSPACE_WEBHOOK_SECRET"] = c.secret
			room := w.addRoom("Captured")
			for strconv.Itoa(c.folder) != string(room) {
				if n, _ := strconv.Atoi(string(room)); n > c.folder {
					t.Fatalf("room %s is already beyond %d", room, c.folder)
				}
				room = w.addRoom("Captured")
			}
			if id := w.portal.AddFile(room, portalsim.File{Title: c.title, Size: 7726, By: w.client}); id != portalsim.ID(strconv.Itoa(c.entry)) {
				t.Fatalf("the file is number %s, want %d", id, c.entry)
			}
			w.writeRules(rule("all", room, w.dest))
			w.run()

			head, err := http.Head("http://" + w.gateway.Addr() + "/webhook")
			if err != nil || head.StatusCode != http.StatusOK {
				t.Fatalf("HEAD /webhook: %v %v", head, err)
			}
			head.Body.Close()
			if code, answer := w.deliver(body, c.signature); code != http.StatusOK || answer != `{"status":"ok"}` {
				t.Fatalf("the captured delivery was answered %d %s", code, answer)
			}
			w.wantTitles(w.dest, c.title)
			if code, answer := w.deliver(body, c.signature); code != http.StatusOK || !strings.Contains(answer, `"duplicate":true`) {
				t.Errorf("the same delivery again was answered %d %s", code, answer)
			}
			body[len(body)-3] ^= 1
			if code, answer := w.deliver(body, c.signature); code != http.StatusUnauthorized {
				t.Errorf("with one byte changed it was answered %d %s", code, answer)
			}
			w.wantTitles(w.dest, c.title)
		})
	}
}

func TestAThousandUploadsArriveOnceInFewCalls(t *testing.T) {
	t.Parallel()
	uploads := fewer(1000, 200)
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{ItemDuration: portalTime}})
	w.options.Pace.Poll = 0 // the gateway's own pace
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	want := make([]string, uploads)
	var people sync.WaitGroup
	for i := range want {
		want[i] = fmt.Sprintf("Scan %04d.pdf", i)
	}
	for person := range 10 {
		people.Go(func() {
			for i := person; i < uploads; i += 10 {
				w.portal.Upload(w.room, want[i], 1000, w.client)
			}
		})
	}
	people.Wait()
	w.wantTitles(w.dest, want...)
	if n := w.writes(); n > 40 {
		t.Errorf("%d write calls for %d uploads, want at most 40: %v", n, uploads, w.portal.Calls().Batches)
	} else {
		t.Logf("%d uploads in %d write calls: %v", uploads, n, w.portal.Calls().Batches)
	}
}
