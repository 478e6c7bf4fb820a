package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"docspace-router/internal/event"
)

// Filter narrows a list of events or transfers. Empty fields match everything.
type Filter struct {
	States []string // any of these
	Portal string
	Rule   string // transfers with this rule; events that caused such a transfer
	// Rooms are where transfers come from or go to: any of these is the source or the destination, or
	// the folder that the rule names above the destination. They are not for events.
	Rooms  []Room
	Search string    // part of the entry's title, in whatever case
	Since  time.Time // received or created at or after
	Until  time.Time // received or created before
	Before int64     // ids below this one: the cursor of the next page
	Limit  int       // rows per page
}

// Room is a room or folder. Without a portal it is that of every portal which has one of this id.
type Room struct {
	Portal string
	ID     event.ID
}

// Sources lists rooms and folders that transfers came from, each with the portal of the last one, and
// most of them at most. It steps from one to the next along an index, since there are far fewer of
// them than transfers.
func (s *Store) Sources(ctx context.Context, most int) ([]Room, error) {
	rooms, err := queryAll(ctx, s.read, func(rows *sql.Rows) (r Room, err error) {
		err = rows.Scan(&r.Portal, &r.ID)
		return r, err
	}, `WITH RECURSIVE sources(id) AS (
			SELECT min(source) FROM transfers
			UNION ALL
			SELECT (SELECT min(t.source) FROM transfers t WHERE t.source > sources.id) FROM sources WHERE sources.id IS NOT NULL)
		SELECT (SELECT t.portal FROM transfers t WHERE t.source = sources.id ORDER BY t.id DESC LIMIT 1), id
		FROM sources WHERE id IS NOT NULL LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	return rooms, nil
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
	// CountedAt is when the figures of more than Countable were counted; zero when there are none.
	CountedAt time.Time
	// Counting says that figures of more than Countable are being counted for the first time since
	// the start: until then they are the least they can be.
	Counting bool
	Waiting  []Backlog // the transfers that have not ended
	// OldestQueued is when the transfer that has waited longest was queued; zero when none
	// waits.
	OldestQueued time.Time
}

// Counts counts events and transfers by state.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	c := Counts{Events: map[event.EventState]int64{}, Transfers: map[event.State]int64{}}
	var err error
	for _, state := range event.EventStates() {
		if c.Events[state], err = c.inState(ctx, s, "events", string(state)); err != nil {
			return Counts{}, fmt.Errorf("count events: %w", err)
		}
	}
	for _, state := range event.States() {
		switch state {
		case event.Blocked, event.Queued, event.Sending:
			c.Transfers[state] = 0
		default:
			if c.Transfers[state], err = c.inState(ctx, s, "transfers", string(state)); err != nil {
				return Counts{}, fmt.Errorf("count transfers: %w", err)
			}
		}
	}
	if c.Waiting, err = s.Backlog(ctx); err != nil {
		return Counts{}, err
	}
	for _, b := range c.Waiting {
		c.Transfers[b.State] += b.Transfers
		if b.Transfers > Countable {
			c.countedAt(b.CountedAt)
		}
		if b.State != event.Blocked && (c.OldestQueued.IsZero() || b.Oldest.Before(c.OldestQueued)) {
			c.OldestQueued = b.Oldest
		}
	}
	return c, nil
}

// inState counts the rows of a table in a state.
func (c *Counts) inState(ctx context.Context, s *Store, table, state string) (int64, error) {
	n, err := one(queryColumn[int64](ctx, s.read, `SELECT `+atMost(table+` WHERE state = $1`), state))
	if err != nil {
		return 0, err
	}
	n, at, err := s.figure(group{table: table, state: state}, n)
	if n > Countable {
		c.countedAt(at)
	}
	return n, err
}

// countedAt notes when a figure of more than Countable was counted.
func (c *Counts) countedAt(at time.Time) {
	if c.CountedAt, c.Counting = at, c.Counting || at.IsZero(); c.Counting {
		c.CountedAt = time.Time{}
	}
}
