package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		return d.search(ctx, portal, op, "the portal's answer was never received")
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
		return min(pause, time.Minute)
	}
	return d.o.PollEvery
}

// settleResult settles an operation whose result has been read. The result can be read only
// once, so what it proves is stored before anything else is asked.
func (d *Dispatcher) settleResult(ctx context.Context, portal Portal, op *store.Operation, answer docspace.Operation) (step, error) {
	if completes(op.Transfers[0]) {
		found, err := d.look(ctx, portal, op, op.Transfers, nil)
		if err != nil {
			return d.cannotLook(ctx, op, err)
		}
		return d.conclude(ctx, portal, op, found, answer.Error)
	}
	results := entriesOf(answer, op.Transfers[0])
	credit := attribute(op.Transfers, results)
	if rest := without(op.Transfers, credit); len(rest) > 0 {
		merge(credit, attributeRenamed(ctx, portal, rest, leftOver(results, credit)))
	}
	if len(credit) > 0 && op.Transfers[0].Kind == event.Folder && op.Transfers[0].Action == event.Copy {
		// The error of an entry within may have been erased by a later success, and an error that
		// is told may concern another folder of the batch.
		if err := d.inspect(ctx, portal, op, op.Transfers, credit); err != nil {
			return d.cannotLook(ctx, op, err)
		}
	}
	outcomes := d.creditOutcomes(op.Transfers, credit, answer.Error)
	missing := without(op.Transfers, credit)
	if strangers := leftOver(results, credit); len(missing) > 0 && len(strangers) == len(missing) {
		// As many entries came as are missing, and none of them is what was meant.
		outcomes = append(outcomes, d.mistaken(ctx, portal, missing, strangers)...)
	}
	if err := d.account(ctx, op, outcomes); err != nil {
		return step{}, err
	}
	if len(op.Transfers) > 0 && answer.Error == "" {
		// Whatever lies there under a skipped title is somebody else's.
		skipped, err := skippedOutcomes(ctx, portal, op.Transfers)
		if err != nil {
			return d.cannotLook(ctx, op, err)
		}
		if err := d.account(ctx, op, skipped); err != nil {
			return step{}, err
		}
	}
	if len(op.Transfers) == 0 {
		return d.settled(ctx, op, nil, answer.Error)
	}
	found, err := d.look(ctx, portal, op, op.Transfers, ids(results))
	if err != nil {
		return d.cannotLook(ctx, op, err)
	}
	return d.conclude(ctx, portal, op, found, answer.Error)
}

// mistaken settles transfers whose operation made entries of other titles, one for each. A
// renamed source explains that, and so does an id that DocSpace gave to another file after the
// newest one had been deleted for good; sending again would make one more of them either way.
func (d *Dispatcher) mistaken(ctx context.Context, portal Portal, missing []store.Transfer, strangers []entry) []store.Outcome {
	outcomes := make([]store.Outcome, len(missing))
	for i, t := range missing {
		e := strangers[i]
		o := store.Outcome{TransferID: t.ID, State: event.Done, Attempted: true, ResultID: e.id, ResultTitle: e.title, ResultVersion: e.version}
		if source, err := find(ctx, portal, t); err == nil && source.replaces(t) {
			o.State = event.Failed
			o.Reason = fmt.Sprintf("the %s was deleted, and DocSpace gave its number %s to %q; that one was sent instead and is now %q (%s) in the destination",
				t.Kind, t.EntryID, source.title, e.title, e.id)
		}
		outcomes[i] = o
	}
	return outcomes
}

