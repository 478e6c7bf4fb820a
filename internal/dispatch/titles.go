package dispatch

import (
	"regexp"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// counter is what DocSpace puts behind a name that was taken.
var counter = regexp.MustCompile(`( \(\d+\))+$`)

// replaced are the characters that DocSpace does not store in titles any more, and the
// underscore that it puts in their place: two for one beyond the Basic Multilingual Plane.
var replaced = regexp.MustCompile(`[\t*+:"<>?|\\/_\x{10000}-\x{10FFFF}]+`)

// titleKey is equal for titles that the results of one operation could not be told apart by:
// it ignores case, because DocSpace lower-cases extensions, the counter that DocSpace adds to
// a copy whose title is taken, and what it makes of characters that older titles may have.
func titleKey(kind event.Kind, title string) string {
	name, extension := strings.TrimSpace(replaced.ReplaceAllString(strings.ToLower(title), "_")), ""
	if kind == event.File {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name, extension = name[:i], name[i:]
		}
	}
	return counter.ReplaceAllString(name, "") + extension
}

// newBatch returns a function that says of one transfer after another whether it may join the
// same operation: not when its result could be mistaken for that of one before.
func newBatch() func(store.Transfer) bool {
	titles, ids := map[string]bool{}, map[event.ID]bool{}
	return func(t store.Transfer) bool {
		key := titleKey(t.Kind, t.Title)
		if titles[key] || ids[t.EntryID] {
			return false
		}
		titles[key], ids[t.EntryID] = true, true
		return true
	}
}
