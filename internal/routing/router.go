package routing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// JobArgs are the arguments of a route job: the events of one group commit. Without events
// the job looks for those that have been pending for too long.
type JobArgs struct {
	Events []int64 `json:"events"`
}

// Kind is the job's stored name.
func (JobArgs) Kind() string { return "route" }

// Queue is the first part of the names of the job queues that route jobs wait in; each portal
// has one.
const Queue = "route"

const (
	staleAfter = 10 * time.Minute
	sweepEvery = 5 * time.Minute
	sweepSize  = 256
)

// SweepOpts makes a job without events unique, so that sweeps cannot pile up.
func SweepOpts() *river.InsertOpts {
	return &river.InsertOpts{UniqueOpts: river.UniqueOpts{
		ByArgs: true,
		ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		},
	}}
}

// InsertOpts sees to it that a job is never given up. Its queue is the portal's.
func (JobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: math.MaxInt16}
}

// Snapshot is one complete version of the configuration.
type Snapshot struct {
	Rules  *rules.Table
	Portal func(name string) (Portal, bool)
}

// Options configures a Router. Store, Snapshot, CompleteJob, Wake, Sweep and Budget are
// required.
type Options struct {
	Store    *store.Store
	Snapshot func() Snapshot // the configuration of this moment
	// CompleteJob ends a route job inside a transaction.
	CompleteJob func(ctx context.Context, tx *sql.Tx, job *river.Job[JobArgs]) error
	// Wake sees to it that a lane job runs for each of the lanes.
	Wake func(ctx context.Context, lanes []string) error
	// Sweep inserts a route job without events, as SweepOpts says.
	Sweep func(ctx context.Context) error
	// Budget is the allowance of writes of the portal of that name; creating a folder takes one.
	Budget func(name string) store.Budget

	LookupTimeout time.Duration // for all that one job asks of portals; default 20 s
	Lookups       int           // how many events of one job may ask at the same time; default 8
	FolderWait    time.Duration // how long one event waits within one try for the folders of a path; default 2 s
	CacheFor      time.Duration // how long a folder's room is remembered; default 5 min
	SettleAfter   time.Duration // how long a folder may still appear whose creation was not answered; default 90 s, above the API's timeout
	RetryFirst    time.Duration // default 2 s, doubling up to RetryMax
	RetryMax      time.Duration // default 5 min
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	Tracer        trace.Tracer // nil: no traces
	Now           func() time.Time
}

// Router works route jobs.
type Router struct {
	river.WorkerDefaults[JobArgs]

	o       Options
	locator *Locator
	folders *folders
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
}

