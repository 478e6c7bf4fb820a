package rules

import (
	"fmt"
	"testing"

	"docspace-router/internal/event"
)

func byTag(tags ...string) func(*Spec) { return byRoom(TagSource, tags...) }

func byTitle(patterns ...string) func(*Spec) { return byRoom(TitleSource, patterns...) }

func byRoom(kind SourceKind, patterns ...string) func(*Spec) {
	return func(s *Spec) {
		s.Routes = nil
		for _, p := range patterns {
			s.Routes = append(s.Routes, Route{SourceKind: kind, Pattern: p, Subfolders: true, Destination: "20"})
		}
	}
}

func shallow(s *Spec) {
	for i := range s.Routes {
		s.Routes[i].Subfolders = false
	}
}

func takesOwn(s *Spec) { s.OwnEvents = true }

func own(f *Facts) {
	f.Event.Trigger = "file.copied"
	f.Own, f.OwnKnown = true, true
}

func inRoomItself(f *Facts) {
	f.Chain = f.Chain[1:]
	f.Event.Entry.ParentID = "10"
}

func TestSourcesByRoom(t *testing.T) {
	t.Parallel()
	copied := triggers("file.copied")
	for name, c := range map[string]struct {
		rule  Spec
		facts *Facts
		want  bool
	}{
		"a tag of the room":                         {ruleSpec("a", byTag("vip")), upload(tagged("x", "vip")), true},
		"a tag in other case":                       {ruleSpec("a", byTag("VIP")), upload(tagged("Vip")), true},
		"one of several tags":                       {ruleSpec("a", byTag("a", "b")), upload(tagged("b")), true},
		"two of several tags are one match":         {ruleSpec("a", byTag("a", "b")), upload(tagged("b", "a")), true},
		"a part of a tag":                           {ruleSpec("a", byTag("vi")), upload(tagged("vip")), false},
		"no tags":                                   {ruleSpec("a", byTag("vip")), upload(tagged()), false},
		"unknown tags":                              {ruleSpec("a", byTag("vip")), upload(), false},
		"no room":                                   {ruleSpec("a", byTag("vip")), upload(func(f *Facts) { f.Room = nil }), false},
		"a title by pattern":                        {ruleSpec("a", byTitle("Client *")), upload(), true},
		"a title in other case":                     {ruleSpec("a", byTitle("CLIENT ?")), upload(), true},
		"the very title":                            {ruleSpec("a", byTitle("client a")), upload(), true},
		"a title that only begins so":               {ruleSpec("a", byTitle("Client")), upload(), false},
		"a pattern that begins with a wildcard":     {ruleSpec("a", byTitle("*t A")), upload(), true},
		"a longer pattern":                          {ruleSpec("a", byTitle("Client A and B")), upload(), false},
		"the folder's title does not count":         {ruleSpec("a", byTitle("Inbox")), upload(), false},
		"below the room, without subfolders":        {ruleSpec("a", byTitle("Client *"), shallow), upload(), false},
		"in the room, without subfolders":           {ruleSpec("a", byTitle("Client *"), shallow), upload(inRoomItself), true},
		"tags below the room, without subfolders":   {ruleSpec("a", byTag("vip"), shallow), upload(tagged("vip")), false},
		"the gateway's own work":                    {ruleSpec("a", copied), upload(own), false},
		"the gateway's own work, asked for":         {ruleSpec("a", copied, takesOwn), upload(own), true},
		"asked for, and people's work all the same": {ruleSpec("a", takesOwn), upload(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := compile(t, c.rule)
			if got := len(table.Match(c.facts).Matches); got != 0 != c.want || got > 1 {
				t.Errorf("%d matches, want any: %v", got, c.want)
			}
			explainAgrees(t, table, c.facts)
		})
	}
}

func TestAMatchNamesTheRoomThatWasFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule Spec
		want event.ID
	}{
		"by its title":               {ruleSpec("a", byTitle("Client *")), "10"},
		"by its tag":                 {ruleSpec("a", byTag("vip")), "10"},
		"a folder that is named":     {ruleSpec("a", withRoutes(Route{Source: "11", Destination: "20"})), "11"},
		"the source named first":     {ruleSpec("a", withRoutes(Route{Source: "11", Destination: "20"}, Route{Source: "10", Subfolders: true, Destination: "20"})), "11"},
		"a move that is suppressed":  {ruleSpec("b", byTitle("Client *"), moves), "10"},
		"with a path below the room": {ruleSpec("a", byTitle("Client *"), func(s *Spec) { s.Path = `"x"` }), "10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := upload(tagged("vip"))
			got := compile(t, ruleSpec("first", moves, byTitle("*")), c.rule).Match(facts)
			var last Match
			switch {
			case len(got.Suppressed) > 0:
				last = got.Suppressed[0].Match
			case len(got.Matches) == 2:
				last = got.Matches[1]
			}
			if last.Source != c.want {
				t.Errorf("the source is %q, want %q: %+v", last.Source, c.want, got)
			}
		})
	}
}

