package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// backfillSuffix ends the names of lanes whose transfers backfills asked for. They have lanes of
// their own, so that no upload of this moment waits for a call that carries old files.
const backfillSuffix = "|backfill"

// backfillWebhook begins what stands for the webhook's id in the events of a backfill; the
// backfill's own id follows.
const backfillWebhook = "backfill:"

// BackfillWebhook stands for the webhook's id in the events of a backfill.
func BackfillWebhook(id int64) string { return backfillWebhook + strconv.FormatInt(id, 10) }

// BackfillOf is the backfill whose events have this webhook id, or 0.
func BackfillOf(webhookID string) int64 {
	text, ok := strings.CutPrefix(webhookID, backfillWebhook)
	if !ok {
		return 0
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// IsBackfillLane reports whether the transfers of a lane are those that backfills asked for.
func IsBackfillLane(lane string) bool { return strings.HasSuffix(lane, backfillSuffix) }

// backfill is the backfill that asked for the transfer, or 0.
func (t NewTransfer) backfill() int64 { return BackfillOf(t.WebhookID) }

// overtakeBackfill cancels what a backfill queued of the same entry and has not sent: the event
// of this moment brings the entry as it is now, and before.
func (s *Store) overtakeBackfill(ctx context.Context, tx *sql.Tx, t NewTransfer, newcomer int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE transfers SET state = 'cancelled', reason = $1, held_by = '', ended_at = $2
		WHERE portal = $3 AND entry_kind = $4 AND entry_id = $5 AND rule = $6 AND base = $7
			AND backfill > 0 AND sent_at = 0 AND state || '' IN ('queued', 'blocked')`,
		fmt.Sprintf("event %d brings it sooner", newcomer), millis(now), t.Portal, string(t.Entry.Kind), string(t.Entry.ID),
		t.Rule, string(t.base()))
	if err != nil {
		return fmt.Errorf("overtake the backfill of %s %s: %w", t.Entry.Kind, t.Entry.ID, err)
	}
	return nil
}

// requeueEarlier looks for a transfer of the same entry by the same rule, whatever caused it: a
// backfill is about what was not transferred yet. One that failed is queued again.
func (s *Store) requeueEarlier(ctx context.Context, tx *sql.Tx, t NewTransfer, newcomer int64, now time.Time) (twin, error) {
	var id int64
	var lane string
	var action event.Action
	var state event.State
	var found twin
	var ended, replayed int64
	err := tx.QueryRowContext(ctx, `SELECT t.id, t.event_id, t.lane, t."action", t.state, t.ended_at, e.replayed_at
		FROM transfers t JOIN events e ON e.id = t.event_id
		WHERE t.portal = $1 AND t.entry_kind = $2 AND t.entry_id = $3 AND t.rule = $4 AND t.base = $5
			AND (t.state || '' <> 'cancelled' OR t.event_id = $6)
		ORDER BY CASE t.state WHEN 'cancelled' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END, t.id DESC LIMIT 1`,
		t.Portal, string(t.Entry.Kind), string(t.Entry.ID), t.Rule, string(t.base()), newcomer).
		Scan(&id, &found.event, &lane, &action, &state, &ended, &replayed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		keys, err := queryColumn[int64](ctx, tx, `SELECT key FROM transferred WHERE key = $1`,
			fingerprint(t.Portal, t.Rule, t.base(), t.Entry.Kind, t.Entry.ID))
		return twin{found: len(keys) > 0, event: newcomer}, err
	case err != nil:
		return twin{}, err
	}
	found.found = true
	if state != event.Failed || found.event == newcomer && ended > replayed {
		return found, nil
	}
	if state, err = initialState(ctx, tx, action, t.Portal, t.Entry); err != nil {
		return twin{}, err
	}
	found.requeued, found.lane = true, strings.TrimSuffix(lane, backfillSuffix)+backfillSuffix
	_, err = tx.ExecContext(ctx, `UPDATE transfers SET state = $1, reason = '', attempts = 0, max_batch = 0, failing_since = 0,
		next_attempt_at = 0, queued_at = $2, ended_at = 0, lane = $3, backfill = $4 WHERE id = $5 AND state = 'failed'`,
		string(state), millis(now), found.lane, t.backfill(), id)
	return found, err
}

// Handled is what a rule has done with an entry before: the destinations its transfers were
// for, as the rule names them, and where the last of each stands. Failed and cancelled ones are
// left out, since a backfill asks for them again.
type Handled map[event.ID]map[event.ID]event.State

// Handled returns which of the entries a rule has transfers of.
func (s *Store) Handled(ctx context.Context, portal, rule string, kind event.Kind, ids []event.ID) (Handled, error) {
	out := Handled{}
	err := inChunks(ids, 500, func(chunk []event.ID) error {
		type row struct {
			id, base event.ID
			state    event.State
		}
		found, err := queryAll(ctx, s.read, func(rows *sql.Rows) (r row, err error) {
			err = rows.Scan(&r.id, &r.base, &r.state)
			return r, err
		}, `SELECT entry_id, base, state FROM transfers WHERE portal = $1 AND entry_kind = $2 AND rule || '' = $3
			AND state || '' NOT IN ('failed', 'cancelled') AND entry_id IN `+placeholders(4, len(chunk)),
			append([]any{portal, string(kind), rule}, anys(chunk)...)...)
		for _, r := range found {
			if out[r.id] == nil {
				out[r.id] = map[event.ID]event.State{}
			}
			out[r.id][r.base] = r.state
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what rule %s has transferred: %w", rule, err)
	}
	return out, nil
}

// fingerprint stands for the copying of an entry by a rule. Of ten million of them, one that is
// looked up meets another by chance once in 10^12 times.
func fingerprint(portal, rule string, base event.ID, kind event.Kind, id event.ID) int64 {
	sum := sha256.Sum256([]byte(strings.Join([]string{portal, rule, string(base), string(kind), string(id)}, "\x00")))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// fingerprintQuery reads what scanFingerprint makes fingerprints of; a condition follows.
const fingerprintQuery = `SELECT portal, rule, base, entry_kind, entry_id FROM transfers WHERE `

func scanFingerprint(rows *sql.Rows) (key int64, err error) {
	var portal, rule string
	var base, id event.ID
	var kind event.Kind
	err = rows.Scan(&portal, &rule, &base, &kind, &id)
	return fingerprint(portal, rule, base, kind, id), err
}

// rememberTransferred keeps the fingerprints of what the events' transfers copied, before they are
// deleted. What was moved is not where it was any more.
func rememberTransferred(ctx context.Context, tx *sql.Tx, events []int64) error {
	keys, err := queryAll(ctx, tx, scanFingerprint, fingerprintQuery+`"action" = 'copy' AND state || '' IN ('done', 'skipped') AND event_id IN `+placeholders(1, len(events)), anys(events)...)
	if err != nil {
		return fmt.Errorf("read what was copied: %w", err)
	}
	for _, key := range keys {
		if _, err := tx.ExecContext(ctx, `INSERT INTO transferred (key) VALUES ($1) ON CONFLICT (key) DO NOTHING`, key); err != nil {
			return fmt.Errorf("remember what was copied: %w", err)
		}
	}
	return nil
}

// Remembered reports whether a rule copied an entry to a destination so long ago that the transfer
// has been deleted.
func (s *Store) Remembered(ctx context.Context, portal, rule string, base event.ID, kind event.Kind, id event.ID) (bool, error) {
	keys, err := queryColumn[int64](ctx, s.read, `SELECT key FROM transferred WHERE key = $1`, fingerprint(portal, rule, base, kind, id))
	if err != nil {
		return false, fmt.Errorf("look whether %s %s was copied: %w", kind, id, err)
	}
	return len(keys) > 0, nil
}
