package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/event"
)

// WebhookLog is how far the portal's log of a webhook has been read.
type WebhookLog struct {
	Portal, WebhookID string
	// HandledTo is the last row of which, and of all rows before it, it is known that nothing is
	// left to take in.
	HandledTo int64
	// Newest is the newest row that was seen when NewestAt began. The rows up to it count as
	// handled only by a later reading: one with a lower number may have become visible after it.
	Newest   int64
	NewestAt time.Time
	// KnownSince is since when this database would hold what the gateway has answered.
	KnownSince time.Time
	CheckedAt  time.Time // when the log was last read to the end
}

// WebhookLog returns how far a log has been read; ErrNotFound when it never was.
func (s *Store) WebhookLog(ctx context.Context, portal, webhook string) (WebhookLog, error) {
	l := WebhookLog{Portal: portal, WebhookID: webhook}
	var newestAt, knownSince, checkedAt int64
	err := s.read.QueryRowContext(ctx, `SELECT handled_to, newest, newest_at, known_since, checked_at FROM webhook_logs
		WHERE portal = $1 AND webhook_id = $2`, portal, webhook).Scan(&l.HandledTo, &l.Newest, &newestAt, &knownSince, &checkedAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return l, ErrNotFound
	case err != nil:
		return l, fmt.Errorf("read the state of a webhook's log: %w", err)
	}
	l.NewestAt, l.KnownSince, l.CheckedAt = fromMillis(newestAt), fromMillis(knownSince), fromMillis(checkedAt)
	return l, nil
}

// SaveWebhookLog keeps how far a log has been read.
func (s *Store) SaveWebhookLog(ctx context.Context, l WebhookLog) error {
	return s.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO webhook_logs (portal, webhook_id, handled_to, newest, newest_at, known_since, checked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (portal, webhook_id) DO UPDATE SET handled_to = excluded.handled_to, newest = excluded.newest,
				newest_at = excluded.newest_at, known_since = excluded.known_since, checked_at = excluded.checked_at`,
			l.Portal, l.WebhookID, l.HandledTo, l.Newest, millis(l.NewestAt), millis(l.KnownSince), millis(l.CheckedAt))
		if err != nil {
			return fmt.Errorf("save the state of a webhook's log: %w", err)
		}
		return nil
	})
}

// LoggedWebhooks are the webhooks of a portal whose log was read at least once.
func (s *Store) LoggedWebhooks(ctx context.Context, portal string) ([]string, error) {
	logged, err := queryColumn[string](ctx, s.read, `SELECT webhook_id FROM webhook_logs WHERE portal = $1 ORDER BY webhook_id`, portal)
	if err != nil {
		return nil, fmt.Errorf("find the logs read: %w", err)
	}
	return logged, nil
}

// SeenWebhooks are the webhooks of a portal whose deliveries are stored or whose log was read.
func (s *Store) SeenWebhooks(ctx context.Context, portal string) ([]string, error) {
	seen, err := s.LoggedWebhooks(ctx, portal)
	if err != nil {
		return nil, err
	}
	// One look into the index for each, however many events there are.
	for last := ""; ; {
		next, err := queryColumn[string](ctx, s.read, `SELECT webhook_id FROM events WHERE portal = $1 AND webhook_id > $2
			ORDER BY webhook_id LIMIT 1`, portal, last)
		if err != nil {
			return nil, fmt.Errorf("find the webhooks seen: %w", err)
		}
		if len(next) == 0 {
			slices.Sort(seen)
			return slices.Compact(seen), nil
		}
		last = next[0]
		seen = append(seen, last)
	}
}

// KnownSince is when the first event of a portal that is still stored was received; zero when
// there is none.
func (s *Store) KnownSince(ctx context.Context, portal string) (time.Time, error) {
	first, err := queryColumn[int64](ctx, s.read, `SELECT received_at FROM events WHERE portal = $1 ORDER BY id LIMIT 1`, portal)
	if err != nil || len(first) == 0 {
		return time.Time{}, err
	}
	return fromMillis(first[0]), nil
}

// StoredEvents says of each event of a portal whether it is stored.
func (s *Store) StoredEvents(ctx context.Context, portal string, events []event.Event) ([]bool, error) {
	type identity struct {
		webhook, event string
		createdOn      int64
	}
	ids := map[string][]string{}
	for _, ev := range events {
		ids[ev.WebhookID] = append(ids[ev.WebhookID], ev.ID)
	}
	known := map[identity]bool{}
	for webhook, ids := range ids {
		if err := inChunks(ids, 500, func(chunk []string) error {
			rows, err := s.read.QueryContext(ctx, `SELECT event_id, created_on FROM events
				WHERE portal = $1 AND webhook_id = $2 AND event_id IN `+placeholders(3, len(chunk)), append([]any{portal, webhook}, anys(chunk)...)...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				key := identity{webhook: webhook}
				if err := rows.Scan(&key.event, &key.createdOn); err != nil {
					return err
				}
				known[key] = true
			}
			return rows.Err()
		}); err != nil {
			return nil, fmt.Errorf("look for stored events: %w", err)
		}
	}
	out := make([]bool, len(events))
	for i, ev := range events {
		out[i] = known[identity{ev.WebhookID, ev.ID, millis(ev.CreatedOn)}]
	}
	return out, nil
}

// Unsettled is how many events wait to be decided and how many transfers of the portal wait to be
// sent, each counted up to limit.
func (s *Store) Unsettled(ctx context.Context, portal string, limit int) (int, error) {
	counts, err := queryColumn[int](ctx, s.read, `SELECT count(*) FROM (SELECT 1 AS one FROM events WHERE state = 'pending' LIMIT $1) AS waiting
		UNION ALL SELECT count(*) FROM (SELECT 1 AS one FROM transfers WHERE state = 'queued' AND portal = $2 LIMIT $1) AS queued`, limit, portal)
	if err != nil {
		return 0, fmt.Errorf("count what waits: %w", err)
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, nil
}
