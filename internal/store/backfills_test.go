package store

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// ofBackfill makes a transfer one that backfill 7 asks for.
func ofBackfill(t *NewTransfer) { t.WebhookID = BackfillWebhook(7) }

func TestABackfillLeavesOutWhatItsRuleHasTransferred(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		state  event.State // of the earlier transfer
		change func(*NewTransfer)
		want   []event.State
	}{
		{"one that is queued", event.Queued, nil, []event.State{event.Queued}},
		{"one that is done", event.Done, nil, []event.State{event.Done}},
		{"one that failed goes again", event.Failed, nil, []event.State{event.Queued}},
		{"one that was cancelled goes anew", event.Cancelled, nil, []event.State{event.Cancelled, event.Queued}},
		{"one of another rule", event.Done, rule("other"), []event.State{event.Done, event.Queued}},
		{"one to another destination", event.Done, to("21"), []event.State{event.Done, event.Queued}},
		{"one of another file", event.Done, entry("7"), []event.State{event.Done, event.Queued}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			if tt.change == nil {
				tt.change = func(*NewTransfer) {}
			}
			h.route(h.planned(tt.change, trigger("file.moved"), after(-24*time.Hour)))
			h.set(1, "state", string(tt.state))
			lanes := h.route(h.planned(ofBackfill))
			if got := h.states(); !slices.Equal(got, tt.want) {
				t.Errorf("states are %v, want %v", got, tt.want)
			}
			last := h.transfers()[len(tt.want)-1]
			if goes := len(tt.want) == 2 || tt.state == event.Failed; goes != IsBackfillLane(last.Lane) || goes != (len(lanes) == 1) {
				t.Errorf("the last is in lane %s, and %v are touched", last.Lane, lanes)
			}
			before, err := h.Handled(h.ctx(), "acme", "copies", event.File, []event.ID{"90412", "7"})
			h.must(err)
			if before["90412"]["20"] == "" {
				t.Errorf("what is known of the rule's transfers: %v", before)
			}
		})
	}
}

func TestAnEventOvertakesABackfill(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*NewTransfer){
		"that reports the upload itself": after(time.Second),
		"that reports a later change":    trigger("file.updated"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			h.route(h.planned(ofBackfill))
			h.route(h.planned(change))
			if want := []event.State{event.Cancelled, event.Queued}; !slices.Equal(h.states(), want) {
				t.Errorf("states are %v, want %v", h.states(), want)
			}
			if last := h.transfers()[1]; last.Lane != copyLane {
				t.Errorf("the event's transfer is in lane %s", last.Lane)
			}
		})
	}
	t.Run("but not what it queues again itself", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		presented := h.event(func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(7) })
		h.save(Decision{EventID: presented, State: event.EventRouted, Transfers: []NewTransfer{h.planned(ofBackfill)}})
		op := h.claim(copyLane + backfillSuffix)
		_, err := h.SettleOperation(h.ctx(), op, []Outcome{{TransferID: 1, State: event.Failed, Unsent: true}}, "")
		h.must(err)
		h.route(h.planned(after(time.Second)))
		if want := []event.State{event.Queued}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v, want %v", h.states(), want)
		}
	})
	t.Run("that has sent it already", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		presented := h.event(func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(7) })
		h.save(Decision{EventID: presented, State: event.EventRouted, Transfers: []NewTransfer{h.planned(ofBackfill)}})
		op := h.claim(copyLane + backfillSuffix)
		h.route(h.planned(after(time.Second)))
		if want := []event.State{event.Sending}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v, want %v: the upload is on its way", h.states(), want)
		}
		h.route(h.planned(trigger("file.updated"), after(time.Hour)))
		if want := []event.State{event.Sending, event.Queued}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v, want %v: what changed since must follow", h.states(), want)
		}
		h.settle(op, event.Done)
	})
	t.Run("that has sent it since", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(ofBackfill))
		op := h.claim(copyLane + backfillSuffix)
		missed := func(before time.Duration) func(*NewTransfer) {
			return func(t *NewTransfer) {
				t.Trigger, t.HappenedAt = "file.updated", t.HappenedAt.Add(time.Hour)
				t.HappenedHere = op.StartedAt.Add(-before)
			}
		}
		h.route(h.planned(missed(time.Minute)))
		if want := []event.State{event.Sending}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v, want %v: what is on its way is later than the event", h.states(), want)
		}
		h.settle(op, event.Done)
		h.route(h.planned(missed(time.Minute)))
		h.route(h.planned(missed(time.Second)))
		if want := []event.State{event.Done, event.Queued}; !slices.Equal(h.states(), want) {
			t.Errorf("states are %v, want %v: clocks differ by seconds, so the later event may be of a later change", h.states(), want)
		}
	})
}

