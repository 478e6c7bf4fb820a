package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"docspace-router/internal/event"
)

// Backlog is what of one portal waits in one state.
type Backlog struct {
	Portal    string
	State     event.State // blocked, queued or sending
	Transfers int64
	// CountedAt is when they were counted; zero when there are more than Countable, and Transfers is the
	// least it can be, because the first count since the start is under way.
	CountedAt time.Time
	Oldest    time.Time // when the one that has waited longest was queued
}

// waiting steps from one portal to the next along an index, so that it costs the same however
// many transfers wait.
var waiting = fmt.Sprintf(`WITH RECURSIVE waiting (state, portal) AS (
		SELECT s.state, (SELECT min(portal) FROM transfers t WHERE %[1]s AND t.state = s.state)
			FROM (SELECT 'blocked' AS state UNION ALL SELECT 'queued' UNION ALL SELECT 'sending') AS s
		UNION ALL
		SELECT w.state, (SELECT min(portal) FROM transfers t WHERE %[1]s AND t.state = w.state AND t.portal > w.portal)
			FROM waiting AS w WHERE w.portal IS NOT NULL)
	SELECT portal, state, %[2]s, (SELECT min(queued_at) FROM transfers t WHERE %[1]s AND t.state = w.state AND t.portal = w.portal)
	FROM waiting AS w WHERE portal IS NOT NULL`,
	`t.state IN ('blocked', 'queued', 'sending')`,
	atMost(`transfers t WHERE t.state IN ('blocked', 'queued', 'sending') AND t.state = w.state AND t.portal = w.portal`))

// Backlog counts the transfers that have not ended, by portal and state.
func (s *Store) Backlog(ctx context.Context) ([]Backlog, error) {
	list, err := queryAll(ctx, s.read, func(rows *sql.Rows) (b Backlog, err error) {
		var oldest int64
		err = rows.Scan(&b.Portal, &b.State, &b.Transfers, &oldest)
		b.Oldest = fromMillis(oldest)
		return b, err
	}, waiting)
	for i := range list {
		b := &list[i]
		if err == nil {
			b.Transfers, b.CountedAt, err = s.figure(group{"waiting", string(b.State), b.Portal}, b.Transfers)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("count waiting transfers: %w", err)
	}
	return list, nil
}

// OldestPending is when the event that routing has owed a decision for longest was received; zero
// when there is none.
func (s *Store) OldestPending(ctx context.Context) (time.Time, error) {
	// Events are stored as they are received, so that the first is the oldest.
	found, err := queryColumn[int64](ctx, s.read, `SELECT received_at FROM events WHERE state = 'pending' ORDER BY id LIMIT 1`)
	if err != nil {
		return time.Time{}, fmt.Errorf("find the oldest pending event: %w", err)
	}
	if len(found) == 0 {
		return time.Time{}, nil
	}
	return fromMillis(found[0]), nil
}

// Origin is where a transfer comes from: the delivery of its event.
type Origin struct {
	ReceivedAt time.Time
	Trace      string // as NewEvent has it
}

// Origins returns the origins of transfers by the ids of their events.
func (s *Store) Origins(ctx context.Context, transfers []Transfer) (map[int64]Origin, error) {
	var ids []int64
	asked := make(map[int64]bool, len(transfers))
	for _, t := range transfers {
		if !asked[t.EventID] {
			asked[t.EventID] = true
			ids = append(ids, t.EventID)
		}
	}
	origins := make(map[int64]Origin, len(ids))
	err := inChunks(ids, 500, func(chunk []int64) error {
		type origin struct {
			event int64
			Origin
		}
		found, err := queryAll(ctx, s.read, func(rows *sql.Rows) (o origin, err error) {
			var received int64
			err = rows.Scan(&o.event, &received, &o.Trace)
			o.ReceivedAt = fromMillis(received)
			return o, err
		}, `SELECT id, received_at, trace FROM events WHERE id IN `+placeholders(1, len(chunk)), anys(chunk)...)
		for _, o := range found {
			origins[o.event] = o.Origin
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read where transfers come from: %w", err)
	}
	return origins, nil
}
