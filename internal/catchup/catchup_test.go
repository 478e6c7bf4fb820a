package catchup_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"docspace-router/internal/catchup"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const secret = "Test-Secret-2026"

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

// desk is a simulated portal, a database and what catches up, in simulated time. The receiver
// stands for the gateway's endpoint: while it listens, what it answers 200 is stored.
type desk struct {
	t       *testing.T
	portal  *portalsim.Portal
	robot   portalsim.UserID
	room    portalsim.ID
	hook    int
	store   *store.Store
	client  *docspace.Client
	catcher *catchup.Catcher
	options catchup.Options
	secrets []string
	logs    logBuffer
	stop    func()

	mu     sync.Mutex // guards all below
	answer int
	deaf   bool // answers, but stores nothing
	fail   error
	takes  [][]string // titles, as they were handed over
}

func simulate(t *testing.T, o portalsim.Options, scopes []string, test func(*desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, answer: http.StatusOK, secrets: []string{secret}, stop: func() {}}
		o.HTTPClient = &http.Client{Transport: portalsim.HandlerTransport(http.HandlerFunc(d.receive))}
		d.portal = portalsim.New(o)
		defer d.portal.Close()
		d.robot = d.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
		d.room = d.portal.AddRoom(portalsim.Room{Title: "Room", Owner: d.robot})
		d.hook = d.portal.AddWebhook(portalsim.Webhook{
			Name: "router", URL: "https://router.example.com/webhook", Secret: secret, Owner: d.robot, Enabled: true,
		})
		key := d.portal.AddKey(d.robot, scopes...)
		var err error
		d.client, err = docspace.New(docspace.Options{Portal: "acme", URL: d.portal.URL(), APIKey: func() string { return key }, Transport: d.portal.Transport()})
		d.must(err)
		d.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "router.db")})
		d.must(err)
		defer func() { d.must(d.store.Close()) }()
		d.options = catchup.Options{
			Store: d.store, Window: 72 * time.Hour, Take: d.take, Registerer: prometheus.NewRegistry(),
			Portals: func() []catchup.Portal {
				return []catchup.Portal{{Name: "acme", Client: d.client, Secrets: d.secrets, Pause: 200 * time.Millisecond}}
			},
			Own: func(_ string, all []docspace.Webhook, seen []string) []docspace.Webhook {
				return slices.DeleteFunc(all, func(w docspace.Webhook) bool {
					return w.URL != "https://router.example.com/webhook" && !slices.Contains(seen, strconv.FormatInt(w.ID, 10))
				})
			},
			Logger: slog.New(slog.NewTextHandler(&d.logs, nil)),
		}
		defer func() { d.stop() }()
		test(d)
	})
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) receive(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	answer, deaf := d.answer, d.deaf
	d.mu.Unlock()
	if r.Method == http.MethodPost && answer == http.StatusOK && !deaf {
		body, err := io.ReadAll(r.Body)
		d.must(err)
		ev, err := event.Parse(body)
		d.must(err)
		_, err = d.save(r.Context(), []store.NewEvent{{Portal: "acme", Event: ev, ReceivedAt: time.Now(), Body: body}})
		d.must(err)
	}
	w.WriteHeader(answer)
}

func (d *desk) save(ctx context.Context, events []store.NewEvent) (n int, err error) {
	err = d.store.InTx(ctx, func(tx *sql.Tx) error {
		ids, err := d.store.InsertEvents(ctx, tx, events)
		for _, id := range ids {
			n += min(1, int(id))
		}
		return err
	})
	return n, err
}

func (d *desk) take(ctx context.Context, events []store.NewEvent) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return 0, d.fail
	}
	var titles []string
	for _, e := range events {
		titles = append(titles, e.Event.Entry.Title)
	}
	d.takes = append(d.takes, titles)
	return d.save(ctx, events)
}

// answers sets what becomes of deliveries.
func (d *desk) answers(code int, deaf bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer, d.deaf = code, deaf
}

