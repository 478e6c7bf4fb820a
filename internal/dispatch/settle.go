package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// settle finds out what became of an operation that an earlier run left open.
func (d *Dispatcher) settle(ctx context.Context, portal Portal, op *store.Operation, until time.Time) (step, error) {
	if len(op.Transfers) == 0 {
		return d.settled(ctx, op, nil, "")
	}
	if op.PortalID == "" {
		return d.search(ctx, portal, op, "the gateway stopped before the portal's answer was known")
	}
	return d.follow(ctx, portal, op, until)
}

// follow polls a running operation until it ends or this run has taken long enough.
func (d *Dispatcher) follow(ctx context.Context, portal Portal, op *store.Operation, until time.Time) (step, error) {
	wait := d.o.PollFirst
	for {
		answer, err := portal.Operation(ctx, op.PortalID)
		switch {
		case errors.Is(err, docspace.ErrUnknownOperation):
			// Finished and read before, dropped, or expired: only the destination tells.
			return d.search(ctx, portal, op, "the portal forgot the operation before its result was read")
		case err != nil:
			if ctx.Err() != nil {
				return step{}, err
			}
			d.log.Warn("operation not followed", "portal", op.Portal, "lane", op.Lane, "operation_id", op.ID, "err", err)
			return step{wait: d.pauseAfter(err)}, nil
		case answer.Ended():
			return d.settleResult(ctx, portal, op, answer)
		}
		if d.timeUp(until) {
			return step{wait: d.o.PollEvery}, nil
		}
		if err := d.sleep(ctx, wait); err != nil {
			return step{}, err
		}
		wait = min(2*wait, d.o.PollEvery)
	}
}

func (d *Dispatcher) pauseAfter(err error) time.Duration {
	if pause, ok := d.portalTrouble(err); ok {
		return pause
	}
	return d.o.PollEvery
}

// settleResult settles an operation whose result has been read. The result can be read only
// once, so from here on the destination is the only other witness.
func (d *Dispatcher) settleResult(ctx context.Context, portal Portal, op *store.Operation, answer docspace.Operation) (step, error) {
	seen := entriesOf(answer, op.Transfers[0])
	credit := attribute(op.Transfers, seen)
	missing := without(op.Transfers, credit)
	if len(missing) > 0 {
		// A result may lack what was done, and a file may have been renamed since its event.
		more, err := d.look(ctx, portal, op, missing)
		if err != nil {
			return d.cannotLook(ctx, op, err)
		}
		for id, e := range more {
			credit[id] = e
		}
	}
	return d.conclude(ctx, portal, op, credit, answer.Error)
}

// search looks in the destination for what an operation did whose result cannot be read any
// more. It is over when everything is there, or when nothing more has appeared for longer
// than DocSpace lets an operation go on without progress.
func (d *Dispatcher) search(ctx context.Context, portal Portal, op *store.Operation, problem string) (step, error) {
	credit, err := d.look(ctx, portal, op, op.Transfers)
	if err != nil {
		return d.cannotLook(ctx, op, err)
	}
	if len(credit) == len(op.Transfers) {
		return d.conclude(ctx, portal, op, credit, problem)
	}
	if len(credit) > op.Seen {
		if err := d.o.Store.MarkSeen(ctx, op, len(credit)); err != nil {
			return step{}, err
		}
	}
	quietSince := op.StartedAt
	if op.SeenAt.After(quietSince) {
		quietSince = op.SeenAt
	}
	if rest := d.o.SettleAfter - d.o.Now().Sub(quietSince); rest > 0 {
		return step{wait: min(rest, 5*d.o.PollEvery)}, nil
	}
	return d.conclude(ctx, portal, op, credit, problem)
}

