package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// step is one entry of a transfer's timeline.
type step struct {
	At    time.Time
	Class string // the state whose colour it has; empty: none
	What  string
	Why   string
	Link  string
}

// story tells what happened to a transfer, oldest first, and what comes next.
func (u *UI) story(ctx context.Context, t transferRow, ev store.StoredEvent) ([]step, error) {
	var steps []step
	add := func(s step) {
		if !s.At.IsZero() {
			steps = append(steps, s)
		}
	}
	if !ev.HappenedAt.Equal(ev.ReceivedAt) {
		add(step{At: ev.HappenedAt, What: fmt.Sprintf("%s on portal %s", ev.Trigger, ev.Portal)})
	}
	add(step{At: ev.ReceivedAt, What: "Delivery accepted as event " + fmt.Sprint(ev.ID), Link: fmt.Sprintf("/events/%d", ev.ID)})
	add(step{At: t.CreatedAt, What: fmt.Sprintf("Rule %s matched: %s from %s to %s", t.Rule, t.Action, u.folderName(t.Portal, t.Source), u.folderName(t.Portal, t.Destination)), Link: "/rules#" + t.Rule})

	op, err := u.o.Store.Operation(ctx, t.OperationID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		sent := fmt.Sprintf("Sent alone in operation %d", op.ID)
		if op.Size > 1 {
			sent = fmt.Sprintf("Sent as one of %d transfers in operation %d", op.Size, op.ID)
		}
		add(step{At: op.StartedAt, Class: "sending", What: sent, Why: op.Error})
	}
	attempts, err := u.o.Store.Attempts(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range attempts {
		add(attemptStep(a))
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	switch last := len(attempts) - 1; {
	case t.State.Ended() && last >= 0 && attempts[last].Outcome == string(t.State): // told already
	case t.State.Ended():
		add(step{At: t.EndedAt, Class: string(t.State), What: outcomeText(t.Transfer), Why: t.Reason})
	case t.Hold != nil:
		add(step{At: t.Hold.Until, Class: "held", What: "Held until then", Why: t.Reason})
	case t.State == event.Queued && t.NextAttemptAt.After(u.now()):
		add(step{At: t.NextAttemptAt, Class: "queued", What: "Next attempt"})
	default:
		add(step{At: u.now(), Class: string(t.State), What: "Now " + string(t.State), Why: t.Reason})
	}
	return steps, nil
}

// attemptStep tells of an attempt that did not end as done, or of what somebody did.
func attemptStep(a store.Attempt) step {
	s := step{At: a.LastAt, Why: a.Reason}
	switch a.Outcome {
	case "again":
		s.Class, s.What = "queued", "Attempt without success, to be tried again"
	case "failed":
		s.Class, s.What = "failed", "Failed"
	case "skipped":
		s.Class, s.What = "skipped", "Skipped"
	case "cancelled":
		s.Class, s.What = "cancelled", "Cancelled"
	default:
		s.What = "Retried"
	}
	if a.Times > 1 {
		s.What += fmt.Sprintf(" (%d times since %s)", a.Times, a.At.UTC().Format("15:04:05"))
	}
	return s
}

func outcomeText(t store.Transfer) string {
	switch {
	case t.State == event.Done && t.ResultTitle != "" && t.ResultTitle != t.Title:
		return fmt.Sprintf("Done: arrived as %q", t.ResultTitle)
	case t.State == event.Done:
		return "Done"
	case t.State == event.Failed:
		return "Failed"
	case t.State == event.Skipped:
		return "Skipped"
	}
	return "Cancelled"
}

// folderName is what a folder is called, or its id.
func (u *UI) folderName(portal string, id event.ID) string {
	if title := u.o.Names.Of(portal, id); title != "" {
		return fmt.Sprintf("%q", title)
	}
	return "folder " + string(id)
}
