package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/event"
)

// OperationState is where an operation stands.
type OperationState string

// The states of an operation. Sending is written before the call, so that a crash at any
// point leaves a trace of what may have been asked of the portal; Running means that the
// portal's id for it is known; Settled means that every transfer has what it achieved.
const (
	OperationSending OperationState = "sending"
	OperationRunning OperationState = "running"
	OperationSettled OperationState = "settled"
)

// Operation is one fileops call with a batch of a lane's transfers.
type Operation struct {
	ID        int64
	Lane      string
	Portal    string
	State     OperationState
	PortalID  string // DocSpace's id of it; empty while unknown
	StartedAt time.Time
	Seen      int // of a lost answer: how many entries were last seen in the destination
	SeenAt    time.Time
	Size      int        // how many transfers it began with
	Transfers []Transfer // those that are not accounted for yet, oldest first
	Done      []Outcome  // of those accounted for since it was read
}

const operationColumns = `id, lane, portal, state, portal_operation_id, started_at, seen, seen_at, transfers`

func scanOperation(rows *sql.Rows) (Operation, error) {
	var op Operation
	var started, seenAt int64
	err := rows.Scan(&op.ID, &op.Lane, &op.Portal, &op.State, &op.PortalID, &started, &op.Seen, &seenAt, &op.Size)
	op.StartedAt, op.SeenAt = fromMillis(started), fromMillis(seenAt)
	return op, err
}

// OpenOperation returns the lane's operation that is not settled, or nil.
func (s *Store) OpenOperation(ctx context.Context, lane string) (*Operation, error) {
	open, err := queryAll(ctx, s.read, scanOperation,
		`SELECT `+operationColumns+` FROM operations WHERE lane = $1 AND state <> 'settled'`, lane)
	if err != nil {
		return nil, fmt.Errorf("read open operation: %w", err)
	}
	if len(open) == 0 {
		return nil, nil
	}
	op := open[0]
	op.Transfers, err = queryAll(ctx, s.read, scanTransfer,
		`SELECT `+transferColumns+` FROM transfers WHERE operation_id = $1 AND state = 'sending' ORDER BY id`, op.ID)
	if err != nil {
		return nil, fmt.Errorf("read transfers of operation %d: %w", op.ID, err)
	}
	return &op, nil
}

// claimWindow is how many queued transfers are looked at for each one claimed, because some
// of them may not share a call.
const claimWindow = 10

// ClaimOptions say what may be claimed.
type ClaimOptions struct {
	Limit  int    // most transfers of one operation
	Budget Budget // the portal's; the zero value takes nothing from it
	// Fit is asked of one transfer after another, oldest first, whether it may join those
	// it said yes to before. One that may not is left for a later operation.
	Fit func(Transfer) bool
	// Rivals, unless nil, is told before Fit is asked which titles open operations of other lanes
	// are putting into the same destination. What they make could not be told apart from what
	// this one makes.
	Rivals func(kind event.Kind, titles []string)
}

