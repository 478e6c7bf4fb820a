package ui

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/config"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/rules"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// BenchmarkPages asks for each page from a database with a million transfers, the last of which ended
// just now, and reports the 95th percentile of each in milliseconds. What is cached for a moment is
// asked for anew every nineteenth time, so that it counts. The first look at the overview, which counts
// the whole hour, shows in the longest time.
func BenchmarkPages(b *testing.B) {
	const transfers = 1_000_000
	u := newUI(b, transfers)
	r := mux.NewRouter()
	u.Register(r)
	for _, page := range []struct{ name, path string }{
		{"overview", "/"}, {"transfers", "/transfers"}, {"failed", "/transfers?state=failed"}, {"rule", "/transfers?rule=rule-3"},
		{"room", "/transfers?room=7"}, {"search", "/transfers?q=no+such+file"}, {"further", "/transfers?before=400000"},
		{"transfer", "/transfers/500000"}, {"events", "/events"}, {"event", "/events/500000"}, {"rules", "/rules"}, {"rules-file", "/rules-file"},
	} {
		b.Run(page.name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				if i%19 == 0 { // more than one in twenty
					u.counts.until, u.flow.until, u.pulse.until = time.Time{}, time.Time{}, time.Time{}
				}
				w := httptest.NewRecorder()
				began := time.Now()
				r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, page.path, http.NoBody))
				took = append(took, time.Since(began))
				if w.Code != http.StatusOK {
					b.Fatalf("GET %s: %d", page.path, w.Code)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// newUI is the pages over a database that holds n transfers of the last hours.
func newUI(b testing.TB, n int) *UI {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{URL: "sqlite://" + filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	at := fmt.Sprintf("%d - ($1 - i) * 20", time.Now().UnixMilli())
	const series = `WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1) `
	for _, text := range []string{
		`INSERT INTO events (portal, webhook_id, event_id, "trigger", entry_kind, entry_id, entry_title, search, created_on, happened_at, received_at,
			state, routed_at, body) ` + series + `SELECT 'default', '12', i, 'file.uploaded', 'file', i, 'Invoice ' || i || '.pdf', 'invoice ' || i || '.pdf', ` +
			at + `, ` + at + `, ` + at + `, 'routed', ` + at + `, '{"event":{"id":' || i || '}}' FROM s`,
		`INSERT INTO transfers (event_id, portal, rule, "action", conflict, entry_kind, entry_id, entry_title, search, source, destination, base, lane, happening,
			happened_at, state, attempts, created_at, queued_at, ended_at) ` + series + `SELECT i, 'default', 'rule-' || i % 40, 'copy', 'duplicate', 'file', i,
			'Invoice ' || i || '.pdf', 'invoice ' || i || '.pdf', 1001 + i % 40, i % 50, i % 50, 'lane ' || i % 50, 'file.arrived', ` + at + `,
			CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'done' END, 1, ` + at + `, ` + at + `, ` + at + ` FROM s`,
	} {
		if _, err := s.DB().ExecContext(b.Context(), text, n); err != nil {
			b.Fatal(err)
		}
	}
	var text strings.Builder
	text.WriteString("version: 1\nrules:\n")
	for i := range 40 {
		fmt.Fprintf(&text, "  - name: rule-%d\n    triggers: [file.uploaded]\n    source: {room: %d}\n    action: copy\n    destination: {folder: %d}\n", i, 1001+i, 1+i)
	}
	c, err := config.Parse("rules.yaml", []byte(text.String()), config.Options{WithoutSecrets: true})
	if err != nil {
		b.Fatal(err)
	}
	actions, err := steer.New(steer.Options{
		Store: s, Logger: slog.New(slog.DiscardHandler),
		Wake:    func(context.Context, []string) error { return nil },
		Enqueue: func(context.Context, *sql.Tx, string, []int64) error { return nil },
		Known:   func(store.PauseScope, string) bool { return true },
	})
	if err != nil {
		b.Fatal(err)
	}
	none := func(context.Context, string, event.Event) (explain.Explanation, error) {
		return explain.Explanation{}, nil
	}
	u, err := New(Options{
		Store: s, Actions: actions, Explain: none, Reload: func(context.Context) error { return nil },
		Rules: func() Rules { return Rules{Path: "rules.yaml", Table: c.Rules} },
		Portals: func() []Portal {
			return []Portal{{Name: "default", URL: "https://default.example.com", WritesPerDay: 10_000}}
		},
		Try:  func(context.Context, Trial) (explain.Explanation, error) { return explain.Explanation{}, nil },
		Link: func(string, event.Kind, event.ID) string { return "" },
		Names: names.New(names.Options{
			Title: func(context.Context, string, event.ID) (string, error) { return "", nil },
			Rules: func() *rules.Table { return c.Rules }, Sources: s.Sources,
		}),
	})
	if err != nil {
		b.Fatal(err)
	}
	return u
}
