package app_test

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// slowly lets the simulated portal take a second for each entry.
var slowly = deskOptions{portal: portalsim.Options{Timings: portalsim.Timings{ItemDuration: time.Second}}}

// tree makes folders and files in a folder, from paths; those that end in a slash are folders.
func (d *desk) tree(in portalsim.ID, paths ...string) portalsim.ID {
	folders := map[string]portalsim.ID{"": in}
	for _, p := range paths {
		dir, title := path.Split(strings.TrimSuffix(p, "/"))
		parent, ok := folders[strings.TrimSuffix(dir, "/")]
		if !ok {
			d.t.Fatalf("%s comes before its folder", p)
		}
		if strings.HasSuffix(p, "/") {
			folders[strings.TrimSuffix(p, "/")] = d.portal.AddFolder(parent, title, d.client)
		} else {
			d.portal.AddFile(parent, portalsim.File{Title: title, Size: 10, By: d.client})
		}
	}
	return folders[strings.TrimSuffix(paths[0], "/")]
}

// wantTree compares what lies in the destination, at any depth, each once and in one version.
func (d *desk) wantTree(want ...string) {
	d.t.Helper()
	count := map[string]int{}
	for _, p := range want {
		count[p] = 1
	}
	got := map[string]int{}
	for _, e := range d.portal.Tree(d.dest) {
		p := e.Path
		if e.Kind == portalsim.KindFolder {
			p += "/"
		}
		got[p] += max(1, e.Version)
	}
	if !maps.Equal(got, count) {
		d.t.Errorf("the destination holds %v, want %v each once", got, slices.Sorted(maps.Keys(count)))
	}
}

// TestEntriesOfACopiedFolderAreKnownByTheirVeryTitles breaks off the copying of folders in which
// titles differ only by such a number as DocSpace gives to copies.
func TestEntriesOfACopiedFolderAreKnownByTheirVeryTitles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		within int
		source []string
	}{
		"files of one size":            {1, []string{"P/", "P/New.docx", "P/New (1).docx"}},
		"folders":                      {5, []string{"P/", "P/Scan/", "P/Scan/a.pdf", "P/Scan/b.pdf", "P/Scan (1)/", "P/Scan (1)/c.pdf", "P/Scan (1)/d.pdf"}},
		"the numbered one comes first": {2, []string{"P/", "P/Docs (1)/", "P/Docs (1)/a.pdf", "P/Docs/", "P/Docs/b.pdf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, slowly, func(d *desk) {
				d.portal.Inject(portalsim.Fault{Kind: portalsim.Expire, Within: c.within, Times: 1})
				top := d.tree(d.room, c.source...)
				d.wait(10 * time.Second)
				d.transfer(event.Folder, top, "P", d.now())
				d.start()
				d.rest(3 * time.Hour)
				d.wantTree(c.source...)
				d.wantStates(map[event.State]int{event.Done: 1})
			})
		})
	}
}

// TestAMergedFolderIsLookedInto copies a folder onto one of its title that somebody made before.
func TestAMergedFolderIsLookedInto(t *testing.T) {
	t.Parallel()
	source := []string{"P/", "P/Docs (1)/", "P/Docs (1)/a.pdf", "P/b.pdf", "P/c.pdf", "P/d.pdf"}
	for name, faults := range map[string][]portalsim.Fault{
		"nothing goes wrong":       nil,
		"the operation is dropped": {{Kind: portalsim.Expire, Within: 2, Times: 1}},
		"it is dropped each time":  {{Kind: portalsim.Expire, Within: 2}},
		"the answer is lost":       {{Kind: portalsim.LoseAnswer, Path: put, Times: 1}},
		"the operation is lost":    {{Kind: portalsim.LoseOperation, Times: 1}},
	} {
		for _, conflict := range []event.Conflict{event.Skip, event.Overwrite} {
			t.Run(name+", "+string(conflict), func(t *testing.T) {
				t.Parallel()
				simulate(t, slowly, func(d *desk) {
					d.conflict = conflict
					for _, f := range faults {
						d.portal.Inject(f)
					}
					there := []string{"P/", "P/Docs/", "P/Docs/ours.pdf"}
					d.tree(d.dest, there...)
					top := d.tree(d.room, source...)
					d.wait(10 * time.Second)
					d.transfer(event.Folder, top, "P", d.now())
					d.start()
					d.rest(12 * time.Hour)
					d.wantTree(append(there, source[1:]...)...)
					d.wantStates(map[event.State]int{event.Done: 1})
				})
			})
		}
	}
}

