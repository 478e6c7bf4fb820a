package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"docspace-router/internal/event"
)

// ErrConflict says that something cannot be done in the state in which it is. Its text says why.
var ErrConflict = errors.New("not possible now")

// Action is what a person can do with a transfer.
type Action string

// The actions.
const (
	Retry  Action = "retry"  // queues what failed or was cancelled again, as if it were new
	Cancel Action = "cancel" // ends what is blocked or queued, and gives up what failed; what is being sent can only be awaited
)

// States are the states in which a transfer can be acted on so.
func (a Action) States() []string {
	if a == Retry {
		return []string{string(event.Failed), string(event.Cancelled)}
	}
	return []string{string(event.Blocked), string(event.Queued), string(event.Failed)}
}

// Acted is what an action did.
type Acted struct {
	IDs     []int64          // of the transfers that were acted on
	Refused map[int64]string // why the others were not
	Lanes   []string         // that have work now
}

// Act does one thing with each of some transfers, in one transaction: hand it a few hundred at most.
// Transfers that it cannot be done with are left alone, and told with the reason.
func (s *Store) Act(ctx context.Context, action Action, ids []int64, author string) (Acted, error) {
	var done Acted
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		done = Acted{Refused: map[int64]string{}}
		for _, id := range ids {
			done.Refused[id] = fmt.Sprintf("there is no transfer %d", id)
		}
		transfers, err := s.forAction(ctx, tx, action, ids)
		if err != nil {
			return err
		}
		lanes := map[string]bool{}
		now := s.now()
		for _, t := range transfers {
			why, err := s.act(ctx, tx, action, t, author, now, lanes)
			if err != nil {
				return err
			}
			if done.Refused[t.ID] = why; why == "" {
				delete(done.Refused, t.ID)
				done.IDs = append(done.IDs, t.ID)
			}
		}
		if action == Cancel {
			freed, err := s.unblockMoves(ctx, tx, done.IDs, now)
			if err != nil {
				return err
			}
			for _, lane := range freed {
				lanes[lane] = true
			}
		}
		done.Lanes = sortedKeys(lanes)
		return nil
	})
	if err != nil {
		return Acted{}, fmt.Errorf("%s transfers: %w", action, err)
	}
	return done, nil
}

// forAction reads transfers so that nobody else changes them, or stores others of the same entries,
// before the transaction ends.
func (s *Store) forAction(ctx context.Context, tx *sql.Tx, action Action, ids []int64) ([]Transfer, error) {
	var all []Transfer
	err := inChunks(ids, 500, func(chunk []int64) error {
		query := `SELECT ` + transferColumns + ` FROM transfers WHERE id IN ` + placeholders(1, len(chunk)) + ` ORDER BY id`
		found, err := queryAll(ctx, tx, scanTransfer, query, anys(chunk)...)
		if err != nil || s.kind != PostgreSQL {
			all = append(all, found...)
			return err
		}
		var keys []string
		for _, t := range found {
			keys = append(keys, entryLock(t.Portal, t.Kind, t.EntryID))
		}
		if err := lockAll(ctx, tx, keys); err != nil {
			return fmt.Errorf("lock entries: %w", err)
		}
		these := `SELECT id FROM transfers WHERE id IN ` + placeholders(1, len(chunk))
		if action == Retry {
			// The moves of the same entries will wait for their copies again.
			these += ` UNION SELECT m.id FROM transfers t JOIN transfers m ON m.portal = t.portal AND m.entry_kind = t.entry_kind
				AND m.entry_id = t.entry_id WHERE t.id IN ` + placeholders(1, len(chunk)) + ` AND m.state || '' = 'queued' AND m."action" = 'move'`
		}
		if _, err := queryColumn[int64](ctx, tx, `SELECT id FROM transfers WHERE id IN (`+these+`) ORDER BY id FOR UPDATE`, anys(chunk)...); err != nil {
			return fmt.Errorf("lock transfers: %w", err)
		}
		found, err = queryAll(ctx, tx, scanTransfer, query, anys(chunk)...)
		all = append(all, found...)
		return err
	})
	return all, err
}