func TestNeedsOfRoomsAndOwnWork(t *testing.T) {
	t.Parallel()
	unplacedIn11 := upload(unplaced)
	pdf, docx := when(`file.extension == "pdf"`), when(`file.extension == "docx"`)
	copied := func(f *Facts) { f.Event.Trigger = "file.copied" }
	many := make([]Spec, maxProspects+20)
	for i := range many {
		many[i] = ruleSpec(fmt.Sprint("r", i), when(fmt.Sprintf(`file.extension == "x%d"`, i)))
	}
	for name, c := range map[string]struct {
		specs []Spec
		facts *Facts
		want  Need
	}{
		"a title needs the room":                                    {[]Spec{ruleSpec("a", byTitle("x"), shallow)}, unplacedIn11, NeedChain},
		"a tag needs the room first":                                {[]Spec{ruleSpec("a", byTag("x"))}, unplacedIn11, NeedChain},
		"then its tags":                                             {[]Spec{ruleSpec("a", byTag("x"))}, upload(), NeedRoomTags},
		"then nothing":                                              {[]Spec{ruleSpec("a", byTag("x"))}, upload(tagged("x")), 0},
		"and the file only where the tag fits":                      {[]Spec{ruleSpec("a", byTag("x"), when("file.size > 1"))}, upload(tagged("y")), 0},
		"and the file where it does":                                {[]Spec{ruleSpec("a", byTag("x"), when("file.size > 1"))}, upload(tagged("x")), NeedEntry},
		"outside rooms no tags are needed":                          {[]Spec{ruleSpec("a", byTag("x"))}, upload(func(f *Facts) { f.Room = nil }), 0},
		"a condition that fails spares the room":                    {[]Spec{ruleSpec("a", byTag("x"), docx), ruleSpec("b", docx)}, unplacedIn11, 0},
		"a condition that fails spares the tags":                    {[]Spec{ruleSpec("a", byTag("x"), docx)}, upload(), 0},
		"a condition that may hold does not":                        {[]Spec{ruleSpec("a", docx), ruleSpec("b", when("file.size > 1"))}, unplacedIn11, NeedChain},
		"a condition on the room's tags needs the chain":            {[]Spec{ruleSpec("a", when(`"x" in room.tags`))}, unplacedIn11, NeedChain},
		"a certain stop spares later rules the room":                {[]Spec{ruleSpec("a", stops, withRoutes(Route{Source: "11", Destination: "20"})), ruleSpec("b", byTag("x"))}, unplacedIn11, 0},
		"a certain stop does not spare earlier ones":                {[]Spec{ruleSpec("b", byTag("x")), ruleSpec("a", stops, withRoutes(Route{Source: "11", Destination: "20"}))}, unplacedIn11, NeedChain},
		"a certain match spares fallbacks the room":                 {[]Spec{ruleSpec("a", withRoutes(Route{Source: "11", Destination: "20"})), ruleSpec("f", isFallback, byTag("x"))}, unplacedIn11, 0},
		"a fallback that may be reached needs it":                   {[]Spec{ruleSpec("a", docx, withRoutes(Route{Source: "11", Destination: "20"})), ruleSpec("f", isFallback, byTag("x"))}, unplacedIn11, NeedChain},
		"a rule on the entry's folder does not need what is above":  {[]Spec{ruleSpec("a", pdf, withRoutes(Route{Source: "11", Subfolders: true, Destination: "20"})), ruleSpec("b", docx)}, unplacedIn11, 0},
		"more conditions than are looked at count as ones that fit": {many, unplacedIn11, NeedChain},
		"a trigger of the gateway's work needs to know whose it is": {[]Spec{ruleSpec("a", triggers("file.copied"))}, upload(copied), NeedOwn},
		"own work that no rule asks for needs nothing":              {[]Spec{ruleSpec("a", triggers("file.copied"), when("file.size > 1"))}, upload(own), 0},
		"own work that a rule asks for does":                        {[]Spec{ruleSpec("a", triggers("file.copied"), when("file.size > 1"), takesOwn), ruleSpec("b", triggers("file.copied"), when(`"x" in room.tags`))}, upload(own), NeedEntry},
		"own work is not looked up for rules that ignore it":        {[]Spec{ruleSpec("a", triggers("file.copied"), takesOwn, docx), ruleSpec("b", triggers("file.copied"))}, upload(own, unplaced), 0},
		"a path needs what it names when the rule matches":          {[]Spec{ruleSpec("a", pdf, below("file.comment"))}, upload(), NeedEntry},
		"a path needs nothing when the rule does not":               {[]Spec{ruleSpec("a", docx, below("file.comment"))}, upload(), 0},
		"a path on tags needs them":                                 {[]Spec{ruleSpec("a", below(`join(room.tags, "/")`))}, upload(), NeedRoomTags},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := compile(t, c.specs...).Needs(c.facts); got != c.want {
				t.Errorf("Needs = %05b, want %05b", got, c.want)
			}
		})
	}
}
