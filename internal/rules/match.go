package rules

import (
	"cmp"
	"fmt"
	"slices"

	"docspace-router/internal/event"
)

// Needs says what Match must still be told about the event. Only enabled rules that could
// still match ask for something; an event no rule is about needs nothing. When the facts have
// been fetched, ask again: with the chain known, rules may come into view that need more.
func (t *Table) Needs(f *Facts) Need {
	b := t.buckets[place{f.Portal, f.Event.Trigger}]
	if b == nil {
		return 0
	}
	if !f.ChainKnown && t.chainDecides(b, f.parent()) {
		return NeedChain
	}
	var buf [16]ref
	candidates := t.candidates(b, f, buf[:0])
	if len(candidates) == 0 {
		return 0
	}
	var need Need
	ev := newEvaluation(f)
	matched := false
	for _, fallback := range []bool{false, true} {
		if fallback && matched {
			break
		}
		for group, rest := nextRule(candidates); len(group) > 0; group, rest = nextRule(rest) {
			r := &t.rules[group[0].rule]
			if r.spec.Fallback != fallback {
				continue
			}
			v, lacks := yes, fact(0)
			if r.condition != nil {
				v, lacks = ev.prospect(r.condition)
			}
			need |= needFor(f, lacks)
			if v != yes {
				continue
			}
			matched = true
			if r.spec.Stop || fallback {
				return need
			}
		}
	}
	return need
}

// chainDecides reports whether the folders above parent could bring further rules into play.
func (t *Table) chainDecides(b *bucket, parent event.ID) bool {
	if parent == "" {
		return true
	}
	others := b.deep
	if slices.ContainsFunc(b.routes[parent], t.isDeep) {
		others--
	}
	return others > 0
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
	slices.SortFunc(into, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.route, b.route))
	})
	return into
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
				run.Errors = append(run.Errors, EvalError{Rule: r.spec.Name, Text: err.Error()})
			}
			if v == yes {
				run.fire(r, group)
			}
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

// fire records what a matching rule asks for through the routes that fit. Two routes to one
// destination are one transfer, and an entry is moved once.
func (run *firing) fire(r *rule, group []ref) {
	if run.matchedBy == "" {
		run.matchedBy = r.spec.Name
	}
	if r.spec.Stop {
		run.stoppedBy = r.spec.Name
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
			Source: route.Source, Destination: route.Destination,
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
