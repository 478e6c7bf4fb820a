package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func (h *harness) act(action Action, ids ...int64) Acted {
	h.t.Helper()
	done, err := h.Act(h.ctx(), action, ids, "Ann")
	h.must(err)
	return done
}

func (h *harness) replay(id int64) {
	h.t.Helper()
	enqueued := false
	h.must(h.Replay(h.ctx(), id, func(_ context.Context, _ *sql.Tx, portal string, events []int64) error {
		enqueued = portal == "acme" && cmp.Equal(events, []int64{id})
		return nil
	}))
	if !enqueued {
		h.t.Errorf("event %d was not handed on", id)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	t.Run("queues what failed as if it were new, and what was sent stays known", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned())
		h.settle(h.claim(copyLane), event.Failed)
		sent := h.transfers()[0].SentAt
		h.time.advance(time.Hour)
		done := h.act(Retry, 1)
		if diff := cmp.Diff(Acted{IDs: []int64{1}, Refused: map[int64]string{}, Lanes: []string{copyLane}}, done); diff != "" {
			t.Errorf("acted (-want +got):\n%s", diff)
		}
		got := h.transfers()[0]
		if got.State != event.Queued || got.Attempts != 0 || !got.QueuedAt.Equal(h.time.now()) || !got.EndedAt.IsZero() || !got.SentAt.Equal(sent) {
			t.Errorf("transfer is %+v", got)
		}
		h.claim(copyLane)
	})
	t.Run("refuses what has not failed", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned())
		for _, want := range []string{"queued", "sending", "done"} {
			switch want {
			case "sending":
				h.claim(copyLane)
			case "done":
				op, err := h.OpenOperation(h.ctx(), copyLane)
				h.must(err)
				h.settle(op, event.Done)
			}
			if got := h.act(Retry, 1, 99); !strings.Contains(got.Refused[1], want) || got.Refused[99] != "there is no transfer 99" || len(got.IDs) != 0 {
				t.Errorf("%s: %+v", want, got)
			}
		}
	})
	t.Run("refuses while its operation is open", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(), h.planned(entry("2")))
		op := h.claim(copyLane)
		_, err := h.SaveOutcomes(h.ctx(), op, []Outcome{{TransferID: 1, State: event.Failed}})
		h.must(err)
		if got := h.act(Retry, 1); !strings.Contains(got.Refused[1], "not settled yet") {
			t.Errorf("acted %+v", got)
		}
	})
	t.Run("of a move waits for copies, and of a copy makes the move wait", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(), h.planned(asMove))
		h.settle(h.claim(copyLane), event.Failed)
		if diff := cmp.Diff([]event.State{event.Failed, event.Queued}, h.states()); diff != "" {
			t.Fatal(diff)
		}
		h.act(Retry, 1)
		if diff := cmp.Diff([]event.State{event.Queued, event.Blocked}, h.states()); diff != "" {
			t.Fatal(diff)
		}
		h.act(Cancel, 2)
		h.act(Retry, 2)
		if diff := cmp.Diff([]event.State{event.Queued, event.Blocked}, h.states()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(asMove), h.planned(entry("2"), to("40")))
	other := h.transfers()[1].Lane
	op := h.claim(other)
	sending := op.Transfers[0].ID
	done := h.act(Cancel, 1, sending)
	if !strings.Contains(done.Refused[sending], "being sent") {
		t.Errorf("refused %v", done.Refused)
	}
	if diff := cmp.Diff([]string{moveLane}, done.Lanes); diff != "" {
		t.Errorf("a move that waited for a cancelled copy must go on:\n%s", diff)
	}
	got := h.transfers()[0]
	if got.State != event.Cancelled || got.Reason != "cancelled by Ann" || got.EndedAt.IsZero() {
		t.Errorf("transfer %+v", got)
	}
	if again := h.act(Cancel, 1); again.Refused[1] != "it is cancelled already" {
		t.Errorf("cancelled again: %+v", again)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(rule("second"), to("40")))
	h.settle(h.claim(copyLane), event.Done)
	h.settle(h.claim("acme|copy|file|duplicate|40"), event.Failed)
	h.time.advance(time.Minute)
	decide := func() []string {
		p := []NewTransfer{h.planned(), h.planned(rule("second"), to("40")), h.planned(rule("third"), to("50"))}
		for i := range p {
			p[i].HappenedAt = start
		}
		return h.save(Decision{EventID: 1, State: event.EventRouted, Transfers: p})
	}
	if lanes := decide(); len(lanes) != 0 {
		t.Errorf("an event that is routed was decided on again: %v", lanes)
	}
	h.replay(1)
	decide()
	want := []event.State{event.Done, event.Queued, event.Queued}
	if diff := cmp.Diff(want, h.states()); diff != "" {
		t.Errorf("after a replay (-want +got):\n%s", diff)
	}
	h.act(Cancel, 3)
	h.replay(1)
	decide()
	want[2] = event.Cancelled
	if diff := cmp.Diff(want, h.states()); diff != "" {
		t.Errorf("after a second replay (-want +got):\n%s", diff)
	}
	nobody := func(context.Context, *sql.Tx, string, []int64) error { return errors.New("called") }
	if err := h.Replay(h.ctx(), 99, nobody); !errors.Is(err, ErrNotFound) {
		t.Errorf("an event there is not: %v", err)
	}
	h.replay(1)
	if err := h.Replay(h.ctx(), 1, nobody); !errors.Is(err, ErrConflict) {
		t.Errorf("an event that is pending: %v", err)
	}
}

