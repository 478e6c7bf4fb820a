package annotate_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"docspace-router/internal/annotate"
)

// titles are what the numbers in the tests are called.
var titles = map[string]string{"1": "Client Alpha", "2": "Legal", "3": "Room #5", "4": "A  #\tB\x1b\n", "5": "# = x", "6": strings.Repeat("long ", 40)}

// notesOf has a note for every scalar that is a number, called so or not.
func notesOf(t testing.TB, text string) []annotate.Note {
	t.Helper()
	var notes []annotate.Note
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Value != "" && strings.Trim(n.Value, "0123456789") == "" {
			notes = append(notes, annotate.Note{Line: n.Line, Column: n.Column, Title: titles[n.Value]})
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n yaml.Node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return notes
		} else if err != nil {
			t.Fatal(err)
		}
		walk(&n)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"an id gets its title":            {"room: 1\n", "room: 1  # = Client Alpha\n"},
		"an old title is replaced":        {"room: 1 # = Client Able\n", "room: 1 # = Client Alpha\n"},
		"a title that is unknown":         {"room: 9 # = Client Able\n", "room: 9 # = Client Able\n"},
		"people's comment is kept":        {"room: 1  #ask Ada\n", "room: 1  # = Client Alpha  #ask Ada\n"},
		"both are told apart":             {"room: 1  # = Old  #ask Ada  # or Bob \n", "room: 1  # = Client Alpha  #ask Ada  # or Bob \n"},
		"what people wrote behind a tab":  {"room: 1  # = Old\tx\n", "room: 1  # = Client Alpha  x\n"},
		"… or behind a single space":      {"room: 1  # = Client Alpha # ask Ada\n", "room: 1  # = Client Alpha  # ask Ada\n"},
		"a title that people wrote":       {"room: 1  # Client Alpha\n", "room: 1  # = Client Alpha\n"},
		"titles with the marks in them":   {"a: 3\nb: 4\nc: 5\n", "a: 3  # = Room #5\nb: 4  # = A # B\nc: 5  # = # = x\n"},
		"a long title":                    {"a: 6\n", "a: 6  # = " + strings.TrimSpace(strings.Repeat("long ", 20)) + "…\n"},
		"several ids in a line":           {"room: [1, 9, 2]\n", "room: [1, 9, 2]  # = Client Alpha, ?, Legal\n"},
		"a list over lines":               {"room: [1,\n  2]\n", "room: [1,  # = Client Alpha\n  2]  # = Legal\n"},
		"a block list":                    {"room:\n- 1\n-   '2' \n", "room:\n- 1  # = Client Alpha\n-   '2'  # = Legal\n"},
		"a pair":                          {"- {source: 1, destination: 2}\n", "- {source: 1, destination: 2}  # = Client Alpha, Legal\n"},
		"quoted marks behind the id":      {`{a: 1, b: "x # y", c: 'it''s # z'}`, `{a: 1, b: "x # y", c: 'it''s # z'}  # = Client Alpha`},
		"quotes that quote nothing":       {`{a: 1, b: it's, c: x#y}  # it's`, `{a: 1, b: it's, c: x#y}  # = Client Alpha  # it's`},
		"an anchor, a tag and an alias":   {"a: &x !!int 1\nb: *x\n", "a: &x !!int 1  # = Client Alpha\nb: *x\n"},
		"a block scalar":                  {"a: |-\n  1\nb: 2\n", "a: |-  # = Client Alpha\n  1\nb: 2  # = Legal\n"},
		"CRLF, no line end at the end":    {"a: 1\r\n# c\r\nb: 2 # x", "a: 1  # = Client Alpha\r\n# c\r\nb: 2 # = Legal  # x"},
		"other line ends":                 {"a: 1\rb: 2\u0085c: 1\u2028d: 2\n", "a: 1  # = Client Alpha\rb: 2  # = Legal\u0085c: 1  # = Client Alpha\u2028d: 2  # = Legal\n"},
		"tabs and trailing blanks":        {"a:\t1\t\nb: 2   \n", "a:\t1\t # = Client Alpha\nb: 2   # = Legal\n"},
		"a byte order mark":               {"\uFEFFa: 1\n", "\uFEFFa: 1  # = Client Alpha\n"},
		"several documents":               {"a: 1\n---\nb: 2\n", "a: 1  # = Client Alpha\n---\nb: 2  # = Legal\n"},
		"characters of more than a byte":  {"{ä: 'ö', room: 1} # ü\n", "{ä: 'ö', room: 1} # = Client Alpha  # ü\n"},
		"a quoted text that goes on":      {"- {a: 1, b: \"x\n  y\"}\n- 2\n", "- {a: 1, b: \"x\n  y\"}\n- 2  # = Legal\n"},
		"comments that nobody asked for":  {"# top\na: 1\n\n# end\n", "# top\na: 1  # = Client Alpha\n\n# end\n"},
		"nothing to annotate":             {"a: b\n", "a: b\n"},
		"an id that is the whole comment": {"a: 1 #\n", "a: 1 # = Client Alpha  #\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := annotate.Text([]byte(test.text), notesOf(t, test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got.Text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := annotate.Text(got.Text, notesOf(t, string(got.Text)))
			if err != nil || again.Changed != 0 || string(again.Text) != string(got.Text) {
				t.Errorf("a second time it became %q: %v", again.Text, err)
			}
		})
	}
}

