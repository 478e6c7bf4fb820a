package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// Explanation is what the rules make of a delivery.
type Explanation struct {
	Portal   string     `json:"portal"`
	Trigger  string     `json:"trigger"`
	Kind     event.Kind `json:"entry_kind" enum:"file,folder"`
	EntryID  string     `json:"entry_id"`
	Title    string     `json:"title"`
	ParentID string     `json:"folder_id,omitempty" doc:"the folder it lies in"`
	Room     *Room      `json:"room,omitempty" doc:"the room it lies in, where that is known"`
	OwnEvent bool       `json:"own_event,omitempty" doc:"the gateway caused the event, so that only rules with own_events see it"`
	MaybeOwn bool       `json:"maybe_own_event,omitempty" doc:"the gateway may have caused the event; the portal was not asked"`
	Stored   *Stored    `json:"stored,omitempty" doc:"what became of the event, where it is a stored one"`
	Rules    []Verdict  `json:"rules" doc:"in the order of the rules file"`

	one bool // a rule was asked for by its name
}

// Stored is what became of a stored event when it was routed, by the rules of that time.
type Stored struct {
	ID     int64            `json:"id"`
	State  event.EventState `json:"state" enum:"pending,routed,ignored,failed"`
	Reason string           `json:"reason,omitempty"`
}

// Room is the room an entry lies in.
type Room struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

// Verdict is what became of one rule.
type Verdict struct {
	Rule      string       `json:"rule"`
	Matched   bool         `json:"matched"`
	Undecided bool         `json:"undecided,omitempty" doc:"asking the portal could turn the verdict round"`
	Condition string       `json:"condition,omitempty" doc:"the first condition that failed"`
	Want      string       `json:"want,omitempty" doc:"what the rule asks for"`
	Got       string       `json:"got,omitempty" doc:"what there is"`
	Error     string       `json:"error,omitempty" doc:"why the condition could not be evaluated"`
	Matches   []Match      `json:"matches,omitempty" doc:"the transfers it leads to"`
	Notes     []string     `json:"notes,omitempty" doc:"what else there is to know about the transfers"`
	Dropped   []Suppressed `json:"suppressed,omitempty" doc:"moves it asks for that do not happen"`
}

// Match is a transfer that a rule leads to.
type Match struct {
	Action      event.Action   `json:"action" enum:"copy,move"`
	Destination string         `json:"destination" doc:"the destination folder's id"`
	Path        []string       `json:"path,omitempty" doc:"folders below the destination, made where they are missing"`
	Conflict    event.Conflict `json:"conflict" enum:"duplicate,skip,overwrite"`
}

// where names the destination for people.
func (m Match) where() string {
	if len(m.Path) == 0 {
		return fmt.Sprintf("folder %s", m.Destination)
	}
	return fmt.Sprintf("%q below folder %s", strings.Join(m.Path, "/"), m.Destination)
}

// Suppressed is a move that does not happen, and why.
type Suppressed struct {
	Match
	Reason string `json:"reason"`
}

// New explains what the rules make of an event. Asked says that the portal was asked for all
// the rules need, own that it was found to be the gateway's own work.
func New(table *rules.Table, f rules.Facts, asked, own bool) Explanation {
	entry, trigger := f.Event.Entry, f.Event.Trigger
	e := Explanation{
		Portal: f.Portal, Trigger: trigger, Kind: entry.Kind, EntryID: string(entry.ID),
		Title: entry.Title, ParentID: string(entry.ParentID), OwnEvent: own, Rules: []Verdict{},
		MaybeOwn: !asked && table.Wants(f.Portal, trigger) && event.OwnWork(trigger),
	}
	if f.Room != nil {
		e.Room = &Room{string(f.Room.ID), f.Room.Title}
	}
	if !asked {
		f.OwnKnown = true // what is open about that is told apart from the rules
	}
	open := undecided{needs: !own && table.Needs(&f) != 0}
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
		out := Verdict{
			Rule: v.Rule, Matched: v.Matched, Undecided: slices.Contains(open.rules, i),
			Condition: v.Condition, Want: v.Want, Got: v.Got, Error: v.Err, Notes: v.Notes,
		}
		for _, m := range v.Matches {
			out.Matches = append(out.Matches, Match{m.Action, string(m.Destination), m.Path, m.Conflict})
		}
		for _, s := range v.Suppressed {
			out.Dropped = append(out.Dropped, Suppressed{Match{s.Action, string(s.Destination), s.Path, s.Conflict}, s.Reason})
		}
		e.Rules = append(e.Rules, out)
	}
	return e
}

// undecided finds the rules whose verdict could change if the portal were asked: those whose
// own conditions rest on something unknown, and those that depend on such a rule.
type undecided struct {
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
	case v.Unknown:
		open = true
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

// Only keeps the verdict on one rule.
func (e Explanation) Only(rule string) (Explanation, error) {
	names := make([]string, len(e.Rules))
	for i, v := range e.Rules {
		if v.Rule == rule {
			e.Rules, e.one = []Verdict{v}, true
			return e, nil
		}
		names[i] = v.Rule
	}
	if near := rules.Nearest(rule, names); near != "" {
		return e, fmt.Errorf("there is no rule %s, did you mean %s?", rule, near)
	}
	return e, fmt.Errorf("there is no rule %s", rule)
}

// maxPrinted is how many rules are printed in full. Of more, those that do not match are only
// counted: nobody reads through thousands.
const maxPrinted = 100

// Print writes the explanation for people.
func (e Explanation) Print(w io.Writer) {
	if e.Stored != nil {
		fmt.Fprintf(w, "event %d is %s", e.Stored.ID, e.Stored.State)
		if e.Stored.Reason != "" {
			fmt.Fprintf(w, ": %s", e.Stored.Reason)
		}
		fmt.Fprint(w, "\nWhat the rules in use now make of it:\n\n")
	}
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
	matched, open, elsewhere, left := 0, 0, 0, 0
	for _, v := range e.Rules {
		if v.Condition == rules.OnPortal && !e.one {
			elsewhere++
			continue
		}
		if len(e.Rules) <= maxPrinted || v.Matched || v.Undecided {
			v.print(w)
		} else {
			left++
		}
		switch {
		case v.Undecided:
			open++
		case v.Matched:
			matched++
		}
	}
	if left > 0 {
		fmt.Fprintf(w, "  and %s that did not match: --rule NAME says why one did not, -o json why each\n", countRules(left))
	}
	fmt.Fprintf(w, "\n%d of %s", matched, countRules(len(e.Rules)-elsewhere))
	if matched == 1 {
		fmt.Fprint(w, " matches")
	} else {
		fmt.Fprint(w, " match")
	}
	if open > 0 {
		fmt.Fprintf(w, ", %d cannot be told without asking the portal (--online)", open)
	}
	if elsewhere > 0 {
		fmt.Fprintf(w, "; %s of other portals", countRules(elsewhere))
	}
	fmt.Fprintln(w, ".")
}

func (v Verdict) print(w io.Writer) {
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

func countRules(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}
