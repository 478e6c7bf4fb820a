package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// explanation is what the rules make of a delivery.
type explanation struct {
	Portal   string   `json:"portal"`
	Trigger  string   `json:"trigger"`
	Kind     string   `json:"entry_kind"`
	EntryID  event.ID `json:"entry_id"`
	Title    string   `json:"title"`
	ParentID event.ID `json:"folder_id,omitempty"`
	Room     *room    `json:"room,omitempty"`
	// OwnEvent says that the gateway caused the event, so that only rules with own_events see it;
	// MaybeOwn that it could have.
	OwnEvent bool      `json:"own_event,omitempty"`
	MaybeOwn bool      `json:"maybe_own_event,omitempty"`
	Rules    []verdict `json:"rules"`
}

type room struct {
	ID    event.ID `json:"id"`
	Title string   `json:"title"`
}

// verdict is what became of one rule.
type verdict struct {
	Rule    string `json:"rule"`
	Matched bool   `json:"matched"`
	// Undecided says that asking the portal could turn the verdict round.
	Undecided bool         `json:"undecided,omitempty"`
	Condition string       `json:"condition,omitempty"`
	Want      string       `json:"want,omitempty"`
	Got       string       `json:"got,omitempty"`
	Error     string       `json:"error,omitempty"`
	Matches   []match      `json:"matches,omitempty"`
	Notes     []string     `json:"notes,omitempty"`
	Dropped   []suppressed `json:"suppressed,omitempty"`
}

type match struct {
	Action      event.Action   `json:"action"`
	Destination event.ID       `json:"destination"`
	Path        []string       `json:"path,omitempty"` // folders below it, made where they are missing
	Conflict    event.Conflict `json:"conflict"`
}

// where names the destination for people.
func (m match) where() string {
	if len(m.Path) == 0 {
		return fmt.Sprintf("folder %s", m.Destination)
	}
	return fmt.Sprintf("%q below folder %s", strings.Join(m.Path, "/"), m.Destination)
}

type suppressed struct {
	match
	Reason string `json:"reason"`
}

func newExplanation(table *rules.Table, f rules.Facts, asked, own bool) explanation {
	entry, trigger := f.Event.Entry, f.Event.Trigger
	e := explanation{
		Portal: f.Portal, Trigger: trigger, Kind: string(entry.Kind), EntryID: entry.ID,
		Title: entry.Title, ParentID: entry.ParentID, OwnEvent: own, Rules: []verdict{},
		MaybeOwn: !asked && table.Wants(f.Portal, trigger) && event.OwnWork(trigger),
	}
	if f.Room != nil {
		e.Room = &room{f.Room.ID, f.Room.Title}
	}
	if !asked {
		f.OwnKnown = true // what is open about that is told apart from the rules
	}
	open := undecided{facts: &f, needs: !own && table.Needs(&f) != 0}
	verdicts := table.Explain(&f)
	specs := table.Rules()
	// A fallback is tried after all the others, so what is open about them comes first.
	for _, fallback := range []bool{false, true} {
		for i, v := range verdicts {
			if specs[i].Fallback == fallback {
				open.look(i, &specs[i].Spec, v)
			}
		}
	}
	for i, v := range verdicts {
		out := verdict{
			Rule: v.Rule, Matched: v.Matched, Undecided: slices.Contains(open.rules, i),
			Condition: v.Condition, Want: v.Want, Got: v.Got, Error: v.Err, Notes: v.Notes,
		}
		for _, m := range v.Matches {
			out.Matches = append(out.Matches, match{m.Action, m.Destination, m.Path, m.Conflict})
		}
		for _, s := range v.Suppressed {
			out.Dropped = append(out.Dropped, suppressed{match{s.Action, s.Destination, s.Path, s.Conflict}, s.Reason})
		}
		e.Rules = append(e.Rules, out)
	}
	return e
}

// undecided finds the rules whose verdict could change if the portal were asked: those whose
// own conditions rest on something unknown, and those that depend on such a rule.
type undecided struct {
	facts *rules.Facts
	needs bool // something is unknown that could matter
	rules []int

	any, stops, moves bool // among them: any at all, one that stops, one that moves
}

