package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Minute counts what happened in one minute.
type Minute struct {
	At       time.Time // its beginning
	Accepted int64     // events that were stored
	Routed   int64     // transfers that routing made
	Done     int64     // transfers that ended well: done or skipped
	Failed   int64     // transfers that failed, unless they were retried since
}

// Flow counts what happened in each full minute from a time up to, and without, another. It reads
// along indexes of times, but what it reads grows with the traffic: callers keep what they have
// been told of minutes that are over.
func (s *Store) Flow(ctx context.Context, from, to time.Time) ([]Minute, error) {
	from, to = from.Truncate(time.Minute), to.Truncate(time.Minute)
	if !from.Before(to) {
		return nil, nil
	}
	minutes := make([]Minute, to.Sub(from)/time.Minute)
	for i := range minutes {
		minutes[i].At = from.Add(time.Duration(i) * time.Minute).UTC()
	}
	for _, q := range []struct {
		text string
		add  func(m *Minute, state string, n int64)
	}{
		{`SELECT received_at / 60000, '', count(*) FROM events WHERE received_at >= $1 AND received_at < $2 GROUP BY 1`,
			func(m *Minute, _ string, n int64) { m.Accepted = n }},
		{`SELECT created_at / 60000, '', count(*) FROM transfers WHERE created_at >= $1 AND created_at < $2 GROUP BY 1`,
			func(m *Minute, _ string, n int64) { m.Routed = n }},
		{`SELECT ended_at / 60000, state, count(*) FROM transfers
			WHERE ended_at <> 0 AND ended_at >= $1 AND ended_at < $2 GROUP BY 1, 2`,
			func(m *Minute, state string, n int64) {
				switch state {
				case "failed":
					m.Failed = n
				case "done", "skipped":
					m.Done += n
				}
			}},
	} {
		type count struct {
			minute int64
			state  string
			n      int64
		}
		found, err := queryAll(ctx, s.read, func(rows *sql.Rows) (c count, err error) {
			err = rows.Scan(&c.minute, &c.state, &c.n)
			return c, err
		}, q.text, millis(from), millis(to))
		if err != nil {
			return nil, fmt.Errorf("count what happened by minute: %w", err)
		}
		for _, c := range found {
			if i := c.minute - millis(from)/60000; i >= 0 && i < int64(len(minutes)) {
				q.add(&minutes[i], c.state, c.n)
			}
		}
	}
	return minutes, nil
}

// Pulse is what tells that something has happened since one looked last: whoever finds two of
// them equal has missed nothing that a list shows.
type Pulse struct {
	Event, Transfer, Operation int64 // the newest
	Pending                    int64 // the oldest event that routing has not decided
	Settled, Ended             int64 // when an operation, and a transfer, last did
}

// Pulse reads only the ends of indexes, so that it can be asked every second.
func (s *Store) Pulse(ctx context.Context) (p Pulse, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT
			coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM transfers), 0),
			coalesce((SELECT max(id) FROM operations), 0), coalesce((SELECT min(id) FROM events WHERE state = 'pending'), 0),
			coalesce((SELECT max(settled_at) FROM operations WHERE state = 'settled'), 0),
			coalesce((SELECT max(ended_at) FROM transfers WHERE ended_at <> 0), 0)`).
		Scan(&p.Event, &p.Transfer, &p.Operation, &p.Pending, &p.Settled, &p.Ended)
	if err != nil {
		return p, fmt.Errorf("read what is newest: %w", err)
	}
	return p, nil
}
