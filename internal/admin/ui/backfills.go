package ui

import (
	"context"
	"fmt"
	"net/http"

	"docspace-router/internal/backfill"
)

// Backfills is what tells of backfills under way, and ends them.
type Backfills interface {
	Running(ctx context.Context) ([]backfill.Status, error)
	Cancel(ctx context.Context, id int64, author string) (backfill.Status, error)
}

// backfillView is a backfill under way as people see it.
type backfillView struct {
	backfill.Status
	Done, Found int // of its transfers
}

// backfillsNow tells of the backfills under way. Counting their transfers is kept for a moment like
// the counts by state.
func (u *UI) backfillsNow(ctx context.Context) ([]backfillView, error) {
	if u.o.Backfills == nil {
		return nil, nil
	}
	running, err := u.backfills.get(ctx, countsFor, u.o.Backfills.Running)
	if err != nil {
		return nil, err
	}
	out := make([]backfillView, len(running))
	for i, s := range running {
		out[i].Status = s
		out[i].Done, out[i].Found = s.Ended()
	}
	return out, nil
}

// backfillBeat changes with what is told of the backfills under way, beside their transfers.
func (u *UI) backfillBeat(ctx context.Context) (string, error) {
	if u.o.Backfills == nil {
		return "", nil
	}
	running, err := u.o.Store.RunningBackfills(ctx)
	if err != nil {
		return "", err
	}
	var text string
	for _, b := range running {
		text += fmt.Sprintf("|%d %s %s", b.ID, b.Note, b.Tally)
	}
	return text, nil
}

func (u *UI) cancelBackfill(w http.ResponseWriter, r *http.Request) error {
	if u.o.Backfills == nil {
		return statusError{http.StatusNotFound, "There are no backfills."}
	}
	id, err := pathID(r)
	if err != nil {
		return err
	}
	s, err := u.o.Backfills.Cancel(r.Context(), id, author(r))
	if err != nil {
		return problemOf(err)
	}
	u.backfills.drop()
	return u.back(w, r, "/", fmt.Sprintf("The backfill of rule %s is cancelled. What was on its way arrives.", s.Rule))
}
