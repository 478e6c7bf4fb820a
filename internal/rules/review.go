package rules

import (
	"fmt"
	"slices"
	"strings"

	"docspace-router/internal/event"
)

// review looks for what is legal and suspicious: rules that do nothing, or not what they seem to.
type review struct {
	rules []rule
	found []SpecError
	// claims are the enabled rules that take entries from a source, in file order.
	claims map[sourceKey][]ref
}

// sourceKey names a source, whatever the word for it.
type sourceKey struct {
	id   event.ID
	kind SourceKind // of those that have no id
	text string     // in lower case, for those
}

func keyOf(r *Route) sourceKey {
	if r.byRoom() {
		return sourceKey{kind: r.SourceKind, text: strings.ToLower(r.Pattern)}
	}
	return sourceKey{id: r.Source}
}

// maxClaims bounds how many rules of one source a rule is compared with.
const maxClaims = 50

func reviewRules(all []rule) []SpecError {
	rv := &review{rules: all, claims: map[sourceKey][]ref{}}
	for i := range all {
		if all[i].spec.Disabled {
			continue
		}
		for j := range all[i].spec.Routes {
			key := keyOf(&all[i].spec.Routes[j])
			if len(rv.claims[key]) < maxClaims {
				rv.claims[key] = append(rv.claims[key], ref{int32(i), int32(j)})
			}
		}
	}
	for i := range all {
		if all[i].spec.Disabled {
			continue
		}
		rv.expressions(i)
		rv.portals(i)
		rv.places(i)
		if !rv.shadowed(i) {
			rv.moves(i)
			rv.copies(i)
		}
	}
	return rv.found
}

