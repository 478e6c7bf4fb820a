package rules

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	copied := func(rule string, to event.ID) Match {
		return Match{rule, event.Copy, event.Duplicate, "10", to, nil}
	}
	moved := func(rule string, to event.ID) Match {
		return Match{rule, event.Move, event.Duplicate, "10", to, nil}
	}
	for name, c := range map[string]struct {
		specs []Spec
		facts *Facts
		want  Result
	}{
		"an entry below the source matches": {
			[]Spec{ruleSpec("a")}, upload(),
			Result{Matches: []Match{copied("a", "20")}, Considered: 1},
		},
		"without subfolders an entry below the source does not match": {
			[]Spec{ruleSpec("a", withRoutes(Route{Source: "10", Destination: "20"}))}, upload(),
			Result{},
		},
		"without subfolders an entry in the source matches": {
			[]Spec{ruleSpec("a", withRoutes(Route{Source: "11", Destination: "20"}))}, upload(),
			Result{Matches: []Match{{"a", event.Copy, event.Duplicate, "11", "20", nil}}, Considered: 1},
		},
		"another portal's rule does not match":  {[]Spec{ruleSpec("a", onPortal("other"))}, upload(), Result{}},
		"another trigger's rule does not match": {[]Spec{ruleSpec("a", triggers("file.moved"))}, upload(), Result{}},
		"a disabled rule does not match":        {[]Spec{ruleSpec("a", isDisabled)}, upload(), Result{}},
		"an entry of unknown place matches by its folder alone": {
			[]Spec{ruleSpec("a"), ruleSpec("b", withRoutes(Route{Source: "11", Destination: "20"}))}, upload(unplaced),
			Result{Matches: []Match{{"b", event.Copy, event.Duplicate, "11", "20", nil}}, Considered: 1},
		},
		"an entry whose place cannot be told does not match": {
			[]Spec{ruleSpec("a")}, upload(func(f *Facts) { f.Chain, f.Room = nil, nil }), Result{},
		},
		"all matching rules fire in file order, whatever folder they watch": {
			[]Spec{
				ruleSpec("outer", to("21")),
				ruleSpec("inner", withRoutes(Route{Source: "11", Destination: "22"})),
				ruleSpec("outer-again", to("23")),
			},
			upload(),
			Result{
				Matches: []Match{
					copied("outer", "21"), {"inner", event.Copy, event.Duplicate, "11", "22", nil}, copied("outer-again", "23"),
				},
				Considered: 3,
			},
		},
		"two routes of a rule to one destination are one transfer": {
			[]Spec{ruleSpec("a", withRoutes(
				Route{Source: "10", Subfolders: true, Destination: "20"},
				Route{Source: "11", Subfolders: true, Destination: "20"},
				Route{Source: "11", Subfolders: true, Destination: "21"},
			))},
			upload(),
			Result{
				Matches:    []Match{copied("a", "20"), {"a", event.Copy, event.Duplicate, "11", "21", nil}},
				Considered: 1,
			},
		},
		"a stop keeps later rules from being tried": {
			[]Spec{ruleSpec("a", stops), ruleSpec("b")}, upload(),
			Result{Matches: []Match{copied("a", "20")}, Considered: 2},
		},
		"a stop without a match stops nothing": {
			[]Spec{ruleSpec("a", stops, when("false")), ruleSpec("b")}, upload(),
			Result{Matches: []Match{copied("b", "20")}, Considered: 2},
		},
		"the first move wins and copies go on": {
			[]Spec{ruleSpec("a", moves), ruleSpec("b", moves, to("21")), ruleSpec("c")}, upload(),
			Result{
				Matches:    []Match{moved("a", "20"), copied("c", "20")},
				Suppressed: []Suppressed{{moved("b", "21"), "a already moves the entry"}},
				Considered: 3,
			},
		},
		"a suppressed move with stop still stops": {
			[]Spec{ruleSpec("a", moves), ruleSpec("b", moves, stops), ruleSpec("c")}, upload(),
			Result{
				Matches:    []Match{moved("a", "20")},
				Suppressed: []Suppressed{{moved("b", "20"), "a already moves the entry"}},
				Considered: 3,
			},
		},
		"a fallback fires when nothing else matched, wherever it stands": {
			[]Spec{ruleSpec("f", isFallback), ruleSpec("a", when("false"))}, upload(),
			Result{Matches: []Match{copied("f", "20")}, Considered: 2},
		},
		"a fallback does not fire when another rule matched": {
			[]Spec{ruleSpec("f", isFallback), ruleSpec("a")}, upload(),
			Result{Matches: []Match{copied("a", "20")}, Considered: 2},
		},
		"of two fallbacks the first that matches fires": {
			[]Spec{ruleSpec("f", isFallback, when("false")), ruleSpec("g", isFallback), ruleSpec("h", isFallback)}, upload(),
			Result{Matches: []Match{copied("g", "20")}, Considered: 3},
		},
		"a condition that fails is no match and is reported": {
			[]Spec{ruleSpec("a", when("payload.missing.deep == 1")), ruleSpec("b")}, upload(),
			Result{
				Matches:    []Match{copied("b", "20")},
				Errors:     []EvalError{{"a", "when", "cannot fetch deep from <nil>"}},
				Considered: 2,
			},
		},
		"a condition on unknown facts is no match and is reported": {
			[]Spec{ruleSpec("a", when("file.size < 5 * MB"))}, upload(),
			Result{
				Errors:     []EvalError{{"a", "when", "the file's size, version, comment and form flag are not known"}},
				Considered: 1,
			},
		},
		"a condition that is false whatever is unknown is no match": {
			[]Spec{ruleSpec("a", when(`file.size > 10 && file.extension == "docx"`))}, upload(),
			Result{Considered: 1},
		},
		"a condition that fails whatever is unknown says how": {
			[]Spec{ruleSpec("a", when(`file.size > 10 && payload.missing.deep == 1`))}, upload(),
			Result{Errors: []EvalError{{"a", "when", "cannot fetch deep from <nil>"}}, Considered: 1},
		},
		"a condition that is not boolean at run time is no match": {
			[]Spec{ruleSpec("a", when("payload.title"))}, upload(),
			Result{Errors: []EvalError{{"a", "when", `the result is "report.pdf", not true or false`}}, Considered: 1},
		},
		"a condition that runs too long is no match": {
			[]Spec{ruleSpec("a", when("any(1..1000, any(1..1000, # < 0))"))}, upload(),
			Result{Errors: []EvalError{{"a", "when", "the expression takes too long"}}, Considered: 1},
		},
		"a payload that is no object is reported": {
			[]Spec{ruleSpec("a", when("payload.id == 1"))},
			upload(func(f *Facts) { f.Event.Payload = []byte(`[]`) }),
			Result{Errors: []EvalError{{"a", "when", "payload: not a JSON object"}}, Considered: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := compile(t, c.specs...)
			if diff := cmp.Diff(c.want, table.Match(c.facts)); diff != "" {
				t.Errorf("Match (-want +got):\n%s", diff)
			}
			explainAgrees(t, table, c.facts)
		})
	}
}