// search looks in the destination for what an operation did whose result cannot be read any
// more. It is over when everything is there, or when nothing more has appeared for longer
// than DocSpace lets an operation go on without progress.
func (d *Dispatcher) search(ctx context.Context, portal Portal, op *store.Operation, problem string) (step, error) {
	if op.SeenAt.IsZero() {
		// From here on it is waited for: what was sent may be at work without our knowing.
		if err := d.o.Store.MarkSeen(ctx, op, 0); err != nil {
			return step{}, err
		}
	}
	before := len(op.Transfers)
	found, err := d.look(ctx, portal, op, op.Transfers, nil)
	if err != nil {
		return d.cannotLook(ctx, op, err)
	}
	whole := map[int64]entry{}
	seen := 0 // signs of life that are not outcomes yet
	var largest int64
	for id, e := range found {
		if e.partial {
			seen += 1 + e.holds
			largest = max(largest, e.largest)
		} else {
			whole[id] = e
		}
	}
	if err := d.account(ctx, op, d.creditOutcomes(op.Transfers, whole, "")); err != nil {
		return step{}, err
	}
	if len(op.Transfers) == 0 {
		return d.settled(ctx, op, nil, problem)
	}
	if len(op.Transfers) < before || seen > op.Seen {
		if err := d.o.Store.MarkSeen(ctx, op, seen); err != nil {
			return step{}, err
		}
	}
	quiet := d.o.Now().Sub(op.SeenAt)
	settleAfter := d.o.SettleAfter
	if op.PortalID == "" {
		// The call itself may still be at work on the portal, which checks every id inside it.
		settleAfter += settleAfter * 4 / 5
	}
	rest := settleAfter - quiet
	if rest <= 0 {
		// One very large file may go on being copied after the portal dropped its operation.
		rest = copyTime(ctx, portal, op.Transfers, largest) - quiet
	}
	if rest > 0 {
		return step{wait: min(rest, max(d.o.PollEvery, quiet/2), 20*d.o.PollEvery)}, nil
	}
	return d.conclude(ctx, portal, op, found, problem)
}

// copyTime is how long the portal may take for the largest of some files, or for one of that many
// bytes in a folder.
func copyTime(ctx context.Context, portal Portal, transfers []store.Transfer, largest int64) time.Duration {
	const bytesPerSecond = 5 << 20 // slower storage than this would time out elsewhere
	for _, e := range findAll(ctx, portal, transfers) {
		if e.err == nil {
			largest = max(largest, e.size)
		}
	}
	return time.Duration(largest/bytesPerSecond) * time.Second
}

// cannotLook leaves an operation open while the portal cannot be asked what became of it.
func (d *Dispatcher) cannotLook(ctx context.Context, op *store.Operation, err error) (step, error) {
	if ctx.Err() != nil {
		return step{}, err
	}
	if docspace.IsGone(err) {
		outcome := store.Outcome{State: event.Failed, Reason: fmt.Sprintf("the destination folder %s does not exist", op.Transfers[0].Destination)}
		return d.settled(ctx, op, sameForAll(op.Transfers, outcome, d.retryOrFail), err.Error())
	}
	d.log.Warn("operation not settled", "portal", op.Portal, "lane", op.Lane, "operation_id", op.ID, "err", err)
	return step{wait: d.pauseAfter(err)}, nil
}

// conclude settles an operation that is certainly over: what was found is done, and the rest
// is skipped, retried or failed.
func (d *Dispatcher) conclude(ctx context.Context, portal Portal, op *store.Operation, found map[int64]entry, problem string) (step, error) {
	outcomes := d.creditOutcomes(op.Transfers, found, problem)
	missing := without(op.Transfers, found)
	if len(missing) == 0 {
		return d.settled(ctx, op, outcomes, problem)
	}
	if outcome, lost := d.destinationTrouble(ctx, portal, missing[0]); lost {
		return d.settled(ctx, op, append(outcomes, sameForAll(missing, outcome, d.retryOrFail)...), problem)
	}
	skipped, err := skippedOutcomes(ctx, portal, missing)
	if err != nil {
		return d.cannotLook(ctx, op, err)
	}
	outcomes = append(outcomes, skipped...)
	rest := slices.DeleteFunc(slices.Clone(missing), func(t store.Transfer) bool {
		return slices.ContainsFunc(skipped, func(o store.Outcome) bool { return o.TransferID == t.ID })
	})
	for i, e := range findAll(ctx, portal, rest) {
		outcomes = append(outcomes, d.unaccounted(rest[i], e.gone(rest[i]), op.Size, len(missing), problem))
	}
	return d.settled(ctx, op, outcomes, problem)
}

