package dispatch

import (
	"slices"

	"docspace-router/internal/event"
)

// pair is an entry of a source and the one in the copy that was made of it.
type pair[E any] struct {
	want, got E
	certain   bool // no other could be meant
}

// matched is what came of matching the entries of two folders.
type matched[E any] struct {
	pairs   []pair[E]
	missing []E // those of the source that the copy has nothing for
}

// match finds for each entry of a source the one in a copy that was made of it: by its very title,
// and where DocSpace may have put a number behind it, then among what is left by the title without
// one. Of several that fit, those that are alike belong together.
func match[E any](kind event.Kind, conflict event.Conflict, want, got []E, title func(E) string, alike func(a, b E) bool) matched[E] {
	var m matched[E]
	if conflict != event.Duplicate {
		want = distinct(want, title)
	}
	want, got = m.take(want, got, func(e E) string { return exactKey(title(e)) }, alike)
	if conflict == event.Duplicate {
		want, _ = m.take(want, got, func(e E) string { return titleKey(kind, title(e)) }, alike)
	}
	m.missing = want
	return m
}

// take pairs entries of equal keys and returns those left over of both.
func (m *matched[E]) take(want, got []E, key func(E) string, alike func(a, b E) bool) (wanting, left []E) {
	wanted, there := map[string]int{}, map[string][]int{}
	for _, e := range want {
		wanted[key(e)]++
	}
	for i, e := range got {
		there[key(e)] = append(there[key(e)], i)
	}
	used := make([]bool, len(got))
	for _, fits := range []func(a, b E) bool{alike, func(E, E) bool { return true }} {
		var rest []E
		for _, w := range want {
			k := key(w)
			at := slices.IndexFunc(there[k], func(i int) bool { return !used[i] && fits(w, got[i]) })
			if at < 0 {
				rest = append(rest, w)
				continue
			}
			i := there[k][at]
			used[i] = true
			m.pairs = append(m.pairs, pair[E]{w, got[i], wanted[k] == 1 && len(there[k]) == 1})
		}
		want = rest
	}
	for i, e := range got {
		if !used[i] {
			left = append(left, e)
		}
	}
	return want, left
}

// distinct leaves out what DocSpace copies into one: with skip and overwrite, entries of one title.
func distinct[E any](entries []E, title func(E) string) []E {
	seen := make(map[string]bool, len(entries))
	return slices.DeleteFunc(slices.Clone(entries), func(e E) bool {
		key := exactKey(title(e))
		defer func() { seen[key] = true }()
		return seen[key]
	})
}
