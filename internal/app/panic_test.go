package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/portalsim"
)

// mistakes panic where the gateway calls what it was given: when a span of a name is begun or a
// message is logged, once each.
type mistakes struct {
	mu   sync.Mutex // guards left
	left map[string]bool
}

func newMistakes(at ...string) *mistakes {
	m := &mistakes{left: map[string]bool{}}
	for _, name := range at {
		m.left[name] = true
	}
	return m
}

func (m *mistakes) meet(name string) {
	m.mu.Lock()
	due := m.left[name]
	delete(m.left, name)
	m.mu.Unlock()
	if due {
		panic("a mistake at " + name)
	}
}

// tracers is a provider whose tracers panic.
type tracers struct {
	trace.TracerProvider
	*mistakes
}

func (p tracers) Tracer(name string, o ...trace.TracerOption) trace.Tracer {
	return tracer{Tracer: p.TracerProvider.Tracer(name, o...), mistakes: p.mistakes}
}

type tracer struct {
	trace.Tracer
	*mistakes
}

func (t tracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.meet(name)
	return t.Tracer.Start(ctx, name, o...)
}

// handler is a log that panics.
type handler struct {
	slog.Handler
	*mistakes
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	h.meet(r.Message)
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.mistakes}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.mistakes}
}

// TestAPanicStopsNothingAndTellsNoSecret has a panic happen in each kind of goroutine that works for
// somebody: in the handler of a delivery, the commit of a group, the decision on an event, a lane's
// job, the admin API, a page, the watch over the webhook and the loop that loads the rules. Each is
// told of in the log, without a secret; the process goes on, and what was asked for is done in the end.
func TestAPanicStopsNothingAndTellsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.watches(false)
	w.options.AdminToken = "Admin-Token-2026"
	m := newMistakes("POST /webhook/{portal}", "group commit", "route event", "operation",
		"paused", "resumed", "webhook needs attention", "configuration refused")
	w.options.Tracing = tracers{sdktrace.NewTracerProvider(), m}
	w.options.Logger = slog.New(handler{w.options.Logger.Handler(), m})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	// A second webhook of another account is the gateway's as well, and not as it should be.
	w.addWebhook()
	told := func(where string) {
		t.Helper()
		w.eventually("the log tells of the panic at "+where, func() bool { return strings.Contains(w.logs.String(), "a mistake at "+where) })
	}
	w.portal.Upload(w.room, "copied all the same.pdf", 1, w.client)
	for _, where := range []string{"POST /webhook/{portal}", "group commit", "route event", "operation"} {
		told(where)
	}
	told("webhook needs attention")

	ask := func(path, kind, body string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.gateway.AdminAddr()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", "Bearer "+w.options.AdminToken)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	if err := ask("/api/v1/pauses", "application/json", `{"scope":"rule","name":"uploads","until":"`+until+`","reason":"a test"}`); err == nil {
		t.Error("the admin API answered, although its handler panicked")
	}
	told("paused")
	form := url.Values{"scope": {"rule"}, "name": {"uploads"}}
	if err := ask("/resume", "application/x-www-form-urlencoded", form.Encode()); err == nil {
		t.Error("the page answered, although its handler panicked")
	}
	told("resumed")
	w.replaceRules("version: 1\nrules: nonsense\n")
	told("configuration refused")
	w.writeRules(rule("uploads", w.room, w.dest))

	w.portal.Upload(w.room, "and the next one.pdf", 1, w.client)
	w.eventually("both files are copied", func() bool { return len(w.titles(w.dest)) >= 2 })
	if got, want := w.titles(w.dest), []string{"and the next one.pdf", "copied all the same.pdf"}; !slices.Equal(got, want) {
		t.Errorf("the destination holds %q, want %q", got, want)
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	w.stop = nil
	for name := range m.left {
		t.Errorf("nothing panicked at %q", name)
	}
	for _, hidden := range []string{w.env["DOCSPACE_API_KEY"], secret, w.options.AdminToken} {
		if strings.Contains(w.logs.String(), hidden) {
			t.Errorf("the log shows the secret %s", hidden)
		}
	}
}
