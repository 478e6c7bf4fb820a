package catchup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

const (
	// maxBody is the largest delivery that the endpoint would take.
	maxBody = 2 << 20

	// portion is how many events are taken in at once, while no more than backlog wait.
	portion = 250
	backlog = 500

	// precision is that of the portal's dates, which have whole seconds, and of what is known of
	// its clock.
	precision = 2 * time.Second

	// patience is how long a portion waits for what came before it. Something may hold that up
	// for hours, such as the budget of a day, and must not hold this up as well.
	patience = 5 * time.Second
)

// look takes in what is missing of the portal's log.
func (c *Catcher) look(ctx context.Context, p Portal, a ask) error {
	all, err := p.Client.Webhooks(ctx)
	if err != nil {
		return fmt.Errorf("list the webhooks: %w", err)
	}
	seen, err := c.o.Store.SeenWebhooks(ctx, p.Name)
	if err != nil {
		return err
	}
	own := c.o.Own(p.Name, all, seen)
	c.update(p.Name, func(s *Status) { s.Webhooks = len(own) })
	ahead, err := p.Client.Clock(ctx)
	if err != nil {
		return fmt.Errorf("ask for the portal's clock: %w", err)
	}
	wrongSecret := false
	for _, w := range own {
		l := &look{Catcher: c, portal: p, webhook: w.ID, ahead: ahead, ask: a}
		if err := l.run(ctx); err != nil {
			return fmt.Errorf("log of webhook %d: %w", w.ID, err)
		}
		wrongSecret = wrongSecret || l.wrongSecret
	}
	c.update(p.Name, func(s *Status) { s.WrongSecret = wrongSecret })
	return nil
}

// look is a look into the log of one webhook.
type look struct {
	*Catcher
	portal  Portal
	webhook int64
	ahead   time.Duration // of the portal's clock
	ask     ask

	from, fresh time.Time // by the portal's clock: rows older than from and younger than fresh are left
	state       store.WebhookLog
	handledTo   int64 // rows up to this one are not looked at
	missing     []missing
	held        int // bytes
	cut         bool
	newest      int64
	wrongSecret bool
}

// missing is a delivery that was never stored.
type missing struct {
	event    store.NewEvent
	unsigned bool // none of the secrets in use made its signature
}

func (l *look) run(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	started := l.o.Now()
	for {
		if err := l.read(ctx); err != nil {
			return err
		}
		taken, err := l.takeIn(ctx)
		if err != nil {
			return err
		}
		if !l.cut || taken == 0 {
			break
		}
	}
	if !l.ask.since.IsZero() {
		return nil // it may not have gone back to where the last look ended
	}
	// A look that began later than another one's newest row settles it.
	if !l.state.NewestAt.IsZero() && started.Sub(l.state.NewestAt) >= l.o.Settle {
		l.state.HandledTo = max(l.state.HandledTo, l.state.Newest)
		l.state.NewestAt = time.Time{}
	}
	if l.state.NewestAt.IsZero() {
		l.state.Newest, l.state.NewestAt = l.newest, started
	}
	l.state.CheckedAt = l.o.Now()
	return l.o.Store.SaveWebhookLog(ctx, l.state)
}

