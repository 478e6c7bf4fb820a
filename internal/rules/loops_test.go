package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"docspace-router/internal/event"
)

func TestLoopsOfOwnEvents(t *testing.T) {
	t.Parallel()
	handsOn := func(name string, from, to event.ID, change ...func(*Spec)) Spec {
		s := ruleSpec(name, append([]func(*Spec){
			triggers("file.copied"), takesOwn,
			withRoutes(Route{Source: from, SourceKind: FolderSource, Subfolders: true, Destination: to}),
		}, change...)...)
		s.Origin = "rules.yaml:" + name
		return s
	}
	ring := func(n int) []Route {
		var routes []Route
		for i := range n {
			routes = append(routes, Route{Source: event.ID(fmt.Sprint(i)), Subfolders: true, Destination: event.ID(fmt.Sprint((i + 1) % n))})
		}
		return routes
	}
	for name, c := range map[string]struct {
		specs []Spec
		want  string // the rules of the loop, "" for none
	}{
		"two rules": {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "1")}, "a b"},
		"three rules, told from the first in the file": {[]Spec{handsOn("c", "3", "1"), handsOn("a", "1", "2"), handsOn("b", "2", "3")}, "c a b"},
		"a way into the loop is not part of it":        {[]Spec{handsOn("in", "0", "1"), handsOn("a", "1", "2"), handsOn("b", "2", "1")}, "a b"},
		"a chain is no loop":                           {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "3"), handsOn("c", "1", "3")}, ""},
		"a rule into its own source adds nothing":      {[]Spec{handsOn("a", "1", "1")}, ""},
		"but with a path it does":                      {[]Spec{handsOn("a", "1", "1", below("file.name"))}, "a"},
		"not without subfolders":                       {[]Spec{handsOn("a", "1", "1", below("file.name"), shallow)}, ""},
		"pairs of one rule":                            {[]Spec{handsOn("a", "", "", withRoutes(ring(3)...))}, "a"},
		"a very long ring":                             {[]Spec{handsOn("a", "", "", withRoutes(ring(100_000)...))}, "a"},
		"one of them does not ask for own events":      {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "1", func(s *Spec) { s.OwnEvents = false })}, ""},
		"one of them is disabled":                      {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "1", isDisabled)}, ""},
		"on different portals":                         {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "1", onPortal("other"))}, ""},
		"a move does not fire what a copy does":        {[]Spec{handsOn("a", "1", "2"), handsOn("b", "2", "1", moves)}, ""},
		"moves fire moved":                             {[]Spec{handsOn("a", "1", "2", moves, triggers("file.moved")), handsOn("b", "2", "1", moves, triggers("file.moved"))}, "a b"},
		"folders do not feed files by a move":          {[]Spec{handsOn("a", "1", "2", moves, triggers("folder.moved")), handsOn("b", "2", "1", triggers("file.moved"))}, ""},
		"a copied folder's files are told one by one":  {[]Spec{handsOn("a", "1", "2", triggers("folder.copied", "file.copied")), handsOn("b", "2", "1")}, "a b"},
		"tags are not known before":                    {[]Spec{handsOn("a", "1", "2"), handsOn("b", "", "1", byTag("x"))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs := Compile(c.specs)
			if c.want == "" {
				if len(errs) > 0 {
					t.Errorf("errors: %v", errs)
				}
				return
			}
			if len(errs) != 1 || errs[0].Field != "own_events" {
				t.Fatalf("errors: %v, want one loop", errs)
			}
			var told []string
			_, loop, _ := strings.Cut(errs[0].Message, "without end: ")
			for step := range strings.SplitSeq(loop, " → ") {
				name, _, _ := strings.Cut(step, " ")
				told = append(told, name)
			}
			want := strings.Fields(c.want)
			if want = append(want, want[0]); !slices.Equal(told, want) {
				t.Errorf("told is %q, want %q", loop, want)
			}
		})
	}
}

// Every rule feeds every other, 4 million times: the search gives up in time, and what it has
// found by then is told.
func TestManyLoopsAreToldBriefly(t *testing.T) {
	t.Parallel()
	specs := make([]Spec, 2000)
	for i := range specs {
		from, to := event.ID("1"), event.ID("2")
		if i%2 == 1 {
			from, to = to, from
		}
		specs[i] = ruleSpec(fmt.Sprint("r", i), triggers("file.copied"), takesOwn, withRoutes(Route{Source: from, Subfolders: true, Destination: to}))
	}
	if _, errs := Compile(specs); len(errs) == 0 || len(errs) > maxLoops {
		t.Errorf("%d errors", len(errs))
	}
}
