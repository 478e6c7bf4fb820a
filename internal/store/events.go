package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// NewEvent is a delivery to be stored.
type NewEvent struct {
	Portal     string
	Event      event.Event
	ReceivedAt time.Time
	Body       []byte
	Trace      string // the traceparent of the request that brought it; "" when it is not traced
}

// HappenedAt is when the portal says the event happened, or where the body did not say,
// when it was received.
func (e NewEvent) HappenedAt() time.Time { return happenedAt(e.Event, e.ReceivedAt) }

func happenedAt(ev event.Event, received time.Time) time.Time {
	if ev.CreatedOn.IsZero() {
		return received
	}
	return ev.CreatedOn
}

const (
	eventColumns = `portal, webhook_id, event_id, "trigger", entry_kind, entry_id, entry_title, search, created_on, happened_at,
		received_at, trace, body`
	onEventConflict = ` ON CONFLICT (portal, webhook_id, event_id, created_on) DO NOTHING`
)

func (e NewEvent) values() []any {
	return []any{
		e.Portal, e.Event.WebhookID, e.Event.ID, e.Event.Trigger, string(e.Event.Entry.Kind), string(e.Event.Entry.ID),
		e.Event.Entry.Title, searchKey(e.Event.Entry.Title), millis(e.Event.CreatedOn), millis(e.HappenedAt()), millis(e.ReceivedAt), e.Trace, e.Body,
	}
}

// InsertEvents stores deliveries and returns the id of each, in the same order; 0 marks one
// that was already stored or stands earlier in the same list.
func (s *Store) InsertEvents(ctx context.Context, tx *sql.Tx, events []NewEvent) (ids []int64, err error) {
	if s.kind == PostgreSQL {
		ids, err = insertTogether(ctx, tx, events)
	} else {
		ids, err = insertOneByOne(ctx, tx, events)
	}
	if err != nil {
		return nil, fmt.Errorf("store events: %w", err)
	}
	return ids, nil
}

// insertOneByOne is for SQLite, where a statement costs no round trip and one that is kept
// prepared is the fastest.
func insertOneByOne(ctx context.Context, tx *sql.Tx, events []NewEvent) ([]int64, error) {
	query := `INSERT INTO events (` + eventColumns + `) VALUES ` + placeholders(1, len(NewEvent{}.values())) + onEventConflict
	// A context that can end costs every statement a goroutine. The transaction's own ends
	// these as well, between one row and the next.
	quiet := context.WithoutCancel(ctx)
	ids := make([]int64, len(events))
	for i, e := range events {
		result, err := tx.ExecContext(quiet, query, e.values()...)
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, err
		} else if n == 0 {
			continue
		}
		if ids[i], err = result.LastInsertId(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// insertTogether is for PostgreSQL, where every statement is a round trip.
func insertTogether(ctx context.Context, tx *sql.Tx, events []NewEvent) ([]int64, error) {
	type identity struct {
		portal, webhookID, eventID string
		createdOn                  int64
	}
	inserted := make(map[identity]int64, len(events))
	err := inChunks(events, 256, func(chunk []NewEvent) error {
		var rows []string
		var args []any
		for _, e := range chunk {
			values := e.values()
			rows = append(rows, placeholders(len(args)+1, len(values)))
			args = append(args, values...)
		}
		found, err := tx.QueryContext(ctx, `INSERT INTO events (`+eventColumns+`) VALUES `+strings.Join(rows, ", ")+onEventConflict+
			` RETURNING id, portal, webhook_id, event_id, created_on`, args...)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var id int64
			var key identity
			if err := found.Scan(&id, &key.portal, &key.webhookID, &key.eventID, &key.createdOn); err != nil {
				return err
			}
			inserted[key] = id
		}
		return found.Err()
	})
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(events))
	for i, e := range events {
		key := identity{e.Portal, e.Event.WebhookID, e.Event.ID, millis(e.Event.CreatedOn)}
		ids[i] = inserted[key]
		delete(inserted, key)
	}
	return ids, nil
}

// PendingEvent is an event that routing has not decided yet.
type PendingEvent struct {
	ID         int64
	Portal     string
	EventID    string // the portal's
	Trigger    string
	ReceivedAt time.Time
	HappenedAt time.Time
	Attempts   int
	Owed       []string // as in Decision, of the tries before
	Trace      string   // as in NewEvent
	Body       []byte
}

