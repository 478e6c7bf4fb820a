package rules

import (
	"slices"
	"strings"
)

// foldTag makes tags that differ only in case the same, as titles are in Glob.
func foldTag(tag string) string { return strings.ToLower(tag) }

// titleIndex finds the patterns a room's title may fit without trying all of them: by the text
// before their first wildcard.
type titleIndex struct {
	byStart map[string][]titleRef // in lower case
	lengths []int                 // of the keys, ascending, each once
}

type titleRef struct {
	pattern string
	ref     ref
}

func (x *titleIndex) add(pattern string, at ref) {
	if x.byStart == nil {
		x.byStart = map[string][]titleRef{}
	}
	start := pattern
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		start = pattern[:i]
	}
	start = strings.ToLower(start)
	x.byStart[start] = append(x.byStart[start], titleRef{pattern, at})
	x.lengths = append(x.lengths, len(start))
}

func (x *titleIndex) sort() {
	slices.Sort(x.lengths)
	x.lengths = slices.Clip(slices.Compact(x.lengths))
}

func (x *titleIndex) empty() bool { return len(x.byStart) == 0 }

// appendFits appends the routes whose pattern the title fits.
func (x *titleIndex) appendFits(title string, into []ref) []ref {
	lower := strings.ToLower(title)
	for _, n := range x.lengths {
		if n > len(lower) {
			break
		}
		for _, t := range x.byStart[lower[:n]] {
			if Glob(t.pattern, title) {
				into = append(into, t.ref)
			}
		}
	}
	return into
}
