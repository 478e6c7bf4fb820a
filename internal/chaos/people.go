package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/portalsim"
)

// event is one step of a timeline.
type event struct {
	at    time.Duration
	what  string // for the round's own log
	do    func()
	aside bool // may take long, and the next step does not wait for it
}

func inOrder(events []event) []event {
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events
}

// people does what people do on the portal, and remembers it.
type people struct {
	*scenario
	*cast
	entries map[entryKey]*entry
	order   []*entry
	used    map[string]bool // folder and title, in lower case: a second upload there would be a version
}

type entryKey struct {
	kind portalsim.Kind
	id   portalsim.ID
}

func newPeople(s *scenario, c *cast) *people {
	return &people{scenario: s, cast: c, entries: map[entryKey]*entry{}, used: map[string]bool{}}
}

func (p *people) remember(e *entry) *entry {
	p.entries[entryKey{e.kind, e.id}] = e
	p.order = append(p.order, e)
	return e
}

// timeline draws what people do over the round. What exactly is decided when it is done, by
// the same generator in the same order.
func (p *people) timeline() []event {
	at := make([]time.Duration, p.actions)
	for i := range at {
		at[i] = time.Duration(p.rng.Int64N(int64(p.spread)))
		if chance(p.rng, 40) && i > 0 {
			at[i] = at[i-1] // people drop many files at once
		}
	}
	slices.Sort(at)
	var events []event
	for _, t := range at {
		n := p.rng.IntN(100)
		switch {
		case n < 60:
			p.plan(&events, t, p.portal.Upload)
		case n < 72:
			p.plan(&events, t, p.portal.UploadOneShot)
		case n < 78:
			p.planCopy(&events, t)
		case n < 84:
			p.planUpdate(&events, t)
		case n < 90:
			p.planFolder(&events, t)
		case n < 94:
			row := p.rng.IntN(1 << 20)
			events = append(events, event{at: t, what: "manual retry", do: func() { p.retry(row) }})
		case n < 97:
			p.planDelete(&events, t)
		default:
			events = append(events, event{at: t, what: "noise", do: p.noise(p.rng.IntN(4))})
		}
	}
	return inOrder(events)
}

// newFile draws a file that is to appear in a source.
func (p *people) newFile() *entry {
	e := &entry{kind: portalsim.KindFile, in: pick(p.rng, p.sources), big: chance(p.rng, 30)}
	for e.title = p.title(); p.used[string(e.in.id)+strings.ToLower(e.title)]; {
		p.nextTitle++
		e.title = fmt.Sprintf("Copy %04d.pdf", p.nextTitle)
	}
	p.used[string(e.in.id)+strings.ToLower(e.title)] = true
	e.sizes = []int64{p.size(e.big)}
	return e
}

func (p *people) plan(events *[]event, at time.Duration, upload func(portalsim.ID, string, int64, portalsim.UserID) portalsim.ID) {
	e := p.newFile()
	*events = append(*events, event{at: at, what: "upload " + e.title, do: func() {
		e.id = upload(e.in.id, e.title, e.sizes[0], p.client)
		p.holdNumber()
		p.remember(e)
	}})
}

// holdNumber puts a file behind the newest one. DocSpace gives the number of the newest file to
// the next one once it is deleted for good, so that two files of one round would have been
// one and the same to anybody who goes by numbers.
func (p *people) holdNumber() {
	p.portal.AddFile(p.attic, portalsim.File{Title: "placeholder", Size: 1})
}

// planCopy lets a person copy a file into a source.
func (p *people) planCopy(events *[]event, at time.Duration) {
	e := p.newFile()
	*events = append(*events, event{at: at, what: "copy by hand " + e.title, do: func() {
		original := p.portal.AddFile(p.attic, portalsim.File{Title: e.title, Size: e.sizes[0], By: p.client})
		e.id = p.portal.CopyEntry(portalsim.KindFile, original, e.in.id, portalsim.Duplicate, p.client)
		p.holdNumber()
		p.remember(e)
	}})
}

