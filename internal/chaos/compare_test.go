package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

const to = portalsim.ID("99")

func file(id portalsim.ID, title string, size int64, version int) portalsim.Entry {
	return portalsim.Entry{Kind: portalsim.KindFile, ID: id, Title: title, Size: size, Version: version}
}

func dir(id portalsim.ID, title string) portalsim.Entry {
	return portalsim.Entry{Kind: portalsim.KindFolder, ID: id, Title: title}
}

func upload(id portalsim.ID, title string, sizes ...int64) *entry {
	return &entry{kind: portalsim.KindFile, id: id, title: title, sizes: sizes, in: room}
}

func wantOf(e *entry, conflict string) want {
	return want{rule: copyRule("a", to, func(r *rule) { r.conflict = conflict }), entry: e, to: to, what: "file arrived", must: true}
}

func updateOf(w want) want { w.what = "file.updated"; return w }
func perhaps(w want) want  { w.must = false; return w }
func moving(w want) want   { w.rule.action = "move"; return w }

func told(e *entry, state string) transfer {
	return transfer{Rule: "a", Kind: e.kind, EntryID: e.id, Destination: to, State: state}
}

// judge compares and returns the classes of the findings.
func judge(e evidence) []class {
	e.entries = map[entryKey]*entry{}
	for _, w := range e.wants {
		e.entries[entryKey{w.entry.kind, w.entry.id}] = w.entry
	}
	if e.transfers == nil {
		for _, w := range e.wants {
			e.transfers = append(e.transfers, told(w.entry, "done"))
		}
	}
	var out []class
	for _, f := range distinct(compare(e)) {
		out = append(out, f.class)
	}
	slices.Sort(out)
	return out
}

func shelf(list ...portalsim.Entry) map[portalsim.ID][]portalsim.Entry {
	return map[portalsim.ID][]portalsim.Entry{to: list}
}

