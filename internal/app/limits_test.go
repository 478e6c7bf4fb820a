package app_test

import (
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"docspace-router/internal/dispatch"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
)

func TestAForbiddenDestinationCostsAHandfulOfWrites(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]portalsim.Access{"may only read": portalsim.Read, "may not even open it": portalsim.NoAccess} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const files = 1000
			simulate(t, deskOptions{dispatch: dispatch.Options{SweepEvery: 30 * time.Second}}, func(d *desk) {
				d.portal.SetMember(d.dest, d.robot, role)
				want := d.uploads(files)
				d.start()
				d.wait(30 * time.Minute)
				if n := d.portal.Calls().Transfers(); n > 3 {
					t.Errorf("%d write calls within half an hour, want at most 3", n)
				}
				for _, tr := range d.transfers() {
					if tr.State != event.Queued || !strings.Contains(tr.Reason, "the gateway's account may not") || tr.Attempts > 20 {
						t.Fatalf("transfer of %s: %s after %d attempts, %q; want it queued after few attempts, with the reason", tr.Title, tr.State, tr.Attempts, tr.Reason)
					}
				}
				d.portal.SetMember(d.dest, d.robot, portalsim.ContentCreator)
				d.rest(time.Hour)
				d.wantTitles(want...)
			})
		})
	}
}

// TestRefusalsFromBeforeThePortalCostFewWrites lets something before the portal refuse all
// copying for hours, while several lanes have work.
func TestRefusalsFromBeforeThePortalCostFewWrites(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"a redirect": http.StatusFound, "405": http.StatusMethodNotAllowed, "413": http.StatusRequestEntityTooLarge,
		"a missing scope": http.StatusForbidden, "429": http.StatusTooManyRequests} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{}, func(d *desk) {
				release := d.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: status, Path: put, Method: http.MethodPut})
				want := d.uploads(10)
				d.start()
				d.wait(time.Hour)
				if n := d.portal.Calls().Transfers(); n > 70 {
					t.Errorf("%d write calls within an hour, want at most 70", n)
				}
				d.wantStates(map[event.State]int{event.Queued: 10})
				release()
				d.rest(time.Hour)
				d.wantTitles(want...)
				for _, tr := range d.transfers() {
					if tr.Attempts != 1 {
						t.Fatalf("the transfer of %s took %d attempts, want the one that did it", tr.Title, tr.Attempts)
					}
				}
			})
		})
	}
}

func TestLimitsWithoutRetryAfterAreMetCalmly(t *testing.T) {
	t.Parallel()
	o := deskOptions{portal: portalsim.Options{
		Limits:  portalsim.Limits{RequestsPerMinute: 60, ParallelWrites: 1},
		Timings: portalsim.Timings{ItemDuration: 100 * time.Millisecond},
	}}
	simulate(t, o, func(d *desk) {
		var want []string
		other := d.addRoom("Another destination")
		d.start()
		for range 10 { // two lanes, for ten minutes
			for range 5 {
				title := "File " + time.Now().Format("150405") + ".pdf"
				want = append(want, title)
				id := d.portal.Upload(d.room, title, 10, d.client)
				p := d.plan(event.File, id, title, d.now())
				q := d.plan(event.File, id, title, d.now())
				q.transfer.Destination, q.transfer.Rule = event.ID(other), "others"
				d.save(p, q)
				d.wait(12 * time.Second)
			}
		}
		d.rest(time.Hour)
		d.wantTitles(want...)
		calls := d.portal.Calls()
		t.Logf("%d calls, %d of them beyond the limits, %d writes", calls.Total, calls.Limited, calls.Transfers())
		if calls.Limited > calls.Total/4 {
			t.Errorf("%d of %d calls met a limit", calls.Limited, calls.Total)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{5 * time.Second, 40 * time.Second, 3 * time.Hour} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{}, func(d *desk) {
				d.budget = store.Budget{WritesPerDay: 10_000}
				other := d.addRoom("Another destination")
				d.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, RetryAfter: after, Path: put, Method: http.MethodPut, Times: 1})
				want := d.uploads(3)
				d.start()
				d.wait(time.Second)
				d.wantCalls(1)
				// Another lane of the portal gets work meanwhile.
				p := d.plan(event.File, d.portal.Upload(d.room, "Other.pdf", 1, d.client), "Other.pdf", d.now())
				p.transfer.Destination = event.ID(other)
				d.save(p)
				d.wait(after - 3*time.Second)
				d.wantCalls(1)
				d.rest(2*time.Minute + after/10)
				d.wantCalls(3)
				d.wantTitles(want...)
			})
		})
	}
}

