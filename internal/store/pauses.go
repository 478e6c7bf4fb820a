package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// PauseScope says what a pause holds.
type PauseScope string

// The scopes of a pause.
const (
	PauseRule   PauseScope = "rule"
	PausePortal PauseScope = "portal"
)

// Pause holds the transfers of one rule or portal until a time. Events are routed all the same, and
// what was sent before is followed to its end.
type Pause struct {
	Scope     PauseScope
	Name      string
	Until     time.Time
	Reason    string
	Author    string
	CreatedAt time.Time
}

// key is what held transfers name their pause by.
func (p Pause) key() string { return string(p.Scope) + " " + p.Name }

// holds reports whether a transfer is of the paused rule or portal.
func (p Pause) holds(t Transfer) bool {
	return p.Scope == PauseRule && p.Name == t.Rule || p.Scope == PausePortal && p.Name == t.Portal
}

type pauses []Pause

func (p pauses) hold(t Transfer) bool { return Holding(p, t) != nil }

// Holding returns that of some pauses which holds a transfer for longest, or nil. Only what waits to
// be sent is held.
func Holding(pauses []Pause, t Transfer) *Pause {
	var longest *Pause
	for i, p := range pauses {
		if p.holds(t) && (longest == nil || p.Until.After(longest.Until)) {
			longest = &pauses[i]
		}
	}
	return longest
}

// Pauses returns the pauses that are not over, those that end first first.
func (s *Store) Pauses(ctx context.Context) ([]Pause, error) {
	list, err := queryAll(ctx, s.read, func(rows *sql.Rows) (p Pause, err error) {
		var until, created int64
		err = rows.Scan(&p.Scope, &p.Name, &until, &p.Reason, &p.Author, &created)
		p.Until, p.CreatedAt = fromMillis(until), fromMillis(created)
		return p, err
	}, `SELECT scope, name, until, reason, author, created_at FROM pauses WHERE until > $1`, millis(s.now()))
	if err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	slices.SortFunc(list, func(a, b Pause) int { return a.Until.Compare(b.Until) })
	return list, nil
}

// Pause holds the transfers of a rule or portal from now on. It replaces the pause that there was,
// and returns the lanes of transfers which that one held and which must be looked at anew.
func (s *Store) Pause(ctx context.Context, p Pause) (lanes []string, err error) {
	now := s.now()
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM pauses WHERE until <= $1`, millis(now)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO pauses (scope, name, until, reason, author, created_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (scope, name) DO UPDATE SET until = $3, reason = $4, author = $5, created_at = $6`,
			string(p.Scope), p.Name, millis(p.Until), p.Reason, p.Author, millis(now))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pause %s %s: %w", p.Scope, p.Name, err)
	}
	return s.releaseHeld(ctx, p)
}

// Resume ends the pause of a rule or portal and returns the lanes that have work again. The error is
// ErrNotFound when there was no pause; what one may have left held flows all the same.
func (s *Store) Resume(ctx context.Context, scope PauseScope, name string) (lanes []string, err error) {
	p := Pause{Scope: scope, Name: name}
	there := false
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		found, err := queryColumn[int64](ctx, tx, `DELETE FROM pauses WHERE scope = $1 AND name = $2 RETURNING until`, string(scope), name)
		there = len(found) > 0 && found[0] > millis(s.now())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("resume %s %s: %w", scope, name, err)
	}
	if lanes, err = s.releaseHeld(ctx, p); err == nil && !there {
		err = fmt.Errorf("pause of %s %s: %w", scope, name, ErrNotFound)
	}
	return lanes, err
}

// holdStep is how many transfers are held or released in one transaction.
const holdStep = 1000

// holdPaused puts off the lane's due transfers that a pause holds until the pause is over, and returns the
// pauses. So neither the lane nor the sweep meets them again before, and they come due by
// themselves on every replica. That nothing is put off by a pause that has just ended is seen to by
// locking the pause's row, for which ending it waits.
func (s *Store) holdPaused(ctx context.Context, lane string) (pauses, error) {
	all, err := s.Pauses(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	// Of two pauses of one transfer the longer one comes first.
	for _, p := range slices.Backward(all) {
		column := "rule"
		if p.Scope == PausePortal {
			if !strings.HasPrefix(lane, p.Name+"|") {
				continue
			}
			column = "portal"
		}
		due := `SELECT id FROM transfers WHERE lane = $1 AND state = 'queued' AND next_attempt_at <= $2 AND ` + column + ` = $3`
		held, err := queryColumn[int64](ctx, s.read, due+` LIMIT 1`, lane, millis(s.now()), p.Name)
		if err != nil {
			return nil, err
		}
		if len(held) == 0 {
			continue
		}
		for n := int64(holdStep); n == holdStep; {
			err := s.InTx(ctx, func(tx *sql.Tx) error {
				n = 0
				same, err := queryColumn[int64](ctx, tx, `UPDATE pauses SET scope = scope WHERE scope = $1 AND name = $2 AND until = $3
					RETURNING until`, string(p.Scope), p.Name, millis(p.Until))
				if err != nil || len(same) == 0 {
					return err
				}
				// The time a transfer fails in does not run while it is held.
				result, err := tx.ExecContext(ctx, `UPDATE transfers SET next_attempt_at = $4, held_by = $5, failing_since = 0
					WHERE `+s.inOrder("transfers", `state = 'queued' AND id IN (`+due+` LIMIT $6)`), lane, millis(s.now()), p.Name, millis(p.Until), p.key(), holdStep)
				if err != nil {
					return err
				}
				n, err = result.RowsAffected()
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// releaseHeld makes due what a pause has put off, in steps, and returns the lanes.
func (s *Store) releaseHeld(ctx context.Context, p Pause) ([]string, error) {
	lanes := map[string]bool{}
	for n := holdStep; n == holdStep; {
		err := s.InTx(ctx, func(tx *sql.Tx) error {
			released, err := queryColumn[string](ctx, tx, `UPDATE transfers SET next_attempt_at = $1, held_by = ''
				WHERE `+s.inOrder("transfers", `id IN (SELECT id FROM transfers WHERE held_by = $2 AND held_by <> '' AND state || '' = 'queued'
					ORDER BY id LIMIT $3) AND state = 'queued' AND held_by = $2`)+` RETURNING lane`,
				millis(s.now()), p.key(), holdStep)
			n = len(released)
			for _, lane := range released {
				lanes[lane] = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("release what %s %s held: %w", p.Scope, p.Name, err)
		}
	}
	return sortedKeys(lanes), nil
}
