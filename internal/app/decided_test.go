package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"docspace-router/internal/portalsim"
)

// pendingFor waits until one event is pending for a reason.
func (w *world) pendingFor(reason string) {
	w.t.Helper()
	w.eventually("an event is pending: "+reason, func() bool {
		return slices.ContainsFunc(w.events("pending"), func(e storedEvent) bool { return strings.Contains(e.Reason, reason) })
	})
}

// TestAnEventIsDecidedByOneVersionOfTheRules changes the rules while an event waits for one
// rule's destination and another one's copy is made.
func TestAnEventIsDecidedByOneVersionOfTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	locked, elsewhere := w.portal.AddRoom(portalsim.Room{Title: "Locked", Owner: w.owner}), w.addRoom("Elsewhere")
	source := fmt.Sprintf("source: {room: %s}", w.room)
	waits := func(name string) string {
		return aRule(name, source, fmt.Sprintf("destination: {folder: %s, path: room.title}", locked))
	}
	copies := func(name string, to portalsim.ID) string {
		return aRule(name, source, fmt.Sprintf("destination: {folder: %s}", to))
	}
	w.writeRules(waits("waits"), waits("leaves"), copies("copies", w.dest), copies("turns", w.dest))
	w.start()
	w.portal.Upload(w.room, "1.pdf", 1, w.client)
	w.eventually("the rules with an open destination have copied", func() bool { return len(w.titles(w.dest)) == 2 })
	w.pendingFor("make the gateway's account content creator")

	w.writeRules(waits("waits"), copies("renamed", w.dest), copies("turns", elsewhere))
	w.pendingFor("rule leaves: the rules changed")
	w.portal.SetMember(locked, w.robot, portalsim.ContentCreator)
	w.rest()
	if events := w.events("routed"); len(events) != 1 {
		t.Errorf("routed: %+v, want one event", events)
	}
	var by []string
	for _, transfer := range w.transfers("") {
		by = append(by, transfer.Rule+" "+transfer.State)
	}
	slices.Sort(by)
	if want := []string{"copies done", "turns done", "waits done"}; !slices.Equal(by, want) {
		t.Errorf("transfers: %q, want %q", by, want)
	}
	if n := len(w.titles(elsewhere)); n != 0 {
		t.Errorf("%d files came to the new destination of a rule that had copied already", n)
	}
}

// TestARoomOfOthers uploads where the gateway's account has no role, and gives it one later.
func TestARoomOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	private := w.portal.AddRoom(portalsim.Room{Title: "Private", Owner: w.owner, Members: map[portalsim.UserID]portalsim.Access{w.client: portalsim.ContentCreator}})
	below := w.portal.AddFolder(private, "2026", w.client)
	w.writeRules(rule("uploads", w.room, w.dest), rule("private", private, w.dest))
	w.start()
	w.portal.Upload(below, "1.pdf", 1, w.client)
	w.pendingFor(fmt.Sprintf("may not read folder %s", below))
	if failed := w.events("failed"); len(failed) > 0 {
		t.Errorf("failed: %+v", failed)
	}

	w.portal.SetMember(private, w.robot, portalsim.Read)
	// A changed file lets everything be asked anew.
	w.writeRules(rule("uploads", w.room, w.dest), rule("private", private, w.dest), rule("more", w.dest, w.room))
	w.wantTitles(w.dest, "1.pdf")
}

// TestAFlowThatIsTurnedRoundIsNoCircle lets two rooms change places in a chain, and change back.
func TestAFlowThatIsTurnedRoundIsNoCircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	a, b, c := w.addRoom("A"), w.addRoom("B"), w.addRoom("C")
	w.options.Pace.Reload = patience // no look at the content but on request
	chain := func(first, last portalsim.ID, back string) {
		step := func(name string, from, to portalsim.ID, trigger string) string {
			return aRule(name, "triggers: ["+trigger+"]", "own_events: true",
				fmt.Sprintf("source: {room: %s, subfolders: false}", from), fmt.Sprintf("destination: {folder: %s}", to))
		}
		w.writeRules(step("in", a, first, "file.uploaded"), step(back, first, last, "file.copied"))
	}
	chain(b, c, "onwards")
	w.start()
	w.portal.Upload(a, "1.pdf", 1, w.client)
	w.wantTitles(c, "1.pdf")
	for i, turn := range []func(){func() { chain(c, b, "backwards") }, func() { chain(b, c, "onwards") }} {
		turn()
		if code, text := w.postReload(); code != http.StatusOK {
			t.Fatalf("reload answered %d %s", code, text)
		}
		w.portal.Upload(a, fmt.Sprintf("%d.pdf", i+2), 1, w.client)
		w.rest()
	}
	w.wantTitles(b, "1.pdf", "2.pdf", "3.pdf")
	w.wantTitles(c, "1.pdf", "2.pdf", "3.pdf")
}
