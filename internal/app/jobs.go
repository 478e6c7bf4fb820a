package app

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"docspace-router/internal/dispatch"
	"docspace-router/internal/routing"
	"docspace-router/internal/store"
)

// deadAfterDefault is how long a replica may be silent before its jobs are taken from it. It
// shows itself seven times as often.
const deadAfterDefault = 15 * time.Second

// jobs is the job queue, in the gateway's own database. Each portal has queues of its own, so
// that the jobs of one that does not answer cannot keep the others' from being worked.
type jobs struct {
	store   *store.Store
	client  *river.Client[*sql.Tx]
	workers *river.Workers
	id      string // of this process among its replicas
	log     *slog.Logger

	deadAfter time.Duration

	mu     sync.Mutex // guards queues
	queues map[string]bool
}

// newJobs brings the queue's tables up to date and hands back the jobs that a crash left
// running.
func newJobs(ctx context.Context, s *store.Store, deadAfter time.Duration, logger *slog.Logger) (*jobs, error) {
	if deadAfter == 0 {
		deadAfter = deadAfterDefault
	}
	j := &jobs{
		store: s, workers: river.NewWorkers(), id: uuid.NewString(), log: logger.With("component", "jobs"), queues: map[string]bool{}, deadAfter: deadAfter,
	}
	var err error
	if s.Kind() == store.PostgreSQL {
		err = j.open(ctx, riverdatabasesql.New(s.DB()))
	} else {
		err = j.open(ctx, riversqlite.New(s.DB()))
	}
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return j, nil
}

func (j *jobs) open(ctx context.Context, driver riverdriver.Driver[*sql.Tx]) error {
	quiet := slog.New(atLeast{slog.LevelWarn, j.log.Handler()})
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return err
	}
	if err := j.store.Exclusively(ctx, func() error {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	}); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := j.store.Beat(ctx, j.id); err != nil {
		return err
	}
	if err := j.store.HandBackJobs(ctx, j.deadAfter); err != nil {
		return err
	}
	j.client, err = river.NewClient(driver, &river.Config{
		ID:      j.id,
		Logger:  quiet,
		Workers: j.workers,
		// A queue that no portal uses lets the client start before any portal is known.
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		FetchCooldown:               20 * time.Millisecond,
		FetchPollInterval:           200 * time.Millisecond,
		CompletedJobRetentionPeriod: 10 * time.Minute,
		ErrorHandler:                failures{j.log},
		SkipUnknownJobCheck:         true, // the workers are registered after the client is made
	})
	return err
}

func (j *jobs) register(r *routing.Router, d *dispatch.Dispatcher) error {
	return errors.Join(river.AddWorkerSafely(j.workers, r), river.AddWorkerSafely(j.workers, d))
}

// serve makes queues for portals that have none yet. A portal that leaves the rules file keeps
// its queues, and has them again after a restart while work waits: its jobs must go on, to tell why it waits.
func (j *jobs) serve(portals []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, portal := range portals {
		queues := backfillQueues(portal)
		queues[queueOf(routing.Queue, portal)], queues[queueOf(dispatch.Queue, portal)] = 16, 50
		for queue, workers := range queues {
			if j.queues[queue] {
				continue
			}
			if err := j.client.Queues().Add(queue, river.QueueConfig{MaxWorkers: workers}); err != nil {
				// It may be known without having started, and would be refused the next time as known.
				removing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				_ = j.client.Queues().Remove(removing, queue)
				cancel()
				return fmt.Errorf("job queue of portal %s: %w", portal, err)
			}
			j.queues[queue] = true
		}
	}
	return nil
}

