package routing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// trail is what the gateway's own work may have done to an entry before: the steps, each a rule
// and the destination it names, of every transfer that could have caused the event.
//
// A step is never taken twice in a chain. As a chain only grows, and rules name a limited number
// of destinations, every chain ends, whatever tags, titles and paths make of the way.
type trail []string

// maxTrail bounds a trail that is kept with a transfer.
const maxTrail = 200

// trail reads the trail of an event that the gateway caused. Other events have none.
func (r *Router) trail(ctx context.Context, portal Portal, f *rules.Facts, matches []rules.Match) (trail, error) {
	if !f.Own || len(matches) == 0 {
		return nil, nil
	}
	if !f.ChainKnown {
		if err := r.locator.fetch(ctx, portal, f, rules.NeedChain); err != nil {
			return nil, err
		}
	}
	var above []event.ID
	for _, folder := range f.Chain {
		if folder.ID != f.Event.Entry.ParentID {
			above = append(above, folder.ID)
		}
	}
	steps, err := r.o.Store.Trail(ctx, f.Portal, f.Event.Entry.ParentID, above)
	return steps, err
}

// with returns the trail with one more step, or an error where that step was taken before.
func (t trail) with(m rules.Match) ([]string, error) {
	step := m.Rule + " " + string(m.Destination)
	switch {
	case slices.Contains(t, step):
		return nil, fmt.Errorf("stopped: the gateway's own work would go round in a circle (%s)", strings.Join(t.rules(), ", "))
	case len(t) >= maxTrail:
		return nil, fmt.Errorf("stopped: the gateway's own work was handed on by %d rules and destinations", len(t))
	}
	return append(slices.Clone(t), step), nil
}

// rules lists the rules of a trail, each once.
func (t trail) rules() []string {
	var names []string
	for _, step := range t {
		name, _, _ := strings.Cut(step, " ")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
