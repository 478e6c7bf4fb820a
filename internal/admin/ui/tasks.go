package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"docspace-router/internal/guard"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

const (
	waitingTasks = 8   // how many may wait their turn
	keptTasks    = 20  // how many that have ended are remembered
	taskStep     = 200 // transfers per transaction
)

// task is an action on many transfers, which takes a while. It lives in this process: a restart
// ends it, which the list of transfers then shows.
type task struct {
	ID     int64
	Action store.Action
	Author string
	Total  int // how many there were when it was asked for
	filter store.Filter

	mu             sync.Mutex // guards the fields below
	done, refused  int
	started, ended bool
	problem        string
}

// taskView is how a task stands.
type taskView struct {
	ID             int64
	Action         store.Action
	Total          int
	Done, Refused  int
	Started, Ended bool
	Problem        string
	Share          int // in percent
}

func (t *task) view() taskView {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := taskView{
		ID: t.ID, Action: t.Action, Total: t.Total, Done: t.done, Refused: t.refused, Started: t.started, Ended: t.ended, Problem: t.problem,
	}
	v.Share = min(100, (t.done+t.refused)*100/max(1, t.Total))
	if v.Ended && v.Problem == "" {
		v.Share = 100
	}
	return v
}

type tasks struct {
	actions *steer.Actions
	store   *store.Store
	queue   chan *task

	mu   sync.Mutex // guards the fields below
	last int64
	all  []*task
}

func newTasks(actions *steer.Actions, s *store.Store) *tasks {
	return &tasks{actions: actions, store: s, queue: make(chan *task, waitingTasks)}
}

func (ts *tasks) add(action store.Action, f store.Filter, total int, author string) (*task, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := &task{ID: ts.last + 1, Action: action, Author: author, Total: total, filter: f}
	select {
	case ts.queue <- t:
	default:
		return nil, statusError{http.StatusServiceUnavailable, "Several of these are under way already. Wait for them to end."}
	}
	ts.last++
	ts.all = append(ts.all, t)
	if len(ts.all) > keptTasks {
		ts.all = slices.Delete(ts.all, 0, 1)
	}
	return t, nil
}

func (ts *tasks) find(id int64) (*task, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, statusError{http.StatusNotFound, "Nothing is known of this here. It may run in another replica; the list of transfers shows how far it is."}
}

// run works tasks one after another until ctx ends.
func (ts *tasks) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-ts.queue:
			err := guard.Call(func() error { return ts.work(ctx, t) })
			t.mu.Lock()
			t.ended = true
			switch {
			case errors.Is(err, context.Canceled):
				t.problem = "the gateway stopped"
			case err != nil:
				t.problem = err.Error()
			}
			t.mu.Unlock()
		}
	}
}

// work goes through the list once, from the newest to the oldest.
func (ts *tasks) work(ctx context.Context, t *task) error {
	t.mu.Lock()
	t.started = true
	t.mu.Unlock()
	f := t.filter
	for f.Limit, f.Before = taskStep, 0; ; {
		page, next, err := ts.store.Transfers(ctx, f)
		if err != nil {
			return err
		}
		ids := make([]int64, len(page))
		for i, transfer := range page {
			ids[i] = transfer.ID
		}
		if len(ids) > 0 {
			done, err := ts.actions.Act(ctx, t.Action, ids, t.Author)
			if err != nil {
				return err
			}
			t.mu.Lock()
			t.done, t.refused = t.done+len(done.IDs), t.refused+len(done.Refused)
			t.mu.Unlock()
		}
		if next == 0 {
			return nil
		}
		f.Before = next
	}
}

// task shows how far an action on many transfers is.
func (u *UI) task(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	t, err := u.tasks.find(id)
	if err != nil {
		return err
	}
	v := t.view()
	title := "Retrying transfers"
	if v.Action == store.Cancel {
		title = "Cancelling transfers"
	}
	if !v.Ended { // without scripts the page loads itself anew
		w.Header().Set("Refresh", fmt.Sprintf("2; url=/tasks/%d", id))
	}
	return u.render(w, r, http.StatusOK, "task", view{Title: title, Nav: "/transfers", Body: v})
}
