package dispatch

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// JobArgs are the arguments of a lane job.
type JobArgs struct {
	Lane string `json:"lane" river:"unique"`
}

// Kind is the job's stored name.
func (JobArgs) Kind() string { return "lane" }

// Queue is the first part of the names of the job queues that lane jobs wait in; each portal
// has one.
const Queue = "lane"

// PortalOf reads the portal's name from a lane's.
func PortalOf(lane string) string {
	portal, _, _ := strings.Cut(lane, "|")
	return portal
}

// unfinishedStates are those in which a job still stands for its lane.
var unfinishedStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// InsertOpts makes the job unique: a lane has at most one that has not ended. It is never
// given up, because its transfers have deadlines of their own. Its queue is the portal's.
func (JobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		MaxAttempts: math.MaxInt16,
		UniqueOpts:  river.UniqueOpts{ByArgs: true, ByState: unfinishedStates},
	}
}

// Portal is the part of a portal that dispatch needs.
type Portal interface {
	Start(ctx context.Context, b docspace.Batch) (docspace.Operation, error)
	Operation(ctx context.Context, id string) (docspace.Operation, error)
	Contents(ctx context.Context, folder event.ID, q docspace.ContentsQuery) (docspace.Contents, error)
	File(ctx context.Context, id event.ID) (docspace.File, error)
	Folder(ctx context.Context, id event.ID) (docspace.Folder, error)
	Self(ctx context.Context) (docspace.User, error)
	// Ready reports whether new work has a chance, and otherwise how long to wait.
	Ready(ctx context.Context) (wait time.Duration, ready bool)
	// Clock is how far the portal's clock is ahead of ours.
	Clock(ctx context.Context) (time.Duration, error)
}

// Options configures a Dispatcher. Store, Portal, Budget, CompleteJob and Wake are required.
type Options struct {
	Store *store.Store
	// Portal returns the portal of that name in the configuration of this moment.
	Portal func(name string) (Portal, bool)
	// Budget is the allowance of writes of the portal of that name.
	Budget func(name string) store.Budget
	// CompleteJob ends a lane job inside a transaction.
	CompleteJob func(ctx context.Context, tx *sql.Tx, job *river.Job[JobArgs]) error
	// Wake sees to it that a lane job runs for each of the lanes.
	Wake func(ctx context.Context, lanes []string) error

	// Stopping is closed when the gateway begins to stop: a job then ends its run early. Nil:
	// never.
	Stopping <-chan struct{}

	BatchMax    int           // transfers per operation; default 250
	PollFirst   time.Duration // first look at a running operation; default 200 ms, doubling up to PollEvery
	PollEvery   time.Duration // default 1 s
	RunFor      time.Duration // how long one job run follows its operations before it makes room; default 10 s
	SettleAfter time.Duration // how long nothing must have appeared in the destination before a lost operation counts as over; default 75 s, since DocSpace drops one after 60 s without progress. Large files get longer.
	PortalPause time.Duration // how long a portal that is down or refuses the key is left alone; default 10 s
	HoldFirst   time.Duration // how long a lane is held whose destination takes nothing; default 10 s, doubling up to 5 min
	RetryFirst  time.Duration // default 5 s, doubling up to RetryMax
	RetryMax    time.Duration // default 15 min
	RetryFor    time.Duration // default 24 h
	SweepEvery  time.Duration // how often lanes with due work are looked for; default 5 s
	Logger      *slog.Logger
	Registerer  prometheus.Registerer
	Tracer      trace.Tracer // nil: no traces
	Now         func() time.Time
}

// Dispatcher works lane jobs.
type Dispatcher struct {
	river.WorkerDefaults[JobArgs]

	o       Options
	log     *slog.Logger
	metrics *metrics
	holds   holds
}