// TestWhatAnEventReliesOnOutlivesItsBackfill has a backfill's call refused after an event has found that it
// brings what the event is about.
func TestWhatAnEventReliesOnOutlivesItsBackfill(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(h *harness){
		"when the backfill is cancelled": func(h *harness) {
			_, err := h.CancelBackfill(h.ctx(), 7)
			h.must(err)
		},
		"when the entry changes again": func(h *harness) { h.route(h.planned(trigger("file.updated"), after(time.Hour))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			presented := h.event(func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(7) })
			h.save(Decision{EventID: presented, State: event.EventRouted, Transfers: []NewTransfer{h.planned(ofBackfill)}})
			op := h.claim(copyLane + backfillSuffix)
			h.route(h.planned(trigger("file.updated"), func(t *NewTransfer) { t.HappenedHere = op.StartedAt.Add(-time.Minute) }))
			if n := len(h.states()); n != 1 {
				t.Fatalf("there are %d transfers", n)
			}
			_, err := h.SettleOperation(h.ctx(), op, []Outcome{{TransferID: 1, State: event.Queued, Unsent: true}}, "")
			h.must(err)
			then(h)
			if got := h.states()[0]; got != event.Queued {
				t.Errorf("what the event relies on is %s", got)
			}
			if counts, err := h.BackfillTransfers(h.ctx(), 7); err != nil || counts[event.Queued] != 1 {
				t.Errorf("the backfill counts %v, %v", counts, err)
			}
		})
	}
}

func TestABackfillTakesOnlyWritesToSpare(t *testing.T) {
	t.Parallel()
	h := open(t)
	budget := Budget{WritesPerDay: 40} // ten at once
	take := func(lane string) bool {
		t.Helper()
		op, _, err := h.Claim(h.ctx(), lane, ClaimOptions{Limit: 1, Budget: budget, Fit: anything})
		h.must(err)
		if op != nil {
			h.settle(op, event.Done)
		}
		return op != nil
	}
	for i := range 30 {
		id := event.ID(strings.Repeat("1", i+1))
		h.route(h.planned(ofBackfill, entry(id)))
		h.route(h.planned(entry("2" + id)))
	}
	old, live := 0, 0
	for take(copyLane + backfillSuffix) {
		old++
	}
	for take(copyLane) {
		live++
	}
	if old != 5 || live != 5 {
		t.Errorf("of ten writes a backfill took %d and left %d, want half", old, live)
	}
	if take(copyLane + backfillSuffix) {
		t.Error("a backfill took a write that others wait for")
	}
}

func TestABackfillIsStoredStepByStep(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.walkedBackfill()
	if _, err := h.CreateBackfill(h.ctx(), Backfill{Portal: "acme", Rule: "copies"}, nil, nil); !errors.Is(err, ErrBackfillRuns) {
		t.Errorf("a second one of the rule: %v", err)
	}
	if ended, err := h.EndBackfill(h.ctx(), id); err != nil || ended {
		t.Fatalf("with a transfer under way it ended: %v, %v", ended, err)
	}
	h.settle(h.claim(copyLane+backfillSuffix), event.Done)
	if ended, err := h.EndBackfill(h.ctx(), id); err != nil || !ended {
		t.Fatalf("it did not end: %v, %v", ended, err)
	}
	b, err := h.Backfill(h.ctx(), id)
	h.must(err)
	if b.State != BackfillDone || string(b.Tally) != "{}" || !b.EndedAt.Equal(start) || h.count("backfill_folders") != 0 {
		t.Errorf("the backfill is %+v", b)
	}
	if _, err := h.Backfill(h.ctx(), id+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another id: %v", err)
	}
}

