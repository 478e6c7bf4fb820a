package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// registerStories adds what tells everything of one thing, and the rules.
func (a api) registerStories(routes huma.API) {
	huma.Get(routes, "/api/v1/events/{id}", a.eventStory, summary("Tells of one event: its body, and the transfers it caused"))
	huma.Get(routes, "/api/v1/transfers/{id}", a.transferStory, summary("Tells of one transfer: what caused it, and what became of each attempt"))
	huma.Get(routes, "/api/v1/rules", a.ruleList, summary("Lists the rules in use, with how often each sent an event on"))
}

// EventStory is all that is known of an event.
type EventStory struct {
	Event
	Body      any        `json:"body" doc:"the delivery as it came; a text where it is no JSON"`
	Transfers []Transfer `json:"transfers" doc:"what it caused, oldest first"`
}

type eventStoryInput struct {
	ID int64 `path:"id" minimum:"1" doc:"the id of the event, in the list of events"`
}

type eventStoryOutput struct {
	Body EventStory
}

func (a api) eventStory(ctx context.Context, in *eventStoryInput) (*eventStoryOutput, error) {
	e, body, err := a.Store.Event(ctx, in.ID)
	if err != nil {
		return nil, problemOf(err, fmt.Sprintf("there is no event %d", in.ID))
	}
	transfers, err := a.Store.EventTransfers(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	pauses, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	story := EventStory{Event: eventOf(e), Body: string(body), Transfers: make([]Transfer, len(transfers))}
	if json.Valid(body) {
		story.Body = json.RawMessage(body)
	}
	for i, t := range transfers {
		story.Transfers[i] = a.transferOf(t, pauses)
	}
	return &eventStoryOutput{Body: story}, nil
}

// TransferStory is all that is known of a transfer.
type TransferStory struct {
	Transfer
	Delivery        *Event     `json:"delivery,omitempty" doc:"the event that caused it"`
	LastOperation   *Operation `json:"last_operation,omitempty" doc:"the last operation it was part of, unless that was deleted as old"`
	History         []Attempt  `json:"history" doc:"attempts that did not end as done, and what people did, oldest first"`
	ResultLink      string     `json:"result_link,omitempty" doc:"where a person opens the result in DocSpace"`
	DestinationLink string     `json:"destination_link,omitempty" doc:"where a person opens the destination folder in DocSpace"`
}

// Operation is one call to a portal that carried a batch of transfers.
type Operation struct {
	ID        int64                `json:"id"`
	State     store.OperationState `json:"state" enum:"sending,running,settled"`
	PortalID  string               `json:"portal_id,omitempty" doc:"DocSpace's id of it"`
	Transfers int                  `json:"transfers" doc:"how many it began with"`
	Done      int                  `json:"done" doc:"how many of them it is known to have done"`
	Error     string               `json:"error,omitempty"`
	StartedAt time.Time            `json:"started_at"`
	SettledAt *time.Time           `json:"settled_at,omitempty"`
}

// Attempt is one attempt of a transfer, or what a person did with it.
type Attempt struct {
	Operation int64     `json:"operation,omitempty"`
	Outcome   string    `json:"outcome" enum:"again,skipped,failed,cancelled,queued" doc:"again: to be tried again; queued: somebody queued it again"`
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at"`
	LastAt    time.Time `json:"last_at" doc:"the last time it went like this in a row"`
	Times     int       `json:"times" doc:"how often it went like this in a row"`
}

type transferStoryInput struct {
	ID int64 `path:"id" minimum:"1" doc:"the id of the transfer, in the list of transfers"`
}

type transferStoryOutput struct {
	Body TransferStory
}

func (a api) transferStory(ctx context.Context, in *transferStoryInput) (*transferStoryOutput, error) {
	t, err := a.Store.Transfer(ctx, in.ID)
	if err != nil {
		return nil, problemOf(err, fmt.Sprintf("there is no transfer %d", in.ID))
	}
	pauses, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	story := TransferStory{Transfer: a.transferOf(t, pauses), History: []Attempt{}}
	e, _, err := a.Store.Event(ctx, t.EventID)
	switch {
	case errors.Is(err, store.ErrNotFound): // it has just been deleted as old
	case err != nil:
		return nil, err
	default:
		delivery := eventOf(e)
		story.Delivery = &delivery
	}
	op, err := a.Store.Operation(ctx, t.OperationID)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		story.LastOperation = &Operation{
			ID: op.ID, State: op.State, PortalID: op.PortalID, Transfers: op.Size, Done: op.Done, Error: op.Error,
			StartedAt: op.StartedAt, SettledAt: optional(op.SettledAt),
		}
		if t.State == event.Sending && story.Reason == "" {
			story.Reason = "its operation is followed on the portal"
			if op.State == store.OperationSending {
				story.Reason = "the portal's answer to its operation is awaited, or was lost and is looked for in the destination"
			}
		}
	}
	attempts, err := a.Store.Attempts(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, h := range attempts {
		story.History = append(story.History, Attempt{h.OperationID, h.Outcome, h.Reason, h.At, h.LastAt, h.Times})
	}
	portal := a.PortalURL(t.Portal)
	story.DestinationLink = EntryLink(portal, event.Folder, t.Destination)
	if t.State == event.Done {
		story.ResultLink = EntryLink(portal, t.Kind, t.ResultID)
	}
	return &transferStoryOutput{Body: story}, nil
}

// EntryLink is where a person opens an entry of a portal: files in the editor, as DocSpace's own
// webUrl does, and folders in the list of rooms. It is empty without a portal or an entry.
func EntryLink(portal string, kind event.Kind, id event.ID) string {
	switch {
	case portal == "" || id == "":
		return ""
	case kind == event.Folder:
		return strings.TrimSuffix(portal, "/") + "/rooms/shared/" + url.PathEscape(string(id)) + "/filter?folder=" + url.QueryEscape(string(id))
	}
	return strings.TrimSuffix(portal, "/") + "/doceditor?fileid=" + url.QueryEscape(string(id))
}

// Rule is a rule in use.
type Rule struct {
	Name         string       `json:"name"`
	Description  string       `json:"description,omitempty"`
	Number       int          `json:"number" doc:"its place in the order of the rules, from 1"`
	Enabled      bool         `json:"enabled"`
	Portals      []string     `json:"portals"`
	Triggers     []string     `json:"triggers"`
	Action       event.Action `json:"action" enum:"copy,move"`
	Condition    string       `json:"when,omitempty"`
	Sources      []string     `json:"sources" doc:"rooms and folders by their ids, or room tags and titles"`
	Destinations []string     `json:"destinations" doc:"the ids of the destination folders"`
	Hits         int64        `json:"hits" doc:"how many events it has sent on; counted since the database was made"`
	LastHit      *time.Time   `json:"last_hit,omitempty"`
	Paused       *Pause       `json:"paused,omitempty"`
}

type rulesOutput struct {
	Body struct {
		Rules []Rule `json:"rules" doc:"in the order in which they are tried"`
	}
}

func (a api) ruleList(ctx context.Context, _ *struct{}) (*rulesOutput, error) {
	hits, err := a.Store.Hits(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	var out rulesOutput
	out.Body.Rules = []Rule{}
	for _, r := range a.RuleList() {
		r.Hits, r.LastHit = hits[r.Name].Hits, optional(hits[r.Name].LastHit)
		for _, p := range pauses {
			if p.Scope == store.PauseRule && p.Name == r.Name {
				paused := Pause(p)
				r.Paused = &paused
			}
		}
		out.Body.Rules = append(out.Body.Rules, r)
	}
	return &out, nil
}
