// Package steer is what people do with the gateway's work: try transfers again or end them, route
// events anew, and hold rules and portals for a while. It changes the database, wakes whoever has
// work then, and logs who did what. It knows neither HTTP nor the rules.
package steer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"docspace-router/internal/store"
)

// Options configures Actions. All fields are required.
type Options struct {
	Store *store.Store
	// Wake sees to it that a lane job runs for each of the lanes.
	Wake func(ctx context.Context, lanes []string) error
	// Enqueue inserts the job that routes events, in the transaction that makes them pending.
	Enqueue func(ctx context.Context, tx *sql.Tx, portal string, events []int64) error
	// Known reports whether the rules in use have a rule or portal of that name.
	Known  func(scope store.PauseScope, name string) bool
	Logger *slog.Logger
}

// Actions is what people can do.
type Actions struct {
	o   Options
	log *slog.Logger
}

// New returns Actions.
func New(o Options) (*Actions, error) {
	if o.Store == nil || o.Wake == nil || o.Enqueue == nil || o.Known == nil || o.Logger == nil {
		return nil, errors.New("steer: Store, Wake, Enqueue, Known and Logger are required")
	}
	return &Actions{o: o, log: o.Logger.With("component", "steer")}, nil
}

// ErrUnknown says that the rules in use have no such rule or portal.
var ErrUnknown = errors.New("unknown")

// ErrInvalid says that something was asked for that makes no sense.
var ErrInvalid = errors.New("invalid")

// Act does one thing with each of some transfers, of which there may be a few hundred. Those that it
// cannot be done with are left alone and told with the reason.
func (a *Actions) Act(ctx context.Context, action store.Action, ids []int64, author string) (store.Acted, error) {
	done, err := a.o.Store.Act(ctx, action, ids, author)
	if err != nil {
		return store.Acted{}, err
	}
	a.wake(ctx, done.Lanes)
	if len(done.IDs) > 0 {
		a.log.Info("transfers steered", "action", action, "author", author, "transfers", len(done.IDs), "transfer_id", done.IDs[0])
	}
	return done, nil
}

// ActOnMany does one thing with every transfer of a filter that it can be done with, and returns how
// many there were. Without states in the filter these are: for a retry those that failed, for a
// cancellation those that are blocked or queued.
func (a *Actions) ActOnMany(ctx context.Context, action store.Action, f store.Filter, author string) (int, error) {
	n, err := a.o.Store.ActOnMany(ctx, action, Scope(action, f), author, func(ctx context.Context, lanes []string) error {
		a.wake(ctx, lanes)
		return nil
	})
	if n > 0 {
		a.log.Info("transfers steered", "action", action, "author", author, "transfers", n)
	}
	return n, err
}

// Count says how many transfers ActOnMany would act on.
func (a *Actions) Count(ctx context.Context, action store.Action, f store.Filter) (int, error) {
	return a.o.Store.CountTransfers(ctx, Scope(action, f))
}

// Scope narrows a filter to the states in which an action is possible. What was cancelled is tried
// again, and what failed is given up, only when the filter says so: somebody meant it.
func Scope(action store.Action, f store.Filter) store.Filter {
	possible := action.States()
	if len(f.States) == 0 {
		f.States = []string{"failed"}
		if action == store.Cancel {
			f.States = []string{"blocked", "queued"}
		}
		return f
	}
	var states []string
	for _, s := range f.States {
		for _, p := range possible {
			if s == p {
				states = append(states, s)
			}
		}
	}
	f.States = states
	return f
}

// Replay has a stored event routed again by the rules in use, as store.Store.Replay says. The error
// is store.ErrNotFound or store.ErrConflict where that is so.
func (a *Actions) Replay(ctx context.Context, event int64, author string) error {
	if err := a.o.Store.Replay(ctx, event, a.o.Enqueue); err != nil {
		return err
	}
	a.log.Info("event replayed", "event", event, "author", author)
	return nil
}

// LongestPause is the longest a pause may last: one that is forgotten must end.
const LongestPause = 90 * 24 * time.Hour

// Pause holds the transfers of a rule or portal until a time, in place of the pause there may be. The
// error is ErrUnknown or ErrInvalid where that is so.
func (a *Actions) Pause(ctx context.Context, p store.Pause) error {
	left := time.Until(p.Until)
	switch {
	case !a.o.Known(p.Scope, p.Name):
		return fmt.Errorf("%w: the rules in use have no %s %q", ErrUnknown, p.Scope, p.Name)
	case left <= 0:
		return fmt.Errorf("%w: the pause would be over at once", ErrInvalid)
	case left > LongestPause:
		return fmt.Errorf("%w: a pause lasts 90 days at most", ErrInvalid)
	case strings.TrimSpace(p.Reason) == "":
		return fmt.Errorf("%w: say why, for those who will wonder", ErrInvalid)
	}
	lanes, err := a.o.Store.Pause(ctx, p)
	if err != nil {
		return err
	}
	a.wake(ctx, lanes)
	a.log.Info("paused", string(p.Scope), p.Name, "until", p.Until, "reason", p.Reason, "author", p.Author)
	return nil
}

// Resume ends a pause. The error is store.ErrNotFound when there was none.
func (a *Actions) Resume(ctx context.Context, scope store.PauseScope, name, author string) error {
	lanes, err := a.o.Store.Resume(ctx, scope, name)
	a.wake(ctx, lanes)
	if err != nil {
		return err
	}
	a.log.Info("resumed", string(scope), name, "author", author)
	return nil
}

func (a *Actions) wake(ctx context.Context, lanes []string) {
	if err := a.o.Wake(ctx, lanes); err != nil {
		// The transfers are stored; the sweep will wake their lanes.
		a.log.Warn("lanes not woken", "err", err)
	}
}
