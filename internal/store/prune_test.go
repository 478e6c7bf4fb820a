package store

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// TestNothingIsDeletedThatIsTakenUpAgain lets somebody take an old event, or a transfer of it, up
// again in the very moment in which both are to be deleted.
func TestNothingIsDeletedThatIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip("on SQLite writing transactions are serial")
	}
	for name, again := range map[string]func(h *harness, tx *sql.Tx) error{
		"an event that is replayed": func(h *harness, tx *sql.Tx) error {
			_, err := tx.ExecContext(h.ctx(), `UPDATE events SET state = 'pending', routed_at = 0 WHERE id = 1`)
			return err
		},
		"a transfer that is retried": func(h *harness, tx *sql.Tx) error {
			list, err := h.forAction(h.ctx(), tx, Retry, []int64{2})
			if err == nil {
				_, err = h.Store.act(h.ctx(), tx, Retry, list[0], "Ann", h.time.now(), map[string]bool{})
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.route(h.planned(), h.planned(to("40")))
			h.settle(h.claim(copyLane), event.Done)
			h.act(Cancel, 2)
			h.time.advance(time.Hour)
			pruned := make(chan error, 1)
			h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
				if err := again(h, tx); err != nil {
					return err
				}
				go func() {
					_, _, err := h.Prune(context.WithoutCancel(h.ctx()), h.time.now(), Place{}, 10)
					pruned <- err
				}()
				for waits := 0; waits == 0; {
					if err := h.read.QueryRowContext(h.ctx(), `SELECT count(*) FROM pg_stat_activity
						WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits); err != nil {
						return err
					}
				}
				return nil
			}))
			h.must(<-pruned)
			if events, transfers := h.count("events"), h.count("transfers"); events != 1 || transfers != 2 {
				t.Errorf("%d events and %d transfers are left, want 1 and 2", events, transfers)
			}
		})
	}
}
