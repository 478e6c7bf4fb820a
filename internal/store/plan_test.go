package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// TestEveryStatementReadsAlongAnIndex asks SQLite how it would run each statement that the
// store really sent. None may read a whole table whose size grows with the traffic, or sort
// what it found: the pages of a list come in the order of an index.
func TestEveryStatementReadsAlongAnIndex(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	statements := h.useEverything()
	if len(statements) < 40 {
		t.Fatalf("only %d statements were seen", len(statements))
	}
	seen := map[string]bool{}
	for _, text := range statements {
		plan := explain(t, h, text)
		for _, step := range plan {
			table := scanned(step)
			switch {
			case table == "" && !strings.Contains(step, "TEMP B-TREE FOR ORDER BY"):
			case !strings.Contains(text, "WHERE") && strings.Contains(text, "ORDER BY id DESC LIMIT") && table != "":
				seen["a list without filter stops after its page"] = true
			case strings.Contains(text, "GROUP BY state") && strings.Contains(step, "USING COVERING INDEX"):
				seen["counting reads an index alone"] = true
			case strings.Contains(text, "AS newest") && strings.Contains(step, "SCAN"):
				seen["a search stops after its window"] = true
			case strings.Contains(text, "rule_files"), strings.Contains(text, "rule_versions"): // a handful of rows
			case strings.Contains(step, "backfills_open"): // those under way, of which there are few
			case strings.Contains(text, "ORDER BY CASE t.state"): // what one rule did with one entry
			case strings.Contains(text, "UNION") && table == "": // lanes, of which there are few; a window of a room
			default:
				t.Errorf("%s\n\tin %s", step, strings.Join(strings.Fields(text), " "))
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("the exceptions that were met: %v", seen)
	}
}

// TestTheQueueIsReadAlongTheRightIndex names the index of each statement that runs all the time
// and would have a worse one to choose, which every transfer of a state is in.
func TestTheQueueIsReadAlongTheRightIndex(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	texts := h.useEverything()
	for _, tt := range []struct{ statement, step string }{
		{"WHERE lane = $1 AND state = 'queued' AND next_attempt_at <= $2 LIMIT 1", "transfers_due (state=? AND lane=? AND next_attempt_at<?)"},
		{"AND +next_attempt_at <= $2 ORDER BY id LIMIT $3", "transfers_queue (lane=? AND state=?)"},
		{"SELECT (SELECT min(t.lane)", "transfers_due (state=? AND lane>?)"},
		{"SELECT (SELECT min(t.lane)", "transfers_due (state=? AND lane=? AND next_attempt_at<?)"},
		{"WHERE state = 'blocked' AND id > $1 ORDER BY id LIMIT $2", "transfers_state (state=? AND id>?)"},
		{"AND (portal, entry_kind, entry_id) IN", "SEARCH transfers USING INDEX transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"FROM transfers WHERE state = $1 AND portal = $2 ORDER BY id DESC", "transfers_state_portal (state=? AND portal=?)"},
		{"backfill > 0 AND sent_at = 0 AND state || ''", "transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"WHERE backfill = $1 AND backfill <> 0 AND state IN", "transfers_backfill (backfill=? AND state=?)"},
		{"WHERE webhook_id = $1 AND state = 'pending' AND owed <> ''", "events_owed (webhook_id=?)"},
		{"AND rule || '' = $3", "transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"AND held_by <> '' AND state || '' = 'queued'", "transfers_held (held_by=?)"},
		{"ORDER BY CASE t.state", "transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"WHERE received_at >= $1 AND (received_at > $1 OR id > $2)", "COVERING INDEX events_received (received_at>? AND received_at<?)"},
		{"AND routed_at < $1 AND state || ''", "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"},
		{"AND routed_at < $1 AND state || ''", "SEARCH t USING INDEX transfers_event (event_id=?)"},
		{"GROUP BY state, portal", "COVERING INDEX transfers_waiting (state=?)"},
		{"WITH RECURSIVE waiting", "transfers_waiting (state=? AND portal>?)"},
		{"WITH RECURSIVE waiting", "transfers_waiting (state=? AND portal=?)"},
		{"(SELECT 1 FROM transfers WHERE state = $1 LIMIT", "COVERING INDEX transfers_state_portal (state=?)"},
		{"SELECT received_at FROM events WHERE state = 'pending'", "events_state (state=?)"},
		{"FROM transfers WHERE portal = $1 AND state = 'queued'", "transfers_state_portal (state=? AND portal=?"},
		{"(SELECT id FROM transfers WHERE source = $2 ORDER BY id DESC LIMIT $1)", "SEARCH transfers USING COVERING INDEX transfers_source (source=?)"},
		{"(SELECT id FROM transfers WHERE source = $2 ORDER BY id DESC LIMIT $1)", "SEARCH transfers USING COVERING INDEX transfers_base (base=?)"},
		{"(SELECT id FROM transfers WHERE source = $2 ORDER BY id DESC LIMIT $1)", "SEARCH transfers USING INDEX transfers_below (destination=?)"},
		{"FROM transfers t JOIN events e ON e.id = t.event_id WHERE t.portal", "SEARCH t USING INDEX transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"o.rule = t.rule AND o.base", "SEARCH o USING INDEX transfers_entry (portal=? AND entry_kind=? AND entry_id=?)"},
		{"WITH RECURSIVE sources", "SEARCH t USING COVERING INDEX transfers_source (source>?)"},
		{"WITH RECURSIVE sources", "SEARCH t USING INDEX transfers_source (source=?)"},
		{"WHERE destination = $5 AND destination <> base AND id >= $1 AND id < $2", "transfers_below (destination=? AND id>? AND id<?)"},
	} {
		found := false
		for _, text := range texts {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), tt.statement) {
				continue
			}
			found = true
			if plan := strings.Join(explain(t, h, text), "\n"); !strings.Contains(plan, tt.step) {
				t.Errorf("%s\nis not read along %s but so:\n%s", text, tt.step, plan)
			}
		}
		if !found {
			t.Errorf("no statement was sent with %s", tt.statement)
		}
	}
}

// TestAListReadsAlongOneIndex holds lists to asking of the rows they walk through only what one index
// tells, so that they stop after a window when nothing is found.
func TestAListReadsAlongOneIndex(t *testing.T) {
	aboutTheFile(t)
	t.Parallel()
	h := open(t)
	walks := map[string]int{}
	for _, text := range h.useEverything() {
		text = strings.Join(strings.Fields(text), " ")
		for _, part := range strings.Split(text, " FROM ")[1:] {
			inner, _, walk := strings.Cut(part, " ORDER BY id DESC LIMIT")
			table, conditions, _ := strings.Cut(inner, " WHERE ")
			if !walk || strings.Contains(inner, "ORDER BY") || table != "events" && table != "transfers" {
				continue
			}
			var columns []string
			for condition := range strings.SplitSeq(conditions, " AND ") {
				column, _, _ := strings.Cut(condition, " ")
				if column != "" && column != "id" && condition != "destination <> base" { // that is the index's own
					columns = append(columns, column)
				}
			}
			walks[strings.Join(columns, " ")]++
			if len(columns) > 1 && (table != "transfers" || !slices.Equal(columns, []string{"state", "portal"})) {
				t.Errorf("no index has %v of %s in one: %s", columns, table, text)
			}
		}
	}
	for _, along := range []string{"", "rule", "state", "portal", "state portal", "source", "base", "destination"} {
		if walks[along] == 0 {
			t.Errorf("no list was read along %q: %v", along, walks)
		}
	}
}

// scanned is the table that a step of a plan reads from end to end, or "".
func scanned(step string) string {
	rest, ok := strings.CutPrefix(step, "SCAN ")
	table, _, _ := strings.Cut(rest, " ")
	// A partial index holds only what is open: its end is near.
	if !ok || strings.Contains(step, "operations_open") {
		return ""
	}
	if slices.Contains([]string{"events", "transfers", "operations", "e", "t", "c", "rule_files", "path_folders", "backfills", "backfill_folders"}, table) {
		return table
	}
	return ""
}

// kept are the texts of the statements that a pool's connections have prepared.
func kept(t testing.TB, db *sql.DB) []string {
	t.Helper()
	var texts []string
	for range db.Stats().OpenConnections {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // later, so that the next one is another connection
		if err := c.Raw(func(driverConn any) error {
			texts = append(texts, driverConn.(*conn).kept.Keys()...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func explain(t *testing.T, h *harness, text string) []string {
	t.Helper()
	head, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	if !slices.Contains([]string{"SELECT", "UPDATE", "DELETE", "INSERT", "WITH"}, head) || strings.Contains(text, "goose") {
		return nil
	}
	var plan []string
	rows, err := h.write.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "$"))...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// useEverything calls each method of the store, with each filter, and returns the statements that
// were sent. They are gathered on the way, since a connection keeps only so many.
func (h *harness) useEverything() []string {
	h.t.Helper()
	seen := map[string]bool{}
	gather := func() {
		for _, db := range []*sql.DB{h.write, h.read} {
			for _, text := range kept(h.t, db) {
				seen[text] = true
			}
		}
	}
	ctx := h.ctx()
	h.route(h.planned(), h.planned(asMove))
	h.must(h.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := h.LaneDue(ctx, tx, copyLane); err != nil {
			return err
		}
		_, err := longestWaiting(ctx, tx, "acme", millis(h.time.now()))
		return err
	}))
	op, _, err := h.Claim(ctx, copyLane, ClaimOptions{Limit: 1, Fit: anything, Budget: Budget{WritesPerDay: 10}})
	h.must(err)
	h.must(h.MarkRunning(ctx, op, "op-1"))
	h.must(h.MarkSeen(ctx, op, 1))
	_, err = h.OpenOperation(ctx, copyLane)
	h.must(err)
	_, err = h.SaveOutcomes(ctx, op, nil)
	h.must(err)
	h.settle(op, event.Done)
	_, err = h.DueLanes(ctx)
	h.must(err)
	_, err = h.KnownResults(ctx, "acme", event.File, []event.ID{"1", "2"})
	h.must(err)
	id := h.event()
	_, err = h.PendingEvents(ctx, []int64{id})
	h.must(err)
	h.useBackfills()
	_, err = h.StalePending(ctx, h.time.now(), 10)
	h.must(err)
	h.must(h.ReleaseMoves(ctx))
	h.set(2, "state", "blocked")
	h.must(h.ReleaseMoves(ctx))
	_, err = h.Transfer(ctx, 1)
	h.must(err)
	_, err = h.Counts(ctx)
	h.must(err)
	_, err = h.fullCount(ctx)
	h.must(err)
	_, err = h.OldestPending(ctx)
	h.must(err)
	_, err = h.Origins(ctx, []Transfer{{EventID: 1}})
	h.must(err)
	h.begin(monthFolder, h.time.now(), Budget{})
	h.must(h.KeepFolder(ctx, monthFolder, "1", "2026-03"))
	h.folder(monthFolder)
	h.must(h.ForgetFolder(ctx, monthFolder, "1"))
	_, err = h.PruneFolders(ctx, h.time.now(), 10)
	h.must(err)
	_, err = h.Trail(ctx, "acme", "20", []event.ID{"10"}, start, func(string) bool { return true })
	h.must(err)
	h.must(h.SaveRules(ctx, "h", "start", []RuleFile{{Name: "a", Text: []byte{}}}))
	_, err = h.RuleFiles(ctx)
	h.must(err)
	h.useWebhookLogs()
	rooms := []Room{{ID: "20"}, {Portal: "acme", ID: "10"}}
	for _, f := range []Filter{
		{Rooms: rooms[:1]}, {Rooms: rooms, States: []string{"done", "failed"}}, {Rooms: rooms, Search: "x", Since: start, Before: 100},
	} {
		f.Limit = 10
		_, _, err = h.Transfers(ctx, f)
		h.must(err)
	}
	_, err = h.Sources(ctx, 10)
	h.must(err)
	_, err = h.RuleVersions(ctx, 2)
	h.must(err)
	_, err = h.Flow(ctx, h.time.now().Add(-time.Hour), h.time.now())
	h.must(err)
	_, err = h.Pulse(ctx)
	h.must(err)
	for i := range 1 << 7 {
		if i%8 == 0 {
			gather()
		}
		f := Filter{Limit: 10}
		if i&1 != 0 {
			f.States = []string{"done", "routed"}
		}
		if i&2 != 0 {
			f.Portal = "acme"
		}
		if i&4 != 0 {
			f.Rule = "copies"
		}
		if i&8 != 0 {
			f.Since = h.time.now()
		}
		if i&16 != 0 {
			f.Before = 100
		}
		if i&32 != 0 {
			f.Until = h.time.now()
		}
		if i&64 != 0 {
			f.Search = "report"
		}
		_, _, err := h.Events(ctx, f)
		h.must(err)
		_, _, err = h.Transfers(ctx, f)
		h.must(err)
	}
	gather()
	h.steer()
	gather()
	h.time.advance(time.Hour)
	for _, prune := range []func() (int, error){
		func() (int, error) {
			_, _, err := h.Prune(ctx, h.time.now(), Place{}, 10)
			return 0, err
		},
		func() (int, error) { return h.PruneOperations(ctx, h.time.now(), 10) },
	} {
		if _, err := prune(); err != nil {
			h.t.Fatal(fmt.Errorf("prune: %w", err))
		}
	}
	gather()
	return sortedKeys(seen)
}

// steer pauses, resumes, retries, cancels and replays.
func (h *harness) steer() {
	h.t.Helper()
	ctx := h.ctx()
	h.route(h.planned(entry("7")), h.planned(entry("7"), asMove))
	_, err := h.Pause(ctx, Pause{Scope: PauseRule, Name: "copies", Until: h.time.now().Add(time.Minute)})
	h.must(err)
	_, err = h.Pause(ctx, Pause{Scope: PausePortal, Name: "acme", Until: h.time.now().Add(time.Hour)})
	h.must(err)
	_, err = h.holdPaused(ctx, copyLane)
	h.must(err)
	_, err = h.Resume(ctx, PausePortal, "acme")
	h.must(err)
	_, err = h.Hits(ctx)
	h.must(err)
	all, _, err := h.Transfers(ctx, Filter{Limit: 100})
	h.must(err)
	for _, t := range all {
		for _, action := range []Action{Cancel, Retry} {
			_, err := h.Act(ctx, action, []int64{t.ID}, "a test")
			h.must(err)
		}
		_, err = h.Attempts(ctx, t.ID)
		h.must(err)
		_, err = h.EventTransfers(ctx, t.EventID)
		h.must(err)
	}
	_, err = h.Operation(ctx, 1)
	h.must(err)
	_, err = h.Backlog(ctx)
	h.must(err)
	_, err = h.CountTransfers(ctx, Filter{States: []string{"failed"}, Rule: "copies", Search: "report"})
	h.must(err)
	h.must(h.Replay(ctx, 1, func(context.Context, *sql.Tx, string, []int64) error { return nil }))
}

// useBackfills calls what is about backfills.
func (h *harness) useBackfills() {
	h.t.Helper()
	ctx := h.ctx()
	id := h.walkedBackfill()
	h.route(h.planned(ofBackfill, entry("another")))
	_, err := h.Handled(ctx, "acme", "copies", event.File, []event.ID{"1", "2"})
	h.must(err)
	_, err = h.Backfills(ctx, 10)
	h.must(err)
	_, err = h.RunningBackfills(ctx)
	h.must(err)
	h.must(h.NoteBackfill(ctx, id, "it waits"))
	_, err = h.BackfillTransfers(ctx, id)
	h.must(err)
	_, err = h.EndBackfill(ctx, id)
	h.must(err)
	_, err = h.CancelBackfill(ctx, id)
	h.must(err)
}
