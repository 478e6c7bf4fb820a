package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// Filter narrows a list of events or transfers. Empty fields match everything.
type Filter struct {
	State  string
	Portal string
	Rule   string    // transfers with this rule; events that caused such a transfer
	Since  time.Time // received or created at or after
	Before int64     // ids below this one: the cursor of the next page
	Limit  int       // rows per page
}

// A list is read along an index in the order of ids, so that a page costs what it shows. Times
// are almost in that order: the smallest id that can matter comes from an index, and the plus
// sign keeps SQLite from reading along that index instead, which would make it sort.

// where collects conditions and their values.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, value any) {
	w.args = append(w.args, value)
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(w.args))))
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// Transfers lists transfers, newest first.
func (s *Store) Transfers(ctx context.Context, f Filter) ([]Transfer, error) {
	var w where
	if f.State != "" {
		w.add("state = ?", f.State)
	}
	if f.Portal != "" {
		w.add("portal = ?", f.Portal)
	}
	if f.Rule != "" {
		w.add("rule = ?", f.Rule)
	}
	if !f.Since.IsZero() {
		w.add("id >= (SELECT min(id) FROM transfers WHERE created_at >= ?)", millis(f.Since))
		w.add("+created_at >= ?", millis(f.Since))
	}
	if f.Before > 0 {
		w.add("id < ?", f.Before)
	}
	list, err := queryAll(ctx, s.read, scanTransfer,
		`SELECT `+transferColumns+` FROM transfers`+w.String()+` ORDER BY id DESC LIMIT `+strconv.Itoa(f.Limit), w.args...)
	if err != nil {
		return nil, fmt.Errorf("list transfers: %w", err)
	}
	return list, nil
}

// StoredEvent is an event as the lists show it, without its body.
type StoredEvent struct {
	ID         int64
	Portal     string
	WebhookID  string
	EventID    string
	Trigger    string
	Kind       event.Kind
	EntryID    event.ID
	Title      string
	State      event.EventState
	Reason     string
	HappenedAt time.Time
	ReceivedAt time.Time
	RoutedAt   time.Time
}

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, f Filter) ([]StoredEvent, error) {
	var w where
	if f.State != "" {
		w.add("state = ?", f.State)
	}
	if f.Portal != "" {
		w.add("portal = ?", f.Portal)
	}
	if f.Rule != "" {
		w.add("id IN (SELECT event_id FROM transfers WHERE rule = ?)", f.Rule)
	}
	if !f.Since.IsZero() {
		w.add("id >= (SELECT min(id) FROM events WHERE received_at >= ?)", millis(f.Since))
		w.add("+received_at >= ?", millis(f.Since))
	}
	if f.Before > 0 {
		w.add("id < ?", f.Before)
	}
	list, err := queryAll(ctx, s.read, scanStoredEvent,
		`SELECT `+storedEventColumns+` FROM events`+w.String()+` ORDER BY id DESC LIMIT `+strconv.Itoa(f.Limit), w.args...)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list, nil
}

const storedEventColumns = `id, portal, webhook_id, event_id, "trigger", entry_kind, entry_id, entry_title, state, reason,
	happened_at, received_at, routed_at`

func scanStoredEvent(rows *sql.Rows) (StoredEvent, error) { return scanEventAnd(rows) }

// scanEventAnd scans an event and whatever columns follow its own.
func scanEventAnd(rows *sql.Rows, more ...any) (e StoredEvent, err error) {
	var happened, received, routed int64
	err = rows.Scan(append([]any{
		&e.ID, &e.Portal, &e.WebhookID, &e.EventID, &e.Trigger, &e.Kind, &e.EntryID, &e.Title,
		&e.State, &e.Reason, &happened, &received, &routed,
	}, more...)...)
	e.HappenedAt, e.ReceivedAt, e.RoutedAt = fromMillis(happened), fromMillis(received), fromMillis(routed)
	return e, err
}

// Event returns one event with its body as it came. The error is ErrNotFound when there is none
// of that id.
func (s *Store) Event(ctx context.Context, id int64) (StoredEvent, []byte, error) {
	var body []byte
	found, err := queryAll(ctx, s.read, func(rows *sql.Rows) (StoredEvent, error) {
		return scanEventAnd(rows, &body)
	}, `SELECT `+storedEventColumns+`, body FROM events WHERE id = $1`, id)
	switch {
	case err != nil:
		return StoredEvent{}, nil, fmt.Errorf("read event %d: %w", id, err)
	case len(found) == 0:
		return StoredEvent{}, nil, fmt.Errorf("event %d: %w", id, ErrNotFound)
	}
	return found[0], body, nil
}

// Counts says how many events and transfers are in each state.
type Counts struct {
	Events    map[event.EventState]int64
	Transfers map[event.State]int64
	// OldestQueued is when the transfer that has waited longest was queued; zero when none
	// waits.
	OldestQueued time.Time
}

// Counts counts events and transfers by state.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	c := Counts{Events: map[event.EventState]int64{}, Transfers: map[event.State]int64{}}
	for _, state := range event.EventStates() {
		c.Events[state] = 0
	}
	for _, state := range event.States() {
		c.Transfers[state] = 0
	}
	type count struct {
		state string
		n     int64
	}
	scan := func(rows *sql.Rows) (v count, err error) {
		err = rows.Scan(&v.state, &v.n)
		return v, err
	}
	events, err := queryAll(ctx, s.read, scan, `SELECT state, count(*) FROM events GROUP BY state`)
	if err != nil {
		return Counts{}, fmt.Errorf("count events: %w", err)
	}
	for _, v := range events {
		c.Events[event.EventState(v.state)] = v.n
	}
	transfers, err := queryAll(ctx, s.read, scan, `SELECT state, count(*) FROM transfers GROUP BY state`)
	if err != nil {
		return Counts{}, fmt.Errorf("count transfers: %w", err)
	}
	for _, v := range transfers {
		c.Transfers[event.State(v.state)] = v.n
	}
	waiting, err := s.Backlog(ctx)
	if err != nil {
		return Counts{}, err
	}
	for _, b := range waiting {
		if b.State != event.Blocked && (c.OldestQueued.IsZero() || b.Oldest.Before(c.OldestQueued)) {
			c.OldestQueued = b.Oldest
		}
	}
	return c, nil
}
