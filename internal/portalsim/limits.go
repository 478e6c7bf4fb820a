package portalsim

import (
	"net/http"
	"strconv"
	"time"
)

// Limits of the API, per user; anonymous callers are told apart by address. All keys of a
// user share one set. A zero field means DocSpace's default, a negative one unlimited.
type Limits struct {
	RequestsPerMinute int // sliding window: 1500
	ParallelReads     int // GET requests at once: 50
	ParallelWrites    int // other requests at once: 15
	WritesPerDay      int // POST and PUT in 24 h from the first of them: 10000
	SensitiveCalls    int // webhook retries, per URL path and 15 minutes: 5
}

// limiter admits requests. Portal.mu guards it.
type limiter struct {
	limits  Limits
	callers map[string]*caller
}

// caller is what one user or address has used.
type caller struct {
	recent         []time.Time // within the last minute
	reads, writes  int         // in flight
	day            time.Time   // when the daily window began
	written        int         // in the daily window
	sensitiveCalls map[string][]time.Time
}

// rejection is an answer of 429. Only the daily window says when to come back.
type rejection struct {
	limit      int
	retryAfter time.Duration // zero: the headers are missing
}

func newLimiter(l Limits) *limiter {
	for _, d := range []struct {
		field    *int
		standard int
	}{
		{&l.RequestsPerMinute, 1500}, {&l.ParallelReads, 50}, {&l.ParallelWrites, 15},
		{&l.WritesPerDay, 10000}, {&l.SensitiveCalls, 5},
	} {
		if *d.field == 0 {
			*d.field = d.standard
		}
	}
	return &limiter{limits: l, callers: map[string]*caller{}}
}

func exceeds(used, limit int) bool { return limit > 0 && used >= limit }

// admit takes a request's share of every limit, or answers the first one that rejects it.
// release gives the share of the parallel limits back.
func (l *limiter) admit(who string, r *http.Request, sensitive bool) (release func(), _ *rejection) {
	c := l.callers[who]
	if c == nil {
		c = &caller{sensitiveCalls: map[string][]time.Time{}}
		l.callers[who] = c
	}
	at := time.Now()
	nothing := func() {}

	c.recent = since(c.recent, at.Add(-time.Minute))
	if exceeds(len(c.recent), l.limits.RequestsPerMinute) {
		return nothing, &rejection{limit: l.limits.RequestsPerMinute}
	}
	c.recent = append(c.recent, at)

	inFlight, limit := &c.writes, l.limits.ParallelWrites
	if r.Method == http.MethodGet {
		inFlight, limit = &c.reads, l.limits.ParallelReads
	}
	if exceeds(*inFlight, limit) {
		return nothing, &rejection{limit: limit}
	}

	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		const window = 24 * time.Hour
		if c.day.IsZero() || at.Sub(c.day) >= window {
			c.day, c.written = at, 0
		}
		if exceeds(c.written, l.limits.WritesPerDay) {
			return nothing, &rejection{limit: l.limits.WritesPerDay, retryAfter: c.day.Add(window).Sub(at)}
		}
		c.written++
	}

	if sensitive {
		calls := since(c.sensitiveCalls[r.URL.Path], at.Add(-15*time.Minute))
		if exceeds(len(calls), l.limits.SensitiveCalls) {
			return nothing, &rejection{limit: l.limits.SensitiveCalls}
		}
		c.sensitiveCalls[r.URL.Path] = append(calls, at)
	}

	*inFlight++
	return func() { *inFlight-- }, nil
}

// since drops the times at or before a moment from the front of a list.
func since(times []time.Time, moment time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(moment) {
		times = times[1:]
	}
	return times
}

// write answers 429 with an empty body. Retry-After and Reset exist for the daily window
// only, the latter as Unix seconds.
func (j *rejection) write(w http.ResponseWriter) {
	h := w.Header()
	if j.limit > 0 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(j.limit))
		h.Set("X-RateLimit-Remaining", "0")
	}
	if j.retryAfter > 0 {
		seconds := int64((j.retryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(j.retryAfter).Unix(), 10))
	}
	w.WriteHeader(http.StatusTooManyRequests)
}