// upload uploads files and waits until the portal has given up on them or not.
func (d *desk) upload(titles ...string) {
	d.t.Helper()
	for _, title := range titles {
		d.portal.Upload(d.room, title, 1, d.robot)
	}
	d.must(d.portal.WaitDelivered(d.t.Context()))
}

// start starts what catches up, anew where it runs.
func (d *desk) start() {
	d.t.Helper()
	d.stop()
	d.options.Registerer = prometheus.NewRegistry()
	catcher, err := catchup.New(d.options)
	d.must(err)
	d.catcher = catcher
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = catcher.Run(ctx)
	}()
	d.stop = func() { cancel(); <-ended }
}

// look waits for a look that begins now.
func (d *desk) look(since time.Time) catchup.Status {
	d.t.Helper()
	number := d.catcher.Ask("acme", since)
	for {
		time.Sleep(time.Second)
		if s, _ := d.catcher.Status("acme"); s.Answered >= number {
			return s
		}
	}
}

// wantTaken compares what was taken in since the last call.
func (d *desk) wantTaken(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := slices.Concat(d.takes...); !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		d.t.Errorf("taken in: %d, and from %d on %.20q, want %d, %.20q", len(got), at, got[at:min(at+10, len(got))], len(want), want[at:min(at+10, len(want))])
	}
	d.takes = nil
}

var reads = []string{"*:read"}

// known makes the database older than what follows, as one that has served.
func (d *desk) known() {
	d.t.Helper()
	d.upload("before.pdf")
	d.start()
	d.look(time.Time{})
	d.wantTaken()
	d.stop()
	time.Sleep(time.Hour)
}

func TestWhateverBecameOfADeliveryItIsTakenInOnce(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(d *desk){
		"refused": func(d *desk) { d.answers(503, false); d.upload("a.pdf", "b.pdf") },
		"never sent": func(d *desk) {
			d.portal.Upload(d.room, "a.pdf", 1, d.robot)
			d.portal.Upload(d.room, "b.pdf", 1, d.robot)
			d.portal.LoseQueue()
		},
		"taken by somebody": func(d *desk) { d.answers(200, true); d.upload("a.pdf", "b.pdf") },
		"refused, as 401":   func(d *desk) { d.answers(401, false); d.upload("a.pdf", "b.pdf") },
	} {
		for _, generation := range []int{3, 4} {
			t.Run(fmt.Sprintf("%s, generation %d", name, generation), func(t *testing.T) {
				t.Parallel()
				simulate(t, portalsim.Options{Generation: generation}, reads, func(d *desk) {
					d.known()
					lose(d)
					d.answers(200, false)
					time.Sleep(time.Hour)
					d.start()
					s := d.look(time.Time{})
					d.wantTaken("a.pdf", "b.pdf")
					if s.Trouble != "" || s.WrongSecret || s.Webhooks != 1 {
						t.Errorf("status %+v", s)
					}
					d.upload("live.pdf")
					time.Sleep(time.Hour)
					d.look(time.Time{})
					d.look(time.Now().Add(-5 * time.Hour))
					d.wantTaken()
					// A body without an id was given its row's: the portal's late retry is no news.
					events, _, err := d.store.Events(d.t.Context(), store.Filter{Limit: 100})
					d.must(err)
					for _, e := range events {
						if _, err := strconv.Atoi(e.EventID); err != nil {
							t.Errorf("event id %q", e.EventID)
						}
					}
				})
			})
		}
	}
}

func TestADeliveryUnderWayIsNotMissed(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.answers(503, false)
		d.portal.Upload(d.room, "retried.pdf", 1, d.robot)
		time.Sleep(10 * time.Second)
		d.start() // it is too young: its retries may still succeed
		time.Sleep(time.Second)
		d.wantTaken()
		d.answers(200, false)
		d.portal.Upload(d.room, "delivered.pdf", 1, d.robot) // a higher number, stored first
		d.must(d.portal.WaitDelivered(d.t.Context()))
		d.answers(503, false)
		d.upload("given up.pdf")
		d.answers(200, false)
		d.upload("later.pdf")
		time.Sleep(30 * time.Minute)
		d.wantTaken("given up.pdf")
	})
}

