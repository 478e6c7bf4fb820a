package backfill

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"docspace-router/internal/event"
	"docspace-router/internal/routing"
	"docspace-router/internal/store"
)

// JobArgs are the arguments of a backfill's job.
type JobArgs struct {
	ID int64 `json:"id" river:"unique"`
}

// Kind is the job's stored name.
func (JobArgs) Kind() string { return "backfill" }

// The first parts of the names of the job queues that backfills use; each portal has one of both.
const (
	Queue     = "backfill"      // walks, and events of theirs that could not be decided at once
	LaneQueue = "backfill-lane" // lanes of their transfers
)

// InsertOpts makes the job unique: a backfill has at most one that has not ended. It is never given
// up.
func (JobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		MaxAttempts: math.MaxInt16,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

// Options configures a Service. Store, Router, Snapshot, Portal, Enqueue, Route and Wake are
// required.
type Options struct {
	Store    *store.Store
	Router   *routing.Router
	Snapshot func() routing.Snapshot // the configuration of this moment
	// Portal returns the portal of that name in the configuration of this moment.
	Portal func(name string) (Portal, bool)
	// Enqueue inserts a backfill's job in a transaction, unless it has one.
	Enqueue func(ctx context.Context, tx *sql.Tx, portal string, id int64) error
	// Route inserts a job that decides on events which could not be decided at once.
	Route func(ctx context.Context, tx *sql.Tx, portal string, events []int64) error
	// Wake sees to it that a lane job runs for each of the lanes.
	Wake func(ctx context.Context, lanes []string) error
	// Stopping is closed when the gateway begins to stop: a job then ends its run early. Nil:
	// never.
	Stopping <-chan struct{}

	// OpenMax is how many transfers of a backfill may be unfinished before its walk waits; default
	// 2000.
	OpenMax int
	RunFor  time.Duration // how long one job run walks before it makes room; default 5 s
	Look    time.Duration // how long a walk that waits for its transfers pauses; default 1 s
	Pause   time.Duration // how long a walk waits for a portal that did not answer; default 10 s
	Logger  *slog.Logger
	Now     func() time.Time
}

// Service starts backfills and works their jobs.
type Service struct {
	river.WorkerDefaults[JobArgs]

	o   Options
	log *slog.Logger
}

// New returns a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Router == nil || o.Snapshot == nil || o.Portal == nil || o.Enqueue == nil || o.Route == nil || o.Wake == nil {
		return nil, errors.New("backfill: Store, Router, Snapshot, Portal, Enqueue, Route and Wake are required")
	}
	setDefault(&o.OpenMax, 2000)
	setDefault(&o.RunFor, 5*time.Second)
	setDefault(&o.Look, time.Second)
	setDefault(&o.Pause, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o, log: o.Logger.With("component", "backfill")}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// NextRetry brings a job that met an error back soon: the error was the database's or ours.
func (s *Service) NextRetry(job *river.Job[JobArgs]) time.Time {
	return s.o.Now().Add(min(time.Second<<min(len(job.Errors), 10), time.Minute))
}

// Timeout bounds one run of a job: the portal's slowest answers to one page.
func (s *Service) Timeout(*river.Job[JobArgs]) time.Duration { return 10 * time.Minute }

// Resume sees to it that every backfill that has not ended has a job. Each has one from the moment
// it is stored; should one be lost all the same, by a restored backup say, its backfill must not
// be.
func (s *Service) Resume(ctx context.Context) error {
	running, err := s.o.Store.RunningBackfills(ctx)
	if err != nil {
		return err
	}
	for _, b := range running {
		if err := s.o.Store.InTx(ctx, func(tx *sql.Tx) error { return s.o.Enqueue(ctx, tx, b.Portal, b.ID) }); err != nil {
			return fmt.Errorf("resume backfill %d: %w", b.ID, err)
		}
	}
	return nil
}

