package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/portalsim"
)

// place is a room or folder that entries appear in or go to.
type place struct {
	id     portalsim.ID
	title  string
	parent *place // nil for a room
}

// lies reports whether the place is that folder or lies below it.
func (p *place) lies(id portalsim.ID) bool {
	for ; p != nil; p = p.parent {
		if p.id == id {
			return true
		}
	}
	return false
}

// entry is a file or folder that somebody put into a source.
type entry struct {
	kind    portalsim.Kind
	id      portalsim.ID
	title   string
	big     bool    // as conditions on the size see it
	sizes   []int64 // the file's, one after the other; no two files share one
	content []int64 // a folder's files, by size
	in      *place
	deleted bool // by a person, at some time: whether it was sent before is open
}

// clause is a rule's condition, for the gateway and for the model.
type clause struct {
	text  string
	holds func(*entry) bool
}

// route is one way of a rule.
type route struct {
	from, to   portalsim.ID
	subfolders bool
}

// rule is a rule as the scenario wants it.
type rule struct {
	name           string
	triggers       []string
	routes         []route
	asPairs        bool // written as pairs, which always take in subfolders
	fromFolder     bool // the source is called a folder in the file; no difference to a room
	when           clause
	action         string // copy or move
	conflict       string // duplicate, skip or overwrite
	stop, fallback bool
}

// aboutFolders reports whether the rule is about folders rather than files.
func (r *rule) aboutFolders() bool { return strings.HasPrefix(r.triggers[0], "folder.") }

// scenario is the part of a round that follows from its seed before anything happens.
type scenario struct {
	rng        *rand.Rand
	sources    []*place // where entries appear
	targets    []*place // where rules send them
	doomed     *place   // a target that a fault deletes; nil in most rounds
	rules      []*rule
	seeds      map[portalsim.ID][]portalsim.Entry // what targets hold from the start
	generation int
	hooks      int  // webhooks on the portal, all pointing to the gateway
	unseen     bool // operations may do their work unseen; else they may stand still
	actions    int
	spread     time.Duration // over which people act and things go wrong
	common     []string      // titles that several clients use
	nextSize   int64
	nextTitle  int
}

