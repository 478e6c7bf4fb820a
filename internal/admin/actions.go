package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// registerActions adds what changes something.
func (a api) registerActions(routes huma.API) {
	huma.Post(routes, "/api/v1/events/{id}/replay", a.replay, summary("Has an event routed again by the rules in use, doing nothing twice"))
	huma.Post(routes, "/api/v1/transfers/{id}/retry", a.actOn(store.Retry), summary("Queues a failed or cancelled transfer again"))
	huma.Post(routes, "/api/v1/transfers/{id}/cancel", a.actOn(store.Cancel), summary("Ends a transfer that is blocked or queued"))
	huma.Post(routes, "/api/v1/transfers/retry", a.actOnMany(store.Retry), summary("Queues many failed transfers again"))
	huma.Post(routes, "/api/v1/transfers/cancel", a.actOnMany(store.Cancel), summary("Ends many transfers that are blocked or queued"))
	huma.Get(routes, "/api/v1/pauses", a.pauses, summary("Lists the rules and portals that are paused"))
	huma.Post(routes, "/api/v1/pauses", a.pause, summary("Holds the transfers of a rule or portal until a time"))
	huma.Delete(routes, "/api/v1/pauses/{scope}/{name}", a.resume, summary("Ends a pause"), func(o *huma.Operation) {
		o.DefaultStatus = http.StatusOK
	})
}

func summary(text string) func(*huma.Operation) {
	return func(o *huma.Operation) { o.Summary = text }
}

// Author names who acts.
type Author struct {
	Author string `header:"X-Author" maxLength:"100" default:"admin API" doc:"who does this; it is kept with what is done"`
}

// problemOf makes an answer of an error of the store or of steer.
func problemOf(err error, missing string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return huma.Error404NotFound(missing)
	case errors.Is(err, store.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, steer.ErrUnknown), errors.Is(err, steer.ErrInvalid):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	return err
}

type replayInput struct {
	Author
	ID int64 `path:"id" minimum:"1" doc:"the id of the event, in the list of events"`
}

type eventOutput struct {
	Body Event
}

func (a api) replay(ctx context.Context, in *replayInput) (*eventOutput, error) {
	missing := fmt.Sprintf("there is no event %d", in.ID)
	if err := a.Actions.Replay(ctx, in.ID, in.Author.Author); err != nil {
		return nil, problemOf(err, missing)
	}
	e, _, err := a.Store.Event(ctx, in.ID)
	if err != nil {
		return nil, problemOf(err, missing)
	}
	return &eventOutput{Body: eventOf(e)}, nil
}

type actInput struct {
	Author
	ID int64 `path:"id" minimum:"1" doc:"the id of the transfer, in the list of transfers"`
}

type transferOutput struct {
	Body Transfer
}

func (a api) actOn(action store.Action) func(context.Context, *actInput) (*transferOutput, error) {
	return func(ctx context.Context, in *actInput) (*transferOutput, error) {
		missing := fmt.Sprintf("there is no transfer %d", in.ID)
		if _, err := a.Store.Transfer(ctx, in.ID); err != nil {
			return nil, problemOf(err, missing)
		}
		done, err := a.Actions.Act(ctx, action, []int64{in.ID}, in.Author.Author)
		if err != nil {
			return nil, err
		}
		if why, refused := done.Refused[in.ID]; refused {
			return nil, huma.Error409Conflict(fmt.Sprintf("transfer %d: %s", in.ID, why))
		}
		t, err := a.Store.Transfer(ctx, in.ID)
		if err != nil {
			return nil, problemOf(err, missing)
		}
		pauses, err := a.Store.Pauses(ctx)
		if err != nil {
			return nil, err
		}
		return &transferOutput{Body: a.transferOf(t, pauses)}, nil
	}
}

// ManyScope says which transfers are meant: by their ids, or by a filter.
type ManyScope struct {
	IDs    []int64       `json:"ids,omitempty" maxItems:"500" doc:"these transfers; nothing else may be given then"`
	All    bool          `json:"all,omitempty" doc:"every transfer that the action is possible with; else a filter is needed"`
	States []event.State `json:"state,omitempty" enum:"blocked,queued,failed,cancelled" doc:"only transfers in these states; without, a retry takes those that failed and a cancellation those that wait"`
	Portal string        `json:"portal,omitempty" doc:"only this portal"`
	Rule   string        `json:"rule,omitempty" doc:"only what this rule caused"`
	Room   string        `json:"room,omitempty" maxLength:"255" doc:"only what came from or went to a room or folder, by its id or a part of its name"`
	Search string        `json:"q,omitempty" maxLength:"255" doc:"only entries with this in their title"`
	Since  *time.Time    `json:"since,omitempty" doc:"only what was created at this time or later"`
	Until  *time.Time    `json:"until,omitempty" doc:"only what was created before this time"`
	DryRun bool          `json:"dry_run,omitempty" doc:"only say how many there are"`
}

type manyInput struct {
	Author
	Body ManyScope
}

// ManyResult says what was done.
type ManyResult struct {
	Matched int           `json:"matched" doc:"how many transfers were meant and can be acted on"`
	Acted   int           `json:"acted" doc:"how many were acted on"`
	Refused []Refusal     `json:"refused,omitempty" doc:"of transfers given by their ids, why the others were not"`
	Rooms   []names.Place `json:"rooms,omitempty" doc:"the rooms and folders that room is a part of the name of; one that has it as its id is meant too"`
	Note    string        `json:"note,omitempty" doc:"what is to be known of room: that nothing is called so, or too much"`
}

