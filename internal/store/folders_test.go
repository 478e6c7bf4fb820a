package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

var monthFolder = FolderKey{Portal: "acme", Parent: "20", Title: "2026-03"}

func (h *harness) begin(k FolderKey, lookedAt time.Time, b Budget) (begun bool, wait time.Duration) {
	h.t.Helper()
	begun, wait, err := h.BeginFolder(h.ctx(), k, lookedAt, time.Minute, b)
	h.must(err)
	return begun, wait
}

func (h *harness) folder(k FolderKey) PathFolder {
	h.t.Helper()
	f, err := h.PathFolder(h.ctx(), k)
	h.must(err)
	return f
}

func TestOneOfManyCreatesAFolder(t *testing.T) {
	t.Parallel()
	h := open(t)
	now := h.time.now()
	var begun atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if ok, _, err := h.BeginFolder(h.ctx(), monthFolder, now, time.Minute, Budget{}); err != nil {
				t.Error(err)
			} else if ok {
				begun.Add(1)
			}
		})
	}
	group.Wait()
	if n := begun.Load(); n != 1 {
		t.Errorf("%d may create the folder", n)
	}
	for name, k := range map[string]FolderKey{
		"title": {"acme", "20", "2026-04"}, "parent": {"acme", "21", "2026-03"}, "portal": {"beta", "20", "2026-03"},
	} {
		if ok, _ := h.begin(k, now, Budget{}); !ok {
			t.Errorf("another %s has to wait", name)
		}
	}
}

func TestALostCallIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := open(t)
	sent := h.time.now()
	if ok, _ := h.begin(monthFolder, sent, Budget{}); !ok {
		t.Fatal("not begun")
	}
	if got := h.folder(monthFolder); got.ID != "" || !got.SentAt.Equal(sent) {
		t.Errorf("row %+v", got)
	}
	h.time.advance(2 * time.Minute)
	// It counts when the look was, not when the next one begins.
	if ok, _ := h.begin(monthFolder, sent.Add(time.Minute-time.Millisecond), Budget{}); ok {
		t.Error("begun again after a look that was too early")
	}
	if ok, _ := h.begin(monthFolder, sent.Add(time.Minute), Budget{}); !ok {
		t.Error("not begun again when nothing can appear any more")
	}
	h.must(h.AbandonFolder(h.ctx(), monthFolder))
	if ok, _ := h.begin(monthFolder, h.time.now(), Budget{}); !ok {
		t.Error("not begun after a certain refusal")
	}
}

func TestAKnownFolderIsNotCreated(t *testing.T) {
	t.Parallel()
	h := open(t)
	key := FolderKey{"acme", "20", "Größe: A"}
	h.must(h.KeepFolder(h.ctx(), key, "77", "Größe_ A"))
	key.Title = "größe: a" // case does not matter
	want := PathFolder{ID: "77", Title: "Größe_ A", KeptAt: h.time.now()}
	if diff := cmp.Diff(want, h.folder(key)); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
	h.time.advance(time.Hour)
	if ok, _ := h.begin(key, h.time.now(), Budget{}); ok {
		t.Error("begun although the folder is known")
	}
	// Two find it gone; the second must not forget what the first has made since.
	h.must(h.ForgetFolder(h.ctx(), key, "77"))
	h.must(h.KeepFolder(h.ctx(), key, "78", "Größe_ A"))
	h.must(h.ForgetFolder(h.ctx(), key, "77"))
	if got := h.folder(key).ID; got != "78" {
		t.Errorf("folder %q, want 78", got)
	}
}

func TestFoldersAndTheBudget(t *testing.T) {
	t.Parallel()
	h := open(t)
	b := Budget{WritesPerDay: 4} // one at once
	if ok, wait := h.begin(monthFolder, h.time.now(), b); !ok || wait != 0 {
		t.Fatalf("begun %v, wait %v", ok, wait)
	}
	other := FolderKey{"acme", "20", "other"}
	if ok, wait := h.begin(other, h.time.now(), b); ok || wait <= 0 {
		t.Errorf("begun %v, wait %v, without a write left", ok, wait)
	}
	if got := h.folder(other); got != (PathFolder{}) {
		t.Errorf("what was not begun left %+v", got)
	}
	u, err := h.Usage(h.ctx(), "acme", b)
	h.must(err)
	if u.WritesToday != 1 {
		t.Errorf("%d writes today", u.WritesToday)
	}
}

