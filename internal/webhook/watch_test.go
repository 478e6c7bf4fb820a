package webhook_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
	"docspace-router/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const (
	public = "https://router.example.com"
	secret = "Test-Secret-2026"
)

// logBuffer keeps the log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// desk is a simulated portal and a watch over the gateway's webhook on it, in simulated time.
type desk struct {
	t      *testing.T
	portal *portalsim.Portal
	robot  portalsim.UserID
	room   portalsim.ID
	admin  *docspace.Client // of an administrator, who breaks things
	client *docspace.Client // of the gateway's account; not changed while the watch runs
	wish   atomic.Pointer[webhook.Wish]
	logs   logBuffer
	reg    *prometheus.Registry
	store  *store.Store
	watch  *webhook.Watch
	answer atomic.Int64 // of the gateway's endpoint
	// wrongSecret is when the log told of a wrong secret.
	wrongSecret atomic.Pointer[time.Time]
	stop        func()
}

func simulate(t *testing.T, repair bool, scopes []string, test func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, reg: prometheus.NewRegistry(), stop: func() {}}
		d.answer.Store(http.StatusOK)
		d.wrongSecret.Store(&time.Time{})
		endpoint := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(d.answer.Load())) })
		d.portal = portalsim.New(portalsim.Options{
			HTTPClient: &http.Client{Transport: portalsim.HandlerTransport(endpoint)},
			Passwords:  portalsim.PasswordPolicy{MinLength: 16, Upper: true, Digit: true, Special: true},
			Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
				if host == "private.example.com" {
					return []netip.Addr{netip.MustParseAddr("10.1.2.3")}, nil
				}
				return []netip.Addr{netip.MustParseAddr("203.0.113.1")}, nil
			},
		})
		defer d.portal.Close()
		d.robot = d.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
		d.room = d.portal.AddRoom(portalsim.Room{Title: "Room", Owner: d.robot})
		owner := d.portal.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
		d.client, d.admin = d.account(d.robot, scopes...), d.account(owner)
		d.wants(webhook.NewWish("acme", public, false, []string{"file.created", "file.uploaded"}))
		var err error
		d.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "router.db")})
		d.must(err)
		defer func() { d.must(d.store.Close()) }()
		d.watch, err = webhook.New(webhook.Options{
			Store: d.store, Repair: repair, Registerer: d.reg, Logger: slog.New(slog.NewTextHandler(&d.logs, nil)),
			WrongSecret: func(string) (bool, time.Time) {
				at := *d.wrongSecret.Load()
				return !at.IsZero(), at
			},
			Portals: func() []webhook.Portal {
				return []webhook.Portal{{Client: d.client, Wish: *d.wish.Load(), Secret: secret}}
			},
		})
		d.must(err)
		defer func() { d.stop() }()
		test(d)
	})
}

func (d *desk) account(user portalsim.UserID, scopes ...string) *docspace.Client {
	key := d.portal.AddKey(user, scopes...)
	c, err := docspace.New(docspace.Options{Portal: "acme", URL: d.portal.URL(), APIKey: func() string { return key }, Transport: d.portal.Transport()})
	d.must(err)
	return c
}

// wants changes what the webhook is to be.
func (d *desk) wants(w webhook.Wish) { d.wish.Store(&w) }

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) start() {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.watch.Run(ctx)
	}()
	d.stop = func() { cancel(); <-ended }
	time.Sleep(time.Second)
}

// check waits for the next check.
func (d *desk) check() webhook.Status {
	d.t.Helper()
	before, _ := d.watch.Status("acme")
	time.Sleep(5*time.Minute + time.Second)
	s, ok := d.watch.Status("acme")
	if !ok || !s.CheckedAt.After(before.CheckedAt) {
		d.t.Fatal("there was no check")
	}
	return s
}

// register makes the webhook as the command does.
func (d *desk) register() docspace.Webhook {
	d.t.Helper()
	triggers, err := d.client.WebhookTriggers(d.t.Context())
	d.must(err)
	plan, err := d.wish.Load().Compare(nil, nil, triggers).Plan()
	d.must(err)
	made, err := plan.Do(d.t.Context(), d.client, secret)
	d.must(err)
	return made
}