// begin finds out from where on the log is to be read.
func (l *look) begin(ctx context.Context) (err error) {
	id := strconv.FormatInt(l.webhook, 10)
	l.state, err = l.o.Store.WebhookLog(ctx, l.portal.Name, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if l.state.KnownSince, err = l.o.Store.KnownSince(ctx, l.portal.Name); err != nil {
			return err
		}
		if l.state.KnownSince.IsZero() {
			l.state.KnownSince = l.o.Now()
		}
		// Kept at once: after a crash half-way the first event would be one of those taken in.
		if err := l.o.Store.SaveWebhookLog(ctx, l.state); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	from := l.o.Now().Add(-l.o.Window)
	l.handledTo = l.state.HandledTo
	if !l.ask.since.IsZero() {
		from, l.handledTo = l.ask.since, 0
	}
	if earliest := l.Earliest(); from.Before(earliest) {
		from = earliest
	}
	l.from = from.Add(l.ahead)
	l.fresh = l.o.Now().Add(l.ahead - l.o.Fresh)
	if l.ask.young {
		l.fresh = l.o.Now().Add(l.ahead + time.Minute) // whatever the clocks say
	}
	return nil
}

// read collects what is missing, reading back from the newest row.
func (l *look) read(ctx context.Context) error {
	l.missing, l.held, l.cut = nil, 0, false
	last := int64(0) // the lowest number read so far
	for skip := 0; ; {
		rows, err := l.portal.Client.WebhookLog(ctx, l.webhook, skip)
		if err != nil {
			return err
		}
		if skip == 0 && len(rows) > 0 {
			l.begunWith(rows)
		}
		// Rows that came meanwhile push others on to the next page.
		unread := slices.DeleteFunc(slices.Clone(rows), func(r docspace.LogRow) bool { return last != 0 && r.ID >= last })
		end, err := l.judge(ctx, unread)
		if err != nil {
			return err
		}
		l.update(l.portal.Name, func(s *Status) { s.Read += len(unread); s.Found = s.Taken + len(l.missing) })
		if len(rows) < docspace.MaxLogRows || end {
			return nil
		}
		skip += len(rows)
		if end := rows[len(rows)-1].ID; last == 0 || end < last {
			last = end
		}
		if err := pause(ctx, l.portal.Pause); err != nil {
			return err
		}
	}
}

// begunWith looks at the newest rows.
func (l *look) begunWith(rows []docspace.LogRow) {
	if l.newest == 0 {
		l.newest = rows[0].ID
	}
	if rows[0].ID < max(l.state.HandledTo, l.state.Newest) {
		// The portal was set up anew and counts from 1 again.
		l.handledTo = 0
		l.state.HandledTo, l.state.Newest, l.state.NewestAt = 0, 0, time.Time{}
	}
	for _, r := range rows {
		if r.Signature != "" && len(l.portal.Secrets) > 0 {
			l.wrongSecret = !event.Verify(r.Body, r.Signature, l.portal.Secrets...)
			return
		}
	}
}

// judge adds those rows to the missing that were never stored. It reports whether no older row
// needs to be read.
func (l *look) judge(ctx context.Context, rows []docspace.LogRow) (end bool, err error) {
	var found []missing
	var events []event.Event
	old := 0
	for _, row := range rows {
		if row.ID <= l.handledTo {
			end = true
			break
		}
		m, ok := l.parse(row)
		switch at := m.event.Event.CreatedOn; {
		case !ok:
		case at.Before(l.from):
			old++
		case at.After(l.fresh):
		case row.Answered() && at.Before(l.state.KnownSince.Add(l.ahead-precision)):
			// This database is younger. Who answered may have been its predecessor.
		default:
			found, events = append(found, m), append(events, m.event.Event)
		}
	}
	// A retry by hand brings an old event under a new number, so one old row is not the end.
	end = end || old == len(rows) && old > 0
	stored, err := l.o.Store.StoredEvents(ctx, l.portal.Name, events)
	if err != nil {
		return false, err
	}
	for i, m := range found {
		if !stored[i] {
			l.missing = append(l.missing, m)
			l.held += len(m.event.Body)
		}
	}
	for first := 0; ; first++ {
		if l.held <= l.o.Hold {
			l.missing = slices.Delete(l.missing, 0, first)
			break
		}
		l.held -= len(l.missing[first].event.Body)
		l.cut = true
	}
	return end, nil
}

// parse reads a row as the endpoint would have read the delivery; false says that the endpoint
// would not have stored it.
func (l *look) parse(row docspace.LogRow) (missing, bool) {
	if len(row.Body) > maxBody {
		return missing{}, false
	}
	body := row.Body
	ev, err := event.Parse(body)
	if err != nil {
		return missing{}, false
	}
	if !gjson.GetBytes(body, "event.id").Exists() {
		// Before its first send a body has no id of the event, which is the row's.
		if body, err = sjson.SetBytes(body, "event.id", row.ID); err != nil {
			return missing{}, false
		}
		if ev, err = event.Parse(body); err != nil {
			return missing{}, false
		}
	}
	unsigned := row.Signature != "" && len(l.portal.Secrets) > 0 && !event.Verify(row.Body, row.Signature, l.portal.Secrets...)
	return missing{store.NewEvent{Portal: l.portal.Name, Event: ev, Body: body}, unsigned}, true
}

// takeIn stores what is missing, the oldest first, as there is room for it.
func (l *look) takeIn(ctx context.Context) (total int, err error) {
	slices.Reverse(l.missing)
	for chunk := range slices.Chunk(l.missing, portion) {
		if err := l.waitForRoom(ctx); err != nil {
			return total, err
		}
		events := make([]store.NewEvent, len(chunk))
		unsigned := 0
		for i, m := range chunk {
			m.event.ReceivedAt = l.o.Now()
			events[i] = m.event
			if m.unsigned {
				unsigned++
			}
		}
		taken, err := l.o.Take(ctx, events)
		if err != nil {
			return total, fmt.Errorf("store events: %w", err)
		}
		total += taken
		l.metrics.events.WithLabelValues(l.portal.Name).Add(float64(taken))
		l.metrics.unsigned.WithLabelValues(l.portal.Name).Add(float64(unsigned))
		l.update(l.portal.Name, func(s *Status) { s.Taken += taken })
	}
	return total, nil
}

// waitForRoom lets what waits already go first, for a while.
func (l *look) waitForRoom(ctx context.Context) error {
	const step = 100 * time.Millisecond
	for range patience / step {
		n, err := l.o.Store.Unsettled(ctx, l.portal.Name, backlog)
		if err != nil || n < backlog {
			return err
		}
		if err := pause(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