// Work takes a backfill further: a page at a time, until it is done or the run has taken long
// enough.
func (s *Service) Work(ctx context.Context, job *river.Job[JobArgs]) error {
	for until := s.o.Now().Add(s.o.RunFor); ; {
		wait, ended, err := s.advance(ctx, job.Args.ID)
		switch {
		case errors.Is(err, store.ErrMovedOn):
			return river.JobSnooze(s.o.Look)
		case err != nil || ended:
			return err
		case wait > 0:
			return river.JobSnooze(wait)
		case s.timeUp(until):
			return river.JobSnooze(0)
		}
	}
}

func (s *Service) timeUp(until time.Time) bool {
	select {
	case <-s.o.Stopping: // a nil channel never answers
		return true
	default:
		return !s.o.Now().Before(until)
	}
}

// advance takes a backfill one step further.
func (s *Service) advance(ctx context.Context, id int64) (wait time.Duration, ended bool, err error) {
	b, err := s.o.Store.Backfill(ctx, id)
	if err != nil || b.State != store.BackfillRunning {
		return 0, true, err
	}
	folder, err := s.o.Store.NextBackfillFolder(ctx, id)
	if err != nil {
		return 0, false, err
	}
	if folder == nil {
		return s.end(ctx, b)
	}
	open, err := s.o.Store.BackfillOpen(ctx, id, s.o.OpenMax)
	if err != nil {
		return 0, false, err
	}
	if open >= s.o.OpenMax {
		return s.o.Look, false, nil
	}
	w, err := s.walkOf(b)
	if err != nil {
		return s.waits(ctx, b, 6*s.o.Pause, err)
	}
	if pause, ready := w.reader.Ready(ctx); !ready {
		return s.waits(ctx, b, pause, fmt.Errorf("portal %s does not answer", b.Portal))
	}
	return s.step(ctx, w, b, *folder)
}

// end ends a backfill that has walked everything, once its transfers have ended.
func (s *Service) end(ctx context.Context, b store.Backfill) (wait time.Duration, ended bool, err error) {
	if ended, err = s.o.Store.EndBackfill(ctx, b.ID); err != nil || !ended {
		return s.o.Look, false, err
	}
	s.log.Info("backfill done", "portal", b.Portal, "rule", b.Rule, "backfill", b.ID, "duration_ms", s.o.Now().Sub(b.CreatedAt).Milliseconds())
	return 0, true, nil
}

// waits stores why a backfill does not go on at this moment.
func (s *Service) waits(ctx context.Context, b store.Backfill, wait time.Duration, why error) (time.Duration, bool, error) {
	if why.Error() != b.Note {
		s.log.Warn("backfill waits", "portal", b.Portal, "rule", b.Rule, "backfill", b.ID, "reason", why.Error())
	}
	return max(wait, time.Millisecond), false, s.o.Store.NoteBackfill(ctx, b.ID, why.Error())
}

// walkOf makes the walk of a stored backfill, by the rules of this moment.
func (s *Service) walkOf(b store.Backfill) (*walk, error) {
	subject, err := newSubject(s.o.Snapshot(), b.Rule, b.Portal)
	if err != nil {
		return nil, err
	}
	portal, ok := s.o.Portal(b.Portal)
	if !ok {
		return nil, fmt.Errorf("portal %s is not in the rules file any more", b.Portal)
	}
	return &walk{Service: s, subject: subject, reader: portal, id: b.ID, since: b.Since}, nil
}

