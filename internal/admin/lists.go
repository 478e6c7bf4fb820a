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

	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// Page is what the lists' queries have in common.
type Page struct {
	Portal string `query:"portal" doc:"only this portal"`
	Rule   string `query:"rule" doc:"only what this rule caused"`
	Since  since  `query:"since" doc:"only what was received at this time or later (RFC 3339)"`
	Until  since  `query:"until" doc:"only what was received before this time (RFC 3339)"`
	Search string `query:"q" maxLength:"255" doc:"only entries with this in their title, in whatever case; a page looks at so many entries at most, and may be short although there is a next one"`
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

func filterOf[T ~string](p Page, states []T) (store.Filter, error) {
	f := store.Filter{
		Portal: p.Portal, Rule: p.Rule, Search: p.Search, Since: p.Since.Time, Until: p.Until.Time, Limit: p.Limit,
	}
	for _, state := range states {
		f.States = append(f.States, string(state))
	}
	if p.Cursor != "" {
		before, err := strconv.ParseInt(p.Cursor, 10, 64)
		if err != nil || before < 1 {
			return f, huma.Error422UnprocessableEntity("cursor: not one this API gave out")
		}
		f.Before = before
	}
	return f, nil
}

// cursorOf writes where the next page begins; empty when there is none.
func cursorOf(next int64) string {
	if next == 0 {
		return ""
	}
	return strconv.FormatInt(next, 10)
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

func eventOf(e store.StoredEvent) Event {
	return Event{
		ID: e.ID, Portal: e.Portal, WebhookID: e.WebhookID, EventID: e.EventID, Trigger: e.Trigger, EntryKind: e.Kind,
		EntryID: string(e.EntryID), Title: e.Title, State: e.State, Reason: e.Reason, HappenedAt: e.HappenedAt,
		ReceivedAt: e.ReceivedAt, RoutedAt: optional(e.RoutedAt),
	}
}

type eventsInput struct {
	Page
	States []event.EventState `query:"state" enum:"pending,routed,ignored,failed" doc:"only events in these states, separated by commas"`
}

type eventsOutput struct {
	Body struct {
		Events     []Event `json:"events" doc:"newest first"`
		NextCursor string  `json:"next_cursor,omitempty" doc:"where the next page begins; absent on the last"`
	}
}

func (a api) events(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
	f, err := filterOf(in.Page, in.States)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Store.Events(ctx, f)
	if err != nil {
		return nil, err
	}
	var out eventsOutput
	out.Body.NextCursor = cursorOf(next)
	out.Body.Events = make([]Event, 0, len(list))
	for _, e := range list {
		out.Body.Events = append(out.Body.Events, eventOf(e))
	}
	return &out, nil
}

// Transfer is a transfer in a list.
type Transfer struct {
	ID               int64          `json:"id"`
	EventID          int64          `json:"event" doc:"the id of the event that caused it, in the list of events"`
	Portal           string         `json:"portal"`
	Rule             string         `json:"rule"`
	Action           event.Action   `json:"action" enum:"copy,move"`
	Conflict         event.Conflict `json:"conflict" enum:"duplicate,skip,overwrite"`
	EntryKind        event.Kind     `json:"entry_kind" enum:"file,folder"`
	EntryID          string         `json:"entry_id"`
	Title            string         `json:"title"`
	Source           string         `json:"source" doc:"the id of the room or folder that the rule names as its source, or of the room that it found by tag or title"`
	SourceTitle      string         `json:"source_title,omitempty" doc:"what the source is called; absent while the gateway does not know it"`
	Destination      string         `json:"destination" doc:"the destination folder's id"`
	DestinationTitle string         `json:"destination_title,omitempty" doc:"what the destination folder is called; absent while the gateway does not know it"`
	State            event.State    `json:"state" enum:"blocked,queued,sending,done,skipped,failed,cancelled"`
	Reason           string         `json:"reason,omitempty" doc:"why it is in this state, or what the last attempt met"`
	Attempts         int            `json:"attempts"`
	NextAttemptAt    *time.Time     `json:"next_attempt_at,omitempty"`
	HeldUntil        *time.Time     `json:"held_until,omitempty" doc:"when the pause that holds it ends"`
	HeldBy           string         `json:"held_by,omitempty" doc:"the pause that holds it: of what, by whom and why"`
	Operation        int64          `json:"operation,omitempty" doc:"the id of the last operation it was part of"`
	ResultID         string         `json:"result_id,omitempty" doc:"the id of the entry in the destination"`
	ResultTitle      string         `json:"result_title,omitempty"`
	CreatedAt        time.Time      `json:"created_at"`
	QueuedAt         time.Time      `json:"queued_at" doc:"when it was last queued"`
	EndedAt          *time.Time     `json:"ended_at,omitempty"`
}

// transferOf describes a transfer. What waits says why: a pause that holds it, what the last attempt
// met, or, while it is being sent, that the portal's answer is awaited.
func (a api) transferOf(t store.Transfer, pauses []store.Pause) Transfer {
	row := Transfer{
		ID: t.ID, EventID: t.EventID, Portal: t.Portal, Rule: t.Rule, Action: t.Action, Conflict: t.Conflict,
		EntryKind: t.Kind, EntryID: string(t.EntryID), Title: t.Title, Source: string(t.Source), SourceTitle: a.Name(t.Portal, t.Source),
		Destination: string(t.Destination), DestinationTitle: a.Name(t.Portal, t.Destination), State: t.State, Reason: t.Reason, Attempts: t.Attempts, Operation: t.OperationID, ResultID: string(t.ResultID),
		ResultTitle: t.ResultTitle, CreatedAt: t.CreatedAt, QueuedAt: t.QueuedAt, EndedAt: optional(t.EndedAt),
	}
	switch t.State {
	case event.Queued:
		row.NextAttemptAt = optional(t.NextAttemptAt)
		if p := store.Holding(pauses, t); p != nil {
			row.HeldUntil, row.HeldBy = optional(p.Until), fmt.Sprintf("%s %s is paused by %s: %s", p.Scope, p.Name, p.Author, p.Reason)
			if t.NextAttemptAt.Before(p.Until) {
				row.NextAttemptAt = row.HeldUntil
			}
		}
	case event.Blocked:
		if row.Reason == "" {
			row.Reason = "waits until the copies of the entry have ended"
		}
	}
	return row
}

type transfersInput struct {
	Page
	States []event.State `query:"state" enum:"blocked,queued,sending,done,skipped,failed,cancelled" doc:"only transfers in these states, separated by commas"`
	Room   string        `query:"room" maxLength:"255" doc:"only what came from or went to the room or folder of this id, or to one with this in its name, in whatever case"`
}

type transfersOutput struct {
	Body struct {
		Transfers  []Transfer `json:"transfers" doc:"newest first"`
		NextCursor string     `json:"next_cursor,omitempty" doc:"where the next page begins; absent on the last"`

		Rooms []names.Place `json:"rooms,omitempty" doc:"the rooms and folders that room is a part of the name of"`
		Note  string        `json:"note,omitempty" doc:"what is to be known of room: that nothing is called so, or that names are still being looked up"`
	}
}

func (a api) transfers(ctx context.Context, in *transfersInput) (*transfersOutput, error) {
	f, err := filterOf(in.Page, in.States)
	if err != nil {
		return nil, err
	}
	found, err := a.Rooms(ctx, in.Portal, in.Room)
	if err != nil {
		return nil, err
	}
	f.Rooms = found.Filter()
	list, next, err := a.Store.Transfers(ctx, f)
	if err != nil {
		return nil, err
	}
	pauses, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	var out transfersOutput
	out.Body.NextCursor = cursorOf(next)
	out.Body.Rooms, out.Body.Note = found.Rooms, found.Note(len(list))
	out.Body.Transfers = make([]Transfer, 0, len(list))
	for _, t := range list {
		out.Body.Transfers = append(out.Body.Transfers, a.transferOf(t, pauses))
	}
	return &out, nil
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
