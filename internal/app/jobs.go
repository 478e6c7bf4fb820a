package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"docspace-router/internal/dispatch"
	"docspace-router/internal/routing"
)

// jobs is the job queue, in the gateway's own database.
type jobs struct {
	client  *river.Client[*sql.Tx]
	workers *river.Workers
}

// newJobs brings the queue's tables up to date and hands back the jobs that a crash left
// running: a SQLite database has one process at a time, so whoever ran them is gone.
func newJobs(ctx context.Context, db *sql.DB, logger *slog.Logger) (*jobs, error) {
	driver := riversqlite.New(db)
	quiet := slog.New(atLeast{slog.LevelWarn, logger.With("component", "jobs").Handler()})
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("job queue: migrate: %w", err)
	}
	if _, err := db.ExecContext(ctx, `UPDATE river_job SET state = 'available', attempt = max(attempt - 1, 0) WHERE state = 'running'`); err != nil {
		return nil, fmt.Errorf("job queue: hand back jobs: %w", err)
	}

	j := &jobs{workers: river.NewWorkers()}
	if j.client, err = river.NewClient(driver, &river.Config{
		Logger:  quiet,
		Workers: j.workers,
		Queues: map[string]river.QueueConfig{
			routing.Queue:  {MaxWorkers: 4},
			dispatch.Queue: {MaxWorkers: 100},
		},
		FetchCooldown:               20 * time.Millisecond,
		FetchPollInterval:           200 * time.Millisecond,
		CompletedJobRetentionPeriod: 10 * time.Minute,
		ErrorHandler:                failures{logger.With("component", "jobs")},
		SkipUnknownJobCheck:         true, // the workers are registered after the client is made
	}); err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return j, nil
}

func (j *jobs) register(r *routing.Router, d *dispatch.Dispatcher) error {
	return errors.Join(river.AddWorkerSafely(j.workers, r), river.AddWorkerSafely(j.workers, d))
}

// enqueueRoute inserts the job that will route events, in the transaction that stores them.
func (j *jobs) enqueueRoute(ctx context.Context, tx *sql.Tx, events []int64) error {
	if _, err := j.client.InsertTx(ctx, tx, routing.JobArgs{Events: events}, nil); err != nil {
		return fmt.Errorf("insert route job: %w", err)
	}
	return nil
}

// wake inserts a job for each lane that has none.
func (j *jobs) wake(ctx context.Context, lanes []string) error {
	if len(lanes) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(lanes))
	for i, lane := range lanes {
		params[i] = river.InsertManyParams{Args: dispatch.JobArgs{Lane: lane}}
	}
	if _, err := j.client.InsertMany(ctx, params); err != nil {
		return fmt.Errorf("insert lane jobs: %w", err)
	}
	return nil
}

func (j *jobs) sweep(ctx context.Context) error {
	_, err := j.client.Insert(ctx, routing.JobArgs{}, routing.SweepOpts())
	return err
}

// stop waits for running jobs until ctx ends and then cancels them.
func (j *jobs) stop(ctx context.Context) error {
	if err := j.client.Stop(ctx); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := j.client.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop the job queue: %w", err)
	}
	return nil
}

func completeRoute(ctx context.Context, tx *sql.Tx, job *river.Job[routing.JobArgs]) error {
	_, err := river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
	return err
}

func completeLane(ctx context.Context, tx *sql.Tx, job *river.Job[dispatch.JobArgs]) error {
	_, err := river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
	return err
}

// failures logs jobs that met an error or a panic; the queue runs them again.
type failures struct{ log *slog.Logger }

// HandleError implements river.ErrorHandler.
func (f failures) HandleError(_ context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	f.log.Error("job failed and will be repeated", "job", job.Kind, "args", string(job.EncodedArgs), "attempt", job.Attempt, "err", err)
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

func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.level, h.Handler.WithAttrs(attrs)}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.level, h.Handler.WithGroup(name)}
}
