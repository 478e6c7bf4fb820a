package portalsim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// captured are the facts of a captured delivery, from which a portal is built that has to
// produce the same bytes.
type captured struct {
	Event struct {
		ID       int
		CreateOn time.Time
		CreateBy UserID
		Trigger  string
	}
	Payload struct {
		ID, ParentID, RootID, RootFolderID int
		Title, Comment, ViewURL            string
		ContentLength                      int64
		CreatedBy                          struct {
			DisplayName, UserName, Email string
		}
	}
	Webhook struct {
		ID        int
		Name, URL string
	}
}

func TestBodyIsByteForByteACapturedDelivery(t *testing.T) {
	t.Parallel()
	own := map[string]int{"testdata/file.created.v3.json": 3, "testdata/file.created.v4.json": 4}
	for path, generation := range own {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sameBytes(t, path, generation)
		})
	}
	// Real deliveries, where somebody put them beside the repository.
	shared := filepath.Join("..", "..", "..", "shared", "webhooks")
	for name, generation := range map[string]int{"file.created.v3.json": 3, "file.created.v4.json": 4} {
		path := filepath.Join(shared, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		t.Run("real "+name, func(t *testing.T) {
			t.Parallel()
			sameBytes(t, path, generation)
		})
	}
}

func sameBytes(t *testing.T, path string, generation int) {
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var facts captured
	if err := json.Unmarshal(want, &facts); err != nil {
		t.Fatal(err)
	}
	root := max(facts.Payload.RootID, facts.Payload.RootFolderID)
	base := "https://portal.example.com"
	if before, _, found := strings.Cut(facts.Payload.ViewURL, "/filehandler"); found {
		base = before
	}
	p := New(Options{Generation: generation, FirstFolderID: root, FirstFileID: facts.Payload.ID, BaseURL: base})
	defer p.Close()
	author := p.AddUser(User{
		ID: facts.Event.CreateBy, DisplayName: facts.Payload.CreatedBy.DisplayName,
		UserName: facts.Payload.CreatedBy.UserName, Email: facts.Payload.CreatedBy.Email,
	})
	p.mu.Lock()
	p.lastFolder = facts.Payload.ParentID - 1
	p.folders[p.rooms].createdBy = author
	p.mu.Unlock()
	room := p.AddRoom(Room{Title: "Room", Owner: author, Members: map[UserID]Access{"somebody": Read}})
	file := p.AddFile(room, File{
		Title: facts.Payload.Title, By: author, Created: facts.Event.CreateOn,
		Size: facts.Payload.ContentLength, Comment: facts.Payload.Comment,
	})

	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastHook = facts.Webhook.ID - 1
	h := p.putHook(&hook{name: facts.Webhook.Name, url: facts.Webhook.URL, enabled: true, owner: author})
	r := row{
		trigger: facts.Event.Trigger, created: facts.Event.CreateOn, createdBy: author,
		payload: p.filePayload(p.files[file], ""), hookInfo: h.snapshot("file"),
	}
	if diff := cmp.Diff(string(want), string(r.render(facts.Event.ID))); diff != "" {
		t.Errorf("body differs (-captured +ours):\n%s", diff)
	}
	if room != ID(strconv.Itoa(facts.Payload.ParentID)) {
		t.Errorf("room has id %s", room)
	}
}

func TestSignatureIsUpperCaseHexOverTheExactBytes(t *testing.T) {
	t.Parallel()
	// Computed with openssl dgst -sha256 -hmac 'S3cret!For-Tests'.
	want := map[string]string{
		"testdata/file.created.v3.json": "sha256=A40366EEC9006ACAFDCEB97F611409199318BAF6AAF54C3FD27676F66CB0B230",
		"testdata/file.created.v4.json": "sha256=6ABD88D211E57F002E9741211ACAFB1F38E8A35E523F53AF9D9AA241C8C7103C",
	}
	for path, signature := range want {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := sign("S3cret!For-Tests", body); got != signature {
			t.Errorf("%s: signature %s, want %s", path, got, signature)
		}
	}
}

func TestNetJSONEscapesLikeDotNet(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"plain ASCII stays":              `plain /~{}[]()|$%`,
		"HTML characters":                `<&'+">` + "`",
		"control characters":             "\b\t\n\f\r\x01\x7f",
		"a backslash has its short form": `\`,
		"upper-case hex":                 "üÿ",
		"surrogate pairs":                "🚀",
	}
	want := map[string]string{
		"plain ASCII stays":              `plain /~{}[]()|$%`,
		"HTML characters":                `\u003C\u0026\u0027\u002B\u0022\u003E\u0060`,
		"control characters":             `\b\t\n\f\r\u0001\u007F`,
		"a backslash has its short form": `\\`,
		"upper-case hex":                 `\u00FC\u00FF`,
		"surrogate pairs":                `\uD83D\uDE80`,
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(appendNetString(nil, in))
			if got != `"`+want[name]+`"` {
				t.Errorf("got %s", got)
			}
			var back string
			if err := json.Unmarshal([]byte(got), &back); err != nil || back != in {
				t.Errorf("reads back as %q, %v", back, err)
			}
		})
	}
}