func (rv *review) warn(rule int, field string, route int, hint, format string, args ...any) {
	rv.found = append(rv.found, SpecError{
		Rule: rule, Name: rv.rules[rule].spec.Name, Field: field, Route: route, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// expressions reports what a condition can never be, and own_events without effect.
func (rv *review) expressions(i int) {
	r := &rv.rules[i]
	if r.condition != nil {
		for _, f := range r.condition.doubts {
			if f.portal != "" {
				if slices.Contains(r.spec.Portals, f.portal) {
					continue
				}
				f.hint = "it is for " + strings.Join(r.spec.Portals, ", ")
			}
			line, column := lineColumn(r.spec.When, f.at)
			rv.found = append(rv.found, SpecError{
				Rule: i, Name: r.spec.Name, Field: "when", Line: line, Column: column, Message: f.message, Hint: f.hint,
			})
		}
	}
	if r.spec.OwnEvents && !slices.ContainsFunc(r.spec.Triggers, func(t string) bool { return event.OwnWork(t) && t != event.FolderCreated }) {
		rv.warn(i, "own_events", 0, "add a trigger such as file.copied or file.moved",
			"own_events has no effect: what the gateway does fires none of these triggers")
	}
}

// portals reports ids in a rule for several portals, of which they can only be right on one. Every
// destination is an id.
func (rv *review) portals(i int) {
	spec := &rv.rules[i].spec
	if len(spec.Portals) < 2 || len(spec.Routes) == 0 { // one whose source is wrong has no route
		return
	}
	what, field, id := "destination", "destination", spec.Routes[0].Destination
	if source := spec.Routes[0].Source; source != "" {
		what, field, id = "source", "source", source
	}
	rv.warn(i, field, 0, "write one rule for each portal",
		"ids belong to one portal, and this rule is for %d: on the others the %s %s is something else, or nothing", len(spec.Portals), what, id)
}

// places reports destinations that are sources of the same rule.
func (rv *review) places(i int) {
	spec := &rv.rules[i].spec
	sources := make(map[event.ID]int, len(spec.Routes))
	for j := range spec.Routes {
		if source := spec.Routes[j].Source; source != "" {
			sources[source] = j
		}
	}
	for j := range spec.Routes {
		route := &spec.Routes[j]
		other, inside := sources[route.Destination]
		switch {
		case !inside:
		case route.Source != route.Destination:
			rv.warn(i, "destination", j, "", "the destination %s is a source of the same rule as well", route.Destination)
		case spec.Path == "" && !route.Subfolders:
			rv.warn(i, "destination", j, "", "the rule does nothing: the destination is the source, where the entries lie already")
		default:
			rv.warn(i, "destination", other, "", "the destination lies in the rule's own source %s", route.Source)
		}
		if inside && route.Source != route.Destination && spec.Path == "" && len(spec.Routes) > maxClaims {
			return // one is enough of a long list
		}
	}
}

// shadowed reports a rule that another one always keeps from being tried.
func (rv *review) shadowed(i int) bool {
	spec := &rv.rules[i].spec
	var by *Spec
	for j := range spec.Routes {
		a := rv.cover(i, &spec.Routes[j])
		if a == nil {
			return false
		}
		if by == nil {
			by = a
		}
	}
	if by == nil {
		return false
	}
	why := "matches the same entries before it and stops"
	if spec.Fallback && !by.Fallback {
		why = "matches the same entries, and this one is a fallback"
	}
	rv.warn(i, "", 0, "", "the rule is never tried: %s (%s) %s", by.Name, by.Origin, why)
	return true
}

// cover finds a rule that keeps rule i from being tried for all that lies in one of its sources.
func (rv *review) cover(i int, route *Route) *Spec {
	spec := &rv.rules[i].spec
	for _, at := range rv.claims[keyOf(route)] {
		a := &rv.rules[at.rule].spec
		first := spec.Fallback && !a.Fallback || a.Stop && a.Fallback == spec.Fallback && int(at.rule) < i
		switch {
		case !first || a.Path != "" || !includes(a, spec):
		case !a.Routes[at.route].Subfolders && route.Subfolders:
		default:
			return a
		}
	}
	return nil
}

// includes reports whether a matches whatever b matches, places aside.
func includes(a, b *Spec) bool {
	return (a.When == "" || a.When == b.When) && (a.OwnEvents || !b.OwnEvents) &&
		containsAll(a.Portals, b.Portals) && containsAll(a.Triggers, b.Triggers)
}

func containsAll(all, some []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}

// moves reports a move that never happens, because another one always comes first.
func (rv *review) moves(i int) {
	spec := &rv.rules[i].spec
	if spec.Action != event.Move {
		return
	}
	for j := range spec.Routes {
		route := &spec.Routes[j]
		for _, at := range rv.claims[keyOf(route)] {
			a := &rv.rules[at.rule].spec
			other := &a.Routes[at.route]
			switch {
			case a.Action != event.Move, int(at.rule) > i, int(at.rule) == i && int(at.route) >= j:
			case a.Fallback && !spec.Fallback, !a.Fallback && spec.Fallback, !includes(a, spec):
			case !other.Subfolders && route.Subfolders:
			case int(at.rule) == i:
				rv.warn(i, "destination", j, "", "two moves compete: an entry is moved once, and this rule moves those of the same source to %s already", other.Destination)
				return
			default:
				rv.warn(i, "action", 0, "", "two moves compete: an entry is moved once, and %s (%s) moves the same ones first", a.Name, a.Origin)
				return
			}
		}
	}
}

// copies reports a copy that an earlier rule puts into the same folder as well.
func (rv *review) copies(i int) {
	spec := &rv.rules[i].spec
	if spec.Action != event.Copy {
		return
	}
	for j := range spec.Routes {
		route := &spec.Routes[j]
		for _, at := range rv.claims[keyOf(route)] {
			a := &rv.rules[at.rule].spec
			switch {
			case int(at.rule) >= i, a.Action != event.Copy, a.Stop, a.Fallback != spec.Fallback: // not both act
			case a.Routes[at.route].Destination != route.Destination, a.Path != spec.Path:
			case !includes(a, spec) && !includes(spec, a):
			default:
				rv.warn(i, "destination", j, "", "two rules copy the same entries to one place: %s (%s) copies them to %s as well", a.Name, a.Origin, route.Destination)
				return
			}
		}
	}
}