// PendingEvents returns those of the events that are still pending, oldest first.
func (s *Store) PendingEvents(ctx context.Context, ids []int64) ([]PendingEvent, error) {
	var out []PendingEvent
	err := inChunks(ids, 500, func(chunk []int64) error {
		rows, err := s.read.QueryContext(ctx, `SELECT id, portal, event_id, "trigger", received_at, happened_at,
				attempts, owed, trace, body FROM events
			WHERE state = 'pending' AND id IN `+placeholders(1, len(chunk))+` ORDER BY id`, anys(chunk)...)
		if err != nil {
			return fmt.Errorf("read pending events: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var e PendingEvent
			var received, happened int64
			var owed string
			if err := rows.Scan(&e.ID, &e.Portal, &e.EventID, &e.Trigger, &received, &happened, &e.Attempts, &owed, &e.Trace, &e.Body); err != nil {
				return fmt.Errorf("read pending events: %w", err)
			}
			if owed != "" {
				e.Owed = strings.Split(owed, "\n")
			}
			e.ReceivedAt, e.HappenedAt = fromMillis(received), fromMillis(happened)
			out = append(out, e)
		}
		return rows.Err()
	})
	return out, err
}

// StalePending returns up to limit events that have been pending since before the given
// time: their route job is late or was lost.
func (s *Store) StalePending(ctx context.Context, before time.Time, limit int) ([]int64, error) {
	return queryColumn[int64](ctx, s.read, `SELECT id FROM events WHERE state = 'pending' AND received_at < $1
		ORDER BY id LIMIT $2`, millis(before), limit)
}

// Decision is what routing made of an event.
type Decision struct {
	EventID   int64
	State     event.EventState // EventPending: not decided, to be tried again
	Reason    string
	Transfers []NewTransfer
	// Owed names, of an event that is pending although transfers of it are stored, the rules that
	// are still to be decided on. The others are not asked again: an event is decided by one
	// version of the rules. Was is what was owed when the event was read.
	Owed, Was []string
	// Why is the reason of an ignored event in one word, for metrics. It is not stored.
	Why string
}

// SaveDecisions stores what routing made of events: their states and their transfers. It
// returns the lanes that have new work. Events that are no longer pending, or owed something else
// than when they were read, are left alone, so that a route job may run twice.
func (s *Store) SaveDecisions(ctx context.Context, tx *sql.Tx, decisions []Decision) (lanes []string, err error) {
	if err := s.lockEntries(ctx, tx, decisions); err != nil {
		return nil, err
	}
	now := s.now()
	var saved []Decision
	// Events first, in the order of their ids, and then transfers: so are they locked everywhere.
	for _, d := range slices.SortedFunc(slices.Values(decisions), func(a, b Decision) int { return cmp.Compare(a.EventID, b.EventID) }) {
		routedAt := now
		attempts := 0
		if d.State == event.EventPending {
			routedAt, attempts = time.Time{}, 1
		}
		result, err := tx.ExecContext(ctx, `UPDATE events SET state = $1, reason = $2, routed_at = $3, attempts = attempts + $4,
				owed = $5
			WHERE id = $6 AND state = 'pending' AND owed = $7`, string(d.State), d.Reason, millis(routedAt), attempts,
			strings.Join(d.Owed, "\n"), d.EventID, strings.Join(d.Was, "\n"))
		if err != nil {
			return nil, fmt.Errorf("store decision on event %d: %w", d.EventID, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, fmt.Errorf("store decision on event %d: %w", d.EventID, err)
		} else if n > 0 {
			saved = append(saved, d)
		}
	}
	if err := s.lockTwins(ctx, tx, saved); err != nil {
		return nil, err
	}
	touched := map[string]bool{}
	hits := map[string]int{}
	for _, d := range saved {
		if err := s.insertTransfers(ctx, tx, d, now, touched); err != nil {
			return nil, err
		}
		countHits(hits, d)
	}
	if err := saveHits(ctx, tx, hits, now); err != nil {
		return nil, err
	}
	return sortedKeys(touched), nil
}

// Place is where the deleting of old events has come to, in the order in which they were received.
// The zero Place is the beginning.
type Place struct{ receivedAt, id int64 }

// prunable are those of some events that may be deleted. The empty string at the states keeps SQLite from
// reading every event or transfer in these states instead.
const prunable = ` AND routed_at < $1 AND state || '' IN ('routed', 'ignored')
	AND NOT EXISTS (SELECT 1 FROM transfers t WHERE t.event_id = events.id
		AND (t.state || '' NOT IN ('done', 'skipped', 'cancelled') OR t.ended_at >= $1))`

// Prune looks at up to limit events, from a place on, that were received before a time. It deletes
// those that were decided before it and whose transfers had all ended as done, skipped or cancelled,
// together with those transfers. Failed ones are kept: they are dead letters. It returns how many
// it deleted and the place to go on from, which is zero when there are no more to look at.
func (s *Store) Prune(ctx context.Context, before time.Time, from Place, limit int) (pruned int, next Place, err error) {
	// They are looked up outside the transaction, in which no delivery can be stored, and in portions that
	// do not depend on how many of them are kept.
	old, err := queryAll(ctx, s.read, func(rows *sql.Rows) (p Place, err error) {
		err = rows.Scan(&p.receivedAt, &p.id)
		return p, err
	}, `SELECT received_at, id FROM events WHERE received_at >= $1 AND (received_at > $1 OR id > $2) AND received_at < $3
		ORDER BY received_at, id LIMIT $4`, from.receivedAt, from.id, millis(before), limit)
	if len(old) == limit {
		next = old[limit-1]
	}
	if err == nil && len(old) > 0 {
		ids := make([]int64, len(old))
		for i, p := range old {
			ids[i] = p.id
		}
		pruned, err = s.pruneEvents(ctx, before, ids)
	}
	if err != nil {
		return 0, Place{}, fmt.Errorf("delete old events: %w", err)
	}
	return pruned, next, nil
}

// pruneEvents deletes those of the events that may be deleted.
func (s *Store) pruneEvents(ctx context.Context, before time.Time, ids []int64) (pruned int, err error) {
	find := func(q querier) ([]int64, error) {
		return queryColumn[int64](ctx, q, `SELECT id FROM events WHERE id IN `+placeholders(2, len(ids))+prunable, append([]any{millis(before)}, anys(ids)...)...)
	}
	if ids, err = find(s.read); err != nil || len(ids) == 0 {
		return 0, err
	}
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		if s.kind == PostgreSQL {
			if err := s.lockPrunable(ctx, tx, ids); err != nil {
				return err
			}
		}
		// Somebody may have taken some of them up again since.
		if ids, err = find(tx); err != nil || len(ids) == 0 {
			return err
		}
		pruned = len(ids)
		in := placeholders(1, len(ids))
		if err := rememberTransferred(ctx, tx, ids); err != nil {
			return err
		}
		for _, statement := range []string{
			`DELETE FROM attempts WHERE transfer_id IN (SELECT id FROM transfers WHERE event_id IN ` + in + `)`,
			`DELETE FROM transfers WHERE event_id IN ` + in,
			`DELETE FROM events WHERE id IN ` + in,
		} {
			if _, err := tx.ExecContext(ctx, statement, anys(ids)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return pruned, nil
}

// lockPrunable keeps events and their transfers as they are until the transaction ends: a replay or a
// retry would be deleted with them. On SQLite writing transactions are serial anyway.
func (s *Store) lockPrunable(ctx context.Context, tx *sql.Tx, ids []int64) error {
	in := placeholders(1, len(ids))
	for _, lock := range []string{
		`SELECT id FROM events WHERE id IN ` + in + ` ORDER BY id FOR UPDATE`,
		`SELECT id FROM transfers WHERE event_id IN ` + in + ` ORDER BY id FOR UPDATE`,
	} {
		if _, err := queryColumn[int64](ctx, tx, lock, anys(ids)...); err != nil {
			return err
		}
	}
	return nil
}

// PruneOperations deletes up to limit operations that were settled before the given time.
func (s *Store) PruneOperations(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM operations WHERE `+s.inOrder("operations", `id IN
			(SELECT id FROM operations WHERE state = 'settled' AND settled_at < $1 ORDER BY settled_at LIMIT $2)`), millis(before), limit)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete old operations: %w", err)
	}
	return int(n), nil
}
