package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"docspace-router/internal/event"
)

// queue stores n transfers of different files in the copy lane; their ids are 1 to n.
func (h *harness) queue(n int) {
	h.t.Helper()
	for i := range n {
		h.route(h.planned(entry(event.ID(fmt.Sprint(1000 + i)))))
	}
}

func (h *harness) set(transfer int64, column string, value any) {
	h.t.Helper()
	if _, err := h.write.ExecContext(h.ctx(), `UPDATE transfers SET `+column+` = $1 WHERE id = $2`, value, transfer); err != nil {
		h.t.Fatal(err)
	}
}

func ids(op *Operation) []int64 {
	var out []int64
	if op != nil {
		for _, t := range op.Transfers {
			out = append(out, t.ID)
		}
	}
	return out
}

func TestClaim(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(h *harness)
		limit   int
		fit     func(Transfer) bool
		want    []int64
	}{
		{"takes the oldest first", nil, 3, anything, []int64{1, 2, 3}},
		{"takes all when there are fewer", nil, 100, anything, []int64{1, 2, 3, 4, 5}},
		{"leaves those that do not fit", nil, 100, func(t Transfer) bool { return t.ID%2 == 0 }, []int64{2, 4}},
		{"fills up with those that fit", nil, 2, func(t Transfer) bool { return t.ID > 2 }, []int64{3, 4}},
		{"takes nothing when nothing fits", nil, 3, func(Transfer) bool { return false }, nil},
		{"leaves those whose time has not come", func(h *harness) { h.set(1, "next_attempt_at", millis(start)+1) }, 2, anything, []int64{2, 3}},
		{"takes those whose time is now", func(h *harness) { h.set(1, "next_attempt_at", millis(start)) }, 2, anything, []int64{1, 2}},
		{"leaves those in other states", func(h *harness) { h.set(1, "state", "failed"); h.set(3, "state", "blocked") }, 9, anything, []int64{2, 4, 5}},
		{"leaves those of other lanes", func(h *harness) { h.set(2, "lane", moveLane) }, 2, anything, []int64{1, 3}},
		{"stops at the size the oldest asks for", func(h *harness) { h.set(1, "max_batch", 2) }, 9, anything, []int64{1, 2}},
		{"leaves one that asks for a smaller batch", func(h *harness) { h.set(3, "max_batch", 2) }, 9, anything, []int64{1, 2, 4, 5}},
		{"keeps to the size of one that joined", func(h *harness) { h.set(2, "max_batch", 3) }, 9, anything, []int64{1, 2, 3}},
		{"sends one alone that must be", func(h *harness) { h.set(1, "max_batch", 1) }, 9, anything, []int64{1}},
		{"is not bound by the size of one that did not fit", func(h *harness) { h.set(1, "max_batch", 1) }, 9, func(t Transfer) bool { return t.ID != 1 }, []int64{2, 3, 4, 5}},
		{"a larger size than the limit changes nothing", func(h *harness) { h.set(1, "max_batch", 50) }, 2, anything, []int64{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.queue(5)
			if tt.prepare != nil {
				tt.prepare(h)
			}
			op, wait, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: tt.limit, Fit: tt.fit})
			if err != nil || wait != 0 {
				t.Fatalf("wait %v, error %v", wait, err)
			}
			if got := ids(op); !slices.Equal(got, tt.want) {
				t.Errorf("claimed are %v, want %v", got, tt.want)
			}
			sending, err := queryColumn[int64](h.ctx(), h.read, `SELECT id FROM transfers WHERE state = 'sending' ORDER BY id`)
			if err != nil || !slices.Equal(sending, tt.want) {
				t.Errorf("being sent are %v (%v), want %v", sending, err, tt.want)
			}
			if n, want := h.count("operations"), min(len(tt.want), 1); n != want {
				t.Errorf("there are %d operations, want %d", n, want)
			}
		})
	}
}

func TestClaimOfALargeBatch(t *testing.T) {
	t.Parallel()
	h := open(t)
	decision := Decision{EventID: h.event(), State: event.EventRouted}
	for i := range 1300 {
		decision.Transfers = append(decision.Transfers, h.planned(entry(event.ID(fmt.Sprint(i)))))
	}
	h.save(decision)
	op, _, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1200, Fit: anything})
	h.must(err)
	h.settle(op, event.Done)
	counts, err := h.Counts(h.ctx())
	h.must(err)
	if counts.Transfers[event.Done] != 1200 || counts.Transfers[event.Queued] != 100 {
		t.Errorf("counts are %v", counts.Transfers)
	}
}

func TestALaneHasOneOpenOperation(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(4)
	other := h.route(h.planned(to("21")))[0]
	op, _, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 2, Fit: anything})
	h.must(err)
	_, _, err = h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 2, Fit: anything})
	if err == nil || !strings.Contains(err.Error(), copyLane) {
		t.Errorf("a second operation: %v", err)
	}
	if want := []event.State{event.Sending, event.Sending, event.Queued, event.Queued, event.Queued}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
	h.claim(other) // another lane is free
	h.settle(op, event.Done)
	if got := ids(h.claim(copyLane)); !slices.Equal(got, []int64{3, 4}) {
		t.Errorf("afterwards %v are claimed", got)
	}
}

func TestClaimsAtTheSameTimeShareNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(20)
	var mu sync.Mutex
	var claimed []int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			op, _, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 5, Fit: anything})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				claimed = append(claimed, ids(op)...)
			}
		})
	}
	wg.Wait()
	if want := []int64{1, 2, 3, 4, 5}; !slices.Equal(claimed, want) {
		t.Errorf("claimed are %v, want %v", claimed, want)
	}
}

func TestTheLifeOfAnOperation(t *testing.T) {
	t.Parallel()
	h := open(t)
	if op, err := h.OpenOperation(h.ctx(), copyLane); op != nil || err != nil {
		t.Errorf("at first: %+v, %v", op, err)
	}
	h.queue(3)
	h.time.advance(time.Second)
	op := h.claim(copyLane)
	check := func(when string) {
		t.Helper()
		got, err := h.OpenOperation(h.ctx(), copyLane)
		h.must(err)
		// What Claim and the marks leave in memory is what the next process reads.
		if diff := cmp.Diff(op, got, cmpopts.IgnoreFields(Transfer{}, "SentAt")); diff != "" {
			t.Errorf("%s (-in memory +stored):\n%s", when, diff)
		}
	}
	check("claimed")
	h.time.advance(time.Second)
	h.must(h.MarkSeen(h.ctx(), op, 2))
	check("seen")
	h.must(h.MarkRunning(h.ctx(), op, "3f0f7e0e"))
	check("running")
	want := &Operation{
		ID: 1, Lane: copyLane, Portal: "acme", State: OperationRunning, PortalID: "3f0f7e0e", StartedAt: start.Add(time.Second),
		Seen: 2, SeenAt: start.Add(2 * time.Second), Size: 3, Transfers: op.Transfers,
	}
	if diff := cmp.Diff(want, op); diff != "" {
		t.Errorf("operation (-want +got):\n%s", diff)
	}

	// One is accounted for early.
	if _, err := h.SaveOutcomes(h.ctx(), op, []Outcome{{TransferID: 2, State: event.Done, Attempted: true, ResultID: "900"}}); err != nil {
		t.Fatal(err)
	}
	if got := ids(op); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("left are %v", got)
	}
	stored, err := h.OpenOperation(h.ctx(), copyLane)
	if err != nil || !slices.Equal(ids(stored), []int64{1, 3}) || stored.Size != 3 {
		t.Errorf("stored is %+v (%v)", stored, err)
	}

	h.time.advance(time.Second)
	_, err = h.SettleOperation(h.ctx(), op, []Outcome{
		{TransferID: 1, State: event.Failed, Reason: "gone", Attempted: true},
		{TransferID: 3, State: event.Queued, Reason: "later", Attempted: true, NextAttemptIn: time.Minute, MaxBatch: 2},
		{TransferID: 2, State: event.Failed, Reason: "it has its outcome"},
	}, "the portal was slow")
	h.must(err)
	if op, err := h.OpenOperation(h.ctx(), copyLane); op != nil || err != nil {
		t.Errorf("at last: %+v, %v", op, err)
	}
	now := h.time.now()
	first := func(id int64) Transfer {
		return Transfer{
			ID: id, EventID: id, Portal: "acme", Rule: "copies", Action: event.Copy, Conflict: event.Duplicate, Kind: event.File,
			EntryID: event.ID(fmt.Sprint(999 + id)), Title: "report.pdf", Source: "10", Destination: "20", Lane: copyLane, Attempts: 1, OperationID: 1,
			SentAt: start.Add(time.Second), HappenedAt: start, CreatedAt: start, QueuedAt: start,
		}
	}
	failed, done, again := first(1), first(2), first(3)
	failed.State, failed.Reason, failed.EndedAt = event.Failed, "gone", now
	done.State, done.ResultID, done.EndedAt = event.Done, "900", start.Add(2*time.Second)
	again.State, again.Reason, again.MaxBatch, again.NextAttemptAt, again.FailingSince = event.Queued, "later", 2, now.Add(time.Minute), now
	if diff := cmp.Diff([]Transfer{failed, done, again}, h.transfers()); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
	var counted, problem string
	h.must(h.read.QueryRowContext(h.ctx(), `SELECT transfers || ' ' || done, error FROM operations WHERE state = 'settled' AND settled_at = $1`,
		millis(now)).Scan(&counted, &problem))
	if counted != "3 1" || problem != "the portal was slow" {
		t.Errorf("the operation counts %q and says %q", counted, problem)
	}
}

func TestOutcomesAreOnlyThoseOfTheOperation(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(2)
	first := h.claim(copyLane)
	h.settle(first, event.Queued)
	second := h.claim(copyLane)
	// A worker that was thought dead comes back with the first operation.
	h.settle(first, event.Done)
	if want := []event.State{event.Sending, event.Sending}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
	h.settle(second, event.Skipped)
	if want := []event.State{event.Skipped, event.Skipped}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
}

