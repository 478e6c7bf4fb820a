package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// claimFresh is how long an operation may be sent after its row was written or looked at. It is
// less than the time after which replicas take over from one that is silent.
const claimFresh = 10 * time.Second

// send makes the call of an operation whose row has been written and goes on to settle it.
func (d *Dispatcher) send(ctx context.Context, portal Portal, op *store.Operation, until time.Time) (step, error) {
	if completes(op.Transfers[0]) {
		return d.complete(ctx, portal, op, until)
	}
	if err := d.beforeResending(ctx, portal, op); err != nil {
		if next, lost, err := d.destinationLost(ctx, portal, op, err); lost || err != nil {
			return next, err
		}
		return d.notSent(ctx, op, err)
	}
	if len(op.Transfers) == 0 {
		d.giveBackWrite(ctx, op)
		return d.settled(ctx, op, nil, "")
	}
	first := op.Transfers[0]
	ids := make([]event.ID, len(op.Transfers))
	for i, t := range op.Transfers {
		ids[i] = t.EntryID
	}
	return d.call(ctx, portal, op, until, docspace.Batch{
		Action: first.Action, Kind: first.Kind, IDs: ids, Destination: first.Destination, Conflict: first.Conflict,
	})
}

// call asks the portal for an operation and goes on to settle it.
func (d *Dispatcher) call(ctx context.Context, portal Portal, op *store.Operation, until time.Time, b docspace.Batch) (step, error) {
	b.Before = op.StartedAt.Add(claimFresh)
	if now := d.o.Now(); now.After(b.Before) {
		// Preparing it took long. Another replica may have taken this process for dead meanwhile.
		mine, err := d.o.Store.StillSending(ctx, op)
		if err != nil {
			return step{}, err
		}
		if !mine {
			return step{}, fmt.Errorf("operation %d: another process has taken it over", op.ID)
		}
		b.Before = now.Add(claimFresh)
	}
	answer, err := portal.Start(ctx, b)
	if err == nil {
		d.holds.release(op.Portal)
		d.holds.release(op.Lane)
	}
	switch {
	case err == nil && answer.Ended():
		// The answer may already be the result, and then it cannot be read a second time.
		return d.settleResult(ctx, portal, op, answer)
	case err == nil:
		if err := d.o.Store.MarkRunning(ctx, op, answer.ID); err != nil {
			return step{}, err
		}
		return d.follow(ctx, portal, op, until)
	case docspace.Uncertain(err):
		return d.lost(ctx, portal, op, err)
	default:
		return d.refused(ctx, portal, op, err)
	}
}

// lost goes on after a call whose outcome is unknown.
func (d *Dispatcher) lost(ctx context.Context, portal Portal, op *store.Operation, err error) (step, error) {
	d.log.Warn("answer lost", "portal", op.Portal, "lane", op.Lane, "operation_id", op.ID, "err", err)
	return d.search(ctx, portal, op, fmt.Sprintf("the portal's answer was lost: %v", err))
}

// giveBackWrite returns the write that an operation took from the day's budget and did not use.
func (d *Dispatcher) giveBackWrite(ctx context.Context, op *store.Operation) {
	if err := d.o.Store.GiveBackWrite(ctx, op.Portal); err != nil {
		d.log.Warn("write not given back to the budget", "portal", op.Portal, "operation_id", op.ID, "err", err)
	}
}

// notSent puts an operation back before anything of it was sent.
func (d *Dispatcher) notSent(ctx context.Context, op *store.Operation, err error) (step, error) {
	d.giveBackWrite(ctx, op)
	next, settleErr := d.settled(ctx, op, requeueAll(op.Transfers, store.Outcome{Reason: err.Error()}, keepLimit), err.Error())
	if settleErr != nil {
		return next, settleErr
	}
	return step{wait: d.pauseAfter(err)}, nil
}

// beforeResending looks for what earlier tries of the operation's transfers did after all: a
// large file may arrive long after the portal dropped its operation. It also makes sure that
// the entries are still the ones that were meant.
func (d *Dispatcher) beforeResending(ctx context.Context, portal Portal, op *store.Operation) error {
	var tried []store.Transfer
	for _, t := range op.Transfers {
		if !t.SentAt.IsZero() {
			tried = append(tried, t)
		}
	}
	if len(tried) == 0 {
		return nil
	}
	credit, err := d.look(ctx, portal, op, tried, nil)
	if err != nil {
		return err
	}
	outcomes := d.creditOutcomes(tried, credit, "")
	rest := without(tried, credit)
	for i, e := range findAll(ctx, portal, rest) {
		if e.gone(rest[i]) {
			outcomes = append(outcomes, failedAsGone(rest[i]))
		}
	}
	return d.account(ctx, op, outcomes)
}

