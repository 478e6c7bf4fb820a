package rules

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

func TestExplainNamesTheFirstConditionThatFailed(t *testing.T) {
	t.Parallel()
	no := func(condition, want, got string) Verdict {
		return Verdict{Rule: "a", Condition: condition, Want: want, Got: got}
	}
	open := func(v Verdict) Verdict {
		v.Unknown = true
		return v
	}
	many := make([]Route, 8)
	for i := range many {
		many[i] = Route{Source: event.ID(fmt.Sprint(100 + i)), Subfolders: true, Destination: "20"}
	}
	for name, c := range map[string]struct {
		rule  Spec
		facts *Facts
		want  Verdict
	}{
		"disabled":      {ruleSpec("a", isDisabled), upload(), no("enabled", "true", "false")},
		"other portal":  {ruleSpec("a", onPortal("other")), upload(), no("portal", "other", "acme")},
		"other trigger": {ruleSpec("a", triggers("file.moved", "file.copied")), upload(), no("trigger", "file.moved, file.copied", "file.uploaded")},
		"other room": {
			ruleSpec("a", withRoutes(Route{Source: "99", SourceKind: RoomSource, Subfolders: true, Destination: "20"})), upload(),
			no("source", "room 99", `folder 11 "Inbox" in room 10 "Client A"`),
		},
		"only a subfolder": {
			ruleSpec("a", withRoutes(Route{Source: "10", SourceKind: FolderSource, Destination: "20"})), upload(),
			no("source", "folder 10 without its subfolders", `folder 11 "Inbox" in room 10 "Client A"`),
		},
		"none of many pairs": {
			ruleSpec("a", withRoutes(many...)), upload(),
			no("source", "room or folder 100, room or folder 101, room or folder 102, room or folder 103, room or folder 104, 3 more", `folder 11 "Inbox" in room 10 "Client A"`),
		},
		"place not known":           {ruleSpec("a"), upload(unplaced), open(no("source", "room 10", "folder 11, what lies above it is not known"))},
		"folder not known":          {ruleSpec("a"), upload(unplaced, func(f *Facts) { f.Event.Entry.ParentID = "" }), open(no("source", "room 10", "its folder is not known"))},
		"unwanted wherever it lies": {ruleSpec("a", when(`file.extension == "docx"`)), upload(unplaced), no("when", `file.extension == "docx"`, `file.extension = "pdf"`)},
		"a tag":                     {ruleSpec("a", byTag("vip", "x")), upload(tagged("client")), no("source", `a room tagged "vip", a room tagged "x"`, `folder 11 "Inbox" in room 10 "Client A" tagged ["client"]`)},
		"a tag of a room without":   {ruleSpec("a", byTag("vip")), upload(tagged()), no("source", `a room tagged "vip"`, `folder 11 "Inbox" in room 10 "Client A" without tags`)},
		"a tag not known":           {ruleSpec("a", byTag("vip")), upload(), open(no("source", `a room tagged "vip"`, `folder 11 "Inbox" in room 10 "Client A", its tags are not known`))},
		"a title":                   {ruleSpec("a", byTitle("Partner *"), shallow), upload(), no("source", `a room with a title like "Partner *" without its subfolders`, `folder 11 "Inbox" in room 10 "Client A"`)},
		"a title outside rooms":     {ruleSpec("a", byTitle("x")), upload(func(f *Facts) { f.Room = nil }), no("source", `a room with a title like "x"`, `folder 11 "Inbox" in folder 10 "Client A", which is no room`)},
		"own work":                  {ruleSpec("a", triggers("file.copied")), upload(own), no("own_events", "an event that people caused", "the gateway's own work")},
		"a path that fails": {ruleSpec("a", below("payload.none.deep")), upload(), Verdict{
			Rule: "a", Condition: "destination.path", Want: "payload.none.deep", Got: "cannot fetch deep from <nil>", Err: "cannot fetch deep from <nil>"}},
		"a path not known": {ruleSpec("a", below("file.comment")), upload(), Verdict{
			Rule: "a", Condition: "destination.path", Want: "file.comment", Got: "the file's size, version, comment and form flag are not known",
			Err: "the file's size, version, comment and form flag are not known", Unknown: true}},
		"several portals":        {ruleSpec("a", func(s *Spec) { s.Portals = []string{"x", "y"} }), upload(), no("portal", "x, y", "acme")},
		"place cannot be told":   {ruleSpec("a"), upload(func(f *Facts) { f.Chain, f.Room = nil, nil }), no("source", "room 10", "in no room or folder that is known")},
		"one part of a &&":       {ruleSpec("a", when(`trigger != "" && file.extension in ["docx", "xlsx"] && false`)), upload(), no("when", `file.extension in ["docx", "xlsx"]`, `file.extension = "pdf"`)},
		"a part in brackets":     {ruleSpec("a", when(`true && (portal == "acme" and file.name == "x")`)), upload(), no("when", `file.name == "x"`, `file.name = "report"`)},
		"a || as a whole":        {ruleSpec("a", when(`file.name == "x" || room.type == "data"`)), upload(), no("when", `file.name == "x" || room.type == "data"`, `file.name = "report", room.type = "custom"`)},
		"units are not values":   {ruleSpec("a", when(`file.size > 5 * MB`)), upload(lookedUp), no("when", `file.size > 5 * MB`, `file.size = 3145728`)},
		"a field of the payload": {ruleSpec("a", when(`payload.extra?.deep[1] == 1`)), upload(), no("when", `payload.extra?.deep[1] == 1`, `payload.extra.deep = [1,2.5]`)},
		"a function of a time":   {ruleSpec("a", when(`event.created_on.Year() > 2000`)), upload(), no("when", `event.created_on.Year() > 2000`, `event.created_on = 0001-01-01T00:00:00Z`)},
		"a list of tags":         {ruleSpec("a", when(`"vip" in room.tags`)), upload(tagged("a", "b")), no("when", `"vip" in room.tags`, `room.tags = ["a","b"]`)},
		"a constant":             {ruleSpec("a", when(`false`)), upload(), no("when", `false`, ``)},
		"a part that is false after one not known": {
			ruleSpec("a", when(`file.size > 10 && file.extension == "docx"`)), upload(),
			no("when", `file.extension == "docx"`, `file.extension = "pdf"`),
		},
		"unknown facts": {
			ruleSpec("a", when(`file.size > 1`)), upload(),
			Verdict{
				Rule: "a", Condition: "when", Want: `file.size > 1`,
				Got: "the file's size, version, comment and form flag are not known", Unknown: true,
				Err: "the file's size, version, comment and form flag are not known",
			},
		},
		"an error": {
			ruleSpec("a", when(`payload.none.deep == 1`)), upload(),
			Verdict{
				Rule: "a", Condition: "when", Want: `payload.none.deep == 1`, Got: "payload.none = nil",
				Err: "cannot fetch deep from <nil>",
			},
		},
		"a match": {
			ruleSpec("a", when(`file.name == "report"`)), upload(),
			Verdict{Rule: "a", Matched: true, Matches: []Match{{"a", event.Copy, event.Duplicate, "10", "20", nil}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := compile(t, c.rule).Explain(c.facts)
			if diff := cmp.Diff([]Verdict{c.want}, got); diff != "" {
				t.Errorf("Explain (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplainTellsHowRulesAffectEachOther(t *testing.T) {
	t.Parallel()
	moved := func(rule string) Match { return Match{rule, event.Move, event.Duplicate, "10", "20", nil} }
	got := compile(t,
		ruleSpec("fallback", isFallback),
		ruleSpec("first", moves),
		ruleSpec("second", moves),
		ruleSpec("stop", stops),
		ruleSpec("after"),
	).Explain(upload())
	want := []Verdict{
		{Rule: "fallback", Condition: "stop", Want: "no earlier rule that stops", Got: "stop matched and stops"},
		{Rule: "first", Matched: true, Matches: []Match{moved("first")}},
		{
			Rule: "second", Condition: "move", Want: "an entry that no earlier rule moves", Got: "first already moves the entry",
			Suppressed: []Suppressed{{moved("second"), "first already moves the entry"}},
		},
		{Rule: "stop", Matched: true, Matches: []Match{{"stop", event.Copy, event.Duplicate, "10", "20", nil}}},
		{Rule: "after", Condition: "stop", Want: "no earlier rule that stops", Got: "stop matched and stops"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Explain (-want +got):\n%s", diff)
	}

	got = compile(t, ruleSpec("fallback", isFallback), ruleSpec("a")).Explain(upload())
	want = []Verdict{
		{Rule: "fallback", Condition: "fallback", Want: "no other rule that matches", Got: "a matched"},
		{Rule: "a", Matched: true, Matches: []Match{{"a", event.Copy, event.Duplicate, "10", "20", nil}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Explain (-want +got):\n%s", diff)
	}
}