// New returns a Router.
func New(o Options) (*Router, error) {
	if o.Store == nil || o.Snapshot == nil || o.CompleteJob == nil || o.Wake == nil || o.Sweep == nil || o.Budget == nil {
		return nil, errors.New("routing: Store, Snapshot, CompleteJob, Wake, Sweep and Budget are required")
	}
	setDefault(&o.LookupTimeout, 20*time.Second)
	setDefault(&o.Lookups, 8)
	setDefault(&o.FolderWait, 2*time.Second)
	setDefault(&o.CacheFor, 5*time.Minute)
	setDefault(&o.SettleAfter, 90*time.Second)
	setDefault(&o.RetryFirst, 2*time.Second)
	setDefault(&o.RetryMax, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Logger.With("component", "routing")
	locator := NewLocator(o.CacheFor, o.Registerer)
	return &Router{
		o:       o,
		locator: locator,
		folders: newFolders(o, locator.metrics, log),
		log:     log,
		now:     o.Now,
		metrics: newMetrics(o.Registerer),
	}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// KeepRules makes the metrics those of the rules in a table.
func (r *Router) KeepRules(t *rules.Table) { r.metrics.keep(t) }

// Forget drops what is remembered of portals, after their configuration has changed.
func (r *Router) Forget() {
	r.locator.forget()
	r.folders.known.Purge()
}

// NextRetry brings a job that met an error back soon: the error was the database's or ours.
func (r *Router) NextRetry(job *river.Job[JobArgs]) time.Time {
	return r.now().Add(min(time.Second<<min(len(job.Errors), 10), time.Minute))
}

// Timeout bounds one run of a route job.
func (r *Router) Timeout(*river.Job[JobArgs]) time.Duration { return 2*time.Minute + r.o.LookupTimeout }

// Work decides on the events of one group commit that are still pending.
func (r *Router) Work(ctx context.Context, job *river.Job[JobArgs]) error {
	started := r.now()
	ids := job.Args.Events
	sweep := len(ids) == 0
	if sweep {
		var err error
		if ids, err = r.o.Store.StalePending(ctx, started.Add(-staleAfter), sweepSize); err != nil {
			return err
		}
	}
	pending, err := r.o.Store.PendingEvents(ctx, ids)
	if err != nil {
		return err
	}
	snap := r.o.Snapshot()
	decisions := r.decideAll(ctx, snap, pending)

	var lanes []string
	waiting := 0
	err = r.o.Store.InTx(ctx, func(tx *sql.Tx) error {
		waiting = 0
		if lanes, err = r.o.Store.SaveDecisions(ctx, tx, decisions); err != nil {
			return err
		}
		for _, d := range decisions {
			if d.State == event.EventPending {
				waiting++
			}
		}
		if waiting > 0 && !sweep {
			return nil
		}
		return r.o.CompleteJob(ctx, tx, job)
	})
	if err != nil {
		return fmt.Errorf("store decisions: %w", err)
	}
	r.report(ctx, pending, decisions, r.now().Sub(started))
	if err := r.o.Wake(ctx, lanes); err != nil {
		// The transfers are stored; the sweep will wake their lanes.
		r.log.Warn("lanes not woken", "err", err)
	}
	if waiting > 0 && !sweep {
		return river.JobSnooze(r.backoff(pending, decisions))
	}
	return nil
}

// Run looks from time to time for events that were left pending, until ctx ends. Every event
// has a job from the moment it is stored, so there should be none; should one be lost all the
// same, by a restored backup say, its event must not be.
func (r *Router) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := r.o.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("pending events not looked for", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r *Router) decideAll(ctx context.Context, snap Snapshot, pending []store.PendingEvent) []store.Decision {
	ctx, cancel := context.WithTimeout(ctx, r.o.LookupTimeout)
	defer cancel()
	decisions := make([]store.Decision, len(pending))
	var group errgroup.Group
	group.SetLimit(r.o.Lookups)
	for i, p := range pending {
		group.Go(func() error {
			// A panic here would end the process, and again each time the job is repeated: it is this
			// event's alone, which is tried again like any that cannot be decided.
			if err := guard.Call(func() error { decisions[i] = r.traced(ctx, snap, p); return nil }); err != nil {
				decisions[i] = store.Decision{EventID: p.ID, Was: p.Owed, State: event.EventPending, Owed: p.Owed, Reason: err.Error()}
			}
			return nil
		})
	}
	_ = group.Wait() // no member returns an error
	return decisions
}

// backoff is how long to wait before the events that could not be decided are tried again.
func (r *Router) backoff(pending []store.PendingEvent, decisions []store.Decision) time.Duration {
	fewest := math.MaxInt
	for i, d := range decisions {
		if d.State == event.EventPending {
			fewest = min(fewest, pending[i].Attempts)
		}
	}
	wait := r.o.RetryFirst
	for range min(fewest, 30) {
		if wait *= 2; wait >= r.o.RetryMax {
			return r.o.RetryMax
		}
	}
	return wait
}

// report writes one line per event, which is where an operator sees what happened and why.
func (r *Router) report(ctx context.Context, pending []store.PendingEvent, decisions []store.Decision, took time.Duration) {
	for i, d := range decisions {
		portal := pending[i].Portal
		r.metrics.count(portal, d)
		level := slog.LevelInfo
		switch d.State {
		case event.EventPending:
			// A try that ends like those before is told ever more rarely: the 1st, 2nd, 3rd, 5th, 9th …
			level = slog.LevelDebug
			if n := pending[i].Attempts; n&(n-1) == 0 {
				level = slog.LevelWarn
			}
		case event.EventFailed:
			level = slog.LevelError
		case event.EventIgnored:
			level = slog.LevelDebug
		}
		ruleNames := make([]string, 0, len(d.Transfers))
		for _, t := range d.Transfers {
			ruleNames = append(ruleNames, t.Rule)
		}
		r.log.Log(ctx, level, "event routed", "portal", portal, "event", d.EventID, "event_id", pending[i].EventID,
			"trigger", pending[i].Trigger, "status", d.State, "matched", ruleNames, "reason", d.Reason, "duration_ms", took.Milliseconds())
	}
}