// explainAgrees checks that Explain tells the same story as Match.
func explainAgrees(t *testing.T, table *Table, f *Facts) {
	t.Helper()
	result := table.Match(f)
	want := map[string][]Match{}
	for _, m := range result.Matches {
		want[m.Rule] = append(want[m.Rule], m)
	}
	got := map[string][]Match{}
	for i, v := range table.Explain(f) {
		if v.Rule != table.Rules()[i].Name {
			t.Errorf("verdict %d is about %q", i, v.Rule)
		}
		if v.Matched != (len(v.Matches) > 0) || v.Matched != (v.Condition == "") {
			t.Errorf("verdict contradicts itself: %+v", v)
		}
		if len(v.Matches) > 0 {
			got[v.Rule] = v.Matches
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Explain disagrees with Match (-match +explain):\n%s", diff)
	}
}

func TestConditionVariables(t *testing.T) {
	t.Parallel()
	file := upload(lookedUp, tagged("client", "vip"), func(f *Facts) {
		f.Event.Entry.CreatedBy = event.User{ID: "6d1a", Email: "ana@example.com", DisplayName: "Ana"}
	})
	for _, expression := range []string{
		`trigger == "file.uploaded" && portal == "acme" && event.id == "1"`,
		`file.id == "90412" && file.folder_id == "11" && file.title == "report.pdf"`,
		`file.name == "report" && file.extension == "pdf" && file.folder_path == "Inbox"`,
		`file.size > 2 * MB && file.size < GB && file.size == 3072 * KB && file.version == 1`,
		`not file.is_form && file.comment == ""`,
		`file.created_by.email endsWith "@example.com" && file.created_by.display_name == "Ana"`,
		`room.id == "10" && room.title startsWith "Client" && room.type == "custom" && "vip" in room.tags`,
		`payload.id == 90412 && payload.extra.deep[0] == 1 && payload.extra.deep[1] == 2.5`,
		`webhook.name == "router" && webhook["id"] == 12`,
		`glob("*.PDF", file.title) && glob("client ?", room.title)`,
		`let big = file.size > MB; big && any(room.tags, # == "client")`,
		`file.title matches "^rep.*[.]pdf$"`,
		`payload?.none?.deep == nil`,
		`now.Year() == 1 and event.created_on < date("2030-01-01")`,
		`toJSON(file) contains "report"`,
		`true`,
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			table := compile(t, ruleSpec("a", when(expression)))
			if got := table.Match(file); len(got.Matches) != 1 || len(got.Errors) != 0 {
				t.Errorf("Match = %+v", got)
			}
			if need := table.Needs(file); need != 0 {
				t.Errorf("Needs = %b", need)
			}
		})
	}
}

