package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

// fill stores six events, a second apart: 1 to 3 routed by the rule "copies", 4 by "moves",
// 5 of another portal ignored, 6 pending. The transfer of 1 is done, that of 2 is sending.
func (h *harness) fill() {
	h.t.Helper()
	for i := 1; i <= 6; i++ {
		portal := "acme"
		if i == 5 {
			portal = "beta"
		}
		id := h.event(func(e *NewEvent) { e.Portal = portal })
		planned := h.planned(entry(event.ID(fmt.Sprint(i))))
		switch {
		case i <= 3:
			h.save(Decision{EventID: id, State: event.EventRouted, Transfers: []NewTransfer{planned}})
		case i == 4:
			asMove(&planned)
			h.save(Decision{EventID: id, State: event.EventRouted, Transfers: []NewTransfer{planned}})
		case i == 5:
			h.save(Decision{EventID: id, State: event.EventIgnored})
		}
		h.time.advance(time.Second)
	}
	for _, end := range []event.State{event.Done, ""} {
		op, _, err := h.Claim(h.ctx(), copyLane, ClaimOptions{Limit: 1, Fit: anything})
		h.must(err)
		if end != "" {
			h.settle(op, end)
		}
	}
}

func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.fill()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	tests := []struct {
		name              string
		filter            Filter
		events, transfers string
	}{
		{"everything, newest first", Filter{}, "6 5 4 3 2 1", "4 3 2 1"},
		{"a page", Filter{Limit: 2}, "6 5", "4 3"},
		{"the page after it", Filter{Limit: 2, Before: 3}, "2 1", "2 1"},
		{"the page after the last", Filter{Before: 1}, "", ""},
		{"a portal", Filter{Portal: "acme"}, "6 4 3 2 1", "4 3 2 1"},
		{"a portal without transfers", Filter{Portal: "beta"}, "5", ""},
		{"an unknown portal", Filter{Portal: "none"}, "", ""},
		{"a rule", Filter{Rule: "copies"}, "3 2 1", "3 2 1"},
		{"an unknown rule", Filter{Rule: "none"}, "", ""},
		{"since a time", Filter{Since: at(2)}, "6 5 4 3", "4 3"},
		{"since a moment later", Filter{Since: at(2).Add(time.Millisecond)}, "6 5 4", "4"},
		{"since the future", Filter{Since: at(1000)}, "", ""},
		{"since long ago", Filter{Since: at(-1000)}, "6 5 4 3 2 1", "4 3 2 1"},
		{"a state of events", Filter{States: []string{"routed"}}, "4 3 2 1", ""},
		{"several states of events", Filter{States: []string{"pending", "ignored"}}, "6 5", ""},
		{"several states of transfers", Filter{States: []string{"done", "queued"}}, "", "4 3 1"},
		{"a page of several states", Filter{States: []string{"done", "queued"}, Limit: 2}, "", "4 3"},
		{"part of a title, in any case", Filter{Search: "PORT.P"}, "6 5 4 3 2 1", "4 3 2 1"},
		{"no part of any title", Filter{Search: "invoice"}, "", ""},
		{"what is no pattern", Filter{Search: "report%"}, "", ""},
		{"part of a title in several states", Filter{Search: "report", States: []string{"done", "sending", "routed"}}, "4 3 2 1", "2 1"},
		{"part of a title of a rule", Filter{Search: "report", Rule: "copies"}, "3 2 1", "3 2 1"},
		{"until a time", Filter{Until: at(2)}, "2 1", "2 1"},
		{"between two times", Filter{Since: at(1), Until: at(3)}, "3 2", "3 2"},
		{"a state of transfers", Filter{States: []string{"queued"}}, "", "4 3"},
		{"all at once", Filter{Portal: "acme", Rule: "copies", Since: at(1), Before: 3, Limit: 5}, "2", "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.filter.Limit == 0 {
				tt.filter.Limit = 100
			}
			events, _, err := h.Events(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			transfers, _, err := h.Transfers(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			var gotEvents, gotTransfers []string
			for _, e := range events {
				gotEvents = append(gotEvents, fmt.Sprint(e.ID))
			}
			for _, tr := range transfers {
				gotTransfers = append(gotTransfers, fmt.Sprint(tr.ID))
			}
			got := [2]string{strings.Join(gotEvents, " "), strings.Join(gotTransfers, " ")}
			if diff := cmp.Diff([2]string{tt.events, tt.transfers}, got); diff != "" {
				t.Errorf("events and transfers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPagesOfEveryFilter follows the pages of each combination of filters through many windows, and finds
// what the filters say, each row once, newest first.
func TestPagesOfEveryFilter(t *testing.T) {
	t.Parallel()
	h := open(t)
	const n = 4 * window
	h.fillMany(n)
	since, until := start.Add(500*2*time.Second), start.Add((n-500)*2*time.Second)
	for i := range 1 << 7 {
		f := Filter{}
		transfers, events := "id > 0", "id > 0"
		narrow := func(bit int, condition string, both bool, set func()) {
			if i&(1<<bit) == 0 {
				return
			}
			set()
			transfers += " AND " + strings.ReplaceAll(condition, "at ", "created_at ")
			if both {
				events += " AND " + strings.ReplaceAll(condition, "at ", "received_at ")
			}
		}
		narrow(0, "state IN ('done', 'failed', 'routed')", true, func() { f.States = []string{"done", "failed", "routed"} })
		narrow(1, "portal = 'gamma'", true, func() { f.Portal = "gamma" })
		narrow(2, "rule = 'rule-1'", false, func() { f.Rule = "rule-1" })
		if f.Rule != "" {
			events += " AND id IN (SELECT event_id FROM transfers WHERE rule = 'rule-1')"
		}
		narrow(3, fmt.Sprintf("at >= %d", millis(since)), true, func() { f.Since = since })
		narrow(4, fmt.Sprintf("at < %d", millis(until)), true, func() { f.Until = until })
		narrow(5, "search LIKE '%77%'", true, func() { f.Search = "77" })
		narrow(6, "('client-7' IN (source, base, destination) OR portal = 'gamma' AND '12' IN (source, base, destination))", false, func() {
			f.Rooms = []Room{{ID: "client-7"}, {Portal: "gamma", ID: "12"}}
		})
		t.Run(strings.TrimPrefix(transfers, "id > 0"), func(t *testing.T) {
			t.Parallel()
			lists := map[string]string{"transfers": transfers, "events": events}
			if f.Rooms != nil {
				delete(lists, "events") // they have none
			}
			for table, where := range lists {
				want, err := queryColumn[int64](t.Context(), h.read, `SELECT id FROM `+table+` WHERE `+where+` ORDER BY id DESC`)
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for f := f; ; {
					f.Limit = 300
					var next int64
					if table == "events" {
						var page []StoredEvent
						page, next, err = h.Events(t.Context(), f)
						for _, e := range page {
							got = append(got, e.ID)
						}
					} else {
						var page []Transfer
						page, next, err = h.Transfers(t.Context(), f)
						for _, e := range page {
							got = append(got, e.ID)
						}
					}
					if err != nil {
						t.Fatal(err)
					}
					if f.Before = next; next == 0 {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %d rows, want %d", table, len(got), len(want))
				}
				if table == "events" {
					continue
				}
				if n, err := h.CountTransfers(t.Context(), f); err != nil || n != len(want) {
					t.Errorf("%d are counted, %v, want %d", n, err, len(want))
				}
			}
		})
	}
}

// TestTransfersAreFoundByRoom has a room in each of its places, a window that is smaller than what one
// room has, and rooms of one id on two portals.
func TestTransfersAreFoundByRoom(t *testing.T) {
	t.Parallel()
	h := open(t)
	below := func(base, folder event.ID) func(*NewTransfer) {
		return func(t *NewTransfer) { t.Base, t.Destination = base, folder }
	}
	beta := func(t *NewTransfer) { t.Portal = "beta" }
	at := start
	add := func(change ...func(*NewTransfer)) {
		h.next++
		h.route(h.planned(append(change, entry(event.ID(fmt.Sprint(h.next))))...))
		h.time.advance(time.Second)
	}
	add(from("7"), to("8"))               // 1
	add(from("8"), to("9"))               // 2
	add(from("7"), below("8", "81"))      // 3
	add(from("8"), to("8"), rule("back")) // 4
	add(from("7"), to("9"), beta)         // 5
	add(from("9"), below("7", "82"), rule("back"))
	for range 40 {
		add(from("busy"), to("20"))
	}
	rooms := func(ids ...event.ID) (list []Room) {
		for _, id := range ids {
			list = append(list, Room{ID: id})
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"a source, and a folder with folders below it", Filter{Rooms: rooms("7")}, "6 5 3 1"},
		{"a destination", Filter{Rooms: rooms("8")}, "4 3 2 1"},
		{"a folder that was made for a path", Filter{Rooms: rooms("81")}, "3"},
		{"several", Filter{Rooms: rooms("81", "9")}, "6 5 3 2"},
		{"one that nothing concerns", Filter{Rooms: rooms("77")}, ""},
		{"of a portal", Filter{Rooms: []Room{{"beta", "7"}}}, "5"},
		{"of a portal, and any of another id", Filter{Rooms: []Room{{"beta", "7"}, {ID: "81"}}}, "5 3"},
		{"one id on two portals", Filter{Rooms: []Room{{"beta", "7"}, {"acme", "7"}}}, "6 5 3 1"},
		{"on a portal", Filter{Rooms: rooms("7"), Portal: "acme"}, "6 3 1"},
		{"by a rule", Filter{Rooms: rooms("8"), Rule: "back"}, "4"},
		{"in states", Filter{Rooms: rooms("8"), States: []string{"queued", "failed"}}, "4 3 2 1"},
		{"in states that none is in", Filter{Rooms: rooms("8"), States: []string{"done", "failed"}}, ""},
		{"with a title", Filter{Rooms: rooms("8"), Search: "REPORT"}, "4 3 2 1"},
		{"with a title that none has", Filter{Rooms: rooms("8"), Search: "invoice"}, ""},
		{"since a time", Filter{Rooms: rooms("8"), Since: at.Add(2 * time.Second)}, "4 3"},
		{"until a time", Filter{Rooms: rooms("8"), Until: at.Add(2 * time.Second)}, "2 1"},
		{"after a page", Filter{Rooms: rooms("8"), Before: 3}, "2 1"},
		{"a page", Filter{Rooms: rooms("8"), Limit: 2}, "4 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			f := tt.filter
			if f.Limit == 0 {
				f.Limit = 100
			}
			list, next, err := h.Transfers(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range list {
				got = append(got, fmt.Sprint(tr.ID))
			}
			if strings.Join(got, " ") != tt.want || next != 0 != (tt.filter.Limit > 0) {
				t.Errorf("%v, next %d, want %s", got, next, tt.want)
			}
			if tt.filter.Before > 0 || tt.filter.Limit > 0 {
				return
			}
			if n, err := h.CountTransfers(t.Context(), f); err != nil || n != len(got) {
				t.Errorf("%d are counted, %v, want %d", n, err, len(got))
			}
		})
	}
}

func TestSourcesAreListedOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	sources := func(most int) []Room {
		t.Helper()
		list, err := h.Sources(h.ctx(), most)
		h.must(err)
		return list
	}
	if got := sources(10); len(got) != 0 {
		t.Errorf("without transfers there are %v", got)
	}
	for i, id := range []event.ID{"7", "11", "7", "9", "11"} {
		h.route(h.planned(from(id), entry(event.ID(fmt.Sprint(i))), func(t *NewTransfer) {
			if i > 2 {
				t.Portal = "beta"
			}
		}))
	}
	if diff := cmp.Diff([]Room{{"beta", "11"}, {"acme", "7"}, {"beta", "9"}}, sources(10)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if got := sources(2); len(got) != 2 {
		t.Errorf("of two there are %v", got)
	}
}

// TestARoomIsReadInWindows reads more than a window of a room for what lies far back.
func TestARoomIsReadInWindows(t *testing.T) {
	t.Parallel()
	h := open(t)
	rooms := []Room{{ID: "busy"}, {ID: "20"}, {ID: "21"}}
	n := walk{rooms: roomIDs(rooms)}.roomWindow()
	h.route(h.planned(from("busy"), entry("rare"), rule("rare")))
	var many []NewTransfer
	for i := range 2*n + 10 {
		many = append(many, h.planned(from("busy"), to(event.ID(fmt.Sprint(20+i%3))), entry(event.ID(fmt.Sprint(i)))))
	}
	h.route(many...)
	seen := map[int64]bool{}
	for f := (Filter{Rooms: rooms, Limit: 50}); ; {
		list, next, err := h.Transfers(h.ctx(), f)
		h.must(err)
		for _, tr := range list {
			if seen[tr.ID] || f.Before > 0 && tr.ID >= f.Before {
				t.Fatalf("transfer %d comes again before %d", tr.ID, f.Before)
			}
			seen[tr.ID] = true
		}
		if f.Before = next; next == 0 {
			break
		}
	}
	if len(seen) != len(many)+1 {
		t.Errorf("%d transfers were listed, want %d", len(seen), len(many)+1)
	}
	var rare []Transfer
	for f := (Filter{Rooms: rooms, Rule: "rare", Limit: 5}); ; {
		list, next, err := h.Transfers(h.ctx(), f)
		h.must(err)
		rare = append(rare, list...)
		if f.Before = next; next == 0 {
			break
		}
	}
	if len(rare) != 1 || rare[0].ID != 1 {
		t.Errorf("far back there is %+v", rare)
	}
}

func TestOnlyAPageWithMoreAfterItHasANext(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.fill()
	tests := []struct {
		name              string
		filter            Filter
		events, transfers int64
	}{
		{"more than a page", Filter{Limit: 3}, 4, 2},
		{"a full page, and no more", Filter{Limit: 4, Before: 5}, 0, 0},
		{"as many as there are transfers", Filter{Limit: 4}, 3, 0},
		{"as many as there are of a state", Filter{States: []string{"done", "ignored"}, Limit: 1}, 0, 0},
		{"as many as there are of several states", Filter{States: []string{"queued", "done", "routed"}, Limit: 3}, 2, 0},
		{"as many as there are of a rule", Filter{Rule: "copies", Limit: 3}, 0, 0},
		{"as many as a search finds", Filter{Search: "report", Rule: "copies", Limit: 3}, 0, 0},
		{"a search that finds more", Filter{Search: "report", Limit: 2}, 5, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, events, err := h.Events(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			_, transfers, err := h.Transfers(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if events != tt.events || transfers != tt.transfers {
				t.Errorf("next %d of events and %d of transfers, want %d and %d", events, transfers, tt.events, tt.transfers)
			}
		})
	}
}

func TestAnEventWithItsBody(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.event()
	id := h.event(func(e *NewEvent) { e.Body = []byte(`{"b":2}`) })
	got, body, err := h.Event(h.ctx(), id)
	h.must(err)
	list, _, err := h.Events(h.ctx(), Filter{Limit: 1})
	h.must(err)
	if diff := cmp.Diff(list[0], got); diff != "" || string(body) != `{"b":2}` {
		t.Errorf("body %s, and event (-in the list +alone):\n%s", body, diff)
	}
	if _, _, err := h.Event(h.ctx(), 1000); !errors.Is(err, ErrNotFound) {
		t.Errorf("an event there is not: %v", err)
	}
}

func TestSinceIsRightWhenTheClockWasTurnedBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.time.advance(time.Hour)
	h.route(h.planned())
	h.time.advance(-time.Hour)
	h.route(h.planned(entry("2")))
	h.time.advance(2 * time.Hour)
	h.route(h.planned(entry("3")))
	f := Filter{Since: start.Add(time.Hour), Limit: 10}
	events, _, err := h.Events(h.ctx(), f)
	h.must(err)
	transfers, _, err := h.Transfers(h.ctx(), f)
	h.must(err)
	if len(events) != 2 || events[0].ID != 3 || events[1].ID != 1 || len(transfers) != 2 || transfers[1].ID != 1 {
		t.Errorf("events %+v and transfers %+v, want 3 and 1 of each", events, transfers)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	h := open(t)
	want := Counts{
		Events:    map[event.EventState]int64{"pending": 0, "routed": 0, "ignored": 0, "failed": 0},
		Transfers: map[event.State]int64{"blocked": 0, "queued": 0, "sending": 0, "done": 0, "skipped": 0, "failed": 0, "cancelled": 0},
	}
	check := func() {
		t.Helper()
		got, err := h.Counts(h.ctx())
		h.must(err)
		got.Waiting = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	}
	check()
	h.fill()
	want.Events["pending"], want.Events["routed"], want.Events["ignored"] = 1, 4, 1
	want.Transfers["queued"], want.Transfers["sending"], want.Transfers["done"] = 2, 1, 1
	want.OldestQueued = start.Add(time.Second) // it is being sent, and waits all the same
	check()
}

// TestAPanicWhileCountingIsTold would end the test's process instead: counting has a goroutine of its own.
func TestAPanicWhileCountingIsTold(t *testing.T) {
	t.Parallel()
	h := open(t)
	ask := func() error {
		h.tally.mu.Lock()
		h.tally.next = time.Time{}
		h.tally.mu.Unlock()
		_, _, _ = h.figure(group{table: "events"}, Countable+1)
		h.tally.work.Wait()
		return h.tally.err
	}
	read := h.read
	h.read = nil // a mistake
	err := ask()
	h.read = read
	if err == nil || !strings.Contains(err.Error(), "panic: ") {
		t.Errorf("error %v, want the panic", err)
	}
	h.must(ask())
}

// TestNobodyWaitsForAFullCount counts states of more rows than are counted on request.
func TestNobodyWaitsForAFullCount(t *testing.T) {
	t.Parallel()
	h := open(t)
	const many = 3 * Countable / 2
	h.fillMany(many)
	_, err := h.write.ExecContext(h.ctx(), `UPDATE transfers SET state = 'queued' WHERE state = 'done' AND portal = 'acme'`)
	h.must(err)
	count := func() Counts {
		t.Helper()
		c, err := h.Counts(h.ctx())
		h.must(err)
		for _, b := range c.Waiting {
			if b.CountedAt.IsZero() && !c.Counting {
				t.Errorf("%+v counted at %v", b, c.CountedAt)
			}
		}
		return c
	}
	both := func(c Counts) [2]int64 { return [2]int64{c.Events[event.EventRouted], c.Transfers[event.Queued]} }
	first := count()
	if !first.Counting || !first.CountedAt.IsZero() || first.Events[event.EventRouted] != Countable+1 || first.Events[event.EventIgnored] != many/300 {
		t.Errorf("before the first full count: %+v", first)
	}
	h.tally.work.Wait()
	exact := func() [2]int64 {
		return [2]int64{int64(h.count("events WHERE state = 'routed'")), int64(h.count("transfers WHERE state = 'queued'"))}
	}
	counted := h.time.now()
	if got := count(); got.Counting || !got.CountedAt.Equal(counted) || both(got) != exact() {
		t.Errorf("after it: %+v, want %v", got, exact())
	}

	h.time.advance(time.Minute)
	last := exact()
	_, err = h.write.ExecContext(h.ctx(), `UPDATE transfers SET state = 'done' WHERE state = 'queued' AND portal = 'acme' AND id % 100 = 5`)
	h.must(err)
	h.tally.next = time.Now().Add(time.Hour)
	if got := count(); !got.CountedAt.Equal(counted) || both(got) != last {
		t.Errorf("before the next: %+v, want %v as of %v", got, last, counted)
	}
	h.tally.next = time.Time{}
	count()
	h.tally.work.Wait()
	if got := count(); !got.CountedAt.Equal(h.time.now()) || both(got) != exact() || exact() == last {
		t.Errorf("after the next: %+v, want %v", got, exact())
	}
	counted = h.time.now()
	h.tally.err, h.tally.next = errors.New("the database is away"), time.Now().Add(time.Hour)
	if got := count(); !got.CountedAt.Equal(counted) {
		t.Errorf("after a full count that failed: %+v", got)
	}
}