// walkedBackfill stores a backfill with two folders, walks both, and routes one file.
func (h *harness) walkedBackfill() int64 {
	h.t.Helper()
	enqueued := int64(0)
	id, err := h.CreateBackfill(h.ctx(), Backfill{Portal: "acme", Rule: "copies", Since: start}, []BackfillFolder{{Folder: "10", Deep: true}},
		func(_ *sql.Tx, id int64) error { enqueued = id; return nil })
	h.must(err)
	if enqueued != id {
		h.t.Fatalf("the job is of backfill %d, not %d", enqueued, id)
	}
	for step := 0; ; step++ {
		f, err := h.NextBackfillFolder(h.ctx(), id)
		h.must(err)
		if f == nil {
			if step != 3 {
				h.t.Errorf("%d steps, want 3", step)
			}
			break
		}
		is := *f
		is.Start, is.Mark, is.Marked = f.Start+99, start, []event.ID{"5", "6"}
		is.Walked = step > 0
		found := []BackfillFolder{{Folder: "10", Deep: true}, {Folder: "11"}}
		save := func() error {
			return h.InTx(h.ctx(), func(tx *sql.Tx) error { return h.SaveBackfillStep(h.ctx(), tx, *f, is, found, []byte("{}")) })
		}
		h.must(save())
		if err := save(); !errors.Is(err, ErrMovedOn) {
			h.t.Errorf("the same step again: %v", err)
		}
	}
	h.must(h.InTx(h.ctx(), func(tx *sql.Tx) error {
		ids, err := h.InsertEvents(h.ctx(), tx, []NewEvent{
			h.delivery("1", func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(id) }),
			h.delivery("2", func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(id) }),
		})
		if err != nil {
			return err
		}
		if err := h.OweTo(h.ctx(), tx, "copies", ids); err != nil {
			return err
		}
		transfer := h.planned(func(t *NewTransfer) { t.WebhookID = BackfillWebhook(id) })
		_, err = h.SaveDecisions(h.ctx(), tx, []Decision{
			{EventID: ids[0], State: event.EventRouted, Was: []string{"copies"}, Transfers: []NewTransfer{transfer}},
			{EventID: ids[1], State: event.EventIgnored, Was: []string{"copies"}},
		})
		return err
	}))
	return id
}

func TestACancelledBackfillLeavesNothingWaiting(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.walkedBackfill()
	h.must(h.NoteBackfill(h.ctx(), id, "the portal is down"))
	n, err := h.CancelBackfill(h.ctx(), id)
	h.must(err)
	open, err := h.BackfillOpen(h.ctx(), id, 10)
	h.must(err)
	states, err := h.BackfillTransfers(h.ctx(), id)
	h.must(err)
	if n != 1 || open != 0 || states[event.Cancelled] != 1 {
		t.Errorf("%d were cancelled, %d are open, %v", n, open, states)
	}
	list, err := h.Backfills(h.ctx(), 10)
	h.must(err)
	running, err := h.RunningBackfills(h.ctx())
	h.must(err)
	if len(list) != 1 || list[0].State != BackfillCancelled || list[0].Note != "" || len(running) != 0 {
		t.Errorf("backfills are %+v, of which run %+v", list, running)
	}
}

func TestWhatWasCopiedIsRememberedWhenItsTransferIsDeleted(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned(), h.planned(asMove, entry("7")))
	h.settle(h.claim(copyLane), event.Done)
	h.settle(h.claim(moveLane), event.Done)
	h.time.advance(time.Hour)
	if n, _, err := h.Prune(h.ctx(), h.time.now(), Place{}, 10); n != 1 || err != nil {
		t.Fatalf("%d events were deleted, %v", n, err)
	}
	for _, tt := range []struct {
		rule string
		to   event.ID
		id   event.ID
		want bool
	}{{"copies", "20", "90412", true}, {"copies", "21", "90412", false}, {"other", "20", "90412", false}, {"moves", "30", "7", false}} {
		got, err := h.Remembered(h.ctx(), "acme", tt.rule, tt.to, event.File, tt.id)
		if got != tt.want || err != nil {
			t.Errorf("%+v is remembered: %v, %v", tt, got, err)
		}
	}
	h.route(h.planned(ofBackfill))
	if n := h.count("transfers"); n != 0 {
		t.Errorf("a backfill copies it again: %v", h.states())
	}
	h.route(h.planned(trigger("file.updated")))
	if n := h.count("transfers"); n != 1 {
		t.Errorf("an event of this moment led to %d transfers, want one", n)
	}
}

