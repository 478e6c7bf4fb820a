package rules

import (
	"fmt"
	"slices"
	"strings"

	"docspace-router/internal/event"
)

const (
	maxLoops = 20         // how many loops are reported
	maxEdges = 20_000_000 // how many ways from one route to the next are looked at
)

// loops finds rules with own_events that could feed each other without end, as far as their ids
// say so. What depends on tags, titles or on what lies below what is not known here; routing
// stops that when it happens.
type loops struct {
	rules  []rule
	routes []ref              // of the rules that the gateway's own work can reach
	from   map[event.ID][]int // those routes, by their source
	state  []visit
	path   []int // the routes from the one the search began at
	edges  int
	found  []SpecError
	told   map[string]bool
}

type visit uint8

const (
	unseen visit = iota
	onPath
	finished
)

func findLoops(all []rule) []SpecError {
	l := &loops{rules: all, from: map[event.ID][]int{}, told: map[string]bool{}}
	for i := range all {
		spec := &all[i].spec
		if spec.Disabled || !spec.OwnEvents || !slices.ContainsFunc(spec.Triggers, event.OwnWork) {
			continue
		}
		for j := range spec.Routes {
			if source := spec.Routes[j].Source; source != "" {
				l.from[source] = append(l.from[source], len(l.routes))
			}
			l.routes = append(l.routes, ref{int32(i), int32(j)})
		}
	}
	l.state = make([]visit, len(l.routes))
	for start := range l.routes {
		l.search(start)
	}
	return l.found
}

// search goes depth first. It keeps its own stack: a chain of pairs can be very long.
func (l *loops) search(start int) {
	if l.state[start] != unseen {
		return
	}
	next := []int{0} // for each route on the path, which of its successors comes next
	l.path = append(l.path[:0], start)
	l.state[start] = onPath
	for len(l.path) > 0 && len(l.found) < maxLoops {
		at := l.path[len(l.path)-1]
		successors := l.from[l.route(at).Destination]
		i := next[len(next)-1]
		if i == len(successors) {
			l.state[at] = finished
			l.path, next = l.path[:len(l.path)-1], next[:len(next)-1]
			continue
		}
		next[len(next)-1]++
		if l.edges++; l.edges > maxEdges {
			return
		}
		to := successors[i]
		if l.state[to] == finished || !l.feeds(at, to) {
			continue
		}
		if l.state[to] == onPath {
			l.report(l.path[slices.Index(l.path, to):])
			continue
		}
		l.state[to] = onPath
		l.path, next = append(l.path, to), append(next, 0)
	}
}

func (l *loops) route(i int) *Route {
	at := l.routes[i]
	return &l.rules[at.rule].spec.Routes[at.route]
}

func (l *loops) spec(i int) *Spec { return &l.rules[l.routes[i].rule].spec }

// feeds reports whether what one route puts somewhere can be taken from there by another, whose
// source is the destination of the first.
func (l *loops) feeds(a, b int) bool {
	giver, taker := l.spec(a), l.spec(b)
	switch {
	case giver.Path != "" && !l.route(b).Subfolders:
		return false // it lies below, or in the folder itself only where the path is empty
	case giver.Path == "" && taker.Path == "" && l.route(a).Destination == l.route(b).Destination:
		return false // it lies there already
	}
	return meet(giver.Portals, taker.Portals) && meet(fired(giver), taker.Triggers)
}

// fired lists the triggers that a rule's own work fires.
func fired(s *Spec) []string {
	verb := "copied"
	if s.Action == event.Move {
		verb = "moved"
	}
	kinds := kindsOf(s.Triggers)
	var out []string
	if kinds.folders {
		out = append(out, "folder."+verb)
	}
	if kinds.files || kinds.folders && s.Action == event.Copy { // a copied folder's files are told one by one
		out = append(out, "file."+verb)
	}
	return out
}

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// report spells a loop out, beginning at the rule that comes first in the file. Loops of the
// same rules are told once.
func (l *loops) report(loop []int) {
	first := 0
	for i := range loop {
		if l.routes[loop[i]].rule < l.routes[loop[first]].rule {
			first = i
		}
	}
	loop = append(slices.Clone(loop[first:]), loop[:first]...)
	var members []int
	var text strings.Builder
	for i, at := range loop {
		rule := int(l.routes[at].rule)
		if i > 0 && int(l.routes[loop[i-1]].rule) == rule {
			continue // from one pair of a rule to the next
		}
		members = append(members, rule)
		fmt.Fprintf(&text, "%s (%s) → ", l.rules[rule].spec.Name, l.rules[rule].spec.Origin)
	}
	name := l.rules[members[0]].spec.Name
	text.WriteString(name)
	slices.Sort(members)
	members = slices.Compact(members)
	key := fmt.Sprint(members)
	if l.told[key] {
		return
	}
	l.told[key] = true
	message, hint := "with own_events these rules feed each other without end: ", "take own_events out of one of them"
	if len(members) == 1 {
		message, hint = "with own_events this rule feeds itself without end: ", "take own_events out"
	}
	last := members[len(members)-1]
	l.found = append(l.found, SpecError{
		Rule: last, Name: l.rules[last].spec.Name, Field: "own_events", With: members[:len(members)-1],
		Message: message + text.String(), Hint: hint + ", or let no destination be a source",
	})
}
