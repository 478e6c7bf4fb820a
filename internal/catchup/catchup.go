package catchup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/store"
)

// Client is the part of a portal's API that a look into its log needs.
type Client interface {
	Webhooks(ctx context.Context) ([]docspace.Webhook, error)
	WebhookLog(ctx context.Context, webhook int64, skip int) ([]docspace.LogRow, error)
	Clock(ctx context.Context) (time.Duration, error)
}

// Portal is a portal whose log is read.
type Portal struct {
	Name    string
	Client  Client
	Secrets []string // those that may have signed a delivery
	// Pause is how long to wait between two requests, so that other work gets most of the
	// portal's limit.
	Pause time.Duration
}

// Store is the part of the database that is needed.
type Store interface {
	WebhookLog(ctx context.Context, portal, webhook string) (store.WebhookLog, error)
	SaveWebhookLog(ctx context.Context, l store.WebhookLog) error
	SeenWebhooks(ctx context.Context, portal string) ([]string, error)
	KnownSince(ctx context.Context, portal string) (time.Time, error)
	StoredEvents(ctx context.Context, portal string, events []event.Event) ([]bool, error)
	Unsettled(ctx context.Context, portal string, limit int) (int, error)
}

// Options configures a Catcher. Store, Portals, Own and Take are required.
type Options struct {
	Store   Store
	Portals func() []Portal // those of this moment
	// Own picks the gateway's webhooks out of those of a portal. seen are the ids of those whose
	// deliveries are stored.
	Own func(portal string, all []docspace.Webhook, seen []string) []docspace.Webhook
	// Take stores events as those that were delivered and says how many were new.
	Take func(ctx context.Context, events []store.NewEvent) (int, error)

	// Window is how far back the log is read; 0: only when somebody asks.
	Window time.Duration
	// Retention is how long stored events are kept. What may have been deleted since must not
	// be taken for new. 0: for ever.
	Retention time.Duration
	Every     time.Duration // between two looks; default 5 min
	// Fresh is how old an event must be. Younger ones are likely to be on their way. Default 2 min.
	Fresh time.Duration
	// Settle is after which time every row with a number below one that was seen is visible;
	// default 10 min.
	Settle time.Duration

	// Hold bounds the bodies held in memory, in bytes. Where more are missing, the newest are let
	// go and read again after the oldest have been taken in. Default 32 MiB.
	Hold int

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

// Status is how the catch-up of a portal stands.
type Status struct {
	Portal   string
	Running  bool
	Started  time.Time // of the look under way, or of the last one
	Ended    time.Time // of the last one; zero: there was none
	Read     int       // rows read by that look
	Found    int       // rows found that were never stored
	Taken    int       // of these, events stored
	Webhooks int       // of the gateway on this portal
	// Trouble says why the last look came to no end; empty: it did.
	Trouble string
	// WrongSecret says that the newest delivery is signed with a secret that the rules file does
	// not list, so that live ones are refused.
	WrongSecret bool
	// Asked and Answered count the looks asked for and those that have ended since.
	Asked, Answered int
}

// Catcher looks into the logs of portals.
type Catcher struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	asked   chan struct{} // holds one when somebody asked

	mu      sync.Mutex // guards portals
	portals map[string]*state
}

// state is a portal's.
type state struct {
	Status
	wanted  bool
	asked   bool      // by somebody who waits
	since   time.Time // of those who asked, the earliest; zero: as usual
	told    string    // the trouble that was logged
	toldKey bool      // WrongSecret was logged
}

