package store

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func TestATransferIsStoredAsPlanned(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.time.advance(1500 * time.Millisecond)
	now := h.time.now()
	planned := h.planned(after(-2 * time.Second))
	if lanes := h.route(planned); !slices.Equal(lanes, []string{copyLane}) {
		t.Errorf("lanes are %v", lanes)
	}
	want := Transfer{
		ID: 1, EventID: 1, Portal: "acme", Rule: "copies", Action: event.Copy, Conflict: event.Duplicate, Kind: event.File,
		EntryID: "90412", Title: "report.pdf", Source: "10", Destination: "20", Lane: copyLane, State: event.Queued,
		HappenedAt: now.Add(-2 * time.Second), CreatedAt: now, QueuedAt: now,
	}
	got, err := h.Transfer(h.ctx(), 1)
	h.must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transfer (-want +got):\n%s", diff)
	}
	if _, err := h.Transfer(h.ctx(), 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another id: %v", err)
	}
}

func TestLanesSeparateWhatMayNotShareACall(t *testing.T) {
	t.Parallel()
	h := open(t)
	lanes := []string{h.planned().Lane()}
	for _, change := range []func(*NewTransfer){
		func(t *NewTransfer) { t.Portal = "beta" },
		func(t *NewTransfer) { t.Action = event.Move },
		func(t *NewTransfer) { t.Conflict = event.Skip },
		func(t *NewTransfer) { t.Entry.Kind = event.Folder },
		func(t *NewTransfer) { t.Destination = "21" },
	} {
		lanes = append(lanes, h.planned(change).Lane())
	}
	slices.Sort(lanes)
	if len(slices.Compact(lanes)) != 6 {
		t.Errorf("lanes are %v", lanes)
	}
	if a, b := h.planned().Lane(), h.planned(rule("other"), entry("7"), trigger("file.moved")).Lane(); a != b {
		t.Errorf("%s and %s could share a call", a, b)
	}
}

func TestOneHappeningIsTransferredOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		first  []func(*NewTransfer)
		second []func(*NewTransfer)
		twin   bool
	}{
		{"a manual retry, at the same time by the same webhook", nil, nil, true},
		{"another webhook's report 5 s later", nil, []func(*NewTransfer){webhook("13"), after(5 * time.Second)}, true},
		{"another webhook's report 5 s earlier", nil, []func(*NewTransfer){webhook("13"), after(-5 * time.Second)}, true},
		{"another webhook's report after more than 5 s", nil, []func(*NewTransfer){webhook("13"), after(5*time.Second + time.Millisecond)}, false},
		{"created and uploaded by one upload", []func(*NewTransfer){trigger("file.created")}, []func(*NewTransfer){trigger("file.uploaded"), after(2 * time.Second)}, true},
		{"uploaded and created by one upload", []func(*NewTransfer){trigger("file.uploaded")}, []func(*NewTransfer){trigger("file.created"), after(-time.Second)}, true},
		{"the same webhook and trigger at another time", nil, []func(*NewTransfer){after(time.Second)}, false},
		{"another trigger", nil, []func(*NewTransfer){trigger("file.updated")}, false},
		{"another rule", nil, []func(*NewTransfer){rule("other")}, false},
		{"another destination", nil, []func(*NewTransfer){to("21")}, false},
		{"another file", nil, []func(*NewTransfer){entry("90413")}, false},
		{"a folder of the same id", nil, []func(*NewTransfer){func(t *NewTransfer) { t.Entry.Kind = event.Folder }}, false},
		{"another portal", nil, []func(*NewTransfer){func(t *NewTransfer) { t.Portal = "beta" }}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			first, second := h.planned(tt.first...), h.planned(tt.second...)
			stored := func(p NewTransfer) int64 {
				return h.event(func(e *NewEvent) { e.Event.Trigger, e.Event.WebhookID, e.Portal = p.Trigger, p.WebhookID, p.Portal })
			}
			h.save(Decision{EventID: stored(first), State: event.EventRouted, Transfers: []NewTransfer{first}})
			lanes := h.save(Decision{EventID: stored(second), State: event.EventRouted, Reason: "noted", Transfers: []NewTransfer{second}})
			if twin := h.count("transfers") == 1; twin != tt.twin || (len(lanes) == 0) != tt.twin {
				t.Errorf("a twin is %v, and the lanes are %v", twin, lanes)
			}
			list, _, err := h.Events(h.ctx(), Filter{Limit: 1})
			h.must(err)
			want := "noted"
			if tt.twin {
				want = "noted; event 1 reported the same"
			}
			if list[0].Reason != want {
				t.Errorf("the second event's reason is %q, want %q", list[0].Reason, want)
			}
		})
	}
}