func TestManyAreActedOnInSteps(t *testing.T) {
	t.Parallel()
	h := open(t)
	var planned []NewTransfer
	for i := range 450 {
		planned = append(planned, h.planned(entry(event.ID(fmt.Sprint(i)))))
	}
	planned[7].Rule = "other"
	h.route(planned...)
	f := Filter{Rule: "copies", States: Cancel.States()}
	n, err := h.CountTransfers(h.ctx(), f)
	h.must(err)
	woken := 0
	acted, err := h.ActOnMany(h.ctx(), Cancel, f, "Ann", func(context.Context, []string) error { woken++; return nil })
	h.must(err)
	if n != 449 || acted != 449 || woken != 3 {
		t.Errorf("counted %d, cancelled %d in %d steps", n, acted, woken)
	}
	if left, _, err := h.Transfers(h.ctx(), Filter{States: []string{"queued"}, Limit: 10}); err != nil || len(left) != 1 || left[0].Rule != "other" {
		t.Errorf("left %+v, %v", left, err)
	}
}

func TestAttemptsAreTold(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned())
	end := func(o Outcome) {
		op := h.claim(copyLane)
		o.TransferID = 1
		_, err := h.SettleOperation(h.ctx(), op, []Outcome{o}, "")
		h.must(err)
		h.time.advance(time.Second)
	}
	end(Outcome{State: event.Queued, Reason: "locked"})
	end(Outcome{State: event.Queued, Reason: "locked"})
	end(Outcome{State: event.Failed, Reason: "gone"})
	h.act(Retry, 1)
	end(Outcome{State: event.Done})
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	want := []Attempt{
		{1, 2, "again", "locked", at(0), at(1), 2},
		{1, 3, "failed", "gone", at(2), at(2), 1},
		{1, 0, "queued", "queued again by Ann", at(3), at(3), 1},
	}
	got, err := h.Attempts(h.ctx(), 1)
	h.must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	for i := range attemptsKept + 5 {
		h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
			return addAttempt(h.ctx(), tx, Attempt{TransferID: 1, Outcome: "again", Reason: fmt.Sprint(i), At: h.time.now()})
		}))
	}
	if got, err := h.Attempts(h.ctx(), 1); err != nil || len(got) != attemptsKept || got[0].Reason != "5" {
		t.Errorf("%d attempts are kept, the first is %+v, %v", len(got), got[0], err)
	}
	h.time.advance(time.Hour)
	if _, _, err := h.Prune(h.ctx(), h.time.now(), Place{}, 10); err != nil || h.count("attempts") != 0 {
		t.Errorf("%d attempts are left of a pruned transfer, %v", h.count("attempts"), err)
	}
}

func TestHits(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(to("40")), h.planned(rule("second")))
	h.time.advance(time.Second)
	h.route(h.planned(entry("2")))
	got, err := h.Hits(h.ctx())
	h.must(err)
	want := map[string]RuleHits{"copies": {"copies", 2, start.Add(time.Second)}, "second": {"second", 1, start}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
}
