package app

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/riverqueue/river"

	"docspace-router/internal/backfill"
	"docspace-router/internal/dispatch"
	"docspace-router/internal/routing"
	"docspace-router/internal/store"
)

// buildBackfills makes what walks the sources of rules, with jobs and job queues of its own, so
// that nothing of this moment waits for it.
func (a *App) buildBackfills() (err error) {
	if a.backfills, err = backfill.New(backfill.Options{
		Store:    a.store,
		Router:   a.routing,
		Snapshot: a.routingSnapshot,
		Portal:   a.backfillPortal,
		Enqueue:  a.jobs.enqueueBackfill,
		Route:    a.jobs.enqueueBackfillRoute,
		Wake:     a.jobs.wake,
		Stopping: a.stopping,
		Look:     a.o.Pace.Sweep,
		Pause:    a.o.Pace.PortalPause,
		Logger:   a.o.Logger,
	}); err != nil {
		return err
	}
	return river.AddWorkerSafely(a.jobs.workers, a.backfills)
}

func (a *App) backfillPortal(name string) (backfill.Portal, bool) {
	p, ok := a.current.Load().portals[name]
	if !ok {
		return nil, false
	}
	return p.client, true
}

// backfillQueues are the job queues that a portal has for backfills, with their workers: few, as
// they share the portal's limits of requests with what people do now.
func backfillQueues(portal string) map[string]int {
	return map[string]int{queueOf(backfill.Queue, portal): 2, queueOf(backfill.LaneQueue, portal): 4}
}

// laneQueue is the job queue of a lane.
func laneQueue(lane string) string {
	if store.IsBackfillLane(lane) {
		return queueOf(backfill.LaneQueue, dispatch.PortalOf(lane))
	}
	return queueOf(dispatch.Queue, dispatch.PortalOf(lane))
}

// serveAtStart makes the job queues of the portals in the rules file, and of those that have left it
// while a backfill of theirs was running. A portal that only transfers wait for has its queues from wake.
func (a *App) serveAtStart(ctx context.Context) error {
	running, err := a.store.RunningBackfills(ctx)
	if err != nil {
		return err
	}
	portals := a.current.Load().names()
	for _, b := range running {
		portals = append(portals, b.Portal)
	}
	return a.jobs.serve(portals)
}

// enqueueBackfill inserts a backfill's job, in the transaction that stores it.
func (j *jobs) enqueueBackfill(ctx context.Context, tx *sql.Tx, portal string, id int64) error {
	opts := &river.InsertOpts{Queue: queueOf(backfill.Queue, portal)}
	if _, err := j.client.InsertTx(ctx, tx, backfill.JobArgs{ID: id}, opts); err != nil {
		return fmt.Errorf("insert backfill job: %w", err)
	}
	return nil
}

// enqueueBackfillRoute inserts the job that decides on a backfill's events which could not be
// decided at once. It waits behind no event of this moment, and none waits behind it.
func (j *jobs) enqueueBackfillRoute(ctx context.Context, tx *sql.Tx, portal string, events []int64) error {
	opts := &river.InsertOpts{Queue: queueOf(backfill.Queue, portal)}
	if _, err := j.client.InsertTx(ctx, tx, routing.JobArgs{Events: events}, opts); err != nil {
		return fmt.Errorf("insert route job of a backfill: %w", err)
	}
	return nil
}
