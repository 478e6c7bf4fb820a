package ui

import (
	"bytes"
	"context"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/goleak"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestADifferenceShowsNoSecret(t *testing.T) {
	t.Parallel()
	file := func(secret, room string) []store.RuleFile {
		return []store.RuleFile{{Name: "rules.yaml", Text: []byte("portals:\n  acme:\n    api_key: " + secret + "\nrules:\n  - source: {room: " + room + "}\n")}}
	}
	diff, unshown, err := difference(file("canary-old", "1"), file("canary-new", "2"))
	if err != nil || unshown || len(diff) != 1 {
		t.Fatalf("difference: %+v, %v, %v", diff, unshown, err)
	}
	var text strings.Builder
	for _, h := range diff[0].Hunks {
		for _, line := range h.Lines {
			text.WriteString(line.Sign + line.Text + "\n")
		}
	}
	if got := text.String(); strings.Contains(got, "canary") || !strings.Contains(got, "−  - source: {room: 1}") || !strings.Contains(got, "+  - source: {room: 2}") {
		t.Errorf("the difference reads:\n%s", got)
	}
}

func TestMinutesThatAreOverAreAskedForOnce(t *testing.T) {
	t.Parallel()
	var f flow
	now := time.Date(2026, 3, 2, 9, 30, 10, 0, time.UTC)
	asked := time.Duration(0)
	ask := func(_ context.Context, from, to time.Time) ([]store.Minute, error) {
		asked = to.Sub(from)
		var out []store.Minute
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			out = append(out, store.Minute{At: at, Accepted: 1})
		}
		return out, nil
	}
	for _, tt := range []struct {
		after, want time.Duration
	}{{0, time.Hour}, {3 * time.Second, 2 * time.Minute}, {time.Minute, 3 * time.Minute}, {2 * time.Hour, time.Hour}} {
		now = now.Add(tt.after)
		minutes, err := f.get(t.Context(), now, ask)
		if err != nil || len(minutes) != flowMinutes {
			t.Fatalf("%d minutes, %v", len(minutes), err)
		}
		if asked != tt.want {
			t.Errorf("after %s, %s were asked for, want %s", tt.after, asked, tt.want)
		}
		if last := minutes[len(minutes)-1].At; !last.Equal(now.Truncate(time.Minute)) {
			t.Errorf("after %s the last minute is %s", tt.after, last)
		}
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	c := newChart([]store.Minute{{Accepted: 3, Done: 2}, {Failed: 7}})
	if want := "In the last hour: 3 events accepted, 0 transfers routed, 2 transfers done, 7 transfers failed."; c.Summary != want {
		t.Errorf("summary %q, want %q", c.Summary, want)
	}
	if len(c.Lines[1].Parts) != 0 || len(c.Lines[3].Parts) != 1 {
		t.Errorf("a line is drawn where all is zero, or is not where it is not: %+v", c.Lines)
	}
	if one := newChart([]store.Minute{{Accepted: 1}, {Failed: 1}}).Lines; one[0].Name != "event accepted" || one[3].Name != "transfer failed" {
		t.Errorf("one of each reads %+v", one)
	}
	zero := store.Minute{}
	if parts := newChart([]store.Minute{{Done: 1}, zero, zero, zero, {Done: 1}, zero}).Lines[2].Parts; len(parts) != 2 || strings.Count(parts[0], ",") != 2 || strings.Count(parts[1], ",") != 3 {
		t.Errorf("two minutes with zeros between are drawn as %q", parts)
	}
	for n, want := range map[int64]int64{0: 2, 1: 2, 3: 4, 7: 10, 11: 20, 5999: 6000} {
		if got := niceAbove(n); got != want {
			t.Errorf("above %d: %d, want %d", n, got, want)
		}
	}
}

// page is the text of a page.
func page(t *testing.T, u *UI, path string, form url.Values) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, routes := httptest.NewRecorder(), mux.NewRouter()
	u.Register(routes)
	routes.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func TestAPortalThatIsDownSaysWhyOnce(t *testing.T) {
	t.Parallel()
	const trouble = "list webhooks: 401"
	portal := Portal{Name: "default", Webhook: Webhook{Watched: true, Summary: trouble, CatchUp: "What was missed cannot be found out: " + trouble}}
	u := newUI(t, 0)
	u.o.Portals = func() []Portal { return []Portal{portal} }
	if text := page(t, u, "/", nil); strings.Count(text, trouble) != 2 {
		t.Errorf("what troubles the webhook and its log is not shown:\n%s", text)
	}
	portal.Health = docspace.Health{Down: true, Refused: true, Reason: "401: the API key is unknown"}
	text := page(t, u, "/", nil)
	if !strings.Contains(text, `<span class="state s-failed">down</span>`) || strings.Count(text, "the API key is unknown") != 1 || strings.Contains(text, trouble) {
		t.Errorf("a portal that is down reads:\n%s", text)
	}
}