// skippedOutcomes are the outcomes of transfers that DocSpace skipped because the destination
// held their title: a skipped conflict leaves no trace but the missing entry. A form and a plain
// file may share a title, and folders of one title are merged.
func skippedOutcomes(ctx context.Context, portal Portal, missing []store.Transfer) ([]store.Outcome, error) {
	if missing[0].Conflict != event.Skip {
		return nil, nil
	}
	held, err := titlesIn(ctx, portal, missing[0])
	if err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	for _, t := range missing {
		there := held[strings.ToLower(t.Title)]
		if len(there) == 0 {
			continue
		}
		var skipped bool
		if t.Kind == event.Folder {
			skipped, err = leftBehind(ctx, portal, t, there)
		} else {
			skipped, err = sameCategory(ctx, portal, t, there)
		}
		if err != nil {
			return nil, err
		}
		if skipped {
			outcomes = append(outcomes, store.Outcome{TransferID: t.ID, State: event.Skipped, Attempted: true,
				Reason: "the destination already holds an entry of this title"})
		}
	}
	return outcomes, nil
}

// sameCategory reports whether a file clashes with one of those of its title.
func sameCategory(ctx context.Context, portal Portal, t store.Transfer, there []entry) (bool, error) {
	source, err := portal.File(ctx, t.EntryID)
	switch {
	case docspace.IsGone(err) || docspace.IsForbidden(err):
		return true, nil // nobody can tell any more
	case err != nil:
		return false, err
	}
	return slices.ContainsFunc(there, func(e entry) bool { return e.form == source.IsForm }), nil
}

// leftBehind reports whether what a moved folder left where it was is just what the folder of its
// title in the destination holds already. A copied folder is completed instead.
func leftBehind(ctx context.Context, portal Portal, t store.Transfer, there []entry) (bool, error) {
	if t.Action != event.Move {
		return false, nil
	}
	c := comparer{portal: portal, conflict: event.Skip, until: farFuture, turns: make(chan struct{}, 8)}
	source, err := c.source(ctx, t.EntryID)
	if err != nil {
		if docspace.IsGone(err) {
			return false, nil
		}
		return false, err
	}
	made, err := c.copy(ctx, there[0].id)
	if err != nil {
		return false, err
	}
	found, err := c.compare(ctx, source, made, there[0].id)
	return err == nil && found.lacks == 0, err
}

var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// unaccounted decides on a transfer of which nothing was found although its operation is
// over. In a batch the cause is not known, so it is tried again in a smaller one; alone it is.
func (d *Dispatcher) unaccounted(t store.Transfer, gone bool, batch, missing int, problem string) store.Outcome {
	if gone {
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

// creditOutcomes are the outcomes of transfers whose entries were found.
func (d *Dispatcher) creditOutcomes(transfers []store.Transfer, credit map[int64]entry, problem string) []store.Outcome {
	var outcomes []store.Outcome
	for _, t := range transfers {
		e, ok := credit[t.ID]
		switch {
		case !ok:
		case e.partial:
			outcomes = append(outcomes, d.incomplete(t, e, problem))
		default:
			outcomes = append(outcomes, store.Outcome{
				TransferID: t.ID, State: event.Done, Attempted: true, ResultID: e.id, ResultTitle: e.title, ResultVersion: e.version,
			})
		}
	}
	return outcomes
}

// account stores outcomes of some of an operation's transfers and leaves it open with the rest.
func (d *Dispatcher) account(ctx context.Context, op *store.Operation, outcomes []store.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	ctx, cancel := storing(ctx)
	defer cancel()
	before := op.Transfers
	lanes, err := d.o.Store.SaveOutcomes(ctx, op, outcomes)
	if err != nil {
		return err
	}
	d.tell(ctx, op, before, outcomes)
	op.Done = append(op.Done, outcomes...)
	d.wake(ctx, lanes)
	return nil
}

// settled stores the outcomes of an operation's last transfers, reports the operation, and
// wakes the lanes of moves that waited for it.
func (d *Dispatcher) settled(ctx context.Context, op *store.Operation, outcomes []store.Outcome, problem string) (step, error) {
	ctx, cancel := storing(ctx)
	defer cancel()
	lanes, err := d.o.Store.SettleOperation(ctx, op, outcomes, problem)
	if err != nil {
		return step{}, err
	}
	d.tell(ctx, op, op.Transfers, outcomes)
	d.report(ctx, op, append(op.Done, outcomes...), problem)
	d.wake(ctx, lanes)
	return step{}, nil
}

// storing is for what was found out, which is stored even while the gateway stops.
func storing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}

func (d *Dispatcher) wake(ctx context.Context, lanes []string) {
	if err := d.o.Wake(ctx, lanes); err != nil {
		// The transfers are queued; the sweep will wake their lanes.
		d.log.Warn("lanes not woken", "err", err)
	}
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