func TestASecondReportAndTheFirstOnesState(t *testing.T) {
	t.Parallel()
	tests := []struct {
		state event.State
		want  event.State
		woken bool
	}{
		{event.Queued, event.Queued, false},
		{event.Done, event.Done, false},
		{event.Skipped, event.Skipped, false},
		{event.Cancelled, event.Cancelled, false},
		{event.Failed, event.Queued, true}, // it is somebody's second try
	}
	for _, tt := range tests {
		t.Run(string(tt.state), func(t *testing.T) {
			t.Parallel()
			h := open(t)
			planned := h.planned()
			h.route(planned)
			if tt.state.Ended() {
				h.settle(h.claim(copyLane), tt.state)
			}
			h.time.advance(time.Hour)
			// Meanwhile the rule has come to say skip; the transfer keeps what it was queued with.
			planned.Conflict = event.Skip
			lanes := h.route(planned)
			if want := map[bool][]string{true: {copyLane}}[tt.woken]; !slices.Equal(lanes, want) {
				t.Errorf("lanes are %v, want %v", lanes, want)
			}
			all := h.transfers()
			if len(all) != 1 || all[0].State != tt.want {
				t.Fatalf("transfers are %+v", all)
			}
			if !tt.woken {
				return
			}
			got := all[0]
			want := got
			want.Attempts, want.MaxBatch, want.Reason, want.EndedAt, want.FailingSince = 0, 0, "", time.Time{}, time.Time{}
			want.NextAttemptAt, want.QueuedAt = time.Time{}, h.time.now()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("queued again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMovesWaitForCopies(t *testing.T) {
	t.Parallel()
	blocked := []event.State{event.Queued, event.Blocked}
	t.Run("of the same event, whatever their order", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		lanes := h.route(h.planned(asMove), h.planned())
		if !slices.Equal(h.states(), blocked) || h.transfers()[0].Action != event.Copy {
			t.Errorf("transfers are %+v", h.transfers())
		}
		if want := []string{copyLane, moveLane}; !slices.Equal(lanes, want) {
			t.Errorf("lanes are %v, want %v", lanes, want)
		}
	})
	t.Run("of an event before", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned())
		h.route(h.planned(asMove, after(time.Hour)))
		if !slices.Equal(h.states(), blocked) {
			t.Errorf("states are %v", h.states())
		}
	})
	t.Run("that are being sent", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned())
		h.claim(copyLane)
		h.route(h.planned(asMove, after(time.Hour)))
		if want := []event.State{event.Sending, event.Blocked}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v", h.states())
		}
	})
	t.Run("but not for those of other entries, portals or kinds, nor for moves", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(entry("1")))
		h.route(h.planned(func(t *NewTransfer) { t.Portal = "beta" }))
		h.route(h.planned(func(t *NewTransfer) { t.Entry.Kind = event.Folder }))
		h.route(h.planned(asMove, rule("earlier")))
		h.route(h.planned(asMove))
		if want := slices.Repeat([]event.State{event.Queued}, 5); !slices.Equal(h.states(), want) {
			t.Errorf("states are %v", h.states())
		}
	})
	for _, end := range []event.State{event.Done, event.Skipped, event.Failed, event.Cancelled} {
		t.Run("until they are "+string(end), func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.route(h.planned(), h.planned(to("21")), h.planned(asMove))
			h.time.advance(time.Minute)
			if lanes := h.settle(h.claim(copyLane), end); len(lanes) > 0 {
				t.Errorf("one of two copies has ended, and %v may go", lanes)
			}
			h.time.advance(time.Minute)
			if lanes := h.settle(h.claim("acme|copy|file|duplicate|21"), end); !slices.Equal(lanes, []string{moveLane}) {
				t.Errorf("both copies have ended, and %v may go", lanes)
			}
			move := h.transfers()[2]
			if move.State != event.Queued || !move.QueuedAt.Equal(start.Add(2*time.Minute)) {
				t.Errorf("the move is %+v", move)
			}
		})
	}
	t.Run("also when a copy is retried", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(), h.planned(asMove))
		if lanes := h.settle(h.claim(copyLane), event.Queued); len(lanes) > 0 || !slices.Equal(h.states(), blocked) {
			t.Errorf("%v may go, and the states are %v", lanes, h.states())
		}
	})
	t.Run("also when copies and moves end in one operation each", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		for _, id := range []event.ID{"1", "2", "3"} {
			h.route(h.planned(entry(id)), h.planned(entry(id), asMove))
		}
		if lanes := h.settle(h.claim(copyLane), event.Done); !slices.Equal(lanes, []string{moveLane}) {
			t.Errorf("lanes are %v", lanes)
		}
		if op := h.claim(moveLane); len(op.Transfers) != 3 {
			t.Errorf("%d moves may go", len(op.Transfers))
		}
	})
	t.Run("also when both failed and are tried again", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		copies, moves := h.planned(), h.planned(asMove)
		h.route(copies, moves)
		h.settle(h.claim(copyLane), event.Failed)
		h.settle(h.claim(moveLane), event.Failed)
		if lanes := h.route(moves, copies); !slices.Equal(lanes, []string{copyLane, moveLane}) {
			t.Errorf("lanes are %v", lanes)
		}
		if !slices.Equal(h.states(), blocked) {
			t.Errorf("states are %v, want %v", h.states(), blocked)
		}
		h.settle(h.claim(copyLane), event.Done)
		if want := []event.State{event.Done, event.Queued}; !slices.Equal(h.states(), want) {
			t.Errorf("then %v, want %v", h.states(), want)
		}
	})
}