// queueOf names a portal's queue. The job queue takes names of up to 64 characters.
func queueOf(kind, portal string) string {
	const longest = 40
	if len(portal) > longest {
		sum := sha256.Sum256([]byte(portal))
		portal = portal[:longest-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return kind + "-" + portal
}

// enqueueRoute inserts the job that will route events, in the transaction that stores them.
func (j *jobs) enqueueRoute(ctx context.Context, tx *sql.Tx, portal string, events []int64) error {
	opts := &river.InsertOpts{Queue: queueOf(routing.Queue, portal)}
	if _, err := j.client.InsertTx(ctx, tx, routing.JobArgs{Events: events}, opts); err != nil {
		return fmt.Errorf("insert route job: %w", err)
	}
	return nil
}

// wake inserts a job for each lane that has none.
func (j *jobs) wake(ctx context.Context, lanes []string) error {
	if len(lanes) == 0 {
		return nil
	}
	params, portals := make([]river.InsertManyParams, len(lanes)), make([]string, len(lanes))
	for i, lane := range lanes {
		portals[i] = dispatch.PortalOf(lane)
		params[i] = river.InsertManyParams{
			Args:       dispatch.JobArgs{Lane: lane},
			InsertOpts: &river.InsertOpts{Queue: laneQueue(lane)},
		}
	}
	if _, err := j.client.InsertMany(ctx, params); err != nil {
		return fmt.Errorf("insert lane jobs: %w", err)
	}
	return j.serve(portals)
}

// sweep inserts a job that looks for events that were left pending.
func (j *jobs) sweep(ctx context.Context) error {
	opts := routing.SweepOpts()
	opts.Queue = river.QueueDefault
	_, err := j.client.Insert(ctx, routing.JobArgs{}, opts)
	return err
}

// keepAlive shows that this process lives, and takes over the jobs of those that do not, until
// ctx ends.
func (j *jobs) keepAlive(ctx context.Context) error {
	ticker := time.NewTicker(j.deadAfter / 7)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := j.store.Beat(ctx, j.id)
		if err == nil {
			err = j.store.HandBackJobs(ctx, j.deadAfter)
		}
		if err != nil && ctx.Err() == nil {
			j.log.Error("replicas not looked after", "err", err)
		}
	}
}

// stop waits for running jobs until ctx ends and then cancels them.
func (j *jobs) stop(ctx context.Context) error {
	if err := j.client.Stop(ctx); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := j.client.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop the job queue: %w", err)
	}
	return nil
}

func (j *jobs) completeRoute(ctx context.Context, tx *sql.Tx, job *river.Job[routing.JobArgs]) error {
	return complete(ctx, j.store.Kind(), tx, job)
}

func (j *jobs) completeLane(ctx context.Context, tx *sql.Tx, job *river.Job[dispatch.JobArgs]) error {
	return complete(ctx, j.store.Kind(), tx, job)
}

// complete ends a job inside a transaction. The queue wants the driver's type for that.
func complete[A river.JobArgs](ctx context.Context, kind store.Kind, tx *sql.Tx, job *river.Job[A]) (err error) {
	if kind == store.PostgreSQL {
		_, err = river.JobCompleteTx[*riverdatabasesql.Driver](ctx, tx, job)
	} else {
		_, err = river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
	}
	return err
}

// failures logs jobs that met an error or a panic; the queue runs them again.
type failures struct{ log *slog.Logger }

// HandleError implements river.ErrorHandler.
func (f failures) HandleError(_ context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	f.log.Warn("job failed and will be repeated", "job", job.Kind, "args", string(job.EncodedArgs), "attempt", job.Attempt, "err", err)
	return nil
}

// HandlePanic implements river.ErrorHandler.
func (f failures) HandlePanic(_ context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	f.log.Error("job panicked and will be repeated", "job", job.Kind, "args", string(job.EncodedArgs), "attempt", job.Attempt,
		"err", fmt.Sprint(value), "trace", trace)
	return nil
}

// atLeast drops records below a level: the job queue tells of every start and stop of its
// own services, which no operator needs.
type atLeast struct {
	level slog.Level
	slog.Handler
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.level, h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.level, h.Handler.WithGroup(name)}
}
