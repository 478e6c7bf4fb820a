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
	OnSource   = "source"
	OnStop     = "stop"     // an earlier rule stops
	OnFallback = "fallback" // another rule matched
	OnWhen     = "when"
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
	Err        string // why the `when` could not be evaluated
}

// Explain says for every rule, in file order, whether the event matches it, and if not, which
// condition failed first. It agrees with Match.
func (t *Table) Explain(f *Facts) []Verdict {
	verdicts := make([]Verdict, len(t.rules))
	groups := map[int32][]ref{}
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
	case spec.Portal != f.Portal:
		return fail(OnPortal, spec.Portal, f.Portal)
	case !slices.Contains(spec.Triggers, f.Event.Trigger):
		return fail(OnTrigger, strings.Join(spec.Triggers, ", "), f.Event.Trigger)
	case len(group) == 0:
		return fail(OnSource, wantSource(spec), gotSource(f))
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
	if holds != yes {
		text, values := run.ev.why(r.condition, at)
		if values == "" {
			values = v.Err
		}
		return fail(OnWhen, text, values)
	}
	matches, suppressed := len(run.Matches), len(run.Suppressed)
	run.fire(r, group)
	v.Matches = append([]Match(nil), run.Matches[matches:]...)
	v.Suppressed = append([]Suppressed(nil), run.Suppressed[suppressed:]...)
	if len(v.Matches) == 0 {
		return fail(OnMove, "an entry that no earlier rule moves", v.Suppressed[0].Reason)
	}
	v.Matched = true
	return v
}

// wantSource describes the places a rule takes entries from.
func wantSource(spec *Spec) string {
	const most = 5
	var out []string
	for i, route := range spec.Routes {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(spec.Routes)-most))
			break
		}
		kind := string(route.SourceKind)
		if kind == "" {
			kind = "room or folder"
		}
		s := fmt.Sprintf("%s %s", kind, route.Source)
		if !route.Subfolders {
			s += " without its subfolders"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// gotSource describes where the entry lies.
func gotSource(f *Facts) string {
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
