package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "Canary-Secret-1"

// upload is a delivery of portal acme about one file.
func upload(id string) string {
	return `{"event":{"id":` + id + `,"createOn":"2026-03-02T09:14:07Z","trigger":"file.uploaded"},"payload":{"id":90412,"parentId":7310,"title":"canary-title.pdf"},"webhook":{"id":12}}`
}

// heldStore is a real database whose commits can be counted, held and made to fail.
type heldStore struct {
	*store.Store
	transactions atomic.Int32
	failing      atomic.Bool

	mu      sync.Mutex
	holding chan struct{} // closed to let held commits go; nil: none is held
	held    chan struct{} // receives when a transaction has done everything but commit
}

var errStore = errors.New("the disk is full")

func (s *heldStore) InTx(ctx context.Context, f func(*sql.Tx) error) error {
	s.transactions.Add(1)
	return s.Store.InTx(ctx, func(tx *sql.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if s.failing.Load() {
			return errStore
		}
		s.mu.Lock()
		holding := s.holding
		s.mu.Unlock()
		if holding != nil {
			s.held <- struct{}{}
			<-holding
		}
		return nil
	})
}

// hold keeps every transaction from committing until release is called.
func (s *heldStore) hold() (release func()) {
	holding := make(chan struct{})
	s.mu.Lock()
	s.holding = holding
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.holding = nil
		s.mu.Unlock()
		close(holding)
	})
}

// endpoint is the whole endpoint on a listener of its own.
type endpoint struct {
	t        *testing.T
	store    *heldStore
	handler  *Handler
	server   *httptest.Server
	registry *prometheus.Registry
	logs     *lockedBuffer
	portals  atomic.Pointer[map[string]Portal]
	enqueued struct {
		sync.Mutex
		groups [][]int64
		of     []string // the portal of each
		err    error
	}
	stop func() // ends Run and waits for it
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T) *endpoint {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "router.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	e := &endpoint{
		t: t, store: &heldStore{Store: s, held: make(chan struct{})},
		registry: prometheus.NewRegistry(), logs: &lockedBuffer{},
	}
	e.portals.Store(&map[string]Portal{
		"acme": {Name: "acme", Secrets: []string{secret}},
		"open": {Name: "open"},
	})
	e.handler, err = New(Options{
		Store:   e.store,
		Enqueue: e.enqueue,
		Portals: func(name string) (Portal, bool) {
			all := *e.portals.Load()
			if name == "" && len(all) == 1 {
				for _, p := range all {
					return p, true
				}
			}
			p, ok := all[name]
			return p, ok
		},
		Logger:     slog.New(slog.NewTextHandler(e.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: e.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.handler.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r := mux.NewRouter().SkipClean(true)
	e.handler.Register(r)
	e.server = httptest.NewServer(r)
	t.Cleanup(func() {
		e.server.Close()
		e.stop()
	})
	return e
}

func (e *endpoint) enqueue(_ context.Context, _ *sql.Tx, portal string, events []int64) error {
	e.enqueued.Lock()
	defer e.enqueued.Unlock()
	if e.enqueued.err == nil {
		e.enqueued.groups = append(e.enqueued.groups, events)
		e.enqueued.of = append(e.enqueued.of, portal)
	}
	return e.enqueued.err
}

// answered is what a sender sees.
type answered struct {
	Code int
	Body reply
}

func (e *endpoint) do(r *http.Request) (answered, error) {
	client := &http.Client{
		Transport:     e.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return answered{}, err
	}
	a := answered{Code: response.StatusCode}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.Body); err != nil {
			return answered{}, err
		}
	}
	return a, nil
}

func (e *endpoint) request(method, path, body string, header ...string) *http.Request {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), method, e.server.URL+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// signed is a delivery to portal acme under its secret.
func (e *endpoint) signed(body string) *http.Request {
	e.t.Helper()
	return e.request(http.MethodPost, "/webhook/acme", body, event.SignatureHeader, event.Sign([]byte(body), secret))
}

func (e *endpoint) send(r *http.Request) answered {
	e.t.Helper()
	a, err := e.do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

// sendAll sends requests at the same time and returns a channel with one answer of each.
func (e *endpoint) sendAll(requests ...*http.Request) <-chan answered {
	answers := make(chan answered, len(requests))
	for _, r := range requests {
		go func() {
			a, err := e.do(r)
			if err != nil {
				a.Body.Error = err.Error()
			}
			answers <- a
		}()
	}
	return answers
}

// events are the portal's ids of all stored events.
func (e *endpoint) events() []string {
	e.t.Helper()
	list, _, err := e.store.Events(e.t.Context(), store.Filter{Limit: 1000})
	if err != nil {
		e.t.Fatal(err)
	}
	ids := []string{}
	for _, ev := range list {
		ids = append(ids, ev.EventID)
	}
	return ids
}

func (e *endpoint) groups() [][]int64 {
	e.enqueued.Lock()
	defer e.enqueued.Unlock()
	return e.enqueued.groups
}

// counters are the values of all counters, by name and labels.
func (e *endpoint) counters() map[string]float64 {
	e.t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetCounter() == nil {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "docspace_router_")
			out[name+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue()
		}
	}
	return out
}
