package routing

import (
	"context"
	"slices"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// A backfill asks about entries that it found listed on the portal. Each is presented as an event
// and decided on as any other, for the one rule that the event owes.

// Prospect is what one rule would make of an event.
type Prospect struct {
	Matches []rules.Match
	// Condition is the first of the rule's conditions that failed where there is no match, one of
	// those that rules.Verdict names, and Why says how.
	Condition, Why string
}

// Prospect says what one rule makes of an event, and stores and changes nothing. The error is
// ErrOwnEvent where no rule wants the gateway's own work, and else the portal's.
func (r *Router) Prospect(ctx context.Context, snap Snapshot, rule string, p store.PendingEvent) (Prospect, error) {
	ev, err := event.Parse(p.Body)
	if err != nil {
		return Prospect{}, err
	}
	facts := rules.Facts{Portal: p.Portal, Event: ev, Now: r.now()}
	if err := r.locator.Complete(ctx, snap, &facts); err != nil {
		return Prospect{}, err
	}
	matches := slices.DeleteFunc(snap.Rules.Match(&facts).Matches, func(m rules.Match) bool { return m.Rule != rule })
	if len(matches) > 0 {
		return Prospect{Matches: matches}, nil
	}
	for _, v := range snap.Rules.Explain(&facts) {
		switch {
		case v.Rule != rule:
		case v.Unknown:
			// Nobody asked for what the rule rests on, because an earlier rule keeps it from being tried.
			return Prospect{Condition: rules.OnStop, Why: v.Got}, nil
		default:
			return Prospect{Condition: v.Condition, Why: v.Got}, nil
		}
	}
	return Prospect{Condition: rules.OnEnabled, Why: "the rule is not in the rules file any more"}, nil
}

// Decide decides on events as a route job does.
func (r *Router) Decide(ctx context.Context, snap Snapshot, pending []store.PendingEvent) []store.Decision {
	return r.decideAll(ctx, snap, pending)
}

// Report tells of decisions that were stored, in the log and the metrics.
func (r *Router) Report(ctx context.Context, pending []store.PendingEvent, decisions []store.Decision, took time.Duration) {
	r.report(ctx, pending, decisions, took)
}

// Self is the id of the account that the portal's key acts as.
func (r *Router) Self(ctx context.Context, name string, portal Portal) (string, error) {
	return r.locator.selfID(ctx, name, portal)
}

// budget is what an event's folders are created from. Those of a backfill can wait.
func (r *Router) budget(portal string, ev event.Event) store.Budget {
	b := r.o.Budget(portal)
	b.Spare = store.BackfillOf(ev.WebhookID) != 0
	return b
}
