package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// sameHappening is how far apart two events may have happened and still be one happening that
// was reported twice: by a second webhook, or by an upload through the API, which fires
// file.created and file.uploaded. A manual retry has the very time of the first report; events
// of one webhook and one trigger with different times are different happenings, such as two
// versions saved shortly after each other.
const sameHappening = 5 * time.Second

// NewTransfer is a transfer that routing decided on.
type NewTransfer struct {
	Portal      string
	Rule        string
	Action      event.Action
	Conflict    event.Conflict
	Entry       event.Entry
	Source      event.ID // the room or folder that the rule names, or the room that it found
	Destination event.ID
	Base        event.ID // the folder the rule names, when Destination is one below it; "" is Destination
	Trail       []string // of what the gateway's own work caused: the steps that led here, this one included
	Trigger     string
	WebhookID   string
	HappenedAt  time.Time // by the portal's clock
	// HappenedHere is the same moment by the gateway's clock; zero where it is not known, or not past
	// for long. What a backfill has sent since is what the event is about.
	HappenedHere time.Time
}

// sentSince is the time after which a backfill's transfer was sent that stands for this one.
func (t NewTransfer) sentSince() int64 {
	if t.HappenedHere.IsZero() {
		return math.MaxInt64
	}
	return millis(t.HappenedHere.Add(sameHappening)) // the clocks may differ by less
}

// base is the folder that the rule names.
func (t NewTransfer) base() event.ID { return cmp.Or(t.Base, t.Destination) }

// Lane names the transfers that may share one API call.
func (t NewTransfer) Lane() string {
	lane := strings.Join([]string{t.Portal, string(t.Action), string(t.Entry.Kind), string(t.Conflict), string(t.Destination)}, "|")
	if t.backfill() != 0 {
		return lane + backfillSuffix
	}
	return lane
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
	var repeats []string
	transfers := slices.Clone(d.Transfers)
	slices.SortStableFunc(transfers, func(a, b NewTransfer) int {
		return strings.Compare(string(a.Action), string(b.Action)) // "copy" < "move"
	})
	for _, t := range transfers {
		twin, err := s.requeueSame(ctx, tx, t, d.EventID, now)
		if err != nil {
			return fmt.Errorf("store transfer of %s %s: %w", t.Entry.Kind, t.Entry.ID, err)
		}
		if twin.found {
			if twin.requeued {
				touched[twin.lane] = true
			}
			if twin.event != d.EventID { // else decided on in part before
				repeats = append(repeats, twin.why)
			}
			continue
		}
		state, err := initialState(ctx, tx, t.Action, t.Portal, t.Entry)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO transfers (event_id, portal, rule, "action", conflict, entry_kind, entry_id,
				entry_title, search, source, destination, base, trail, lane, happening, happened_at, state, created_at, queued_at, backfill)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
			d.EventID, t.Portal, t.Rule, string(t.Action), string(t.Conflict), string(t.Entry.Kind), string(t.Entry.ID), t.Entry.Title,
			searchKey(t.Entry.Title), string(t.Source), string(t.Destination), string(t.base()), strings.Join(t.Trail, "\n"), t.Lane(), t.happening(),
			millis(t.HappenedAt), string(state), millis(now), millis(now), t.backfill())
		if err != nil {
			return fmt.Errorf("store transfer of %s %s: %w", t.Entry.Kind, t.Entry.ID, err)
		}
		touched[t.Lane()] = true
	}
	if len(repeats) == 0 {
		return nil
	}
	reason := repeats[0]
	if d.Reason != "" {
		reason = d.Reason + "; " + reason
	}
	if _, err := tx.ExecContext(ctx, `UPDATE events SET reason = $1 WHERE id = $2`, reason, d.EventID); err != nil {
		return fmt.Errorf("store reason of event %d: %w", d.EventID, err)
	}
	return nil
}

// requeueSame looks for a transfer that stands for a new one, and queues it again where it failed.
func (s *Store) requeueSame(ctx context.Context, tx *sql.Tx, t NewTransfer, newcomer int64, now time.Time) (twin, error) {
	if t.backfill() != 0 {
		return s.requeueEarlier(ctx, tx, t, newcomer, now)
	}
	// What a backfill has queued is overtaken by what brings the entry itself, not by a second report
	// of what is done with or was cancelled. The second look is for what was sent meanwhile.
	found, err := s.requeueTwin(ctx, tx, t, newcomer, now, notOvertaken)
	if err != nil || found.found {
		return found, err
	}
	if err := s.overtakeBackfill(ctx, tx, t, newcomer, now); err != nil {
		return twin{}, err
	}
	return s.requeueTwin(ctx, tx, t, newcomer, now, notCancelled)
}

