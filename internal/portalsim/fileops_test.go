package portalsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type body = map[string]any

func names(list []Entry) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.Title)
	}
	return out
}

func TestCopyMakesNewFilesOfTheCallers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	a := d.p.AddFile(d.room, File{Title: "Invoice.PDF", Size: 10, By: d.ann})
	b := d.p.AddFile(d.room, File{Title: "b.txt", Size: 20, By: d.ann})
	d.p.UpdateFile(b, 21, d.ann)

	raw := d.call("PUT", "files/fileops/copy", body{
		"fileIds": []ID{a, b}, "destFolderId": d.archive, "returnSingleOperation": true,
	})
	var started []map[string]any
	if err := json.Unmarshal(raw.Response, &started); err != nil || len(started) != 1 {
		t.Fatalf("%v in %s", err, raw.Body)
	}
	for key, want := range map[string]any{"Operation": 1.0, "processed": "0", "finished": false, "status": 0.0, "error": "", "progress": 0.0} {
		if started[0][key] != want {
			t.Errorf("%s is %v, want %v", key, started[0][key], want)
		}
	}
	op := d.follow(started[0]["id"].(string))
	if !op.Finished || op.Status != 2 || op.Progress != 100 || op.Processed != "2" || op.Error != "" || op.Folders != nil {
		t.Errorf("operation %+v", op)
	}
	if diff := cmp.Diff([]string{"Invoice.pdf", "b.txt"}, titles(op.Files)); diff != "" {
		t.Errorf("the extension is lower-cased:\n%s", diff)
	}
	for _, f := range op.Files {
		if f.FolderID != d.archive || f.CreatedBy.ID != d.gateway || f.Version != 1 || f.ID == a || f.ID == b {
			t.Errorf("file %+v", f)
		}
	}
	if n := d.p.Calls().Transfers(); n != 1 {
		t.Errorf("%d write calls", n)
	}
	if diff := cmp.Diff([]int{2}, d.p.Calls().Batches); diff != "" {
		t.Error(diff)
	}
}

func TestTitleClashes(t *testing.T) {
	t.Parallel()
	type entry struct {
		Title   string
		Version int
		Size    int64
	}
	tests := map[string]struct {
		kind     string
		conflict any
		title    string // of the file to transfer, 20 bytes
		isForm   bool
		want     []entry
		results  int
		source   bool // is still there
	}{
		"copy, skip: nothing, and no error":             {"copy", "Skip", "a.pdf", false, []entry{{"a.pdf", 1, 10}}, 0, true},
		"copy, nothing said: skip":                      {"copy", nil, "a.pdf", false, []entry{{"a.pdf", 1, 10}}, 0, true},
		"copy, skip compares titles without case":       {"copy", 0, "A.pdf", false, []entry{{"a.pdf", 1, 10}}, 0, true},
		"copy, overwrite: a new version of the same id": {"copy", "Overwrite", "a.pdf", false, []entry{{"a.pdf", 2, 20}}, 1, true},
		"copy, duplicate: a number before the extension": {
			"copy", "Duplicate", "a.pdf", false, []entry{{"a.pdf", 1, 10}, {"a (1).pdf", 1, 20}}, 1, true},
		"copy, duplicate by number": {"copy", 2, "b.pdf", false, []entry{{"a.pdf", 1, 10}, {"b.pdf", 1, 20}}, 1, true},
		"move, skip: it stays":      {"move", "Skip", "a.pdf", false, []entry{{"a.pdf", 1, 10}}, 0, true},
		"move, overwrite: the source goes": {
			"move", 1, "a.pdf", false, []entry{{"a.pdf", 2, 20}}, 1, false},
		"move, duplicate: two siblings of one name": {
			"move", "duplicate", "a.pdf", false, []entry{{"a.pdf", 1, 10}, {"a.pdf", 1, 20}}, 1, false},
		"a form and a plain file do not clash": {
			"copy", "Skip", "a.pdf", true, []entry{{"a.pdf", 1, 10}, {"a.pdf", 1, 20}}, 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, Options{})
			there := d.p.AddFile(d.archive, File{Title: "a.pdf", Size: 10, By: d.ann})
			id := d.p.AddFile(d.room, File{Title: test.title, Size: 20, By: d.ann, IsForm: test.isForm})
			request := body{"fileIds": []ID{id}, "destFolderId": d.archive}
			if test.conflict != nil {
				request["conflictResolveType"] = test.conflict
			}
			op := d.run(test.kind, request)
			if !op.Finished || op.Error != "" || len(op.Files) != test.results || op.Processed != fmt.Sprint(test.results) {
				t.Errorf("operation %+v", op)
			}
			var got []entry
			for _, e := range d.p.List(d.archive) {
				got = append(got, entry{e.Title, e.Version, e.Size})
			}
			// A moved file keeps its id, which may be lower than a sibling's.
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if _, ok := d.p.FileByID(there); !ok {
				t.Error("the file in the destination lost its id")
			}
			if (len(d.p.List(d.room)) == 1) != test.source {
				t.Errorf("source %v", d.p.List(d.room))
			}
		})
	}
}