func TestACancelledBackfillFreesTheMovesThatWaitForIt(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.walkedBackfill()
	h.route(h.planned(asMove))
	if want := []event.State{event.Queued, event.Blocked}; !slices.Equal(h.states(), want) {
		t.Fatalf("states are %v, want %v", h.states(), want)
	}
	_, err := h.CancelBackfill(h.ctx(), id)
	h.must(err)
	if want := []event.State{event.Cancelled, event.Queued}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v", h.states(), want)
	}
}

func TestAnEventThatBringsNothingOvertakesNoBackfill(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.route(h.planned())
	h.act(Cancel, 1)
	h.route(h.planned(ofBackfill, after(-time.Hour)))
	h.route(h.planned(webhook("13"))) // another report of what was cancelled
	if want := []event.State{event.Cancelled, event.Queued}; !slices.Equal(h.states(), want) {
		t.Errorf("states are %v, want %v: nothing else brings the file", h.states(), want)
	}
}

func TestRetryDoublesNothingThatABackfillOrItsOvertakerDid(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, h *harness, id int64) {
		t.Helper()
		if got := h.act(Retry, id); !strings.Contains(got.Refused[id], "does the same") && !strings.Contains(got.Refused[id], "before") {
			t.Errorf("acted %+v; states %v", got, h.states())
		}
	}
	t.Run("a backfill's that an event overtook", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(ofBackfill))
		h.route(h.planned(trigger("file.updated"), after(time.Hour)))
		h.settle(h.claim(copyLane), event.Done)
		refused(t, h, 1)
	})
	t.Run("an event's, cancelled, that a backfill brought later", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(trigger("file.updated")))
		h.act(Cancel, 1)
		h.route(h.planned(ofBackfill, after(-time.Hour)))
		h.settle(h.claim(copyLane+backfillSuffix), event.Done)
		refused(t, h, 1)
	})
	t.Run("a backfill's, cancelled, whose overtaker's transfer is deleted", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(trigger("file.updated")))
		h.settle(h.claim(copyLane), event.Done)
		h.time.advance(time.Hour)
		_, _, err := h.Prune(h.ctx(), h.time.now(), Place{}, 10)
		h.must(err)
		h.insertCancelledOfBackfill()
		refused(t, h, h.transfers()[0].ID)
	})
	t.Run("but an event's goes again after what a backfill did before it", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.route(h.planned(ofBackfill))
		h.settle(h.claim(copyLane+backfillSuffix), event.Done)
		h.route(h.planned(trigger("file.updated"), after(time.Hour)))
		h.settle(h.claim(copyLane), event.Failed)
		if got := h.act(Retry, 2); len(got.IDs) != 1 {
			t.Errorf("acted %+v", got)
		}
	})
}

// insertCancelledOfBackfill stores a cancelled transfer of a backfill whatever is known of its entry.
func (h *harness) insertCancelledOfBackfill() {
	h.t.Helper()
	h.route(h.planned(rule("other"), ofBackfill))
	_, err := h.write.ExecContext(h.ctx(), `UPDATE transfers SET rule = 'copies', state = 'cancelled'`)
	h.must(err)
}

func TestAReplayedEventOfABackfillIsForItsRuleAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.walkedBackfill()
	ids, err := queryColumn[int64](h.ctx(), h.read, `SELECT id FROM events WHERE webhook_id = $1 ORDER BY id`, BackfillWebhook(id))
	h.must(err)
	h.replay(ids[1])
	pending, err := h.PendingEvents(h.ctx(), ids)
	h.must(err)
	if len(pending) != 1 || !slices.Equal(pending[0].Owed, []string{"copies"}) {
		t.Errorf("pending are %+v, want one that owes its rule", pending)
	}
}

func TestAReplayedEventOfABackfillFollowsItsTransfer(t *testing.T) {
	t.Parallel()
	for _, state := range []event.State{event.Failed, event.Cancelled, event.Done} {
		h := open(t)
		presented := h.event(func(e *NewEvent) { e.Event.WebhookID = BackfillWebhook(7) })
		decision := Decision{EventID: presented, State: event.EventRouted, Transfers: []NewTransfer{h.planned(ofBackfill)}}
		h.save(decision)
		h.settle(h.claim(copyLane+backfillSuffix), state)
		h.time.advance(time.Minute)
		h.replay(presented)
		h.save(decision)
		want := []event.State{state}
		if state == event.Failed {
			want[0] = event.Queued
		}
		if !slices.Equal(h.states(), want) {
			t.Errorf("after one that was %s: states are %v, want %v", state, h.states(), want)
		}
	}
}