// Of the transfers of backfills, those that may be the twin of an event's.
const (
	notCancelled = `NOT (t.backfill <> 0 AND t.state = 'cancelled')`
	notOvertaken = `NOT (t.backfill <> 0 AND t.state = 'cancelled' OR t.backfill > 0 AND t.sent_at = 0 AND t.state IN ('queued', 'blocked'))`
)

// twin is a transfer that an earlier report of the same happening caused.
type twin struct {
	found, requeued bool
	event           int64
	lane            string // its own: the rule may have changed since
	why             string // it stands for the newcomer
}

// requeueTwin looks for a transfer that the same happening already caused, or the event itself
// when it was decided on in part or is replayed. One of another event that failed is queued again,
// because the newcomer is somebody's second try, and so is one that failed before its own event was
// replayed.
func (s *Store) requeueTwin(ctx context.Context, tx *sql.Tx, t NewTransfer, newcomer int64, now time.Time, among string) (twin, error) {
	var id int64
	var lane string
	var action event.Action
	var state event.State
	var ended, replayed, sent, backfill int64
	var found twin
	err := tx.QueryRowContext(ctx, `SELECT t.id, t.event_id, t.lane, t."action", t.state, t.ended_at, e.replayed_at, t.sent_at, t.backfill
		FROM transfers t JOIN events e ON e.id = t.event_id
		WHERE t.portal = $1 AND t.entry_kind = $2 AND t.entry_id = $3 AND t.rule = $4 AND t.base = $5
			AND (t.event_id = $12 OR t.happening = $6 AND t.happened_at BETWEEN $7 AND $8
				AND (t.happened_at = $9 OR e."trigger" <> $10 OR e.webhook_id <> $11)
				OR t.backfill <> 0 AND t.sent_at > $13 AND t."action" = $14 AND t.conflict = $15)
			AND `+among+`
		ORDER BY t.id DESC LIMIT 1`,
		t.Portal, string(t.Entry.Kind), string(t.Entry.ID), t.Rule, string(t.base()), t.happening(),
		millis(t.HappenedAt.Add(-sameHappening)), millis(t.HappenedAt.Add(sameHappening)), millis(t.HappenedAt),
		t.Trigger, t.WebhookID, newcomer, t.sentSince(), string(t.Action), string(t.Conflict)).
		Scan(&id, &found.event, &lane, &action, &state, &ended, &replayed, &sent, &backfill)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return twin{}, nil
	case err != nil:
		return twin{}, err
	}
	found.found, found.why = true, fmt.Sprintf("event %d reported the same", found.event)
	if backfill != 0 && sent > t.sentSince() {
		found.why = fmt.Sprintf("backfill %d has sent it since, as event %d", max(backfill, -backfill), found.event)
	}
	if state == event.Failed && (found.event != newcomer || ended <= replayed) {
		if state, err = initialState(ctx, tx, action, t.Portal, t.Entry); err != nil {
			return twin{}, err
		}
		found.requeued, found.lane = true, lane
		if err := queueAgain(ctx, tx, id, state, now); err != nil {
			return twin{}, err
		}
	}
	if backfill > 0 && found.event != newcomer && !state.Ended() {
		// The event has no other: whoever ends the backfill does not end this.
		_, err = tx.ExecContext(ctx, `UPDATE transfers SET backfill = -backfill WHERE id = $1 AND backfill > 0`, id)
	}
	return found, err
}