func (s *Store) act(ctx context.Context, tx *sql.Tx, action Action, t Transfer, author string, now time.Time, lanes map[string]bool) (why string, err error) {
	if action == Cancel {
		return cancel(ctx, tx, t, author, now)
	}
	why, state, err := retry(ctx, tx, t, now)
	if err != nil || why != "" {
		return why, err
	}
	if state == event.Queued {
		lanes[t.Lane] = true
	}
	return "", addAttempt(ctx, tx, Attempt{TransferID: t.ID, Outcome: string(event.Queued), Reason: "queued again by " + author, At: now})
}

func cancel(ctx context.Context, tx *sql.Tx, t Transfer, author string, now time.Time) (why string, err error) {
	switch t.State {
	case event.Sending:
		return "it is being sent: what the portal was asked to do can only be awaited", nil
	case event.Blocked, event.Queued, event.Failed:
	default:
		return fmt.Sprintf("it is %s already", t.State), nil
	}
	reason := "cancelled by " + author
	_, err = tx.ExecContext(ctx, `UPDATE transfers SET state = 'cancelled', reason = $1, held_by = '', ended_at = $2
		WHERE id = $3 AND state IN ('blocked', 'queued', 'failed')`, reason, millis(now), t.ID)
	if err != nil {
		return "", err
	}
	return "", addAttempt(ctx, tx, Attempt{TransferID: t.ID, Outcome: string(event.Cancelled), Reason: reason, At: now})
}

// copiedBefore says that what a backfill asked for was copied so long ago that the transfer is deleted.
func copiedBefore(ctx context.Context, tx *sql.Tx, id int64) (why string, err error) {
	keys, err := queryAll(ctx, tx, scanFingerprint, fingerprintQuery+`id = $1 AND backfill <> 0`, id)
	if err != nil || len(keys) == 0 {
		return "", err
	}
	known, err := queryColumn[int64](ctx, tx, `SELECT key FROM transferred WHERE key = $1`, keys[0])
	if err != nil || len(known) == 0 {
		return "", err
	}
	return "its rule copied the entry before", nil
}

// retry queues a transfer again unless the same is done, or on its way, by another one. To what a
// backfill asked for, or did since, everything that brought the entry by the same rule counts as the
// same, since backfills are about what was not transferred yet. A move of
// the entry that has not begun waits for a copy that is tried again, as it did the first time.
func retry(ctx context.Context, tx *sql.Tx, t Transfer, now time.Time) (why string, state event.State, err error) {
	if t.State != event.Failed && t.State != event.Cancelled {
		return fmt.Sprintf("it is %s: only what failed or was cancelled can be tried again", t.State), "", nil
	}
	open, err := queryColumn[int64](ctx, tx, `SELECT id FROM operations WHERE id = $1 AND state <> 'settled'`, t.OperationID)
	if err != nil {
		return "", "", err
	}
	if len(open) > 0 {
		return fmt.Sprintf("its operation %d is not settled yet: try again in a minute", t.OperationID), "", nil
	}
	same, err := queryColumn[int64](ctx, tx, `SELECT o.id FROM transfers t JOIN transfers o ON o.portal = t.portal
			AND o.entry_kind = t.entry_kind AND o.entry_id = t.entry_id
		WHERE t.id = $1 AND o.id <> t.id AND o.rule = t.rule AND o.base = t.base AND o.state NOT IN ('failed', 'cancelled')
			AND (o.happening = t.happening AND o.happened_at = t.happened_at OR t.backfill <> 0
				OR o.backfill <> 0 AND o.queued_at >= t.happened_at) LIMIT 1`, t.ID)
	if err != nil {
		return "", "", err
	}
	if len(same) > 0 {
		return fmt.Sprintf("transfer %d does the same", same[0]), "", nil
	}
	if why, err := copiedBefore(ctx, tx, t.ID); err != nil || why != "" {
		return why, "", err
	}
	entry := event.Entry{Kind: t.Kind, ID: t.EntryID}
	if state, err = initialState(ctx, tx, t.Action, t.Portal, entry); err != nil {
		return "", "", err
	}
	if err := queueAgain(ctx, tx, t.ID, state, now); err != nil {
		return "", "", err
	}
	if t.Action == event.Copy {
		_, err = tx.ExecContext(ctx, `UPDATE transfers SET state = 'blocked', held_by = '', next_attempt_at = 0
			WHERE portal = $1 AND entry_kind = $2 AND entry_id = $3 AND "action" = 'move' AND state || '' = 'queued'`,
			t.Portal, string(t.Kind), string(t.EntryID))
	}
	return "", state, err
}