// TestARowThatWasTooYoungIsLookedAtAgain looks several times while a delivery is under way, as after
// reloads, before the portal gives it up.
func TestARowThatWasTooYoungIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.answers(503, false)
		d.portal.Upload(d.room, "given up.pdf", 1, d.robot)
		time.Sleep(10 * time.Second)
		d.start()
		for range 3 {
			time.Sleep(3 * time.Second)
			d.catcher.Look()
		}
		d.wantTaken()
		d.must(d.portal.WaitDelivered(d.t.Context()))
		time.Sleep(10 * time.Minute)
		d.wantTaken("given up.pdf")
	})
}

func TestWhoeverAsksGetsYoungEventsAsWell(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.start()
		time.Sleep(time.Second)
		d.answers(503, false)
		d.portal.Upload(d.room, "under way.pdf", 1, d.robot)
		time.Sleep(6 * time.Second)
		d.look(time.Time{})
		d.answers(200, false)
		d.must(d.portal.WaitDelivered(d.t.Context())) // and its retry is a duplicate
		d.wantTaken("under way.pdf")
		if n, _, err := d.store.Events(d.t.Context(), store.Filter{Limit: 10}); err != nil || len(n) != 2 {
			d.t.Errorf("%d events: %v", len(n), err)
		}
	})
}

func TestTheFirstLookOfANewDatabase(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.answers(200, true) // a predecessor, whose database is lost
		d.upload("handled before.pdf")
		d.answers(503, false)
		d.upload("never answered.pdf")
		d.answers(200, false)
		time.Sleep(time.Hour)
		d.start()
		d.look(time.Time{})
		d.look(time.Now().Add(-10 * time.Hour))
		d.wantTaken("never answered.pdf")
	})
}

func TestTheWindowAndTheRetentionBoundALook(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.options.Window, d.options.Retention = 24*time.Hour, 100*time.Hour
		d.known()
		d.answers(503, false)
		d.upload("too old.pdf")
		time.Sleep(50 * time.Hour)
		d.upload("old.pdf")
		time.Sleep(48 * time.Hour)
		d.portal.Upload(d.room, "new.pdf", 1, d.robot)
		d.portal.LoseQueue()
		time.Sleep(time.Hour)
		d.start()
		d.look(time.Time{})
		d.wantTaken("new.pdf")
		d.look(time.Now().Add(-60 * time.Hour))
		d.wantTaken("old.pdf")
		// What is older may have been stored and deleted.
		d.look(time.Now().Add(-200 * time.Hour))
		d.wantTaken()
	})
}

// TestManyRowsAreReadInPages stops half-way and goes on, while new rows push others to the next page.
func TestManyRowsAreReadInPages(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		var want []string
		for i := range 1234 {
			want = append(want, fmt.Sprintf("%04d.pdf", i))
		}
		d.answers(503, false)
		d.upload(want...)
		d.answers(200, false)
		time.Sleep(time.Hour)
		d.start()
		time.Sleep(time.Second)
		for range 150 {
			d.portal.Upload(d.room, "meanwhile.pdf", 1, d.robot)
		}
		d.mu.Lock()
		d.fail = fmt.Errorf("no room")
		d.mu.Unlock()
		if s := d.look(time.Time{}); !strings.Contains(s.Trouble, "no room") {
			t.Errorf("status %+v", s)
		}
		d.must(d.portal.WaitDelivered(d.t.Context()))
		d.mu.Lock()
		d.fail = nil
		d.mu.Unlock()
		d.start()
		time.Sleep(2 * time.Second)
		d.start() // stopped half-way, at a page or a portion
		d.look(time.Time{})
		d.wantTaken(want...)
		if s := d.look(time.Time{}); s.Taken != 0 {
			t.Errorf("taken again: %+v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := d.look(time.Time{}); s.Read > 100 {
			t.Errorf("%d rows were read again, although all were handled long ago", s.Read)
		}
	})
}

