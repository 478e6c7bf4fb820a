package store

import (
	"database/sql"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func (h *harness) pause(scope PauseScope, name string, d time.Duration) {
	h.t.Helper()
	_, err := h.Pause(h.ctx(), Pause{Scope: scope, Name: name, Until: h.time.now().Add(d), Reason: "audit", Author: "Ann"})
	h.must(err)
}

// claimable are the ids that a claim of the copies' lane takes now. They are put back.
func (h *harness) claimable() (ids []int64) {
	h.t.Helper()
	op, _, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 100, Fit: anything})
	h.must(err)
	if op == nil {
		return nil
	}
	var back []Outcome
	for _, t := range op.Transfers {
		ids = append(ids, t.ID)
		back = append(back, Outcome{TransferID: t.ID, State: "queued", Unsent: true})
	}
	_, err = h.SettleOperation(h.ctx(), op, back, "")
	h.must(err)
	return ids
}

func TestAPauseHoldsItsOwnTransfersOnly(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(entry("2"), rule("other")), h.planned(entry("3")))
	check := func(when string, want ...int64) {
		t.Helper()
		if diff := cmp.Diff(want, h.claimable()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	due := func(want bool) {
		t.Helper()
		lanes, err := h.DueLanes(h.ctx())
		h.must(err)
		h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
			got, err := h.LaneDue(h.ctx(), tx, copyLane)
			if got != want || (len(lanes) > 0) != want {
				t.Errorf("lane is due: %t, due lanes: %v, want %t", got, lanes, want)
			}
			return err
		}))
	}
	check("before", 1, 2, 3)
	h.pause(PauseRule, "copies", time.Hour)
	check("with a rule paused", 2)
	h.pause(PausePortal, "acme", 30*time.Minute)
	check("with the portal paused as well")
	due(false)
	h.route(h.planned(entry("4")))
	due(true)
	check("what comes later is held too")
	due(false)
	h.time.advance(30 * time.Minute)
	due(true)
	check("when the portal's pause is over", 2)
	h.time.advance(30 * time.Minute)
	check("when both are over", 1, 2, 3, 4)
	if list, err := h.Pauses(h.ctx()); err != nil || len(list) != 0 {
		t.Errorf("pauses %v, %v", list, err)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(entry("2"), rule("other")))
	h.pause(PauseRule, "copies", time.Hour)
	h.claimable()
	h.pause(PauseRule, "copies", time.Minute) // made shorter
	h.claimable()
	lanes, err := h.Resume(h.ctx(), PauseRule, "copies")
	if diff := cmp.Diff([]string{copyLane}, lanes); diff != "" || err != nil {
		t.Errorf("lanes %v, %v", lanes, err)
	}
	if diff := cmp.Diff([]int64{1, 2}, h.claimable()); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	if _, err := h.Resume(h.ctx(), PauseRule, "copies"); !errors.Is(err, ErrNotFound) {
		t.Errorf("resumed twice: %v", err)
	}
}

func TestPausesAreTold(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.pause(PausePortal, "acme", 2*time.Hour)
	h.pause(PauseRule, "copies", time.Hour)
	want := []Pause{
		{PauseRule, "copies", start.Add(time.Hour), "audit", "Ann", start},
		{PausePortal, "acme", start.Add(2 * time.Hour), "audit", "Ann", start},
	}
	got, err := h.Pauses(h.ctx())
	h.must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if p := Holding(got, Transfer{Rule: "copies", Portal: "acme"}); p == nil || p.Scope != PausePortal {
		t.Errorf("the longest one holds: %+v", p)
	}
	if p := Holding(got, Transfer{Rule: "other", Portal: "beta"}); p != nil {
		t.Errorf("held by %+v", p)
	}
}

func TestResumingReleasesWhatLiesBehindACancelledBackfill(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.walkedBackfill()
	backfilled := func(t *NewTransfer) { t.WebhookID = BackfillWebhook(id) }
	var many []NewTransfer
	for i := range holdStep {
		many = append(many, h.planned(backfilled, entry(event.ID(strconv.Itoa(i)))))
	}
	h.route(many...)
	h.route(h.planned(entry("live")))
	h.pause(PauseRule, "copies", time.Hour)
	for _, lane := range []string{copyLane, copyLane + backfillSuffix} {
		if op, _, err := h.Claim(h.ctx(), lane, ClaimOptions{Limit: 100, Fit: anything}); op != nil || err != nil {
			t.Fatalf("claimed %+v, %v", op, err)
		}
	}
	_, err := h.CancelBackfill(h.ctx(), id)
	h.must(err)
	lanes, err := h.Resume(h.ctx(), PauseRule, "copies")
	h.must(err)
	if len(lanes) != 1 || lanes[0] != copyLane {
		t.Errorf("lanes %v have work, want %s", lanes, copyLane)
	}
	if got := h.claimable(); len(got) != 1 {
		t.Errorf("%d transfers can be sent, want the live one", len(got))
	}
}
