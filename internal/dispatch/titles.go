package dispatch

import (
	"regexp"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// counter is what DocSpace puts behind a name that was taken.
var counter = regexp.MustCompile(`( \(\d+\))+$`)

// titleKey is equal for titles that the results of one operation could not be told apart by:
// it ignores case, because DocSpace lower-cases extensions, and the counter that DocSpace
// adds to a copy whose title is taken.
func titleKey(kind event.Kind, title string) string {
	name, extension := strings.ToLower(title), ""
	if kind == event.File {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name, extension = name[:i], name[i:]
		}
	}
	return counter.ReplaceAllString(name, "") + extension
}

// mayShare says whether a transfer may join others in one operation: not when their results
// could be mistaken for each other.
func mayShare(taken []store.Transfer, t store.Transfer) bool {
	key := titleKey(t.Kind, t.Title)
	for _, other := range taken {
		if other.EntryID == t.EntryID || titleKey(other.Kind, other.Title) == key {
			return false
		}
	}
	return true
}
