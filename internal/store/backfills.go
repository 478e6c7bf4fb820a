package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// BackfillState is where a backfill stands.
type BackfillState string

// The states of a backfill.
const (
	BackfillRunning   BackfillState = "running"
	BackfillDone      BackfillState = "done"
	BackfillCancelled BackfillState = "cancelled"
)

// ErrBackfillRuns says that the rule has a backfill under way on the portal.
var ErrBackfillRuns = errors.New("the rule has a backfill under way")

// Backfill is a walk through a rule's sources.
type Backfill struct {
	ID        int64
	Portal    string
	Rule      string
	Sources   []string  // those that were asked for; none: all of the rule's
	Since     time.Time // only what was created or changed then or later; zero: everything
	State     BackfillState
	Note      string // what it waits for; empty while it goes on
	Tally     []byte // what was met so far, as whoever walks writes it
	CreatedAt time.Time
	EndedAt   time.Time
}

// BackfillFolder is a folder that a backfill has found, and how far it is read.
type BackfillFolder struct {
	ID       int64
	Folder   event.ID
	Deep     bool // the folders in it as well
	Start    int  // of the next page
	Mark     time.Time
	Marked   []event.ID // the files created at Mark that were looked at
	Walked   bool
	Backfill int64
}

const backfillColumns = `id, portal, rule, sources, since, state, note, tally, created_at, ended_at`

func scanBackfill(rows *sql.Rows) (b Backfill, err error) {
	var sources, tally string
	var since, created, ended int64
	err = rows.Scan(&b.ID, &b.Portal, &b.Rule, &sources, &since, &b.State, &b.Note, &tally, &created, &ended)
	b.Sources, b.Tally = lines(sources), []byte(tally)
	b.Since, b.CreatedAt, b.EndedAt = fromMillis(since), fromMillis(created), fromMillis(ended)
	return b, err
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// CreateBackfill stores a new backfill with the folders it begins with; enqueue inserts its job
// in the same transaction. The error is ErrBackfillRuns, with the other one's id, when the rule
// has one under way.
func (s *Store) CreateBackfill(ctx context.Context, b Backfill, folders []BackfillFolder, enqueue func(*sql.Tx, int64) error) (int64, error) {
	var id int64
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO backfills (portal, rule, sources, since, state, tally, created_at)
			VALUES ($1, $2, $3, $4, 'running', $5, $6) ON CONFLICT (portal, rule) WHERE state = 'running' DO NOTHING RETURNING id`,
			b.Portal, b.Rule, strings.Join(b.Sources, "\n"), millis(b.Since), string(b.Tally), millis(s.now())).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			other := tx.QueryRowContext(ctx, `SELECT id FROM backfills WHERE portal = $1 AND rule = $2 AND state = 'running'`, b.Portal, b.Rule)
			if err := other.Scan(&id); err != nil {
				return err
			}
			return ErrBackfillRuns
		}
		if err != nil {
			return err
		}
		if err := addBackfillFolders(ctx, tx, id, folders); err != nil {
			return err
		}
		return enqueue(tx, id)
	})
	if err != nil {
		return id, fmt.Errorf("store backfill of rule %s: %w", b.Rule, err)
	}
	return id, nil
}

// addBackfillFolders adds folders to be walked; those that are known stay as they are, so that
// each is walked once.
func addBackfillFolders(ctx context.Context, tx *sql.Tx, backfill int64, folders []BackfillFolder) error {
	for _, f := range folders {
		deep := 0
		if f.Deep {
			deep = 1
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO backfill_folders (backfill, folder, deep) VALUES ($1, $2, $3)
			ON CONFLICT (backfill, folder) DO NOTHING`, backfill, string(f.Folder), deep); err != nil {
			return fmt.Errorf("store folder %s: %w", f.Folder, err)
		}
	}
	return nil
}

// Backfill returns one backfill, or ErrNotFound.
func (s *Store) Backfill(ctx context.Context, id int64) (Backfill, error) {
	b, err := one(queryAll(ctx, s.read, scanBackfill, `SELECT `+backfillColumns+` FROM backfills WHERE id = $1`, id))
	if err != nil {
		return Backfill{}, fmt.Errorf("read backfill %d: %w", id, err)
	}
	return b, nil
}

