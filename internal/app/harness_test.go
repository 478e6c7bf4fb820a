package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"docspace-router/internal/app"
	"docspace-router/internal/event"
	"docspace-router/internal/pgtest"
	"docspace-router/internal/portalsim"
)

// secret signs the deliveries of the test's webhook.
const secret = "Test-Secret-2026"

// onPostgres makes the tests run on a private PostgreSQL server instead of SQLite.
var (
	onPostgres = flag.Bool("postgres", false, "run the tests on a private PostgreSQL server instead of SQLite")
	server     *pgtest.Server // nil without the flag
)

// patience is how long a test waits for what must happen. It is no measure of speed: the
// machines are shared.
const patience = 3 * time.Minute

// world is a simulated portal with a client room and an internal room, a gateway's account
// with a role in both, and the gateway's settings.
type world struct {
	t       testing.TB
	portal  *portalsim.Portal
	dir     string
	env     map[string]string
	options app.Options
	logs    *logBuffer

	owner, robot, client portalsim.UserID
	room, dest           portalsim.ID

	gateway addresses
	stop    func() error
}

// addresses is where a gateway listens.
type addresses interface {
	Addr() string
	AdminAddr() string
}

// newWorld makes a portal whose waiting times are short enough for tests. The gateway is not
// started, and no webhook is there yet.
func newWorld(t testing.TB, o portalsim.Options) *world {
	t.Helper()
	o.AllowPrivateTargets = true
	if o.Timings.QueuePause == 0 {
		o.Timings.QueuePause = 10 * time.Millisecond
	}
	if o.Timings.RetryWaits == nil {
		o.Timings.RetryWaits = slices.Repeat([]time.Duration{100 * time.Millisecond}, 5)
	}
	w := &world{t: t, portal: portalsim.New(o), dir: t.TempDir(), logs: &logBuffer{}}
	t.Cleanup(w.portal.Close)
	address := w.portal.Start()
	w.owner = w.portal.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
	w.robot = w.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	w.client = w.portal.AddUser(portalsim.User{DisplayName: "Client", Guest: true})
	w.room = w.addRoom("Shared with client")
	w.dest = w.addRoom("Internal")
	w.env = map[string]string{
		"DOCSPACE_API_HOST":       address,
		"DOCSPACE_API_KEY":        w.portal.AddKey(w.robot, "files:write", "rooms:read", "accounts.self:read"),
		"DOCSPACE_WEBHOOK_SECRET": secret,
	}
	w.options = app.Options{
		Rules:       filepath.Join(w.dir, "rules.yaml"),
		Listen:      "127.0.0.1:0",
		AdminListen: "127.0.0.1:0",
		Database:    newDatabase(t, w.dir),
		LookupEnv:   func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
		Version:     "test",
		Logger:      slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Pace: app.Pace{
			Reload: 50 * time.Millisecond, Poll: 20 * time.Millisecond, PortalPause: 100 * time.Millisecond,
			RetryFirst: 50 * time.Millisecond, Sweep: 100 * time.Millisecond, SettleAfter: 2 * time.Second,
			DeadAfter: 3 * time.Second,
		},
	}
	t.Cleanup(func() {
		if w.stop != nil {
			if err := w.stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", w.logs)
		}
	})
	return w
}

// newDatabase returns the URL of an empty database of the kind under test.
func newDatabase(t testing.TB, dir string) string {
	t.Helper()
	if server == nil {
		return "sqlite://" + filepath.Join(dir, "router.db")
	}
	address, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// fewer is how many of something a test works with: many, or few under the race detector, which takes ten
// times as long for each.
func fewer(many, few int) int {
	if testing.Short() {
		return few
	}
	return many
}

func (w *world) addRoom(title string) portalsim.ID {
	return w.portal.AddRoom(portalsim.Room{Title: title, Owner: w.owner, Members: map[portalsim.UserID]portalsim.Access{
		w.robot: portalsim.RoomManager, w.client: portalsim.ContentCreator,
	}})
}

// writeRules replaces the rules file by one with these rules.
func (w *world) writeRules(rules ...string) {
	w.t.Helper()
	w.replaceRules("version: 1\nrules:\n" + strings.Join(rules, ""))
}

func (w *world) replaceRules(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.options.Rules, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// rule writes a rule for uploads from a source to a destination; lines are added to it as
// they are.
func rule(name string, from, to portalsim.ID, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    source: {room: %q}\n    destination: {folder: %q}\n", name, from, to)
	all := strings.Join(lines, "\n")
	if !strings.Contains(all, "triggers:") {
		b.WriteString("    triggers: [file.uploaded, file.created]\n")
	}
	if !strings.Contains(all, "action:") {
		b.WriteString("    action: copy\n")
	}
	for _, line := range lines {
		b.WriteString("    " + line + "\n")
	}
	return b.String()
}

// start runs the gateway and lets the portal's webhook point to it.
func (w *world) start() {
	w.t.Helper()
	w.run()
	w.addWebhook()
}

func (w *world) addWebhook() int {
	return w.portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "http://" + w.gateway.Addr() + "/webhook", Secret: secret,
		Triggers: []string{"*"}, Owner: w.owner, Enabled: true,
	})
}