// only is the one webhook on the portal.
func (d *desk) only() docspace.Webhook {
	d.t.Helper()
	all, err := d.admin.Webhooks(d.t.Context())
	d.must(err)
	if len(all) != 1 {
		d.t.Fatalf("%d webhooks: %+v", len(all), all)
	}
	return all[0]
}

// TestDriftIsFoundInOneCheckAndMended breaks the webhook in every way.
func TestDriftIsFoundInOneCheckAndMended(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		drift func(d *desk, w docspace.Webhook) error
		kind  webhook.Kind
		says  string
	}{
		"disabled": {func(d *desk, w docspace.Webhook) error {
			_, err := d.admin.EnableWebhook(d.t.Context(), w, false)
			return err
		},
			webhook.Disabled, "not even in its log: backfill"},
		"deleted": {func(d *desk, w docspace.Webhook) error { return d.admin.DeleteWebhook(d.t.Context(), w.ID) },
			webhook.Missing, "not even in its log: backfill"},
		"pointed elsewhere": {func(d *desk, w docspace.Webhook) error {
			w.URL = "https://elsewhere.example.com/hook?token=canary"
			_, err := d.admin.UpdateWebhook(d.t.Context(), w, "")
			return err
		}, webhook.Elsewhere, "points to https://elsewhere.example.com/hook instead of https://router.example.com/webhook/acme"},
		"missing a trigger": {func(d *desk, w docspace.Webhook) error {
			w.Triggers = 128
			_, err := d.admin.UpdateWebhook(d.t.Context(), w, "")
			return err
		}, webhook.Triggers, "does not subscribe to file.uploaded"},
		"disabled by a failure after quiet days": {func(d *desk, _ docspace.Webhook) error {
			d.answer.Store(http.StatusServiceUnavailable)
			time.Sleep(80 * time.Hour)
			d.portal.Upload(d.room, "a.pdf", 1, d.robot)
			err := d.portal.WaitDelivered(d.t.Context())
			d.answer.Store(http.StatusOK)
			return err
		}, webhook.Disabled, "503 (Service Unavailable)"},
	} {
		for _, repair := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", mended", false: ", told"}[repair], func(t *testing.T) {
				t.Parallel()
				scopes := []string{"*:read"}
				if repair {
					scopes = []string{"*:write"}
				}
				simulate(t, repair, scopes, func(d *desk) {
					d.client = d.account(d.robot) // to register
					made := d.register()
					d.client = d.account(d.robot, scopes...)
					d.start()
					if s, _ := d.watch.Status("acme"); !s.OK() || s.Webhook.ID != made.ID {
						d.t.Fatalf("at first: %s", s)
					}
					d.must(tt.drift(d, made))
					s := d.check()
					told := d.logs.String()
					if !strings.Contains(told, tt.says) || strings.Contains(told, "canary") {
						d.t.Errorf("told:\n%s\nwant something about %q", told, tt.says)
					}
					if !repair {
						if len(s.Problems) != 1 || s.Problems[0].Kind != tt.kind {
							d.t.Errorf("found %+v, want %s", s, tt.kind)
						}
						d.check()
						if again := d.logs.String(); again != told {
							d.t.Errorf("told again:\n%s", again)
						}
						d.gauge("docspace_router_webhook_healthy", 0)
						d.gauge("docspace_router_webhook_problem", 1)
						return
					}
					mended := d.only()
					if !s.OK() || s.Repaired.IsZero() || !mended.Enabled || mended.URL != made.URL || mended.Triggers != made.Triggers || !mended.SSL {
						d.t.Errorf("%s, mended to %+v", s, mended)
					}
					if (mended.ID == made.ID) == (tt.kind == webhook.Missing) {
						d.t.Errorf("webhook %d became %d", made.ID, mended.ID)
					}
					d.gauge("docspace_router_webhook_healthy", 1)
					d.gauge("docspace_router_webhook_problem", 0)
				})
			})
		}
	}
}