// New returns a Catcher. It asks nothing before Run.
func New(o Options) (*Catcher, error) {
	if o.Store == nil || o.Portals == nil || o.Own == nil || o.Take == nil {
		return nil, errors.New("catchup: Store, Portals, Own and Take are required")
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&o.Every, 5 * time.Minute}, {&o.Fresh, 2 * time.Minute}, {&o.Settle, 10 * time.Minute}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.Hold == 0 {
		o.Hold = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Catcher{
		o: o, log: o.Logger.With("component", "catchup"), metrics: newMetrics(o.Registerer),
		asked: make(chan struct{}, 1), portals: map[string]*state{},
	}, nil
}

// Run looks into the logs now and then until ctx ends.
func (c *Catcher) Run(ctx context.Context) error {
	var looks sync.WaitGroup
	defer looks.Wait()
	ticker := time.NewTicker(c.o.Every)
	defer ticker.Stop()
	for regular := true; ; {
		for _, p := range c.o.Portals() {
			// A portal that does not answer keeps no other waiting.
			if ask, ok := c.begin(p.Name, regular && c.o.Window > 0); ok {
				looks.Go(func() {
					c.end(ctx, p.Name, ask, guard.Call(func() error { return c.look(ctx, p, ask) }))
				})
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			regular = true
		case <-c.asked:
			regular = false
		}
	}
}

// Earliest is how far back a look can go: what is older may have been stored and deleted since.
func (c *Catcher) Earliest() time.Time {
	if c.o.Retention == 0 {
		return time.Time{}
	}
	return c.o.Now().Add(-c.o.Retention + min(c.o.Retention/10, time.Hour))
}

// Ask has a portal's log looked into soon, back to a time; zero: as usual, from where the last
// look ended. Young events are taken in as well: whoever asks does not want to ask again. The
// answer is the number that Status.Answered will have reached then.
func (c *Catcher) Ask(portal string, since time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(portal)
	if !since.IsZero() && (s.since.IsZero() || since.Before(s.since)) {
		s.since = since
	}
	s.wanted, s.asked = true, true
	s.Asked++
	c.nudge()
	return s.Asked
}

// Look has every log looked into soon, as after a change of the configuration.
func (c *Catcher) Look() {
	if c.o.Window == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.o.Portals() {
		c.state(p.Name).wanted = true
	}
	c.nudge()
}

// Status says how things stand with a portal.
func (c *Catcher) Status(portal string) (Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.portals[portal]
	if !ok {
		return Status{Portal: portal}, false
	}
	return s.Status, true
}

func (c *Catcher) nudge() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

func (c *Catcher) state(portal string) *state {
	s := c.portals[portal]
	if s == nil {
		s = &state{Status: Status{Portal: portal}}
		c.portals[portal] = s
	}
	return s
}

// ask is what a look is to answer.
type ask struct {
	since  time.Time
	young  bool // take young events, too
	number int  // of those who asked so far
}

// begin reports whether a look into a portal's log is to begin.
func (c *Catcher) begin(portal string, regular bool) (ask, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(portal)
	if s.Running || !regular && !s.wanted {
		return ask{}, false
	}
	a := ask{s.since, s.asked, s.Asked}
	s.since, s.wanted, s.asked = time.Time{}, false, false
	s.Running, s.Started, s.Read, s.Found, s.Taken = true, c.o.Now(), 0, 0, 0
	return a, true
}

// end notes how a look went, and logs what has changed by it.
func (c *Catcher) end(ctx context.Context, portal string, a ask, err error) {
	if ctx.Err() != nil {
		return // it did not come to an end, nor will anybody ask
	}
	trouble := ""
	if err != nil {
		trouble = inWords(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(portal)
	s.Running, s.Ended, s.Trouble, s.Answered = false, c.o.Now(), trouble, a.number
	if s.wanted {
		c.nudge()
	}
	c.metrics.ended(portal, s.Ended, err)
	switch {
	case trouble != "" && trouble != s.told:
		c.log.Warn("webhook log not read", "portal", portal, "reason", trouble)
	case trouble == "" && s.told != "":
		c.log.Info("webhook log can be read again", "portal", portal)
	}
	s.told = trouble
	if s.WrongSecret && !s.toldKey {
		c.log.Error("the webhook signs with a secret that the rules file does not list", "portal", portal,
			"reason", "deliveries are refused until webhook_secrets and the webhook agree; what the log holds is taken in")
	}
	s.toldKey = s.WrongSecret
	if s.Taken > 0 {
		c.log.Info("caught up", "portal", portal, "rows", s.Read, "events", s.Taken,
			"duration_ms", s.Ended.Sub(s.Started).Milliseconds())
	}
}

// inWords says what an administrator can do about it.
func inWords(err error) string {
	switch {
	case docspace.LacksScope(err):
		return "the API key may not read webhooks and their log: give it the permission *:read beside its others"
	case docspace.IsForbidden(err):
		return "the portal does not let the API key's account see webhooks: guests never may, and the portal's settings may leave it to administrators"
	}
	return fmt.Sprint(err)
}

func (c *Catcher) update(portal string, change func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state(portal).Status)
}