// Refusal says why a transfer was not acted on.
type Refusal struct {
	ID     int64  `json:"id"`
	Reason string `json:"reason"`
}

type manyOutput struct {
	Body ManyResult
}

func (s ManyScope) filter() store.Filter {
	f := store.Filter{Portal: s.Portal, Rule: s.Rule, Search: s.Search}
	for _, state := range s.States {
		f.States = append(f.States, string(state))
	}
	if s.Since != nil {
		f.Since = *s.Since
	}
	if s.Until != nil {
		f.Until = *s.Until
	}
	return f
}

func (s ManyScope) narrow() bool {
	return len(s.States) > 0 || s.Portal != "" || s.Rule != "" || strings.TrimSpace(s.Room) != "" || s.Search != "" || s.Since != nil || s.Until != nil
}

func (a api) actOnMany(action store.Action) func(context.Context, *manyInput) (*manyOutput, error) {
	return func(ctx context.Context, in *manyInput) (*manyOutput, error) {
		var out manyOutput
		scope := in.Body
		var err error
		switch {
		case len(scope.IDs) > 0 && (scope.All || scope.narrow()):
			return nil, huma.Error422UnprocessableEntity("give ids, or a filter, not both")
		case len(scope.IDs) == 0 && !scope.All && !scope.narrow():
			return nil, huma.Error422UnprocessableEntity(`say which transfers: ids, a filter, or "all": true`)
		case len(scope.IDs) > 0 && scope.DryRun:
			out.Body.Matched = len(scope.IDs)
			return &out, nil
		case len(scope.IDs) > 0:
			done, err := a.Actions.Act(ctx, action, scope.IDs, in.Author.Author)
			if err != nil {
				return nil, err
			}
			out.Body.Matched, out.Body.Acted = len(done.IDs), len(done.IDs)
			for _, id := range slices.Sorted(maps.Keys(done.Refused)) {
				out.Body.Refused = append(out.Body.Refused, Refusal{id, done.Refused[id]})
			}
			return &out, nil
		}
		f := scope.filter()
		found, err := a.Rooms(ctx, scope.Portal, scope.Room)
		switch {
		case err != nil:
			return nil, err
		case !found.Whole():
			return nil, huma.Error409Conflict("nothing was done: " + found.Note(0))
		}
		f.Rooms = found.Filter()
		if len(steer.Scope(action, f).States) == 0 {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("state: in none of these states a %s is possible", action))
		}
		if out.Body.Matched, err = a.Actions.Count(ctx, action, f); err != nil {
			return nil, err
		}
		out.Body.Rooms, out.Body.Note = found.Rooms, found.Note(out.Body.Matched)
		if scope.DryRun {
			return &out, nil
		}
		out.Body.Acted, err = a.Actions.ActOnMany(ctx, action, f, in.Author.Author)
		return &out, err
	}
}

// Pause is a rule or portal whose transfers are held.
type Pause struct {
	Scope     store.PauseScope `json:"scope" enum:"rule,portal"`
	Name      string           `json:"name" doc:"the rule's or portal's"`
	Until     time.Time        `json:"until" doc:"when everything flows again"`
	Reason    string           `json:"reason"`
	Author    string           `json:"author"`
	CreatedAt time.Time        `json:"created_at"`
}

type pausesOutput struct {
	Body struct {
		Pauses []Pause `json:"pauses" doc:"those that end first come first"`
	}
}

func pausesOf(list []store.Pause) []Pause {
	out := make([]Pause, len(list))
	for i, p := range list {
		out[i] = Pause(p)
	}
	return out
}

func (a api) pauses(ctx context.Context, _ *struct{}) (*pausesOutput, error) {
	list, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	var out pausesOutput
	out.Body.Pauses = pausesOf(list)
	return &out, nil
}

type pauseInput struct {
	Author
	Body struct {
		Scope  store.PauseScope `json:"scope" enum:"rule,portal"`
		Name   string           `json:"name" minLength:"1" doc:"the rule's or portal's"`
		Until  time.Time        `json:"until" doc:"when everything flows again; within 90 days"`
		Reason string           `json:"reason" minLength:"1" maxLength:"500"`
	}
}

type pauseOutput struct {
	Body Pause
}

func (a api) pause(ctx context.Context, in *pauseInput) (*pauseOutput, error) {
	p := store.Pause{
		Scope: in.Body.Scope, Name: in.Body.Name, Until: in.Body.Until.UTC(), Reason: in.Body.Reason,
		Author: in.Author.Author, CreatedAt: time.Now().UTC(),
	}
	if err := a.Actions.Pause(ctx, p); err != nil {
		return nil, problemOf(err, "")
	}
	return &pauseOutput{Body: Pause(p)}, nil
}

type resumeInput struct {
	Author
	Scope store.PauseScope `path:"scope" enum:"rule,portal"`
	Name  string           `path:"name" doc:"the rule's or portal's"`
}

func (a api) resume(ctx context.Context, in *resumeInput) (*pausesOutput, error) {
	if err := a.Actions.Resume(ctx, in.Scope, in.Name, in.Author.Author); err != nil {
		return nil, problemOf(err, fmt.Sprintf("%s %s is not paused", in.Scope, in.Name))
	}
	return a.pauses(ctx, nil)
}
