package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// TestSettlingDoesNotWaitForMovesThatSomebodyActsOn lets somebody cancel a move and the copy that it
// waits for, while that copy is being settled. Each would wait for the other.
func TestSettlingDoesNotWaitForMovesThatSomebodyActsOn(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip("on SQLite writing transactions are serial")
	}
	h := open(t)
	h.route(h.planned(), h.planned(asMove))
	h.route(h.planned(to("40"), trigger("file.updated")))
	h.settle(h.claim(copyLane), event.Done)
	op := h.claim("acme|copy|file|duplicate|40")
	acted := make(chan error, 1)
	h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
		if err := h.saveOutcome(h.ctx(), tx, op, Outcome{TransferID: 3, State: event.Done}, h.time.now()); err != nil {
			return err
		}
		go func() {
			_, err := h.Act(context.WithoutCancel(h.ctx()), Cancel, []int64{2, 3}, "Ann")
			acted <- err
		}()
		for waits := 0; waits == 0; {
			if err := h.read.QueryRowContext(h.ctx(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits); err != nil {
				return err
			}
		}
		_, err := h.unblockMoves(h.ctx(), tx, []int64{3}, h.time.now())
		return err
	}))
	h.must(<-acted)
	if got := h.states(); got[1] != event.Cancelled || got[2] != event.Done {
		t.Errorf("states are %v", got)
	}
}

