package portalsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

const secret = "test123!@#%ABC"

// hooked is a desk in a bubble with one webhook that takes everything.
func hooked(t *testing.T, opts Options, w Webhook) (*desk, *receiver, int) {
	t.Helper()
	rc := &receiver{}
	opts.HTTPClient = &http.Client{Transport: HandlerTransport(rc)}
	d := newBubbleDesk(t, opts)
	w.Name, w.Secret, w.Enabled = "router", secret, true
	if w.URL == "" {
		w.URL = "https://router.example.com/hook"
	}
	if w.Owner == "" {
		w.Owner = d.gateway
	}
	return d, rc, d.p.AddWebhook(w)
}

// bubble runs a test in simulated time with one webhook.
func bubble(t *testing.T, opts Options, w Webhook, test func(*testing.T, *desk, *receiver, int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, rc, id := hooked(t, opts, w)
		test(t, d, rc, id)
	})
}

func TestDeliveryOverTheWire(t *testing.T) {
	t.Parallel()
	for _, generation := range []int{3, 4} {
		t.Run(fmt.Sprint("generation ", generation), func(t *testing.T) {
			t.Parallel()
			rc, url := listen(t)
			d := newDesk(t, Options{Generation: generation, Timings: fast, AllowPrivateTargets: true})
			d.p.AddWebhook(Webhook{Name: "router", URL: url, Secret: secret, Triggers: []string{"*"}, Owner: d.gateway, Enabled: true})
			file := d.p.Upload(d.room, "Größe.pdf", 2048, d.ann)
			d.delivered()

			got := rc.deliveries()
			if len(got) != 1 {
				t.Fatalf("%d deliveries", len(got))
			}
			g := got[0]
			if g.Method != "POST" || g.Header.Get("Content-Type") != "application/json; charset=utf-8" ||
				g.Header.Get("Accept") != "*/*" || g.Header["User-Agent"] != nil {
				t.Errorf("%s %v", g.Method, g.Header)
			}
			signature := g.Header.Get("x-docspace-signature-256")
			if signature != sign(secret, []byte(g.Body)) || !regexp.MustCompile(`^sha256=[0-9A-F]{64}$`).MatchString(signature) {
				t.Errorf("signature %s", signature)
			}
			if strings.Contains(g.Body, "\n") || !strings.Contains(g.Body, `"title":"Gr\u00F6\u00DFe.pdf"`) {
				t.Errorf("body %s", g.Body)
			}
			if g.Event.Trigger != "file.uploaded" || g.Event.TriggerID != 256 || g.Event.CreateBy != d.ann || !strings.HasSuffix(g.Event.CreateOn, "Z") {
				t.Errorf("event %+v", g.Event)
			}
			if fmt.Sprint(g.Payload["id"]) != string(file) || fmt.Sprint(g.Payload["parentId"]) != string(d.room) {
				t.Errorf("payload %v", g.Payload)
			}
			v4 := generation == 4
			if (g.Payload["contentLength"] == 2048.0) != v4 || (g.Payload["createdBy"] != nil) != v4 || (g.Payload["createBy"] != nil) == v4 {
				t.Errorf("payload %v", g.Payload)
			}
			if v4 && (g.Header.Get("x-docspace-event-id") != fmt.Sprint(g.Event.ID) || g.Header.Get("x-docspace-event-timestamp") != g.Event.CreateOn) {
				t.Errorf("headers %v", g.Header)
			}
			if !v4 && (g.Header.Get("x-docspace-event-id") != "" || g.Header.Get("x-docspace-event-timestamp") != "") {
				t.Errorf("headers %v", g.Header)
			}
			if strings.Contains(g.Body, "roomId") || strings.Contains(g.Body, "parentRoomType") {
				t.Error("no generation tells the room")
			}
			log := d.p.DeliveryLog()
			if len(log) != 1 || log[0].Status != 200 || log[0].Body != g.Body || log[0].Signature != signature || log[0].Attempts != 1 {
				t.Errorf("log %+v", log)
			}
		})
	}
}