func TestCompareFiles(t *testing.T) {
	t.Parallel()
	x, y := upload("1", "x.pdf", 101), upload("2", "X.PDF", 102)
	changed := upload("1", "x.pdf", 101, 111)
	old := file("50", "x.pdf", 7, 1)
	for _, tt := range []struct {
		name string
		e    evidence
		want []class
	}{
		{"all well", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1))}, nil},
		{"nothing came", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf()}, []class{lost}},
		{"nothing came, and it is told", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf(), transfers: []transfer{told(x, "failed")}}, []class{gaveUp}},
		{
			"told to have failed, and there", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1)), transfers: []transfer{told(x, "failed")}},
			[]class{wrong},
		},
		{"came twice", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1), file("61", "x (1).pdf", 101, 1))}, []class{doubled}},
		{"nobody may have been told", evidence{wants: []want{perhaps(wantOf(x, "duplicate"))}, shelves: shelf(), transfers: []transfer{}}, nil},
		{"told after all", evidence{wants: []want{perhaps(wantOf(x, "duplicate"))}, shelves: shelf(file("60", "x.pdf", 101, 1))}, nil},
		{"two clients", evidence{wants: []want{wantOf(x, "duplicate"), wantOf(y, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1), file("61", "X (1).pdf", 102, 1))}, nil},
		{
			"one client's twice and the other's not", evidence{wants: []want{wantOf(x, "duplicate"), wantOf(y, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1), file("61", "X (1).pdf", 101, 1))},
			[]class{doubled, lost},
		},
		{
			"a gap in the numbers", evidence{wants: []want{wantOf(x, "duplicate"), wantOf(y, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1), file("61", "X (2).pdf", 102, 1))},
			[]class{wrong},
		},
		{"numbers go on from what was there", evidence{
			wants: []want{wantOf(x, "duplicate")}, seeds: shelf(old), shelves: shelf(old, file("60", "x (1).pdf", 101, 1)),
		}, nil},
		{"moves share a title", evidence{
			wants: []want{moving(wantOf(x, "duplicate")), moving(wantOf(y, "duplicate"))}, shelves: shelf(file("1", "x.pdf", 101, 1), file("2", "X.PDF", 102, 1)),
		}, nil},
		{"what nobody wanted", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: shelf(file("60", "x.pdf", 101, 1), file("61", "x (1).pdf", 555, 1))}, []class{wrong}},

		{"skipped, since it was there", evidence{
			wants: []want{wantOf(x, "skip")}, seeds: shelf(old), shelves: shelf(old), transfers: []transfer{told(x, "skipped")},
		}, nil},
		{"skip all the same came", evidence{
			wants: []want{wantOf(x, "skip")}, seeds: shelf(old), shelves: shelf(old, file("60", "x (1).pdf", 101, 1)),
		}, []class{doubled}},
		{"of two skips one comes first", evidence{
			wants: []want{wantOf(x, "skip"), wantOf(y, "skip")}, shelves: shelf(file("60", "X.pdf", 102, 1)),
			transfers: []transfer{told(x, "skipped"), told(y, "done")},
		}, nil},
		{"of two skips none came", evidence{
			wants: []want{wantOf(x, "skip"), wantOf(y, "skip")}, shelves: shelf(), transfers: []transfer{told(x, "skipped"), told(y, "skipped")},
		}, []class{lost}},
		{"a skip that says done and was skipped", evidence{wants: []want{wantOf(x, "skip")}, seeds: shelf(old), shelves: shelf(old)}, []class{wrong}},

		{"overwritten", evidence{wants: []want{wantOf(x, "overwrite")}, seeds: shelf(old), shelves: shelf(file("50", "x.pdf", 101, 2))}, nil},
		{"not overwritten", evidence{wants: []want{wantOf(x, "overwrite")}, seeds: shelf(old), shelves: shelf(old)}, []class{lost}},
		{"both overwrite", evidence{wants: []want{wantOf(x, "overwrite"), wantOf(y, "overwrite")}, shelves: shelf(file("60", "x.pdf", 102, 2))}, nil},
		{"one of two never did", evidence{wants: []want{wantOf(x, "overwrite"), wantOf(y, "overwrite")}, shelves: shelf(file("60", "x.pdf", 102, 1))}, []class{lost}},
		{"an answer was lost, and it was overwritten again", evidence{wants: []want{wantOf(x, "overwrite")}, shelves: shelf(file("60", "x.pdf", 101, 2))}, nil},
		{"overwritten again for no reason", evidence{wants: []want{wantOf(x, "overwrite")}, shelves: shelf(file("60", "x.pdf", 101, 2)), calm: true}, []class{doubled}},
		{"the change was copied the first time", evidence{
			wants: []want{wantOf(changed, "overwrite"), updateOf(wantOf(changed, "overwrite"))}, shelves: shelf(file("60", "x.pdf", 111, 1)),
		}, nil},
		{"the change never came", evidence{
			wants: []want{wantOf(changed, "overwrite"), updateOf(wantOf(changed, "overwrite"))}, shelves: shelf(file("60", "x.pdf", 101, 1)),
		}, []class{lost}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := judge(tt.e); !slices.Equal(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCompareFolders(t *testing.T) {
	t.Parallel()
	f := &entry{kind: portalsim.KindFolder, id: "1", title: "Case 1", content: []int64{5, 6}, in: room}
	complete := []portalsim.Entry{file("70", "a", 5, 1), file("71", "b", 6, 1)}
	for _, tt := range []struct {
		name  string
		wants []want
		shelf []portalsim.Entry
		trees map[portalsim.ID][]portalsim.Entry
		want  []class
	}{
		{"complete", []want{wantOf(f, "duplicate")}, []portalsim.Entry{dir("60", "Case 1")}, map[portalsim.ID][]portalsim.Entry{"60": complete}, nil},
		{"in part", []want{wantOf(f, "duplicate")}, []portalsim.Entry{dir("60", "Case 1")}, map[portalsim.ID][]portalsim.Entry{"60": complete[:1]}, []class{lost}},
		{"not at all", []want{wantOf(f, "duplicate")}, nil, nil, []class{lost}},
		{
			"twice", []want{wantOf(f, "duplicate")}, []portalsim.Entry{dir("60", "Case 1"), dir("61", "Case 1 (1)")},
			map[portalsim.ID][]portalsim.Entry{"60": complete, "61": complete}, []class{doubled},
		},
		{
			"merged a second time", []want{wantOf(f, "overwrite")}, []portalsim.Entry{dir("60", "Case 1")},
			map[portalsim.ID][]portalsim.Entry{"60": {file("70", "a", 5, 2), file("71", "b", 6, 2)}}, []class{doubled},
		},
		{
			"a copy and one merged with it", []want{wantOf(f, "duplicate"), wantOf(f, "skip")}, []portalsim.Entry{dir("60", "Case 1")},
			map[portalsim.ID][]portalsim.Entry{"60": complete}, nil,
		},
		{"a folder nobody wanted", []want{wantOf(f, "duplicate")}, []portalsim.Entry{dir("60", "Case 1"), dir("61", "Other")}, map[portalsim.ID][]portalsim.Entry{"60": complete}, []class{wrong}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := judge(evidence{wants: tt.wants, shelves: shelf(tt.shelf...), trees: tt.trees}); !slices.Equal(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCompareWhatIsTold(t *testing.T) {
	t.Parallel()
	x := upload("1", "x.pdf", 101)
	there := shelf(file("60", "x.pdf", 101, 1))
	delivered := delivery{eventID: "8", webhookID: "1", trigger: "file.uploaded", kind: portalsim.KindFile, entryID: "1", accepted: true}
	event := func(state string) []routed { return []routed{{WebhookID: "1", EventID: "8", State: state}} }
	for _, tt := range []struct {
		name string
		e    evidence
		want []class
	}{
		{"decided", evidence{deliveries: []delivery{delivered}, events: event("routed")}, nil},
		{"answered and not stored", evidence{deliveries: []delivery{delivered}}, []class{lost}},
		{"stored and not decided", evidence{deliveries: []delivery{delivered}, events: event("pending")}, []class{noOutcome}},
		{"not answered and not stored", evidence{deliveries: []delivery{{eventID: "8", webhookID: "1"}}}, nil},
		{"a transfer too many", evidence{wants: []want{wantOf(x, "duplicate")}, shelves: there, transfers: []transfer{told(x, "done"), told(x, "skipped")}}, []class{doubled}},
		{"a transfer too few", evidence{wants: []want{wantOf(x, "skip")}, shelves: there, transfers: []transfer{}}, []class{lost, wrong}},
		{"a transfer without outcome", evidence{wants: []want{wantOf(x, "overwrite")}, shelves: there, transfers: []transfer{told(x, "queued")}}, []class{noOutcome}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := judge(tt.e); !slices.Equal(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCompareWhatTheOperatorDid(t *testing.T) {
	t.Parallel()
	x := upload("1", "x.pdf", 101)
	there, gone := shelf(file("60", "x.pdf", 101, 1)), shelf()
	wants := []want{wantOf(x, "duplicate")}
	events := []routed{{ID: 5, Trigger: "file.uploaded"}}
	asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	after := func(s int) time.Time { return asked.Add(time.Duration(s) * time.Second) }
	row := func(state string) transfer {
		return transfer{ID: 3, Event: 5, Rule: "a", Kind: x.kind, EntryID: x.id, Destination: to, State: state}
	}
	all := func(transfer) bool { return true }
	none := func(transfer) bool { return false }
	cancel := func(who string, a answer, acted int) *request {
		return &request{verb: cancelling, author: who, answer: a, acted: acted, covers: all}
	}
	retry := func(who string, acted int) *request {
		return &request{verb: retrying, author: who, answer: agreed, acted: acted, covers: all}
	}
	done := func(list ...string) map[int64][]steered {
		var out []steered
		for _, text := range list {
			outcome, reason, _ := strings.Cut(text, ": ")
			out = append(out, steered{outcome, reason})
		}
		return map[int64][]steered{3: out}
	}
	cancelled, again := "cancelled: cancelled by A", "queued: queued again by B"
	hold := func(key string, from, answered, until int) *request {
		return &request{verb: pausing, key: key, author: "A", answer: agreed, asked: after(from), answered: after(answered), until: after(until)}
	}
	between := func(queued, ended int) transfer {
		r := row("done")
		r.QueuedAt, r.EndedAt = after(queued), after(ended)
		return r
	}
	for _, tt := range []struct {
		name      string
		transfer  transfer
		shelf     map[portalsim.ID][]portalsim.Entry
		histories map[int64][]steered
		requests  []*request
		want      []class
	}{
		{"cancelled", row("cancelled"), gone, done(cancelled), []*request{cancel("A", agreed, 1)}, nil},
		{"cancelled by a request whose answer is unknown", row("cancelled"), gone, done(cancelled), []*request{cancel("A", unknown, 0)}, nil},
		{"a request whose answer is unknown did nothing", row("done"), there, nil, []*request{cancel("A", unknown, 0)}, nil},
		{"cancelled and copied", row("cancelled"), there, done(cancelled), []*request{cancel("A", agreed, 1)}, []class{wrong}},
		{"cancelled by nobody", row("cancelled"), gone, nil, nil, []class{lost, wrong}},
		{"cancelled by somebody who asked for another", row("cancelled"), gone, done(cancelled), []*request{{verb: cancelling, author: "A", answer: unknown, covers: none}}, []class{wrong}},
		{"cancelled by somebody who was refused", row("cancelled"), gone, done(cancelled), []*request{cancel("A", refused, 0)}, []class{wrong}},
		{"told that it is cancelled, and it is not", row("done"), there, nil, []*request{cancel("A", agreed, 1)}, []class{wrong}},
		{"cancelled and done all the same", row("done"), there, done(cancelled), []*request{cancel("A", agreed, 1)}, []class{wrong, wrong}},
		{"cancelled and tried all the same", row("cancelled"), gone, done(cancelled, "again: refused"), []*request{cancel("A", agreed, 1)}, []class{wrong}},
		{"cancelled twice", row("cancelled"), gone, done(cancelled, "cancelled: cancelled by C"), []*request{cancel("A", agreed, 1), cancel("C", agreed, 1)}, []class{wrong}},
		{"cancelled and tried again", row("done"), there, done(cancelled, again), []*request{cancel("A", agreed, 1), retry("B", 1)}, nil},
		{"tried again and not done", row("done"), gone, done(cancelled, again), []*request{cancel("A", agreed, 1), retry("B", 1)}, []class{lost}},
		{"tried again by nobody", row("done"), there, done(cancelled, again), []*request{cancel("A", agreed, 1)}, []class{wrong}},

		{"sent while its rule is paused", between(2, 3), there, nil, []*request{hold("rule a", 0, 1, 9)}, []class{wrong}},
		{"sent while its portal is paused", between(2, 3), there, nil, []*request{hold("portal acme", 0, 1, 9)}, []class{wrong}},
		{"sent while another rule is paused", between(2, 3), there, nil, []*request{hold("rule b", 0, 1, 9)}, nil},
		{"queued before the pause", between(0, 3), there, nil, []*request{hold("rule a", 0, 1, 9)}, nil},
		{"sent after the pause", between(2, 10), there, nil, []*request{hold("rule a", 0, 1, 9)}, nil},
		{"sent after somebody ended the pause", between(2, 6), there, nil, []*request{hold("rule a", 0, 1, 9), {verb: resuming, key: "rule a", author: "B", answer: agreed, asked: after(4), answered: after(5)}}, nil},
		{"sent before somebody ended the pause", between(2, 3), there, nil, []*request{hold("rule a", 0, 1, 9), {verb: resuming, key: "rule a", author: "B", answer: agreed, asked: after(4), answered: after(5)}}, []class{wrong}},
		{"sent when somebody may have ended the pause", between(2, 3), there, nil, []*request{hold("rule a", 0, 1, 9), {verb: resuming, key: "rule a", author: "B", answer: unknown, asked: after(-2), answered: after(-1)}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := evidence{wants: wants, shelves: tt.shelf, events: events, transfers: []transfer{tt.transfer}, histories: tt.histories, requests: tt.requests}
			e.entries = map[entryKey]*entry{{x.kind, x.id}: x}
			var got []class
			for _, f := range compare(e) {
				got = append(got, f.class)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
		})
	}
}
