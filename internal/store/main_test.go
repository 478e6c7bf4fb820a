package store

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/event"
	"docspace-router/internal/pgtest"
)

// tryOpen makes this program the second process of TestASecondProcessIsRefused.
var tryOpen = flag.String("try-open", "", "open this database, say what happened, and end")

// onPostgres makes the tests run on a private PostgreSQL server instead of SQLite. Those about
// SQLite's file are left out then.
var (
	onPostgres = flag.Bool("postgres", false, "run the tests on a private PostgreSQL server instead of SQLite")
	server     *pgtest.Server // nil without the flag
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *onPostgres {
		var err error
		if server, err = pgtest.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if *tryOpen != "" {
		s, err := Open(context.Background(), Options{URL: *tryOpen})
		if err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(2)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if server != nil {
			if err := server.Stop(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		os.Exit(code)
	}))
}

// aboutTheFile marks a test of what only SQLite has.
func aboutTheFile(t *testing.T) {
	t.Helper()
	if server != nil {
		t.Skip("this is about SQLite's file")
	}
}

// start is when the tests' clock begins.
var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// clock is a clock that only moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: start} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// harness is a store on a file of its own.
type harness struct {
	*Store
	t    testing.TB
	path string // of SQLite's file
	url  string
	time *clock
	next int
}

// migrated is a database file without rows, made once because the migrations take longer than
// most tests.
var migrated = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "router.db")
	s, err := Open(context.Background(), Options{URL: "sqlite://" + path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func open(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, path: filepath.Join(t.TempDir(), "router.db"), time: newClock()}
	h.url = "sqlite://" + h.path
	if server == nil {
		file, err := migrated()
		h.must(err)
		h.must(os.WriteFile(h.path, file, 0o600))
	} else {
		var err error
		h.url, err = server.Database(t.Context())
		h.must(err)
	}
	h.reopen()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func (h *harness) reopen() {
	h.t.Helper()
	if h.Store != nil {
		h.must(h.Close())
	}
	s, err := Open(h.t.Context(), Options{URL: h.url, Now: h.time.now})
	h.must(err)
	h.Store = s
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) ctx() context.Context { return h.t.Context() }

// delivery is a delivery of the portal acme.
func (h *harness) delivery(eventID string, change ...func(*NewEvent)) NewEvent {
	e := NewEvent{
		Portal:     "acme",
		ReceivedAt: h.time.now(),
		Body:       []byte(`{"id":` + strconv.Quote(eventID) + `}`),
		Event: event.Event{
			ID: eventID, WebhookID: "12", Trigger: "file.uploaded", CreatedOn: h.time.now().Add(-time.Second),
			Entry: event.Entry{Kind: event.File, ID: "90412", Title: "report.pdf"},
		},
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func (h *harness) insert(events ...NewEvent) []int64 {
	h.t.Helper()
	var ids []int64
	h.must(h.InTx(h.ctx(), func(tx *sql.Tx) (err error) {
		ids, err = h.InsertEvents(h.ctx(), tx, events)
		return err
	}))
	return ids
}

// event stores one more event and returns its id.
func (h *harness) event(change ...func(*NewEvent)) int64 {
	h.t.Helper()
	h.next++
	return h.insert(h.delivery("e"+strconv.Itoa(h.next), change...))[0]
}

func (h *harness) save(decisions ...Decision) (lanes []string) {
	h.t.Helper()
	h.must(h.InTx(h.ctx(), func(tx *sql.Tx) (err error) {
		lanes, err = h.SaveDecisions(h.ctx(), tx, decisions)
		return err
	}))
	return lanes
}

// route stores one more event with the transfers that routing decided on.
func (h *harness) route(transfers ...NewTransfer) (lanes []string) {
	h.t.Helper()
	return h.save(Decision{EventID: h.event(), State: event.EventRouted, Transfers: transfers})
}

// planned is a transfer of report.pdf, copied to folder 20 by the rule "copies".
func (h *harness) planned(change ...func(*NewTransfer)) NewTransfer {
	t := NewTransfer{
		Portal: "acme", Rule: "copies", Action: event.Copy, Conflict: event.Duplicate, Source: "10", Destination: "20",
		Entry:   event.Entry{Kind: event.File, ID: "90412", Title: "report.pdf"},
		Trigger: "file.uploaded", WebhookID: "12", HappenedAt: h.time.now(),
	}
	for _, c := range change {
		c(&t)
	}
	return t
}

func asMove(t *NewTransfer)                  { t.Action, t.Rule, t.Destination = event.Move, "moves", "30" }
func entry(id event.ID) func(*NewTransfer)   { return func(t *NewTransfer) { t.Entry.ID = id } }
func from(room event.ID) func(*NewTransfer)  { return func(t *NewTransfer) { t.Source = room } }
func rule(name string) func(*NewTransfer)    { return func(t *NewTransfer) { t.Rule = name } }
func to(folder event.ID) func(*NewTransfer)  { return func(t *NewTransfer) { t.Destination = folder } }
func trigger(name string) func(*NewTransfer) { return func(t *NewTransfer) { t.Trigger = name } }
func webhook(id string) func(*NewTransfer)   { return func(t *NewTransfer) { t.WebhookID = id } }
func after(d time.Duration) func(*NewTransfer) {
	return func(t *NewTransfer) { t.HappenedAt = t.HappenedAt.Add(d) }
}

const (
	copyLane = "acme|copy|file|duplicate|20"
	moveLane = "acme|move|file|duplicate|30"
)

func anything(Transfer) bool { return true }

func (h *harness) claim(lane string) *Operation {
	h.t.Helper()
	op, _, err := h.Claim(h.ctx(), lane, ClaimOptions{Limit: 100, Fit: anything})
	h.must(err)
	if op == nil {
		h.t.Fatalf("nothing to claim in lane %s", lane)
	}
	return op
}

// settle ends every transfer of an operation alike.
func (h *harness) settle(op *Operation, state event.State) (lanes []string) {
	h.t.Helper()
	var outcomes []Outcome
	for _, t := range op.Transfers {
		outcomes = append(outcomes, Outcome{TransferID: t.ID, State: state, Attempted: true})
	}
	lanes, err := h.SettleOperation(h.ctx(), op, outcomes, "")
	h.must(err)
	return lanes
}

// states are the states of all transfers, in the order of their ids.
func (h *harness) states() []event.State {
	h.t.Helper()
	states, err := queryColumn[event.State](h.ctx(), h.read, `SELECT state FROM transfers ORDER BY id`)
	h.must(err)
	return states
}

func (h *harness) transfers() []Transfer {
	h.t.Helper()
	all, err := queryAll(h.ctx(), h.read, scanTransfer, `SELECT `+transferColumns+` FROM transfers ORDER BY id`)
	h.must(err)
	return all
}

func (h *harness) count(table string) (n int) {
	h.t.Helper()
	h.must(h.read.QueryRowContext(h.ctx(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}