func TestTheDaysWritesAreNeverExceededAndBatchesGrow(t *testing.T) {
	t.Parallel()
	const writes = 20
	o := deskOptions{
		portal:   portalsim.Options{Limits: portalsim.Limits{WritesPerDay: writes}},
		dispatch: dispatch.Options{SweepEvery: 5 * time.Minute},
	}
	simulate(t, o, func(d *desk) {
		d.budget = store.Budget{WritesPerDay: writes}
		d.start()
		var want []string
		for range 40 * 3 { // two days without an hour of rest
			title := "File " + time.Now().Format("02 150405") + ".pdf"
			want = append(want, title)
			d.upload(title, 10)
			d.wait(20 * time.Minute)
		}
		d.rest(6 * time.Hour)
		d.wantTitles(want...)
		calls := d.portal.Calls()
		if calls.Limited > 0 {
			t.Errorf("the portal refused %d calls, want none", calls.Limited)
		}
		var at []time.Time
		for _, op := range d.portal.Operations() {
			at = append(at, op.Queued)
		}
		if most := mostWithin(at, 24*time.Hour); most > writes {
			t.Errorf("%d writes within 24 hours, want at most %d", most, writes)
		}
		if largest := slices.Max(calls.Batches); largest < 3 {
			t.Errorf("the largest batch has %d files: batches do not grow while the budget lasts", largest)
		}
	})
}