func TestReleaseMovesFindsThoseThatWaitForNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.must(h.ReleaseMoves(h.ctx()))
	h.route(h.planned(), h.planned(asMove))
	h.must(h.ReleaseMoves(h.ctx()))
	if want := []event.State{event.Queued, event.Blocked}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
	// As if two processes had stored and settled past each other.
	if _, err := h.write.ExecContext(h.ctx(), `UPDATE transfers SET state = 'done' WHERE "action" = 'copy'`); err != nil {
		t.Fatal(err)
	}
	h.must(h.ReleaseMoves(h.ctx()))
	if want := []event.State{event.Done, event.Queued}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
}

// TestTheLongestIDsFitIntoTheIndexes stores the longest names that deliveries are taken with, and
// for a copy one that is longer still. They are random, or a database would compress them.
func TestTheLongestIDsFitIntoTheIndexes(t *testing.T) {
	t.Parallel()
	h := open(t)
	long := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		return hex.EncodeToString(b)[:n]
	}
	portal := long(100)
	there := func(e *NewEvent) {
		e.Portal, e.Event.WebhookID, e.Event.Entry.ID = portal, long(256), event.ID(long(2000))
	}
	id := h.insert(h.delivery(long(256), there))[0]
	planned := h.planned(entry(event.ID(long(2000))))
	planned.Portal, planned.Destination, planned.Trail = portal, event.ID(long(2000)), []string{"copies"}
	h.save(Decision{EventID: id, State: event.EventRouted, Transfers: []NewTransfer{planned}})
	op := h.claim(planned.Lane())
	result := event.ID(long(6000))
	_, err := h.SettleOperation(h.ctx(), op, []Outcome{{TransferID: op.Transfers[0].ID, State: event.Done, ResultID: result, ResultVersion: 3}}, "")
	h.must(err)
	known, err := h.KnownResults(h.ctx(), portal, event.File, []event.ID{result, "7"})
	h.must(err)
	if len(known) != 1 || known[result] != 3 {
		t.Errorf("known results have versions %v", slices.Collect(maps.Values(known)))
	}
	other, err := h.KnownResults(h.ctx(), "acme", event.File, []event.ID{result})
	h.must(err)
	if len(other) > 0 {
		t.Error("another portal knows the result")
	}
}

func TestDueLanesFollowTheClock(t *testing.T) {
	t.Parallel()
	h := open(t)
	due := func(lane string) (is bool) {
		t.Helper()
		h.must(h.InTx(h.ctx(), func(tx *sql.Tx) (err error) {
			is, err = h.LaneDue(h.ctx(), tx, lane)
			return err
		}))
		return is
	}
	check := func(when string, wantCopy bool, want ...string) {
		t.Helper()
		lanes, err := h.DueLanes(h.ctx())
		h.must(err)
		slices.Sort(lanes)
		if got := due(copyLane); !slices.Equal(lanes, want) || got != wantCopy {
			t.Errorf("%s: lanes %v are due, want %v; LaneDue is %v", when, lanes, want, got)
		}
	}
	check("at first", false)
	h.route(h.planned(), h.planned(asMove))
	h.route(h.planned(entry("7")))
	check("with a blocked move", true, copyLane)
	op := h.claim(copyLane)
	check("while an operation is open", false, copyLane)
	_, err := h.SettleOperation(h.ctx(), op, []Outcome{
		{TransferID: 1, State: event.Queued, NextAttemptIn: time.Minute},
		{TransferID: 3, State: event.Queued, NextAttemptIn: time.Hour},
	}, "")
	h.must(err)
	check("before the retry", false)
	h.time.advance(time.Minute - time.Millisecond)
	check("a moment before", false)
	h.time.advance(time.Millisecond)
	check("at the time of the retry", true, copyLane)
	h.settle(h.claim(copyLane), event.Done)
	check("after it", false, moveLane)
}

func TestTheZeroTimeIsNoTime(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, start, start.Add(time.Millisecond)} {
		if got := fromMillis(millis(at)); !got.Equal(at) {
			t.Errorf("%v is read back as %v", at, got)
		}
	}
	if got := fromMillis(millis(start.Add(time.Microsecond))); !got.Equal(start) {
		t.Errorf("less than a millisecond is kept: %v", got)
	}
}
