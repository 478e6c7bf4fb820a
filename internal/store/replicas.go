package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Beat notes that a process sharing the database is alive. A SQLite database has one process
// at a time, which needs no sign.
func (s *Store) Beat(ctx context.Context, replica string) error {
	if s.kind == SQLite {
		return nil
	}
	// The server's clock, because those of the replicas may differ.
	if _, err := s.write.ExecContext(ctx, `INSERT INTO replicas (id, seen_at) VALUES ($1, now())
		ON CONFLICT (id) DO UPDATE SET seen_at = now()`, replica); err != nil {
		return fmt.Errorf("note replica: %w", err)
	}
	if _, err := s.write.ExecContext(ctx, `DELETE FROM replicas WHERE seen_at < now() - interval '1 day'`); err != nil {
		return fmt.Errorf("forget replicas: %w", err)
	}
	return nil
}

// HandBackJobs makes the jobs of processes that died available to those that live. On SQLite it
// is for the start, when whatever is marked as running was left so by a crash.
func (s *Store) HandBackJobs(ctx context.Context, deadAfter time.Duration) error {
	var err error
	if s.kind == SQLite {
		_, err = s.write.ExecContext(ctx, `UPDATE river_job SET state = 'available', attempt = max(attempt - 1, 0) WHERE state = 'running'`)
	} else {
		_, err = s.write.ExecContext(ctx, `UPDATE river_job SET state = 'available', attempt = greatest(attempt - 1, 0)
			WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM replicas
				WHERE id = attempted_by[array_upper(attempted_by, 1)] AND seen_at > now() - make_interval(secs => $1))`,
			deadAfter.Seconds())
	}
	if err != nil {
		return fmt.Errorf("hand back jobs: %w", err)
	}
	return nil
}

// Exclusively runs f while no other process that shares the database does.
func (s *Store) Exclusively(ctx context.Context, f func() error) error {
	if s.kind == SQLite {
		return f()
	}
	const lockID = 0x646f6373 // any number that nobody else uses
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, lockID); err != nil {
		return errors.Join(err, conn.Close())
	}
	err = f()
	_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lockID)
	return errors.Join(err, unlockErr, conn.Close())
}