// mostWithin is the most of the times, which are in order, that lie within any such period.
func mostWithin(at []time.Time, period time.Duration) (most int) {
	for i := range at {
		n := 0
		for _, t := range at[i:] {
			if t.Sub(at[i]) < period {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestNoDayTakesMoreThanItsBudget takes writes whenever there are any, with arrivals of all
// kinds, and reopens the database now and then.
func TestNoDayTakesMoreThanItsBudget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		for _, writes := range []int{1, 2, 30} {
			random := rand.New(rand.NewPCG(seed, uint64(writes)))
			var mu sync.Mutex
			now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
			clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
			url := "sqlite://" + filepath.Join(t.TempDir(), "router.db")
			open := func() *store.Store {
				s, err := store.Open(t.Context(), store.Options{URL: url, Now: clock})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := open()
			lane := queueOne(t, s, clock())
			var taken []time.Time
			end := clock().Add(6 * 24 * time.Hour)
			for clock().Before(end) {
				op, wait, err := s.Claim(t.Context(), lane, store.ClaimOptions{
					Limit: 1, Budget: store.Budget{WritesPerDay: writes}, Fit: func(store.Transfer) bool { return true },
				})
				switch {
				case err != nil:
					t.Fatal(err)
				case op != nil:
					taken = append(taken, clock().Truncate(time.Millisecond))
					again := store.Outcome{TransferID: op.Transfers[0].ID, State: event.Queued, Unsent: true}
					if _, err := s.SettleOperation(t.Context(), op, []store.Outcome{again}, ""); err != nil {
						t.Fatal(err)
					}
				case wait <= 0:
					t.Fatal("nothing was claimed, and no wait given")
				}
				switch random.IntN(12) {
				case 0:
					advance(time.Duration(random.IntN(20)) * time.Hour) // a quiet time
				case 1:
					advance(max(wait-time.Millisecond, 0))
				case 2:
					advance(wait / 3)
				case 3:
					advance(time.Duration(random.IntN(1000)) * time.Millisecond)
				default:
					advance(wait)
				}
				if random.IntN(20) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open()
				}
			}
			if most := mostWithin(taken, 24*time.Hour); most > writes {
				t.Errorf("seed %d: %d writes within 24 hours, want at most %d", seed, most, writes)
			}
			if least := writes * 2; len(taken) < least {
				t.Errorf("seed %d: %d writes within 6 days of %d each: too few to prove anything", seed, len(taken), writes)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// queueOne stores one transfer and returns its lane.
func queueOne(t *testing.T, s *store.Store, at time.Time) string {
	t.Helper()
	entry := event.Entry{Kind: event.File, ID: "1", Title: "a.pdf"}
	transfer := store.NewTransfer{Portal: "acme", Rule: "all", Action: event.Copy, Conflict: event.Duplicate, Entry: entry,
		Destination: "20", Trigger: "file.uploaded", WebhookID: "1", HappenedAt: at}
	err := s.InTx(t.Context(), func(tx *sql.Tx) error {
		ev := event.Event{ID: "1", WebhookID: "1", Trigger: "file.uploaded", CreatedOn: at, Entry: entry}
		ids, err := s.InsertEvents(t.Context(), tx, []store.NewEvent{{Portal: "acme", Event: ev, ReceivedAt: at, Body: []byte("{}")}})
		if err != nil {
			return err
		}
		if ids[0] == 0 {
			return errors.New("the event is not new")
		}
		_, err = s.SaveDecisions(t.Context(), tx, []store.Decision{{EventID: ids[0], State: event.EventRouted, Transfers: []store.NewTransfer{transfer}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return transfer.Lane()
}

// TestAPortalThatIsDownAgesNoTransfer keeps the portal away for longer than a transfer may fail.
func TestAPortalThatIsDownAgesNoTransfer(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]portalsim.Fault{
		"503":         {Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable},
		"hangs":       {Kind: portalsim.Hang},
		"unpaid":      {Kind: portalsim.Refuse, Status: http.StatusPaymentRequired},
		"key revoked": {Kind: portalsim.Refuse, Status: http.StatusUnauthorized},
		"redirects":   {Kind: portalsim.Refuse, Status: http.StatusFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{dispatch: dispatch.Options{SweepEvery: 30 * time.Minute, PortalPause: 30 * time.Minute}}, func(d *desk) {
				release := d.portal.Inject(down)
				want := d.uploads(5)
				d.start()
				d.wait(40 * time.Hour)
				release()
				d.rest(2 * time.Hour)
				d.wantTitles(want...)
				d.wantStates(map[event.State]int{event.Done: 5})
			})
		})
	}
}

// TestATransferIsGivenUpADayAfterItsOwnFirstFailure lets a file wait for the portal for two
// days before the portal fails to copy it, again and again.
func TestATransferIsGivenUpADayAfterItsOwnFirstFailure(t *testing.T) {
	t.Parallel()
	o := deskOptions{dispatch: dispatch.Options{SweepEvery: 5 * time.Minute, PortalPause: 10 * time.Minute}}
	simulate(t, o, func(d *desk) {
		release := d.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable})
		d.portal.Inject(portalsim.Fault{Kind: portalsim.FailItem, Item: 0, Error: "The storage is full"})
		d.upload("a.pdf", 10)
		d.start()
		d.wait(48 * time.Hour)
		release()
		d.wait(20 * time.Hour)
		if tr := d.only(); tr.State != event.Queued || !strings.Contains(tr.Reason, "The storage is full") {
			t.Errorf("after 20 hours of failures the transfer is %s (%s), want it queued with the portal's reason", tr.State, tr.Reason)
		}
		d.wait(6 * time.Hour)
		tr := d.only()
		if tr.State != event.Failed || !strings.Contains(tr.Reason, "given up after") || !strings.Contains(tr.Reason, "The storage is full") {
			t.Errorf("after 26 hours of failures the transfer is %s (%s), want it given up with the portal's reason", tr.State, tr.Reason)
		}
		if n := d.portal.Calls().Transfers(); n > 150 {
			t.Errorf("%d calls for one file, want it tried less often the longer it fails", n)
		}
	})
}
