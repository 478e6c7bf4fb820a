package store

import (
	"context"
	"database/sql"
	"testing"

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