func TestAnIDThatIsCalledDifferentlyOnTwoPortals(t *testing.T) {
	t.Parallel()
	got, err := annotate.Text([]byte("a: 1\n"), []annotate.Note{{1, 4, "Legal"}, {1, 4, ""}, {1, 4, "Recht"}, {1, 4, "Legal"}})
	if err != nil || string(got.Text) != "a: 1  # = Legal / Recht\n" {
		t.Errorf("got %q, %v", got.Text, err)
	}
}

func TestLinesThatAreLeft(t *testing.T) {
	t.Parallel()
	text := "{a: 1, b: 'x\n  y'}\n"
	got, err := annotate.Text([]byte(text), notesOf(t, text))
	if err != nil || string(got.Text) != text || !reflect.DeepEqual(got.Left, []int{1}) {
		t.Errorf("got %q, left %v: %v", got.Text, got.Left, err)
	}
	// A plain text that goes on in the next line: a comment would end it.
	text = "[1, x\n y]\n"
	if _, err := annotate.Text([]byte(text), notesOf(t, text)); !errors.Is(err, annotate.ErrChanges) {
		t.Errorf("a comment in the middle of a text: %v", err)
	}
	if _, err := annotate.Text([]byte("a: 1\n"), []annotate.Note{{7, 1, "x"}}); err == nil {
		t.Error("a line that is not there was annotated")
	}
}

// FuzzText: whatever the text, what it means stays, lines without ids stay as they are, and
// annotating once is enough.
func FuzzText(f *testing.F) {
	for _, text := range []string{
		"room: 1 # x\n", "- {source: 1, destination: 2}\r\n- [1, \"a # b\", 'c''d']", "a: &x 1\nb: *x # y", "a: |-\n  1\n", "{a: 1, b: \"x\n y\"}",
		"? 1\n: 2\n", "a: !!str 1\n", "[1,\n2,# c\n3]", "a: \"1\\\n  2\"\n", "\uFEFFa: 1\r# x\rb: 1",
	} {
		f.Add(text, "Client Alpha # 5")
	}
	f.Fuzz(func(t *testing.T, text, title string) {
		before, notes := parse(text)
		if before == nil {
			return
		}
		for i := range notes {
			notes[i].Title = title
		}
		got, err := annotate.Text([]byte(text), notes)
		if err != nil {
			return
		}
		after, notes := parse(string(got.Text))
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q means something else than %q", got.Text, text)
		}
		for i := range notes {
			notes[i].Title = title
		}
		again, err := annotate.Text(got.Text, notes)
		if err != nil || string(again.Text) != string(got.Text) {
			t.Fatalf("annotating %q again gave %q, %v", got.Text, again.Text, err)
		}
	})
}

// parse decodes a text as its readers would, and has a note for every scalar; nil: it is no YAML.
func parse(text string) (docs []any, notes []annotate.Note) {
	defer func() {
		if recover() != nil {
			docs = nil
		}
	}()
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Line > 0 && n.Column > 0 {
			notes = append(notes, annotate.Note{Line: n.Line, Column: n.Column})
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, notes
		}
		var v any
		if err != nil || n.Decode(&v) != nil {
			return nil, nil
		}
		docs = append(docs, v)
		walk(&n)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "link.yaml")
	if err := os.WriteFile(real, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.yaml", link); err != nil {
		t.Fatal(err)
	}
	if err := annotate.Write(link, []byte("other"), []byte("new")); !errors.Is(err, annotate.ErrMeanwhile) {
		t.Errorf("a file that has changed: %v", err)
	}
	if err := annotate.Write(link, []byte("old"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(real)
	if err != nil || string(text) != "new" {
		t.Errorf("the file holds %q: %v", text, err)
	}
	if info, err := os.Lstat(real); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file's mode is %v: %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%d files are there, want the two: %v", len(left), err)
	}
}
