package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func TestInsertEventsStoresADeliveryOnce(t *testing.T) {
	t.Parallel()
	is := func(change ...func(*NewEvent)) func(*NewEvent) {
		return func(e *NewEvent) {
			e.Event.ID = "1"
			for _, c := range change {
				c(e)
			}
		}
	}
	one, two, three := is(), is(eventID("2")), is(eventID("3"))
	tests := []struct {
		name   string
		stored []func(*NewEvent) // before
		group  []func(*NewEvent)
		isNew  []bool
	}{
		{"new ones", nil, []func(*NewEvent){one, two, three}, []bool{true, true, true}},
		{"one that is stored", []func(*NewEvent){one}, []func(*NewEvent){one}, []bool{false}},
		{"one among new ones", []func(*NewEvent){one}, []func(*NewEvent){two, one, three}, []bool{true, false, true}},
		{"twice in a group", nil, []func(*NewEvent){one, two, one, one}, []bool{true, true, false, false}},
		{"of another webhook", []func(*NewEvent){one}, []func(*NewEvent){is(func(e *NewEvent) { e.Event.WebhookID = "13" })}, []bool{true}},
		{"of another portal", []func(*NewEvent){one}, []func(*NewEvent){is(func(e *NewEvent) { e.Portal = "beta" })}, []bool{true}},
		{"of a portal that was set up anew and counts from 1 again", []func(*NewEvent){one}, []func(*NewEvent){is(func(e *NewEvent) {
			e.Event.CreatedOn = e.Event.CreatedOn.Add(time.Minute)
		})}, []bool{true}},
		{"a retry with another body, received later", []func(*NewEvent){one}, []func(*NewEvent){is(func(e *NewEvent) {
			e.Body, e.ReceivedAt = []byte("{}"), e.ReceivedAt.Add(time.Hour)
		})}, []bool{false}},
		{"nothing", nil, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			for _, change := range tt.stored {
				h.insert(h.delivery("", change))
			}
			var group []NewEvent
			for _, change := range tt.group {
				group = append(group, h.delivery("", change))
			}
			stored := len(tt.stored)
			for i, id := range h.insert(group...) {
				if isNew := id != 0; isNew != tt.isNew[i] {
					t.Errorf("delivery %d is new: %v", i, isNew)
				}
				if id != 0 {
					stored++
					h.checkRow(id, group[i])
				}
			}
			if n := h.count("events"); n != stored {
				t.Errorf("%d events are stored, want %d", n, stored)
			}
		})
	}
}

// checkRow compares the identity of a stored event.
func (h *harness) checkRow(id int64, want NewEvent) {
	h.t.Helper()
	var got string
	h.must(h.read.QueryRowContext(h.ctx(), `SELECT portal || ' ' || webhook_id || ' ' || event_id FROM events WHERE id = $1`, id).Scan(&got))
	if want := want.Portal + " " + want.Event.WebhookID + " " + want.Event.ID; got != want {
		h.t.Errorf("event %d is %s, want %s", id, got, want)
	}
}

func eventID(id string) func(*NewEvent) { return func(e *NewEvent) { e.Event.ID = id } }

func TestALargeGroupIsStoredWhole(t *testing.T) {
	t.Parallel()
	h := open(t)
	var group []NewEvent
	for i := range 400 {
		group = append(group, h.delivery(fmt.Sprint(i)), h.delivery(fmt.Sprint(i)))
	}
	for i, id := range h.insert(group...) {
		if isNew := id != 0; isNew != (i%2 == 0) {
			t.Fatalf("delivery %d has id %d", i, id)
		}
		if id != 0 {
			h.checkRow(id, group[i])
		}
	}
}