// TestADeliveryThatDoesNotFitHasTheWebhookLookedAt registers a webhook after the first check, as the
// README does, and again after it was removed.
func TestADeliveryThatDoesNotFitHasTheWebhookLookedAt(t *testing.T) {
	t.Parallel()
	simulate(t, false, nil, func(d *desk) {
		d.start()
		if s, _ := d.watch.Status("acme"); len(s.Problems) != 1 || s.Problems[0].Kind != webhook.Missing {
			d.t.Fatalf("at first: %s", s)
		}
		for range 2 {
			made := d.register()
			d.watch.Delivered("acme", strconv.FormatInt(made.ID, 10))
			time.Sleep(16 * time.Second)
			if s, _ := d.watch.Status("acme"); !s.OK() || s.Webhook.ID != made.ID {
				d.t.Errorf("after a delivery of webhook %d: %s", made.ID, s)
			}
			d.must(d.admin.DeleteWebhook(d.t.Context(), made.ID))
		}
	})
}

// TestAWrongSecretIsFound lets a stranger send junk, and the portal be refused.
func TestAWrongSecretIsFound(t *testing.T) {
	t.Parallel()
	simulate(t, false, nil, func(d *desk) {
		made := d.register()
		d.start()
		for range 60 {
			d.watch.Refused("acme")
			time.Sleep(time.Second)
		}
		if s, _ := d.watch.Status("acme"); !s.OK() || s.CheckedAt.Before(time.Now().Add(-time.Minute)) {
			d.t.Fatalf("after junk from a stranger: %s, %s ago", s, time.Since(s.CheckedAt))
		}
		upload := func(answer int) {
			d.answer.Store(int64(answer))
			d.portal.Upload(d.room, "a.pdf", 1, d.robot)
			d.must(d.portal.WaitDelivered(d.t.Context()))
		}
		upload(http.StatusUnauthorized)
		s := d.check()
		if len(s.Problems) != 1 || s.Problems[0].Kind != webhook.Secret || !strings.Contains(s.String(), "another secret than webhook_secrets lists") {
			d.t.Errorf("after a refusal: %s", s)
		}
		d.gauge("docspace_router_webhook_problem", 1)
		upload(http.StatusOK)
		d.watch.Delivered("acme", strconv.FormatInt(made.ID, 10))
		time.Sleep(16 * time.Second)
		if s, _ := d.watch.Status("acme"); !s.OK() {
			d.t.Errorf("after it was mended: %s", s)
		}

		// The catch-up knows it from the log, until a delivery proves otherwise.
		found := time.Now()
		d.wrongSecret.Store(&found)
		if s := d.check(); len(s.Problems) != 1 || s.Problems[0].Kind != webhook.Secret {
			d.t.Errorf("after the log told: %s", s)
		}
		d.watch.Delivered("acme", strconv.FormatInt(made.ID, 10))
		if s := d.check(); !s.OK() {
			d.t.Errorf("after a delivery: %s", s)
		}
	})
}

// TestWhatNobodyMendsIsNotAskedForAgainAndAgain counts the checks while deliveries keep coming.
func TestWhatNobodyMendsIsNotAskedForAgainAndAgain(t *testing.T) {
	t.Parallel()
	simulate(t, false, nil, func(d *desk) {
		d.start()
		checks := map[time.Time]bool{}
		for range 3600 {
			d.watch.Delivered("acme", "77")
			time.Sleep(time.Second)
			s, _ := d.watch.Status("acme")
			checks[s.CheckedAt] = true
		}
		// Twelve come by themselves; a few at the beginning and one for each pause of five minutes.
		if len(checks) < 15 || len(checks) > 30 {
			d.t.Errorf("%d checks in an hour", len(checks))
		}
	})
}

// gauge compares the sum of a metric's values.
func (d *desk) gauge(name string, want float64) {
	d.t.Helper()
	families, err := d.reg.Gather()
	d.must(err)
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum, found = sum+m.GetGauge().GetValue(), true
			}
		}
	}
	if !found || sum != want {
		d.t.Errorf("%s is %v, want %v", name, sum, want)
	}
	if problems, err := testutil.GatherAndLint(d.reg); err != nil || len(problems) > 0 {
		d.t.Errorf("metrics: %v %v", problems, err)
	}
}

