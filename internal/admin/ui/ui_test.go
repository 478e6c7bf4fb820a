package ui

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/admin/names"
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