// run runs the gateway in this process.
func (w *world) run() {
	w.t.Helper()
	gateway, err := app.New(w.t.Context(), w.options)
	if err != nil {
		w.t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	w.gateway = gateway
	w.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return fmt.Errorf("the gateway did not stop within %s", patience)
		}
	})
}

// restart stops the gateway and starts it again on the same database and address.
func (w *world) restart() {
	w.t.Helper()
	w.options.Listen = w.gateway.Addr()
	w.halt()
	w.run()
}

// halt stops the gateway. What it still had to do about what it has stored is done then.
func (w *world) halt() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatalf("stop: %v", err)
	}
	w.stop = nil
}

// eventually waits until a condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			w.t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// titles lists a folder of the portal, sorted.
func (w *world) titles(folder portalsim.ID) []string {
	var out []string
	for _, e := range w.portal.List(folder) {
		out = append(out, e.Title)
	}
	slices.Sort(out)
	return out
}

// wantTitles waits until everything has come to rest and then compares a folder's titles.
func (w *world) wantTitles(folder portalsim.ID, want ...string) {
	w.t.Helper()
	w.rest()
	slices.Sort(want)
	if got := w.titles(folder); !slices.Equal(got, want) {
		w.t.Errorf("folder %s holds %q, want %q", folder, got, want)
	}
}

// rest waits until the portal has delivered everything and the gateway has nothing left to do.
func (w *world) rest() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	// What the gateway does fires webhooks of its own, so that both must be quiet together.
	w.eventually("everything is at rest", func() bool {
		if err := w.portal.WaitDelivered(ctx); err != nil {
			w.t.Fatalf("deliveries: %v", err)
		}
		rows := len(w.portal.DeliveryLog())
		s := w.status()
		return s.Events["pending"] == 0 && s.Transfers["blocked"]+s.Transfers["queued"]+s.Transfers["sending"] == 0 &&
			rows == len(w.portal.DeliveryLog())
	})
}

type status struct {
	Rules struct {
		Rules    int      `json:"rules"`
		LastGood bool     `json:"last_good"`
		Errors   []string `json:"errors"`
	} `json:"rules"`
	Events    map[string]int `json:"events"`
	Transfers map[string]int `json:"transfers"`
}

func (w *world) status() status {
	w.t.Helper()
	var s status
	w.get("/api/v1/status", &s)
	return s
}

type transfer struct {
	EntryID  string `json:"entry_id"`
	Title    string `json:"title"`
	Source   string `json:"source"`
	Rule     string `json:"rule"`
	Action   string `json:"action"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	ResultID string `json:"result_id"`
}

// transfers lists transfers of a state, or all for "".
func (w *world) transfers(state string) []transfer {
	w.t.Helper()
	var list struct {
		Transfers []transfer `json:"transfers"`
	}
	path := "/api/v1/transfers?limit=1000"
	if state != "" {
		path += "&state=" + url.QueryEscape(state)
	}
	w.get(path, &list)
	for _, t := range list.Transfers {
		if t.Source == "" {
			w.t.Errorf("the transfer of %q does not say where it comes from: %+v", t.Title, t)
		}
	}
	return list.Transfers
}

type storedEvent struct {
	EntryID string `json:"entry_id"`
	Trigger string `json:"trigger"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

func (w *world) events(state string) []storedEvent {
	w.t.Helper()
	var list struct {
		Events []storedEvent `json:"events"`
	}
	w.get("/api/v1/events?limit=1000&state="+url.QueryEscape(state), &list)
	return list.Events
}

func (w *world) get(path string, into any) {
	w.t.Helper()
	resp, err := http.Get("http://" + w.gateway.AdminAddr() + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %s %s %v", path, resp.Status, raw, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		w.t.Fatalf("GET %s: %v", path, err)
	}
}

// deliver posts a body as DocSpace would.
func (w *world) deliver(body []byte, signature string) (code int, answer string) {
	w.t.Helper()
	return w.deliverTo("", body, signature)
}

// deliverTo posts a body to a portal's address; "" is the only portal's.
func (w *world) deliverTo(portal string, body []byte, signature string) (code int, answer string) {
	w.t.Helper()
	address := strings.TrimSuffix("http://"+w.gateway.Addr()+"/webhook/"+portal, "/")
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set(event.SignatureHeader, signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(raw))
}

// writes is how many fileops calls the portal took.
func (w *world) writes() int {
	return len(w.portal.Calls().Batches)
}

// logBuffer collects a log for the moment a test fails.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
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
