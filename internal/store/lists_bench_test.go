package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// stored is how many transfers the lists are read from.
const stored = 1_000_000

// fillMany stores transfers of the past month as they come to lie in a database: of three portals, of
// forty rules of very different use, nearly all done. The database writes them by itself.
func (h *harness) fillMany(n int) {
	h.t.Helper()
	series := `WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1)`
	if h.kind == PostgreSQL {
		series = `WITH s(i) AS (SELECT generate_series(1, $1::bigint))`
	}
	const portal = `CASE WHEN i % 10 < 7 THEN 'acme' WHEN i % 10 < 9 THEN 'beta' ELSE 'gamma' END`
	const state = `CASE WHEN i % 1000 = 0 THEN 'failed' WHEN i % 5000 = 1 THEN 'cancelled' WHEN i % 100 = 3 THEN 'skipped'
		WHEN i > $1 - 2000 THEN 'queued' ELSE 'done' END`
	const rule = `'rule-' || CASE WHEN i % 2 = 0 THEN 0 WHEN i % 4 = 1 THEN 1 ELSE i % 40 END`
	const source = `CASE WHEN i < 100 THEN 'early' ELSE 'client-' || i % 400 END`
	const title = `CASE i % 4 WHEN 0 THEN 'Invoice ' WHEN 1 THEN 'Договор ' WHEN 2 THEN 'Contract ' ELSE 'Scan ' END || i || '.pdf'`
	const folded = `CASE i % 4 WHEN 0 THEN 'invoice ' WHEN 1 THEN 'договор ' WHEN 2 THEN 'contract ' ELSE 'scan ' END || i || '.pdf'`
	at := fmt.Sprintf(`%d + i * 2000`, millis(start))
	for _, text := range []string{
		`INSERT INTO events (portal, webhook_id, event_id, "trigger", entry_kind, entry_id, entry_title, search, created_on, happened_at,
			received_at, state, routed_at, body) ` + series + ` SELECT ` + portal + `, '12', CAST(i AS TEXT), 'file.uploaded', 'file', CAST(i AS TEXT),
			` + title + `, ` + folded + `, ` + at + `, ` + at + `, ` + at + `, CASE WHEN i % 300 = 0 THEN 'ignored' ELSE 'routed' END, ` + at + `, $2 FROM s`,
		`INSERT INTO transfers (event_id, portal, rule, "action", conflict, entry_kind, entry_id, entry_title, search, source, destination, base,
			lane, happening, happened_at, state, attempts, operation_id, result_id, result_title, created_at, queued_at, ended_at) ` + series + ` SELECT i, ` +
			portal + `, ` + rule + `, 'copy', 'duplicate', 'file', CAST(i AS TEXT), ` + title + `, ` + folded + `, ` + source + `, CASE WHEN i % 3 = 0 THEN 'path-' || i % 5000 ELSE CAST(i % 50 AS TEXT) END, CAST(i % 50 AS TEXT), ` +
			portal + ` || '|copy|file|duplicate|' || i % 50, 'file.arrived', ` + at + `, ` + state + `, 1, i / 20 + 1, CAST(i + 5000000 AS TEXT), ` + title + `, ` +
			at + `, ` + at + `, ` + at + ` FROM s`,
	} {
		args := []any{n, []byte(strings.Repeat("x", 900))}
		_, err := h.write.ExecContext(context.Background(), text, args[:strings.Count(text, "$2")+1]...)
		h.must(err)
	}
	// PostgreSQL would do so by itself after a minute; SQLite is never asked to.
	if h.kind == PostgreSQL {
		_, err := h.write.ExecContext(context.Background(), `ANALYZE`)
		h.must(err)
	}
}