// step reads a page and stores what it leads to.
func (s *Service) step(ctx context.Context, w *walk, b store.Backfill, folder store.BackfillFolder) (wait time.Duration, ended bool, err error) {
	started := s.o.Now()
	tally, err := newTally(b.Tally)
	if err != nil {
		return 0, false, fmt.Errorf("read the tally of backfill %d: %w", b.ID, err)
	}
	v, err := w.read(ctx, folder, &tally)
	if err != nil {
		if ctx.Err() != nil {
			return 0, false, ctx.Err()
		}
		return s.waits(ctx, b, s.o.Pause, err)
	}
	pending := make([]store.PendingEvent, len(v.going))
	for i, c := range v.going {
		pending[i] = c.pending
	}
	decisions := s.o.Router.Decide(ctx, w.snap, pending)
	if ctx.Err() != nil {
		return 0, false, ctx.Err() // what was decided while it ended may be wrong
	}
	kept := w.sort(v.going, decisions, &tally)
	raw, err := json.Marshal(tally)
	if err != nil {
		return 0, false, err
	}
	var lanes []string
	err = s.o.Store.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.o.Store.SaveBackfillStep(ctx, tx, folder, v.is, v.found, raw); err != nil {
			return err
		}
		lanes, err = w.save(ctx, tx, kept)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("store a step of backfill %d: %w", b.ID, err)
	}
	w.tell(ctx, kept, s.o.Now().Sub(started))
	if err := s.o.Wake(ctx, lanes); err != nil {
		// The transfers are stored; the sweep will wake their lanes.
		s.log.Warn("lanes not woken", "err", err)
	}
	return 0, false, nil
}

// decided is a candidate and what routing made of it.
type decided struct {
	candidate
	store.Decision
}

// sort tallies what routing made of the candidates, and returns those to be stored.
func (w *walk) sort(going []candidate, decisions []store.Decision, tally *Tally) []decided {
	var kept []decided
	for i, d := range decisions {
		c := going[i]
		switch {
		case d.State == event.EventRouted && len(d.Transfers) == 0, d.State == event.EventIgnored:
			tally.skip(SkippedThere)
			continue
		case d.State == event.EventFailed && len(d.Transfers) == 0:
			tally.Failed++
		default:
			// A pending one comes to its destinations later.
			tally.route(c.entry.Size, c.destinations())
		}
		kept = append(kept, decided{c, d})
	}
	return kept
}

func (c candidate) destinations() []event.ID {
	ids := make([]event.ID, len(c.matches))
	for i, m := range c.matches {
		ids[i] = m.Destination
	}
	return ids
}

// save stores the events with what was decided on them, and returns the lanes that have new work.
func (w *walk) save(ctx context.Context, tx *sql.Tx, kept []decided) ([]string, error) {
	if len(kept) == 0 {
		return nil, nil
	}
	events := make([]store.NewEvent, len(kept))
	for i, d := range kept {
		events[i] = store.NewEvent{Portal: w.portal, Event: d.event, ReceivedAt: d.pending.ReceivedAt, Body: d.pending.Body}
	}
	ids, err := w.o.Store.InsertEvents(ctx, tx, events)
	if err != nil {
		return nil, err
	}
	var decisions []store.Decision
	var stored, undecided []int64
	for i := range kept {
		d := &kept[i].Decision
		if d.EventID = ids[i]; d.EventID == 0 {
			continue // it was presented before, by this very backfill
		}
		decisions, stored = append(decisions, *d), append(stored, d.EventID)
		if d.State == event.EventPending {
			undecided = append(undecided, d.EventID)
		}
	}
	if err := w.o.Store.OweTo(ctx, tx, w.rule.Name, stored); err != nil {
		return nil, err
	}
	lanes, err := w.o.Store.SaveDecisions(ctx, tx, decisions)
	if err != nil || len(undecided) == 0 {
		return lanes, err
	}
	return lanes, w.o.Route(ctx, tx, w.portal, undecided)
}

// tell reports what was stored, as routing does.
func (w *walk) tell(ctx context.Context, kept []decided, took time.Duration) {
	var pending []store.PendingEvent
	var decisions []store.Decision
	for _, d := range kept {
		if d.EventID != 0 {
			pending, decisions = append(pending, d.pending), append(decisions, d.Decision)
		}
	}
	w.o.Router.Report(ctx, pending, decisions, took)
}