// refused settles an operation that the portal did not take: DocSpace checks every id before
// it queues anything, so that nothing was done.
func (d *Dispatcher) refused(ctx context.Context, portal Portal, op *store.Operation, err error) (step, error) {
	var status *docspace.StatusError
	answered := errors.As(err, &status)
	if pause, ok := d.portalTrouble(err); ok {
		after, limited := docspace.IsRateLimited(err)
		if limited && after >= time.Minute {
			// The day's writes are used up: no replica needs to ask again before.
			if err := d.o.Store.PausePortal(ctx, op.Portal, d.o.Now().Add(after), "the portal's limit of writes per day is reached"); err != nil {
				return step{}, err
			}
		}
		switch {
		case limited:
			// Without Retry-After, which is the rule, one of the limits per minute was hit.
			pause = d.holds.hold(op.Portal, pause, time.Minute, d.o.Now())
		case answered:
			// A maintenance page or a missing scope may stay for hours, and each call that meets
			// it is one of the day's writes.
			pause = d.holds.hold(op.Portal, pause, holdMax, d.o.Now())
		}
		again := requeueAll(op.Transfers, store.Outcome{Reason: err.Error(), Unsent: true}, keepLimit)
		next, settleErr := d.settled(ctx, op, again, err.Error())
		if settleErr != nil {
			return next, settleErr
		}
		return step{wait: min(pause, time.Minute)}, nil
	}
	if next, lost, err := d.destinationLost(ctx, portal, op, err); lost || err != nil {
		return next, err
	}
	n := len(op.Transfers)
	if n > 1 {
		// One bad id refuses the whole batch. Asking for each entry costs reads, of which there
		// are plenty; where that finds nothing, halve the batch until the bad one stands alone.
		if outcomes, found := d.weed(ctx, portal, op); found {
			return d.settled(ctx, op, outcomes, err.Error())
		}
	}
	if answered && status.StatusCode >= http.StatusInternalServerError && !gone(ctx, portal, op.Transfers[0]) {
		// A vanished entry gives 500, and so may anything that broke after the queueing.
		return d.lost(ctx, portal, op, err)
	}
	if n > 1 {
		half := requeueAll(op.Transfers, store.Outcome{Reason: err.Error(), Unsent: true}, func(store.Transfer) int { return (n + 1) / 2 })
		return d.settled(ctx, op, half, err.Error())
	}
	t := op.Transfers[0]
	var outcome store.Outcome
	if completes(t) {
		// The refusal is about something in the folder, and the next attempt sends another part.
		outcome = d.retryOrFail(t, fmt.Sprintf("%s: %v", lacking(t), err))
	} else {
		outcome = d.refusedAlone(ctx, portal, t, err)
	}
	outcome.Unsent = true
	return d.settled(ctx, op, []store.Outcome{outcome}, err.Error())
}

// portalTrouble reports whether a failure is the portal's as a whole, so that it says nothing
// about the transfers and must cost them nothing, and how long to leave the portal alone.
func (d *Dispatcher) portalTrouble(err error) (pause time.Duration, ok bool) {
	if after, limited := docspace.IsRateLimited(err); limited {
		return max(after, d.o.PortalPause/5), true
	}
	var unanswered *docspace.UnansweredError
	if docspace.IsPortalDown(err) || docspace.IsCredentials(err) || docspace.IsForeign(err) || errors.As(err, &unanswered) {
		return d.o.PortalPause, true
	}
	return 0, false
}

// destinationTrouble asks whether the destination is the reason for a refusal.
func (d *Dispatcher) destinationTrouble(ctx context.Context, portal Portal, t store.Transfer) (store.Outcome, bool) {
	folder, err := portal.Folder(ctx, t.Destination)
	switch {
	case docspace.IsGone(err):
		return store.Outcome{State: event.Failed, Reason: fmt.Sprintf("the destination folder %s does not exist", t.Destination)}, true
	case docspace.IsForbidden(err):
		return store.Outcome{State: event.Queued, Reason: fmt.Sprintf(
			"the gateway's account may not open the destination folder %s: give it a role in that room", t.Destination)}, true
	case err != nil:
		return store.Outcome{}, false
	}
	if may, told := folder.Security["Create"]; told && !may {
		return store.Outcome{State: event.Queued, Reason: fmt.Sprintf(
			"the gateway's account may not create anything in the destination folder %s: make it content creator or manager of that room", t.Destination)}, true
	}
	return store.Outcome{}, false
}

// destinationLost settles an operation before anything of it was sent, if the destination is the
// reason for an error.
func (d *Dispatcher) destinationLost(ctx context.Context, portal Portal, op *store.Operation, err error) (next step, lost bool, _ error) {
	outcome, lost := d.destinationTrouble(ctx, portal, op.Transfers[0])
	if !lost {
		return step{}, false, nil
	}
	outcome.Unsent = true
	next, settleErr := d.settled(ctx, op, sameForAll(op.Transfers, outcome, d.retryOrFail), err.Error())
	if settleErr != nil || outcome.State != event.Queued {
		return next, true, settleErr
	}
	return step{wait: d.holds.hold(op.Lane, d.o.HoldFirst, holdMax, d.o.Now())}, true, nil
}