// BenchmarkAdminLists reads what the admin API reads from a database with a million transfers, with
// cursors all over it, and reports the 95th percentile of each in milliseconds.
func BenchmarkAdminLists(b *testing.B) {
	h := open(b)
	h.fillMany(stored)
	last := start.Add(stored * 2 * time.Second)
	h.time.advance(stored * 2 * time.Second)
	ctx := context.Background()
	transfers := func(f Filter) func() error {
		return func() error {
			f := f
			f.Limit, f.Before = 100, rand.Int64N(stored)+1
			if rand.IntN(2) == 0 {
				f.Before = 0
			}
			_, _, err := h.Transfers(ctx, f)
			return err
		}
	}
	events := func(f Filter) func() error {
		return func() error {
			f := f
			f.Limit, f.Before = 100, rand.Int64N(stored)+1
			if rand.IntN(2) == 0 {
				f.Before = 0
			}
			_, _, err := h.Events(ctx, f)
			return err
		}
	}
	var many []Room
	for i := range 20 {
		many = append(many, Room{"acme", event.ID(fmt.Sprint("client-", i))}, Room{ID: event.ID(fmt.Sprint(i))})
	}
	open := []string{"blocked", "queued", "sending", "failed"}
	for _, list := range []struct {
		name string
		read func() error
	}{
		{"transfers", transfers(Filter{})},
		{"state", transfers(Filter{States: []string{"failed"}})},
		{"states", transfers(Filter{States: open})},
		{"portal", transfers(Filter{Portal: "gamma"})},
		{"state-portal", transfers(Filter{States: []string{"done"}, Portal: "gamma"})},
		{"rule", transfers(Filter{Rule: "rule-0"})},
		{"rare-rule-state", transfers(Filter{Rule: "rule-7", States: []string{"failed"}})},
		{"busy-rule-rare-state", transfers(Filter{Rule: "rule-1", States: []string{"cancelled"}})},
		{"since", transfers(Filter{Since: last.Add(-24 * time.Hour)})},
		{"between", transfers(Filter{Since: last.Add(-200 * time.Hour), Until: last.Add(-100 * time.Hour)})},
		{"state-between", transfers(Filter{States: []string{"failed"}, Since: last.Add(-200 * time.Hour), Until: last.Add(-100 * time.Hour)})},
		{"search-frequent", transfers(Filter{Search: "invoice"})},
		{"search-nothing", transfers(Filter{Search: "no such file"})},
		{"search-cyrillic", transfers(Filter{Search: "ДОГОВОР 77"})},
		{"search-state", transfers(Filter{Search: "7000", States: []string{"failed"}})},
		{"search-portal", transfers(Filter{Search: "no such file", Portal: "acme"})},
		{"search-rule", transfers(Filter{Search: "no such file", Rule: "rule-0"})},
		{"portal-of-no-rule", transfers(Filter{Rule: "rule-0", Portal: "gamma"})},
		{"portal-state-of-no-rule", transfers(Filter{Rule: "rule-0", Portal: "gamma", States: []string{"done"}})},
		{"state-of-no-rule", transfers(Filter{Rule: "rule-0", States: []string{"cancelled"}})},
		{"states-of-no-rule", transfers(Filter{Rule: "rule-0", Portal: "gamma", States: open})},
		{"state-of-no-portal", transfers(Filter{Portal: "gamma", States: []string{"failed"}})},
		{"no-rule", transfers(Filter{Rule: "no-such-rule"})},
		{"old", transfers(Filter{Until: start.Add(time.Hour)})},
		{"old-failed", transfers(Filter{Until: start.Add(time.Hour), States: open})},
		{"old-rule", transfers(Filter{Until: start.Add(time.Hour), Rule: "rule-0", Portal: "gamma"})},
		{"older-than-all", transfers(Filter{Until: start.Add(-time.Hour), Rule: "rule-0"})},
		{"newer-than-all", transfers(Filter{Since: last.Add(time.Hour), Rule: "rule-0"})},
		{"search-old", transfers(Filter{Search: "no such file", Until: last.Add(-200 * time.Hour)})},
		{"search-rule-portal", transfers(Filter{Search: "no such file", Rule: "rule-0", Portal: "gamma"})},
		{"search-rule-state", transfers(Filter{Search: "no such file", Rule: "rule-0", States: []string{"cancelled"}})},
		{"search-states", transfers(Filter{Search: "no such file", States: []string{"done", "skipped", "failed"}})},
		{"search-everything", transfers(Filter{Search: "no such file", Rule: "rule-0", Portal: "acme", States: []string{"done"}, Since: start, Until: last})},
		{"room", transfers(Filter{Rooms: []Room{{ID: "client-7"}}})},
		{"room-destination", transfers(Filter{Rooms: []Room{{ID: "12"}}})},
		{"room-path", transfers(Filter{Rooms: []Room{{ID: "path-12"}}})},
		{"room-far-back", transfers(Filter{Rooms: []Room{{ID: "early"}}})},
		{"room-nothing", transfers(Filter{Rooms: []Room{{ID: "no such room"}}})},
		{"room-portal", transfers(Filter{Rooms: []Room{{"gamma", "12"}}})},
		{"room-state", transfers(Filter{Rooms: []Room{{ID: "12"}}, States: open})},
		{"room-rare-state", transfers(Filter{Rooms: []Room{{ID: "12"}}, States: []string{"cancelled"}})},
		{"room-search-nothing", transfers(Filter{Rooms: []Room{{ID: "12"}}, Search: "no such file"})},
		{"room-since", transfers(Filter{Rooms: []Room{{ID: "12"}}, Since: last.Add(-200 * time.Hour)})},
		{"rooms", transfers(Filter{Rooms: many})},
		{"rooms-since", transfers(Filter{Rooms: many, Since: last.Add(-200 * time.Hour)})},
		{"rooms-search-nothing", transfers(Filter{Rooms: many, Search: "no such file", States: open})},
		{"events", events(Filter{})},
		{"events-state", events(Filter{States: []string{"ignored"}})},
		{"events-rule", events(Filter{Rule: "rule-0"})},
		{"events-rare-rule", events(Filter{Rule: "rule-7"})},
		{"events-portal-state", events(Filter{Portal: "gamma", States: []string{"ignored"}})},
		{"events-portal-no-state", events(Filter{Portal: "gamma", States: []string{"failed"}})},
		{"events-rule-no-state", events(Filter{Rule: "rule-0", States: []string{"failed"}})},
		{"events-rule-no-portal", events(Filter{Rule: "rule-0", Portal: "gamma"})},
		{"events-rule-old", events(Filter{Rule: "rule-0", Until: start.Add(time.Hour)})},
		{"events-rule-search", events(Filter{Rule: "rule-0", Search: "no such file"})},
		{"events-portal-search", events(Filter{Portal: "acme", Search: "no such file"})},
		{"events-state-search", events(Filter{States: []string{"routed"}, Search: "no such file"})},
		{"events-search", events(Filter{Search: "no such file"})},
		{"status", func() error { _, err := h.Counts(ctx); return err }},
		{"backlog", func() error { _, err := h.Backlog(ctx); return err }},
		{"pulse", func() error { _, err := h.Pulse(ctx); return err }},
		{"story", func() error {
			t, err := h.Transfer(ctx, rand.Int64N(stored)+1)
			if err == nil {
				_, err = h.Attempts(ctx, t.ID)
			}
			if err == nil {
				_, err = h.EventTransfers(ctx, t.EventID)
			}
			return err
		}},
		{"count-failed", func() error {
			_, err := h.CountTransfers(ctx, Filter{States: []string{string(event.Failed)}})
			return err
		}},
		{"count-failed-of-rule", func() error {
			_, err := h.CountTransfers(ctx, Filter{States: []string{string(event.Failed)}, Rule: "rule-0"})
			return err
		}},
		{"count-search", func() error {
			_, err := h.CountTransfers(ctx, Filter{States: []string{string(event.Failed)}, Search: "no such file"})
			return err
		}},
	} {
		b.Run(list.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := list.read(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}
