package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"docspace-router/internal/event"
)

// attemptsKept is how many attempts of one transfer are remembered: the newest. What repeats is
// counted and takes one of them only.
const attemptsKept = 50

// Attempt is one attempt of a transfer that did not end as done, or something a person did with
// the transfer.
type Attempt struct {
	TransferID  int64
	OperationID int64  // 0 where no operation was part of it
	Outcome     string // again, skipped, failed, cancelled; queued when somebody queued it again
	Reason      string
	At, LastAt  time.Time
	Times       int // how often it went like this in a row
}

// attemptWord is what an attempt's outcome is called: a transfer that is queued after an attempt is
// to be tried again.
func attemptWord(s event.State) string {
	if s == event.Queued {
		return "again"
	}
	return string(s)
}

// addAttempt notes an attempt, or that it went like the one before.
func addAttempt(ctx context.Context, tx *sql.Tx, a Attempt) error {
	result, err := tx.ExecContext(ctx, `UPDATE attempts SET times = times + 1, last_at = $1, operation_id = $2
		WHERE transfer_id = $3 AND n = (SELECT max(n) FROM attempts WHERE transfer_id = $3) AND outcome = $4 AND reason = $5`,
		millis(a.At), a.OperationID, a.TransferID, a.Outcome, a.Reason)
	if err != nil {
		return fmt.Errorf("note attempt of transfer %d: %w", a.TransferID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `INSERT INTO attempts (transfer_id, n, operation_id, outcome, reason, at, last_at)
		SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5, $5 FROM attempts WHERE transfer_id = $1 RETURNING n`,
		a.TransferID, a.OperationID, a.Outcome, a.Reason, millis(a.At)).Scan(&n); err != nil {
		return fmt.Errorf("note attempt of transfer %d: %w", a.TransferID, err)
	}
	if n <= attemptsKept {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM attempts WHERE transfer_id = $1 AND n <= $2`, a.TransferID, n-attemptsKept); err != nil {
		return fmt.Errorf("forget attempts of transfer %d: %w", a.TransferID, err)
	}
	return nil
}

// Attempts returns what is remembered of a transfer's attempts, oldest first.
func (s *Store) Attempts(ctx context.Context, transfer int64) ([]Attempt, error) {
	list, err := queryAll(ctx, s.read, func(rows *sql.Rows) (Attempt, error) {
		a := Attempt{TransferID: transfer}
		var at, last int64
		err := rows.Scan(&a.OperationID, &a.Outcome, &a.Reason, &at, &last, &a.Times)
		a.At, a.LastAt = fromMillis(at), fromMillis(last)
		return a, err
	}, `SELECT operation_id, outcome, reason, at, last_at, times FROM attempts WHERE transfer_id = $1 ORDER BY n`, transfer)
	if err != nil {
		return nil, fmt.Errorf("read attempts of transfer %d: %w", transfer, err)
	}
	return list, nil
}

// OperationRow is an operation as the story of a transfer tells it.
type OperationRow struct {
	ID                   int64
	State                OperationState
	PortalID             string
	Size, Done           int
	Error                string
	StartedAt, SettledAt time.Time
}

// Operation returns one operation, or ErrNotFound: settled ones are deleted after the retention
// time.
func (s *Store) Operation(ctx context.Context, id int64) (OperationRow, error) {
	return one(queryAll(ctx, s.read, func(rows *sql.Rows) (o OperationRow, err error) {
		var started, settled int64
		err = rows.Scan(&o.ID, &o.State, &o.PortalID, &o.Size, &o.Done, &o.Error, &started, &settled)
		o.StartedAt, o.SettledAt = fromMillis(started), fromMillis(settled)
		return o, err
	}, `SELECT id, state, portal_operation_id, transfers, done, error, started_at, settled_at FROM operations WHERE id = $1`, id))
}