// Claim makes an operation of queued transfers of a lane whose time has come, oldest first,
// and returns it, or nil when there are none. A transfer's own MaxBatch limits the batch it is
// part of. When the portal's budget has no write left, nothing is claimed, and wait is how long
// to wait for one.
func (s *Store) Claim(ctx context.Context, lane string, o ClaimOptions) (op *Operation, wait time.Duration, err error) {
	paused, err := s.holdPaused(ctx, lane)
	if err != nil {
		return nil, 0, fmt.Errorf("hold transfers of lane %s: %w", lane, err)
	}
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		now := s.now()
		first, err := queryAll(ctx, tx, scanTransfer, `SELECT `+transferColumns+` FROM transfers
			WHERE lane = $1 AND state = 'queued' AND next_attempt_at <= $2 LIMIT 1`, lane, millis(now))
		if err != nil || len(first) == 0 {
			return err
		}
		o.Budget.Spare = IsBackfillLane(lane)
		if wait, err = takeWrite(ctx, tx, first[0].Portal, lane, o.Budget, now); err != nil || wait > 0 {
			return err
		}
		if err := s.tellRivals(ctx, tx, first[0], o); err != nil {
			return err
		}
		taken, err := choose(ctx, tx, lane, o, paused, now)
		if err != nil {
			return err
		}
		if taken, err = s.lockQueued(ctx, tx, taken); err != nil {
			return err
		}
		if len(taken) == 0 {
			return errNothingFits // which gives the write back
		}
		op = &Operation{
			Lane: lane, Portal: taken[0].Portal, State: OperationSending, StartedAt: fromMillis(millis(now)),
			Size: len(taken), Transfers: taken,
		}
		if err := tx.QueryRowContext(ctx, `INSERT INTO operations (lane, portal, state, transfers, started_at)
			VALUES ($1, $2, $3, $4, $5) RETURNING id`,
			op.Lane, op.Portal, string(op.State), op.Size, millis(now)).Scan(&op.ID); err != nil {
			return err
		}
		ids := make([]int64, len(taken))
		for i := range taken {
			taken[i].State, taken[i].OperationID = event.Sending, op.ID
			ids[i] = taken[i].ID
		}
		return inChunks(ids, 500, func(chunk []int64) error {
			_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = 'sending', operation_id = $1, held_by = '',
				sent_at = CASE WHEN sent_at = 0 THEN $2 ELSE sent_at END WHERE id IN `+
				placeholders(3, len(chunk)), append([]any{op.ID, millis(now)}, anys(chunk)...)...)
			return err
		})
	})
	if errors.Is(err, errNothingFits) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("claim transfers of lane %s: %w", lane, err)
	}
	return op, wait, nil
}

// tellRivals tells which titles other lanes are putting into the destination of a lane's
// transfers at this moment.
func (s *Store) tellRivals(ctx context.Context, tx *sql.Tx, t Transfer, o ClaimOptions) error {
	if o.Rivals == nil {
		return nil
	}
	if err := s.lockDestination(ctx, tx, t.Portal, t.Destination); err != nil {
		return err
	}
	titles, err := queryColumn[string](ctx, tx, `SELECT t.entry_title FROM operations o JOIN transfers t ON t.operation_id = o.id
		WHERE o.state <> 'settled' AND o.portal = $1 AND t.state = 'sending' AND t.entry_kind = $2 AND t.destination = $3`,
		t.Portal, string(t.Kind), string(t.Destination))
	if err != nil {
		return fmt.Errorf("read what other lanes send: %w", err)
	}
	o.Rivals(t.Kind, titles)
	return nil
}

var errNothingFits = errors.New("no transfer fits")

// choose reads the lane's due transfers, oldest first, until a batch is full. The plus sign keeps
// the database on the index that is in the order of ids.
func choose(ctx context.Context, tx *sql.Tx, lane string, o ClaimOptions, paused pauses, now time.Time) (taken []Transfer, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+transferColumns+` FROM transfers
		WHERE lane = $1 AND state = 'queued' AND +next_attempt_at <= $2 ORDER BY id LIMIT $3`,
		lane, millis(now), o.Limit*claimWindow)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	limit := o.Limit
	for len(taken) < limit && rows.Next() {
		t, err := scanTransfer(rows)
		if err != nil {
			return nil, err
		}
		if paused.hold(t) || t.MaxBatch > 0 && t.MaxBatch <= len(taken) || !o.Fit(t) {
			continue
		}
		taken = append(taken, t)
		if t.MaxBatch > 0 {
			limit = min(limit, t.MaxBatch)
		}
	}
	return taken, rows.Err()
}

// MarkRunning stores the portal's id of an operation.
func (s *Store) MarkRunning(ctx context.Context, op *Operation, portalID string) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE operations SET state = 'running', portal_operation_id = $1 WHERE id = $2 AND state = 'sending'`,
			portalID, op.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("store portal id of operation %d: %w", op.ID, err)
	}
	op.State, op.PortalID = OperationRunning, portalID
	return nil
}

// StillSending reports whether nobody has taken over an operation that was claimed and not sent.
func (s *Store) StillSending(ctx context.Context, op *Operation) (bool, error) {
	found, err := queryColumn[int64](ctx, s.write, `SELECT id FROM operations WHERE id = $1 AND state = 'sending' AND seen_at = $2`,
		op.ID, millis(op.SeenAt))
	if err != nil {
		return false, fmt.Errorf("look at operation %d again: %w", op.ID, err)
	}
	return len(found) > 0, nil
}

// MarkSeen stores that more entries of an operation were seen in the destination than ever
// before.
func (s *Store) MarkSeen(ctx context.Context, op *Operation, seen int) error {
	now := s.now()
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE operations SET seen = $1, seen_at = $2 WHERE id = $3`, seen, millis(now), op.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("store progress of operation %d: %w", op.ID, err)
	}
	op.Seen, op.SeenAt = seen, now
	return nil
}

// SaveOutcomes stores what became of some of an operation's transfers and takes them off it.
// It returns the lanes of moves that waited for them.
func (s *Store) SaveOutcomes(ctx context.Context, op *Operation, outcomes []Outcome) (lanes []string, err error) {
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		lanes, err = s.saveOutcomes(ctx, tx, op, outcomes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store outcomes of operation %d: %w", op.ID, err)
	}
	ended := make(map[int64]bool, len(outcomes))
	for _, o := range outcomes {
		ended[o.TransferID] = true
	}
	op.Transfers = slices.DeleteFunc(slices.Clone(op.Transfers), func(t Transfer) bool { return ended[t.ID] })
	return lanes, nil
}

// SettleOperation stores what became of an operation's remaining transfers and settles it, in
// one transaction. It returns the lanes of moves that waited for them.
func (s *Store) SettleOperation(ctx context.Context, op *Operation, outcomes []Outcome, problem string) (lanes []string, err error) {
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		if lanes, err = s.saveOutcomes(ctx, tx, op, outcomes); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE operations SET state = 'settled', error = $1, settled_at = $2 WHERE id = $3`,
			problem, millis(s.now()), op.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("settle operation %d: %w", op.ID, err)
	}
	return lanes, nil
}