// cannotLook leaves an operation open while the portal cannot be asked what became of it.
func (d *Dispatcher) cannotLook(ctx context.Context, op *store.Operation, err error) (step, error) {
	if ctx.Err() != nil {
		return step{}, err
	}
	if docspace.IsGone(err) {
		outcome := store.Outcome{State: event.Failed, Reason: fmt.Sprintf("the destination folder %s does not exist", op.Transfers[0].Destination)}
		return d.settled(ctx, op, sameForAll(op, outcome, d.retryOrFail), err.Error())
	}
	d.log.Warn("operation not settled", "portal", op.Portal, "lane", op.Lane, "operation_id", op.ID, "err", err)
	return step{wait: d.pauseAfter(err)}, nil
}

// conclude settles an operation that is certainly over: what was credited is done, and the
// rest is skipped, retried or failed.
func (d *Dispatcher) conclude(ctx context.Context, portal Portal, op *store.Operation, credit map[int64]entry, problem string) (step, error) {
	var outcomes []store.Outcome
	for _, t := range op.Transfers {
		if e, ok := credit[t.ID]; ok {
			outcomes = append(outcomes, store.Outcome{TransferID: t.ID, State: event.Done, Attempted: true, ResultID: e.id, ResultTitle: e.title})
		}
	}
	missing := without(op.Transfers, credit)
	if len(missing) > 0 {
		if outcome, lost := d.destinationTrouble(ctx, portal, missing[0]); lost {
			rest := &store.Operation{Transfers: missing}
			return d.settled(ctx, op, append(outcomes, sameForAll(rest, outcome, d.retryOrFail)...), problem)
		}
	}
	var titles map[string]bool
	if len(missing) > 0 && missing[0].Conflict == event.Skip {
		// A skipped conflict leaves no trace but the missing entry.
		var err error
		if titles, err = titlesIn(ctx, portal, missing[0]); err != nil {
			return d.cannotLook(ctx, op, err)
		}
	}
	for _, t := range missing {
		if titles[strings.ToLower(t.Title)] {
			outcomes = append(outcomes, store.Outcome{TransferID: t.ID, State: event.Skipped, Attempted: true,
				Reason: "the destination already holds an entry of this title"})
			continue
		}
		outcomes = append(outcomes, d.unaccounted(ctx, portal, t, len(op.Transfers), len(missing), problem))
	}
	return d.settled(ctx, op, outcomes, problem)
}

// unaccounted decides on a transfer of which nothing was found although its operation is
// over. In a batch the cause is not known, so it is tried again in a smaller one; alone it is.
func (d *Dispatcher) unaccounted(ctx context.Context, portal Portal, t store.Transfer, batch, missing int, problem string) store.Outcome {
	if gone(ctx, portal, t) {
		return failedAsGone(t)
	}
	if problem == "" {
		problem = "DocSpace reported the operation as finished, but the entry is not in the destination"
	}
	if batch > 1 {
		return store.Outcome{TransferID: t.ID, State: event.Queued, Reason: problem, MaxBatch: max(1, missing/2)}
	}
	return d.retryOrFail(t, problem)
}

// settled stores the outcomes of an operation, reports them, and wakes the lanes of moves
// that waited for them. What was found out is stored even while the gateway stops.
func (d *Dispatcher) settled(ctx context.Context, op *store.Operation, outcomes []store.Outcome, problem string) (step, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	lanes, err := d.o.Store.SettleOperation(ctx, op, outcomes, problem)
	if err != nil {
		return step{}, err
	}
	d.report(ctx, op, outcomes, problem)
	if err := d.o.Wake(ctx, lanes); err != nil {
		// The moves are queued; the sweep will wake their lanes.
		d.log.Error("lanes not woken", "err", err)
	}
	return step{}, nil
}

func without(transfers []store.Transfer, credit map[int64]entry) []store.Transfer {
	var rest []store.Transfer
	for _, t := range transfers {
		if _, ok := credit[t.ID]; !ok {
			rest = append(rest, t)
		}
	}
	return rest
}

// timeUp reports whether a job run is to make room: it has taken long enough, or the gateway
// stops.
func (d *Dispatcher) timeUp(until time.Time) bool {
	select {
	case <-d.o.Stopping:
		return true
	default:
		return !d.o.Now().Before(until)
	}
}

// sleep waits, at most until the gateway stops.
func (d *Dispatcher) sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.o.Stopping:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
