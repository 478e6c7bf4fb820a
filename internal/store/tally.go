package store

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// Counting every row of a large table takes a second. Where it takes long, it is done every few
// minutes, and in between only what can have changed is counted.
const (
	tallySlow = 50 * time.Millisecond
	tallyFor  = 5 * time.Minute
)

// tally is the count of a table's rows by state.
type tally struct {
	mu     sync.Mutex // guards the rest
	at     time.Time
	took   time.Duration
	upTo   int64 // the last id that was counted
	states map[string]int64
}

// count counts a table's rows by state. In a large table the states that are exact are, and the most
// frequent one is what is left of all rows; rows that were deleted since the last full count, and those
// that changed between the lasting states, show with the next one.
func (t *tally) count(ctx context.Context, s *Store, table string, exact, lasting []string, rest string) (map[string]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	began := time.Now()
	if t.took < tallySlow || began.Sub(t.at) > tallyFor {
		return t.all(ctx, s, table, began)
	}
	counts := map[string]int64{}
	added, err := one(queryColumn[int64](ctx, s.read, `SELECT count(*) FROM `+table+` WHERE id > $1`, t.upTo))
	if err != nil {
		return nil, err
	}
	left := added
	for _, n := range t.states {
		left += n
	}
	for _, state := range exact {
		if counts[state], err = one(queryColumn[int64](ctx, s.read, `SELECT count(*) FROM `+table+` WHERE state = $1`, state)); err != nil {
			return nil, err
		}
		left -= counts[state]
	}
	for _, state := range lasting {
		n, err := one(queryColumn[int64](ctx, s.read, `SELECT count(*) FROM `+table+` WHERE state = $1 AND id > $2`, state, t.upTo))
		if err != nil {
			return nil, err
		}
		counts[state] = t.states[state] + n
		left -= counts[state]
	}
	counts[rest] = max(left, 0)
	return counts, nil
}

// all counts every row.
func (t *tally) all(ctx context.Context, s *Store, table string, began time.Time) (map[string]int64, error) {
	type group struct {
		state   string
		n, upTo int64
	}
	groups, err := queryAll(ctx, s.read, func(rows *sql.Rows) (g group, err error) {
		err = rows.Scan(&g.state, &g.n, &g.upTo)
		return g, err
	}, `SELECT state, count(*), max(id) FROM `+table+` GROUP BY state`)
	if err != nil {
		return nil, err
	}
	t.upTo, t.states = 0, map[string]int64{}
	counts := map[string]int64{}
	for _, g := range groups {
		t.states[g.state], counts[g.state] = g.n, g.n
		t.upTo = max(t.upTo, g.upTo)
	}
	t.at, t.took = began, time.Since(began)
	return counts, nil
}