// Backfills lists backfills, newest first.
func (s *Store) Backfills(ctx context.Context, limit int) ([]Backfill, error) {
	list, err := queryAll(ctx, s.read, scanBackfill, `SELECT `+backfillColumns+` FROM backfills ORDER BY id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list backfills: %w", err)
	}
	return list, nil
}

// RunningBackfills returns those that have not ended.
func (s *Store) RunningBackfills(ctx context.Context) ([]Backfill, error) {
	list, err := queryAll(ctx, s.read, scanBackfill, `SELECT `+backfillColumns+` FROM backfills WHERE state = 'running' ORDER BY portal, rule`)
	if err != nil {
		return nil, fmt.Errorf("list running backfills: %w", err)
	}
	return list, nil
}

// NextBackfillFolder returns the folder to go on with: the one found last, so that few are known
// and not walked at a time. It is nil when all are walked.
func (s *Store) NextBackfillFolder(ctx context.Context, backfill int64) (*BackfillFolder, error) {
	next, err := queryAll(ctx, s.read, func(rows *sql.Rows) (f BackfillFolder, err error) {
		var mark int64
		var marked string
		var deep int
		err = rows.Scan(&f.ID, &f.Folder, &deep, &f.Start, &mark, &marked)
		f.Deep, f.Mark, f.Backfill = deep != 0, fromMillis(mark), backfill
		for _, id := range lines(marked) {
			f.Marked = append(f.Marked, event.ID(id))
		}
		return f, err
	}, `SELECT id, folder, deep, start, mark, marked FROM backfill_folders WHERE backfill = $1 AND walked = 0 ORDER BY id DESC LIMIT 1`, backfill)
	if err != nil {
		return nil, fmt.Errorf("read the next folder of backfill %d: %w", backfill, err)
	}
	if len(next) == 0 {
		return nil, nil
	}
	return &next[0], nil
}

// ErrMovedOn says that a backfill has been ended, or taken further by another process, since its
// folder was read.
var ErrMovedOn = errors.New("the backfill has moved on")

// SaveBackfillStep stores how far a folder is read now, and what was found and met on the way, in
// the transaction that stores the transfers this led to. The error is ErrMovedOn when was is no
// longer how things stand.
func (s *Store) SaveBackfillStep(ctx context.Context, tx *sql.Tx, was, is BackfillFolder, found []BackfillFolder, tally []byte) error {
	walked := 0
	if is.Walked {
		walked = 1
	}
	marked := make([]string, len(is.Marked))
	for i, id := range is.Marked {
		marked[i] = string(id)
	}
	for _, update := range []struct {
		text string
		args []any
	}{
		{`UPDATE backfills SET tally = $1, note = '' WHERE id = $2 AND state = 'running'`, []any{string(tally), was.Backfill}},
		{
			`UPDATE backfill_folders SET start = $1, mark = $2, marked = $3, walked = $4
			WHERE id = $5 AND walked = 0 AND start = $6 AND mark = $7`,
			[]any{is.Start, millis(is.Mark), strings.Join(marked, "\n"), walked, was.ID, was.Start, millis(was.Mark)},
		},
	} {
		result, err := tx.ExecContext(ctx, update.text, update.args...)
		if err != nil {
			return fmt.Errorf("store step of backfill %d: %w", was.Backfill, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return ErrMovedOn
		}
	}
	return addBackfillFolders(ctx, tx, was.Backfill, found)
}

// OweTo marks events that were just stored as being for one rule alone.
func (s *Store) OweTo(ctx context.Context, tx *sql.Tx, rule string, events []int64) error {
	return inChunks(events, 500, func(chunk []int64) error {
		_, err := tx.ExecContext(ctx, `UPDATE events SET owed = $1 WHERE state || '' = 'pending' AND id IN `+placeholders(2, len(chunk)),
			append([]any{rule}, anys(chunk)...)...)
		if err != nil {
			return fmt.Errorf("store the rule of events: %w", err)
		}
		return nil
	})
}

// NoteBackfill stores what a backfill waits for.
func (s *Store) NoteBackfill(ctx context.Context, id int64, note string) error {
	_, err := s.write.ExecContext(ctx, `UPDATE backfills SET note = $1 WHERE id = $2 AND state = 'running' AND note <> $1`, note, id)
	if err != nil {
		return fmt.Errorf("store what backfill %d waits for: %w", id, err)
	}
	return nil
}

const (
	openBackfillTransfers = `SELECT id FROM transfers WHERE backfill = $1 AND backfill <> 0 AND state IN ('blocked', 'queued', 'sending') LIMIT $2`
	openBackfillEvents    = `SELECT id FROM events WHERE webhook_id = $1 AND state = 'pending' AND owed <> '' LIMIT $2`
)

// BackfillOpen counts what a backfill asked for and has not ended, up to limit.
func (s *Store) BackfillOpen(ctx context.Context, id int64, limit int) (int, error) {
	return backfillOpen(ctx, s.read, id, limit)
}

func backfillOpen(ctx context.Context, db querier, id int64, limit int) (int, error) {
	// Events first: one that is decided on meanwhile is seen by its transfers.
	events, err := queryColumn[int64](ctx, db, openBackfillEvents, BackfillWebhook(id), limit)
	if err != nil {
		return 0, fmt.Errorf("count pending events of backfill %d: %w", id, err)
	}
	transfers, err := queryColumn[int64](ctx, db, openBackfillTransfers, id, limit)
	if err != nil {
		return 0, fmt.Errorf("count open transfers of backfill %d: %w", id, err)
	}
	return len(transfers) + len(events), nil
}

// BackfillTransfers counts a backfill's transfers by state.
func (s *Store) BackfillTransfers(ctx context.Context, id int64) (map[event.State]int, error) {
	out := map[event.State]int{}
	type count struct {
		state event.State
		n     int
	}
	counts, err := queryAll(ctx, s.read, func(rows *sql.Rows) (c count, err error) {
		err = rows.Scan(&c.state, &c.n)
		return c, err
	}, `SELECT state, count(*) FROM transfers WHERE backfill IN ($1, $2) AND backfill <> 0 GROUP BY state`, id, -id)
	if err != nil {
		return nil, fmt.Errorf("count transfers of backfill %d: %w", id, err)
	}
	for _, c := range counts {
		out[c.state] = c.n
	}
	return out, nil
}

// EndBackfill ends a backfill whose folders are all walked and whose transfers have all ended, and
// reports whether it has ended.
func (s *Store) EndBackfill(ctx context.Context, id int64) (ended bool, err error) {
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		open, err := backfillOpen(ctx, tx, id, 1)
		if err != nil || open > 0 {
			return err
		}
		ended = true
		return closeBackfill(ctx, tx, id, BackfillDone, s.now())
	})
	if err != nil {
		return false, fmt.Errorf("end backfill %d: %w", id, err)
	}
	return ended, nil
}

func closeBackfill(ctx context.Context, tx *sql.Tx, id int64, state BackfillState, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE backfills SET state = $1, note = '', ended_at = $2 WHERE id = $3 AND state = 'running'`,
		string(state), millis(now), id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM backfill_folders WHERE backfill = $1`, id)
	return err
}

// CancelBackfill ends a backfill and cancels what it asked for and has not been sent. It returns
// how many transfers that were; what is on its way to the portal ends as it ends. One that had
// ended already stays as it is, and so does what an event relies on.
func (s *Store) CancelBackfill(ctx context.Context, id int64) (cancelled int, err error) {
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		if err := closeBackfill(ctx, tx, id, BackfillCancelled, s.now()); err != nil {
			return err
		}
		now := s.now()
		reason := fmt.Sprintf("backfill %d was cancelled", id)
		// Events first: one that is being decided on at this moment is waited for, and its transfers
		// are then seen.
		if _, err := tx.ExecContext(ctx, `UPDATE events SET state = 'ignored', reason = $1, routed_at = $2, owed = ''
			WHERE `+s.inOrder("events", `webhook_id = $3 AND state = 'pending' AND owed <> ''`), reason, millis(now), BackfillWebhook(id)); err != nil {
			return err
		}
		ended, err := queryColumn[int64](ctx, tx, `UPDATE transfers SET state = 'cancelled', reason = $1, held_by = '', ended_at = $2
			WHERE `+s.inOrder("transfers", `backfill = $3 AND backfill <> 0 AND state IN ('blocked', 'queued') AND sent_at = 0`)+` RETURNING id`, reason, millis(now), id)
		if err != nil {
			return err
		}
		cancelled = len(ended)
		_, err = s.unblockMoves(ctx, tx, ended, now) // whose lanes the sweep wakes
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("cancel backfill %d: %w", id, err)
	}
	return cancelled, nil
}