// TestAMoveWhoseEntryHasVanishedIsRecognised loses the answers of moves after which the entry they
// were about no longer exists: it has become another.
func TestAMoveWhoseEntryHasVanishedIsRecognised(t *testing.T) {
	t.Parallel()
	lose := portalsim.Fault{Kind: portalsim.LoseAnswer, Path: put, Times: 1}
	t.Run("to storage of another kind", func(t *testing.T) {
		t.Parallel()
		simulate(t, deskOptions{}, func(d *desk) {
			d.action = event.Move
			d.dest = d.portal.AddThirdPartyRoom(portalsim.Room{
				Title: "Elsewhere", Owner: d.owner, Members: map[portalsim.UserID]portalsim.Access{d.robot: portalsim.RoomManager},
			}, portalsim.ThirdParty{Provider: "drive", Account: 12, Owner: d.owner})
			d.portal.Inject(lose)
			want := d.uploads(3)
			d.start()
			d.rest(time.Hour)
			d.wantTitles(want...)
			d.wantStates(map[event.State]int{event.Done: 3})
		})
	})
	for _, conflict := range []event.Conflict{event.Skip, event.Overwrite} {
		t.Run("a folder into one of its title, "+string(conflict), func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{}, func(d *desk) {
				d.action, d.conflict = event.Move, conflict
				d.tree(d.dest, "P/")
				source := []string{"P/", "P/a.pdf", "P/Sub/", "P/Sub/b.pdf"}
				top := d.tree(d.room, source...)
				d.wait(10 * time.Second)
				d.portal.Inject(lose)
				d.transfer(event.Folder, top, "P", d.now())
				d.start()
				d.rest(time.Hour)
				d.wantTree(source...)
				d.wantStates(map[event.State]int{event.Done: 1})
			})
		})
	}
}

// TestAFormIsNotTheFileOfItsTitle lets an item fail silently while the destination holds a form of
// its title, which does not clash with a plain PDF.
func TestAFormIsNotTheFileOfItsTitle(t *testing.T) {
	t.Parallel()
	simulate(t, deskOptions{}, func(d *desk) {
		d.conflict = event.Skip
		d.portal.AddFile(d.dest, portalsim.File{Title: "Order.pdf", Size: 1, By: d.owner, IsForm: true})
		d.wait(10 * time.Second)
		d.portal.Inject(portalsim.Fault{Kind: portalsim.FailItem, Times: 1})
		d.upload("Order.pdf", 100)
		d.upload("Other.pdf", 100)
		d.start()
		d.rest(time.Hour)
		d.wantTitles("Order.pdf", "Order.pdf", "Other.pdf")
		d.wantStates(map[event.State]int{event.Done: 2})
	})
}

// TestALargeFileInAFolderIsNotSentTwice copies a folder with a file that takes longer than the
// portal keeps an operation without progress.
func TestALargeFileInAFolderIsNotSentTwice(t *testing.T) {
	t.Parallel()
	simulate(t, deskOptions{portal: portalsim.Options{Timings: portalsim.Timings{ItemDuration: 140 * time.Second}}}, func(d *desk) {
		top := d.tree(d.room, "P/")
		d.portal.AddFile(top, portalsim.File{Title: "Film.mp4", Size: 4 << 30, By: d.client})
		d.wait(10 * time.Second)
		d.transfer(event.Folder, top, "P", d.now())
		d.start()
		d.rest(6 * time.Hour)
		d.wait(time.Hour)
		d.wantTree("P/", "P/Film.mp4")
	})
}

