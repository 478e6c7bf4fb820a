package ingest

import (
	"context"
	"errors"

	"docspace-router/internal/store"
)

// Take stores events that came another way than the endpoint, in the order given and in the group
// commits that deliveries share, and returns how many had not been stored before.
func (h *Handler) Take(ctx context.Context, events []store.NewEvent) (stored int, err error) {
	duplicates, err := h.committer.commitAll(ctx, events)
	for i, duplicate := range duplicates {
		if !duplicate {
			stored++
			h.metrics.events.WithLabelValues(events[i].Portal, boundedTrigger(events[i].Event.Trigger)).Inc()
		}
	}
	return stored, err
}

// commitAll stores events and returns after the transactions that hold them have committed. With
// an error the answer is about the first events only.
func (c *committer) commitAll(ctx context.Context, events []store.NewEvent) (duplicates []bool, err error) {
	waiters := make([]waiter, 0, len(events))
	for _, ev := range events {
		w := waiter{event: ev, done: make(chan result, 1)}
		select {
		case c.waiting <- w:
			waiters = append(waiters, w)
			continue
		case <-c.stopped:
			err = errStopped
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	for _, w := range waiters {
		r := c.result(w)
		if r.err != nil {
			return duplicates, errors.Join(err, r.err)
		}
		duplicates = append(duplicates, r.duplicate)
	}
	return duplicates, err
}
