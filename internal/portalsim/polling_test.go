package portalsim

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (d *desk) poll(path string) []wireOperation {
	d.t.Helper()
	return read[[]wireOperation](d.t, d.call("GET", path, nil))
}

// finishedOnes starts operations that end at once, and answers their ids.
func (d *desk) finishedOnes(kinds ...string) []string {
	d.t.Helper()
	var ids []string
	for _, kind := range kinds {
		file := d.p.AddFile(d.room, File{Title: "file for " + kind, By: d.ann})
		ids = append(ids, d.transfer(kind, body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": 2}).ID)
	}
	d.ended()
	return ids
}

func TestResultsAreReadOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		read func(d *desk, ids []string)
		left []string // kinds whose results are still to be had
	}{
		"by id": {func(d *desk, ids []string) {
			if got := d.poll("files/fileops?id=" + ids[0]); len(got) != 1 || !got[0].Finished {
				d.t.Errorf("operations %+v", got)
			}
		}, []string{"move"}},
		"without an id all are gone": {func(d *desk, _ []string) {
			if got := d.poll("files/fileops"); len(got) != 2 {
				d.t.Errorf("operations %+v", got)
			}
		}, nil},
		"by type both kinds are gone, though one is shown": {func(d *desk, _ []string) {
			if got := d.poll("files/fileops/copy"); len(got) != 1 || got[0].Operation != 1 {
				d.t.Errorf("operations %+v", got)
			}
		}, nil},
		"by type number": {func(d *desk, _ []string) {
			if got := d.poll("files/fileops/0"); len(got) != 1 || got[0].Operation != 0 {
				d.t.Errorf("operations %+v", got)
			}
		}, nil},
		"by type and id": {func(d *desk, ids []string) {
			if got := d.poll("files/fileops/0?id=" + ids[1]); len(got) != 1 {
				d.t.Errorf("operations %+v", got)
			}
		}, []string{"copy"}},
		"a PUT without returnSingleOperation steals copies and moves": {func(d *desk, _ []string) {
			file := d.p.AddFile(d.room, File{Title: "another", By: d.ann})
			got := read[[]wireOperation](d.t, d.call("PUT", "files/fileops/copy", body{"fileIds": []ID{file}, "destFolderId": d.archive}))
			if len(got) != 2 || got[0].Operation != 1 || got[1].Operation != 1 {
				d.t.Errorf("it shows copies only: %+v", got)
			}
		}, nil},
		"a PUT with returnSingleOperation takes nothing": {func(d *desk, _ []string) {
			file := d.p.AddFile(d.room, File{Title: "another", By: d.ann})
			d.transfer("copy", body{"fileIds": []ID{file}, "destFolderId": d.archive})
		}, []string{"copy", "move"}},
		"somebody else sees and takes nothing": {func(d *desk, ids []string) {
			other := d.as(d.p.AddKey(d.ann))
			if got := other.poll("files/fileops?id=" + ids[0]); len(got) != 0 {
				d.t.Errorf("operations %+v", got)
			}
		}, []string{"copy", "move"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, Options{})
			ids := d.finishedOnes("copy", "move")
			test.read(d, ids)
			var left []string
			for i, kind := range []string{"copy", "move"} {
				if len(d.poll("files/fileops?id="+ids[i])) == 1 {
					left = append(left, kind)
				}
			}
			if diff := cmp.Diff(test.left, left); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeleteAfterOnlyThrowsTheResultAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	file := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
	op := d.transfer("move", body{"fileIds": []ID{file}, "destFolderId": d.archive, "deleteAfter": true})
	d.ended()
	if got := d.poll("files/fileops?id=" + op.ID); len(got) != 0 {
		t.Errorf("operations %+v", got)
	}
	if got := d.p.List(d.archive); len(got) != 1 {
		t.Errorf("destination %+v", got)
	}
}

func TestProgressIsPublishedItemByItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: 10 * time.Second}})
		var files []ID
		for _, title := range []string{"a", "b", "c", "d"} {
			files = append(files, d.p.AddFile(d.room, File{Title: title, By: d.ann}))
		}
		op := d.transfer("copy", body{"fileIds": files, "destFolderId": d.archive})
		time.Sleep(25 * time.Second)
		got := d.poll("files/fileops?id=" + op.ID)[0]
		if got.Status != 1 || got.Progress != 50 || got.Processed != "2" || got.Finished {
			t.Errorf("operation %+v", got)
		}
		if diff := cmp.Diff([]string{"a", "b"}, titles(got.Files)); diff != "" {
			t.Error(diff)
		}
		if got.Files[0].ID != files[0] {
			t.Error("a running operation lists sources, not results")
		}
		time.Sleep(20 * time.Second)
		got = d.poll("files/fileops?id=" + op.ID)[0]
		if !got.Finished || len(got.Files) != 4 || got.Files[0].ID == files[0] {
			t.Errorf("operation %+v", got)
		}
	})
}

func TestResultsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{})
		ids := d.finishedOnes("copy", "move")
		time.Sleep(55 * time.Second)
		if got := d.poll("files/fileops?id=" + ids[0]); len(got) != 1 {
			t.Error("gone before its time")
		}
		time.Sleep(20 * time.Second)
		if got := d.poll("files/fileops?id=" + ids[1]); len(got) != 0 {
			t.Error("still there 60 s after its last progress")
		}
	})
}

