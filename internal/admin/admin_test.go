package admin

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/rules"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// listener is an admin listener over a database of its own, whose clock stands still.
type listener struct {
	t       *testing.T
	url     string
	client  *http.Client
	store   *store.Store
	options Options
	names   *names.Book
}

// lookUp has all names of rooms looked up.
func (l *listener) lookUp() {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.names.Run(ctx) }()
	for {
		f, err := l.names.Find(ctx, "", "x")
		if err != nil {
			l.t.Fatal(err)
		}
		if f.Waiting == 0 {
			break
		}
		runtime.Gosched()
	}
	stop()
	if err := <-ended; err != nil {
		l.t.Fatal(err)
	}
}

func serve(t *testing.T, change ...func(*Options)) *listener {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{
		URL: "sqlite://" + filepath.Join(t.TempDir(), "router.db"),
		Now: func() time.Time { return start },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "docspace_router_test_total", Help: "A test."})
	registry.MustRegister(counter)
	o := Options{
		Store:  s,
		Reload: func(context.Context) error { return nil },
		Rules:  func() RulesStatus { return RulesStatus{Path: "rules.yaml", Hash: "abc", LoadedAt: start, Rules: 3} },
		Ready:  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "database: ok\n") },
		Explain: func(_ context.Context, portal string, ev event.Event) (explain.Explanation, error) {
			return explain.Explanation{Portal: portal, EntryID: string(ev.Entry.ID), Rules: []explain.Verdict{}}, nil
		},
		Gatherer: registry,
		RuleList: func() []Rule {
			return []Rule{{Name: "copies", Number: 1, Enabled: true, Action: event.Copy, Sources: []string{"11"}, Destinations: []string{"20"}}}
		},
		Portals: func(context.Context) ([]PortalStatus, error) {
			return []PortalStatus{{Name: "acme", URL: "https://acme.example.com", State: PortalUp}}, nil
		},
		PortalURL: func(string) string { return "https://acme.example.com" },
		Logger:    slog.New(slog.DiscardHandler),
		Version:   "v1.2.3",
	}
	inUse, errs := rules.Compile([]rules.Spec{{
		Name: "copies", Portals: []string{"acme"}, Triggers: []string{"file.uploaded"}, Action: event.Copy, Conflict: event.Duplicate,
		Routes: []rules.Route{{Source: "10", SourceKind: rules.RoomSource, Destination: "20"}},
	}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	book := names.New(names.Options{
		Title: func(_ context.Context, _ string, id event.ID) (string, error) {
			return map[event.ID]string{"10": "Client A", "20": "Legal"}[id], nil
		},
		Rules: func() *rules.Table { return inUse }, Sources: s.Sources,
	})
	o.Rooms, o.Name = book.Find, book.Of
	o.Actions, err = steer.New(steer.Options{
		Store:   s,
		Wake:    func(context.Context, []string) error { return nil },
		Enqueue: func(context.Context, *sql.Tx, string, []int64) error { return nil },
		Known:   func(_ store.PauseScope, name string) bool { return name == "copies" || name == "acme" },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &listener{t: t, url: server.URL, client: server.Client(), store: s, options: o, names: book}
}

type page struct {
	Code int
	Type string
	Text string
}

func (l *listener) do(method, path string, header ...string) page {
	l.t.Helper()
	return l.send(method, path, "", header...)
}

func (l *listener) send(method, path, body string, header ...string) page {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := l.client.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return page{response.StatusCode, kind, string(raw)}
}

// get reads a JSON answer without the reference to its schema.
func (l *listener) get(path string) map[string]any {
	l.t.Helper()
	p := l.do(http.MethodGet, path)
	if p.Code != http.StatusOK || p.Type != "application/json" {
		l.t.Fatalf("GET %s: %+v", path, p)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(p.Text), &out); err != nil {
		l.t.Fatal(err)
	}
	delete(out, "$schema")
	return out
}

// fill stores five events, each a second after the one before: 1 and 2 are routed by the rule
// "copies", 3 by "moves", 4 is of another portal and ignored, 5 is pending. The transfer of 1
// is done.
func (l *listener) fill() {
	l.t.Helper()
	ctx := l.t.Context()
	err := l.store.InTx(ctx, func(tx *sql.Tx) error {
		var events []store.NewEvent
		for i := 1; i <= 5; i++ {
			portal := "acme"
			if i == 4 {
				portal = "beta"
			}
			at := start.Add(time.Duration(i) * time.Second)
			events = append(events, store.NewEvent{
				Portal: portal, ReceivedAt: at, Body: []byte("{}"),
				Event: event.Event{ID: fmt.Sprint(i), WebhookID: "12", Trigger: "file.uploaded", CreatedOn: at,
					Entry: event.Entry{Kind: event.File, ID: event.ID(fmt.Sprint(100 + i)), Title: fmt.Sprintf("%d.pdf", i)}},
			})
		}
		ids, err := l.store.InsertEvents(ctx, tx, events)
		if err != nil {
			return err
		}
		transfer := func(i int, rule string, action event.Action) []store.NewTransfer {
			e := events[i-1]
			return []store.NewTransfer{{
				Portal: e.Portal, Rule: rule, Action: action, Conflict: event.Duplicate, Entry: e.Event.Entry,
				Source: "10", Destination: "20", Trigger: e.Event.Trigger, HappenedAt: e.HappenedAt(),
			}}
		}
		_, err = l.store.SaveDecisions(ctx, tx, []store.Decision{
			{EventID: ids[0], State: event.EventRouted, Transfers: transfer(1, "copies", event.Copy)},
			{EventID: ids[1], State: event.EventRouted, Transfers: transfer(2, "copies", event.Copy)},
			{EventID: ids[2], State: event.EventRouted, Transfers: transfer(3, "moves", event.Move)},
			{EventID: ids[3], State: event.EventIgnored, Reason: "no rule matched"},
		})
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	op, _, err := l.store.Claim(ctx, "acme|copy|file|duplicate|20", store.ClaimOptions{Limit: 1, Fit: func(store.Transfer) bool { return true }})
	if err != nil || op == nil {
		l.t.Fatalf("claim: %+v, %v", op, err)
	}
	if _, err := l.store.SettleOperation(ctx, op, []store.Outcome{{
		TransferID: op.Transfers[0].ID, State: event.Done, Attempted: true, ResultID: "900", ResultTitle: "1 (1).pdf",
	}}, ""); err != nil {
		l.t.Fatal(err)
	}
}

func TestNewAsksForWhatItNeeds(t *testing.T) {
	t.Parallel()
	full := serve(t).options
	for name, change := range map[string]func(*Options){
		"Store":     func(o *Options) { o.Store = nil },
		"Logger":    func(o *Options) { o.Logger = nil },
		"Reload":    func(o *Options) { o.Reload = nil },
		"Rules":     func(o *Options) { o.Rules = nil },
		"Ready":     func(o *Options) { o.Ready = nil },
		"Explain":   func(o *Options) { o.Explain = nil },
		"Gatherer":  func(o *Options) { o.Gatherer = nil },
		"Actions":   func(o *Options) { o.Actions = nil },
		"RuleList":  func(o *Options) { o.RuleList = nil },
		"Portals":   func(o *Options) { o.Portals = nil },
		"PortalURL": func(o *Options) { o.PortalURL = nil },
		"Rooms":     func(o *Options) { o.Rooms = nil },
		"Name":      func(o *Options) { o.Name = nil },
	} {
		o := full
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	rules := map[string]any{"path": "rules.yaml", "hash": "abc", "loaded_at": "2026-03-02T09:00:00Z", "rules": 3.0, "last_good": false}
	events := map[string]any{"pending": 0.0, "routed": 0.0, "ignored": 0.0, "failed": 0.0}
	transfers := map[string]any{"blocked": 0.0, "queued": 0.0, "sending": 0.0, "done": 0.0, "skipped": 0.0, "failed": 0.0, "cancelled": 0.0}

	t.Run("of an empty gateway names every state", func(t *testing.T) {
		t.Parallel()
		portals := []any{map[string]any{
			"name": "acme", "url": "https://acme.example.com", "state": "up", "waiting": 0.0,
			"budget": map[string]any{"writes_per_day": 0.0, "used_today": 0.0, "tokens_left": 0.0},
		}}
		want := map[string]any{
			"version": "v1.2.3", "rules": rules, "events": events, "transfers": transfers, "portals": portals, "pauses": []any{},
		}
		if diff := cmp.Diff(want, serve(t).get("/api/v1/status")); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
	t.Run("counts what is stored", func(t *testing.T) {
		t.Parallel()
		l := serve(t)
		l.fill()
		got := l.get("/api/v1/status")
		if diff := cmp.Diff(map[string]any{"pending": 1.0, "routed": 3.0, "ignored": 1.0, "failed": 0.0}, got["events"]); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]any{"blocked": 0.0, "queued": 2.0, "sending": 0.0, "done": 1.0, "skipped": 0.0, "failed": 0.0, "cancelled": 0.0}, got["transfers"]); diff != "" {
			t.Errorf("transfers (-want +got):\n%s", diff)
		}
		if got["oldest_queued"] != "2026-03-02T09:00:00Z" {
			t.Errorf("oldest_queued is %v", got["oldest_queued"])
		}
	})
	t.Run("tells what is wrong with the rules file", func(t *testing.T) {
		t.Parallel()
		l := serve(t, func(o *Options) {
			o.Rules = func() RulesStatus { return RulesStatus{LastGood: true, Errors: []string{"rules.yaml:1:1: bad"}} }
		})
		got := l.get("/api/v1/status")["rules"].(map[string]any)
		if got["last_good"] != true || !cmp.Equal(got["errors"], []any{"rules.yaml:1:1: bad"}) {
			t.Errorf("rules are %v", got)
		}
	})
}

func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	l := serve(t)
	for path, want := range map[string]map[string]any{
		"/api/v1/events":    {"events": []any{}},
		"/api/v1/transfers": {"transfers": []any{}},
	} {
		if diff := cmp.Diff(want, l.get(path)); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", path, diff)
		}
	}
}

func TestAnEventInTheList(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	want := map[string]any{"events": []any{map[string]any{
		"id": 4.0, "portal": "beta", "webhook_id": "12", "event_id": "4", "trigger": "file.uploaded", "entry_kind": "file",
		"entry_id": "104", "title": "4.pdf", "state": "ignored", "reason": "no rule matched",
		"happened_at": "2026-03-02T09:00:04Z", "received_at": "2026-03-02T09:00:04Z", "routed_at": "2026-03-02T09:00:00Z",
	}}}
	if diff := cmp.Diff(want, l.get("/api/v1/events?portal=beta")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestATransferInTheList(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	want := map[string]any{"transfers": []any{map[string]any{
		"id": 1.0, "event": 1.0, "portal": "acme", "rule": "copies", "action": "copy", "conflict": "duplicate",
		"entry_kind": "file", "entry_id": "101", "title": "1.pdf", "source": "10", "destination": "20", "state": "done", "attempts": 1.0,
		"operation": 1.0, "result_id": "900", "result_title": "1 (1).pdf",
		"created_at": "2026-03-02T09:00:00Z", "queued_at": "2026-03-02T09:00:00Z", "ended_at": "2026-03-02T09:00:00Z",
	}}}
	if diff := cmp.Diff(want, l.get("/api/v1/transfers?state=done")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	l.lookUp()
	row := want["transfers"].([]any)[0].(map[string]any)
	row["source_title"], row["destination_title"] = "Client A", "Legal"
	if diff := cmp.Diff(want, l.get("/api/v1/transfers?state=done")); diff != "" {
		t.Errorf("list with the names of rooms (-want +got):\n%s", diff)
	}
	if story := l.get("/api/v1/transfers/1"); story["source_title"] != "Client A" || story["destination_title"] != "Legal" {
		t.Errorf("the story of the transfer names neither room: %v", story)
	}
}

func TestTransfersAreListedByRoom(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	list := func(query string) (ids, note string, rooms any) {
		t.Helper()
		got := l.get("/api/v1/transfers?" + query)
		for _, tr := range got["transfers"].([]any) {
			ids += fmt.Sprint(tr.(map[string]any)["id"])
		}
		note, _ = got["note"].(string)
		return ids, note, got["rooms"]
	}
	if ids, note, _ := list("room=client"); ids != "" || note != "The names of 2 rooms and folders are still being looked up: there may be more in a moment." {
		t.Errorf("before names are known %q are listed, with the note %q", ids, note)
	}
	retry := func(body string) page {
		return l.send(http.MethodPost, "/api/v1/transfers/cancel", body, "Content-Type", "application/json")
	}
	if p := retry(`{"room": "client"}`); p.Code != http.StatusConflict || !strings.Contains(p.Text, "still being looked up") {
		t.Errorf("before names are known a cancellation says %+v", p)
	}
	l.lookUp()
	clientA := []any{map[string]any{"portal": "acme", "id": "10", "name": "Client A"}}
	for query, want := range map[string]struct {
		ids, note string
		rooms     any
	}{
		"room=client":                     {"321", "", clientA},
		"room=+CLIENT+a+&state=queued":    {"32", "", clientA},
		"room=legal&rule=moves":           {"3", "", []any{map[string]any{"portal": "acme", "id": "20", "name": "Legal"}}},
		"room=10":                         {"321", "", nil},
		"room=10&portal=beta":             {"", `No room or folder that the rules name is called "10" or has this id.`, nil},
		"room=client&portal=acme&limit=2": {"32", "", clientA},
		"room=kitchen":                    {"", `No room or folder that the rules name is called "kitchen" or has this id.`, nil},
		"room=":                           {"321", "", nil},
	} {
		ids, note, rooms := list(query)
		if ids != want.ids || note != want.note || !cmp.Equal(rooms, want.rooms) {
			t.Errorf("%s lists %q of %v, with the note %q, want %+v", query, ids, rooms, note, want)
		}
	}
	for body, want := range map[string]string{
		`{"room": "kitchen", "dry_run": true}`:                   `"matched":0,"acted":0,"note":"No room or folder that the rules name is called`,
		`{"room": "Client A", "dry_run": true}`:                  `"matched":2,"acted":0,"rooms":[{"portal":"acme","id":"10","name":"Client A"}]}`,
		`{"room": "Client A", "rule": "moves", "dry_run": true}`: `"matched":1`,
		`{"room": " "}`: "say which transfers",
	} {
		if p := retry(body); !strings.Contains(p.Text, want) {
			t.Errorf("cancel %s: %+v, want %s", body, p, want)
		}
	}
}

func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	at := func(d time.Duration) string { return url.QueryEscape(start.Add(d).Format(time.RFC3339)) }
	tests := []struct{ name, path, want, cursor string }{
		{"all events, newest first", "events", "5 4 3 2 1", ""},
		{"events in a state", "events?state=routed", "3 2 1", ""},
		{"events in a state that none is in", "events?state=failed", "", ""},
		{"events of a portal", "events?portal=acme", "5 3 2 1", ""},
		{"events of an unknown portal", "events?portal=nobody", "", ""},
		{"events a rule made transfers of", "events?rule=copies", "2 1", ""},
		{"events since a time", "events?since=" + at(3*time.Second), "5 4 3", ""},
		{"events since a time in another zone", "events?since=" + url.QueryEscape("2026-03-02T12:00:03+03:00"), "5 4 3", ""},
		{"events since the future", "events?since=" + at(time.Hour), "", ""},
		{"several filters", "events?portal=acme&rule=moves&state=routed&since=" + at(time.Second), "3", ""},
		{"the first page", "events?limit=2", "5 4", "4"},
		{"the second page", "events?limit=2&cursor=4", "3 2", "2"},
		{"the last page", "events?limit=2&cursor=2", "1", ""},
		{"pages of a filtered list", "events?limit=2&portal=acme&cursor=5", "3 2", "2"},
		{"all transfers, newest first", "transfers", "3 2 1", ""},
		{"transfers in a state", "transfers?state=queued", "3 2", ""},
		{"transfers in several states", "transfers?state=queued,done", "3 2 1", ""},
		{"a page of several states", "transfers?state=queued,done&limit=2", "3 2", "2"},
		{"transfers with a title", "transfers?q=2.PDF", "2", ""},
		{"events with a title", "events?q=2.p", "2", ""},
		{"events until a time", "events?until=" + at(3*time.Second), "2 1", ""},
		{"transfers of a rule", "transfers?rule=copies", "2 1", ""},
		{"transfers of a portal", "transfers?portal=beta", "", ""},
		{"transfers since a time", "transfers?since=" + at(0), "3 2 1", ""},
		{"transfers since later", "transfers?since=" + at(time.Second), "", ""},
		{"a page of transfers", "transfers?limit=1&cursor=3", "2", "2"},
		{"a full page, and no more", "transfers?limit=1&cursor=2", "1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := l.get("/api/v1/" + tt.path)
			list, _, _ := strings.Cut(tt.path, "?")
			var ids []string
			for _, row := range got[list].([]any) {
				ids = append(ids, fmt.Sprint(row.(map[string]any)["id"]))
			}
			cursor, _ := got["next_cursor"].(string)
			if strings.Join(ids, " ") != tt.want || cursor != tt.cursor {
				t.Errorf("ids %v and cursor %q, want %q and %q", ids, cursor, tt.want, tt.cursor)
			}
		})
	}
}

func TestBadParametersAreProblems(t *testing.T) {
	t.Parallel()
	l := serve(t)
	for _, query := range []string{
		"events?limit=0", "events?limit=1001", "events?limit=many", "events?limit=-1",
		"events?cursor=x", "events?cursor=0", "events?cursor=-5", "events?cursor=99999999999999999999",
		"events?state=queued", "events?state=Routed", "events?since=yesterday", "events?since=2026-03-02",
		"events?State=routed", "events?operation=1", "transfers?Limit=5",
		"transfers?state=pending", "transfers?limit=0", "transfers?cursor=1.5",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			p := l.do(http.MethodGet, "/api/v1/"+query)
			var problem struct {
				Status int    `json:"status"`
				Title  string `json:"title"`
				Detail string `json:"detail"`
			}
			if err := json.Unmarshal([]byte(p.Text), &problem); err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
			if p.Code != http.StatusUnprocessableEntity || p.Type != "application/problem+json" ||
				problem.Status != p.Code || problem.Title == "" || problem.Detail == "" {
				t.Errorf("answer %+v", p)
			}
		})
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	t.Parallel()
	l := serve(t)
	type detail struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	}
	const known = "want one of cursor, limit, portal, q, room, rule, since, state, until"
	for query, want := range map[string][]detail{
		"transfers?State=done&portl=acme": {
			{"query.State", `unknown parameter "State": ` + known}, {"query.portl", `unknown parameter "portl": ` + known},
		},
		"events?since=2026-01-01": {
			{"query.since", "invalid value: want a time as RFC 3339 writes it, such as 2026-01-01T00:00:00Z"},
		},
	} {
		p := l.do(http.MethodGet, "/api/v1/"+query)
		var problem struct {
			Errors []detail `json:"errors"`
		}
		if err := json.Unmarshal([]byte(p.Text), &problem); err != nil {
			t.Fatalf("%s: %+v: %v", query, p, err)
		}
		if diff := cmp.Diff(want, problem.Errors); p.Code != http.StatusUnprocessableEntity || diff != "" {
			t.Errorf("%s: status %d (-want +got):\n%s", query, p.Code, diff)
		}
	}
}

func TestTheAPIDescribesItself(t *testing.T) {
	t.Parallel()
	l := serve(t, func(o *Options) { o.Backfill = struct{ Backfills }{} })
	doc := l.do(http.MethodGet, "/api/v1/openapi.json")
	if doc.Code != http.StatusOK || doc.Type != "application/openapi+json" {
		t.Fatalf("answer %d %s", doc.Code, doc.Type)
	}
	var openAPI struct {
		OpenAPI string                    `json:"openapi"`
		Info    struct{ Version string }  `json:"info"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(doc.Text), &openAPI); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(openAPI.OpenAPI, "3.") || openAPI.Info.Version != "v1.2.3" {
		t.Errorf("OpenAPI %s of version %s", openAPI.OpenAPI, openAPI.Info.Version)
	}
	for path, methods := range openAPI.Paths {
		for method, operation := range methods {
			// What has no summary gets one made of its path.
			if text := operation.(map[string]any)["summary"].(string); strings.Contains(strings.ToLower(text), "api v1") {
				t.Errorf("%s %s is described as %q", method, path, text)
			}
		}
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/events", "/api/v1/transfers"} {
		if openAPI.Paths[path]["get"] == nil {
			t.Errorf("%s is not described", path)
		}
		if p := l.do(http.MethodGet, path); p.Code != http.StatusOK {
			t.Errorf("%s is answered %d", path, p.Code)
		}
	}
	// Every answer names its schema, which can be fetched.
	var out map[string]any
	if err := json.Unmarshal([]byte(l.do(http.MethodGet, "/api/v1/events").Text), &out); err != nil {
		t.Fatal(err)
	}
	schema, err := url.Parse(out["$schema"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if p := l.do(http.MethodGet, schema.Path); p.Code != http.StatusOK {
		t.Errorf("the schema at %s is answered %d", schema.Path, p.Code)
	}
}

func TestTheTokenGuardsEverything(t *testing.T) {
	t.Parallel()
	const token = "canary-token"
	l := serve(t, func(o *Options) { o.Token = token })
	paths := []string{"/api/v1/status", "/api/v1/events", "/api/v1/openapi.json", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/nothing"}
	tests := []struct {
		name, authorization string
		right               bool
	}{
		{"missing", "", false},
		{"empty", "Bearer ", false},
		{"wrong", "Bearer canary-tokem", false},
		{"a prefix of it", "Bearer canary", false},
		{"more than it", "Bearer canary-token2", false},
		{"without scheme", token, false},
		{"another scheme", "Basic " + token, false},
		{"right", "Bearer " + token, true},
		{"right, with the scheme in another case", "bearer " + token, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, path := range paths {
				p := l.do(http.MethodGet, path, "Authorization", tt.authorization)
				if refused := p.Code == http.StatusUnauthorized; refused == tt.right {
					t.Errorf("GET %s is answered %d", path, p.Code)
				}
				if strings.Contains(p.Text, token) {
					t.Errorf("GET %s shows the token", path)
				}
			}
			if p := l.do(http.MethodPost, "/-/reload", "Authorization", tt.authorization); (p.Code == http.StatusOK) != tt.right {
				t.Errorf("POST /-/reload is answered %d", p.Code)
			}
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	t.Run("that works", func(t *testing.T) {
		t.Parallel()
		reloads := 0
		l := serve(t, func(o *Options) { o.Reload = func(context.Context) error { reloads++; return nil } })
		want := page{http.StatusOK, "text/plain", "reloaded\n"}
		if got := l.do(http.MethodPost, "/-/reload"); got != want || reloads != 1 {
			t.Errorf("answer %+v after %d reloads, want %+v", got, reloads, want)
		}
	})
	t.Run("that fails tells every problem", func(t *testing.T) {
		t.Parallel()
		l := serve(t, func(o *Options) {
			o.Reload = func(context.Context) error {
				return errors.Join(errors.New("rules.yaml:1:1: one"), errors.New("rules.yaml:2:1: <two>"))
			}
		})
		want := page{http.StatusUnprocessableEntity, "text/plain", "rules.yaml:1:1: one\nrules.yaml:2:1: <two>\n"}
		if got := l.do(http.MethodPost, "/-/reload"); got != want {
			t.Errorf("answer %+v, want %+v", got, want)
		}
	})
	t.Run("needs a POST", func(t *testing.T) {
		t.Parallel()
		l := serve(t, func(o *Options) {
			o.Reload = func(context.Context) error { t.Error("reloaded"); return nil }
		})
		if got := l.do(http.MethodGet, "/-/reload"); got.Code != http.StatusMethodNotAllowed {
			t.Errorf("answer %+v", got)
		}
	})
}

func TestAnotherSitesPageCannotAct(t *testing.T) {
	t.Parallel()
	reloads := 0
	l := serve(t, func(o *Options) { o.Reload = func(context.Context) error { reloads++; return nil } })
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example.com"},
		{"Origin", "null"},
	} {
		if p := l.do(http.MethodPost, "/-/reload", header...); p.Code != http.StatusForbidden {
			t.Errorf("%v is answered %d", header, p.Code)
		}
	}
	if reloads > 0 {
		t.Errorf("%d reloads by other sites", reloads)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", l.url}, nil} {
		if p := l.do(http.MethodPost, "/-/reload", header...); p.Code != http.StatusOK {
			t.Errorf("%v is answered %d", header, p.Code)
		}
	}
	if p := l.do(http.MethodGet, "/api/v1/status", "Sec-Fetch-Site", "cross-site"); p.Code != http.StatusOK {
		t.Errorf("a link from another site is answered %d", p.Code)
	}
}

func TestMetricsAndProfiles(t *testing.T) {
	t.Parallel()
	l := serve(t)
	for path, part := range map[string]string{
		"/metrics":                       "docspace_router_test_total 0",
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/heap?debug=1":      "heap profile",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
		"/debug/pprof/cmdline":           "admin.test",
		"/debug/pprof/symbol":            "num_symbols",
	} {
		if p := l.do(http.MethodGet, path); p.Code != http.StatusOK || !strings.Contains(p.Text, part) {
			t.Errorf("GET %s: %d, without %q", path, p.Code, part)
		}
	}
	if p := l.do(http.MethodPost, "/metrics"); p.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics is answered %d", p.Code)
	}
	if p := l.do(http.MethodGet, "/nothing"); p.Code != http.StatusNotFound {
		t.Errorf("GET /nothing is answered %d", p.Code)
	}
}

func TestADatabaseThatDoesNotAnswerIsAnError(t *testing.T) {
	t.Parallel()
	l := serve(t)
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/events", "/api/v1/transfers"} {
		if p := l.do(http.MethodGet, path); p.Code != http.StatusInternalServerError || p.Type != "application/problem+json" {
			t.Errorf("GET %s: %+v", path, p)
		}
	}
}