// ActOnMany does one thing with every transfer of a filter that it can be done with, in steps, and
// reports how many there were. Lanes that have work are handed to wake after each step. What changes
// while it runs may be missed: it goes through the list once.
func (s *Store) ActOnMany(ctx context.Context, action Action, f Filter, author string, wake func(context.Context, []string) error) (int, error) {
	n := 0
	f.Limit, f.Before = 200, 0
	for {
		page, next, err := s.Transfers(ctx, f)
		if err != nil {
			return n, err
		}
		ids := make([]int64, len(page))
		for i, t := range page {
			ids[i] = t.ID
		}
		if len(ids) > 0 {
			done, err := s.Act(ctx, action, ids, author)
			if err != nil {
				return n, err
			}
			n += len(done.IDs)
			if err := wake(ctx, done.Lanes); err != nil {
				return n, err
			}
		}
		if next == 0 {
			return n, nil
		}
		f.Before = next
	}
}

// CountTransfers counts what a filter lets through.
func (s *Store) CountTransfers(ctx context.Context, f Filter) (int, error) {
	n, err := transferList.count(ctx, s, f)
	if err != nil {
		return 0, fmt.Errorf("count transfers: %w", err)
	}
	return n, nil
}

// Replay makes an event pending again, so that it is routed by the rules as they are now, and lets
// enqueue insert the job for that in the same transaction. It is safe to repeat: of what a rule
// wants done, a transfer that the event caused before, to the same destination, stands for it. If
// that one failed, it is queued again; done, under way or cancelled, it is left as it is.
func (s *Store) Replay(ctx context.Context, id int64, enqueue func(ctx context.Context, tx *sql.Tx, portal string, events []int64) error) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		portals, err := queryColumn[string](ctx, tx, `UPDATE events SET state = 'pending', reason = '', owed = '', attempts = 0,
			routed_at = 0, replayed_at = $1 WHERE id = $2 AND state <> 'pending' RETURNING portal`, millis(s.now()), id)
		if err != nil {
			return err
		}
		if len(portals) > 0 {
			// What a backfill found is for its rule alone, as it was before.
			if _, err := tx.ExecContext(ctx, `UPDATE events SET owed = b.rule FROM backfills b
				WHERE events.id = $1 AND events.webhook_id = '`+backfillWebhook+`' || b.id`, id); err != nil {
				return err
			}
			return enqueue(ctx, tx, portals[0], []int64{id})
		}
		there, err := queryColumn[int64](ctx, tx, `SELECT id FROM events WHERE id = $1`, id)
		switch {
		case err != nil:
			return err
		case len(there) == 0:
			return ErrNotFound
		}
		return fmt.Errorf("it is about to be routed: %w", ErrConflict)
	})
	if err != nil {
		return fmt.Errorf("replay event %d: %w", id, err)
	}
	return nil
}

// EventTransfers returns the transfers that an event caused, oldest first.
func (s *Store) EventTransfers(ctx context.Context, event int64) ([]Transfer, error) {
	list, err := queryAll(ctx, s.read, scanTransfer, `SELECT `+transferColumns+` FROM transfers WHERE event_id = $1 ORDER BY id`, event)
	if err != nil {
		return nil, fmt.Errorf("read transfers of event %d: %w", event, err)
	}
	return list, nil
}
