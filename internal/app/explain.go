package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"docspace-router/internal/admin"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
)

// explain says what the rules in use make of an event, asking the portal as routing would. It
// remembers nothing: people ask it after they have changed something.
func (a *App) explain(ctx context.Context, portal string, ev event.Event) (explain.Explanation, error) {
	v := a.current.Load()
	return a.explainBy(ctx, v, v.config.Rules, routing.NewLocator(time.Minute, nil), portal, ev)
}

// explainBy explains by a table that need not be the version's own.
func (a *App) explainBy(ctx context.Context, v *version, table *rules.Table, locator *routing.Locator, portal string, ev event.Event) (explain.Explanation, error) {
	if portal == "" {
		if len(v.config.Portals) != 1 {
			return explain.Explanation{}, fmt.Errorf("%w: there are several, say which one sent it", admin.ErrUnknownPortal)
		}
		portal = v.config.Portals[0].Name
	}
	if v.portals[portal] == nil {
		return explain.Explanation{}, fmt.Errorf("%w: %s is not in the rules file", admin.ErrUnknownPortal, portal)
	}
	facts := rules.Facts{Portal: portal, Event: ev, Now: time.Now()}
	snapshot := v.snapshot()
	snapshot.Rules = table
	err := locator.Complete(ctx, snapshot, &facts)
	own := errors.Is(err, routing.ErrOwnEvent)
	if err != nil && !own {
		return explain.Explanation{}, fmt.Errorf("ask portal %s: %w", portal, err)
	}
	return explain.New(table, facts, true, own), nil
}
