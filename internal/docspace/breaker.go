package docspace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// breakerFailures is how many requests in a row must find the portal down before no more
	// are sent.
	breakerFailures = 3

	// readTimeout bounds a read, which DocSpace answers in milliseconds. Options.Timeout is
	// for writes, inside which DocSpace checks every id.
	readTimeout = 15 * time.Second
)

// newBreaker makes the circuit breaker of one portal: after breakerFailures it lets nothing
// through for a while, and then one request that finds out whether the portal is back.
func newBreaker(portal string, pause time.Duration, turned func(gobreaker.State)) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        portal,
		MaxRequests: 1,
		Timeout:     pause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		// What a caller gave up by itself says nothing about the portal, and neither does a panic.
		IsExcluded:    func(err error) bool { return isContextEnd(err) || errors.Is(err, errPanicked) },
		IsSuccessful:  func(err error) bool { return !breaks(err) },
		OnStateChange: func(_ string, _, to gobreaker.State) { turned(to) },
	})
}

// breaks reports whether an error speaks against sending more of anything: the portal cannot
// be reached, does not answer in time, or refuses the gateway as such. A 403 does not, because
// a missing scope concerns some calls only.
func breaks(err error) bool {
	var unanswered *UnansweredError
	var late *timeoutError
	if errors.As(err, &unanswered) && errors.As(unanswered.Err, &late) {
		return true
	}
	if e, ok := status(err); ok && e.StatusCode == http.StatusForbidden {
		return false
	}
	return IsPortalDown(err) || IsCredentials(err)
}

// guarded sends a request unless the breaker is open. A write is never the request that finds
// out whether the portal is back, because its outcome could be unknown: a read goes first.
//
// Reading an operation's result passes by the breaker. The portal keeps a result for a minute
// only, and a refusal here could cost the one look at it.
func (c *Client) guarded(ctx context.Context, r request, send func() error) error {
	if r.call == callOperation {
		return send()
	}
	settle, err := c.breaker.Allow()
	if err != nil {
		if last := c.trouble.Load(); last != nil {
			err = fmt.Errorf("%w, because of: %s", err, last.text)
		}
		return &UnansweredError{Call: r.call, Err: err}
	}
	// A panic is not made an error here: those who send a write must not take it for a refusal.
	outcome := errPanicked
	defer func() {
		if breaks(outcome) {
			c.trouble.Store(newTrouble(outcome))
		}
		settle(outcome)
	}()
	if r.isWrite() && c.breaker.State() == gobreaker.StateHalfOpen {
		probe := request{call: "key", method: http.MethodGet, path: "keys/@self"}
		if err := c.attempt(ctx, probe, nil, func(envelope) error { return nil }); breaks(err) || isContextEnd(err) {
			outcome = err
			return &UnansweredError{Call: r.call, Err: err}
		}
	}
	outcome = send()
	return outcome
}

// errPanicked is what the breaker is told of a request that panicked.
var errPanicked = errors.New("the request panicked")

// BreakerState is what the circuit breaker lets through.
type BreakerState string

// The states of the breaker: everything passes, nothing does, or one read that finds out whether
// the portal is back.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
)

// BreakerStates lists the states.
func BreakerStates() []BreakerState {
	return []BreakerState{BreakerClosed, BreakerHalfOpen, BreakerOpen}
}

// BreakerState returns the state of this moment.
func (c *Client) BreakerState() BreakerState {
	switch c.breaker.State() {
	case gobreaker.StateOpen:
		return BreakerOpen
	case gobreaker.StateHalfOpen:
		return BreakerHalfOpen
	default:
		return BreakerClosed
	}
}

// Ready reports whether new work for the portal has a chance, and otherwise how long to wait.
// Of those who ask when a pause is over, one finds out, with a read.
func (c *Client) Ready(ctx context.Context) (wait time.Duration, ready bool) {
	switch c.breaker.State() {
	case gobreaker.StateClosed:
		return 0, true
	case gobreaker.StateOpen:
		return c.pause, false
	default:
		if _, err := c.Key(ctx); err != nil {
			return c.pause, false
		}
		return 0, true
	}
}

// Clock is how far the portal's clock is ahead of ours, within about a second. The first time it
// may have to ask.
func (c *Client) Clock(ctx context.Context) (time.Duration, error) {
	if !c.clockKnown.Load() {
		if _, err := c.Key(ctx); err != nil && !c.clockKnown.Load() {
			return 0, err
		}
	}
	return c.ClockOffset(), nil
}

// ClockOffset is how far the portal's clock is ahead of ours, within about a second, as its
// answers' Date headers tell; 0 until there was one.
func (c *Client) ClockOffset() time.Duration { return time.Duration(c.offset.Load()) }

func (c *Client) observeClock(date string) {
	if at, err := http.ParseTime(date); err == nil {
		// The header has whole seconds, cut off.
		c.offset.Store(int64(time.Until(at.Add(500 * time.Millisecond))))
		c.clockKnown.Store(true)
	}
}