// queueAgain gives a failed or cancelled transfer a new life. What it is known to have sent stays
// known, so that it is looked for before anything is sent again.
func queueAgain(ctx context.Context, tx *sql.Tx, id int64, state event.State, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = $1, reason = '', attempts = 0, max_batch = 0, failing_since = 0,
		next_attempt_at = 0, held_by = '', queued_at = $2, ended_at = 0 WHERE id = $3 AND state IN ('failed', 'cancelled')`,
		string(state), millis(now), id)
	return err
}

// initialState is Blocked for a move whose entry is still to be copied, and Queued for
// everything else.
func initialState(ctx context.Context, tx *sql.Tx, action event.Action, portal string, e event.Entry) (event.State, error) {
	if action != event.Move {
		return event.Queued, nil
	}
	open, err := openCopies(ctx, tx, portal, e.Kind, e.ID)
	if err != nil || !open {
		return event.Queued, err
	}
	return event.Blocked, nil
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
	Source        event.ID
	Destination   event.ID
	Lane          string
	State         event.State
	Reason        string
	Attempts      int
	MaxBatch      int // at most this many transfers may share its next operation; 0: no limit
	NextAttemptAt time.Time
	SentAt        time.Time // when it was first sent; zero when nothing of it can have been done
	FailingSince  time.Time // the first attempt that failed for a reason of its own; zero: none
	OperationID   int64
	ResultID      event.ID
	ResultTitle   string
	ResultVersion int
	HappenedAt    time.Time
	CreatedAt     time.Time
	QueuedAt      time.Time
	EndedAt       time.Time
}

const transferColumns = `id, event_id, portal, rule, "action", conflict, entry_kind, entry_id, entry_title, source, destination,
	lane, state, reason, attempts, max_batch, next_attempt_at, sent_at, failing_since, operation_id, result_id, result_title,
	result_version, happened_at, created_at, queued_at, ended_at`

func scanTransfer(rows *sql.Rows) (Transfer, error) {
	var t Transfer
	var next, sent, failing, happened, created, queued, ended int64
	err := rows.Scan(&t.ID, &t.EventID, &t.Portal, &t.Rule, &t.Action, &t.Conflict, &t.Kind, &t.EntryID, &t.Title,
		&t.Source, &t.Destination, &t.Lane, &t.State, &t.Reason, &t.Attempts, &t.MaxBatch, &next, &sent, &failing,
		&t.OperationID, &t.ResultID, &t.ResultTitle, &t.ResultVersion, &happened, &created, &queued, &ended)
	t.NextAttemptAt, t.HappenedAt = fromMillis(next), fromMillis(happened)
	t.SentAt, t.FailingSince = fromMillis(sent), fromMillis(failing)
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
	// ResultVersion tells one overwriting of a file from the next. Of a folder that was copied in
	// part it is how many entries the copy has.
	ResultVersion int

	Unsent        bool          // this operation did certainly nothing: the portal refused the call
	Attempted     bool          // counts as one of the transfer's attempts
	Progress      bool          // makes up for the attempts before
	NextAttemptIn time.Duration // with event.Queued: how long to wait
	MaxBatch      int           // with event.Queued: the size of the next batch; 0 lifts the limit
}

// saveOutcome stores one outcome of a transfer that the operation is sending.
func (s *Store) saveOutcome(ctx context.Context, tx *sql.Tx, op *Operation, o Outcome, now time.Time) error {
	var attempt, progress, failing, ended, next int64
	if o.Progress {
		progress = 1
	}
	if o.Attempted {
		attempt = 1
		if o.State == event.Queued {
			failing = millis(now)
		}
	}
	if o.State.Ended() {
		ended = millis(now)
	} else {
		next = millis(now.Add(o.NextAttemptIn))
	}
	// What an earlier operation sent may still arrive, whatever became of this one.
	firstSent := int64(-1)
	if o.Unsent {
		firstSent = millis(op.StartedAt)
	}
	// A folder that was copied in part stays known while its transfer waits.
	_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = $1, reason = $2,
			result_id = CASE WHEN $3 = '' AND $1 = 'queued' THEN result_id ELSE $3 END,
			result_title = CASE WHEN $3 = '' AND $1 = 'queued' THEN result_title ELSE $4 END,
			result_version = CASE WHEN $3 = '' AND $1 = 'queued' THEN result_version ELSE $5 END,
			attempts = CASE WHEN $14 = 1 THEN 0 ELSE attempts + $6 END, next_attempt_at = $7, max_batch = $8, ended_at = $9,
			failing_since = CASE WHEN $14 = 1 THEN 0 WHEN failing_since = 0 THEN $10 ELSE failing_since END,
			sent_at = CASE WHEN sent_at = $11 THEN 0 ELSE sent_at END
		WHERE id = $12 AND operation_id = $13 AND state = 'sending'`,
		string(o.State), o.Reason, string(o.ResultID), o.ResultTitle, o.ResultVersion, attempt, next, o.MaxBatch, ended,
		failing, firstSent, o.TransferID, op.ID, progress)
	if err != nil {
		return fmt.Errorf("store outcome of transfer %d: %w", o.TransferID, err)
	}
	if o.State == event.Done {
		return nil // the transfer itself tells of it
	}
	return addAttempt(ctx, tx, Attempt{TransferID: o.TransferID, OperationID: op.ID, Outcome: attemptWord(o.State), Reason: o.Reason, At: now})
}