func TestMarkRunningDoesNotReviveASettledOperation(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(1)
	op := h.claim(copyLane)
	h.settle(op, event.Done)
	h.must(h.MarkRunning(h.ctx(), op, "late"))
	if open, err := h.OpenOperation(h.ctx(), copyLane); open != nil || err != nil {
		t.Errorf("open is %+v (%v)", open, err)
	}
}

func TestWhatCertainlyWasNotSentIsUnsentAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(2)
	op := h.claim(copyLane)
	_, err := h.SettleOperation(h.ctx(), op, []Outcome{
		{TransferID: 1, State: event.Queued, Unsent: true},
		{TransferID: 2, State: event.Queued},
	}, "")
	h.must(err)
	all := h.transfers()
	if !all[0].SentAt.IsZero() || !all[1].SentAt.Equal(start) {
		t.Errorf("sent at %v and %v", all[0].SentAt, all[1].SentAt)
	}
	// The first time it was sent counts.
	h.time.advance(time.Minute)
	h.claim(copyLane)
	all = h.transfers()
	if !all[0].SentAt.Equal(start.Add(time.Minute)) || !all[1].SentAt.Equal(start) {
		t.Errorf("then sent at %v and %v", all[0].SentAt, all[1].SentAt)
	}
}

func TestKnownResults(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(3)
	op := h.claim(copyLane)
	_, err := h.SettleOperation(h.ctx(), op, []Outcome{
		{TransferID: 1, State: event.Done, ResultID: "900", ResultVersion: 1},
		{TransferID: 2, State: event.Done, ResultID: "900", ResultVersion: 3},
		{TransferID: 3, State: event.Failed},
	}, "")
	h.must(err)
	asked := []event.ID{"900", "901", ""}
	for i := range 600 {
		asked = append(asked, event.ID(fmt.Sprint(5000+i)))
	}
	got, err := h.KnownResults(h.ctx(), "acme", event.File, asked)
	h.must(err)
	if diff := cmp.Diff(map[event.ID]int{"900": 3}, got); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	if got, err := h.KnownResults(h.ctx(), "beta", event.File, asked); err != nil || len(got) > 0 {
		t.Errorf("of another portal: %v, %v", got, err)
	}
}

func TestClaimTakesFromTheBudget(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(3)
	budget := Budget{WritesPerDay: 4} // one at once, then one every 8 h
	take := func() (*Operation, time.Duration) {
		t.Helper()
		op, wait, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1, Budget: budget, Fit: anything})
		h.must(err)
		return op, wait
	}
	// A claim of nothing costs nothing.
	if op, wait, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1, Budget: budget, Fit: func(Transfer) bool { return false }}); op != nil || wait != 0 || err != nil {
		t.Fatalf("where nothing fits: %+v, %v, %v", op, wait, err)
	}
	op, wait := take()
	if op == nil || wait != 0 {
		t.Fatalf("the first: %+v, %v", op, wait)
	}
	h.settle(op, event.Done)
	if op, wait = take(); op != nil || wait.Round(time.Second) != 8*time.Hour {
		t.Fatalf("at once again: %+v, %v, want to wait 8h", op, wait)
	}
	if want := []event.State{event.Done, event.Queued, event.Queued}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v: a claim without a write took something", h.states())
	}
	h.time.advance(wait)
	if op, wait = take(); op == nil || wait != 0 {
		t.Errorf("after the wait: %+v, %v", op, wait)
	}
	usage, err := h.Usage(h.ctx(), "acme", budget)
	h.must(err)
	if usage.WritesToday != 2 {
		t.Errorf("usage is %+v", usage)
	}
}

// TestAScarceWriteAndNobodyWhoWaits is about a lane whose transfers were all cancelled while it was about
// to claim them.
func TestAScarceWriteAndNobodyWhoWaits(t *testing.T) {
	t.Parallel()
	h := open(t)
	budget := Budget{WritesPerDay: 8} // two at once
	for range 2 {
		h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
			wait, err := takeWrite(h.ctx(), tx, "acme", copyLane, budget, h.time.now())
			if wait != 0 {
				t.Errorf("it waits %s for nobody", wait)
			}
			return err
		}))
	}
}

func TestAPauseHoldsWritesAndIsNeverShortened(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.queue(1)
	budget := Budget{WritesPerDay: 1000}
	h.must(h.PausePortal(h.ctx(), "acme", start.Add(time.Hour), "429"))
	h.must(h.PausePortal(h.ctx(), "acme", start.Add(time.Minute), "shorter"))
	op, wait, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1, Budget: budget, Fit: anything})
	if op != nil || wait != time.Hour || err != nil {
		t.Errorf("claimed %+v, wait %v, %v", op, wait, err)
	}
	usage, err := h.Usage(h.ctx(), "acme", budget)
	h.must(err)
	if !usage.PausedUntil.Equal(start.Add(time.Hour)) || usage.Reason != "429" {
		t.Errorf("usage is %+v", usage)
	}
	h.time.advance(time.Hour)
	if op, wait, err = h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1, Budget: budget, Fit: anything}); op == nil || wait != 0 || err != nil {
		t.Errorf("after the pause: %+v, %v, %v", op, wait, err)
	}
}
