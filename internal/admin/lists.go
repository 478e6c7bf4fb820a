package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// Page is what the lists' queries have in common.
type Page struct {
	Portal string `query:"portal" doc:"only this portal"`
	Rule   string `query:"rule" doc:"only what this rule caused"`
	Since  since  `query:"since" doc:"only what was received at this time or later (RFC 3339)"`
	Cursor string `query:"cursor" doc:"the next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"entries per page"`
}

// since is a time whose error says how to write one.
type since struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *since) UnmarshalText(text []byte) (err error) {
	if s.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return errors.New("want a time as RFC 3339 writes it, such as 2026-01-01T00:00:00Z")
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (since) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-01-01T00:00:00Z"}}
}

// Resolve implements huma.Resolver. It refuses parameters that the list does not know: a misspelt
// filter would let everything through.
func (p *Page) Resolve(ctx huma.Context) []error { return unknownParameters(ctx) }

func unknownParameters(ctx huma.Context) []error {
	var known []string
	for _, parameter := range ctx.Operation().Parameters {
		known = append(known, parameter.Name)
	}
	slices.Sort(known)
	var errs []error
	asked := ctx.URL()
	for _, name := range slices.Sorted(maps.Keys(asked.Query())) {
		if !slices.Contains(known, name) {
			errs = append(errs, &huma.ErrorDetail{
				Location: "query." + name, Value: asked.Query().Get(name),
				Message: fmt.Sprintf("unknown parameter %q: want one of %s", name, strings.Join(known, ", ")),
			})
		}
	}
	return errs
}

func (p Page) filter(state string) (store.Filter, error) {
	f := store.Filter{State: state, Portal: p.Portal, Rule: p.Rule, Since: p.Since.Time, Limit: p.Limit}
	if p.Cursor != "" {
		before, err := strconv.ParseInt(p.Cursor, 10, 64)
		if err != nil || before < 1 {
			return f, huma.Error422UnprocessableEntity("cursor: not one this API gave out")
		}
		f.Before = before
	}
	return f, nil
}

// nextCursor is set when a page is full, so that there may be another.
func nextCursor(n, limit int, last int64) string {
	if n < limit {
		return ""
	}
	return strconv.FormatInt(last, 10)
}

// Event is an event in a list.
type Event struct {
	ID         int64            `json:"id"`
	Portal     string           `json:"portal"`
	WebhookID  string           `json:"webhook_id,omitempty" doc:"the portal's id of the webhook"`
	EventID    string           `json:"event_id" doc:"the portal's id of the event, or sha256:… where the delivery had none"`
	Trigger    string           `json:"trigger"`
	EntryKind  event.Kind       `json:"entry_kind" enum:"file,folder"`
	EntryID    string           `json:"entry_id"`
	Title      string           `json:"title"`
	State      event.EventState `json:"state" enum:"pending,routed,ignored,failed"`
	Reason     string           `json:"reason,omitempty" doc:"why it is in this state"`
	HappenedAt time.Time        `json:"happened_at"`
	ReceivedAt time.Time        `json:"received_at"`
	RoutedAt   *time.Time       `json:"routed_at,omitempty"`
}

type eventsInput struct {
	Page
	State string `query:"state" enum:"pending,routed,ignored,failed" doc:"only events in this state"`
}

type eventsOutput struct {
	Body struct {
		Events     []Event `json:"events" doc:"newest first"`
		NextCursor string  `json:"next_cursor,omitempty" doc:"where the next page begins; absent on the last"`
	}
}

func (a api) events(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
	f, err := in.filter(in.State)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.Events(ctx, f)
	if err != nil {
		return nil, err
	}
	var out eventsOutput
	out.Body.Events = make([]Event, 0, len(list))
	for _, e := range list {
		out.Body.Events = append(out.Body.Events, Event{
			ID: e.ID, Portal: e.Portal, WebhookID: e.WebhookID, EventID: e.EventID, Trigger: e.Trigger, EntryKind: e.Kind,
			EntryID: string(e.EntryID), Title: e.Title, State: e.State, Reason: e.Reason, HappenedAt: e.HappenedAt,
			ReceivedAt: e.ReceivedAt, RoutedAt: optional(e.RoutedAt),
		})
		out.Body.NextCursor = nextCursor(len(list), in.Limit, e.ID)
	}
	return &out, nil
}

