package dispatch

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// dayPortal takes every batch at once and counts writes as DocSpace does: in a window of 24
// hours that begins with the first one.
type dayPortal struct {
	Portal // what a day without faults never calls

	now         func() time.Time
	limit       int
	windowStart time.Time
	inWindow    int
	refused     int
	batches     []int
	next        int
}

func (p *dayPortal) Ready(context.Context) (time.Duration, bool) { return 0, true }

func (p *dayPortal) Start(_ context.Context, b docspace.Batch) (docspace.Operation, error) {
	if now := p.now(); now.Sub(p.windowStart) >= 24*time.Hour {
		p.windowStart, p.inWindow = now, 0
	}
	if p.inWindow++; p.inWindow > p.limit {
		p.refused++
		return docspace.Operation{}, &docspace.StatusError{Call: "copy", StatusCode: http.StatusTooManyRequests}
	}
	p.batches = append(p.batches, len(b.IDs))
	op := docspace.Operation{ID: "op", Finished: true, Status: 2}
	for _, id := range b.IDs {
		p.next++
		op.Files = append(op.Files, docspace.File{ID: event.ID(fmt.Sprint(1_000_000_000 + p.next)), FolderID: b.Destination, Title: title(id)})
	}
	return op, nil
}

func title(id event.ID) string { return "File " + string(id) + ".pdf" }

// simulateDay lets uploads arrive evenly over a day, in random lanes, at a simulated clock, and
// drives the lanes as their jobs would be driven. It returns the portal.
func simulateDay(tb testing.TB, uploads, lanes, writesPerDay int, days int) *dayPortal {
	tb.Helper()
	ctx := context.Background()
	clock := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	s, err := store.Open(ctx, store.Options{URL: "sqlite://" + filepath.Join(tb.TempDir(), "day.db"), Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	}()
	portal := &dayPortal{now: now, limit: writesPerDay}
	d, err := New(Options{
		Store:       s,
		Portal:      func(string) (Portal, bool) { return portal, true },
		Budget:      func(string) store.Budget { return store.Budget{WritesPerDay: writesPerDay} },
		CompleteJob: completeNothing,
		Wake:        func(context.Context, []string) error { return nil },
		Logger:      slog.New(slog.DiscardHandler),
		Now:         now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	// What a day of commits waits for the disk is not the question here.
	if _, err := s.DB().ExecContext(ctx, `PRAGMA synchronous = OFF`); err != nil {
		tb.Fatal(err)
	}

	const tick = 30 * time.Second
	ticks := int(time.Duration(days) * 24 * time.Hour / tick)
	random := rand.New(rand.NewPCG(1, 2))
	asleep := map[string]time.Time{}
	sent, eventID := 0, 0
	for i := range ticks {
		clock = clock.Add(tick)
		due := uploads * (i + 1) / ticks
		touched := arrive(ctx, tb, s, clock, due-sent, lanes, random, &eventID)
		sent = due
		for _, lane := range touched {
			if _, ok := asleep[lane]; !ok {
				asleep[lane] = clock
			}
		}
		awake := make([]string, 0, len(asleep))
		for lane := range asleep {
			awake = append(awake, lane)
		}
		slices.SortFunc(awake, func(a, b string) int { return asleep[a].Compare(asleep[b]) })
		for _, lane := range awake {
			for !asleep[lane].After(clock) {
				next, err := d.advance(ctx, lane, clock.Add(time.Minute))
				if err != nil {
					tb.Fatal(err)
				}
				if next.idle {
					delete(asleep, lane)
					break
				}
				if next.wait > 0 {
					asleep[lane] = clock.Add(next.wait)
				}
			}
		}
	}
	return portal
}

// arrive stores n uploads in random lanes, as ingest and routing would, and returns the lanes.
func arrive(ctx context.Context, tb testing.TB, s *store.Store, at time.Time, n, lanes int, random *rand.Rand, eventID *int) (touched []string) {
	tb.Helper()
	if n == 0 {
		return nil
	}
	events := make([]store.NewEvent, n)
	for i := range events {
		*eventID++
		id := event.ID(fmt.Sprint(*eventID))
		events[i] = store.NewEvent{
			Portal: "acme", ReceivedAt: at, Body: []byte("{}"),
			Event: event.Event{ID: string(id), Trigger: "file.uploaded", CreatedOn: at, Entry: event.Entry{Kind: event.File, ID: id, Title: title(id)}},
		}
	}
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		ids, err := s.InsertEvents(ctx, tx, events)
		if err != nil {
			return err
		}
		decisions := make([]store.Decision, n)
		for i, e := range events {
			decisions[i] = store.Decision{EventID: ids[i], State: event.EventRouted, Transfers: []store.NewTransfer{{
				Portal: "acme", Rule: "uploads", Action: event.Copy, Conflict: event.Duplicate, Entry: e.Event.Entry,
				Destination: event.ID(fmt.Sprint(random.IntN(lanes) + 1)), Trigger: "file.uploaded", HappenedAt: at,
			}}}
		}
		touched, err = s.SaveDecisions(ctx, tx, decisions)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return touched
}

func total(batches []int) (n int) {
	for _, b := range batches {
		n += b
	}
	return n
}

// TestADayOfUploadsStaysWithinTheBudget is a tenth of the day that the benchmark simulates:
// the same files per write, over two days, so that a window of the portal's can begin anywhere.
func TestADayOfUploadsStaysWithinTheBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and it runs nothing in parallel that could race")
	}
	t.Parallel()
	const uploads, writes = 20_000, 200
	p := simulateDay(t, uploads, 5, writes/2, 2)
	if p.refused > 0 {
		t.Errorf("the portal refused %d writes", p.refused)
	}
	// What arrived last may still wait for its write.
	if got := total(p.batches); got < uploads*95/100 {
		t.Errorf("%d of %d uploads were carried in %d writes", got, uploads, len(p.batches))
	}
}

// BenchmarkUploadsADay shows what a portal's writes carry: more than a million uploads a day into
// 20 destinations with 10 000 writes, at a tenth of both.
func BenchmarkUploadsADay(b *testing.B) {
	for b.Loop() {
		const uploads, writes = 110_000, 1_000
		p := simulateDay(b, uploads, 20, writes, 1)
		carried := total(p.batches)
		b.ReportMetric(float64(carried), "uploads/day")
		b.ReportMetric(float64(len(p.batches)), "writes/day")
		b.ReportMetric(float64(carried)/float64(len(p.batches)), "files/write")
		b.ReportMetric(float64(p.refused), "429s")
		b.ReportMetric(float64(uploads-carried), "still-queued")
	}
}
