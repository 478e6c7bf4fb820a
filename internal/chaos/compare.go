package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"docspace-router/internal/portalsim"
)

// class says what kind of failure a finding is.
type class string

const (
	lost      class = "lost"
	doubled   class = "doubled"
	noOutcome class = "without outcome"
	gaveUp    class = "given up" // not done, and told so as a failed transfer
	wrong     class = "wrong"    // neither lost nor doubled, and not what it says or should be
)

// finding is one difference between what should be and what is.
type finding struct {
	class class
	to    portalsim.ID
	entry *entry // nil when it is about several
	text  string
}

func (f finding) String() string {
	s := string(f.class) + ": "
	if f.entry != nil {
		s += fmt.Sprintf("%s %s %q", f.entry.kind, f.entry.id, f.entry.title)
		if len(f.entry.sizes) > 0 {
			s += fmt.Sprintf(" of %v bytes", f.entry.sizes)
		}
		s += ": "
	}
	if f.to != "" {
		s += fmt.Sprintf("to %s: ", f.to)
	}
	return s + f.text
}

// evidence is what a round left behind.
type evidence struct {
	wants      []want
	entries    map[entryKey]*entry
	shelves    map[portalsim.ID][]portalsim.Entry // what each target holds now
	trees      map[portalsim.ID][]portalsim.Entry // what each folder in a target holds now, at any depth
	seeds      map[portalsim.ID][]portalsim.Entry // what each target held before
	doomed     portalsim.ID                       // the target that was deleted
	calm       bool                               // nothing went wrong, so that no answer can have been lost
	deliveries []delivery
	events     []routed
	transfers  []transfer
	requests   []*request          // the operator's
	histories  map[int64][]steered // of each transfer
}

// compare tells everything that is not as it should be.
func compare(e evidence) []finding {
	told := append(e.checkTransfers(), e.checkSteering()...)
	e.wants = e.withoutCancelled()
	contents := append(e.checkFiles(), e.checkFolders()...)
	type place struct {
		to    portalsim.ID
		entry *entry
	}
	failed, missing := map[place]bool{}, map[place]bool{}
	for _, f := range told {
		failed[place{f.to, f.entry}] = failed[place{f.to, f.entry}] || f.class == gaveUp
	}
	// What is missing and told to have failed is not lost: somebody can try again. What is told
	// to have failed and is all there is neither.
	for i, f := range contents {
		if f.class != lost || f.entry == nil {
			continue
		}
		missing[place{f.to, f.entry}] = true
		if failed[place{f.to, f.entry}] {
			contents[i].class = gaveUp
		}
	}
	for i, f := range told {
		if f.class == gaveUp && f.entry != nil && !missing[place{f.to, f.entry}] && e.fullyShown(f) {
			told[i].class, told[i].text = wrong, "all is there, but "+f.text
		}
	}
	return append(append(e.checkEvents(), told...), contents...)
}

// fullyShown reports whether an entry that is missing in a target would have been missed by the
// comparison of contents, which looks closely at folders and at files that nothing overwrites.
func (e evidence) fullyShown(f finding) bool {
	return !slices.ContainsFunc(e.wants, func(w want) bool {
		return w.to == f.to && w.rule.conflict != "duplicate" && family(w.entry.title) == family(f.entry.title) && w.entry.kind == portalsim.KindFile
	})
}

// checkEvents: what was answered with 2xx is stored and decided.
func (e evidence) checkEvents() []finding {
	type id struct{ webhook, event string }
	states := map[id]string{}
	for _, ev := range e.events {
		states[id{ev.WebhookID, ev.EventID}] = ev.State
	}
	var out []finding
	for _, d := range e.deliveries {
		if !d.accepted {
			continue
		}
		entry := e.entries[entryKey{d.kind, d.entryID}]
		switch states[id{d.webhookID, d.eventID}] {
		case "":
			out = append(out, finding{lost, "", entry, fmt.Sprintf("delivery %s (%s of %s %s) was answered with 200 and is not stored", d.eventID, d.trigger, d.kind, d.entryID)})
		case "pending":
			out = append(out, finding{noOutcome, "", entry, fmt.Sprintf("event %s (%s of %s %s) is not decided", d.eventID, d.trigger, d.kind, d.entryID)})
		}
	}
	return out
}

// rowKey is what a want and a transfer have in common.
type rowKey struct {
	rule  string
	entry entryKey
	to    portalsim.ID
}

