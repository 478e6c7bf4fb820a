package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"docspace-router/internal/docspace"
	"docspace-router/internal/guard"
)

// Portal is a portal whose webhook is watched.
type Portal struct {
	Client Client
	Wish   Wish
	Secret string // for a webhook that is created; empty: none can be
}

// Store tells which webhooks the gateway knows.
type Store interface {
	SeenWebhooks(ctx context.Context, portal string) ([]string, error)   // by their deliveries or their log
	LoggedWebhooks(ctx context.Context, portal string) ([]string, error) // by their log
}

// Options configures a Watch. Store and Portals are required.
type Options struct {
	Store   Store
	Portals func() []Portal // those of this moment
	// WrongSecret says whether the newest delivery in the portal's log has a signature that none of
	// the secrets in use made, and when that was looked at; zero: it was not. Nil: nobody looks.
	WrongSecret func(portal string) (wrong bool, at time.Time)
	// Repair mends what is wrong. Default false: it is only told.
	Repair     bool
	Every      time.Duration // between two checks; default 5 min
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

// Status is how the webhook of a portal stood at the last check.
type Status struct {
	Portal    string
	CheckedAt time.Time        // zero: not yet
	Webhook   docspace.Webhook // ID 0: there is none, or it is not known which one it is
	Problems  []Problem        // none: all is well, unless there is Trouble
	Trouble   string           // why it could not be checked, or a problem not be mended
	// Repaired is when something was mended last, and Changes what.
	Repaired time.Time
	Changes  []string
}

// OK reports whether the webhook was found to be as it should.
func (s Status) OK() bool { return !s.CheckedAt.IsZero() && len(s.Problems) == 0 && s.Trouble == "" }

// String says it in a line.
func (s Status) String() string {
	switch {
	case s.CheckedAt.IsZero():
		return "not checked yet"
	case s.OK():
		return fmt.Sprintf("ok, webhook %d", s.Webhook.ID)
	}
	var parts []string
	for _, p := range s.Problems {
		parts = append(parts, p.Text)
	}
	if s.Trouble != "" {
		parts = append(parts, s.Trouble)
	}
	return strings.Join(parts, "; ")
}

// Watch checks webhooks now and then.
type Watch struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	asked   chan struct{} // holds one when a check is due now
	woken   chan struct{} // holds one when there is a new doubt

	mu       sync.Mutex // guards what follows, which is by portal
	status   map[string]Status
	met      map[string][]string // ids of the webhooks that were visible once
	doubted  map[string]doubt
	accepted map[string]time.Time // when a delivery was last accepted
}

// New returns a Watch. It asks nothing before Run.
func New(o Options) (*Watch, error) {
	if o.Store == nil || o.Portals == nil {
		return nil, errors.New("webhook: Store and Portals are required")
	}
	if o.Every == 0 {
		o.Every = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Watch{
		o: o, log: o.Logger.With("component", "webhook"), metrics: newMetrics(o.Registerer),
		asked: make(chan struct{}, 1), woken: make(chan struct{}, 1),
		status: map[string]Status{}, met: map[string][]string{}, doubted: map[string]doubt{}, accepted: map[string]time.Time{},
	}, nil
}

// Run checks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.o.Every)
	defer ticker.Stop()
	for all := true; ; {
		var checks sync.WaitGroup
		for _, p := range w.o.Portals() {
			if w.due(p.Wish.Portal, all) {
				checks.Go(func() {
					if err := guard.Call(func() error { w.check(ctx, p); return nil }); err != nil {
						w.log.Error("webhook not checked", "portal", p.Wish.Portal, "err", err)
					}
				})
			}
		}
		checks.Wait()
		var due <-chan time.Time // nil: never
		if next, ok := w.nextDue(); ok {
			due = time.After(next.Sub(w.o.Now()))
		}
		all = false
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			all = true
		case <-w.asked:
			all = true
		case <-w.woken:
		case <-due:
		}
	}
}

// Look has the webhooks checked soon, as after a change of the rules.
func (w *Watch) Look() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// Status says how the webhook of a portal stood at the last check; false: it has not been checked.
func (w *Watch) Status(portal string) (Status, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.status[portal]
	if !ok {
		s.Portal = portal
	}
	return s, ok
}

// check looks at the webhook of a portal, mends it where it may, and tells what has changed.
func (w *Watch) check(ctx context.Context, p Portal) {
	portal := p.Wish.Portal
	next := Status{Portal: portal}
	last, known := w.Status(portal)
	next.Repaired, next.Changes = last.Repaired, last.Changes
	state, err := w.look(ctx, p)
	if err == nil && w.o.Repair {
		var changes []string
		if changes, err = w.repair(ctx, p, state); len(changes) > 0 && err == nil {
			next.Repaired, next.Changes = w.o.Now(), changes
			w.log.Warn("webhook mended", "portal", portal, "changes", strings.Join(changes, "; "), "reason", texts(state.Problems))
			state, err = w.look(ctx, p)
		}
	}
	if ctx.Err() != nil {
		return
	}
	next.CheckedAt = w.o.Now()
	next.Problems = state.Problems
	if len(state.Own) > 0 {
		next.Webhook = state.Own[0]
	}
	if err != nil {
		next.Trouble = inWords(err)
	}
	w.mu.Lock()
	w.status[portal] = next
	w.mu.Unlock()
	w.metrics.checked(next)
	w.patience(portal, last.String() != next.String())
	if known && last.String() == next.String() || !known && next.OK() {
		return
	}
	if next.OK() {
		w.log.Info("webhook is as it should be", "portal", portal, "webhook_id", next.Webhook.ID)
		return
	}
	level := slog.LevelWarn // the portal may answer again
	if len(next.Problems) > 0 {
		level = slog.LevelError
	}
	w.log.Log(ctx, level, "webhook needs attention", "portal", portal, "reason", next.String())
}