func TestAnEventIsReadBackAsItWasStored(t *testing.T) {
	t.Parallel()
	h := open(t)
	odd := "a'b\"c\\ \uFFFD ключ \U0001F600"
	body := []byte("{\"id\":1, \"x\":\"\xff\x00\"}")
	withDate := h.delivery(odd, func(e *NewEvent) {
		e.Event.Entry.Title, e.Body = odd, body
		e.Event.CreatedOn = time.Date(2026, 3, 2, 10, 0, 0, int(123*time.Millisecond), time.FixedZone("", 3600))
	})
	withoutDate := h.delivery("2", func(e *NewEvent) { e.Event.CreatedOn = time.Time{} })
	h.insert(withDate, withoutDate)
	got, err := h.PendingEvents(h.ctx(), []int64{2, 1, 99})
	h.must(err)
	want := []PendingEvent{
		{ID: 1, Portal: "acme", EventID: odd, Trigger: "file.uploaded", ReceivedAt: start, HappenedAt: start.Add(123 * time.Millisecond), Body: body},
		{ID: 2, Portal: "acme", EventID: "2", Trigger: "file.uploaded", ReceivedAt: start, HappenedAt: start, Body: withoutDate.Body},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	list, _, err := h.Events(h.ctx(), Filter{Limit: 10})
	h.must(err)
	wantList := []StoredEvent{
		{ID: 2, Portal: "acme", WebhookID: "12", EventID: "2", Trigger: "file.uploaded", Kind: event.File, EntryID: "90412", Title: "report.pdf",
			State: event.EventPending, HappenedAt: start, ReceivedAt: start},
		{ID: 1, Portal: "acme", WebhookID: "12", EventID: odd, Trigger: "file.uploaded", Kind: event.File, EntryID: "90412", Title: odd,
			State: event.EventPending, HappenedAt: start.Add(123 * time.Millisecond), ReceivedAt: start},
	}
	if diff := cmp.Diff(wantList, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestPendingEventsAreThoseNotDecided(t *testing.T) {
	t.Parallel()
	h := open(t)
	var group []NewEvent
	for i := range 600 { // more than one statement takes
		group = append(group, h.delivery(fmt.Sprint(i)))
	}
	ids := h.insert(group...)
	h.save(
		Decision{EventID: ids[0], State: event.EventRouted},
		Decision{EventID: ids[1], State: event.EventIgnored, Reason: "no rule matched"},
		Decision{EventID: ids[2], State: event.EventFailed, Reason: "gone"},
		Decision{EventID: ids[3], State: event.EventPending, Reason: "the portal is down"},
	)
	pending, err := h.PendingEvents(h.ctx(), ids)
	h.must(err)
	if len(pending) != 597 || pending[0].ID != ids[3] || pending[0].Attempts != 1 || pending[1].Attempts != 0 {
		t.Errorf("%d are pending, the first %+v", len(pending), pending[0])
	}
	if none, err := h.PendingEvents(h.ctx(), nil); err != nil || len(none) > 0 {
		t.Errorf("of none: %v, %v", none, err)
	}
}

func TestStalePending(t *testing.T) {
	t.Parallel()
	h := open(t)
	decided := h.event()
	h.save(Decision{EventID: decided, State: event.EventIgnored})
	a, b := h.event(), h.event()
	h.time.advance(time.Minute)
	fresh := h.event()
	for _, tt := range []struct {
		before time.Time
		limit  int
		want   []int64
	}{
		{h.time.now(), 10, []int64{a, b}},
		{h.time.now(), 1, []int64{a}},
		{h.time.now().Add(time.Second), 10, []int64{a, b, fresh}},
		{start, 10, nil},
	} {
		got, err := h.StalePending(h.ctx(), tt.before, tt.limit)
		h.must(err)
		if !slices.Equal(got, tt.want) {
			t.Errorf("before %v at most %d: %v, want %v", tt.before, tt.limit, got, tt.want)
		}
	}
}

func TestDecisionsAreStoredOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.event()
	decision := Decision{EventID: id, State: event.EventRouted, Reason: "rule x: suppressed", Transfers: []NewTransfer{h.planned()}}
	if diff := cmp.Diff([]string{copyLane}, h.save(decision)); diff != "" {
		t.Errorf("lanes (-want +got):\n%s", diff)
	}
	h.time.advance(time.Minute)
	decision.Reason = "again"
	decision.Transfers = append(decision.Transfers, h.planned(to("21")))
	if lanes := h.save(decision); len(lanes) > 0 {
		t.Errorf("the second run touched %v", lanes)
	}
	if n := h.count("transfers"); n != 1 {
		t.Errorf("there are %d transfers", n)
	}
	list, _, err := h.Events(h.ctx(), Filter{Limit: 1})
	h.must(err)
	if got := list[0]; got.State != event.EventRouted || got.Reason != "rule x: suppressed" || !got.RoutedAt.Equal(start) {
		t.Errorf("event is %+v", got)
	}
	if lanes := h.save(Decision{EventID: 99, State: event.EventRouted, Transfers: []NewTransfer{h.planned()}}); len(lanes) > 0 || h.count("transfers") != 1 {
		t.Error("an event that does not exist was routed")
	}
}

// TestWhatAnEventIsOwed lets a second run decide by what the first one read.
func TestWhatAnEventIsOwed(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.event()
	partly := Decision{EventID: id, State: event.EventPending, Owed: []string{"filed", "away"}, Transfers: []NewTransfer{h.planned()}}
	h.save(partly)
	pending, err := h.PendingEvents(h.ctx(), []int64{id})
	h.must(err)
	if len(pending) != 1 || !slices.Equal(pending[0].Owed, partly.Owed) {
		t.Fatalf("pending: %+v, want one event that is owed %q", pending, partly.Owed)
	}
	partly.Transfers = []NewTransfer{h.planned(to("21"))}
	if lanes := h.save(partly); len(lanes) > 0 || h.count("transfers") != 1 {
		t.Errorf("a decision on the whole event was stored after one on a part of it: %v", lanes)
	}
	partly.State, partly.Was, partly.Owed = event.EventRouted, partly.Owed, nil
	if lanes := h.save(partly); len(lanes) != 1 || h.count("transfers") != 2 {
		t.Errorf("what was owed was not stored: %v", lanes)
	}
}

func TestAnUndecidedEventStaysPending(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.event()
	for range 2 {
		h.save(Decision{EventID: id, State: event.EventPending, Reason: "the portal is down"})
	}
	h.save(Decision{EventID: id, State: event.EventFailed, Reason: "given up"})
	list, _, err := h.Events(h.ctx(), Filter{Limit: 1})
	h.must(err)
	if got := list[0]; got.State != event.EventFailed || got.Reason != "given up" || got.RoutedAt.IsZero() {
		t.Errorf("event is %+v", got)
	}
	attempts, err := queryColumn[int](h.ctx(), h.read, `SELECT attempts FROM events`)
	if err != nil || !slices.Equal(attempts, []int{2}) {
		t.Errorf("attempts are %v (%v)", attempts, err)
	}
}

func TestARolledBackDecisionLeavesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.event()
	failure := errors.New("the job could not be completed")
	err := h.InTx(h.ctx(), func(tx *sql.Tx) error {
		lanes, err := h.SaveDecisions(h.ctx(), tx, []Decision{{EventID: id, State: event.EventRouted, Transfers: []NewTransfer{h.planned()}}})
		if err != nil || len(lanes) != 1 {
			return fmt.Errorf("lanes %v: %w", lanes, err)
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	pending, err := h.PendingEvents(h.ctx(), []int64{id})
	if err != nil || len(pending) != 1 || h.count("transfers") != 0 {
		t.Errorf("pending are %v (%v), and there are %d transfers", pending, err, h.count("transfers"))
	}
}

func TestPruneKeepsWhatIsStillNeeded(t *testing.T) {
	t.Parallel()
	h := open(t)
	// One event of each kind, in this order; each transfer is of a file and lane of its own.
	routed := func(name string, end event.State) {
		lane := h.route(h.planned(entry(event.ID(name)), to(event.ID(name))))[0]
		if end != "" {
			h.settle(h.claim(lane), end)
		}
	}
	routed("done", event.Done)
	routed("skipped", event.Skipped)
	routed("cancelled", event.Cancelled)
	routed("failed", event.Failed)
	routed("queued", "")
	h.claim(h.route(h.planned(entry("sending"), to("sending")))[0])
	h.save(Decision{EventID: h.event(), State: event.EventIgnored})
	h.save(Decision{EventID: h.event(), State: event.EventFailed, Reason: "gone"})
	h.save(Decision{EventID: h.event(), State: event.EventRouted})
	h.event() // pending
	h.route(h.planned(entry("blocked"), to("kept")), h.planned(entry("blocked"), asMove))

	h.time.advance(time.Hour)
	if n, _, err := h.Prune(h.ctx(), start, Place{}, 100); n != 0 || err != nil {
		t.Errorf("%d events of the very moment are pruned (%v)", n, err)
	}
	routed("ended now", event.Done)

	// In steps, as retention does.
	// A step that deletes nothing is not the last.
	var steps []int
	for place := (Place{}); len(steps) == 0 || place != (Place{}); {
		var n int
		var err error
		n, place, err = h.Prune(h.ctx(), h.time.now(), place, 2)
		h.must(err)
		steps = append(steps, n)
	}
	if want := []int{2, 1, 0, 1, 1, 0}; !slices.Equal(steps, want) {
		t.Errorf("pruned in steps of %v, want %v", steps, want)
	}
	left, err := queryColumn[int64](h.ctx(), h.read, `SELECT id FROM events ORDER BY id`)
	h.must(err)
	if want := []int64{4, 5, 6, 8, 10, 11, 12}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
	if want := []event.State{event.Failed, event.Queued, event.Sending, event.Queued, event.Blocked, event.Done}; !slices.Equal(h.states(), want) {
		t.Errorf("transfers left are %v, want %v", h.states(), want)
	}

	n, err := h.PruneOperations(h.ctx(), h.time.now(), 3)
	if err != nil || n != 3 {
		t.Errorf("%d operations are pruned (%v), want 3", n, err)
	}
	if n, err = h.PruneOperations(h.ctx(), h.time.now(), 3); err != nil || n != 1 {
		t.Errorf("then %d (%v), want 1", n, err)
	}
	states, err := queryColumn[string](h.ctx(), h.read, `SELECT state FROM operations ORDER BY id`)
	if err != nil || !slices.Equal(states, []string{"sending", "settled"}) { // the second ended now
		t.Errorf("operations left are %v (%v)", states, err)
	}
}

func TestRuleFiles(t *testing.T) {
	t.Parallel()
	h := open(t)
	if files, err := h.RuleFiles(h.ctx()); err != nil || len(files) > 0 {
		t.Errorf("at first: %v, %v", files, err)
	}
	h.must(h.SaveRules(h.ctx(), "1", "start", []RuleFile{{Name: "b.yaml", Hash: "2", Text: []byte("b\x00")}, {Name: "a.yaml", Hash: "1", Text: []byte("a")}}))
	files, err := h.RuleFiles(h.ctx())
	h.must(err)
	want := []RuleFile{{Name: "a.yaml", Hash: "1", Text: []byte("a"), LoadedAt: start}, {Name: "b.yaml", Hash: "2", Text: []byte("b\x00"), LoadedAt: start}}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	// Two of one name fail, and the version before stays.
	if err := h.SaveRules(h.ctx(), "2", "start", []RuleFile{{Name: "c", Text: []byte{}}, {Name: "c", Text: []byte{}}}); err == nil || !strings.HasPrefix(err.Error(), "store rules files: ") {
		t.Errorf("error %v", err)
	}
	h.time.advance(time.Second)
	h.reopen()
	if files, err = h.RuleFiles(h.ctx()); err != nil || !cmp.Equal(want, files) {
		t.Errorf("after a failed save: %v, %v", files, err)
	}
	h.must(h.SaveRules(h.ctx(), "3", "start", []RuleFile{{Name: "a.yaml", Hash: "3", Text: []byte("c")}}))
	files, err = h.RuleFiles(h.ctx())
	h.must(err)
	if diff := cmp.Diff([]RuleFile{{Name: "a.yaml", Hash: "3", Text: []byte("c"), LoadedAt: start.Add(time.Second)}}, files); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
}
