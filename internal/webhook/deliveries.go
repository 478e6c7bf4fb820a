package webhook

import (
	"strconv"
	"time"

	"docspace-router/internal/docspace"
)

const (
	// soonest is how long after a check another one may follow because of deliveries. While checks
	// find the same, the pause grows to Options.Every: what nobody mends is not asked for again and
	// again, nor can strangers have the portal asked.
	soonest = 15 * time.Second

	// settling is how long a portal may take to note how a delivery was answered.
	settling = 2 * time.Second
)

// doubt is what deliveries say against the last finding about a portal's webhook.
type doubt struct {
	due   time.Time     // of the check; zero: there is no doubt
	pause time.Duration // after the last check; zero: soonest
}

// Delivered notes that a delivery of a portal's webhook was accepted. Where that does not fit what
// was found last, the webhook is looked at again soon.
func (w *Watch) Delivered(portal, id string) {
	w.mu.Lock()
	w.accepted[portal] = w.o.Now()
	w.mu.Unlock()
	w.doubts(portal, func(s Status) bool { return !s.OK() || id != "" && id != strconv.FormatInt(s.Webhook.ID, 10) })
}

// Refused notes that something came to a portal's endpoint whose signature is missing or wrong.
// Anybody can send that: it only has the portal asked soon.
func (w *Watch) Refused(portal string) { w.doubts(portal, Status.OK) }

// wrongSecret reports whether the webhook signs with a secret that is not in use. Either the portal
// was answered 401 last and its log does not say otherwise since, or the log says so and no delivery
// was accepted since.
func (w *Watch) wrongSecret(p Portal, own docspace.Webhook) bool {
	if p.Secret == "" {
		return false // everything is taken
	}
	wrong, at := false, time.Time{}
	if w.o.WrongSecret != nil {
		wrong, at = w.o.WrongSecret(p.Wish.Portal)
	}
	if own.Unauthorized() {
		return wrong || !at.After(own.LastFailure)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return wrong && at.After(w.accepted[p.Wish.Portal]) && at.After(own.LastSuccess)
}

func (w *Watch) doubts(portal string, unfit func(Status) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.status[portal]
	d := w.doubted[portal]
	if !known || !d.due.IsZero() || !unfit(s) {
		return
	}
	d.due = s.CheckedAt.Add(max(d.pause, soonest))
	if earliest := w.o.Now().Add(settling); d.due.Before(earliest) {
		d.due = earliest
	}
	w.doubted[portal] = d
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// due reports whether doubt makes a check due. A check that begins settles the doubt.
func (w *Watch) due(portal string, all bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.doubted[portal]
	if !all && (d.due.IsZero() || d.due.After(w.o.Now())) {
		return false
	}
	d.due = time.Time{}
	w.doubted[portal] = d
	return true
}

// nextDue is when the next check is due because of doubt; false: none is.
func (w *Watch) nextDue() (next time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.doubted {
		if !d.due.IsZero() && (!ok || d.due.Before(next)) {
			next, ok = d.due, true
		}
	}
	return next, ok
}

// patience sets the pause after a check, which grows while nothing changes.
func (w *Watch) patience(portal string, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.doubted[portal]
	if changed {
		d.pause = soonest
	} else {
		d.pause = min(2*max(d.pause, soonest), max(w.o.Every, soonest))
	}
	w.doubted[portal] = d
}
