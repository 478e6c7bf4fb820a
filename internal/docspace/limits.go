package docspace

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"
)

// The limits of an unchanged DocSpace, kept per user id: everything that uses the same
// account, browsers included, shares them.
const (
	defaultRequestsPerMinute = 1500
	defaultConcurrentWrites  = 15
	concurrentReads          = 50
)

// Limits are the portal's, not wishes: the client stays below them by itself. Zero stands for
// DocSpace's default. The daily budget of writes is not kept here, because several replicas
// share it.
type Limits struct {
	RequestsPerMinute int // all requests in any 60 s; default 1500
	ConcurrentWrites  int // requests other than GET at one time; default 15
}

func (l Limits) withDefaults() (Limits, error) {
	if l.RequestsPerMinute < 0 || l.ConcurrentWrites < 0 {
		return l, fmt.Errorf("limits must not be negative: %d requests per minute, %d concurrent writes", l.RequestsPerMinute, l.ConcurrentWrites)
	}
	if l.RequestsPerMinute == 0 {
		l.RequestsPerMinute = defaultRequestsPerMinute
	}
	if l.ConcurrentWrites == 0 {
		l.ConcurrentWrites = defaultConcurrentWrites
	}
	return l, nil
}

// newPace returns a token bucket that DocSpace's sliding window never notices.
//
// A bucket of rate r and burst b lets at most b + 60·r requests through in any minute, so a
// bucket with r = limit/60 and any burst would overrun a sliding window. A tenth of the limit
// is the burst, and the rest is spread over 63 s: the 5 % between are for requests that leave
// in one minute and are counted in the next, having waited on the way.
func newPace(perMinute int) *rate.Limiter {
	burst := max(1, perMinute/10)
	perSecond := float64(perMinute-burst+1) / 63
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// slots is a semaphore; its capacity is how many may hold one.
type slots chan struct{}

func (s slots) acquire(ctx context.Context) error {
	// Checked first, because select picks at random when both are ready.
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) release() { <-s }

// turn waits until a request may be sent and returns what ends it. The token comes last: the
// pace is that of requests leaving, and one that still had to wait for a slot would leave in
// somebody else's minute.
func (c *Client) turn(ctx context.Context, write bool) (done func(), err error) {
	s := c.reads
	if write {
		s = c.writes
	}
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	if err := c.pace.Wait(ctx); err != nil {
		s.release()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The limiter saw that the deadline would pass first.
		return nil, fmt.Errorf("the wait for the portal's limit would outlast the deadline: %w", context.DeadlineExceeded)
	}
	return s.release, nil
}