func (u *undecided) look(i int, spec *rules.Spec, v rules.Verdict) {
	if !u.needs {
		return
	}
	open := false
	switch {
	case v.Condition == rules.OnSource:
		open = slices.ContainsFunc(spec.Routes, u.isOpen)
	case v.Condition == rules.OnWhen || v.Condition == rules.OnPath:
		// An expression that failed by itself stays failed.
		open = v.Err != "" && v.Got == v.Err
	case v.Matched:
		open = u.stops || u.any && spec.Fallback || u.moves && spec.Action == event.Move
	}
	if !open {
		return
	}
	u.rules = append(u.rules, i)
	u.any = true
	u.stops = u.stops || spec.Stop
	u.moves = u.moves || spec.Action == event.Move
}

// isOpen reports whether asking the portal could show that the entry lies in a source.
func (u *undecided) isOpen(r rules.Route) bool {
	switch {
	case r.SourceKind == rules.TagSource && u.facts.Room != nil && !u.facts.RoomTagsKnown:
		return true
	case u.facts.ChainKnown:
		return false
	case r.SourceKind == rules.TagSource || r.SourceKind == rules.TitleSource:
		return true
	}
	// Without subfolders, the folder that the delivery names is all that matters.
	return r.Subfolders || u.facts.Event.Entry.ParentID == ""
}

// print writes the explanation for people.
func (e explanation) print(w io.Writer) {
	fmt.Fprintf(w, "%s on portal %s: %s %s %q", e.Trigger, e.Portal, e.Kind, e.EntryID, e.Title)
	if e.ParentID != "" {
		fmt.Fprintf(w, " in folder %s", e.ParentID)
	}
	if e.Room != nil {
		fmt.Fprintf(w, ", room %s %q", e.Room.ID, e.Room.Title)
	}
	fmt.Fprint(w, "\n\n")
	if e.OwnEvent {
		fmt.Fprint(w, "The gateway caused this event itself: only rules with own_events see it.\n\n")
	}
	if e.MaybeOwn {
		fmt.Fprint(w, "If the gateway caused this event itself, only rules with own_events see it; --online tells.\n\n")
	}
	matched, open, elsewhere := 0, 0, 0
	for _, v := range e.Rules {
		if v.Condition == rules.OnPortal {
			elsewhere++
			continue
		}
		v.print(w)
		switch {
		case v.Undecided:
			open++
		case v.Matched:
			matched++
		}
	}
	fmt.Fprintf(w, "\n%d of %s", matched, count(len(e.Rules)-elsewhere, "rule"))
	if matched == 1 {
		fmt.Fprint(w, " matches")
	} else {
		fmt.Fprint(w, " match")
	}
	if open > 0 {
		fmt.Fprintf(w, ", %d cannot be told without asking the portal (--online)", open)
	}
	if elsewhere > 0 {
		fmt.Fprintf(w, "; %s of other portals", count(elsewhere, "rule"))
	}
	fmt.Fprintln(w, ".")
}

func (v verdict) print(w io.Writer) {
	line := func(word, format string, args ...any) {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 16))
		fmt.Fprintf(w, "         %-5s  %s\n", word, text)
	}
	mark, condition := "no", ": "+v.Condition
	switch {
	case v.Condition == rules.OnEnabled:
		fmt.Fprintf(w, "  off  %s\n", v.Rule)
		return
	case v.Undecided:
		mark = "?"
	case v.Matched:
		mark = "yes"
	}
	if v.Matched {
		condition = ""
	}
	fmt.Fprintf(w, "  %-3s  %s%s\n", mark, v.Rule, condition)
	if !v.Matched {
		line("wants", "%s", v.Want)
		if v.Got != "" {
			line("found", "%s", v.Got)
		}
		if v.Error != "" && v.Error != v.Got {
			line("error", "%s", v.Error)
		}
		return
	}
	for _, m := range v.Matches {
		line(string(m.Action), "to %s, on conflict %s", m.where(), m.Conflict)
	}
	for _, s := range v.Dropped {
		line("not", "%s to %s: %s", s.Action, s.where(), s.Reason)
	}
	for _, n := range v.Notes {
		line("note", "%s", n)
	}
	if v.Undecided {
		line("if", "no other rule marked ? comes before it")
	}
}

func portalNames(c *config.Config) string {
	names := make([]string, len(c.Portals))
	for i, p := range c.Portals {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}