func TestAFailedTransferTellsRetryFromReplay(t *testing.T) {
	t.Parallel()
	u := newUI(t, 1000)
	const link = `<a href="/events/1000">replay event 1000</a>`
	if text := page(t, u, "/transfers/1000", nil); !strings.Contains(text, link) {
		t.Errorf("a failed transfer lacks %s:\n%s", link, text)
	}
	if text := page(t, u, "/transfers/999", nil); strings.Contains(text, "replay event") {
		t.Errorf("a transfer that is done offers to replay its event:\n%s", text)
	}
}

func TestAllThatWaitsIsOneChoice(t *testing.T) {
	t.Parallel()
	u := newUI(t, 1)
	if text, want := page(t, u, "/transfers?state=blocked,queued,sending", nil), `<option value="blocked,queued,sending" selected>waiting</option>`; !strings.Contains(text, want) {
		t.Errorf("the list lacks %s:\n%s", want, text)
	}
}

func TestTheChartSaysWhoseTimeItIs(t *testing.T) {
	t.Parallel()
	if text := page(t, newUI(t, 0), "/", nil); !strings.Contains(text, ">UTC</text>") {
		t.Errorf("the chart does not say UTC:\n%s", text)
	}
}

// An event that a link leads to is older than those the playground lists by itself.
func TestThePlaygroundNamesTheEventItWasOpenedWith(t *testing.T) {
	t.Parallel()
	u := newUI(t, 100)
	const want = `<option value="7" selected>7 · file.uploaded · Invoice 7.pdf</option>`
	if text := page(t, u, "/playground?event=7", nil); !strings.Contains(text, want) {
		t.Errorf("opened by a link, it lacks %s:\n%s", want, text)
	}
	body := `{"edited": true}`
	text := page(t, u, "/playground", url.Values{"event": {"7"}, "event_shown": {"7"}, "body": {body}})
	if !strings.Contains(text, want) || !strings.Contains(text, html.EscapeString(body)) {
		t.Errorf("with another body, it lacks that or %s:\n%s", want, text)
	}
	if text := page(t, u, "/playground", url.Values{"event": {"777"}, "event_shown": {"777"}, "body": {body}}); !strings.Contains(text, "<option selected>777</option>") {
		t.Errorf("once the event is removed:\n%s", text)
	}
}

func TestAnErrorNamesTheVersionThatStays(t *testing.T) {
	t.Parallel()
	u := newUI(t, 0)
	rules := u.o.Rules()
	rules.Status.LoadedAt, rules.Status.LastError = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC), errors.New("rules.yaml:1:1: wrong")
	u.o.Rules = func() Rules { return rules }
	want := regexp.MustCompile(`The version loaded <time datetime="2026-03-02T09:30:00Z"[^>]*>[^<]+</time> stays in use\.`)
	if text := page(t, u, "/rules-file", nil); !want.MatchString(text) {
		t.Errorf("the page lacks %s:\n%s", want, text)
	}
}

// TestAPageThatIsNotServedNamesItself tells pages apart in the log by what they are, not by their ids.
func TestAPageThatIsNotServedNamesItself(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	u, err := New(Options{
		Store: &store.Store{}, Actions: &steer.Actions{}, Names: &names.Book{}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Rules: func() Rules { return Rules{} }, Portals: func() []Portal { return nil }, Reload: func(context.Context) error { return nil },
		Explain: func(context.Context, string, event.Event) (explain.Explanation, error) {
			return explain.Explanation{}, nil
		},
		Try:  func(context.Context, Trial) (explain.Explanation, error) { return explain.Explanation{}, nil },
		Link: func(string, event.Kind, event.ID) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := u.handler("/tasks/{id:[0-9]+}", func(http.ResponseWriter, *http.Request) error { return io.ErrUnexpectedEOF })
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ui/tasks/7", nil))
	if got := log.String(); w.Code != http.StatusInternalServerError || strings.Count(got, "component=ui") != 1 ||
		!strings.Contains(got, `page=/tasks/{id:[0-9]+} path=/ui/tasks/7`) {
		t.Errorf("answered %d, logged %s", w.Code, got)
	}
}
