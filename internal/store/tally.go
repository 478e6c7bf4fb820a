package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"docspace-router/internal/guard"
)

// Countable is up to how many rows are counted whenever somebody asks. Counting a million takes the
// better part of a second, so what is more is counted beside the requests, and they are told the last
// count.
const Countable = 10_000

// countingShare keeps the counting of everything to one part in so many of the time.
const countingShare = 50

// A full count that takes longer than longestCount has lost its database, and is begun again countAgain
// after it failed.
const (
	longestCount = 2 * time.Minute
	countAgain   = 30 * time.Second
)

// atMost counts rows, and stops at the first one beyond Countable.
func atMost(from string) string {
	return fmt.Sprintf(`(SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS counted)`, from, Countable+1)
}

// group is what is counted: the rows of a table in a state, and of transfers that wait those of a portal.
type group struct{ table, state, portal string }

// tally is the last full count.
type tally struct {
	mu     sync.Mutex // guards the rest
	counts map[group]int64
	at     time.Time // by the store's clock; zero before the first
	err    error     // of the last try
	next   time.Time // when counting may begin again
	cancel func()    // of the counting under way
	closed bool

	work sync.WaitGroup
}

// figure is how many rows a group has, of which n were counted just now: that many, or more than
// Countable. Then it is what the last full count found, and at is when; before the first one,
// at is zero.
func (s *Store) figure(g group, n int64) (figure int64, at time.Time, err error) {
	if n <= Countable {
		return n, s.now(), nil
	}
	t := &s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	s.countAll()
	if t.counts == nil {
		return n, t.at, t.err
	}
	return max(n, t.counts[g]), t.at, nil // however old: it says so
}

// countAll begins a full count, unless there is one under way or the last one is too recent. It is called
// with the lock held.
func (s *Store) countAll() {
	t := &s.tally
	began := time.Now()
	if t.closed || t.cancel != nil || began.Before(t.next) {
		return
	}
	var ctx context.Context
	ctx, t.cancel = context.WithTimeout(context.Background(), longestCount)
	t.work.Go(func() {
		at := s.now()
		var counts map[group]int64
		err := guard.Call(func() (err error) { counts, err = s.fullCount(ctx); return err })
		t.mu.Lock()
		defer t.mu.Unlock()
		t.cancel()
		t.cancel = nil
		if t.err = err; err != nil {
			t.next = time.Now().Add(countAgain)
			return
		}
		t.next = time.Now().Add(countingShare * time.Since(began))
		t.counts, t.at = counts, at
	})
}

// stopCounting ends the counting under way, for good.
func (s *Store) stopCounting() {
	t := &s.tally
	t.mu.Lock()
	t.closed = true
	if t.cancel != nil {
		t.cancel()
	}
	t.mu.Unlock()
	t.work.Wait()
}

// fullCount counts every row, along indexes.
func (s *Store) fullCount(ctx context.Context) (map[group]int64, error) {
	counts := map[group]int64{}
	for table, query := range map[string]string{
		"events":    `SELECT state, '', count(*) FROM events GROUP BY state`,
		"transfers": `SELECT state, '', count(*) FROM transfers GROUP BY state`,
		"waiting":   `SELECT state, portal, count(*) FROM transfers WHERE state IN ('blocked', 'queued', 'sending') GROUP BY state, portal`,
	} {
		_, err := queryAll(ctx, s.read, func(rows *sql.Rows) (n int64, err error) {
			g := group{table: table}
			err = rows.Scan(&g.state, &g.portal, &n)
			counts[g] = n
			return n, err
		}, query)
		if err != nil {
			return nil, fmt.Errorf("count all %s: %w", table, err)
		}
	}
	return counts, nil
}
