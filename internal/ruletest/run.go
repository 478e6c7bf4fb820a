package ruletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
)

// Result is what became of one test.
type Result struct {
	Case *config.Case

	// Trouble is why the test proves nothing: it does not say enough, or an expression failed.
	Trouble string

	Missing    []Missing  // what was expected and does not happen
	Unexpected []Transfer // what happens and was not expected
}

// Passed reports whether the rules do what the test says.
func (r *Result) Passed() bool {
	return r.Trouble == "" && len(r.Missing) == 0 && len(r.Unexpected) == 0
}

// Transfer is what the rules make of an event.
type Transfer struct {
	Rule     string
	Action   event.Action
	Conflict event.Conflict
	To       event.ID
	Path     string // folders below To; "" is To itself
}

// Missing is an expected transfer that does not happen.
type Missing struct {
	config.Expected
	Why    *rules.Verdict // of the rule it names, where that did not match
	NoRule string         // that there is no such rule; "" where there is, or none is named
}

// Run runs the tests of a file against the rules.
func Run(ctx context.Context, c *config.Config, t *config.Tests) []Result {
	results := make([]Result, len(t.Cases))
	for i := range t.Cases {
		results[i] = run(ctx, c, t, &t.Cases[i])
	}
	return results
}

func run(ctx context.Context, c *config.Config, t *config.Tests, tc *config.Case) Result {
	r := Result{Case: tc}
	facts, err := factsOf(ctx, c, t, &tc.Given)
	own := errors.Is(err, routing.ErrOwnEvent)
	var lacking *notSaid
	switch {
	case errors.As(err, &lacking):
		r.Trouble = lacking.text
		return r
	case err != nil && !own:
		r.Trouble = err.Error()
		return r
	}
	var got []Transfer
	if !own {
		result := c.Rules.Match(&facts)
		var broken []string
		for _, e := range result.Errors {
			broken = append(broken, fmt.Sprintf("rule %s: %s: %s", e.Rule, e.Field, e.Text))
		}
		r.Trouble = strings.Join(broken, "; ")
		for _, m := range result.Matches {
			if to := below(t.Places, m.Destination, m.Path); routing.Stays(facts.Event.Entry, to) != "" {
				continue
			}
			got = append(got, Transfer{m.Rule, m.Action, m.Conflict, m.Destination, strings.Join(m.Path, "/")})
		}
	}
	missing, unexpected := compare(tc.Expect, got)
	r.Unexpected = unexpected
	placed(&facts, t.Places)
	verdicts := c.Rules.Explain(&facts)
	for _, e := range missing {
		r.Missing = append(r.Missing, explained(e, verdicts))
	}
	return r
}

// explained adds to a missing transfer why the rule it names does not lead to it.
func explained(e config.Expected, verdicts []rules.Verdict) Missing {
	m := Missing{Expected: e}
	if e.Rule == "" {
		return m
	}
	names := make([]string, len(verdicts))
	for i := range verdicts {
		names[i] = verdicts[i].Rule
		if names[i] != e.Rule {
			continue
		}
		if !verdicts[i].Matched {
			m.Why = &verdicts[i]
		}
		return m
	}
	m.NoRule = fmt.Sprintf("there is no rule %s", e.Rule)
	if near := rules.Nearest(e.Rule, names); near != "" {
		m.NoRule += fmt.Sprintf(", did you mean %s?", near)
	}
	return m
}

// factsOf is what the gateway would know of the event when it decides.
func factsOf(ctx context.Context, c *config.Config, t *config.Tests, g *config.Given) (rules.Facts, error) {
	name, err := portalOf(c, g)
	if err != nil {
		return rules.Facts{}, err
	}
	ev, err := eventOf(t, g)
	if err != nil {
		return rules.Facts{}, err
	}
	facts := rules.Facts{Portal: name, Event: ev, Now: g.When, AuthorKnown: g.By != nil}
	p := &portal{places: t.Places, given: g, kind: ev.Entry.Kind}
	err = routing.NewLocator(time.Minute, nil).Complete(ctx, routing.Snapshot{
		Rules:  c.Rules,
		Portal: func(string) (routing.Portal, bool) { return p, true },
	}, &facts)
	return facts, err
}

// below finds the folder at the end of a path, or "" where the tests tell of none.
func below(places map[event.ID]*config.Place, at event.ID, path []string) event.ID {
	for _, title := range path {
		next := event.ID("")
		for id, p := range places {
			if p.In != nil && p.In.ID == at && strings.EqualFold(p.Title, title) && (next == "" || id < next) {
				next = id
			}
		}
		if next == "" {
			return ""
		}
		at = next
	}
	return at
}

// placed tells the facts where the entry lies, though no rule that could match asked for it: an
// explanation should not say that it is not known.
func placed(f *rules.Facts, places map[event.ID]*config.Place) {
	at := places[f.Event.Entry.ParentID]
	if f.ChainKnown || at == nil {
		return
	}
	f.ChainKnown, f.RoomTagsKnown = true, true
	for _, p := range at.Chain() {
		f.Chain = append(f.Chain, rules.Folder{ID: p.ID, Title: p.Title})
		f.Room = &rules.Room{ID: p.ID, Title: p.Title, Type: p.Type, Tags: p.Tags}
	}
}

func portalOf(c *config.Config, g *config.Given) (string, error) {
	var names []string
	for _, p := range c.Portals {
		names = append(names, p.Name)
	}
	switch {
	case g.Portal == "" && len(names) == 1:
		return names[0], nil
	case g.Portal == "":
		return "", needs("the rules have several portals: say with portal which one it happens on, one of %s", strings.Join(names, ", "))
	case !slices.Contains(names, g.Portal):
		return "", fmt.Errorf("the rules have no portal %s, only %s", g.Portal, strings.Join(names, ", "))
	}
	return g.Portal, nil
}

// compare pairs what was expected with what happens, and returns what has no partner. An
// expectation may leave open what it does not care about, so that a first partner found may
// have to be given up for another.
func compare(expected []config.Expected, got []Transfer) (missing []config.Expected, unexpected []Transfer) {
	partner := make([]int, len(got)) // the expectation, from 1
	var pair func(e int, tried []bool) bool
	pair = func(e int, tried []bool) bool {
		for i := range got {
			if tried[i] || !fits(&expected[e], &got[i]) {
				continue
			}
			tried[i] = true
			if partner[i] == 0 || pair(partner[i]-1, tried) {
				partner[i] = e + 1
				return true
			}
		}
		return false
	}
	for e := range expected {
		if !pair(e, make([]bool, len(got))) {
			missing = append(missing, expected[e])
		}
	}
	for i := range got {
		if partner[i] == 0 {
			unexpected = append(unexpected, got[i])
		}
	}
	return missing, unexpected
}

func fits(e *config.Expected, t *Transfer) bool {
	return e.Action == t.Action && e.To == t.To && e.Path == t.Path &&
		(e.Rule == "" || e.Rule == t.Rule) && (e.Conflict == "" || e.Conflict == t.Conflict)
}
