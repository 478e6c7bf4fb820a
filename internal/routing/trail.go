package routing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// trail is what the gateway's own work may have done to an entry before: the steps, each a rule
// and the destination it names, of every transfer that could have caused the event.
//
// A step is never taken twice in a chain. As a chain only grows, and rules name a limited number
// of destinations, every chain ends while the rules stay as they are, whatever tags, titles and
// paths make of the way.
type trail []string

// maxTrail bounds a trail that is kept with a transfer.
const maxTrail = 200

// causedWithin is how long a transfer may have ended before an event that it caused: far more than
// the clocks of the portal and the gateway are apart.
const causedWithin = time.Hour

// trail reads the trail of an event that the gateway caused. Other events have none.
func (r *Router) trail(ctx context.Context, snap Snapshot, portal Portal, f *rules.Facts, pending store.PendingEvent, matches []rules.Match) (trail, error) {
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
	offset, err := portal.Clock(ctx)
	if err != nil {
		return nil, err
	}
	happened := f.Event.CreatedOn.Add(-offset)
	if pending.ReceivedAt.Before(happened) {
		happened = pending.ReceivedAt
	}
	inForce := sync.OnceValue(func() map[string]bool { return steps(snap.Rules) })
	return r.o.Store.Trail(ctx, f.Portal, f.Event.Entry.ParentID, above, happened.Add(-causedWithin),
		func(step string) bool { return inForce()[step] })
}

// steps are all that the rules can take.
func steps(t *rules.Table) map[string]bool {
	all := map[string]bool{}
	for _, rule := range t.Rules() {
		if rule.Disabled {
			continue
		}
		for _, route := range rule.Routes {
			all[step(rule.Name, route.Destination)] = true
		}
	}
	return all
}

func step(rule string, destination event.ID) string { return rule + " " + string(destination) }

// with returns the trail with one more step, or an error where that step was taken before.
func (t trail) with(m rules.Match) ([]string, error) {
	step := step(m.Rule, m.Destination)
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