// Transfer is a transfer in a list.
type Transfer struct {
	ID            int64          `json:"id"`
	EventID       int64          `json:"event" doc:"the id of the event that caused it, in the list of events"`
	Portal        string         `json:"portal"`
	Rule          string         `json:"rule"`
	Action        event.Action   `json:"action" enum:"copy,move"`
	Conflict      event.Conflict `json:"conflict" enum:"duplicate,skip,overwrite"`
	EntryKind     event.Kind     `json:"entry_kind" enum:"file,folder"`
	EntryID       string         `json:"entry_id"`
	Title         string         `json:"title"`
	Destination   string         `json:"destination" doc:"the destination folder's id"`
	State         event.State    `json:"state" enum:"blocked,queued,sending,done,skipped,failed,cancelled"`
	Reason        string         `json:"reason,omitempty" doc:"why it is in this state, or what the last attempt met"`
	Attempts      int            `json:"attempts"`
	NextAttemptAt *time.Time     `json:"next_attempt_at,omitempty"`
	Operation     int64          `json:"operation,omitempty" doc:"the id of the last operation it was part of"`
	ResultID      string         `json:"result_id,omitempty" doc:"the id of the entry in the destination"`
	ResultTitle   string         `json:"result_title,omitempty"`
	CreatedAt     time.Time      `json:"created_at"`
	EndedAt       *time.Time     `json:"ended_at,omitempty"`
}

type transfersInput struct {
	Page
	State string `query:"state" enum:"blocked,queued,sending,done,skipped,failed,cancelled" doc:"only transfers in this state"`
}

type transfersOutput struct {
	Body struct {
		Transfers  []Transfer `json:"transfers" doc:"newest first"`
		NextCursor string     `json:"next_cursor,omitempty" doc:"where the next page begins; absent on the last"`
	}
}

func (a api) transfers(ctx context.Context, in *transfersInput) (*transfersOutput, error) {
	f, err := in.filter(in.State)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.Transfers(ctx, f)
	if err != nil {
		return nil, err
	}
	var out transfersOutput
	out.Body.Transfers = make([]Transfer, 0, len(list))
	for _, t := range list {
		row := Transfer{
			ID: t.ID, EventID: t.EventID, Portal: t.Portal, Rule: t.Rule, Action: t.Action, Conflict: t.Conflict,
			EntryKind: t.Kind, EntryID: string(t.EntryID), Title: t.Title, Destination: string(t.Destination), State: t.State,
			Reason: t.Reason, Attempts: t.Attempts, Operation: t.OperationID, ResultID: string(t.ResultID),
			ResultTitle: t.ResultTitle, CreatedAt: t.CreatedAt, EndedAt: optional(t.EndedAt),
		}
		if t.State == event.Queued {
			row.NextAttemptAt = optional(t.NextAttemptAt)
		}
		out.Body.Transfers = append(out.Body.Transfers, row)
		out.Body.NextCursor = nextCursor(len(list), in.Limit, t.ID)
	}
	return &out, nil
}

type statusOutput struct {
	Body struct {
		Version      string                     `json:"version"`
		Rules        RulesStatus                `json:"rules"`
		Events       map[event.EventState]int64 `json:"events" doc:"how many events are in each state"`
		Transfers    map[event.State]int64      `json:"transfers" doc:"how many transfers are in each state"`
		OldestQueued *time.Time                 `json:"oldest_queued,omitempty" doc:"when the transfer that has waited longest was queued"`
	}
}

func (a api) status(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	counts, err := a.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	var out statusOutput
	out.Body.Version = a.Version
	out.Body.Rules = a.Rules()
	out.Body.Events, out.Body.Transfers = counts.Events, counts.Transfers
	out.Body.OldestQueued = optional(counts.OldestQueued)
	return &out, nil
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
