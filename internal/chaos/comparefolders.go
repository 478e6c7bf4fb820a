package main

import (
	"fmt"
	"slices"

	"docspace-router/internal/portalsim"
)

// checkFolders compares the folders of every target. No two folders of a round share a title,
// so that a folder in a target tells by its title whose copy it is, and its files by their sizes
// whether it is complete.
func (e evidence) checkFolders() []finding {
	type key struct {
		to    portalsim.ID
		entry *entry
	}
	wants := map[key][]want{}
	var order []key
	for _, w := range e.wants {
		if w.entry.kind != portalsim.KindFolder || w.to == e.doomed {
			continue
		}
		k := key{w.to, w.entry}
		if wants[k] == nil {
			order = append(order, k)
		}
		wants[k] = append(wants[k], w)
	}
	var out []finding
	for _, k := range order {
		out = append(out, e.checkFolder(k.to, k.entry, wants[k])...)
	}
	for to, list := range e.shelves {
		for _, f := range list {
			if f.Kind != portalsim.KindFolder || isTarget(e.shelves, f.ID) {
				continue
			}
			if !slices.ContainsFunc(order, func(k key) bool { return k.to == to && family(k.entry.title) == family(f.Title) }) {
				out = append(out, finding{wrong, to, nil, fmt.Sprintf("nobody wanted folder %s %q here", f.ID, f.Title)})
			}
		}
	}
	return out
}

func isTarget(shelves map[portalsim.ID][]portalsim.Entry, id portalsim.ID) bool {
	_, ok := shelves[id]
	return ok
}

// checkFolder compares one folder in one target.
//
// Duplicates stand side by side. Copies with skip or overwrite merge with a folder of the title
// that is there already, whoever made it, so that with several wants the order decides how many
// folders there are; then only their contents are compared. A move onto a copy of the same
// folder with skip leaves what it would have to overwrite where it was.
func (e evidence) checkFolder(to portalsim.ID, en *entry, wants []want) []finding {
	lo, hi, merges := 0, 0, 0
	some := false
	for _, w := range wants {
		hi++
		some = some || w.must
		switch {
		case w.rule.conflict != "duplicate":
			merges++
		case w.must:
			lo++
		}
	}
	if some {
		lo = max(lo, 1)
	}
	var found []portalsim.Entry
	for _, f := range e.shelves[to] {
		if f.Kind == portalsim.KindFolder && family(f.Title) == family(en.title) {
			found = append(found, f)
		}
	}
	switch {
	case len(found) < lo:
		return []finding{{lost, to, en, fmt.Sprintf("%d folders, at least %d are wanted", len(found), lo)}}
	case len(found) > hi:
		return []finding{{doubled, to, en, fmt.Sprintf("%d folders, at most %d are wanted", len(found), hi)}}
	}
	var out []finding
	for _, f := range found {
		if text, c := completeness(en, e.trees[f.ID], merges > 0 && len(wants) > 1); text != "" {
			out = append(out, finding{c, to, en, fmt.Sprintf("folder %s %q: %s", f.ID, f.Title, text)})
		}
	}
	return out
}

// completeness compares a folder's files with those it should hold; merged folders may hold
// more versions of them.
func completeness(en *entry, tree []portalsim.Entry, merged bool) (string, class) {
	sizes := map[int64]int{}
	for _, f := range tree {
		if f.Kind == portalsim.KindFile {
			sizes[f.Size] += f.Version
		}
	}
	for _, size := range en.content {
		switch n := sizes[size]; {
		case n == 0:
			return fmt.Sprintf("lacks the file of %d bytes", size), lost
		case n > 1 && !merged:
			return fmt.Sprintf("has %d versions of the file of %d bytes", n, size), doubled
		}
		delete(sizes, size)
	}
	if len(sizes) > 0 {
		return fmt.Sprintf("holds files it should not: sizes and versions %v", sizes), wrong
	}
	return "", ""
}
