package rules

import (
	"fmt"
	"slices"
	"strings"
)

// The conditions of a rule, in the order they are looked at.
const (
	OnEnabled  = "enabled"
	OnPortal   = "portal"
	OnTrigger  = "trigger"
	OnOwn      = "own_events" // the gateway's own work caused the event
	OnSource   = "source"
	OnStop     = "stop"     // an earlier rule stops
	OnFallback = "fallback" // another rule matched
	OnWhen     = "when"
	OnPath     = "destination.path"
	OnMove     = "move" // the entry is already moved
)

// Verdict says what became of one rule for an event.
type Verdict struct {
	Rule    string
	Matched bool // the rule leads to at least one transfer

	// Condition is the first one that failed, "" when Matched. Want is what the rule asks
	// for and Got what there is.
	Condition string
	Want, Got string

	Matches    []Match
	Suppressed []Suppressed
	Notes      []string
	// Unknown says that the condition failed for want of facts: with them it may hold.
	Unknown bool
	Err     string // why an expression could not be evaluated
}

// Explain says for every rule, in file order, whether the event matches it, and if not, which
// condition failed first. It agrees with Match.
func (t *Table) Explain(f *Facts) []Verdict {
	verdicts := make([]Verdict, len(t.rules))
	groups := map[int32][]ref{} // the routes in play, by their rule
	if b := t.buckets[place{f.Portal, f.Event.Trigger}]; b != nil {
		for group, rest := nextRule(t.candidates(b, f, nil)); len(group) > 0; group, rest = nextRule(rest) {
			groups[group[0].rule] = group
		}
	}
	run := firing{ev: newEvaluation(f)}
	for _, fallback := range []bool{false, true} {
		for i := range t.rules {
			if r := &t.rules[i]; r.spec.Fallback == fallback {
				verdicts[i] = run.explain(r, groups[int32(i)])
			}
		}
	}
	return verdicts
}

func (run *firing) explain(r *rule, group []ref) Verdict {
	f, spec := run.ev.facts, &r.spec
	v := Verdict{Rule: spec.Name}
	fail := func(condition, want, got string) Verdict {
		v.Condition, v.Want, v.Got = condition, want, got
		return v
	}
	switch {
	case spec.Disabled:
		return fail(OnEnabled, "true", "false")
	case !slices.Contains(spec.Portals, f.Portal):
		return fail(OnPortal, strings.Join(spec.Portals, ", "), f.Portal)
	case !slices.Contains(spec.Triggers, f.Event.Trigger):
		return fail(OnTrigger, strings.Join(spec.Triggers, ", "), f.Event.Trigger)
	case f.Own && !spec.OwnEvents:
		return fail(OnOwn, "an event that people caused", "the gateway's own work")
	case len(group) == 0:
		if f.sourceOpen(spec) {
			if at := run.failing(r); at >= 0 {
				return run.failWhen(v, r, at) // whatever its place, it is not wanted
			}
			v.Unknown = true
		}
		return fail(OnSource, wantSource(spec), run.gotSource(spec))
	}
	if why := run.blocked(r); why != "" {
		if run.stoppedBy != "" {
			return fail(OnStop, "no earlier rule that stops", why)
		}
		return fail(OnFallback, "no other rule that matches", why)
	}
	holds, at, err := run.holds(r)
	if err != nil {
		v.Err = err.Error()
	}
	if v.Unknown = holds == unknown; holds != yes {
		return run.failWhen(v, r, at)
	}
	path, found, err := run.path(r)
	if err != nil {
		v.Err, v.Unknown = err.Error(), found == unknown
		return fail(OnPath, spec.Path, v.Err)
	}
	matches, suppressed, notes := len(run.Matches), len(run.Suppressed), len(run.Notes)
	run.fire(r, group, path)
	for _, n := range run.Notes[notes:] {
		v.Notes = append(v.Notes, n.Text)
	}
	v.Matches = append([]Match(nil), run.Matches[matches:]...)
	v.Suppressed = append([]Suppressed(nil), run.Suppressed[suppressed:]...)
	if len(v.Matches) == 0 {
		return fail(OnMove, "an entry that no earlier rule moves", v.Suppressed[0].Reason)
	}
	v.Matched = true
	return v
}