// TestRowsAreLockedInTheOrderOfTheirIDs lets somebody lock one row, and those after it while a change of
// many waits for the first. Whoever holds one of those already would wait in a circle.
func TestRowsAreLockedInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip("on SQLite writing transactions are serial")
	}
	const many = 20
	entries := func(h *harness, change ...func(*NewTransfer)) (all []NewTransfer) {
		for i := range many {
			all = append(all, h.planned(append(change, entry(event.ID(strconv.Itoa(100+i))))...))
		}
		return all
	}
	// The table and the indexes have the rows in another order than that of their ids.
	scatter := func(h *harness, table, column string) {
		for id := many; id > 0; id-- {
			_, err := h.write.ExecContext(h.ctx(), `UPDATE `+table+` SET `+column+` = $1 WHERE id = $2`, many-id, id)
			h.must(err)
		}
	}
	failed := func(h *harness) {
		h.route(entries(h)...)
		h.settle(h.claim(copyLane), event.Failed)
	}
	const firstTransfer, otherTransfers = `SELECT id FROM transfers WHERE id = 1 FOR UPDATE`, `SELECT id FROM transfers WHERE id > 1 ORDER BY id FOR UPDATE`
	for _, tt := range []struct {
		name          string
		first, others string
		change        func(h *harness) func() error
	}{
		{"holding what a pause holds", firstTransfer, otherTransfers, func(h *harness) func() error {
			h.route(entries(h)...)
			scatter(h, "transfers", "next_attempt_at")
			h.pause(PauseRule, "copies", time.Hour)
			return func() error { _, err := h.holdPaused(h.ctx(), copyLane); return err }
		}},
		{"resuming", firstTransfer, otherTransfers, func(h *harness) func() error {
			h.route(entries(h)...)
			h.pause(PauseRule, "copies", time.Hour)
			h.claimable()
			scatter(h, "transfers", "next_attempt_at")
			return func() error { _, err := h.Resume(h.ctx(), PauseRule, "copies"); return err }
		}},
		{"cancelling a backfill", firstTransfer, otherTransfers, func(h *harness) func() error {
			h.route(entries(h, ofBackfill)...)
			scatter(h, "transfers", "next_attempt_at")
			return func() error { _, err := h.CancelBackfill(h.ctx(), 7); return err }
		}},
		{"cancelling a backfill's events", `SELECT id FROM events WHERE id = 1 FOR UPDATE`, `SELECT id FROM events WHERE id > 1 ORDER BY id FOR UPDATE`, func(h *harness) func() error {
			for range many {
				id := h.event(func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(7) })
				h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error { return h.OweTo(h.ctx(), tx, "copies", []int64{id}) }))
			}
			scatter(h, "events", "attempts")
			return func() error { _, err := h.CancelBackfill(h.ctx(), 7); return err }
		}},
		{"sweeping moves", firstTransfer, otherTransfers, func(h *harness) func() error {
			h.route(entries(h, asMove)...)
			_, err := h.write.ExecContext(h.ctx(), `UPDATE transfers SET state = 'blocked'`)
			h.must(err)
			scatter(h, "transfers", "next_attempt_at")
			return func() error { return h.ReleaseMoves(h.ctx()) }
		}},
		{"settling", firstTransfer, otherTransfers, func(h *harness) func() error {
			h.route(entries(h)...)
			op := h.claim(copyLane)
			var outcomes []Outcome
			for _, t := range slices.Backward(op.Transfers) {
				outcomes = append(outcomes, Outcome{TransferID: t.ID, State: event.Done})
			}
			return func() error { _, err := h.SettleOperation(h.ctx(), op, outcomes, ""); return err }
		}},
		{"routing what failed before", firstTransfer, otherTransfers, func(h *harness) func() error {
			failed(h)
			again := entries(h, webhook("13"))
			slices.Reverse(again)
			id := h.event()
			return func() error {
				return h.InTx(h.ctx(), func(tx *sql.Tx) error {
					_, err := h.SaveDecisions(h.ctx(), tx, []Decision{{EventID: id, State: event.EventRouted, Transfers: again}})
					return err
				})
			}
		}},
		{"routing events and what failed before", `SELECT id FROM events WHERE id = 3 FOR UPDATE`, `SELECT id FROM transfers WHERE id = 1 FOR UPDATE`, func(h *harness) func() error {
			failed(h)
			decisions := []Decision{
				{EventID: h.event(), State: event.EventRouted, Transfers: entries(h, webhook("13"))},
				{EventID: h.event(), State: event.EventIgnored},
			}
			return func() error {
				return h.InTx(h.ctx(), func(tx *sql.Tx) error {
					_, err := h.SaveDecisions(h.ctx(), tx, decisions)
					return err
				})
			}
		}},
		{"retrying copies with moves that wait", `SELECT id FROM transfers WHERE id = 2 FOR UPDATE`, `SELECT id FROM transfers WHERE id > 2 ORDER BY id FOR UPDATE`, func(h *harness) func() error {
			h.route(h.planned(), h.planned(asMove))
			h.route(h.planned(entry("2")), h.planned(entry("2"), asMove))
			h.settle(h.claim(copyLane), event.Failed)
			return func() error { _, err := h.Act(h.ctx(), Retry, []int64{1, 3}, "Ann"); return err }
		}},
		{"deleting old operations", `SELECT id FROM operations WHERE id = 1 FOR UPDATE`, `SELECT id FROM operations WHERE id > 1 ORDER BY id FOR UPDATE`, func(h *harness) func() error {
			for i := range many {
				h.route(h.planned(entry(event.ID(strconv.Itoa(100 + i)))))
				h.settle(h.claim(copyLane), event.Done)
			}
			scatter(h, "operations", "settled_at")
			return func() error { _, err := h.PruneOperations(h.ctx(), h.time.now(), 500); return err }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			change := tt.change(h)
			changed := make(chan error, 1)
			h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
				if _, err := queryColumn[int64](h.ctx(), tx, tt.first); err != nil {
					return err
				}
				go func() { changed <- change() }()
				for waits := 0; waits == 0; {
					if err := h.read.QueryRowContext(h.ctx(), `SELECT count(*) FROM pg_stat_activity
						WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits); err != nil {
						return err
					}
				}
				_, err := queryColumn[int64](h.ctx(), tx, tt.others)
				return err
			}))
			h.must(<-changed)
		})
	}
}
