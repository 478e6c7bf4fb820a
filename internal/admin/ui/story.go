package ui

import (
	"cmp"
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

// story tells what happened to a transfer, oldest first.
func (u *UI) story(t store.Transfer, ev store.StoredEvent) []step {
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
	add(step{At: t.CreatedAt, What: fmt.Sprintf("Rule %s matched: %s to %s", t.Rule, t.Action, u.folderName(t.Portal, t.Destination)), Link: "/rules#" + t.Rule})
	if t.QueuedAt.After(t.CreatedAt) {
		add(step{At: t.QueuedAt, What: "Queued again"})
	}
	add(step{At: t.SentAt, What: "First sent to the portal", Why: operationText(t)})
	if !t.FailingSince.IsZero() {
		add(step{At: t.FailingSince, Class: "failed", What: "First attempt that failed"})
	}
	switch {
	case t.State.Ended():
		add(step{At: t.EndedAt, Class: string(t.State), What: outcomeText(t), Why: t.Reason})
	case t.State == event.Queued && t.NextAttemptAt.After(u.now()):
		add(step{At: t.NextAttemptAt, Class: "queued", What: "Next attempt", Why: t.Reason})
	default:
		add(step{At: u.now(), Class: string(t.State), What: "Now " + string(t.State), Why: t.Reason})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	return steps
}

func operationText(t store.Transfer) string {
	if t.OperationID == 0 {
		return ""
	}
	return fmt.Sprintf("last as part of operation %d", t.OperationID)
}

func outcomeText(t store.Transfer) string {
	switch {
	case t.State == event.Done && t.ResultTitle != "" && t.ResultTitle != t.Title:
		return fmt.Sprintf("Done: arrived as %q", t.ResultTitle)
	case t.State == event.Done:
		return "Done"
	case t.State == event.Failed && t.Attempts > 1:
		return fmt.Sprintf("Failed after %d attempts", t.Attempts)
	case t.State == event.Failed:
		return "Failed"
	case t.State == event.Skipped:
		return "Skipped"
	}
	return "Cancelled"
}

// folderName is what a folder is called, or its id.
func (u *UI) folderName(portal string, id event.ID) string {
	if title := u.names.of(portal, id); title != "" {
		return fmt.Sprintf("%q", title)
	}
	return "folder " + string(id)
}