// failWhen says which part of a condition does not hold.
func (run *firing) failWhen(v Verdict, r *rule, at int) Verdict {
	text, values := run.ev.why(r.condition, at)
	if values == "" {
		values = v.Err
	}
	v.Condition, v.Want, v.Got = OnWhen, text, values
	return v
}

// failing finds a part of a rule's condition that is false already, or returns -1.
func (run *firing) failing(r *rule) int {
	if r.condition == nil {
		return -1
	}
	return slices.IndexFunc(r.condition.parts, func(p part) bool {
		v, _ := run.ev.part(p)
		return v == no
	})
}

// sourceOpen reports whether further facts could show that the entry lies in a source.
func (f *Facts) sourceOpen(spec *Spec) bool {
	for i := range spec.Routes {
		route := &spec.Routes[i]
		switch {
		case f.ChainKnown:
			if route.SourceKind == TagSource && f.Room != nil && !f.RoomTagsKnown && (route.Subfolders || f.parent() == f.Room.ID) {
				return true
			}
		case route.byRoom(), route.Subfolders, f.parent() == "":
			// Without subfolders, the folder that the delivery names is all that matters.
			return true
		}
	}
	return false
}

// wantSource describes the places a rule takes entries from.
func wantSource(spec *Spec) string {
	const most = 5
	if len(spec.Routes) == 1 {
		return describeSource(&spec.Routes[0])
	}
	var out []string
	for i := range spec.Routes {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(spec.Routes)-most))
			break
		}
		out = append(out, describeSource(&spec.Routes[i]))
	}
	return strings.Join(out, ", ")
}

func describeSource(route *Route) string {
	s := ""
	switch route.SourceKind {
	case TagSource:
		s = "a room tagged " + show(route.Pattern)
	case TitleSource:
		s = "a room with a title like " + show(route.Pattern)
	case AnySource:
		s = "room or folder " + string(route.Source)
	default:
		s = string(route.SourceKind) + " " + string(route.Source)
	}
	if !route.Subfolders {
		s += " without its subfolders"
	}
	return s
}

// gotSource describes where the entry lies, as far as the rule asks for it.
func (run *firing) gotSource(spec *Spec) string {
	f := run.ev.facts
	if run.where == "" {
		run.where = gotChain(f)
	}
	tags, titles := false, false
	for i := range spec.Routes {
		tags = tags || spec.Routes[i].SourceKind == TagSource
		titles = titles || spec.Routes[i].SourceKind == TitleSource
	}
	switch {
	case !f.ChainKnown || !tags && !titles:
		return run.where
	case f.Room == nil:
		return run.where + ", which is no room"
	case !tags:
		return run.where
	case !f.RoomTagsKnown:
		return run.where + ", its tags are not known"
	case len(f.Room.Tags) == 0:
		return run.where + " without tags"
	}
	return run.where + " tagged " + show(f.Room.Tags)
}

func gotChain(f *Facts) string {
	if len(f.Chain) == 0 {
		switch parent := f.parent(); {
		case f.ChainKnown:
			return "in no room or folder that is known"
		case parent == "":
			return "its folder is not known"
		default:
			return fmt.Sprintf("folder %s, what lies above it is not known", parent)
		}
	}
	var out []string
	for _, folder := range f.Chain {
		word := "folder"
		if f.Room != nil && f.Room.ID == folder.ID {
			word = "room"
		}
		s := fmt.Sprintf("%s %s", word, folder.ID)
		if folder.Title != "" {
			s += " " + show(folder.Title)
		}
		out = append(out, s)
	}
	return strings.Join(out, " in ")
}