// New returns a Dispatcher.
func New(o Options) (*Dispatcher, error) {
	if o.Store == nil || o.Portal == nil || o.Budget == nil || o.CompleteJob == nil || o.Wake == nil {
		return nil, errors.New("dispatch: Store, Portal, Budget, CompleteJob and Wake are required")
	}
	setDefault(&o.BatchMax, 250)
	setDefault(&o.PollEvery, time.Second)
	setDefault(&o.PollFirst, min(200*time.Millisecond, o.PollEvery))
	setDefault(&o.RunFor, 10*time.Second)
	setDefault(&o.SettleAfter, 75*time.Second)
	setDefault(&o.HoldFirst, 10*time.Second)
	setDefault(&o.PortalPause, 10*time.Second)
	setDefault(&o.RetryFirst, 5*time.Second)
	setDefault(&o.RetryMax, 15*time.Minute)
	setDefault(&o.RetryFor, 24*time.Hour)
	setDefault(&o.SweepEvery, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Dispatcher{o: o, log: o.Logger.With("component", "dispatch"), metrics: newMetrics(o.Registerer)}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// NextRetry brings a job that met an error back soon: the error was the database's or ours, and
// while the job waits nothing else wakes its lane.
func (d *Dispatcher) NextRetry(job *river.Job[JobArgs]) time.Time {
	return d.o.Now().Add(min(time.Second<<min(len(job.Errors), 10), time.Minute))
}

// Timeout lets a lane job run for as long as it takes: every call to the portal has its own limit,
// and looking through a large folder, once begun, must come to an end.
func (d *Dispatcher) Timeout(*river.Job[JobArgs]) time.Duration { return -1 }

// Run wakes the lanes whose work has come due, until ctx ends: those whose transfers waited
// for a retry, and those whose wake-up was lost in a crash.
func (d *Dispatcher) Run(ctx context.Context) error {
	ticker := time.NewTicker(d.o.SweepEvery)
	defer ticker.Stop()
	for {
		err := d.o.Store.ReleaseMoves(ctx)
		var lanes []string
		if err == nil {
			lanes, err = d.o.Store.DueLanes(ctx)
		}
		if err == nil {
			err = d.o.Wake(ctx, lanes)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Error("lanes with due work not woken", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// step is what is to be done after one step of a lane.
type step struct {
	idle bool          // nothing is due
	wait time.Duration // come back then; 0: go on at once
}

// Work settles the lane's open operation and sends what is queued, until nothing is due or
// the run has taken long enough.
func (d *Dispatcher) Work(ctx context.Context, job *river.Job[JobArgs]) error {
	until := d.o.Now().Add(d.o.RunFor)
	for {
		next, err := d.advance(ctx, job.Args.Lane, until)
		switch {
		case err != nil:
			return err
		case next.wait > 0:
			return river.JobSnooze(next.wait)
		case next.idle:
			ended, err := d.end(ctx, job)
			if ended || err != nil {
				return err
			}
		}
		if d.timeUp(until) {
			return river.JobSnooze(0)
		}
	}
}

// end completes the job in the transaction that sees the lane empty, and otherwise reports
// that there is more to do. So no wake-up is lost: a transfer committed before is seen here,
// and one committed after finds no job in its way.
func (d *Dispatcher) end(ctx context.Context, job *river.Job[JobArgs]) (ended bool, err error) {
	err = d.o.Store.InTx(ctx, func(tx *sql.Tx) error {
		due, err := d.o.Store.LaneDue(ctx, tx, job.Args.Lane)
		if err != nil || due {
			return err
		}
		ended = true
		return d.o.CompleteJob(ctx, tx, job)
	})
	return ended && err == nil, err
}

// advance takes the lane one step further.
func (d *Dispatcher) advance(ctx context.Context, lane string, until time.Time) (step, error) {
	op, err := d.o.Store.OpenOperation(ctx, lane)
	if err != nil {
		return step{}, err
	}
	if op != nil {
		portal, ok := d.o.Portal(op.Portal)
		if !ok {
			return d.noPortal(op.Portal), nil
		}
		ctx, span := d.trace(ctx, op)
		next, err := d.settle(ctx, portal, op, until)
		tracing.End(span, err)
		return next, err
	}
	name := PortalOf(lane)
	portal, ok := d.o.Portal(name)
	if !ok {
		return d.noPortal(name), nil
	}
	if wait := d.holds.wait(name, d.o.Now()); wait > 0 {
		return step{wait: wait}, nil
	}
	if wait, ready := portal.Ready(ctx); !ready {
		return step{wait: wait}, nil
	}
	if d.holds.has(lane) {
		next, held, err := d.recheck(ctx, portal, lane)
		if held || err != nil {
			return next, err
		}
	}
	b := newBatch()
	op, wait, err := d.o.Store.Claim(ctx, lane, store.ClaimOptions{
		Limit: d.o.BatchMax, Budget: d.o.Budget(name), Fit: b.fits, Rivals: b.avoid,
	})
	if err != nil {
		return step{}, err
	}
	if wait > 0 {
		// The day's writes are spread: meanwhile the lane's next batch grows. A look every
		// minute notices when the limits have been changed.
		return step{wait: min(wait, time.Minute)}, nil
	}
	if op == nil && b.refused {
		// All that is due waits for another lane, which is sending the same titles.
		return step{wait: d.o.PollEvery}, nil
	}
	if op == nil {
		return step{idle: true}, nil
	}
	ctx, span := d.trace(ctx, op)
	next, err := d.send(ctx, portal, op, until)
	tracing.End(span, err)
	return next, err
}

// recheck asks whether the destination of a held lane takes anything by now. Asking is a read;
// sending another batch only to have it refused would be a write.
func (d *Dispatcher) recheck(ctx context.Context, portal Portal, lane string) (next step, held bool, err error) {
	// What waits is looked at, not sent: it costs nothing of the budget, and all of it is told
	// the reason.
	const many = 2000
	op, _, err := d.o.Store.Claim(ctx, lane, store.ClaimOptions{Limit: many, Fit: func(store.Transfer) bool { return true }})
	if err != nil || op == nil {
		return step{idle: op == nil}, true, err
	}
	trouble, lost := d.destinationTrouble(ctx, portal, op.Transfers[0])
	if !lost {
		d.holds.release(lane)
		_, err := d.settled(ctx, op, requeueAll(op.Transfers, store.Outcome{Reason: "the destination takes files again", Unsent: true}, keepLimit), "")
		return step{}, false, err
	}
	trouble.Unsent = true
	_, err = d.settled(ctx, op, sameForAll(op.Transfers, trouble, d.retryOrFail), trouble.Reason)
	return step{wait: d.holds.hold(lane, d.o.HoldFirst, holdMax, d.o.Now())}, true, err
}

// noPortal holds transfers of a portal that has left the rules file: they may not be lost,
// and there is nobody to send them to.
func (d *Dispatcher) noPortal(name string) step {
	d.log.Warn("transfers held", "portal", name, "reason", "the portal is not in the rules file any more")
	return step{wait: min(6*d.o.PortalPause, time.Minute)}
}