// TestWhatFiresWhat goes through what people and operations do.
func TestWhatFiresWhat(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   func(d *desk)
		want []string
	}{
		"chunked upload":           {func(d *desk) { d.p.Upload(d.room, "a.txt", 1, d.ann) }, []string{"file.uploaded"}},
		"chunked upload of a form": {func(d *desk) { d.p.UploadForm(d.room, "a.pdf", 1, d.ann) }, []string{"file.uploaded"}},
		"one-shot upload: both":    {func(d *desk) { d.p.UploadOneShot(d.room, "a.txt", 1, d.ann) }, []string{"file.created", "file.uploaded"}},
		"new document":             {func(d *desk) { d.p.CreateFile(d.room, "a.docx", d.ann) }, []string{"file.created"}},
		"upload of a new version":  {func(d *desk) { d.p.Upload(d.room, "file.txt", 1, d.ann) }, []string{"file.uploaded"}},
		"editor save":              {func(d *desk) { d.p.UpdateFile(d.file(), 5, d.ann) }, []string{"file.updated"}},
		"rename":                   {func(d *desk) { d.p.Rename(KindFile, d.file(), "x.txt", d.ann) }, []string{"file.updated"}},
		"lock":                     {func(d *desk) { d.p.Lock(d.file(), d.ann) }, []string{"file.updated"}},
		"comment":                  {func(d *desk) { d.p.CommentFile(d.file(), "hm", d.ann) }, []string{"file.updated"}},
		"download":                 {func(d *desk) { d.p.Download(d.file(), d.ann) }, []string{"file.downloaded"}},
		"trash":                    {func(d *desk) { d.p.Trash(KindFile, d.file(), d.ann) }, []string{"file.trashed"}},
		"delete":                   {func(d *desk) { d.p.Delete(KindFile, d.file(), d.ann) }, []string{"file.deleted"}},
		"restore": {func(d *desk) {
			d.p.Trash(KindFile, d.file(), d.ann)
			d.p.Restore(KindFile, d.p.List(d.p.TrashOf(d.ann))[0].ID, d.room, d.ann)
		}, []string{"file.restored", "file.trashed"}},
		"folder trashed and restored": {func(d *desk) {
			d.p.Trash(KindFolder, d.folder(), d.ann)
			d.p.Restore(KindFolder, d.p.List(d.p.TrashOf(d.ann))[0].ID, d.room, d.ann)
		}, []string{"folder.restored", "folder.trashed"}},
		"new folder":     {func(d *desk) { d.p.CreateFolder(d.room, "F", d.ann) }, []string{"folder.created"}},
		"rename folder":  {func(d *desk) { d.p.Rename(KindFolder, d.folder(), "F", d.ann) }, []string{"folder.updated"}},
		"delete folder":  {func(d *desk) { d.p.DeleteFolder(d.folder(), d.ann) }, []string{"folder.deleted"}},
		"copy of a file": {func(d *desk) { d.p.CopyEntry(KindFile, d.file(), d.archive, Skip, d.ann) }, []string{"file.copied"}},
		"move of a file": {func(d *desk) { d.p.MoveEntry(KindFile, d.file(), d.archive, Skip, d.ann) }, []string{"file.moved"}},
		"copy of a folder, nested files too": {func(d *desk) {
			d.p.CopyEntry(KindFolder, d.folder(), d.archive, Skip, d.ann)
		}, []string{"file.copied", "folder.copied"}},
		"move of a folder, and nothing for what is in it": {func(d *desk) {
			d.p.MoveEntry(KindFolder, d.folder(), d.archive, Skip, d.ann)
		}, []string{"folder.moved"}},
		"move that is skipped": {func(d *desk) {
			d.p.AddFile(d.archive, File{Title: "file.txt"})
			d.p.MoveEntry(KindFile, d.file(), d.archive, Skip, d.ann)
		}, nil},
		"new room":          {func(d *desk) { d.p.CreateRoom(Room{Title: "R", Owner: d.gateway}) }, []string{"room.created"}},
		"archive and back":  {func(d *desk) { d.p.ArchiveRoom(d.room, d.ann); d.p.UnarchiveRoom(d.room, d.ann) }, []string{"room.archived", "room.restored"}},
		"room renamed":      {func(d *desk) { d.p.Rename(KindFolder, d.room, "R", d.ann) }, []string{"room.updated"}},
		"room deleted":      {func(d *desk) { d.p.DeleteFolder(d.archive, d.ann) }, []string{"room.deleted"}},
		"room duplicated":   {func(d *desk) { d.p.DuplicateRoom(d.room, d.gateway) }, []string{"file.copied", "file.copied", "folder.copied", "room.copied"}},
		"tags fire nothing": {func(d *desk) { d.p.SetTags(d.room, "a") }, nil},
		"seeding fires nothing": {func(d *desk) {
			d.p.AddFile(d.room, File{Title: "s"})
			d.p.AddFolder(d.room, "s", d.ann)
		}, nil},
		"form submitted, and no file event": {func(d *desk) {
			d.p.SubmitForm(d.file(), d.folder(), "1 - Anonymous.pdf", 3, AnonymousUser)
		}, []string{"form.submit"}},
		"form filled out and stopped": {func(d *desk) {
			d.p.FinishForm(d.file(), d.ann)
			d.p.StopForm(d.file(), d.ann)
		}, []string{"form.filled.out", "form.stopped"}},
		"new user": {func(d *desk) { d.p.CreateUser(User{DisplayName: "Ana Ruiz", Email: "ana@example.com"}, d.ann) }, []string{"user.created"}},
		"fileops copy with overwrite": {func(d *desk) {
			d.p.AddFile(d.archive, File{Title: "file.txt", By: d.ann})
			d.run("copy", body{"fileIds": []ID{d.file()}, "destFolderId": d.archive, "conflictResolveType": 1})
		}, []string{"file.copied"}},
		"POST files/folder": {func(d *desk) {
			d.call("POST", "files/folder/"+string(d.room), `{"title":"x"}`)
		}, []string{"folder.created"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
				d.p.AddFile(d.room, File{Title: "file.txt", Size: 1, By: d.ann})
				sub := d.p.AddFolder(d.room, "Sub", d.ann)
				d.p.AddFile(sub, File{Title: "nested.txt", By: d.ann})
				test.do(d)
				d.delivered()
				if diff := cmp.Diff(test.want, rc.triggers()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// file and folder are the ones TestWhatFiresWhat put into the room.
func (d *desk) file() ID   { return d.titled("file.txt") }
func (d *desk) folder() ID { return d.titled("Sub") }

func (d *desk) titled(title string) ID {
	d.t.Helper()
	for _, e := range d.p.List(d.room) {
		if e.Title == title {
			return e.ID
		}
	}
	d.t.Fatalf("no %s in the room", title)
	return ""
}

func TestEventsOfOperationsAreTheCallers(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		file := d.p.AddFile(d.room, File{Title: "a.txt", By: d.ann})
		existing := d.p.AddFile(d.archive, File{Title: "a.txt", By: d.ann})
		d.run("copy", body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": "Overwrite"})
		d.run("copy", body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": "Duplicate"})
		d.delivered()
		got := rc.deliveries()
		slices.SortFunc(got, func(a, b delivery) int { return a.Event.ID - b.Event.ID })
		if len(got) != 2 || got[0].Event.CreateBy != d.gateway || got[1].Event.CreateBy != d.gateway {
			t.Fatalf("deliveries %+v", got)
		}
		if fmt.Sprint(got[0].Payload["id"]) != string(existing) || got[0].Payload["createBy"] != string(d.ann) {
			t.Errorf("overwriting shows the existing file: %v", got[0].Payload)
		}
		if got[1].Payload["title"] != "a (1).txt" || got[1].Payload["createBy"] != string(d.gateway) {
			t.Errorf("a copy is the caller's: %v", got[1].Payload)
		}
	})
}

func TestPayloadOfTheThirdGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		sub := d.p.AddFolder(d.room, "Sub", d.ann)
		d.p.Upload(sub, "a.pdf", 10, d.ann)                  // by another than the webhook's owner
		d.p.Upload(d.room, "b.pdf", 10, d.gateway)           // by the owner
		d.p.CreateRoom(Room{Title: "New", Owner: d.gateway}) // lies in the section
		d.delivered()
		byTrigger := map[string]delivery{}
		for _, g := range rc.deliveries() {
			byTrigger[g.Event.Trigger+fmt.Sprint(g.Payload["title"])] = g
		}
		keys := func(g delivery) string {
			var list []string
			dec := json.NewDecoder(strings.NewReader(g.Body[strings.Index(g.Body, `"payload":`)+len(`"payload":`):]))
			_, _ = dec.Token()
			for dec.More() {
				key, _ := dec.Token()
				list = append(list, key.(string))
				var skip json.RawMessage
				_ = dec.Decode(&skip)
			}
			return strings.Join(list, " ")
		}
		tests := map[string]string{
			"file.uploadeda.pdf": "id parentId shareRecord securityByUsers folderIdDisplay rootId title createBy modifiedBy access parentShared createOn modifiedOn rootFolderType rootCreateBy fileEntryType",
			"file.uploadedb.pdf": "id parentId securityByUsers folderIdDisplay rootId title createBy modifiedBy parentShared createOn modifiedOn rootFolderType rootCreateBy fileEntryType",
			"room.createdNew":    "id parentId securityByUsers folderIdDisplay rootId title createBy modifiedBy createOn modifiedOn rootFolderType rootCreateBy fileEntryType",
		}
		for name, want := range tests {
			if got := keys(byTrigger[name]); got != want {
				t.Errorf("%s has\n%s, want\n%s", name, got, want)
			}
		}
		shared := byTrigger["file.uploadeda.pdf"].Payload
		record := shared["shareRecord"].(map[string]any)
		if shared["access"] != 9.0 || record["share"] != 9.0 || record["subject"] != string(d.gateway) ||
			fmt.Sprint(record["entryId"]) != string(d.room) || record["level"] != 1.0 {
			t.Errorf("access is the webhook owner's: %v", shared)
		}
		if root := fmt.Sprint(shared["rootId"]); root != string(d.p.Rooms()) {
			t.Errorf("rootId %s is the section, not the room", root)
		}
		if room := byTrigger["room.createdNew"].Payload; room["parentId"] != room["rootId"] || room["fileEntryType"] != 1.0 {
			t.Errorf("room %v", room)
		}
	})
}

func TestPayloadsAreTheStateAtPublication(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		file := d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.p.Rename(KindFile, file, "b.txt", d.ann)
		d.p.Trash(KindFile, file, d.ann)
		d.delivered()
		seen := map[string]string{}
		for _, g := range rc.deliveries() {
			seen[g.Event.Trigger] = fmt.Sprint(g.Payload["title"], " in ", g.Payload["parentId"])
		}
		want := map[string]string{
			"file.uploaded": "a.txt in " + string(d.room),
			"file.updated":  "b.txt in " + string(d.room),
			"file.trashed":  "b.txt in " + string(d.room),
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestThirdPartyPayload(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		room := d.p.AddThirdPartyRoom(Room{Title: "Drive", Owner: d.ann, Members: map[UserID]Access{d.gateway: Read}}, ThirdParty{Account: 12})
		file := d.p.Upload(room, "a.txt", 1, d.gateway)
		d.delivered()
		g := rc.deliveries()[0]
		if g.Payload["id"] != string(file) || g.Payload["parentId"] != string(room) || g.Payload["rootId"] != "drive-12" ||
			g.Payload["providerId"] != 12.0 || g.Payload["providerKey"] != "GoogleDrive" {
			t.Errorf("payload %v", g.Payload)
		}
		if g.Payload["createBy"] != string(d.ann) || g.Event.CreateBy != d.gateway {
			t.Error("the entry is the account owner's, the event the uploader's")
		}
	})
}

func TestFormSubmit(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		form := d.p.AddFile(d.room, File{Title: "Order.pdf", IsForm: true, By: d.ann})
		results := d.p.AddFolder(d.room, "Order", d.ann)
		d.p.AddWebhook(Webhook{Name: "on form", URL: "https://other.example.com/", Secret: secret, TargetID: form, Enabled: true})
		submitted := d.p.SubmitForm(form, results, "1 - Anonymous - Order.pdf", 5, AnonymousUser)
		d.delivered()
		got := rc.deliveries()
		if len(got) != 2 {
			t.Fatalf("%d deliveries: the target of a form webhook is the original form", len(got))
		}
		for _, g := range got {
			original, filled := g.Payload["originalForm"].(map[string]any), g.Payload["submittedForm"].(map[string]any)
			if len(g.Payload) != 2 || fmt.Sprint(original["id"]) != string(form) || fmt.Sprint(filled["id"]) != string(submitted) {
				t.Errorf("payload %v", g.Payload)
			}
			if g.Event.CreateBy != AnonymousUser {
				t.Errorf("event %+v", g.Event)
			}
			if target, ok := g.Webhook["target"].(map[string]any); ok && (target["type"] != "form" || fmt.Sprint(target["id"]) != string(form)) {
				t.Errorf("target %v", target)
			}
		}
	})
}