// planUpdate lets a person save a file anew, once per file and not where moves take files away.
func (p *people) planUpdate(events *[]event, at time.Duration) {
	n, size, bigSize := p.rng.IntN(1<<20), p.size(false), p.size(true)
	*events = append(*events, event{at: at, what: "update", do: func() {
		e := p.some(n, func(e *entry) bool {
			return e.kind == portalsim.KindFile && len(e.sizes) == 1 && !e.deleted && !p.moves(e.in)
		})
		if e == nil {
			return
		}
		if e.big {
			size = bigSize
		}
		e.sizes = append(e.sizes, size)
		p.portal.UpdateFile(e.id, size, p.client)
	}})
}

// moves reports whether a rule may move files out of a place.
func (p *people) moves(in *place) bool {
	return slices.ContainsFunc(p.rules, func(r *rule) bool { return r.action == "move" && !r.aboutFolders() && len(r.covers(in)) > 0 })
}

// planFolder lets a person make a folder, or move one in with all that is in it. Each has a
// title of its own: folders of one title merge, and then nobody could tell whose files are whose.
func (p *people) planFolder(events *[]event, at time.Duration) {
	p.nextTitle++
	e := &entry{kind: portalsim.KindFolder, in: pick(p.rng, p.sources), title: fmt.Sprintf("Case %04d", p.nextTitle)}
	if chance(p.rng, 30) {
		*events = append(*events, event{at: at, what: "create folder " + e.title, do: func() {
			e.id = p.portal.CreateFolder(e.in.id, e.title, p.client)
			p.remember(e)
		}})
		return
	}
	for range 1 + p.rng.IntN(3) {
		e.content = append(e.content, p.size(false))
	}
	*events = append(*events, event{at: at, what: "move in folder " + e.title, do: func() {
		e.id = p.portal.AddFolder(p.attic, e.title, p.client)
		within := e.id
		for i, size := range e.content {
			p.portal.AddFile(within, portalsim.File{Title: fmt.Sprintf("Page %d.pdf", i+1), Size: size, By: p.client})
			within = p.portal.AddFolder(e.id, fmt.Sprintf("Annex %d", i+1), p.client)
		}
		p.remember(e)
		p.portal.MoveEntry(portalsim.KindFolder, e.id, e.in.id, portalsim.Duplicate, p.client)
	}})
}

// planDelete deletes a file that is not the newest.
func (p *people) planDelete(events *[]event, at time.Duration) {
	n := p.rng.IntN(1 << 20)
	*events = append(*events, event{at: at, what: "delete", do: func() {
		e := p.some(n, func(e *entry) bool { return e.kind == portalsim.KindFile && !e.deleted })
		if e == nil {
			return
		}
		// Where a move onto another file may remove it first there is nothing to delete, and
		// what was moved away is not the person's to delete any more.
		if now, ok := p.portal.FileByID(e.id); !ok || now.ParentID != e.in.id || p.moves(e.in) {
			return
		}
		e.deleted = true
		p.portal.Delete(portalsim.KindFile, e.id, p.client)
	}})
}

// some picks an entry that fits, or nil.
func (p *people) some(n int, fits func(*entry) bool) *entry {
	var fitting []*entry
	for _, e := range p.order {
		if fits(e) {
			fitting = append(fitting, e)
		}
	}
	if len(fitting) == 0 {
		return nil
	}
	return fitting[n%len(fitting)]
}

func (p *people) retry(n int) {
	if log := p.portal.DeliveryLog(); len(log) > 0 {
		p.portal.RetryDelivery(log[n%len(log)].ID)
	}
}

// noise is what happens on a portal and leads to nothing.
func (p *people) noise(kind int) func() {
	switch kind {
	case 0:
		return func() { p.portal.Upload(p.attic, "Private.pdf", 2, p.client) }
	case 1:
		return func() {
			p.portal.CreateUser(portalsim.User{DisplayName: "New Person", Email: "new@example.com"}, p.owner)
		}
	case 2:
		return func() {
			if e := p.some(0, func(e *entry) bool { return e.kind == portalsim.KindFile && !e.deleted && !p.moves(e.in) }); e != nil {
				p.portal.Download(e.id, p.client)
			}
		}
	default:
		return func() { p.portal.CreateRoom(portalsim.Room{Title: "Another room", Owner: p.owner}) }
	}
}
