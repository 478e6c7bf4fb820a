package portalsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type contents struct {
	Files, Folders    []wireEntry
	Current           wireEntry
	PathParts         []map[string]any
	StartIndex, Count int
	Total             int
}

func titles(lists ...[]wireEntry) []string {
	var names []string
	for _, list := range lists {
		for _, e := range list {
			names = append(names, e.Title)
		}
	}
	return names
}

func TestPathRunsFromTheSectionToTheLeafAndMarksTheRoom(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	sub := d.p.AddFolder(d.room, "2026", d.ann)
	leaf := d.p.AddFolder(sub, "May", d.ann)

	path := read[[]wireEntry](t, d.call("GET", "files/folder/"+string(leaf)+"/path", nil))
	if diff := cmp.Diff([]string{"Rooms", "Inbox", "2026", "May"}, titles(path)); diff != "" {
		t.Error(diff)
	}
	for i, step := range path {
		if isRoom := step.RoomType != nil; isRoom != (i == 1) {
			t.Errorf("%s: room %v", step.Title, isRoom)
		}
		if step.RootFolderID != d.p.Rooms() || step.RootFolderType != 14 {
			t.Errorf("%s: root %s of type %d", step.Title, step.RootFolderID, step.RootFolderType)
		}
	}
}

func TestFolderLookups(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	sub := d.p.AddFolder(d.room, "Sub", d.ann)
	hidden := d.p.AddRoom(Room{Title: "Hidden", Owner: d.ann})
	hiddenFile := d.p.AddFile(hidden, File{Title: "x.pdf", By: d.ann})
	plain := d.p.AddFile(d.room, File{Title: "x.pdf", By: d.ann})

	folder := read[wireEntry](t, d.call("GET", "files/folder/"+string(sub), nil))
	if folder.ID != sub || folder.ParentID != d.room || folder.RoomType != nil || folder.ParentRoomType == nil || *folder.ParentRoomType != 19 {
		t.Errorf("folder %+v", folder)
	}
	if !folder.Security["Create"] || !folder.Security["CopyTo"] || !folder.Security["MoveTo"] {
		t.Errorf("a room manager may write: %v", folder.Security)
	}
	room := read[wireEntry](t, d.call("GET", "files/rooms/"+string(d.room), nil))
	if room.RoomType == nil || *room.RoomType != RoomCustom {
		t.Errorf("room %+v", room)
	}
	subs := read[[]wireEntry](t, d.call("GET", "files/"+string(d.room)+"/subfolders", nil))
	if diff := cmp.Diff([]string{"Sub"}, titles(subs)); diff != "" {
		t.Error(diff)
	}

	refusals := map[string]struct {
		path   string
		status int
		text   string
	}{
		"missing folder is 404":              {"files/folder/4711", 404, textFolderNotFound},
		"missing folder's path is 404":       {"files/folder/4711/path", 404, textFolderNotFound},
		"missing folder's contents are 404":  {"files/4711", 404, textFolderNotFound},
		"missing file is 404":                {"files/file/4711", 404, textFileNotFound},
		"missing room is 404":                {"files/rooms/4711", 404, textFolderNotFound},
		"folder that is no room is 404":      {"files/rooms/" + string(sub), 404, textFolderNotFound},
		"folder without access is 403":       {"files/folder/" + string(hidden), 403, textNoView},
		"file without access is 403":         {"files/file/" + string(hiddenFile), 403, textNoViewFile},
		"a version that never was is 404":    {"files/file/" + string(plain) + "?version=9", 404, textFileNotFound},
		"unknown address has no JSON at all": {"nothing/here", 404, ""},
	}
	for name, r := range refusals {
		t.Run(name, func(t *testing.T) {
			a := d.call("GET", r.path, nil)
			if a.Status != r.status || a.Error.Message != r.text {
				t.Errorf("%d %q, want %d %q", a.Status, a.Error.Message, r.status, r.text)
			}
			if r.text != "" && (a.StatusCode != r.status || a.EnvelopeOK != 1) {
				t.Errorf("envelope %s", a.Body)
			}
		})
	}
}