// TestMoreThanAPageOfRowsComesBetweenTwoPages pushes what is still to be read back by more than a
// page, so that the next one holds nothing new.
func TestMoreThanAPageOfRowsComesBetweenTwoPages(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		var want []string
		for i := range 450 {
			want = append(want, fmt.Sprintf("%04d.pdf", i))
		}
		d.answers(503, false)
		d.upload(want...)
		d.answers(200, false)
		time.Sleep(time.Hour)
		d.start()
		time.Sleep(500 * time.Millisecond)
		for range 250 {
			d.portal.Upload(d.room, "meanwhile.pdf", 1, d.robot)
		}
		time.Sleep(4 * time.Minute)
		d.wantTaken(want...)
	})
}

// TestMoreIsMissingThanMemoryHolds takes the oldest in first all the same.
func TestMoreIsMissingThanMemoryHolds(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.options.Hold = 64 << 10
		var want []string
		for i := range 400 { // of about 800 bytes each
			want = append(want, fmt.Sprintf("%04d.pdf", i))
		}
		d.answers(503, false)
		d.upload(want...)
		d.answers(200, false)
		time.Sleep(time.Hour)
		d.start()
		time.Sleep(4 * time.Minute)
		d.mu.Lock()
		if len(d.takes) < 5 {
			d.t.Errorf("taken in at %d times", len(d.takes))
		}
		d.mu.Unlock()
		d.wantTaken(want...)
	})
}

func TestSecretsThatHaveChanged(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.answers(503, false)
		d.upload("signed with the old one.pdf")
		d.secrets = []string{"A-New-Secret-2026"}
		time.Sleep(time.Hour)
		d.start()
		if s := d.look(time.Time{}); !s.WrongSecret {
			t.Errorf("status %+v", s)
		}
		d.look(time.Time{})
		d.wantTaken("signed with the old one.pdf")
		if n := strings.Count(d.logs.String(), "the webhook signs with a secret that the rules file does not list"); n != 1 {
			t.Errorf("told %d times:\n%s", n, &d.logs)
		}
		if strings.Contains(d.logs.String(), "A-New-Secret-2026") {
			t.Error("the log shows the secret")
		}
	})
}

func TestAKeyThatMayNotReadTheLogIsToldOfOnce(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, []string{"files:write", "rooms:read"}, func(d *desk) {
		d.start()
		s := d.look(time.Time{})
		if !strings.Contains(s.Trouble, "*:read") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Hour)
		if n := strings.Count(d.logs.String(), "webhook log not read"); n != 1 {
			t.Errorf("told %d times:\n%s", n, &d.logs)
		}
	})
}

func TestAPortalThatIsDownIsReadLater(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		d.answers(503, false)
		d.upload("a.pdf")
		up := d.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: 503})
		time.Sleep(time.Hour)
		d.start()
		if s := d.look(time.Time{}); s.Trouble == "" {
			t.Errorf("status %+v", s)
		}
		d.wantTaken()
		up()
		time.Sleep(10 * time.Minute)
		d.wantTaken("a.pdf")
	})
}

func TestAPortalSetUpAnewCountsFromOneAgain(t *testing.T) {
	t.Parallel()
	simulate(t, portalsim.Options{}, reads, func(d *desk) {
		d.known()
		id := strconv.Itoa(d.hook)
		d.must(d.store.SaveWebhookLog(d.t.Context(), store.WebhookLog{
			Portal: "acme", WebhookID: id, HandledTo: 5000, Newest: 6000, NewestAt: time.Now(), KnownSince: time.Now().Add(-time.Hour),
		}))
		d.answers(503, false)
		d.upload("a.pdf")
		time.Sleep(time.Hour)
		d.start()
		d.look(time.Time{})
		d.wantTaken("a.pdf")
	})
}