func TestAnOperationWithoutProgressIsDroppedAndTheRestSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: 90 * time.Second}})
		var files []ID
		for _, title := range []string{"large", "second", "third"} {
			files = append(files, d.p.AddFile(d.room, File{Title: title, By: d.ann}))
		}
		op := d.transfer("copy", body{"fileIds": files, "destFolderId": d.archive})
		time.Sleep(75 * time.Second)
		if got := d.poll("files/fileops?id=" + op.ID); len(got) != 0 {
			t.Errorf("still listed: %+v", got)
		}
		if got := names(d.p.List(d.archive)); len(got) != 0 {
			t.Errorf("done already: %v", got)
		}
		time.Sleep(10 * time.Minute)
		if diff := cmp.Diff([]string{"large"}, names(d.p.List(d.archive))); diff != "" {
			t.Errorf("the item at work is still copied, the others are not:\n%s", diff)
		}
	})
}

func TestWorkersAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: 10 * time.Second}})
		for i := range 12 {
			file := d.p.AddFile(d.room, File{Title: strconv.Itoa(i), By: d.ann})
			d.transfer("copy", body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": 2})
		}
		time.Sleep(11 * time.Second)
		if diff := cmp.Diff([]string{"10", "11"}, waitingFiles(d.p)); diff != "" {
			t.Errorf("first come, first served:\n%s", diff)
		}
		if got := len(d.p.List(d.archive)); got != 10 {
			t.Errorf("%d done in the first round", got)
		}
		time.Sleep(10 * time.Second)
		if got := len(d.p.List(d.archive)); got != 12 {
			t.Errorf("%d done in the second round", got)
		}
	})
}

// waitingFiles are the titles of files of operations that have not ended.
func waitingFiles(p *Portal) []string {
	var titles []string
	for _, op := range p.Operations() {
		if f, ok := p.FileByID(op.Files[0]); ok && op.Ended.IsZero() {
			titles = append(titles, f.Title)
		}
	}
	return titles
}

func TestTerminateCancelsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"one": "files/fileops/terminate/", "all": "files/fileops/terminate"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: 10 * time.Second}})
				var files []ID
				for _, title := range []string{"a", "b", "c", "d"} {
					files = append(files, d.p.AddFile(d.room, File{Title: title, By: d.ann}))
				}
				op := d.transfer("copy", body{"fileIds": files, "destFolderId": d.archive})
				time.Sleep(15 * time.Second)
				target := path
				if name == "one" {
					target += op.ID
				}
				read[[]wireOperation](t, d.call("PUT", target, nil))
				if got := d.poll("files/fileops?id=" + op.ID); len(got) != 0 {
					t.Errorf("still listed: %+v", got)
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff([]string{"a", "b"}, names(d.p.List(d.archive))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestErrorsOfABatchCollapse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: time.Second}})
		var files []ID
		for _, title := range []string{"a", "b", "c", "d"} {
			files = append(files, d.p.AddFile(d.room, File{Title: title, By: d.ann}))
		}
		op := d.transfer("move", body{"fileIds": files, "destFolderId": d.archive})
		// After the check, before their turn, one is locked and one deleted.
		d.p.Lock(files[1], d.ann)
		d.p.Delete(KindFile, files[2], d.ann)
		time.Sleep(5 * time.Second)
		got := d.follow(op.ID)
		if got.Error != textFileNotFound || !got.Finished || got.Status != 2 {
			t.Errorf("only the last error that was not empty survives: %+v", got)
		}
		if diff := cmp.Diff([]string{"a", "d"}, titles(got.Files)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADestinationThatVanishesLeavesNoTrace(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	dest := d.p.AddFolder(d.archive, "Dest", d.ann)
	file := d.p.AddFile(d.room, File{Title: "a", By: d.ann})
	d.p.Inject(Fault{Kind: DeleteDestination, Times: 1})
	op := d.run("copy", body{"fileIds": []ID{file}, "destFolderId": dest})
	if !op.Finished || op.Error != "" || op.Files != nil || op.Processed != "0" {
		t.Errorf("operation %+v", op)
	}
	if _, ok := d.p.FolderByID(dest); ok {
		t.Error("the destination is still there")
	}
}

func TestCloseEndsWhatIsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: time.Hour}})
		file := d.p.AddFile(d.room, File{Title: "a", By: d.ann})
		d.transfer("copy", body{"fileIds": []ID{file}, "destFolderId": d.archive})
		remove := d.p.Inject(Fault{Kind: Hang, Path: "people"})
		defer remove()
		result := make(chan error, 1)
		go func() {
			_, err := d.try(context.Background(), "GET", "people/@self", nil)
			result <- err
		}()
		synctest.Wait()
		d.p.Close()
		if err := <-result; err == nil {
			t.Error("a hanging request was answered")
		}
		if a, err := d.try(context.Background(), "GET", "settings", nil); err != nil || a.Status != 503 {
			t.Errorf("a closed portal answers %d, %v", a.Status, err)
		}
	})
}