// chance is true in that many cases of a hundred.
func chance(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// newScenario draws everything that does not need a portal yet.
func newScenario(seed uint64) *scenario {
	rng := rand.New(rand.NewPCG(seed, 0x6368616f73))
	s := &scenario{
		rng: rng, generation: 3, hooks: 1, nextSize: 1000, seeds: map[portalsim.ID][]portalsim.Entry{},
		actions: 60 + rng.IntN(180), spread: 1500*time.Millisecond + time.Duration(rng.IntN(1500))*time.Millisecond,
		common: []string{"Invoice.pdf", "invoice.PDF", "Report.docx", "Scan.jpg", "Contract.pdf"},
	}
	if chance(rng, 30) {
		s.generation = 4
	}
	if chance(rng, 25) {
		s.hooks = 2
	}
	s.unseen = chance(rng, 40)
	if chance(rng, 20) {
		s.common = append(s.common, "Invoice (1).pdf", "Report (2).docx")
	}
	return s
}

// build makes the portal's rooms and folders and draws the rules.
func (s *scenario) build(c *cast) {
	rng := s.rng
	for i := range 2 + rng.IntN(3) {
		room := &place{id: c.addRoom(fmt.Sprintf("Client %d", i+1)), title: fmt.Sprintf("Client %d", i+1)}
		s.sources = append(s.sources, room)
		within := []*place{room}
		for j := range rng.IntN(4) {
			parent := pick(rng, within)
			title := fmt.Sprintf("Sub %d", j+1)
			f := &place{id: c.portal.AddFolder(parent.id, title, c.client), title: title, parent: parent}
			within, s.sources = append(within, f), append(s.sources, f)
		}
	}
	for i := range 2 + rng.IntN(3) {
		room := &place{id: c.addRoom(fmt.Sprintf("Internal %d", i+1))}
		s.targets = append(s.targets, room)
		if chance(rng, 40) {
			s.targets = append(s.targets, &place{id: c.portal.AddFolder(room.id, "Inbox", c.owner), parent: room})
		}
	}
	s.drawRules()
	if chance(rng, 15) {
		s.drawDoomed(c)
	}
	s.drawSeeds(c)
}

// drawSeeds puts files of common titles into some targets, as if they had been there for long.
func (s *scenario) drawSeeds(c *cast) {
	for _, t := range s.targets {
		if !chance(s.rng, 40) {
			continue
		}
		for _, title := range s.common[:1+s.rng.IntN(len(s.common))] {
			if slices.ContainsFunc(s.seeds[t.id], func(e portalsim.Entry) bool { return strings.EqualFold(e.Title, title) }) {
				continue
			}
			by := pick(s.rng, []portalsim.UserID{c.owner, c.robot})
			id := c.portal.AddFile(t.id, portalsim.File{Title: title, Size: s.size(false), By: by, Created: time.Now().Add(-time.Hour)})
			e, _ := c.portal.FileByID(id)
			s.seeds[t.id] = append(s.seeds[t.id], e)
		}
	}
}

var (
	arrivals = []string{"file.created", "file.uploaded", "file.copied"}
	always   = clause{"", func(*entry) bool { return true }}
	large    = clause{`file.size > 1 * MB`, func(e *entry) bool { return e.big }}
)

// drawRules draws file rules and sometimes folder rules.
func (s *scenario) drawRules() {
	rng := s.rng
	for i := range 2 + rng.IntN(5) {
		r := &rule{name: fmt.Sprintf("files-%d", i+1), action: "copy", conflict: pick(rng, []string{"duplicate", "duplicate", "skip", "overwrite"})}
		if chance(rng, 30) {
			r.action = "move"
		}
		r.triggers = pick(rng, [][]string{
			{"file.uploaded"}, {"file.created", "file.uploaded"}, {"file.*"}, {"file.uploaded", "file.updated"}, arrivals, {"file.copied"},
		})
		r.when = pick(rng, []clause{
			always, always, always,
			{`file.extension in ["pdf", "docx"]`, func(e *entry) bool {
				t := strings.ToLower(e.title)
				return strings.HasSuffix(t, ".pdf") || strings.HasSuffix(t, ".docx")
			}},
			large,
			{`lower(file.name) startsWith "invoice"`, func(e *entry) bool { return strings.HasPrefix(strings.ToLower(e.title), "invoice") }},
		})
		r.stop, r.fallback = chance(rng, 10), chance(rng, 15)
		s.drawRoutes(r)
		s.rules = append(s.rules, r)
	}
	// An entry that is moved away can be the subject of one happening only, or the order of
	// things decides what becomes of it: rules that share a source with a move wait for the
	// same triggers, and nobody changes such files. Where it was moved to, others of its title may
	// overwrite it, and then its size, which is looked up late, is another's.
	for _, r := range s.rules {
		for _, m := range s.rules {
			if m.action != "move" || !s.overlap(m, r) {
				continue
			}
			r.triggers = arrivals
			if r.when.text == large.text {
				r.when = always
			}
		}
	}
	for i := range rng.IntN(3) {
		r := &rule{
			name: fmt.Sprintf("folders-%d", i+1), triggers: []string{"folder.created", "folder.moved"}, when: always,
			action: pick(rng, []string{"copy", "copy", "move"}), conflict: pick(rng, []string{"duplicate", "skip", "overwrite"}),
		}
		s.drawRoutes(r)
		s.rules = append(s.rules, r)
	}
}

// overlap reports whether an entry could match both rules.
func (s *scenario) overlap(a, b *rule) bool {
	return slices.ContainsFunc(s.sources, func(p *place) bool { return len(a.covers(p)) > 0 && len(b.covers(p)) > 0 })
}

// covers returns the routes an entry in that place takes, in the order they are written.
func (r *rule) covers(p *place) []route {
	var out []route
	for _, t := range r.routes {
		if p.id == t.from || t.subfolders && p.lies(t.from) {
			out = append(out, t)
		}
	}
	return out
}

func (s *scenario) drawRoutes(r *rule) {
	rng := s.rng
	to := pick(rng, s.targets).id
	r.asPairs, r.fromFolder = chance(rng, 40), chance(rng, 50)
	subfolders := r.asPairs || chance(rng, 75)
	for range 1 + rng.IntN(3) {
		next := route{from: pick(rng, s.sources).id, to: to, subfolders: subfolders}
		if r.asPairs {
			next.to = pick(rng, s.targets).id
		}
		if !slices.ContainsFunc(r.routes, func(t route) bool { return t.from == next.from && (!r.asPairs || t.to == next.to) }) {
			r.routes = append(r.routes, next)
		}
	}
}

// drawDoomed adds a target of its own, with a rule of its own, that will be deleted.
func (s *scenario) drawDoomed(c *cast) {
	room := &place{id: c.addRoom("Short-lived")}
	s.doomed = &place{id: c.portal.AddFolder(room.id, "Doomed", c.owner), parent: room}
	s.rules = append(s.rules, &rule{
		name: "doomed", triggers: []string{"file.uploaded"}, when: always, action: "copy", conflict: "duplicate",
		routes: []route{{from: pick(s.rng, s.sources).id, to: s.doomed.id, subfolders: true}},
	})
	if slices.ContainsFunc(s.rules, func(m *rule) bool { return m.action == "move" && s.overlap(m, s.rules[len(s.rules)-1]) }) {
		s.rules[len(s.rules)-1].triggers = arrivals
	}
}

// size gives each file a size no other file has, by which a copy tells its source.
func (s *scenario) size(big bool) int64 {
	s.nextSize++
	if big {
		return 2<<20 + s.nextSize
	}
	return s.nextSize
}

// title draws a file's title: one that others use too, or one of its own.
func (s *scenario) title() string {
	if chance(s.rng, 25) {
		return pick(s.rng, s.common)
	}
	s.nextTitle++
	return fmt.Sprintf("%s %04d%s", pick(s.rng, []string{"File", "Offer", "Invoice", "Übersicht"}), s.nextTitle,
		pick(s.rng, []string{".pdf", ".docx", ".PDF", ".jpg", ""}))
}