func TestFileAnswerCarriesWhatWebhooksLack(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{UTCOffset: 3 * time.Hour})
	created := time.Date(2026, 3, 2, 9, 14, 6, 0, time.UTC)
	id := d.p.AddFile(d.room, File{Title: "Report.PDF", Size: 1258291, By: d.ann, Created: created})
	f := read[wireEntry](t, d.call("GET", "files/file/"+string(id), nil))
	if f.Created != "2026-03-02T12:14:06.0000000+03:00" {
		t.Errorf("created %s: want the portal's local time with offset and seven decimals", f.Created)
	}
	if f.ContentLength != "1.2 MB" || f.PureContentLength != 1258291 {
		t.Errorf("contentLength is text for people, pureContentLength bytes: %q %d", f.ContentLength, f.PureContentLength)
	}
	if f.FileExst != ".pdf" || f.Version != 1 || f.FolderID != d.room || f.ParentID != "" {
		t.Errorf("file %+v", f)
	}
	if f.CreatedBy.ID != d.ann || f.CreatedBy.DisplayName != "Ann Lee" || f.CreatedBy.Email != nil {
		t.Errorf("created by %+v: the short form has a name but no e-mail address", f.CreatedBy)
	}
	if f.ParentRoomType == nil || *f.ParentRoomType != 19 {
		t.Error("parentRoomType is a folder type, not a room type")
	}

	utc := newDesk(t, Options{})
	id = utc.p.AddFile(utc.room, File{Title: "a.txt", By: utc.ann, Created: created})
	if f := read[wireEntry](t, utc.call("GET", "files/file/"+string(id), nil)); f.Created != "2026-03-02T09:14:06.0000000Z" {
		t.Errorf("created %s, want Z without an offset", f.Created)
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	a := d.call("GET", "files/"+string(d.room)+"/subfolders", nil)
	if a.Count != 1 || string(a.Response) != "[]" {
		t.Errorf("count is 1 even for an empty list: %s", a.Body)
	}
	want := fmt.Sprintf(`"links":[{"action":"GET","href":"%s/api/2.0/files/%s/subfolders"}]`, d.url, d.room)
	if !strings.Contains(a.Body, want) || a.StatusCode != 200 || a.EnvelopeOK != 0 || a.Total != nil {
		t.Errorf("envelope %s, want %s in it", a.Body, want)
	}
	trimmed := d.call("GET", "files/folder/"+string(d.room)+"?fields=id,title", nil)
	if got := string(trimmed.Response); got != fmt.Sprintf(`{"id":%s,"title":"Inbox"}`, d.room) {
		t.Errorf("fields trims objects: %s", got)
	}
}

func TestContents(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	old := d.p.AddFile(d.room, File{Title: "b.txt", Size: 30, By: d.ann, Created: day(1)})
	d.p.AddFile(d.room, File{Title: "a.txt", Size: 10, By: d.ann, Created: day(2)})
	d.p.AddFile(d.room, File{Title: "C.txt", Size: 20, By: d.gateway, Created: day(3)})
	sub := d.p.AddFolder(d.room, "Sub", d.ann)
	d.p.AddFile(sub, File{Title: "nested.txt", Size: 1, By: d.ann, Created: day(4)})
	d.p.UpdateFile(old, 30, d.ann) // newest modification, oldest creation

	tests := map[string]struct {
		query string
		want  []string
		total int
	}{
		"lists subfolders' contents unless told otherwise": {"sortBy=AZ", []string{"Sub", "a.txt", "b.txt", "C.txt", "nested.txt"}, 5},
		"withSubFolders=false lists direct children":       {"sortBy=AZ&withSubFolders=false", []string{"Sub", "a.txt", "b.txt", "C.txt"}, 4},
		"DateAndTime is the modification":                  {"sortBy=DateAndTime&sortOrder=descending&withSubFolders=false&filterType=FilesOnly", []string{"b.txt", "C.txt", "a.txt"}, 3},
		"DateAndTimeCreation is the creation":              {"sortBy=DateAndTimeCreation&sortOrder=ascending&withSubFolders=false&filterType=1", []string{"b.txt", "a.txt", "C.txt"}, 3},
		"newest modification first by default":             {"withSubFolders=false&filterType=1", []string{"b.txt", "C.txt", "a.txt"}, 3},
		"Size":                                             {"sortBy=Size&withSubFolders=false&filterType=1", []string{"a.txt", "C.txt", "b.txt"}, 3},
		"filterValue ignores case":                         {"filterValue=c.TXT&withSubFolders=false", []string{"C.txt"}, 1},
		"author":                                           {"userIdOrGroupId=" + string(d.gateway), []string{"C.txt"}, 1},
		"pages run over folders and then files":            {"sortBy=AZ&withSubFolders=false&startIndex=0&count=2", []string{"Sub", "a.txt"}, 4},
		"second page":                                      {"sortBy=AZ&withSubFolders=false&startIndex=2&count=2", []string{"b.txt", "C.txt"}, 4},
		"page after the last":                              {"sortBy=AZ&withSubFolders=false&startIndex=9&count=2", nil, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := read[contents](t, d.call("GET", "files/"+string(d.room)+"?"+test.query, nil))
			if diff := cmp.Diff(test.want, titles(c.Folders, c.Files)); diff != "" {
				t.Error(diff)
			}
			if c.Total != test.total || c.Count != len(test.want) || c.Current.ID != d.room {
				t.Errorf("total %d, count %d, current %s", c.Total, c.Count, c.Current.ID)
			}
		})
	}
	parts := read[contents](t, d.call("GET", "files/"+string(sub), nil)).PathParts
	if len(parts) != 3 || parts[1]["roomType"] != float64(RoomCustom) || parts[2]["title"] != "Sub" || parts[2]["roomType"] != nil {
		t.Errorf("path parts %v", parts)
	}
}