// TestWhatIsAchievedCostsNoAttempt drops every operation after a few files of a folder.
func TestWhatIsAchievedCostsNoAttempt(t *testing.T) {
	t.Parallel()
	simulate(t, slowly, func(d *desk) {
		d.portal.Inject(portalsim.Fault{Kind: portalsim.Expire, Within: 3, Times: 1})
		d.portal.Inject(portalsim.Fault{Kind: portalsim.Expire, Item: 2})
		source := []string{"P/"}
		for i := range 20 {
			source = append(source, fmt.Sprintf("P/Sheet %02d.pdf", i))
		}
		top := d.tree(d.room, source...)
		d.wait(10 * time.Second)
		d.transfer(event.Folder, top, "P", d.now())
		d.start()
		d.rest(3 * time.Hour)
		d.wantTree(source...)
		if tr := d.only(); tr.State != event.Done || tr.Attempts > 1 || !tr.FailingSince.IsZero() {
			t.Errorf("the transfer is %s after %d attempts, failing since %v; want it done at the first", tr.State, tr.Attempts, tr.FailingSince)
		}
	})
}

// TestACopyThatWasDeletedIsMadeAnew deletes a folder that was copied in part before the rest came,
// and reports the same happening once more.
func TestACopyThatWasDeletedIsMadeAnew(t *testing.T) {
	t.Parallel()
	simulate(t, slowly, func(d *desk) {
		d.portal.Inject(portalsim.Fault{Kind: portalsim.Expire, Within: 2, Times: 1})
		d.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Path: put, Method: http.MethodPut, After: 1, Times: 1, RetryAfter: 50 * time.Second})
		source := []string{"P/", "P/a.pdf", "P/b.pdf", "P/c.pdf"}
		top := d.tree(d.room, source...)
		d.wait(10 * time.Second)
		happened := d.now()
		d.transfer(event.Folder, top, "P", happened)
		d.start()
		for d.only().ResultID == "" || d.only().State != event.Queued {
			d.wait(time.Second)
		}
		d.portal.Delete(portalsim.KindFolder, portalsim.ID(d.only().ResultID), d.owner)
		d.rest(time.Hour)
		if tr := d.only(); tr.State != event.Failed || !strings.Contains(tr.Reason, "deleted since") {
			t.Errorf("the transfer is %s (%q), want it failed because the copy was deleted", tr.State, tr.Reason)
		}
		d.transfer(event.Folder, top, "P", happened)
		d.rest(time.Hour)
		d.wantTree(source...)
		d.wantStates(map[event.State]int{event.Done: 1})
	})
}

// TestASlowPortalIsWaitedFor lets every read take as long as over the internet. What has to be
// looked at before something is sent again takes longer than a claim is fresh.
func TestASlowPortalIsWaitedFor(t *testing.T) {
	t.Parallel()
	late := portalsim.Fault{Kind: portalsim.Late, Delay: 400 * time.Millisecond, Method: http.MethodGet}
	t.Run("many files", func(t *testing.T) {
		t.Parallel()
		simulate(t, deskOptions{}, func(d *desk) {
			d.portal.Inject(late)
			d.portal.Inject(portalsim.Fault{Kind: portalsim.LoseOperation, Times: 1})
			want := d.uploads(250)
			d.start()
			d.rest(time.Hour)
			d.wantTitles(want...)
			if n := d.portal.Calls().Transfers(); n > 4 {
				t.Errorf("%d calls to copy, want few", n)
			}
		})
	})
	t.Run("a large tree", func(t *testing.T) {
		t.Parallel()
		simulate(t, slowly, func(d *desk) {
			d.portal.Inject(late)
			d.portal.Inject(portalsim.Fault{Kind: portalsim.Expire, Within: 130, Times: 1})
			source := []string{"P/"}
			for i := range 80 {
				source = append(source, fmt.Sprintf("P/Client %02d/", i), fmt.Sprintf("P/Client %02d/a.pdf", i))
			}
			top := d.tree(d.room, source...)
			d.wait(10 * time.Second)
			d.transfer(event.Folder, top, "P", d.now())
			d.start()
			d.rest(time.Hour)
			d.wantTree(source...)
			if limit := d.dispatcher.Timeout(nil); limit >= 0 {
				t.Errorf("a job is cut off after %v, however much it has to look through", limit)
			}
		})
	})
}