func texts(problems []Problem) string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Text)
	}
	return strings.Join(out, "; ")
}

// errHidden says that deliveries come from a webhook that the account does not see.
type errHidden struct{ ids []string }

func (e errHidden) Error() string {
	return fmt.Sprintf("deliveries come from webhook %s, which the API key's account may not see because somebody else made it: "+
		"nobody would notice if it were disabled. Have docspace-router webhook register make one of the account's own, and delete the other",
		strings.Join(e.ids, ", "))
}

// look compares the webhook of a portal with what it should be.
func (w *Watch) look(ctx context.Context, p Portal) (State, error) {
	all, err := p.Client.Webhooks(ctx)
	if err != nil {
		return State{}, err
	}
	triggers, err := p.Client.WebhookTriggers(ctx)
	if err != nil {
		return State{}, err
	}
	seen, err := w.o.Store.SeenWebhooks(ctx, p.Wish.Portal)
	if err != nil {
		return State{}, err
	}
	logged, err := w.o.Store.LoggedWebhooks(ctx, p.Wish.Portal)
	if err != nil {
		return State{}, err
	}
	state := p.Wish.Compare(all, seen, triggers)
	met := w.meet(p.Wish.Portal, state.Own)
	if len(state.Own) > 0 {
		if own := state.Own[0]; w.wrongSecret(p, own) {
			state.Problems = append(state.Problems, Problem{Secret, fmt.Sprintf(
				"deliveries are refused: webhook %d signs with another secret than webhook_secrets lists: set its secret in DocSpace to the first of these, "+
					"or add the one it has to them; what was refused is caught up with", own.ID)})
		}
		return state, nil
	}
	// What was visible once and is no more was deleted. What never was may be there all the same.
	if len(seen) > 0 && len(logged) == 0 && len(met) == 0 {
		state.Problems = nil
		return state, errHidden{seen}
	}
	if len(seen) == 0 && len(met) == 0 && len(p.Wish.Addresses) == 0 {
		state.Problems = nil
		return state, errors.New("it is not known which webhook is the gateway's, because none has delivered anything yet: give the gateway's address with --public-url")
	}
	return state, nil
}

// meet remembers the webhooks that are visible, and returns all that ever were.
func (w *Watch) meet(portal string, own []docspace.Webhook) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	met := w.met[portal]
	for _, h := range own {
		if id := strconv.FormatInt(h.ID, 10); !slices.Contains(met, id) {
			met = append(met, id)
		}
	}
	w.met[portal] = met
	return met
}

// repair mends what is wrong and returns what it did.
func (w *Watch) repair(ctx context.Context, p Portal, state State) ([]string, error) {
	secret := "" // one that is there keeps its own, which may be any of those in use
	plan, err := state.Plan()
	switch {
	case errors.Is(err, ErrNoTriggers):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("not mended: %w", err)
	case len(plan.Changes) == 0:
		return nil, nil
	case plan.Old.ID == 0:
		if err := CheckSecret(p.Secret); err != nil {
			return nil, fmt.Errorf("not mended: the first of webhook_secrets cannot be the new webhook's: %w", err)
		}
		secret = p.Secret
	}
	if _, err := plan.Do(ctx, p.Client, secret); err != nil {
		return nil, fmt.Errorf("not mended: %w", err)
	}
	return plan.Changes, nil
}

// inWords says what an administrator can do about it.
func inWords(err error) string {
	switch {
	case docspace.LacksScope(err):
		return "the API key may not manage webhooks: give it the permission *:read, or *:write to mend them as well, beside its others"
	case docspace.IsForbidden(err):
		return "the portal does not let the API key's account manage webhooks: guests never may, and the portal's settings may leave it to administrators"
	}
	return err.Error()
}

type metrics struct {
	healthy  *prometheus.GaugeVec
	problems *prometheus.GaugeVec
	last     *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		healthy: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "docspace_router_webhook_healthy",
			Help: "1 when the gateway's webhook on the portal was found to be as it should at the last check, else 0.",
		}, []string{"portal"}),
		problems: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "docspace_router_webhook_problem",
			Help: "1 for each kind of problem that the gateway's webhook had at the last check.",
		}, []string{"portal", "problem"}),
		last: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "docspace_router_webhook_checked_timestamp_seconds",
			Help: "When the gateway's webhook on the portal was last checked with success.",
		}, []string{"portal"}),
	}
}

func (m *metrics) checked(s Status) {
	one := func(holds bool) float64 {
		if holds {
			return 1
		}
		return 0
	}
	m.healthy.WithLabelValues(s.Portal).Set(one(s.OK()))
	for _, kind := range Kinds() {
		has := slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Kind == kind })
		m.problems.WithLabelValues(s.Portal, string(kind)).Set(one(has))
	}
	if s.Trouble == "" {
		m.last.WithLabelValues(s.Portal).Set(float64(s.CheckedAt.Unix()))
	}
}