func TestOldFoldersAreForgotten(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.must(h.KeepFolder(h.ctx(), FolderKey{"acme", "20", "old"}, "1", "old"))
	h.time.advance(time.Hour)
	h.must(h.KeepFolder(h.ctx(), FolderKey{"acme", "20", "new"}, "2", "new"))
	h.begin(FolderKey{"acme", "20", "sent"}, h.time.now(), Budget{})
	n, err := h.PruneFolders(h.ctx(), h.time.now().Add(-time.Minute), 10)
	h.must(err)
	if n != 1 || h.count("path_folders") != 2 || h.folder(FolderKey{"acme", "20", "old"}).ID != "" {
		t.Errorf("%d forgotten, %d left", n, h.count("path_folders"))
	}
}

func TestTrails(t *testing.T) {
	t.Parallel()
	h := open(t)
	led := func(to event.ID, kind event.Kind, steps ...string) {
		h.route(h.planned(func(t *NewTransfer) {
			t.Destination, t.Entry.Kind, t.Trail = to, kind, steps
			t.Entry.ID = event.ID("e" + string(to) + string(kind) + steps[0])
		}))
	}
	h.route(h.planned()) // of people's events, without a trail
	led("20", event.File, "a 20")
	led("20", event.File, "b 30", "a 20")
	led("10", event.Folder, "f 10")
	led("10", event.File, "g 10")
	led("99", event.File, "x 99")
	led("20", event.File, "a 20", "old 20")
	inForce := func(step string) bool { return step != "old 20" }
	for _, c := range []struct {
		above []event.ID
		want  []string
	}{
		{nil, []string{"a 20", "b 30"}},
		{[]event.ID{"10", "5"}, []string{"a 20", "b 30", "f 10"}}, // files do not bring along what is below
	} {
		got, err := h.Trail(h.ctx(), "acme", "20", c.above, h.time.now(), inForce)
		h.must(err)
		if !slices.Equal(got, c.want) {
			t.Errorf("trail below %q is %q, want %q", c.above, got, c.want)
		}
	}
	if got, err := h.Trail(h.ctx(), "beta", "20", nil, h.time.now(), inForce); err != nil || len(got) != 0 {
		t.Errorf("another portal's trail: %q, %v", got, err)
	}
}

// A path can change from one report of a happening to the next, as one with the event's id does.
func TestATwinIsFoundWhateverThePath(t *testing.T) {
	t.Parallel()
	h := open(t)
	to := func(folder event.ID) func(*NewTransfer) {
		return func(t *NewTransfer) { t.Destination, t.Base = folder, "20" }
	}
	h.route(h.planned(trigger("file.created"), to("101")))
	h.event()
	h.save(Decision{EventID: h.event(func(e *NewEvent) { e.Event.Trigger = "file.uploaded" }), State: event.EventRouted, Transfers: []NewTransfer{
		h.planned(trigger("file.uploaded"), to("102")),
	}})
	if n := h.count("transfers"); n != 1 {
		t.Errorf("%d transfers of one upload", n)
	}
}

// TestRefusalsSpaceOutTheCalls is about a folder that the portal refuses to create, and then does
// not.
func TestRefusalsSpaceOutTheCalls(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, pause := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
		if ok, _ := h.begin(monthFolder, h.time.now(), Budget{}); !ok {
			t.Fatalf("not begun before the pause of %s", pause)
		}
		h.must(h.RefuseFolder(h.ctx(), monthFolder, Refusal{Status: 403, Reason: "Access denied"}))
		want := PathFolder{Refused: Refusal{Until: h.time.now().Add(pause), Status: 403, Reason: "Access denied"}}
		if diff := cmp.Diff(want, h.folder(monthFolder)); diff != "" {
			t.Errorf("folder (-want +got):\n%s", diff)
		}
		h.time.advance(pause - time.Millisecond)
		if ok, _ := h.begin(monthFolder, h.time.now(), Budget{}); ok {
			t.Errorf("begun within %s of a refusal", pause)
		}
		h.time.advance(time.Millisecond)
	}
	h.must(h.KeepFolder(h.ctx(), monthFolder, "77", "2026-03"))
	h.must(h.RefuseFolder(h.ctx(), monthFolder, Refusal{Status: 403}))
	if got := h.folder(monthFolder); got.ID != "77" || got.Refused != (Refusal{}) {
		t.Errorf("a late refusal of a folder that is there left %+v", got)
	}
}
