package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// sameHappening is how far apart two events may have happened and still be one happening
// that was reported twice: by a second webhook, a manual retry, or an upload through the
// API, which fires file.created and file.uploaded.
const sameHappening = 5 * time.Second

// NewTransfer is a transfer that routing decided on.
type NewTransfer struct {
	Portal      string
	Rule        string
	Action      event.Action
	Conflict    event.Conflict
	Entry       event.Entry
	Destination event.ID
	Trigger     string
	HappenedAt  time.Time
}

// Lane names the transfers that may share one API call.
func (t NewTransfer) Lane() string {
	return strings.Join([]string{t.Portal, string(t.Action), string(t.Entry.Kind), string(t.Conflict), string(t.Destination)}, "|")
}

// happening names what an event reports, so that file.created and file.uploaded of one
// upload count as the same.
func (t NewTransfer) happening() string {
	switch t.Trigger {
	case "file.created", "file.uploaded":
		return "file.arrived"
	default:
		return t.Trigger
	}
}

// insertTransfers stores an event's transfers, copies before moves, unless another event has
// already reported the same happening. A move is blocked while a copy of the same entry has
// not ended.
func (s *Store) insertTransfers(ctx context.Context, tx *sql.Tx, d Decision, now time.Time, touched map[string]bool) error {
	transfers := slices.Clone(d.Transfers)
	slices.SortStableFunc(transfers, func(a, b NewTransfer) int {
		return strings.Compare(string(a.Action), string(b.Action)) // "copy" < "move"
	})
	for _, t := range transfers {
		twin, err := s.requeueTwin(ctx, tx, t, now)
		if err != nil {
			return fmt.Errorf("store transfer of %s %s: %w", t.Entry.Kind, t.Entry.ID, err)
		}
		if twin.found {
			if twin.requeued {
				touched[t.Lane()] = true
			}
			continue
		}
		state := event.Queued
		if t.Action == event.Move {
			open, err := openCopies(ctx, tx, t.Portal, t.Entry.Kind, t.Entry.ID)
			if err != nil {
				return err
			}
			if open {
				state = event.Blocked
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO transfers (event_id, portal, rule, "action", conflict, entry_kind, entry_id,
				entry_title, destination, lane, happening, happened_at, state, created_at, queued_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			d.EventID, t.Portal, t.Rule, string(t.Action), string(t.Conflict), string(t.Entry.Kind), string(t.Entry.ID),
			t.Entry.Title, string(t.Destination), t.Lane(), t.happening(), millis(t.HappenedAt), string(state), millis(now), millis(now))
		if err != nil {
			return fmt.Errorf("store transfer of %s %s: %w", t.Entry.Kind, t.Entry.ID, err)
		}
		touched[t.Lane()] = true
	}
	return nil
}

// twin is a transfer that an earlier report of the same happening caused.
type twin struct{ found, requeued bool }

// requeueTwin looks for a transfer that the same happening already caused. One that failed
// is queued again, because the newcomer is somebody's second try.
func (s *Store) requeueTwin(ctx context.Context, tx *sql.Tx, t NewTransfer, now time.Time) (twin, error) {
	var id int64
	var state string
	err := tx.QueryRowContext(ctx, `SELECT id, state FROM transfers
		WHERE portal = $1 AND entry_kind = $2 AND entry_id = $3 AND rule = $4 AND destination = $5 AND happening = $6
			AND happened_at BETWEEN $7 AND $8
		ORDER BY id DESC LIMIT 1`,
		t.Portal, string(t.Entry.Kind), string(t.Entry.ID), t.Rule, string(t.Destination), t.happening(),
		millis(t.HappenedAt.Add(-sameHappening)), millis(t.HappenedAt.Add(sameHappening))).Scan(&id, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return twin{}, nil
	case err != nil:
		return twin{}, err
	case event.State(state) != event.Failed:
		return twin{found: true}, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE transfers SET state = 'queued', reason = '', attempts = 0, max_batch = 0,
		next_attempt_at = 0, queued_at = $1, ended_at = 0 WHERE id = $2 AND state = 'failed'`, millis(now), id)
	return twin{found: true, requeued: true}, err
}

func openCopies(ctx context.Context, tx *sql.Tx, portal string, kind event.Kind, id event.ID) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM transfers
		WHERE portal = $1 AND entry_kind = $2 AND entry_id = $3 AND "action" = 'copy' AND state IN ('queued', 'sending')`,
		portal, string(kind), string(id)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for copies of %s %s: %w", kind, id, err)
	}
	return n > 0, nil
}

// Transfer is one copy or move of one entry to one destination.
type Transfer struct {
	ID            int64
	EventID       int64
	Portal        string
	Rule          string
	Action        event.Action
	Conflict      event.Conflict
	Kind          event.Kind
	EntryID       event.ID
	Title         string
	Destination   event.ID
	Lane          string
	State         event.State
	Reason        string
	Attempts      int
	MaxBatch      int // at most this many transfers may share its next operation; 0: no limit
	NextAttemptAt time.Time
	OperationID   int64
	ResultID      event.ID
	ResultTitle   string
	HappenedAt    time.Time
	CreatedAt     time.Time
	QueuedAt      time.Time
	EndedAt       time.Time
}

const transferColumns = `id, event_id, portal, rule, "action", conflict, entry_kind, entry_id, entry_title, destination,
	lane, state, reason, attempts, max_batch, next_attempt_at, operation_id, result_id, result_title, happened_at,
	created_at, queued_at, ended_at`

func scanTransfer(rows *sql.Rows) (Transfer, error) {
	var t Transfer
	var next, happened, created, queued, ended int64
	err := rows.Scan(&t.ID, &t.EventID, &t.Portal, &t.Rule, &t.Action, &t.Conflict, &t.Kind, &t.EntryID, &t.Title,
		&t.Destination, &t.Lane, &t.State, &t.Reason, &t.Attempts, &t.MaxBatch, &next, &t.OperationID, &t.ResultID,
		&t.ResultTitle, &happened, &created, &queued, &ended)
	t.NextAttemptAt, t.HappenedAt = fromMillis(next), fromMillis(happened)
	t.CreatedAt, t.QueuedAt, t.EndedAt = fromMillis(created), fromMillis(queued), fromMillis(ended)
	return t, err
}

// Outcome is what one operation, or one look at the portal, made of a transfer. A State of
// event.Queued means that it is to be tried again.
type Outcome struct {
	TransferID  int64
	State       event.State
	Reason      string
	ResultID    event.ID
	ResultTitle string

	Attempted     bool          // counts as one of the transfer's attempts
	NextAttemptIn time.Duration // with event.Queued: how long to wait
	MaxBatch      int           // with event.Queued: the size of the next batch; 0 lifts the limit
}

// saveOutcome stores one outcome and returns the portal and entry whose blocked moves may now
// go.
func (s *Store) saveOutcome(ctx context.Context, tx *sql.Tx, o Outcome, now time.Time) error {
	attempt := 0
	if o.Attempted {
		attempt = 1
	}
	var ended, next int64
	if o.State.Ended() {
		ended = millis(now)
	} else {
		next = millis(now.Add(o.NextAttemptIn))
	}
	_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = $1, reason = $2, result_id = $3, result_title = $4,
			attempts = attempts + $5, next_attempt_at = $6, max_batch = $7, ended_at = $8
		WHERE id = $9 AND state = 'sending'`,
		string(o.State), o.Reason, string(o.ResultID), o.ResultTitle, attempt, next, o.MaxBatch, ended, o.TransferID)
	if err != nil {
		return fmt.Errorf("store outcome of transfer %d: %w", o.TransferID, err)
	}
	return nil
}

// unblockMoves queues the moves that waited for copies which have now ended, and returns
// their lanes.
func (s *Store) unblockMoves(ctx context.Context, tx *sql.Tx, transfers []int64, now time.Time) ([]string, error) {
	var lanes []string
	err := inChunks(transfers, 500, func(chunk []int64) error {
		rows, err := tx.QueryContext(ctx, `UPDATE transfers SET state = 'queued', queued_at = $1
			WHERE state = 'blocked'
				AND (portal, entry_kind, entry_id) IN (SELECT portal, entry_kind, entry_id FROM transfers WHERE id IN `+
			placeholders(2, len(chunk))+`)
				AND NOT EXISTS (SELECT 1 FROM transfers c WHERE c.portal = transfers.portal
					AND c.entry_kind = transfers.entry_kind AND c.entry_id = transfers.entry_id
					AND c."action" = 'copy' AND c.state IN ('queued', 'sending'))
			RETURNING lane`, append([]any{millis(now)}, anys(chunk)...)...)
		if err != nil {
			return fmt.Errorf("queue moves after their copies: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var lane string
			if err := rows.Scan(&lane); err != nil {
				return err
			}
			lanes = append(lanes, lane)
		}
		return rows.Err()
	})
	slices.Sort(lanes)
	return slices.Compact(lanes), err
}

// DueLanes returns the lanes that have work at this moment: a queued transfer whose time has
// come, or an operation that is not settled.
func (s *Store) DueLanes(ctx context.Context) ([]string, error) {
	return queryColumn[string](ctx, s.read, `SELECT lane FROM transfers WHERE state = 'queued' AND next_attempt_at <= $1
		UNION SELECT lane FROM operations WHERE state <> 'settled'`, millis(s.now()))
}

// LaneDue reports, inside a transaction, whether the lane has work at this moment.
func (s *Store) LaneDue(ctx context.Context, tx *sql.Tx, lane string) (bool, error) {
	due, err := queryColumn[int64](ctx, tx, `SELECT id FROM transfers
		WHERE lane = $1 AND state = 'queued' AND next_attempt_at <= $2 LIMIT 1`, lane, millis(s.now()))
	return len(due) > 0, err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func queryColumn[T any](ctx context.Context, db querier, query string, args ...any) ([]T, error) {
	return queryAll(ctx, db, func(rows *sql.Rows) (v T, err error) {
		err = rows.Scan(&v)
		return v, err
	}, query, args...)
}

func queryAll[T any](ctx context.Context, db querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