func (s *Store) saveOutcomes(ctx context.Context, tx *sql.Tx, op *Operation, outcomes []Outcome) (lanes []string, err error) {
	now := s.now()
	done := 0
	var ended []int64
	outcomes = slices.SortedFunc(slices.Values(outcomes), func(a, b Outcome) int { return cmp.Compare(a.TransferID, b.TransferID) })
	for _, o := range outcomes { // in the order in which everybody locks transfers
		if err := s.saveOutcome(ctx, tx, op, o, now); err != nil {
			return nil, err
		}
		if o.State.Ended() {
			ended = append(ended, o.TransferID)
		}
		if o.State == event.Done {
			done++
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE operations SET done = done + $1 WHERE id = $2`, done, op.ID); err != nil {
		return nil, err
	}
	return s.unblockMoves(ctx, tx, ended, now)
}

// KnownResults returns those of the portal's entries of a kind that are already known as the
// result of a transfer, with the newest version known of each, so that nothing is credited twice.
func (s *Store) KnownResults(ctx context.Context, portal string, kind event.Kind, ids []event.ID) (map[event.ID]int, error) {
	known := map[event.ID]int{}
	err := inChunks(ids, 500, func(chunk []event.ID) error {
		type result struct {
			id      event.ID
			version int
		}
		found, err := queryAll(ctx, s.read, func(rows *sql.Rows) (r result, err error) {
			err = rows.Scan(&r.id, &r.version)
			return r, err
		}, `SELECT result_id, max(result_version) FROM transfers WHERE portal = $1 AND entry_kind = $2 AND result_id <> ''
			AND result_id IN `+placeholders(3, len(chunk))+` GROUP BY result_id`, append([]any{portal, string(kind)}, anys(chunk)...)...)
		for _, r := range found {
			known[r.id] = r.version
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read known results: %w", err)
	}
	return known, nil
}

// RuleFile is the last good version of one rules file.
type RuleFile struct {
	Name     string
	Hash     string
	Text     []byte
	LoadedAt time.Time
}

// SaveRules replaces the last good version of the rules and notes it among the versions.
func (s *Store) SaveRules(ctx context.Context, hash, cause string, files []RuleFile) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		if err := saveVersion(ctx, tx, RuleVersion{Hash: hash, Cause: cause, LoadedAt: s.now(), Files: files}); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM rule_files`); err != nil {
			return err
		}
		for _, f := range files {
			if _, err := tx.ExecContext(ctx, `INSERT INTO rule_files (name, hash, text, loaded_at) VALUES ($1, $2, $3, $4)`,
				f.Name, f.Hash, f.Text, millis(s.now())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store rules files: %w", err)
	}
	return nil
}

// RuleFiles returns the last good version of the rules, in name order; none when no version
// was ever good.
func (s *Store) RuleFiles(ctx context.Context) ([]RuleFile, error) {
	files, err := queryAll(ctx, s.read, func(rows *sql.Rows) (f RuleFile, err error) {
		var at int64
		err = rows.Scan(&f.Name, &f.Hash, &f.Text, &at)
		f.LoadedAt = fromMillis(at)
		return f, err
	}, `SELECT name, hash, text, loaded_at FROM rule_files ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read rules files: %w", err)
	}
	return files, nil
}

// Transfer returns one transfer, or ErrNotFound.
func (s *Store) Transfer(ctx context.Context, id int64) (Transfer, error) {
	return one(queryAll(ctx, s.read, scanTransfer, `SELECT `+transferColumns+` FROM transfers WHERE id = $1`, id))
}

func one[T any](items []T, err error) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	if len(items) == 0 {
		return zero, ErrNotFound
	}
	return items[0], nil
}