// The way inside the room lets a rule mirror a room's folders.
func TestThePathInTheRoom(t *testing.T) {
	t.Parallel()
	deep := func(f *Facts) { f.Chain = append([]Folder{{"13", "March"}, {"12", "2026"}}, f.Chain...) }
	inRoom := func(f *Facts) { f.Chain = f.Chain[1:] }
	noRoom := func(f *Facts) { f.Room = nil }
	for want, facts := range map[string]*Facts{
		"Inbox/2026/March": upload(deep), "": upload(inRoom), "Inbox": upload(),
	} {
		table := compile(t, ruleSpec("a", when(fmt.Sprintf("file.folder_path == %q", want))))
		if got := table.Match(facts); len(got.Matches) != 1 {
			t.Errorf("%q: %+v", want, got)
		}
	}
	table := compile(t, ruleSpec("a", when(`file.folder_path == ""`)))
	if got := table.Match(upload(noRoom)); len(got.Matches) != 1 {
		t.Errorf("outside of a room: %+v", got)
	}
	if need := compile(t, ruleSpec("a", when(`file.folder_path == ""`))).Needs(upload(unplaced)); need != NeedChain {
		t.Errorf("Needs = %b, want the chain", need)
	}
}

func TestFolderRulesSeeTheFolder(t *testing.T) {
	t.Parallel()
	f := upload(func(f *Facts) {
		f.Event.Trigger = "folder.created"
		f.Event.Entry = event.Entry{Kind: event.Folder, ID: "50", ParentID: "11", Title: "2026.03"}
	})
	table := compile(t, ruleSpec("a", triggers("folder.created"),
		when(`folder.id == "50" && folder.title == "2026.03" && folder.parent_id == "11" && folder.parent_path == "Inbox"`)))
	want := Result{Matches: []Match{{"a", event.Copy, event.Duplicate, "10", "20", nil}}, Considered: 1}
	if diff := cmp.Diff(want, table.Match(f)); diff != "" {
		t.Errorf("Match (-want +got):\n%s", diff)
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	shallow := withRoutes(Route{Source: "11", Destination: "20"})
	below := withRoutes(Route{Source: "11", Subfolders: true, Destination: "20"})
	for name, c := range map[string]struct {
		specs []Spec
		facts *Facts
		want  Need
	}{
		"an event no rule is about needs nothing":           {[]Spec{ruleSpec("a", triggers("file.moved"))}, upload(unplaced), 0},
		"a disabled rule needs nothing":                     {[]Spec{ruleSpec("a", isDisabled)}, upload(unplaced), 0},
		"a rule of another portal needs nothing":            {[]Spec{ruleSpec("a", onPortal("other"))}, upload(unplaced), 0},
		"a rule with subfolders needs the chain":            {[]Spec{ruleSpec("a")}, upload(unplaced), NeedChain},
		"a rule without subfolders does not":                {[]Spec{ruleSpec("a", shallow)}, upload(unplaced), 0},
		"a rule on the entry's own folder does not":         {[]Spec{ruleSpec("a", below)}, upload(unplaced), 0},
		"one on another folder does":                        {[]Spec{ruleSpec("a", below), ruleSpec("b")}, upload(unplaced), NeedChain},
		"an entry without a folder needs the chain":         {[]Spec{ruleSpec("a", shallow)}, upload(unplaced, func(f *Facts) { f.Event.Entry.ParentID = "" }), NeedChain},
		"a condition on the room needs the chain":           {[]Spec{ruleSpec("a", shallow, when(`room.title == ""`))}, upload(unplaced), NeedChain},
		"a condition on tags needs the chain first":         {[]Spec{ruleSpec("a", shallow, when(`"x" in room.tags`))}, upload(unplaced), NeedChain},
		"a condition on tags needs the tags":                {[]Spec{ruleSpec("a", when(`"x" in room.tags`))}, upload(), NeedRoomTags},
		"known tags are not needed":                         {[]Spec{ruleSpec("a", when(`"x" in room.tags`))}, upload(tagged()), 0},
		"outside a room there are no tags to fetch":         {[]Spec{ruleSpec("a", when(`"x" in room.tags`))}, upload(func(f *Facts) { f.Room = nil }), 0},
		"a condition on the size needs the entry":           {[]Spec{ruleSpec("a", when(`file.size > 1`))}, upload(), NeedEntry},
		"a looked-up entry needs its author only":           {[]Spec{ruleSpec("a", when(`file.size > 1 && file.created_by.email != ""`))}, upload(lookedUp), NeedAuthor},
		"the author's mail needs the author":                {[]Spec{ruleSpec("a", when(`file.created_by.email == ""`))}, upload(), NeedAuthor},
		"an unknown author needs the entry first":           {[]Spec{ruleSpec("a", when(`file.created_by.email == ""`))}, upload(func(f *Facts) { f.Event.Entry.CreatedBy = event.User{} }), NeedEntry},
		"the author's name needs the entry":                 {[]Spec{ruleSpec("a", when(`file.created_by.display_name == ""`))}, upload(), NeedEntry},
		"a looked-up author is not needed again":            {[]Spec{ruleSpec("a", when(`file.created_by.email == ""`))}, upload(func(f *Facts) { f.AuthorKnown = true }), 0},
		"the author's id does not":                          {[]Spec{ruleSpec("a", when(`file.created_by.id == ""`))}, upload(), 0},
		"the file as a whole needs the entry":               {[]Spec{ruleSpec("a", when(`toJSON(file) == ""`))}, upload(), NeedEntry},
		"a body without a title needs the entry":            {[]Spec{ruleSpec("a", when(`file.extension == "pdf"`))}, upload(titled("")), NeedEntry},
		"several needs are asked for at once":               {[]Spec{ruleSpec("a", when(`file.size > 1 && "x" in room.tags`))}, upload(), NeedEntry | NeedRoomTags},
		"a part that fails already makes the rest needless": {[]Spec{ruleSpec("a", when(`file.size > 1 && file.extension == "docx"`))}, upload(), 0},
		"a part that holds does not":                        {[]Spec{ruleSpec("a", when(`file.size > 1 && file.extension == "pdf"`))}, upload(), NeedEntry},
		"a rule elsewhere needs nothing":                    {[]Spec{ruleSpec("a", when(`file.size > 1`), withRoutes(Route{Source: "99", Destination: "20"}))}, upload(), 0},
		"a rule behind a certain stop needs nothing":        {[]Spec{ruleSpec("a", stops), ruleSpec("b", when(`file.size > 1`))}, upload(), 0},
		"a rule behind a possible stop does":                {[]Spec{ruleSpec("a", stops, when(`"x" in room.tags`)), ruleSpec("b", when(`file.size > 1`))}, upload(), NeedEntry | NeedRoomTags},
		"a fallback behind a certain match needs nothing":   {[]Spec{ruleSpec("f", isFallback, when(`file.size > 1`)), ruleSpec("a")}, upload(), 0},
		"a fallback that may be reached does":               {[]Spec{ruleSpec("f", isFallback, when(`file.size > 1`)), ruleSpec("a", when("false"))}, upload(), NeedEntry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := compile(t, c.specs...).Needs(c.facts); got != c.want {
				t.Errorf("Needs = %03b, want %03b", got, c.want)
			}
		})
	}
}

func TestMatchingNothingAllocatesNothing(t *testing.T) {
	// AllocsPerRun does not go with parallel tests.
	table := compile(t, ruleSpec("a", withRoutes(Route{Source: "99", Subfolders: true, Destination: "20"})))
	f := upload()
	if n := testing.AllocsPerRun(100, func() { table.Match(f); table.Needs(f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTableDoesNotDependOnOrderOfChain(t *testing.T) {
	t.Parallel()
	specs := make([]Spec, 40)
	var want []string
	for i := range specs {
		source := event.ID([]string{"10", "11"}[i%2])
		specs[i] = ruleSpec(fmt.Sprintf("r%d", i), withRoutes(Route{Source: source, Subfolders: true, Destination: "20"}))
		want = append(want, specs[i].Name)
	}
	var got []string
	for _, m := range compile(t, specs...).Match(upload()).Matches {
		got = append(got, m.Rule)
	}
	if !slices.Equal(want, got) {
		t.Errorf("rules fired in order %v", got)
	}
}
