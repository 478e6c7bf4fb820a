package portalsim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRightsAreCheckedAgain takes away, after the PUT accepted a batch, what the transfer
// of its file needs.
func TestRightsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind     string
		conflict int
		between  func(d *desk, file, other ID)
		error    string
		moved    bool
	}{
		"nothing happens":                 {"move", 1, func(*desk, ID, ID) {}, "", true},
		"the role in the source, copy":    {"copy", 1, func(d *desk, _, _ ID) { d.p.SetMember(d.room, d.gateway, NoAccess) }, textCopyFile, false},
		"the role in the source, move":    {"move", 1, func(d *desk, _, _ ID) { d.p.SetMember(d.room, d.gateway, Read) }, textMoveFile, false},
		"the role in the destination":     {"move", 1, func(d *desk, _, _ ID) { d.p.SetMember(d.archive, d.gateway, Read) }, "", false},
		"the file is locked":              {"move", 1, func(d *desk, f, _ ID) { d.p.Lock(f, d.ann) }, textLocked, false},
		"the file is opened":              {"move", 1, func(d *desk, f, _ ID) { d.p.SetEditing(f, true) }, textEditing, false},
		"the file is deleted":             {"move", 1, func(d *desk, f, _ ID) { d.p.Delete(KindFile, f, d.ann) }, textFileNotFound, false},
		"the one to overwrite is locked":  {"copy", 1, func(d *desk, _, o ID) { d.p.Lock(o, d.ann) }, textLocked, false},
		"the one to overwrite is opened":  {"copy", 1, func(d *desk, _, o ID) { d.p.SetEditing(o, true) }, textEditing, false},
		"the one to overwrite is deleted": {"copy", 1, func(d *desk, _, o ID) { d.p.Delete(KindFile, o, d.ann) }, "", true},
		"the title is taken meanwhile":    {"copy", 0, func(d *desk, _, o ID) { d.p.Rename(KindFile, o, "a.txt", d.ann) }, "", false},
		"the destination is deleted":      {"move", 1, func(d *desk, _, _ ID) { d.p.DeleteFolder(d.archive, d.ann) }, "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newBubbleDesk(t, Options{Timings: Timings{ItemDuration: 10 * time.Second, Workers: 1}})
				file := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
				title := "a.txt"
				if test.conflict == 0 {
					title = "other.txt"
				}
				other := d.p.AddFile(d.archive, File{Title: title, By: d.ann})
				// One before it keeps the only worker busy.
				busy := d.p.AddFile(d.room, File{Title: "busy.txt", By: d.ann})
				d.transfer("copy", body{"fileIds": []ID{busy}, "destFolderId": d.room, "conflictResolveType": 2})
				op := d.transfer(test.kind, body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": test.conflict})
				test.between(d, file, other)
				time.Sleep(25 * time.Second)
				got := d.poll("files/fileops?id=" + op.ID)
				if len(got) != 1 || !got[0].Finished || got[0].Error != test.error || (len(got[0].Files) == 1) != test.moved {
					t.Errorf("operation %+v", got)
				}
			})
		})
	}
}

func TestFoldersBetweenKindsOfStorage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	drive := d.p.AddThirdPartyRoom(Room{Title: "Drive", Owner: d.gateway}, ThirdParty{})
	top := d.p.AddFolder(d.room, "Case", d.ann)
	sub := d.p.AddFolder(top, "Mail", d.ann)
	d.p.AddFile(sub, File{Title: "b.txt", By: d.ann})
	op := d.run("move", body{"folderIds": []ID{top}, "destFolderId": drive})
	if len(op.Folders) != 2 || op.Folders[1].ID == top {
		t.Errorf("folders %+v", op.Folders)
	}
	var paths []string
	for _, e := range d.p.Tree(drive) {
		paths = append(paths, e.Path)
		if _, number := e.ID.number(); number {
			t.Errorf("%s has id %s", e.Path, e.ID)
		}
	}
	if diff := cmp.Diff([]string{"Case", "Case/Mail", "Case/Mail/b.txt"}, paths); diff != "" {
		t.Error(diff)
	}
	if _, ok := d.p.FolderByID(top); ok {
		t.Error("the original is still there")
	}
}