func TestPagesHoldNoMoreThanAHundred(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	for i := range 130 {
		d.p.AddFile(d.room, File{Title: fmt.Sprintf("%03d.txt", i), By: d.ann})
	}
	c := read[contents](t, d.call("GET", "files/"+string(d.room)+"?count=1000", nil))
	if len(c.Files) != 100 || c.Total != 130 {
		t.Errorf("%d files of %d", len(c.Files), c.Total)
	}
	rest := read[contents](t, d.call("GET", "files/"+string(d.room)+"?count=100&startIndex=100", nil))
	if len(rest.Files) != 30 {
		t.Errorf("%d files on the second page", len(rest.Files))
	}
	if a := d.call("GET", "files/"+string(d.room)+"?count=many", nil); a.Status != 400 || !strings.Contains(string(a.Response), `"errors":{"count"`) {
		t.Errorf("model validation has an envelope of its own: %s", a.Body)
	}
}

func TestRooms(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	members := map[UserID]Access{d.gateway: Read}
	d.p.AddRoom(Room{Title: "Client A", Type: RoomEditing, Tags: []string{"client", "vip"}, Owner: d.ann, Members: members})
	b := d.p.AddRoom(Room{Title: "Client B", Type: RoomPublic, Tags: []string{"client"}, Owner: d.gateway})
	gone := d.p.AddRoom(Room{Title: "Client Z", Owner: d.ann, Members: members})
	d.p.AddRoom(Room{Title: "Not for us", Tags: []string{"secret"}, Owner: d.ann})
	d.p.ArchiveRoom(gone, d.ann)

	tests := map[string]struct {
		query string
		want  []string
	}{
		"all that the key's owner sees":   {"sortBy=AZ", []string{"Client A", "Client B", "Filed", "Inbox"}},
		"type repeats":                    {"sortBy=AZ&type=2&type=6", []string{"Client A", "Client B"}},
		"tags are a JSON array, any will": {"sortBy=AZ&tags=" + url.QueryEscape(`["vip","client"]`), []string{"Client A", "Client B"}},
		"withoutTags":                     {"sortBy=AZ&withoutTags=true", []string{"Filed", "Inbox"}},
		"filterValue":                     {"sortBy=AZ&filterValue=client", []string{"Client A", "Client B"}},
		"archive by number":               {"searchArea=1", []string{"Client Z"}},
		"archive by name":                 {"searchArea=Archive", []string{"Client Z"}},
		"templates":                       {"searchArea=4", nil},
		"subjectOwnerId":                  {"subjectOwnerId=" + string(d.gateway), []string{"Client B"}},
		"provider":                        {"provider=GoogleDrive", nil},
		"paging":                          {"sortBy=AZ&startIndex=1&count=1", []string{"Client B"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := read[contents](t, d.call("GET", "files/rooms?"+test.query, nil))
			if diff := cmp.Diff(test.want, titles(c.Folders)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, count := range []string{"0", "101"} {
		if a := d.call("GET", "files/rooms?count="+count, nil); a.Status != 400 {
			t.Errorf("count %s: status %d, want 400", count, a.Status)
		}
	}

	t.Run("tags", func(t *testing.T) {
		if got := read[[]string](t, d.call("GET", "files/tags", nil)); !slices.Equal(got, []string{"client", "vip"}) {
			t.Errorf("tags of visible rooms, once each: %v", got)
		}
		room := "files/rooms/" + string(b) + "/tags"
		tagged := read[wireEntry](t, d.call("PUT", room, `{"names":["new","client"]}`))
		if !slices.Equal(tagged.Tags, []string{"client", "new"}) {
			t.Errorf("tags %v", tagged.Tags)
		}
		untagged := read[wireEntry](t, d.call("DELETE", room, `{"names":["client"]}`))
		if !slices.Equal(untagged.Tags, []string{"new"}) {
			t.Errorf("tags %v", untagged.Tags)
		}
		if log := d.p.DeliveryLog(); len(log) != 0 {
			t.Errorf("tagging fired %v", log)
		}
	})
}

func TestCreateFolder(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	create := func(parent ID, title string) answer {
		return d.call("POST", "files/folder/"+string(parent), map[string]string{"title": title})
	}
	stored := map[string]struct{ title, want string }{
		"title is trimmed":                        {"  Inbox  ", "Inbox"},
		"forbidden characters become underscores": {"a\t*+:\"<>?|\\/b", "a___________b"},
		"an emoji becomes two underscores":        {"go 🚀", "go __"},
		"other letters stay":                      {"Größe № 5 & more", "Größe № 5 & more"},
	}
	for name, test := range stored {
		t.Run(name, func(t *testing.T) {
			f := read[wireEntry](t, create(d.room, test.title))
			if f.Title != test.want {
				t.Errorf("stored %q, want %q", f.Title, test.want)
			}
		})
	}
	t.Run("duplicate titles are allowed", func(t *testing.T) {
		first := read[wireEntry](t, create(d.room, "Twin"))
		second := read[wireEntry](t, create(d.room, "Twin"))
		if first.ID == second.ID || first.Title != second.Title {
			t.Errorf("%v and %v", first, second)
		}
	})
	reader := d.p.AddRoom(Room{Title: "Read only", Owner: d.ann, Members: map[UserID]Access{d.gateway: Read}})
	refusals := map[string]struct {
		parent ID
		title  string
		status int
	}{
		"a missing parent is denied, not missing": {"4711", "x", http.StatusForbidden},
		"a reader may not write":                  {reader, "x", http.StatusForbidden},
		"no folders among the rooms":              {d.p.Rooms(), "x", http.StatusForbidden},
		"more than 165 characters":                {d.room, strings.Repeat("x", 166), http.StatusBadRequest},
		"an empty title":                          {d.room, "  ", http.StatusBadRequest},
	}
	for name, r := range refusals {
		t.Run(name, func(t *testing.T) {
			if a := create(r.parent, r.title); a.Status != r.status {
				t.Errorf("status %d, want %d", a.Status, r.status)
			}
		})
	}
	if a := d.call("POST", "files/folder/"+string(d.room), `{"title":`); a.Status != http.StatusBadRequest {
		t.Errorf("broken JSON: status %d", a.Status)
	}
}

func TestThirdPartyStorage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	members := map[UserID]Access{d.gateway: RoomManager}
	room := d.p.AddThirdPartyRoom(Room{Title: "Drive", Owner: d.ann, Members: members}, ThirdParty{Account: 12})
	sub := d.p.AddFolder(room, "In", d.gateway)
	if !strings.HasPrefix(string(room), "drive-12-|") || !strings.HasPrefix(string(sub), "drive-12-|") {
		t.Fatalf("ids %s %s", room, sub)
	}
	t.Run("ids are strings, and percent-encoded in paths", func(t *testing.T) {
		path := read[[]wireEntry](t, d.call("GET", "files/folder/"+url.PathEscape(string(sub))+"/path", nil))
		if diff := cmp.Diff([]string{"Rooms", "Drive", "In"}, titles(path)); diff != "" {
			t.Error(diff)
		}
		if path[2].ID != sub || path[2].RootFolderID != "drive-12" || path[2].RootFolderType != 14 {
			t.Errorf("leaf %+v: its root is the account", path[2])
		}
		if path[0].ID != d.p.Rooms() {
			t.Errorf("section %+v", path[0])
		}
	})
	t.Run("everything belongs to the account's owner", func(t *testing.T) {
		id := d.p.Upload(sub, "a.txt", 5, d.gateway)
		f := read[wireEntry](t, d.call("GET", "files/file/"+url.PathEscape(string(id)), nil))
		if f.CreatedBy.ID != d.ann {
			t.Errorf("created by %s", f.CreatedBy.ID)
		}
	})
	t.Run("there is no version history", func(t *testing.T) {
		id := d.p.Upload(sub, "v.txt", 5, d.ann)
		if again := d.p.Upload(sub, "v.txt", 6, d.ann); again != id {
			t.Errorf("new id %s", again)
		}
		if e, _ := d.p.FileByID(id); e.Version != 1 || e.Size != 6 {
			t.Errorf("entry %+v", e)
		}
	})
	t.Run("ids made from paths change with a rename", func(t *testing.T) {
		box := d.p.AddThirdPartyRoom(Room{Title: "Dropbox", Owner: d.ann}, ThirdParty{Provider: "dropbox", Account: 4})
		id := d.p.AddFile(box, File{Title: "old.txt"})
		if renamed := d.p.Rename(KindFile, id, "new.txt", d.ann); renamed == id {
			t.Error("the id stayed")
		}
		if _, ok := d.p.FileByID(id); ok {
			t.Error("the old id still works")
		}
	})
	t.Run("a copy into the portal gets a number", func(t *testing.T) {
		id := d.p.AddFile(sub, File{Title: "Scan.PDF", Size: 9})
		op := d.run("copy", map[string]any{"fileIds": []ID{id}, "destFolderId": d.archive})
		if len(op.Files) != 1 || op.Files[0].Title != "Scan.pdf" || op.Files[0].CreatedBy.ID != d.gateway {
			t.Fatalf("operation %+v", op)
		}
		if _, ok := op.Files[0].ID.number(); !ok {
			t.Errorf("id %s", op.Files[0].ID)
		}
	})
	t.Run("a move into it gets a new id", func(t *testing.T) {
		id := d.p.AddFile(d.room, File{Title: "m.txt"})
		op := d.run("move", map[string]any{"fileIds": []ID{id}, "destFolderId": sub})
		if len(op.Files) != 1 || op.Files[0].ID == id {
			t.Fatalf("operation %+v", op)
		}
		if _, ok := d.p.FileByID(id); ok {
			t.Error("the original is still there")
		}
	})
}

func TestUploadsThroughTheAPI(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{Timings: fast, AllowPrivateTargets: true})
	rc, hook := listen(t)
	d.p.AddWebhook(Webhook{Name: "w", URL: hook, Secret: "12345678", Enabled: true, Owner: d.gateway})

	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"Up.PDF\"\r\n\r\nhello\r\n--b--\r\n"
	req, _ := http.NewRequest("POST", d.url+apiPrefix+"files/"+string(d.room)+"/upload", strings.NewReader(form))
	req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	req.Header.Set("Authorization", "Bearer "+d.key)
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	list := d.p.List(d.room)
	if len(list) != 1 || list[0].Title != "Up.pdf" || list[0].Size != 5 {
		t.Fatalf("room %+v: the extension is lower-cased on save", list)
	}
	read[wireEntry](t, d.call("POST", "files/"+string(d.room)+"/file", `{"title":"New.docx"}`))
	d.delivered()
	want := []string{"file.created", "file.created", "file.uploaded"}
	if diff := cmp.Diff(want, rc.triggers()); diff != "" {
		t.Errorf("one-shot uploads fire two events, new documents one:\n%s", diff)
	}
}
