package rules

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func below(expression string) func(*Spec) { return func(s *Spec) { s.Path = expression } }

func TestSegments(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"Client A/2026-03":                   {"Client A", "2026-03"},
		" / Client A // 2026 /":              {"Client A", "2026"},
		"../a/./b/..":                        {"a", "b"},
		"...":                                {"..."},
		"":                                   nil,
		" / . / .. / ":                       nil,
		"a*b+c:d\"e<f>g?h|i\\j\tk":           {"a_b_c_d_e_f_g_h_i_j_k"},
		"Größe – \u00e9\u4e2d":               {"Größe – \u00e9\u4e2d"},
		"ok 😀":                               {"ok __"},
		"line\nbreak":                        {"line_break"},
		"\tindented":                         {"indented"},
		strings.Repeat("x", 200):             {strings.Repeat("x", 165)},
		strings.Repeat("x", 164) + "😀":       {strings.Repeat("x", 164) + "_"},
		strings.Repeat("x", 164) + " y":      {strings.Repeat("x", 164)},
		strings.Repeat("é", 165) + "/" + "b": {strings.Repeat("é", 165), "b"},
		"a\xffb":                             {"a_b"},
	} {
		if got := Segments(path); !slices.Equal(got, want) {
			t.Errorf("Segments(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestMatchesCarryTheirPath(t *testing.T) {
	t.Parallel()
	to20 := func(rule string, path ...string) Match {
		return Match{Rule: rule, Action: event.Copy, Conflict: event.Duplicate, Source: "10", Destination: "20", Path: path}
	}
	for name, c := range map[string]struct {
		specs []Spec
		facts *Facts
		want  Result
	}{
		"a path is computed and taken apart": {
			[]Spec{ruleSpec("a", below(`room.title + "/" + file.extension`))}, upload(),
			Result{Matches: []Match{to20("a", "Client A", "pdf")}, Considered: 1},
		},
		"an empty path means the folder itself, and is told": {
			[]Spec{ruleSpec("a", below(`file.comment + " / "`))}, upload(lookedUp),
			Result{
				Matches: []Match{to20("a")}, Considered: 1,
				Notes: []Note{{"a", "destination.path came out empty, so the destination folder itself is meant"}},
			},
		},
		"a path that fails is no match, stops nothing, and leaves the entry to a fallback": {
			[]Spec{
				ruleSpec("a", stops, below(`payload.none.deep`)), ruleSpec("b"), ruleSpec("f", isFallback),
			}, upload(),
			Result{
				Matches: []Match{to20("b")}, Considered: 3,
				Errors: []EvalError{{"a", "destination.path", "cannot fetch deep from <nil>"}},
			},
		},
		"a path that is no text at run time is no match": {
			[]Spec{ruleSpec("a", below(`payload.id`)), ruleSpec("f", isFallback)}, upload(),
			Result{
				Matches: []Match{to20("f")}, Considered: 2,
				Errors: []EvalError{{"a", "destination.path", "the result is 90412, not text"}},
			},
		},
		"a path of very many folders is no match": {
			[]Spec{ruleSpec("a", below(`repeat("a/", 21)`))}, upload(),
			Result{Errors: []EvalError{{"a", "destination.path", "the result has more than 20 folders"}}, Considered: 1},
		},
		"a path on unknown facts is no match": {
			[]Spec{ruleSpec("a", below(`file.comment`))}, upload(),
			Result{Errors: []EvalError{{"a", "destination.path", "the file's size, version, comment and form flag are not known"}}, Considered: 1},
		},
		"all routes of a rule share the path": {
			[]Spec{ruleSpec("a", below(`file.name`), withRoutes(
				Route{Source: "10", Subfolders: true, Destination: "20"}, Route{Source: "11", Subfolders: true, Destination: "21"}))},
			upload(),
			Result{Considered: 1, Matches: []Match{
				to20("a", "report"), {Rule: "a", Action: event.Copy, Conflict: event.Duplicate, Source: "11", Destination: "21", Path: []string{"report"}},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := compile(t, c.specs...)
			if diff := cmp.Diff(c.want, table.Match(c.facts)); diff != "" {
				t.Errorf("Match (-want +got):\n%s", diff)
			}
			explainAgrees(t, table, c.facts)
		})
	}
}

func FuzzSegments(f *testing.F) {
	for _, s := range []string{"a/b", " / ", "..", "😀", "a\xff", strings.Repeat("é", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, title := range Segments(path) {
			if title == "" || title == "." || title == ".." || strings.TrimSpace(title) != title || strings.ContainsAny(title, "\t*+:\"<>?|\\/") {
				t.Errorf("%q leads to the title %q", path, title)
			}
			if again := FolderTitle(title); again != title {
				t.Errorf("the title %q becomes %q when it is cleaned again", title, again)
			}
			if n := len([]rune(title)); n > maxTitle {
				t.Errorf("a title of %d characters", n)
			}
		}
	})
}
