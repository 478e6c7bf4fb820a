package rules

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"docspace-router/internal/event"
)

// Needs says what Match must still be told about the event. Only enabled rules that could
// still match ask for something; an event no rule is about needs nothing. When the facts have
// been fetched, ask again: with the chain known, rules may come into view that need more.
func (t *Table) Needs(f *Facts) Need {
	b := t.buckets[place{f.Portal, f.Event.Trigger}]
	switch {
	case b == nil:
		return 0
	case !f.OwnKnown && event.OwnWork(f.Event.Trigger):
		return NeedOwn
	case f.Own && !b.own:
		return 0
	case !f.ChainKnown && f.parent() == "":
		return NeedChain
	}
	var buf [16]ref
	candidates := t.candidates(b, f, buf[:0])
	learn, further := Need(0), (*prospects)(nil)
	switch {
	case !f.ChainKnown:
		learn, further = NeedChain, &b.above
	case f.Room != nil && !f.RoomTagsKnown:
		learn, further = NeedRoomTags, &b.tagged
	}
	if further != nil && len(further.list) == 0 {
		further = nil
	}
	if further == nil && len(candidates) == 0 {
		return 0
	}
	s := survey{ev: newEvaluation(f), end: math.MaxInt32, caught: math.MaxInt32}
	for _, fallback := range []bool{false, true} {
		s.walk(t, candidates, fallback)
	}
	var inPlay iter.Seq[*rule]
	if learn == NeedChain {
		inPlay = t.deepAt(b, f.parent())
	}
	if further != nil && s.any(further, inPlay) {
		return learn
	}
	return s.need
}

// deepAt lists the rules of the routes with subfolders whose source is the folder itself: they
// are in play already, whatever lies above.
func (t *Table) deepAt(b *bucket, folder event.ID) iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for _, at := range b.routes[folder] {
			if t.isDeep(at) && !yield(&t.rules[at.rule]) {
				return
			}
		}
	}
}

// survey looks at the rules in play for what they need, as far as it can be told.
type survey struct {
	ev      *evaluation
	need    Need
	matched bool  // a rule that is no fallback certainly matches
	end     int32 // the first rule that certainly matches and stops: later ones are not tried
	caught  int32 // the first fallback that certainly matches: later ones are not tried
}

func (s *survey) walk(t *Table, candidates []ref, fallback bool) {
	if fallback && s.matched {
		return
	}
	for group, rest := nextRule(candidates); len(group) > 0; group, rest = nextRule(rest) {
		r := &t.rules[group[0].rule]
		if r.spec.Fallback != fallback {
			continue
		}
		v, lacks := yes, fact(0)
		if r.condition != nil {
			v, lacks = s.ev.prospect(r.condition)
		}
		if v == yes && r.path != nil {
			// Without it the path fails, and then the rule is no match after all.
			if lacks = r.path.uses & s.ev.lacks; lacks != 0 {
				v = unknown
			} else if _, v, _ = s.ev.path(r.path); v != yes {
				v = no
			}
		}
		s.need |= needFor(s.ev.facts, lacks)
		if v != yes {
			continue
		}
		if fallback {
			s.caught = group[0].rule
			return
		}
		s.matched = true
		if r.spec.Stop {
			s.end = group[0].rule
			return
		}
	}
}

// any reports whether one of the rules that stand as prospects could match, those of inPlay
// aside.
func (s *survey) any(p *prospects, inPlay iter.Seq[*rule]) bool {
	var buf [8]int
	taken := buf[:0] // the prospects of routes that are in play, one for each route
	if inPlay != nil {
		for r := range inPlay {
			taken = append(taken, p.find(r.prospectKey()))
		}
	}
	for i := range p.list {
		q := &p.list[i]
		others := q.routes
		for _, at := range taken {
			if at == i {
				others--
			}
		}
		switch {
		case others == 0, q.first > s.end, s.ev.facts.Own && !q.own:
		case q.fallback && (s.matched || q.first > s.caught):
		case q.condition == nil:
			return true
		default:
			if v, _ := s.ev.prospect(q.condition); v != no {
				return true
			}
		}
	}
	return false
}

// candidates appends the routes whose source the entry lies in, in file order.
func (t *Table) candidates(b *bucket, f *Facts, into []ref) []ref {
	if !f.ChainKnown && len(f.Chain) == 0 {
		if parent := f.parent(); parent != "" {
			into = append(into, b.routes[parent]...)
		}
	}
	for i := range f.Chain {
		for _, r := range b.routes[f.Chain[i].ID] {
			if i == 0 || t.isDeep(r) {
				into = append(into, r)
			}
		}
	}
	if f.Room != nil {
		into = t.byRoom(b, f, into)
	}
	if f.Own {
		into = slices.DeleteFunc(into, func(r ref) bool { return !t.rules[r.rule].spec.OwnEvents })
	}
	slices.SortFunc(into, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.route, b.route))
	})
	return into
}