// weed asks the portal for every entry of a refused batch and takes out those that are gone
// or out of reach. The others are queued again, all together.
func (d *Dispatcher) weed(ctx context.Context, portal Portal, op *store.Operation) (outcomes []store.Outcome, found bool) {
	outcomes = requeueAll(op.Transfers, store.Outcome{Reason: "another entry of its batch was refused", Unsent: true}, keepLimit)
	for i, e := range findAll(ctx, portal, op.Transfers) {
		t := op.Transfers[i]
		switch {
		case e.gone(t):
			outcomes[i], found = failedAsGone(t), true
		case docspace.IsForbidden(e.err):
			outcomes[i], found = d.retryOrFail(t, noAccess(t, "it may not even see it")), true
		}
		outcomes[i].Unsent = true
	}
	return outcomes, found
}

func failedAsGone(t store.Transfer) store.Outcome {
	return store.Outcome{TransferID: t.ID, State: event.Failed, Attempted: true,
		Reason: fmt.Sprintf("the %s no longer exists: it was deleted before it could be sent", t.Kind)}
}

func noAccess(t store.Transfer, detail string) string {
	return fmt.Sprintf("DocSpace denies access to this %s (%s): the gateway's account lacks the right to %s it, "+
		"or somebody has it locked or open", t.Kind, detail, t.Action)
}

// refusedAlone decides on a transfer that was refused when it stood alone. DocSpace answers
// 403 both for a file that is gone and for one it will not hand out, so it is asked.
func (d *Dispatcher) refusedAlone(ctx context.Context, portal Portal, t store.Transfer, refusal error) store.Outcome {
	if gone(ctx, portal, t) {
		return failedAsGone(t)
	}
	var status *docspace.StatusError
	if errors.As(refusal, &status) {
		switch status.StatusCode {
		case http.StatusBadRequest, http.StatusUnsupportedMediaType:
			return store.Outcome{TransferID: t.ID, State: event.Failed, Attempted: true,
				Reason: fmt.Sprintf("DocSpace refuses this %s: %s", t.Kind, describe(status))}
		case http.StatusForbidden:
			return d.retryOrFail(t, noAccess(t, describe(status)))
		}
	}
	if errors.Is(refusal, docspace.ErrInvalid) {
		return store.Outcome{TransferID: t.ID, State: event.Failed, Attempted: true, Reason: refusal.Error()}
	}
	return d.retryOrFail(t, refusal.Error())
}

func describe(e *docspace.StatusError) string {
	if e.Message == "" {
		return http.StatusText(e.StatusCode)
	}
	return e.Message
}

// gone reports whether an entry has certainly ceased to exist.
func gone(ctx context.Context, portal Portal, t store.Transfer) bool {
	e, err := find(ctx, portal, t)
	return sighting{e, err}.gone(t)
}

// retryOrFail queues a transfer for its next attempt, or makes it a dead letter when it has
// been tried for long enough.
func (d *Dispatcher) retryOrFail(t store.Transfer, reason string) store.Outcome {
	o := store.Outcome{TransferID: t.ID, State: event.Queued, Reason: reason, Attempted: true, MaxBatch: t.MaxBatch}
	o.NextAttemptIn = d.backoff(t.Attempts)
	if t.FailingSince.IsZero() {
		return o
	}
	// Time counts from the first attempt that failed for a reason of the transfer's own: what
	// waits for a portal that is down, or for its budget, loses nothing.
	if failing := d.o.Now().Sub(t.FailingSince); failing+o.NextAttemptIn > d.o.RetryFor {
		o.State, o.NextAttemptIn = event.Failed, 0
		o.Reason = fmt.Sprintf("given up after %d attempts in %s: %s", t.Attempts+1, failing.Round(time.Minute), reason)
	}
	return o
}

// backoff doubles from RetryFirst to RetryMax, with up to a fifth of jitter so that transfers
// which failed together do not come back together.
func (d *Dispatcher) backoff(attempts int) time.Duration {
	wait := d.o.RetryFirst
	for range min(attempts, 30) {
		if wait *= 2; wait >= d.o.RetryMax {
			wait = d.o.RetryMax
			break
		}
	}
	return wait + rand.N(wait/5+1)
}

func keepLimit(t store.Transfer) int { return t.MaxBatch }

// requeueAll queues transfers again, without counting an attempt.
func requeueAll(transfers []store.Transfer, model store.Outcome, maxBatch func(store.Transfer) int) []store.Outcome {
	outcomes := make([]store.Outcome, len(transfers))
	for i, t := range transfers {
		o := model
		o.TransferID, o.State, o.MaxBatch = t.ID, event.Queued, maxBatch(t)
		outcomes[i] = o
	}
	return outcomes
}

// sameForAll gives transfers the same outcome, counted as an attempt.
func sameForAll(transfers []store.Transfer, model store.Outcome, retry func(store.Transfer, string) store.Outcome) []store.Outcome {
	outcomes := make([]store.Outcome, len(transfers))
	for i, t := range transfers {
		if model.State == event.Queued {
			outcomes[i] = retry(t, model.Reason)
		} else {
			outcomes[i] = model
			outcomes[i].TransferID, outcomes[i].Attempted = t.ID, true
		}
		outcomes[i].Unsent = model.Unsent
	}
	return outcomes
}
