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
	name, extension := exactKey(title), ""
	if kind == event.File {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name, extension = name[:i], name[i:]
		}
	}
	return counter.ReplaceAllString(name, "") + extension
}

// exactKey is equal for titles that are one to DocSpace, a counter included.
func exactKey(title string) string {
	return strings.TrimSpace(replaced.ReplaceAllString(strings.ToLower(title), "_"))
}

// batch chooses the transfers of one operation: none whose result could be mistaken for that of
// another, of the same operation or of an open one that fills the same destination.
type batch struct {
	titles  map[string]bool
	ids     map[event.ID]bool
	refused bool // there was one that did not fit
}

func newBatch() *batch { return &batch{titles: map[string]bool{}, ids: map[event.ID]bool{}} }

// avoid keeps out entries whose titles others are sending.
func (b *batch) avoid(kind event.Kind, titles []string) {
	for _, title := range titles {
		b.titles[titleKey(kind, title)] = true
	}
}

// fits reports whether a transfer may join those that did before.
func (b *batch) fits(t store.Transfer) bool {
	key := titleKey(t.Kind, t.Title)
	if b.titles[key] || b.ids[t.EntryID] {
		b.refused = true
		return false
	}
	b.titles[key], b.ids[t.EntryID] = true, true
	return true
}