func TestCopyIntoItsOwnFolder(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	id := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
	if op := d.run("copy", body{"fileIds": []ID{id}, "destFolderId": d.room}); op.Processed != "0" || op.Files != nil {
		t.Errorf("skip is a no-op: %+v", op)
	}
	for range 2 {
		d.run("copy", body{"fileIds": []ID{id}, "destFolderId": d.room, "conflictResolveType": "Duplicate"})
	}
	if diff := cmp.Diff([]string{"a.txt", "a (1).txt", "a (2).txt"}, names(d.p.List(d.room))); diff != "" {
		t.Error(diff)
	}
	moved := d.run("move", body{"fileIds": []ID{id}, "destFolderId": d.room, "conflictResolveType": "Overwrite"})
	if e, ok := d.p.FileByID(id); !ok || e.Version != 2 || len(moved.Files) != 1 {
		t.Errorf("a move onto itself makes a version and must not delete the file: %+v %v", e, ok)
	}
}

func TestMoveKeepsAuthorDatesAndID(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	id := d.p.AddFile(d.room, File{Title: "A.TXT", Size: 3, By: d.ann})
	before, _ := d.p.FileByID(id)
	d.run("move", body{"fileIds": []ID{id}, "destFolderId": d.archive})
	after, _ := d.p.FileByID(id)
	before.ParentID = d.archive
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	paths := func(p *Portal, id ID) []string {
		var list []string
		for _, e := range p.Tree(id) {
			list = append(list, e.Path)
		}
		return list
	}
	seed := func(t *testing.T) (*desk, ID) {
		d := newDesk(t, Options{})
		top := d.p.AddFolder(d.room, "Case", d.ann)
		sub := d.p.AddFolder(top, "Mail", d.ann)
		d.p.AddFile(top, File{Title: "a.txt", By: d.ann})
		d.p.AddFile(sub, File{Title: "b.txt", By: d.ann})
		return d, top
	}
	t.Run("copy takes everything along, and the answer holds the destination too", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		op := d.run("copy", body{"folderIds": []ID{top}, "destFolderId": d.archive})
		if diff := cmp.Diff([]string{"Case", "Case/Mail", "Case/Mail/b.txt", "Case/a.txt"}, paths(d.p, d.archive)); diff != "" {
			t.Error(diff)
		}
		if len(op.Folders) != 2 || op.Folders[0].ID != d.archive || op.Folders[1].Title != "Case" || op.Files != nil {
			t.Errorf("folders %+v, files %+v", op.Folders, op.Files)
		}
		if op.Processed != "6" {
			t.Errorf("processed %s: nested entries count, folders twice", op.Processed)
		}
	})
	t.Run("copy merges with a folder of the same name", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		twin := d.p.AddFolder(d.archive, "case", d.ann)
		d.p.AddFile(twin, File{Title: "A.txt", By: d.ann})
		op := d.run("copy", body{"folderIds": []ID{top}, "destFolderId": d.archive})
		if diff := cmp.Diff([]string{"case", "case/A.txt", "case/Mail", "case/Mail/b.txt"}, paths(d.p, d.archive)); diff != "" {
			t.Error(diff)
		}
		if op.Folders[len(op.Folders)-1].ID != twin {
			t.Errorf("folders %+v", op.Folders)
		}
	})
	t.Run("copy with Duplicate gets a number", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		d.p.AddFolder(d.archive, "Case", d.ann)
		d.run("copy", body{"folderIds": []ID{top}, "destFolderId": d.archive, "conflictResolveType": 2})
		if diff := cmp.Diff([]string{"Case", "Case (1)"}, names(d.p.List(d.archive))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("move takes the folder as it is", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		op := d.run("move", body{"folderIds": []ID{top}, "destFolderId": d.archive})
		if len(op.Folders) != 2 || op.Folders[1].ID != top || len(d.p.List(d.room)) != 0 {
			t.Errorf("folders %+v", op.Folders)
		}
	})
	t.Run("move merges, and leaves behind what clashed", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		twin := d.p.AddFolder(d.archive, "Case", d.ann)
		d.p.AddFile(twin, File{Title: "a.txt", By: d.ann})
		d.run("move", body{"folderIds": []ID{top}, "destFolderId": d.archive})
		if diff := cmp.Diff([]string{"Case", "Case/a.txt"}, paths(d.p, d.room)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"Case", "Case/Mail", "Case/Mail/b.txt", "Case/a.txt"}, paths(d.p, d.archive)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("files and folders in one call: the folders are lost from the answer", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		file := d.p.AddFile(d.room, File{Title: "c.txt", By: d.ann})
		op := d.run("copy", body{"folderIds": []ID{top}, "fileIds": []ID{file}, "destFolderId": d.archive})
		if op.Folders != nil || len(op.Files) != 1 || len(d.p.List(d.archive)) != 2 {
			t.Errorf("operation %+v", op)
		}
	})
	t.Run("content replaces a folder by what is in it", func(t *testing.T) {
		t.Parallel()
		d, top := seed(t)
		d.run("copy", body{"folderIds": []ID{top}, "destFolderId": d.archive, "content": true})
		if diff := cmp.Diff([]string{"a.txt", "Mail"}, names(d.p.List(d.archive))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("content of an empty folder completes and never finishes", func(t *testing.T) {
		t.Parallel()
		d, _ := seed(t)
		empty := d.p.AddFolder(d.room, "Empty", d.ann)
		op := d.run("copy", body{"folderIds": []ID{empty}, "destFolderId": d.archive, "content": true})
		if op.Status != 2 || op.Finished || op.Progress != 100 {
			t.Errorf("operation %+v", op)
		}
	})
}

func TestIDsOfABatch(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	id := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
	put := func(ids, dest string) answer {
		return d.call("PUT", "files/fileops/copy", fmt.Sprintf(`{"fileIds":%s,"destFolderId":%s,"returnSingleOperation":true}`, ids, dest))
	}
	number, dest := string(id), string(d.archive)
	t.Run("numbers, numeric strings, and junk that is ignored", func(t *testing.T) {
		list := read[[]wireOperation](t, put(`[`+number+`,"`+number+`",null,true,{"a":1}]`, `"`+dest+`"`))
		if len(list) != 1 {
			t.Fatalf("%d operations", len(list))
		}
		d.follow(list[0].ID)
	})
	t.Run("a number beyond 32 bits fails", func(t *testing.T) {
		for _, bad := range []string{"99999999999", "1.5"} {
			if a := put(`[`+bad+`]`, dest); a.Status != 500 {
				t.Errorf("%s: status %d", bad, a.Status)
			}
		}
	})
	t.Run("a missing destination is an error", func(t *testing.T) {
		if a := d.call("PUT", "files/fileops/copy", `{"fileIds":[`+number+`]}`); a.Status < 400 {
			t.Errorf("status %d", a.Status)
		}
	})
	t.Run("an unknown conflict rule", func(t *testing.T) {
		if a := d.call("PUT", "files/fileops/copy", `{"fileIds":[`+number+`],"conflictResolveType":"Ask"}`); a.Status != 400 {
			t.Errorf("status %d", a.Status)
		}
	})
	t.Run("no usable ids: nothing starts, other operations are answered", func(t *testing.T) {
		other := d.transfer("copy", body{"fileIds": []ID{id}, "destFolderId": d.archive})
		d.ended()
		list := read[[]wireOperation](t, put(`[]`, dest))
		if len(list) != 1 || list[0].ID != other.ID {
			t.Errorf("operations %+v", list)
		}
	})
}

func TestTheWholeBatchIsCheckedInsideThePUT(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{UploadFilter: []string{".txt", ".pdf"}})
	manage := map[UserID]Access{d.gateway: RoomManager}
	good := d.p.AddFile(d.room, File{Title: "good.txt", Size: 10, By: d.ann})
	folder := d.p.AddFolder(d.room, "Folder", d.ann)
	inner := d.p.AddFolder(folder, "Inner", d.ann)
	d.p.AddFile(folder, File{Title: "big.txt", Size: 5000, By: d.ann})
	form := d.p.AddFile(d.room, File{Title: "f.pdf", By: d.ann, IsForm: true})
	form2 := d.p.AddFile(d.room, File{Title: "g.pdf", By: d.ann, IsForm: true})
	binary := d.p.AddFile(d.room, File{Title: "x.exe", By: d.ann})
	locked := d.p.AddFile(d.room, File{Title: "locked.txt", By: d.ann})
	d.p.Lock(locked, d.ann)
	open := d.p.AddFile(d.room, File{Title: "open.txt", By: d.ann})
	d.p.SetEditing(open, true)
	for _, title := range []string{"good.txt"} {
		d.p.Lock(d.p.AddFile(d.archive, File{Title: title, By: d.ann}), d.ann)
	}
	noRole := d.p.AddRoom(Room{Title: "No role", Owner: d.ann})
	foreign := d.p.AddFile(noRole, File{Title: "foreign.txt", By: d.ann})
	reader := d.p.AddRoom(Room{Title: "Reader", Owner: d.ann, Members: map[UserID]Access{d.gateway: Read}})
	readable := d.p.AddFile(reader, File{Title: "readable.txt", By: d.ann})
	noDownload := d.p.AddRoom(Room{Title: "No download", Owner: d.ann, Members: manage, DenyDownload: true})
	kept := d.p.AddFile(noDownload, File{Title: "kept.txt", By: d.ann})
	private := d.p.AddRoom(Room{Title: "Private", Owner: d.ann, Members: manage, Private: true})
	secret := d.p.AddFile(private, File{Title: "secret.txt", By: d.ann})
	forms := d.p.AddRoom(Room{Title: "Forms", Type: RoomFormFilling, Owner: d.ann, Members: manage})
	creator := d.p.AddRoom(Room{Title: "Creator", Owner: d.ann, Members: map[UserID]Access{d.gateway: ContentCreator}})
	others := d.p.AddFile(creator, File{Title: "others.txt", By: d.ann})
	own := d.p.AddFile(creator, File{Title: "own.txt", By: d.gateway})
	small := d.p.AddRoom(Room{Title: "Small", Owner: d.ann, Members: manage, Quota: 100})
	archived := d.p.AddRoom(Room{Title: "Old", Owner: d.ann, Members: manage})
	d.p.ArchiveRoom(archived, d.ann)
	editable := d.p.AddRoom(Room{Title: "Ours", Owner: d.gateway})

	const none = ID("987654")
	denied := "Access denied"
	tests := map[string]struct {
		kind           string
		files, folders []ID
		dest           ID
		conflict       string
		status         int
		message        string // "" is not compared
	}{
		"destination missing":                        {"copy", []ID{good}, nil, none, "", 404, textFolderNotFound},
		"first file missing is denied":               {"copy", []ID{none}, nil, d.archive, "", 403, denied},
		"first of several files missing is denied":   {"copy", []ID{none, good}, nil, d.archive, "", 403, denied},
		"a later file missing is not found":          {"copy", []ID{good, none}, nil, d.archive, "", 404, textFileNotFound},
		"first folder missing is a server error":     {"copy", nil, []ID{none}, d.archive, "", 500, ""},
		"a later folder missing is not found":        {"copy", nil, []ID{folder, none}, d.archive, "", 404, textFolderNotFound},
		"no access to the source":                    {"copy", []ID{foreign}, nil, d.archive, "", 403, denied},
		"any role is enough to copy":                 {"copy", []ID{readable}, nil, d.archive, "", 200, ""},
		"but not to move out":                        {"move", []ID{readable}, nil, d.archive, "", 403, denied},
		"a room that denies downloads":               {"copy", []ID{kept}, nil, d.archive, "", 403, denied},
		"no right to create in the destination":      {"copy", []ID{good}, nil, reader, "", 403, denied},
		"the rooms section is no destination":        {"copy", []ID{good}, nil, d.p.Rooms(), "", 403, denied},
		"nor is the archive":                         {"copy", []ID{good}, nil, d.p.Archive(), "", 403, denied},
		"nor an archived room":                       {"copy", []ID{good}, nil, archived, "", 403, denied},
		"into a private room":                        {"copy", []ID{good}, nil, private, "", 403, denied},
		"out of a private room":                      {"copy", []ID{secret}, nil, d.archive, "", 403, denied},
		"a room itself":                              {"copy", nil, []ID{noRole}, d.archive, "", 403, denied},
		"move of a file locked by another":           {"move", []ID{locked}, nil, d.archive, "", 403, denied},
		"copy of a file locked by another":           {"copy", []ID{locked}, nil, d.archive, "", 200, ""},
		"move of a file open in an editor":           {"move", []ID{open}, nil, d.archive, "", 403, denied},
		"copy of a file open in an editor":           {"copy", []ID{open}, nil, d.archive, "", 200, ""},
		"overwrite of a locked file says so":         {"copy", []ID{good}, nil, d.archive, "Overwrite", 403, textLocked},
		"a plain file into a form room":              {"copy", []ID{good}, nil, forms, "", 403, textCopyToForms},
		"a plain file moved into a form room":        {"move", []ID{good}, nil, forms, "", 403, textMoveToForms},
		"a form into a form room":                    {"copy", []ID{form}, nil, forms, "", 200, ""},
		"several forms moved into a form room":       {"move", []ID{form, form2}, nil, forms, "", 403, textOneForm},
		"a folder moved into a form room":            {"move", nil, []ID{folder}, forms, "", 403, textOneForm},
		"a folder into itself":                       {"copy", nil, []ID{folder}, folder, "", 403, textIntoItself},
		"a folder into its own subfolder":            {"move", nil, []ID{folder}, inner, "", 403, textIntoItself},
		"extension not allowed":                      {"copy", []ID{binary}, nil, d.archive, "", 415, textFormat},
		"a folder larger than the room's quota":      {"copy", nil, []ID{folder}, small, "", 403, "Room space quota exceeded (100 bytes)"},
		"content creators move out what they made":   {"move", []ID{own}, nil, editable, "", 200, ""},
		"content creators leave others' files alone": {"move", []ID{others}, nil, editable, "", 403, denied},
		"content creators may put files in":          {"copy", []ID{good}, nil, creator, "", 200, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(d.p.Operations())
			a := d.call("PUT", "files/fileops/"+test.kind, body{
				"fileIds": test.files, "folderIds": test.folders, "destFolderId": test.dest,
				"conflictResolveType": orSkip(test.conflict), "returnSingleOperation": true,
			})
			if a.Status != test.status || test.message != "" && a.Error.Message != test.message {
				t.Errorf("%d %q, want %d %q", a.Status, a.Error.Message, test.status, test.message)
			}
			if test.status != 200 && len(d.p.Operations()) != before {
				t.Error("something was started all the same")
			}
		})
	}
}

func orSkip(conflict string) string {
	if conflict == "" {
		return "Skip"
	}
	return conflict
}

func TestAnAdminWithoutARoleReadsButRoutesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	admin := d.p.AddUser(User{DisplayName: "Root", Admin: true})
	a := d.as(d.p.AddKey(admin))
	file := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
	own := d.p.AddRoom(Room{Title: "Own", Owner: admin})
	ownFile := d.p.AddFile(own, File{Title: "b.txt", By: admin})

	read[wireEntry](t, a.call("GET", "files/file/"+string(file), nil))
	folder := read[wireEntry](t, a.call("GET", "files/folder/"+string(d.room), nil))
	if folder.Security["Create"] || folder.Security["CopyTo"] || !folder.Security["Read"] {
		t.Errorf("security %v", folder.Security)
	}
	for name, request := range map[string]body{
		"out": {"fileIds": []ID{file}, "destFolderId": own},
		"in":  {"fileIds": []ID{ownFile}, "destFolderId": d.room},
	} {
		if got := a.call("PUT", "files/fileops/copy", request); got.Status != http.StatusForbidden {
			t.Errorf("copy %s: status %d", name, got.Status)
		}
	}
}

func TestQuotasAreFoundOutLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{MaxFileSize: 1000})
	room := func(used int64) ID {
		id := d.p.AddRoom(Room{Title: "Q", Owner: d.ann, Members: map[UserID]Access{d.gateway: RoomManager}, Quota: 100})
		if used > 0 {
			d.p.AddFile(id, File{Title: "used.bin", Size: used, By: d.ann})
		}
		return id
	}
	tests := map[string]struct {
		kind  string
		used  int64
		size  int64
		error string
	}{
		"a copy that fits":                    {"copy", 0, 90, ""},
		"a copy may overshoot once":           {"copy", 90, 90, ""},
		"but only up to twice the limit":      {"copy", 90, 120, "Room space quota exceeded (100 bytes)"},
		"and not again":                       {"copy", 180, 10, "Room space quota exceeded (100 bytes)"},
		"a move has to fit":                   {"move", 90, 20, "Room space quota exceeded (100 bytes)"},
		"a move that fits":                    {"move", 70, 30, ""},
		"the largest file size of the portal": {"copy", 0, 1001, "The maximum file size is exceeded (1000 bytes)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id := d.p.AddFile(d.room, File{Title: name + ".bin", Size: test.size, By: d.ann})
			op := d.run(test.kind, body{"fileIds": []ID{id}, "destFolderId": room(test.used)})
			if op.Error != test.error || !op.Finished || (len(op.Files) == 1) != (test.error == "") {
				t.Errorf("operation %+v", op)
			}
		})
	}
	t.Run("user quota", func(t *testing.T) {
		poor := d.p.AddUser(User{DisplayName: "Poor", Quota: 10})
		d.p.SetMember(d.room, poor, Read)
		id := d.p.AddFile(d.room, File{Title: "u.bin", Size: 50, By: d.ann})
		op := d.as(d.p.AddKey(poor)).run("copy", body{"fileIds": []ID{id}, "destFolderId": d.p.MyDocuments(poor)})
		if op.Error != "User space quota exceeded (10 bytes)" {
			t.Errorf("operation %+v", op)
		}
	})
}

func TestFileNumbersAreUsedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{FirstFileID: 100})
	first := d.p.AddFile(d.room, File{Title: "a", By: d.ann})
	last := d.p.AddFile(d.room, File{Title: "b", By: d.ann})
	d.p.Trash(KindFile, last, d.ann)
	if id := d.p.AddFile(d.room, File{Title: "c"}); id != "102" {
		t.Errorf("id %s: the trash does not free numbers", id)
	}
	d.p.Delete(KindFile, "102", d.ann)
	if id := d.p.AddFile(d.room, File{Title: "d"}); id != "102" {
		t.Errorf("id %s: the newest file's number comes back", id)
	}
	d.p.Delete(KindFile, first, d.ann)
	if id := d.p.AddFile(d.room, File{Title: "e"}); id != "103" {
		t.Errorf("id %s: older numbers do not come back", id)
	}
}

func TestFilesAndFoldersAreNumberedApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	for range 3 {
		d.p.AddFile(d.room, File{Title: "x"})
	}
	if _, ok := d.p.FileByID(d.p.Rooms()); !ok {
		t.Error("no file has the number of the rooms section: ids should overlap")
	}
}

func TestConflictAndDestinationChecks(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	a := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
	b := d.p.AddFile(d.room, File{Title: "b.txt", By: d.ann})
	d.p.AddFile(d.archive, File{Title: "A.TXT", By: d.ann})
	query := fmt.Sprintf("?fileIds=%s&fileIds=%s&destFolderId=%s", a, b, d.archive)
	clashes := read[[]wireEntry](t, d.call("GET", "files/fileops/move"+query, nil))
	if diff := cmp.Diff([]string{"a.txt"}, titles(clashes)); diff != "" {
		t.Errorf("GET fileops/move lists the sources that clash:\n%s", diff)
	}
	if got := d.call("GET", "files/fileops/move?fileIds=999&destFolderId="+string(d.archive), nil); got.Status != 403 {
		t.Errorf("status %d", got.Status)
	}
	result := read[struct{ Result int }](t, d.call("GET", "files/fileops/checkdestfolder"+query, nil))
	if result.Result != 0 {
		t.Errorf("result %d", result.Result)
	}
	forms := d.p.AddRoom(Room{Title: "F", Type: RoomFormFilling, Owner: d.gateway})
	result = read[struct{ Result int }](t, d.call("GET", strings.Replace("files/fileops/checkdestfolder"+query, string(d.archive), string(forms), 1), nil))
	if result.Result != 2 {
		t.Errorf("result %d", result.Result)
	}
}