func TestWhoGetsAnEvent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		hook func(d *desk) Webhook
		want int
	}{
		"all triggers": {func(d *desk) Webhook { return Webhook{Owner: d.gateway, Enabled: true} }, 1},
		"the right trigger": {func(d *desk) Webhook {
			return Webhook{Owner: d.gateway, Enabled: true, Triggers: []string{"file.uploaded", "user.created"}}
		}, 1},
		"another trigger": {func(d *desk) Webhook {
			return Webhook{Owner: d.gateway, Enabled: true, Triggers: []string{"file.created"}}
		}, 0},
		"not enabled":                 {func(d *desk) Webhook { return Webhook{Owner: d.gateway} }, 0},
		"owner cannot read the entry": {func(d *desk) Webhook { return Webhook{Owner: d.p.AddUser(User{DisplayName: "X"}), Enabled: true} }, 0},
		"owner is an admin without a role": {func(d *desk) Webhook {
			return Webhook{Owner: d.p.AddUser(User{DisplayName: "X", Admin: true}), Enabled: true}
		}, 1},
		"owner is the actor":                  {func(d *desk) Webhook { return Webhook{Owner: d.ann, Enabled: true} }, 1},
		"the room as target matches no files": {func(d *desk) Webhook { return Webhook{Owner: d.gateway, Enabled: true, TargetID: d.room} }, 0},
		"this very file as target":            {func(d *desk) Webhook { return Webhook{Owner: d.gateway, Enabled: true, TargetID: d.file()} }, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc := &receiver{}
				d := newBubbleDesk(t, Options{HTTPClient: &http.Client{Transport: HandlerTransport(rc)}})
				d.p.AddFile(d.room, File{Title: "file.txt", By: d.ann})
				w := test.hook(d)
				w.Name, w.URL, w.Secret = "w", "https://x.example.com/", secret
				d.p.AddWebhook(w)
				d.p.Upload(d.room, "file.txt", 2, d.ann)
				d.delivered()
				if got := len(rc.deliveries()); got != test.want {
					t.Errorf("%d deliveries, want %d", got, test.want)
				}
			})
		})
	}
	t.Run("two webhooks, two event ids", func(t *testing.T) {
		t.Parallel()
		bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
			d.p.AddWebhook(Webhook{Name: "second", URL: "https://y.example.com/", Secret: secret, Owner: d.gateway, Enabled: true})
			d.p.Upload(d.room, "a", 1, d.ann)
			d.delivered()
			got := rc.deliveries()
			if len(got) != 2 || got[0].Event.ID == got[1].Event.ID {
				t.Errorf("deliveries %+v", got)
			}
		})
	})
}

func TestPayloadOfTheFourthGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Generation: 4}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		room := d.p.CreateRoom(Room{Title: "New", Type: RoomData, Owner: d.gateway, Private: true, Quota: 99})
		sub := d.p.CreateFolder(room, "Sub", d.gateway)
		file := d.p.Upload(sub, "a.pdf", 10, d.gateway)
		d.p.Upload(sub, "a.pdf", 11, d.gateway)
		d.p.Lock(file, d.gateway)
		d.delivered()
		got := map[string]map[string]any{}
		for _, g := range rc.deliveries() {
			for _, gone := range []string{"createBy", "modifiedBy", "rootId", "security", "securityByUsers", "access", "shareRecord"} {
				if _, ok := g.Payload[gone]; ok {
					t.Errorf("%s still has %s", g.Event.Trigger, gone)
				}
			}
			person, _ := g.Payload["createdBy"].(map[string]any)
			if person["id"] != string(d.gateway) || person["email"] != "gateway@example.com" {
				t.Errorf("created by %v", g.Payload["createdBy"])
			}
			got[g.Event.Trigger] = g.Payload
		}
		want := map[string]map[string]any{
			"room.created":   {"fileEntryType": 1.0, "roomType": float64(RoomData), "type": 29.0, "private": true, "quotaLimit": 99.0, "rootFolderType": 14.0},
			"folder.created": {"fileEntryType": 1.0, "roomType": nil, "filesCount": nil, "parentRoomType": nil},
			"file.updated":   {"version": 2.0, "contentLength": 11.0, "fileExst": ".pdf", "fileType": 10.0, "locked": true, "lockedBy": "Gateway"},
		}
		for trigger, members := range want {
			for key, value := range members {
				if got[trigger][key] != value {
					t.Errorf("%s: %s is %v, want %v", trigger, key, got[trigger][key], value)
				}
			}
		}
	})
}