// byRoom appends the routes that ask for a kind of room and get this one.
func (t *Table) byRoom(b *bucket, f *Facts, into []ref) []ref {
	n := len(into)
	if !b.titles.empty() {
		into = b.titles.appendFits(f.Room.Title, into)
	}
	if len(b.tags) > 0 && f.RoomTagsKnown {
		for _, tag := range f.Room.Tags {
			into = append(into, b.tags[foldTag(tag)]...)
		}
	}
	if f.parent() == f.Room.ID {
		return into
	}
	below := slices.DeleteFunc(into[n:], func(r ref) bool { return !t.isDeep(r) })
	return into[:n+len(below)]
}

// nextRule splits off the candidates of the first rule.
func nextRule(candidates []ref) (group, rest []ref) {
	n := min(1, len(candidates))
	for n < len(candidates) && candidates[n].rule == candidates[0].rule {
		n++
	}
	return candidates[:n], candidates[n:]
}

// Match returns what the event leads to. A condition that rests on facts f lacks does not
// match and is reported as an error; ask Needs first.
func (t *Table) Match(f *Facts) Result {
	b := t.buckets[place{f.Portal, f.Event.Trigger}]
	if b == nil {
		return Result{}
	}
	var buf [16]ref
	candidates := t.candidates(b, f, buf[:0])
	if len(candidates) == 0 {
		return Result{}
	}
	run := firing{ev: newEvaluation(f)}
	for _, fallback := range []bool{false, true} {
		for group, rest := nextRule(candidates); len(group) > 0; group, rest = nextRule(rest) {
			r := &t.rules[group[0].rule]
			if r.spec.Fallback != fallback {
				continue
			}
			run.Considered++
			if run.blocked(r) != "" {
				continue
			}
			v, _, err := run.holds(r)
			if v == unknown || v == broken {
				run.Errors = append(run.Errors, EvalError{Rule: r.spec.Name, Field: "when", Text: err.Error()})
			}
			if v != yes {
				continue
			}
			path, _, err := run.path(r)
			if err != nil {
				run.Errors = append(run.Errors, EvalError{Rule: r.spec.Name, Field: "destination.path", Text: err.Error()})
				continue
			}
			run.fire(r, group, path)
		}
	}
	return run.Result
}

// firing is the state that the rules of one event share while they are tried in file order.
type firing struct {
	Result
	ev        *evaluation
	matchedBy string // the first rule that matched
	stoppedBy string
	movedBy   string
	where     string // in words, for explanations
}

// blocked says why an earlier rule keeps r from being tried, or "".
func (run *firing) blocked(r *rule) string {
	switch {
	case run.stoppedBy != "":
		return fmt.Sprintf("%s matched and stops", run.stoppedBy)
	case r.spec.Fallback && run.matchedBy != "":
		return fmt.Sprintf("%s matched", run.matchedBy)
	}
	return ""
}

func (run *firing) holds(r *rule) (verdict, int, error) {
	if r.condition == nil {
		return yes, 0, nil
	}
	return run.ev.condition(r.condition)
}

// path computes the folders below the rule's destinations, if it names any.
func (run *firing) path(r *rule) ([]string, verdict, error) {
	if r.path == nil {
		return nil, yes, nil
	}
	return run.ev.path(r.path)
}

// source is where the route found the entry. A route by tag or title fits a room that is known only.
func (run *firing) source(route *Route) event.ID {
	if route.byRoom() {
		return run.ev.facts.Room.ID
	}
	return route.Source
}

// fire records what a matching rule asks for through the routes that fit. Two routes to one
// destination are one transfer, from the source that is named first, and an entry is moved once.
func (run *firing) fire(r *rule, group []ref, path []string) {
	if run.matchedBy == "" {
		run.matchedBy = r.spec.Name
	}
	if r.spec.Stop {
		run.stoppedBy = r.spec.Name
	}
	if r.path != nil && len(path) == 0 {
		run.Notes = append(run.Notes, Note{r.spec.Name, "destination.path came out empty, so the destination folder itself is meant"})
	}
	for i, at := range group {
		route := &r.spec.Routes[at.route]
		if slices.ContainsFunc(group[:i], func(earlier ref) bool {
			return r.spec.Routes[earlier.route].Destination == route.Destination
		}) {
			continue
		}
		m := Match{
			Rule: r.spec.Name, Action: r.spec.Action, Conflict: r.spec.Conflict,
			Source: run.source(route), Destination: route.Destination, Path: path,
		}
		if m.Action == event.Move {
			if run.movedBy != "" {
				run.Suppressed = append(run.Suppressed, Suppressed{m, fmt.Sprintf("%s already moves the entry", run.movedBy)})
				continue
			}
			run.movedBy = r.spec.Name
		}
		run.Matches = append(run.Matches, m)
	}
}
