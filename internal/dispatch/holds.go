package dispatch

import (
	"sync"
	"time"
)

// holdMax is the longest a lane or portal is held before it is looked at again.
const holdMax = 5 * time.Minute

// holds are the lanes and portals that nothing is sent to for a while: lanes whose destination
// takes nothing, and portals that said they were asked too often. They are kept in memory
// only; a restart finds out anew, with one call for each.
type holds struct {
	mu    sync.Mutex // guards until
	until map[string]hold
}

type hold struct {
	at   time.Time
	last time.Duration
}

// hold keeps work from key for first, and for twice as long each time in a row, up to longest.
// It returns for how long.
func (h *holds) hold(key string, first, longest time.Duration, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until = map[string]hold{}
	}
	was := h.until[key]
	if now.Before(was.at) && was.last >= first {
		return was.at.Sub(now) // held already, by another lane of the same portal
	}
	next := hold{last: min(max(first, 2*was.last), max(first, longest))}
	next.at = now.Add(next.last)
	h.until[key] = next
	return next.last
}

// wait is how long the hold of key still lasts; 0 when it is over or there is none.
func (h *holds) wait(key string, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.until[key].at.Sub(now))
}

// has reports whether key was held and not released since.
func (h *holds) has(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.until[key]
	return ok
}

// release ends a hold: something went well.
func (h *holds) release(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.until, key)
}
