package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// withoutRaw leaves the objects that are kept as they came out of a comparison.
var withoutRaw = cmpopts.IgnoreFields(Event{}, "Payload", "Webhook")

func date(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestParseReadsTheCapturedDeliveries(t *testing.T) {
	t.Parallel()
	admin := User{ID: "66faa6e4-f133-11ea-b126-00ffeec8b4ef", DisplayName: "Administrator", Email: "admin@admin.admin"}
	owner := User{ID: "514c7ed5-3141-4448-af92-008bcb707042"}
	tests := []struct {
		file string
		want Event
	}{
		{"file.created.v3.json", Event{
			ID: "138769", WebhookID: "2621", Trigger: "file.created", CreatedOn: date("2026-09-17T10:22:56Z"), CreatedBy: owner.ID,
			Entry: Entry{
				Kind: File, ID: "3358285", ParentID: "6590430", Title: "321.xlsx", RootType: 14,
				CreatedOn: date("2026-09-17T10:22:56Z"), ModifiedOn: date("2026-09-17T10:22:56Z"), CreatedBy: owner, ModifiedBy: owner,
			},
		}},
		{"file.created.v4.json", Event{
			ID: "3", WebhookID: "1", Trigger: "file.created", CreatedOn: date("2026-09-29T11:09:13Z"), CreatedBy: admin.ID,
			Entry: Entry{
				Kind: File, ID: "47", ParentID: "18", Title: "TestDoc.docx", RootType: 14,
				CreatedOn: date("2026-09-29T11:09:13Z"), ModifiedOn: date("2026-09-29T11:09:13Z"), CreatedBy: admin, ModifiedBy: admin,
				Detailed: true, Size: 7726, Version: 1, Comment: "Created",
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(capture(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, withoutRaw); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseReadsEveryShapeOfDelivery(t *testing.T) {
	t.Parallel()
	const ana = "3b0c7a1e-52d4-4f0a-9b7e-6f1d2c3a4b5c"
	at, happened := date("2026-03-02T09:14:06Z"), date("2026-03-02T09:14:07Z")
	v3 := func(e Entry) Entry {
		e.RootType, e.CreatedOn, e.ModifiedOn = 14, at, at
		e.CreatedBy, e.ModifiedBy = User{ID: ana}, User{ID: ana}
		return e
	}
	anaInFull := User{ID: ana, DisplayName: "Ana Ruiz", Email: "ana@example.com"}
	tests := map[string]Event{
		"v3-file-uploaded.json": {
			ID: "48213", WebhookID: "12", Trigger: "file.uploaded", CreatedOn: happened, CreatedBy: ana,
			Entry: v3(Entry{Kind: File, ID: "90412", ParentID: "7310", Title: "Factură & Müller's 2026+.PDF"}),
		},
		"v3-third-party.json": {
			ID: "48300", WebhookID: "12", Trigger: "file.moved", CreatedOn: happened, CreatedBy: ana,
			Entry: v3(Entry{Kind: File, ID: "drive-12-|1AbC", ParentID: "drive-12-|root", Title: "scan.tar.gz"}),
		},
		"v3-folder-created.json": {
			ID: "48240", WebhookID: "12", Trigger: "folder.created", CreatedOn: happened, CreatedBy: ana,
			Entry: v3(Entry{Kind: Folder, ID: "8010", ParentID: "7310", Title: "Inbox.old"}),
		},
		"v3-room-created.json": {
			ID: "48241", WebhookID: "12", Trigger: "room.created", CreatedOn: happened, CreatedBy: ana,
			Entry: v3(Entry{Kind: Folder, ID: "8020", ParentID: "5", Title: "Client A"}),
		},
		"v3-form-submit.json": {
			ID: "48260", WebhookID: "12", Trigger: "form.submit", CreatedOn: happened, CreatedBy: "712d9ec3-5d2b-4b13-824f-71f00191dcca",
			Entry: v3(Entry{Kind: File, ID: "90500", ParentID: "7340", Title: "1 - Anonymous - Order form.pdf"}),
		},
		"v4-file-updated.json": {
			ID: "9", WebhookID: "12", Trigger: "file.updated", CreatedOn: date("2026-03-02T09:20:02Z"), CreatedBy: ana,
			Entry: Entry{
				Kind: File, ID: "512", ParentID: "77", Title: "Draft.docx", RootType: 14,
				CreatedOn: date("2026-03-02T09:20:00Z"), ModifiedOn: date("2026-03-02T09:20:01.5Z"), CreatedBy: anaInFull, ModifiedBy: anaInFull,
				Detailed: true, Size: 48128, Version: 3, Comment: "Second draft", IsForm: true,
			},
		},
		"flat-data.json": {
			ID: digest(string(stored(t, "flat-data.json"))), Trigger: "file.created",
			Entry: Entry{Kind: File, ID: "4711", ParentID: "7310", Title: "flat.txt"},
		},
		"flat-entity.json": {
			ID: digest(string(stored(t, "flat-entity.json"))), Trigger: "file.created",
			Entry: Entry{Kind: File, ID: "4712", ParentID: "7310"},
		},
		"flat-top.json": {
			ID: digest(string(stored(t, "flat-top.json"))), Trigger: "file.uploaded",
			Entry: Entry{Kind: File, ID: "4713", ParentID: "7311"},
		},
	}
	for file, want := range tests {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(stored(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, withoutRaw); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseKeepsPayloadAndWebhookAsTheyCame(t *testing.T) {
	t.Parallel()
	ev, err := Parse([]byte(`{ "payload" : { "id" : 1, "x":[1, 2.50] } , "webhook":{"id":"w"} }`))
	if err != nil {
		t.Fatal(err)
	}
	want := [2]string{`{ "id" : 1, "x":[1, 2.50] }`, `{"id":"w"}`}
	if got := [2]string{string(ev.Payload), string(ev.Webhook)}; got != want {
		t.Errorf("payload and webhook are %q, want %q", got, want)
	}
}

func TestARetryKeepsTheIdentityOfItsDelivery(t *testing.T) {
	t.Parallel()
	first, err := Parse(stored(t, "v3-file-uploaded.json"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(stored(t, "v3-file-uploaded-retry.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Webhook) == string(again.Webhook) {
		t.Fatal("the two deliveries are the same: nothing is tested")
	}
	if diff := cmp.Diff(first, again, cmpopts.IgnoreFields(Event{}, "Webhook")); diff != "" {
		t.Errorf("the retry differs (-first +again):\n%s", diff)
	}
}

func TestParseOddBodies(t *testing.T) {
	t.Parallel()
	flat := func(body string, entry Entry) Event {
		entry.Kind = File
		return Event{ID: digest(body), Trigger: "file.uploaded", Entry: entry}
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	tests := []struct {
		name, body string
		want       func(body string) Event
	}{
		{"fileId beats id", `{"data":{"id":1,"fileId":2}}`, func(b string) Event { return flat(b, Entry{ID: "2"}) }},
		{"data with roomId", `{"data":{"id":1,"roomId":9}}`, func(b string) Event { return flat(b, Entry{ID: "1", ParentID: "9"}) }},
		{"data with parentId", `{"data":{"fileId":1,"parentId":9}}`, func(b string) Event { return flat(b, Entry{ID: "1", ParentID: "9"}) }},
		{"folderId beats the others", `{"data":{"id":1,"roomId":7,"parentId":8,"folderId":9}}`, func(b string) Event { return flat(b, Entry{ID: "1", ParentID: "9"}) }},
		{"a folder beats its room", `{"data":{"id":1,"roomId":7,"parentId":8}}`, func(b string) Event { return flat(b, Entry{ID: "1", ParentID: "8"}) }},
		{"entity with fileId and folderId", `{"entity":{"fileId":"3","folderId":"4"}}`, func(b string) Event { return flat(b, Entry{ID: "3", ParentID: "4"}) }},
		{"top level with fileId and roomId", `{"fileId":3,"roomId":4}`, func(b string) Event { return flat(b, Entry{ID: "3", ParentID: "4"}) }},
		{"top level with folderId", `{"id":3,"folderId":4}`, func(b string) Event { return flat(b, Entry{ID: "3", ParentID: "4"}) }},
		{"no folder at all", `{"id":3}`, func(b string) Event { return flat(b, Entry{ID: "3"}) }},
		{"data that is no object is passed over", `{"data":7,"entity":{"id":3}}`, func(b string) Event { return flat(b, Entry{ID: "3"}) }},
		{"an id larger than 64 bits keeps its digits", `{"id":123456789012345678901234567890}`, func(b string) Event { return flat(b, Entry{ID: "123456789012345678901234567890"}) }},
		{"an id with an exponent keeps its characters", `{"id":1.5e3}`, func(b string) Event { return flat(b, Entry{ID: "1.5e3"}) }},
		{"an id of blanks around digits", `{"id":" 42 "}`, func(b string) Event { return flat(b, Entry{ID: "42"}) }},
		{"an id that is null falls back", `{"fileId":null,"id":5}`, func(b string) Event { return flat(b, Entry{ID: "5"}) }},
		{"an id that is an object falls back", `{"fileId":{"id":1},"id":5}`, func(b string) Event { return flat(b, Entry{ID: "5"}) }},
		{"NUL characters are replaced", `{"id":"a\u0000b","title":"x\u0000y"}`, func(b string) Event { return flat(b, Entry{ID: "a\uFFFDb", Title: "x\uFFFDy"}) }},
		{"halves of surrogates are replaced", `{"id":"a\ud800","title":"\udc00"}`, func(b string) Event { return flat(b, Entry{ID: "a\uFFFD", Title: "\uFFFD"}) }},
		{"bytes that are not UTF-8 are replaced", "{\"id\":1,\"title\":\"\xff.pdf\"}", func(b string) Event { return flat(b, Entry{ID: "1", Title: "\uFFFD.pdf"}) }},
		{"escaped names of members", `{"\u0069d":1,"t\u0069tle":"a"}`, func(b string) Event { return flat(b, Entry{ID: "1", Title: "a"}) }},
		{"names in another case are other members", `{"id":1,"Title":"a","ID":2}`, func(b string) Event { return flat(b, Entry{ID: "1"}) }},
		{"the last of several members counts", `{"id":1,"id":2}`, func(b string) Event { return flat(b, Entry{ID: "2"}) }},
		{"brackets and quotes inside strings", `{"x":"}\"]{","id":1,"y":"\\","title":"a\\\"b"}`, func(b string) Event { return flat(b, Entry{ID: "1", Title: `a\"b`}) }},
		{"white space everywhere", " {\t\"id\"\r\n:\n1 , \"title\" : \"a\" } \n", func(b string) Event { return flat(b, Entry{ID: "1", Title: "a"}) }},
		{"a date without a zone is UTC", `{"id":1,"createOn":"2026-03-01T17:40:02"}`, func(b string) Event { return flat(b, Entry{ID: "1", CreatedOn: date("2026-03-01T17:40:02Z")}) }},
		{"a date with a zone and fractions", `{"id":1,"modifiedOn":"2026-03-02T12:14:06.1230000+03:00"}`, func(b string) Event { return flat(b, Entry{ID: "1", ModifiedOn: date("2026-03-02T09:14:06.123Z")}) }},
		{"a date that is none", `{"id":1,"createOn":"yesterday","modifiedOn":17}`, func(b string) Event { return flat(b, Entry{ID: "1"}) }},
		{"members of unexpected types count as absent",
			`{"id":1,"title":7,"rootFolderType":"14","version":"2","contentLength":"9 KB","comment":[],"isForm":"yes","createdBy":5,"fileEntryType":{}}`,
			func(b string) Event { return flat(b, Entry{ID: "1"}) }},
		{"numbers that are no integers count as absent", `{"id":1,"contentLength":1.5,"version":99999999999999999999}`, func(b string) Event { return flat(b, Entry{ID: "1"}) }},
		{"deep nesting elsewhere does no harm", `{"x":` + deep + `,"id":1}`, func(b string) Event { return flat(b, Entry{ID: "1"}) }},
		{"a detailed body without size is an empty file", `{"id":1,"version":1}`, func(b string) Event { return flat(b, Entry{ID: "1", Version: 1, Detailed: true}) }},
		{"an envelope without trigger counts as an upload", `{"event":{"id":7},"payload":{"id":1}}`, func(string) Event {
			return Event{ID: "7", Trigger: "file.uploaded", Entry: Entry{Kind: File, ID: "1"}}
		}},
		{"an envelope without an event id is known by its bytes", `{"event":{"trigger":"file.moved"},"payload":{"id":1},"webhook":{"id":3}}`, func(b string) Event {
			return Event{ID: digest(b), WebhookID: "3", Trigger: "file.moved", Entry: Entry{Kind: File, ID: "1"}}
		}},
		{"ids of event and webhook as text", `{"event":{"id":"e-1","trigger":"file.moved"},"payload":{"id":1},"webhook":{"id":"w-1"}}`, func(string) Event {
			return Event{ID: "e-1", WebhookID: "w-1", Trigger: "file.moved", Entry: Entry{Kind: File, ID: "1"}}
		}},
		{"the kind of the entry beats the trigger's family", `{"event":{"id":1,"trigger":"file.copied"},"payload":{"id":1,"fileEntryType":1}}`, func(string) Event {
			return Event{ID: "1", Trigger: "file.copied", Entry: Entry{Kind: Folder, ID: "1"}}
		}},
		{"a trigger nobody knows is kept", `{"trigger":"folder.painted","id":1}`, func(b string) Event {
			return Event{ID: digest(b), Trigger: "folder.painted", Entry: Entry{Kind: Folder, ID: "1"}}
		}},
		{"a form submitted in a flat body", `{"trigger":"form.submit","id":1}`, func(b string) Event {
			return Event{ID: digest(b), Trigger: "form.submit", Entry: Entry{Kind: File, ID: "1"}}
		}},
		{"only form.submit looks at its halves", `{"id":1,"submittedForm":{"id":2}}`, func(b string) Event { return flat(b, Entry{ID: "1"}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want(tt.body), got, withoutRaw); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTellsWhatItCannotUse(t *testing.T) {
	t.Parallel()
	const notObject, nameless = "the body is not a JSON object", "the body names no file or folder"
	tests := []struct{ name, body, reason string }{ // no reason: not JSON
		{"nothing", "", ""},
		{"white space", " \n", ""},
		{"text", "hello", ""},
		{"a form", "id=1&folderId=2", ""},
		{"an object that does not end", `{"id":1`, ""},
		{"two objects", `{"id":1}{"id":2}`, ""},
		{"a trailing comma", `{"id":1,}`, ""},
		{"a byte order mark", "\ufeff{\"id\":1}", ""},
		{"a control character in a string", "{\"id\":\"a\x01\"}", ""},
		{"endless nesting", strings.Repeat("[", 1<<20), ""},
		{"nesting nobody means", strings.Repeat("[", 10001) + strings.Repeat("]", 10001), ""},
		{"null", "null", notObject},
		{"an array", `[{"id":1}]`, notObject},
		{"a number", "17", notObject},
		{"a string", `"id"`, notObject},
		{"an empty object", "{}", nameless},
		{"an empty id", `{"id":""}`, nameless},
		{"an id of blanks", `{"id":"  "}`, nameless},
		{"an id that is a boolean", `{"id":true}`, nameless},
		{"an envelope without payload", `{"event":{"id":1,"trigger":"file.created"}}`, nameless},
		{"a payload without id", `{"id":9,"payload":{"title":"x"}}`, nameless},
		{"a submitted form without id", `{"event":{"trigger":"form.submit"},"payload":{"originalForm":{"id":1},"submittedForm":{}}}`, nameless},
		{"a user", string(stored(t, "v3-user-created.json")), "an event of a user is not about a file or folder"},
		{"a group", `{"event":{"trigger":"group.deleted"},"payload":{"id":"x"}}`, "an event of a group is not about a file or folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(tt.body))
			if diff := cmp.Diff(Event{}, got); diff != "" {
				t.Errorf("an event came with the error:\n%s", diff)
			}
			var noEntry *NoEntryError
			switch {
			case tt.reason == "":
				if !errors.Is(err, ErrNotJSON) {
					t.Errorf("error %v, want ErrNotJSON", err)
				}
			case !errors.As(err, &noEntry) || noEntry.Reason != tt.reason || err.Error() != tt.reason:
				t.Errorf("error %v, want a NoEntryError %q", err, tt.reason)
			}
		})
	}
}

func TestALongNameGoesByItsDigest(t *testing.T) {
	t.Parallel()
	read := func(event, webhook string) Event {
		ev, err := Parse(fmt.Appendf(nil, `{"event":{"id":%q},"webhook":{"id":%q},"payload":{"id":1}}`, event, webhook))
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	long := strings.Repeat("x", longestName)
	if ev := read(long, long); ev.ID != long || ev.WebhookID != long {
		t.Errorf("names of %d bytes became %q and %q", longestName, ev.ID, ev.WebhookID)
	}
	const digested = 7 + 64
	a, b, again := read(long+"a", long+"a"), read(long+"b", long+"b"), read(long+"a", long+"a")
	if len(a.ID) != digested || len(a.WebhookID) != digested {
		t.Errorf("longer ones became %q and %q", a.ID, a.WebhookID)
	}
	if a.ID == b.ID || a.WebhookID == b.WebhookID {
		t.Error("two events or webhooks have one name")
	}
	if a.ID != again.ID || a.WebhookID != again.WebhookID {
		t.Error("one event has two names")
	}
}

func TestALongEntryIDIsIgnored(t *testing.T) {
	t.Parallel()
	body := func(n int) []byte {
		return fmt.Appendf(nil, `{"event":{"id":1,"trigger":"folder.created"},"payload":{"id":%q}}`, strings.Repeat("x", n))
	}
	if ev, err := Parse(body(longestEntryID)); err != nil || len(ev.Entry.ID) != longestEntryID {
		t.Errorf("an id of %d bytes: %v", longestEntryID, err)
	}
	_, err := Parse(body(longestEntryID + 1))
	var noEntry *NoEntryError
	if want := "the id of the folder has 2001 bytes, more than 2000"; !errors.As(err, &noEntry) || !noEntry.TooLong || noEntry.Reason != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestAReasonStaysShortWhateverTheTriggerIs(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(`{"trigger":"user.` + strings.Repeat("x", 1<<20) + `","id":1}`))
	var noEntry *NoEntryError
	if !errors.As(err, &noEntry) || len(noEntry.Reason) > 100 {
		t.Errorf("the reason has %d characters", len(noEntry.Reason))
	}
}

func TestIDInJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		id     ID
		want   string
		number bool
	}{
		{"0", `0`, true},
		{"7310", `7310`, true},
		{"-5", `-5`, true},
		{"9223372036854775807", `9223372036854775807`, true},
		{"9223372036854775808", `"9223372036854775808"`, false},
		{"-0", `"-0"`, false},
		{"007", `"007"`, false},
		{"+7", `"+7"`, false},
		{"1e3", `"1e3"`, false},
		{"", `""`, false},
		{"drive-12-|1AbC", `"drive-12-|1AbC"`, false},
		{`quo"te`, `"quo\"te"`, false},
	}
	for _, tt := range tests {
		t.Run(string(tt.id), func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(tt.id)
			if err != nil || string(raw) != tt.want {
				t.Fatalf("written as %s (%v), want %s", raw, err, tt.want)
			}
			if got := tt.id.IsNumber(); got != tt.number {
				t.Errorf("IsNumber is %v", got)
			}
			var back ID
			if err := json.Unmarshal(raw, &back); err != nil || back != tt.id {
				t.Errorf("read back as %q (%v)", back, err)
			}
		})
	}
}

func TestIDOfAnythingElseIsEmpty(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"null", "true", "{}", "[1]", `"\u0020"`} {
		id := ID("before")
		if err := json.Unmarshal([]byte(raw), &id); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		// encoding/json calls UnmarshalJSON for null as well.
		if id != "" {
			t.Errorf("%s is read as %q", raw, id)
		}
	}
	var id ID
	if err := id.UnmarshalJSON([]byte(`"open`)); err == nil {
		t.Error("a string that does not end is accepted")
	}
}

func TestTitlesHaveNamesAndExtensions(t *testing.T) {
	t.Parallel()
	tests := []struct{ title, name, extension string }{
		{"Invoice.PDF", "Invoice", "pdf"},
		{"scan.tar.gz", "scan.tar", "gz"},
		{"README", "README", ""},
		{".profile", "", "profile"},
		{"ends with a dot.", "ends with a dot", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		e := Entry{Title: tt.title}
		if e.Name() != tt.name || e.Extension() != tt.extension {
			t.Errorf("%q has name %q and extension %q, want %q and %q", tt.title, e.Name(), e.Extension(), tt.name, tt.extension)
		}
	}
}

func TestStatesThatAreOutcomes(t *testing.T) {
	t.Parallel()
	var ended []State
	for _, s := range States() {
		if s.Ended() {
			ended = append(ended, s)
		}
	}
	if want := []State{Done, Skipped, Failed, Cancelled}; !slices.Equal(ended, want) {
		t.Errorf("outcomes are %v, want %v", ended, want)
	}
	if want := []EventState{EventPending, EventRouted, EventIgnored, EventFailed}; !slices.Equal(EventStates(), want) {
		t.Errorf("states of events are %v, want %v", EventStates(), want)
	}
}

// FuzzParse: whatever comes, Parse says the same twice, and what it accepts names an entry.
func FuzzParse(f *testing.F) {
	for _, d := range deliveries() {
		f.Add(stored(f, d.file))
	}
	for _, s := range []string{"", "null", "{}", `{"id":1}`, `{"data":{"fileId":"a\u0000"}}`, `{"event":"user.x","id":1}`, `{"id":1,"id":"\\"}`, "[[[["} {
		f.Add([]byte(s))
	}
	for _, levels := range []int{9_999, 10_000, 10_001, 100_000} {
		f.Add([]byte(strings.Repeat("[", levels) + strings.Repeat("]", levels)))
		f.Add([]byte(`{"id":1,"x":` + strings.Repeat(`{"x":[`, levels/2) + strings.Repeat("]}", levels/2) + "}"))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		ev, err := Parse(body)
		if string(body) != before {
			t.Fatal("Parse changed the body")
		}
		again, errAgain := Parse(slices.Clone(body))
		if diff := cmp.Diff(ev, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("read twice (%v, %v):\n%s", err, errAgain, diff)
		}
		if json.Valid(body) == errors.Is(err, ErrNotJSON) {
			t.Fatalf("encoding/json disagrees about JSON: %v", err)
		}
		if err != nil {
			return
		}
		if ev.Entry.ID == "" || ev.ID == "" || ev.Trigger == "" || ev.Entry.Kind == "" {
			t.Fatalf("accepted without an identity: %+v", ev)
		}
		if !json.Valid(ev.Payload) || !isObject(string(ev.Payload)) {
			t.Fatalf("payload %q", ev.Payload)
		}
		if strings.ContainsRune(string(ev.Entry.ID)+ev.Entry.Title+ev.Trigger+ev.ID+ev.WebhookID, 0) {
			t.Fatal("a NUL character got through")
		}
	})
}

// FuzzObject compares the members of an object with what encoding/json finds.
func FuzzObject(f *testing.F) {
	for _, d := range deliveries() {
		f.Add(stored(f, d.file))
	}
	f.Add([]byte(`{"a":{"b":"}\\"},"\u0061":[1,"]"],"":-1.5e+3 , "c" : null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		var want map[string]json.RawMessage
		isMap := json.Unmarshal(raw, &want) == nil && want != nil
		got, ok := object(string(raw), nil)
		if ok != isMap {
			t.Fatalf("object is %v, encoding/json says %v", ok, isMap)
		}
		for name, value := range want {
			if !strings.Contains(name, "\uFFFD") && got.get(name) != string(value) {
				t.Errorf("%q is %q, want %q", name, got.get(name), value)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"v3-file-uploaded.json", "v4-file-updated.json"} {
		b.Run(strings.TrimSuffix(file, ".json"), func(b *testing.B) {
			body := stored(b, file)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
