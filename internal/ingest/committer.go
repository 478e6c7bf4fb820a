package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/guard"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// Store is the part of the database that ingest needs.
type Store interface {
	InTx(ctx context.Context, f func(*sql.Tx) error) error
	InsertEvents(ctx context.Context, tx *sql.Tx, events []store.NewEvent) ([]int64, error)
}

// Enqueue inserts the job that will route stored events of one portal, in their transaction.
type Enqueue func(ctx context.Context, tx *sql.Tx, portal string, events []int64) error

// committer joins concurrent deliveries into group commits: whatever arrives while one
// transaction commits goes into the next.
type committer struct {
	store    Store
	enqueue  Enqueue
	timeout  time.Duration
	maxGroup int
	metrics  *metrics
	tracer   trace.Tracer
	waiting  chan waiter
	stopped  chan struct{} // closed after the last group commit
}

// waiter is a delivery that waits for its commit. done is buffered, so that a delivery whose
// sender has gone away holds nobody up.
type waiter struct {
	event store.NewEvent
	span  trace.SpanContext
	done  chan result
}

type result struct {
	duplicate bool
	err       error
	span      trace.SpanContext // of the group commit
}

// errStopped says that a delivery came after the last group commit.
var errStopped = errors.New("the gateway is stopping")

// commit stores an event and returns after the transaction that holds it has committed. A
// delivery that waits for its commit goes on waiting when its sender leaves, because it will
// be stored all the same and is to be counted as such.
func (c *committer) commit(ctx context.Context, ev store.NewEvent) (duplicate bool, err error) {
	w := waiter{event: ev, span: trace.SpanContextFromContext(ctx), done: make(chan result, 1)}
	select {
	case c.waiting <- w:
	case <-c.stopped:
		return false, errStopped
	case <-ctx.Done():
		return false, fmt.Errorf("wait to be stored: %w", ctx.Err())
	}
	r := c.result(w)
	if r.span.IsValid() {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: r.span})
	}
	return r.duplicate, r.err
}

// result waits for the commit of what has been handed over.
func (c *committer) result(w waiter) result {
	select {
	case r := <-w.done:
		return r
	case <-c.stopped:
	}
	select {
	case r := <-w.done: // it was in the last group
		return r
	default:
		return result{err: errStopped}
	}
}

// run commits groups until ctx ends, and then what still waits.
func (c *committer) run(ctx context.Context) {
	defer close(c.stopped)
	for {
		select {
		case w := <-c.waiting:
			c.commitGroup(ctx, c.gather(w))
		case <-ctx.Done():
			for {
				select {
				case w := <-c.waiting:
					c.commitGroup(ctx, c.gather(w))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits at this moment. It never waits for more to come, but it lets
// deliveries that have already arrived be read first: giving way costs nothing when there are
// none, and a larger group makes every commit in it cheaper.
func (c *committer) gather(first waiter) []waiter {
	const yields = 4
	group := []waiter{first}
	for idle := 0; len(group) < c.maxGroup && idle < yields; {
		select {
		case w := <-c.waiting:
			group = append(group, w)
			idle = 0
		default:
			idle++
			runtime.Gosched()
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
	span := trace.SpanFromContext(ctx) // none
	err := guard.Call(func() error {
		ctx, span = c.span(ctx, group)
		return c.store.InTx(ctx, func(tx *sql.Tx) (err error) {
			ids, err = c.storeGroup(ctx, tx, events)
			return err
		})
	})
	tracing.End(span, err)
	c.metrics.groupSize.Observe(float64(len(group)))
	for i, w := range group {
		if err != nil {
			w.done <- result{err: err, span: span.SpanContext()}
		} else {
			w.done <- result{duplicate: ids[i] == 0, span: span.SpanContext()}
		}
	}
}

// storeGroup stores events and inserts the jobs that route them. An id is 0 where the event is known.
func (c *committer) storeGroup(ctx context.Context, tx *sql.Tx, events []store.NewEvent) ([]int64, error) {
	ids, err := c.store.InsertEvents(ctx, tx, events)
	if err != nil {
		return nil, err
	}
	stored := map[string][]int64{}
	for i, id := range ids {
		if id != 0 {
			stored[events[i].Portal] = append(stored[events[i].Portal], id)
		}
	}
	for portal, ids := range stored {
		if err := c.enqueue(ctx, tx, portal, ids); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
