package ingest

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"docspace-router/internal/store"
)

// Store is the part of the database that ingest needs.
type Store interface {
	InTx(ctx context.Context, f func(*sql.Tx) error) error
	InsertEvents(ctx context.Context, tx *sql.Tx, events []store.NewEvent) ([]int64, error)
}

// Enqueue inserts the job that will route the stored events, in their transaction.
type Enqueue func(ctx context.Context, tx *sql.Tx, events []int64) error

// committer joins concurrent deliveries into group commits: whatever arrives while one
// transaction commits goes into the next.
type committer struct {
	store    Store
	enqueue  Enqueue
	timeout  time.Duration
	maxGroup int
	metrics  *metrics
	waiting  chan waiter
}

// waiter is a delivery that waits for its commit. done is buffered, so that a delivery whose
// sender has gone away holds nobody up.
type waiter struct {
	event store.NewEvent
	done  chan result
}

type result struct {
	duplicate bool
	err       error
}

// commit stores an event and returns after the transaction that holds it has committed.
func (c *committer) commit(ctx context.Context, ev store.NewEvent) (duplicate bool, err error) {
	w := waiter{event: ev, done: make(chan result, 1)}
	select {
	case c.waiting <- w:
	case <-ctx.Done():
		return false, fmt.Errorf("wait to be stored: %w", ctx.Err())
	}
	select {
	case r := <-w.done:
		return r.duplicate, r.err
	case <-ctx.Done():
		return false, fmt.Errorf("wait to be stored: %w", ctx.Err())
	}
}

// run commits groups until ctx ends.
func (c *committer) run(ctx context.Context) {
	for {
		select {
		case w := <-c.waiting:
			c.commitGroup(ctx, c.gather(w))
		case <-ctx.Done():
			return
		}
	}
}

// gather takes what waits at this moment; it never waits for more to come.
func (c *committer) gather(first waiter) []waiter {
	group := []waiter{first}
	for len(group) < c.maxGroup {
		select {
		case w := <-c.waiting:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (c *committer) commitGroup(ctx context.Context, group []waiter) {
	// A group that has begun is finished, even while the gateway stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()

	events := make([]store.NewEvent, len(group))
	for i, w := range group {
		events[i] = w.event
	}
	var ids []int64
	err := c.store.InTx(ctx, func(tx *sql.Tx) error {
		var err error
		if ids, err = c.store.InsertEvents(ctx, tx, events); err != nil {
			return err
		}
		var stored []int64
		for _, id := range ids {
			if id != 0 {
				stored = append(stored, id)
			}
		}
		if len(stored) == 0 {
			return nil
		}
		return c.enqueue(ctx, tx, stored)
	})
	c.metrics.groupSize.Observe(float64(len(group)))
	for i, w := range group {
		if err != nil {
			w.done <- result{err: err}
		} else {
			w.done <- result{duplicate: ids[i] == 0}
		}
	}
}