// checkTransfers: each wanted transfer was made once and has an outcome that can be explained.
func (e evidence) checkTransfers() []finding {
	rows := map[rowKey][]transfer{}
	for _, t := range e.transfers {
		k := rowKey{t.Rule, entryKey{t.Kind, t.EntryID}, t.Destination}
		rows[k] = append(rows[k], t)
	}
	least, most := map[rowKey]int{}, map[rowKey]int{}
	for _, w := range e.wants {
		k := rowKey{w.rule.name, entryKey{w.entry.kind, w.entry.id}, w.to}
		most[k]++
		if w.must {
			least[k]++
		}
	}
	var out []finding
	for k, list := range rows {
		entry := e.entries[k.entry]
		if len(list) > most[k] {
			out = append(out, finding{doubled, k.to, entry, fmt.Sprintf("rule %s has %d transfers for %d happenings", k.rule, len(list), most[k])})
		}
		for _, t := range list {
			switch {
			case !t.ended():
				out = append(out, finding{noOutcome, k.to, entry, fmt.Sprintf("transfer %d of rule %s is still %s: %s", t.ID, k.rule, t.State, t.Reason)})
			case t.State == "failed" && k.to != e.doomed && (entry == nil || !entry.deleted):
				out = append(out, finding{gaveUp, k.to, entry, fmt.Sprintf("transfer %d of rule %s failed: %s", t.ID, k.rule, t.Reason)})
			}
		}
	}
	for k, n := range least {
		if len(rows[k]) < n {
			out = append(out, finding{lost, k.to, e.entries[k.entry], fmt.Sprintf("rule %s has %d transfers for %d happenings", k.rule, len(rows[k]), n)})
		}
	}
	slices.SortFunc(out, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// counters are what DocSpace puts behind a name that is taken.
var counters = regexp.MustCompile(`( \(\d+\))+$`)

// family is the same for all titles that may have come about from one another.
func family(title string) string {
	name, ext := splitTitle(strings.ToLower(title))
	return counters.ReplaceAllString(name, "") + ext
}

func splitTitle(title string) (name, ext string) {
	if i := strings.LastIndexByte(title, '.'); i >= 0 {
		return title[:i], title[i:]
	}
	return title, ""
}

// group is all that concerns one family of titles in one target.
type group struct {
	to     portalsim.ID
	family string
	wants  []want
	seeds  []portalsim.Entry
	found  []portalsim.Entry // seeds included
}

// checkFiles compares the files of every target, one family of titles at a time.
func (e evidence) checkFiles() []finding {
	owners := map[int64]*entry{}
	for _, en := range e.entries {
		for _, size := range en.sizes {
			owners[size] = en
		}
	}
	groups := map[string]*group{}
	of := func(to portalsim.ID, title string) *group {
		k := string(to) + " " + family(title)
		if groups[k] == nil {
			groups[k] = &group{to: to, family: family(title)}
		}
		return groups[k]
	}
	for _, w := range e.wants {
		if w.entry.kind == portalsim.KindFile && w.to != e.doomed {
			g := of(w.to, w.entry.title)
			g.wants = append(g.wants, w)
		}
	}
	for to, list := range e.seeds {
		for _, f := range list {
			g := of(to, f.Title)
			g.seeds = append(g.seeds, f)
		}
	}
	for to, list := range e.shelves {
		for _, f := range list {
			if f.Kind == portalsim.KindFile && to != e.doomed {
				g := of(to, f.Title)
				g.found = append(g.found, f)
			}
		}
	}
	var out []finding
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		g := groups[k]
		if slices.ContainsFunc(g.wants, func(w want) bool { return w.rule.conflict == "overwrite" }) {
			out = append(out, g.checkVersions(owners, e.calm)...)
			continue
		}
		out = append(out, g.check(owners, e.transfers)...)
	}
	return out
}

// versions is how many were added. Every transfer adds one, be it a new file's first or one more
// of a file that is overwritten.
func (g *group) versions() int {
	n := 0
	for _, f := range g.found {
		n += f.Version
	}
	for _, f := range g.seeds {
		n -= f.Version
	}
	return n
}

// checkVersions compares a family in which files are overwritten. Whose contents end on top
// depends on the order, and the others' are in versions that the portal does not show, so the
// versions are counted.
//
// An overwriting copy whose answer was lost may be sent again: it leaves the same contents, in
// one version more. Nothing short of a lost answer excuses more versions than were wanted. And
// of two transfers of one file, before and after somebody changed it, the second says nothing
// new if the first came late enough; what counts is that the last contents are there.
func (g *group) checkVersions(owners map[int64]*entry, calm bool) []finding {
	lo, hi := g.bounds()
	n, en := g.versions(), g.only()
	switch {
	case n > hi && calm:
		return []finding{{doubled, g.to, en, fmt.Sprintf("%q got %d new versions, at most %d are wanted: %s", g.family, n, hi, g.listing())}}
	case n < lo && en == nil:
		return []finding{{lost, g.to, nil, fmt.Sprintf("%q got %d new versions, at least %d are wanted: %s", g.family, n, lo, g.listing())}}
	case lo == 0 || en == nil:
		return nil
	}
	last := en.sizes
	if slices.ContainsFunc(g.wants, func(w want) bool { return w.must && w.what == "file.updated" && w.rule.conflict == "overwrite" }) {
		last = last[len(last)-1:]
	}
	if !slices.ContainsFunc(g.found, func(f portalsim.Entry) bool { return owners[f.Size] == en && slices.Contains(last, f.Size) }) {
		return []finding{{lost, g.to, en, fmt.Sprintf("contents of %v bytes did not arrive: %s", last, g.listing())}}
	}
	return nil
}

// check compares a family in which nothing is overwritten: each file tells by its size whose
// copy it is. With skip the order decides who comes first; at most one transfer of a title can,
// and none where the title was there before.
func (g *group) check(owners map[int64]*entry, transfers []transfer) []finding {
	lo, hi := g.bounds()
	out := g.checkOwners(owners, transfers)
	n := g.versions()
	switch {
	case len(out) > 0:
		return out
	case n < lo:
		return []finding{{lost, g.to, g.only(), fmt.Sprintf("%q has %d new files, at least %d are wanted: %s", g.family, n, lo, g.listing())}}
	case n > hi:
		return []finding{{doubled, g.to, g.only(), fmt.Sprintf("%q has %d new files, at most %d are wanted: %s", g.family, n, hi, g.listing())}}
	}
	return g.checkTitles()
}

// only returns the entry that all wants are about, or nil.
func (g *group) only() *entry {
	for _, w := range g.wants {
		if w.entry != g.wants[0].entry {
			return nil
		}
	}
	if len(g.wants) == 0 {
		return nil
	}
	return g.wants[0].entry
}

func (g *group) listing() string {
	var all []string
	for _, f := range g.found {
		all = append(all, fmt.Sprintf("%s %q v%d %d bytes", f.ID, f.Title, f.Version, f.Size))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// bounds is how many versions the wants may add.
func (g *group) bounds() (lo, hi int) {
	skips := map[string]bool{} // titles that a skip may take, and whether one must
	others := false
	for _, w := range g.wants {
		if w.rule.conflict == "skip" {
			t := strings.ToLower(w.entry.title)
			skips[t] = skips[t] || w.must
			continue
		}
		others = true
		hi++
		if w.must {
			lo++
		}
	}
	for title, must := range skips {
		if g.seeded(title) {
			continue
		}
		hi++
		// Another transfer may have made the title first; so may a number behind another title.
		if must && !others && len(g.seeds) == 0 && len(skips) == 1 {
			lo++
		}
	}
	return lo, hi
}

func (g *group) seeded(title string) bool {
	return slices.ContainsFunc(g.seeds, func(f portalsim.Entry) bool { return strings.EqualFold(f.Title, title) })
}

// checkOwners compares each entry's copies in the group with those wanted.
func (g *group) checkOwners(owners map[int64]*entry, transfers []transfer) []finding {
	type tally struct{ lo, hi, found, done int }
	tallies := map[*entry]*tally{}
	for _, w := range g.wants {
		t := tallies[w.entry]
		if t == nil {
			t = &tally{}
			tallies[w.entry] = t
		}
		switch {
		case w.rule.conflict == "skip" && g.seeded(w.entry.title):
		case w.rule.conflict == "skip":
			t.hi++
		default:
			t.hi++
			if w.must {
				t.lo++
			}
		}
	}
	var out []finding
	for _, f := range g.found {
		en := owners[f.Size]
		switch {
		case slices.ContainsFunc(g.seeds, func(s portalsim.Entry) bool { return s.ID == f.ID }):
		case en == nil || tallies[en] == nil:
			out = append(out, finding{wrong, g.to, en, fmt.Sprintf("nobody wanted %s %q here", f.ID, f.Title)})
		default:
			tallies[en].found++
		}
	}
	for _, tr := range transfers {
		for en, t := range tallies {
			if tr.Kind == en.kind && tr.EntryID == en.id && tr.Destination == g.to && tr.State == "done" {
				t.done++
			}
		}
	}
	for en, t := range tallies {
		switch {
		case t.found < t.lo:
			out = append(out, finding{lost, g.to, en, fmt.Sprintf("%d copies, at least %d are wanted: %s", t.found, t.lo, g.listing())})
		case t.found > t.hi:
			out = append(out, finding{doubled, g.to, en, fmt.Sprintf("%d copies, at most %d are wanted: %s", t.found, t.hi, g.listing())})
		case t.found != t.done:
			out = append(out, finding{wrong, g.to, en, fmt.Sprintf("%d copies, and %d transfers say done: %s", t.found, t.done, g.listing())})
		}
	}
	slices.SortFunc(out, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// checkTitles: of copies of one title the first keeps it and the others are numbered without a
// gap. Moves share titles, and titles with a number of their own upset the count.
func (g *group) checkTitles() []finding {
	titles := map[string]bool{}
	base := ""
	for _, w := range g.wants {
		t := strings.ToLower(w.entry.title)
		if w.rule.action == "move" || base != "" && t != base {
			return nil
		}
		base = t
	}
	for _, f := range g.seeds {
		if !strings.EqualFold(f.Title, base) {
			return nil
		}
	}
	for _, f := range g.found {
		titles[strings.ToLower(f.Title)] = true
	}
	name, ext := splitTitle(base)
	for n := range len(g.found) {
		want := base
		if n > 0 {
			want = fmt.Sprintf("%s (%d)%s", name, n, ext)
		}
		if !titles[want] {
			return []finding{{wrong, g.to, g.only(), fmt.Sprintf("no %q among %s", want, g.listing())}}
		}
	}
	return nil
}