// unblockMoves queues the moves that waited for copies which have now ended, and returns
// their lanes. The empty string at the state keeps SQLite from reading every blocked move instead
// of those of the entries.
func (s *Store) unblockMoves(ctx context.Context, tx *sql.Tx, transfers []int64, now time.Time) ([]string, error) {
	var lanes []string
	err := inChunks(transfers, 500, func(chunk []int64) error {
		rows, err := tx.QueryContext(ctx, `UPDATE transfers SET state = 'queued', queued_at = $1
			WHERE state || '' = 'blocked' AND `+s.unlocked(`(portal, entry_kind, entry_id) IN
				(SELECT portal, entry_kind, entry_id FROM transfers WHERE id IN `+placeholders(2, len(chunk))+`)`)+`
				AND `+copiesEnded+`
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

// releaseBatch is how many blocked moves ReleaseMoves looks at.
const releaseBatch = 2000

// copiesEnded holds for a move that has no copy left to wait for.
const copiesEnded = `NOT EXISTS (SELECT 1 FROM transfers c WHERE c.portal = transfers.portal
	AND c.entry_kind = transfers.entry_kind AND c.entry_id = transfers.entry_id
	AND c."action" = 'copy' AND c.state IN ('queued', 'sending'))`

// ReleaseMoves queues blocked moves whose copies have all ended. Settling the copies does that
// already; this covers a move that two processes stored and settled past each other. As there is
// rarely one, it looks without the writing connection, and where many moves are blocked each call
// goes on from where the last one ended.
func (s *Store) ReleaseMoves(ctx context.Context) error {
	type move struct {
		id   int64
		free bool
	}
	after := s.releasedTo.Load()
	blocked, err := queryAll(ctx, s.read, func(rows *sql.Rows) (m move, err error) {
		err = rows.Scan(&m.id, &m.free)
		return m, err
	}, `SELECT id, `+copiesEnded+` FROM transfers WHERE state = 'blocked' AND id > $1 ORDER BY id LIMIT $2`, after, releaseBatch)
	if err != nil {
		return fmt.Errorf("look for moves without copies: %w", err)
	}
	var free []int64
	for _, m := range blocked {
		if m.free {
			free = append(free, m.id)
		}
	}
	err = inChunks(free, 500, func(chunk []int64) error {
		return s.InTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = 'queued', queued_at = $1
				WHERE `+copiesEnded+` AND `+s.inOrder("transfers", `state = 'blocked' AND id IN `+placeholders(2, len(chunk))),
				append([]any{millis(s.now())}, anys(chunk)...)...)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("queue moves without copies: %w", err)
	}
	next := int64(0) // the first again
	if len(blocked) == releaseBatch {
		next = blocked[len(blocked)-1].id
	}
	s.releasedTo.Store(next)
	return nil
}

// DueLanes returns the lanes that have work at this moment: a queued transfer whose time has
// come, or an operation that is not settled. It steps from one lane to the next along an index,
// since there are few lanes and may be many transfers in each.
func (s *Store) DueLanes(ctx context.Context) ([]string, error) {
	return queryColumn[string](ctx, s.read, `WITH RECURSIVE queued(lane) AS (
			SELECT min(lane) FROM transfers WHERE state = 'queued'
			UNION ALL
			SELECT (SELECT min(t.lane) FROM transfers t WHERE t.state = 'queued' AND t.lane > queued.lane)
			FROM queued WHERE queued.lane IS NOT NULL)
		SELECT lane FROM queued WHERE lane IS NOT NULL AND EXISTS (SELECT 1 FROM transfers t
			WHERE t.state = 'queued' AND t.lane = queued.lane AND t.next_attempt_at <= $1)
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
