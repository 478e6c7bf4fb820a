package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// Budget is a portal's allowance of write calls. DocSpace counts them over 24 hours from the
// first one, at a moment nobody tells, so the allowance must hold for any 24 hours.
type Budget struct {
	WritesPerDay int // 0: no limit
	// Spare leaves half of what may leave at once to others: what is taken can wait, and what
	// people do now must not wait for it.
	Spare bool
}

// reserve is how many tokens must be left.
func (b Budget) reserve() float64 {
	if b.Spare {
		return math.Floor(b.burst() / 2)
	}
	return 0
}

// burst is how many writes may leave at once when none has left for long. What is left of the
// day's allowance flows in evenly, so that no 24 hours see more than the allowance: at most a
// full bucket and a day's inflow.
func (b Budget) burst() float64 { return math.Max(1, math.Floor(float64(b.WritesPerDay)/4)) }

// perMilli is the inflow, in writes per millisecond.
func (b Budget) perMilli() float64 {
	day := float64(24 * time.Hour / time.Millisecond)
	return math.Max(1, float64(b.WritesPerDay)-b.burst()) / day
}

// scarce is a number of tokens below which the lane that has waited longest comes first. The
// others may take a token that it has left lying until there is half of the next one.
const scarce = 1.5

// takeWrite takes one write for a lane from its portal's budget, or for "" one that no lane makes.
// When there is none for it, it returns how long to wait.
func takeWrite(ctx context.Context, tx *sql.Tx, portal, lane string, b Budget, now time.Time) (wait time.Duration, err error) {
	if b.WritesPerDay <= 0 {
		return 0, nil
	}
	at := millis(now)
	if _, err := tx.ExecContext(ctx, `INSERT INTO portal_budgets (portal, tokens, filled_at) VALUES ($1, $2, $3)
		ON CONFLICT (portal) DO NOTHING`, portal, b.burst(), at); err != nil {
		return 0, fmt.Errorf("open budget: %w", err)
	}
	// Setting a column locks the row, so that replicas take one after another.
	var tokens float64
	var filled, paused int64
	if err := tx.QueryRowContext(ctx, `UPDATE portal_budgets SET portal = portal WHERE portal = $1
		RETURNING tokens, filled_at, paused_until`, portal).Scan(&tokens, &filled, &paused); err != nil {
		return 0, fmt.Errorf("read budget: %w", err)
	}
	if paused > at {
		return time.Duration(paused-at) * time.Millisecond, nil
	}
	tokens = math.Min(b.burst(), tokens+float64(max(at-filled, 0))*b.perMilli())
	until := func(goal float64) time.Duration {
		return time.Duration(math.Ceil((goal-tokens)/b.perMilli())) * time.Millisecond
	}
	if least := 1 + b.reserve(); tokens < least {
		return until(least), nil
	}
	if lane != "" && !b.Spare && tokens < scarce && scarce <= b.burst() {
		first, err := longestWaiting(ctx, tx, portal, at)
		if err != nil {
			return 0, err
		}
		if first != "" && first != lane {
			return until(scarce), nil
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE portal_budgets SET tokens = $1, filled_at = $2 WHERE portal = $3`,
		tokens-1, max(at, filled), portal); err != nil {
		return 0, fmt.Errorf("take from budget: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO portal_usage (portal, day, writes) VALUES ($1, $2, 1)
		ON CONFLICT (portal, day) DO UPDATE SET writes = portal_usage.writes + 1`, portal, now.UTC().Format(time.DateOnly))
	if err != nil {
		return 0, fmt.Errorf("count write: %w", err)
	}
	return 0, nil
}

// GiveBackWrite returns a write that was taken from a portal's budget and not used.
func (s *Store) GiveBackWrite(ctx context.Context, portal string) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE portal_budgets SET tokens = tokens + 1 WHERE portal = $1`, portal)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 || err != nil {
			return err // a portal without a limit has no budget to return it to
		}
		_, err = tx.ExecContext(ctx, `UPDATE portal_usage SET writes = writes - 1 WHERE portal = $1 AND day = $2 AND writes > 0`,
			portal, s.now().UTC().Format(time.DateOnly))
		return err
	})
	if err != nil {
		return fmt.Errorf("give back a write of portal %s: %w", portal, err)
	}
	return nil
}

// longestWaiting is the lane of the portal's transfer that has been due for longest, those that
// backfills asked for aside, or "" when none is due.
func longestWaiting(ctx context.Context, tx *sql.Tx, portal string, at int64) (lane string, err error) {
	lane, err = one(queryColumn[string](ctx, tx, `SELECT lane FROM transfers WHERE portal = $1 AND state = 'queued' AND next_attempt_at <= $2
			AND lane NOT LIKE '%`+backfillSuffix+`'
		ORDER BY id LIMIT 1`, portal, at))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("look for the lane that has waited longest: %w", err)
	}
	return lane, nil
}

// PausePortal keeps writes from a portal until a moment, because it said so. A pause is never
// shortened.
func (s *Store) PausePortal(ctx context.Context, portal string, until time.Time, reason string) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE portal_budgets SET paused_until = $1, reason = $2
			WHERE portal = $3 AND paused_until < $1`, millis(until), reason, portal)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO portal_budgets (portal, tokens, filled_at, paused_until, reason)
			VALUES ($1, 0, $2, $3, $4) ON CONFLICT (portal) DO NOTHING`, portal, millis(s.now()), millis(until), reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("pause portal %s: %w", portal, err)
	}
	return nil
}

// Usage is what a portal's budget looks like.
type Usage struct {
	Portal      string
	WritesToday int64 // on this day, UTC
	Tokens      float64
	PausedUntil time.Time // zero when it is not paused
	Reason      string    // of the pause
}

// Usage tells how much of a portal's budget is used.
func (s *Store) Usage(ctx context.Context, portal string, b Budget) (Usage, error) {
	u := Usage{Portal: portal, Tokens: b.burst()}
	now := s.now()
	var filled, paused int64
	err := s.read.QueryRowContext(ctx, `SELECT tokens, filled_at, paused_until, reason FROM portal_budgets WHERE portal = $1`, portal).
		Scan(&u.Tokens, &filled, &paused, &u.Reason)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return u, nil
	case err != nil:
		return u, fmt.Errorf("read budget: %w", err)
	}
	u.Tokens = math.Min(b.burst(), u.Tokens+float64(max(millis(now)-filled, 0))*b.perMilli())
	if paused > millis(now) {
		u.PausedUntil = fromMillis(paused)
	} else {
		u.Reason = ""
	}
	err = s.read.QueryRowContext(ctx, `SELECT writes FROM portal_usage WHERE portal = $1 AND day = $2`,
		portal, now.UTC().Format(time.DateOnly)).Scan(&u.WritesToday)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return u, fmt.Errorf("read usage: %w", err)
	}
	return u, nil
}
