package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"docspace-router/internal/portalsim"
)

// world is a room with a folder in it, and another room.
var (
	room   = &place{id: "10"}
	folder = &place{id: "11", parent: room}
	other  = &place{id: "20"}
)

func copyRule(name string, to portalsim.ID, change ...func(*rule)) *rule {
	r := &rule{
		name: name, triggers: []string{"file.uploaded"}, action: "copy", conflict: "duplicate", when: always,
		routes: []route{{from: room.id, to: to, subfolders: true}},
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func moveAway(r *rule)  { r.action = "move" }
func stopHere(r *rule)  { r.stop = true }
func otherwise(r *rule) { r.fallback = true }
func flat(r *rule)      { r.routes[0].subfolders = false }
func pdfOnly(r *rule) {
	r.when = clause{"…", func(e *entry) bool { return strings.HasSuffix(e.title, ".pdf") }}
}

func routes(list ...route) func(*rule) { return func(r *rule) { r.routes = list } }

func TestMatches(t *testing.T) {
	t.Parallel()
	file := func(title string, in *place) *entry { return &entry{kind: portalsim.KindFile, title: title, in: in} }
	for _, tt := range []struct {
		name  string
		rules []*rule
		entry *entry
		want  []string
	}{
		{"all that match fire, in order", []*rule{copyRule("a", "1"), copyRule("b", "2")}, file("x", room), []string{"a 1", "b 2"}},
		{"below the source", []*rule{copyRule("a", "1")}, file("x", folder), []string{"a 1"}},
		{"below the source, without subfolders", []*rule{copyRule("a", "1", flat)}, file("x", folder), nil},
		{"in the source itself, without subfolders", []*rule{copyRule("a", "1", flat)}, file("x", room), []string{"a 1"}},
		{"elsewhere", []*rule{copyRule("a", "1")}, file("x", other), nil},
		{"a condition that fails", []*rule{copyRule("a", "1", pdfOnly)}, file("x.jpg", room), nil},
		{"a rule that does not match stops nothing", []*rule{copyRule("a", "1", pdfOnly, stopHere), copyRule("b", "2")}, file("x.jpg", room), []string{"b 2"}},
		{"a rule that matches and stops", []*rule{copyRule("a", "1", stopHere), copyRule("b", "2")}, file("x", room), []string{"a 1"}},
		{"a fallback after a match", []*rule{copyRule("a", "1", otherwise), copyRule("b", "2")}, file("x", room), []string{"b 2"}},
		{"a fallback without a match", []*rule{copyRule("a", "1", otherwise), copyRule("b", "2", pdfOnly)}, file("x.jpg", room), []string{"a 1"}},
		{"of two fallbacks the first", []*rule{copyRule("a", "1", otherwise), copyRule("b", "2", otherwise)}, file("x", room), []string{"a 1"}},
		{"of two moves the first", []*rule{copyRule("a", "1", moveAway), copyRule("b", "2", moveAway), copyRule("c", "3")}, file("x", room), []string{"a 1", "c 3"}},
		{
			"several pairs of one source", []*rule{copyRule("a", "", routes(route{room.id, "1", true}, route{room.id, "2", true}))},
			file("x", room), []string{"a 1", "a 2"},
		},
		{
			"two sources that both hold the entry, one destination", []*rule{copyRule("a", "", routes(route{room.id, "1", true}, route{folder.id, "1", true}))},
			file("x", folder), []string{"a 1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, w := range matches(tt.rules, &happening{entry: tt.entry, trigger: "file.uploaded", accepted: true}) {
				got = append(got, fmt.Sprintf("%s %s", w.rule.name, w.to))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("matches = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHears(t *testing.T) {
	t.Parallel()
	for trigger, want := range map[string]bool{
		"file.created": true, "file.uploaded": true, "file.moved": true,
		"file.trashed": false, "file.deleted": false, "file.downloaded": false, "folder.created": false,
	} {
		if got := (&rule{triggers: []string{"file.*"}}).hears(trigger); got != want {
			t.Errorf("file.* hears %s: %t, want %t", trigger, got, want)
		}
		if got := (&rule{triggers: []string{"file.uploaded"}}).hears(trigger); got != (trigger == "file.uploaded") {
			t.Errorf("file.uploaded hears %s: %t", trigger, got)
		}
	}
}

func row(id int, trigger, actor string, statuses ...int) portalsim.DeliveryRow {
	r := portalsim.DeliveryRow{ID: id, WebhookID: 1, Body: fmt.Sprintf(
		`{"event":{"createBy":%q,"trigger":%q},"payload":{"id":7,"fileEntryType":2},"webhook":{"id":1}}`, actor, trigger)}
	for _, s := range statuses {
		r.Sends = append(r.Sends, portalsim.Send{Status: s})
	}
	return r
}

func TestWhatTheGatewayWasTold(t *testing.T) {
	t.Parallel()
	e := &entry{kind: portalsim.KindFile, id: "7", title: "x", in: room}
	deleted := &entry{kind: portalsim.KindFile, id: "7", title: "x", in: room, deleted: true}
	both := func(r *rule) { r.triggers = []string{"file.created", "file.uploaded", "file.updated"} }
	for _, tt := range []struct {
		name  string
		entry *entry
		log   []portalsim.DeliveryRow
		want  []string
	}{
		{"answered at once", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 200)}, []string{"file arrived true"}},
		{"answered at last", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 503, 0, 200)}, []string{"file arrived true"}},
		{"never answered with 200: it may be known or not", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 0, 0)}, []string{"file arrived false"}},
		{"never sent", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client")}, nil},
		{"both triggers of one upload", e, []portalsim.DeliveryRow{row(1, "file.created", "client", 0), row(2, "file.uploaded", "client", 200)}, []string{"file arrived true"}},
		{"retried by hand", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 200), row(2, "file.uploaded", "client", 0)}, []string{"file arrived true"}},
		{"a change is another thing", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 200), row(2, "file.updated", "client", 200)}, []string{"file arrived true", "file.updated true"}},
		{"the gateway's own doing", e, []portalsim.DeliveryRow{row(1, "file.uploaded", "robot", 200)}, nil},
		{"deleted since: nothing can be demanded", deleted, []portalsim.DeliveryRow{row(1, "file.uploaded", "client", 200)}, []string{"file arrived false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			entries := map[entryKey]*entry{{portalsim.KindFile, "7"}: tt.entry}
			var got []string
			for _, w := range wanted([]*rule{copyRule("a", "1", both)}, happenings(tt.log, entries, "robot")) {
				got = append(got, fmt.Sprintf("%s %t", w.what, w.must))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("wanted = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAScenarioFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	tell := func(seed uint64) string {
		s := newScenario(seed)
		c := newCast(s, seed)
		defer c.portal.Close()
		s.build(c)
		w := &round{scenario: s, cast: c, people: newPeople(s, c), options: roundOptions{replicas: 1}}
		var b strings.Builder
		b.WriteString(rulesText("http://portal", s.rules))
		for _, ev := range slices.Concat(w.timeline(), w.trouble(), w.steering()) {
			fmt.Fprintln(&b, ev.at, ev.what)
		}
		return b.String()
	}
	first := tell(5)
	if again := tell(5); again != first {
		t.Error("the same seed gave two scenarios")
	}
	if tell(6) == first {
		t.Error("two seeds gave the same scenario")
	}
}