func TestTheWebhookFollowsTheRules(t *testing.T) {
	t.Parallel()
	simulate(t, true, []string{"*:write"}, func(d *desk) {
		d.start() // and finds none
		if w := d.only(); w.Triggers != 384 || w.URL != public+"/webhook/acme" || w.Name != "docspace-router acme at router.example.com" {
			d.t.Errorf("made %+v", w)
		}
		d.wants(webhook.NewWish("acme", public, false, []string{"file.copied", "file.uploaded"}))
		d.watch.Look()
		time.Sleep(time.Second)
		if w := d.only(); w.Triggers != 8192|256 {
			d.t.Errorf("triggers %d", w.Triggers)
		}
		d.wants(webhook.NewWish("acme", public, false, nil)) // a webhook without triggers would get everything
		d.check()
		if w := d.only(); w.Triggers != 8192|256 {
			d.t.Errorf("triggers %d", w.Triggers)
		}
	})
}

func TestWebhooksOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	simulate(t, true, []string{"*:write"}, func(d *desk) {
		ours := *d.wish.Load()
		d.wants(webhook.NewWish("acme", "https://trial.example.com", false, ours.Triggers))
		foreign := d.register()
		d.wants(ours)
		d.start()
		all, err := d.admin.Webhooks(d.t.Context())
		d.must(err)
		if len(all) != 2 || all[0] != foreign {
			d.t.Errorf("webhooks %+v", all)
		}
	})
}

func TestAWebhookThatTheAccountDoesNotSeeIsNotTakenForDeleted(t *testing.T) {
	t.Parallel()
	simulate(t, true, []string{"*:write"}, func(d *desk) {
		robot := d.client
		d.client = d.admin
		d.register()
		d.client = robot
		d.must(d.store.SaveWebhookLog(d.t.Context(), store.WebhookLog{Portal: "other", WebhookID: "1", KnownSince: time.Now()}))
		d.delivered("1")
		d.start()
		s, _ := d.watch.Status("acme")
		if len(s.Problems) != 0 || !strings.Contains(s.Trouble, "deliveries come from webhook 1") {
			d.t.Errorf("status %+v", s)
		}
		d.only()
	})
}

func TestWithoutAnAddressTheWebhookIsKnownByItsDeliveries(t *testing.T) {
	t.Parallel()
	simulate(t, false, []string{"*:read"}, func(d *desk) {
		d.wants(webhook.NewWish("acme", "", true, []string{"file.uploaded", "file.moved"}))
		d.start()
		if s, _ := d.watch.Status("acme"); !strings.Contains(s.Trouble, "--public-url") {
			d.t.Errorf("status %+v", s)
		}
		id := d.portal.AddWebhook(portalsim.Webhook{
			Name: "by hand", URL: "https://gateway.example.com/x", Secret: secret, Owner: d.robot, Enabled: true, Triggers: []string{"file.uploaded"},
		})
		d.delivered("1")
		s := d.check()
		if s.Webhook.ID != int64(id) || len(s.Problems) != 1 || s.Problems[0].Kind != webhook.Triggers {
			d.t.Errorf("status %+v", s)
		}
	})
}

func TestAKeyThatMayNotLookIsToldOfOnce(t *testing.T) {
	t.Parallel()
	simulate(t, true, []string{"files:write"}, func(d *desk) {
		d.start()
		d.check()
		if s := d.check(); !strings.Contains(s.Trouble, "*:read") || strings.Count(d.logs.String(), "level=WARN") != 1 {
			d.t.Errorf("status %+v, log:\n%s", s, &d.logs)
		}
	})
}

// delivered stores an event of a webhook.
func (d *desk) delivered(hook string) {
	d.t.Helper()
	d.must(d.store.InTx(d.t.Context(), func(tx *sql.Tx) error {
		_, err := d.store.InsertEvents(d.t.Context(), tx, []store.NewEvent{{
			Portal: "acme", Event: event.Event{ID: "1", WebhookID: hook, CreatedOn: time.Now()}, ReceivedAt: time.Now(), Body: []byte("{}"),
		}})
		return err
	}))
}
