package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"docspace-router/internal/event"
)

// Every file in testdata/badtests has its problems beside it. Run with -update after a change,
// and read what changed.
func TestBadTests(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/badtests/*.yaml")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseTests(name, text)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("ParseTests: %v", err)
			}
			got := problems.Error() + "\n"
			for line := range strings.Lines(got) {
				if !placed.MatchString(line) {
					t.Errorf("no place in %q", line)
				}
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoodTests(t *testing.T) {
	t.Parallel()
	path := "testdata/goodtests/everything.yaml"
	got, err := LoadTests(path)
	if err != nil {
		t.Fatal(err)
	}
	clientA := &Place{ID: "539564", Title: "Client A", Type: "public", Tags: []string{"client", "2026"}}
	inbox := &Place{ID: "771", Title: "Inbox", In: clientA}
	year := &Place{ID: "772", Title: "2026", In: clientA}
	march := &Place{ID: "773", Title: "March", In: year}
	elsewhere := &Place{ID: "drive-12", Title: "Elsewhere", Type: "custom"}
	size := func(n int64) *int64 { return &n }
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	want := &Tests{
		Name: path, Rules: "../rules",
		Places: map[event.ID]*Place{"539564": clientA, "771": inbox, "772": year, "773": march, "drive-12": elsewhere},
		Cases: []Case{
			{
				Name: "everything about a file",
				Given: Given{
					Portal: "beta", Trigger: "file.created", Kind: event.File, ID: "90412", Title: "contract.pdf", In: march,
					Size: size(2621440), Version: 3, Comment: "signed", IsForm: true,
					By:   &Person{User: event.User{ID: "6d1a", Email: "ana@example.com", DisplayName: "Ana Ruiz"}},
					When: day.Add(9*time.Hour + 14*time.Minute + 7*time.Second),
				},
				Expect: []Expected{
					{Action: event.Move, To: "drive-12", Path: "Client A/2026-03", Rule: "contracts", Conflict: event.Skip},
					{Action: event.Copy, To: "341029"},
				},
			},
			{
				Name:  "as little as can be",
				Given: Given{Portal: "acme", Trigger: "file.uploaded", Kind: event.File, ID: "1", Title: "a.pdf", In: clientA, Version: 1, When: defaultTime},
			},
			{
				Name: "a folder by the gateway on a day",
				Given: Given{
					Portal: "acme", Trigger: "folder.created", Kind: event.Folder, ID: "1", Title: "Project X", In: elsewhere, Version: 1,
					By: &Person{Gateway: true, User: event.User{Email: "gateway", DisplayName: "gateway"}}, When: day,
				},
			},
			{
				Name: "a form",
				Given: Given{
					Portal: "acme", Trigger: "form.submit", Kind: event.File, ID: "1", Title: "form.pdf", In: inbox, Version: 1, Size: size(4096),
					By: &Person{User: event.User{Email: "bob@example.com", DisplayName: "bob@example.com"}}, When: defaultTime,
				},
			},
			{
				Name: "a captured delivery",
				Given: Given{
					Portal: "acme", Body: "delivery.json", ID: "1", Version: 1, Size: size(0),
					By: &Person{User: event.User{Email: "ana@example.com", DisplayName: "ana@example.com"}}, When: defaultTime,
				},
			},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(Position{})); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
	if at := got.Cases[0].Expect[1].At.String(); at != path+":28:9" {
		t.Errorf("the second expectation is at %s", at)
	}
	if s := march.String() + " in " + clientA.String(); s != `folder 773 "March" in room 539564 "Client A"` {
		t.Error(s)
	}
	var file *FileError
	if _, err := LoadTests("testdata/goodtests/none.yaml"); !errors.As(err, &file) {
		t.Errorf("a file there is not: %v", err)
	}
}
