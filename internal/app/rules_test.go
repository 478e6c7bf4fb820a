package app_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

// aRule writes a rule of the given lines, with the triggers of an upload unless they say others.
func aRule(name string, lines ...string) string {
	all := strings.Join(lines, "\n    ")
	if !strings.Contains(all, "triggers:") {
		all += "\n    triggers: [file.uploaded]"
	}
	return fmt.Sprintf("  - name: %s\n    action: copy\n    %s\n", name, all)
}

func TestRoomsAreChosenByTagAndTitle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	tagged, titled, both, neither := w.addRoom("First"), w.addRoom("Client 7"), w.addRoom("client 8"), w.addRoom("Kitchen")
	w.portal.SetTags(tagged, "Partner", "x")
	w.portal.SetTags(both, "partner")
	byTag, byTitle := w.addRoom("By tag"), w.addRoom("By title")
	w.writeRules(
		aRule("by-tag", "source: {room_tag: [partner, other]}", fmt.Sprintf("destination: {folder: %s}", byTag)),
		aRule("by-title", `source: {room_title: "Client *", subfolders: false}`, fmt.Sprintf("destination: {folder: %s}", byTitle)),
	)
	w.start()
	below := w.portal.AddFolder(both, "2026", w.client)
	w.portal.Upload(tagged, "1.pdf", 1, w.client)
	w.portal.Upload(titled, "2.pdf", 1, w.client)
	w.portal.Upload(both, "3.pdf", 1, w.client)
	w.portal.Upload(below, "4.pdf", 1, w.client)
	w.portal.Upload(neither, "5.pdf", 1, w.client)
	w.wantTitles(byTag, "1.pdf", "3.pdf", "4.pdf")
	w.wantTitles(byTitle, "2.pdf", "3.pdf")
	for _, tr := range w.transfers("") {
		if want := map[string]portalsim.ID{"1.pdf": tagged, "2.pdf": titled, "3.pdf": both, "4.pdf": both}[tr.Title]; tr.Source != string(want) {
			t.Errorf("%s comes from %q, want %s", tr.Title, tr.Source, want)
		}
	}
	// A room that a rule found is found by its name as well, though no rule names it.
	var list struct {
		Transfers []transfer
		Note      string
	}
	w.eventually("names are known", func() bool {
		list.Note = "" // the answer leaves it out then
		w.get("/api/v1/transfers?room=client+7", &list)
		return list.Note == ""
	})
	if len(list.Transfers) != 1 || list.Transfers[0].Title != "2.pdf" {
		t.Errorf("of the room Client 7 there are %+v", list.Transfers)
	}
}

func TestLookUpsAreMadeOnlyForRulesThatCouldMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.portal.SetTags(w.room, "client")
	w.writeRules(
		aRule("by-tag", "source: {room_tag: client}", `when: file.extension == "pdf" && file.size > 10`, fmt.Sprintf("destination: {folder: %s}", w.dest)),
		aRule("off", "enabled: false", fmt.Sprintf("source: {room: %s}", w.room), fmt.Sprintf("destination: {folder: %s}", w.dest)),
	)
	w.start()
	reads := func() int {
		c := w.portal.Calls()
		return c.Count("GET", "files/folder/{id}/path") + c.Count("GET", "files/rooms/{id}") + c.Count("GET", "files/file/{id}")
	}
	for i := range 10 {
		w.portal.Upload(w.room, fmt.Sprintf("%d.docx", i), 100, w.client)
	}
	w.wantTitles(w.dest)
	if n := reads(); n != 0 {
		t.Errorf("%d look-ups for files that no rule could want", n)
	}
	for i := range 10 {
		w.portal.Upload(w.room, fmt.Sprintf("%d.pdf", i), int64(i)+6, w.client)
	}
	w.rest()
	if n := len(w.titles(w.dest)); n != 5 {
		t.Errorf("%d files arrived, want those 5 above 10 bytes", n)
	}
	c := w.portal.Calls()
	if path, room := c.Count("GET", "files/folder/{id}/path"), c.Count("GET", "files/rooms/{id}"); path != 1 || room != 1 {
		t.Errorf("the room was asked for %d times and its tags %d times, want once each", path, room)
	}
	w.wantMetrics(
		`docspace_router_lookups_total{from="portal",of="path",portal="default"} 1`,
		`docspace_router_lookups_total{from="portal",of="room",portal="default"} 1`,
		`docspace_router_lookups_total{from="portal",of="file",portal="default"} 10`,
	)
}

func (w *world) metrics() string { return w.text("/metrics") }

// metric is the value of one series, "" while there is none.
func (w *world) metric(series string) string {
	for line := range strings.Lines(w.metrics()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// wantMetrics waits for lines of the metrics: what is stored is counted a moment later.
func (w *world) wantMetrics(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		w.eventually("the metric "+line, func() bool { return strings.Contains(w.metrics(), line) })
	}
}

// text reads what the admin listener answers.
func (w *world) text(path string) string {
	w.t.Helper()
	resp, err := http.Get("http://" + w.gateway.AdminAddr() + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %s %s %v", path, resp.Status, raw, err)
	}
	return string(raw)
}

// paths lists the files below a folder of the portal, as wantTitles does their titles.
func (w *world) wantPaths(folder portalsim.ID, want ...string) {
	w.t.Helper()
	w.rest()
	var got []string
	for _, e := range w.portal.Tree(folder) {
		got = append(got, e.Path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("below folder %s there are %q, want %q", folder, got, want)
	}
}

func TestPathsAreMadeBelowTheDestination(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	second := w.addRoom(`Sons & Co`)
	w.writeRules(aRule("filed", fmt.Sprintf("source: {room: [%s, %s]}", w.room, second),
		fmt.Sprintf(`destination: {folder: %s, path: 'room.title + "/" + event.created_on.Format("2006") + "/ <"+ file.extension + "> //"'}`, w.dest)))
	w.start()
	for i := range 8 {
		w.portal.Upload(w.room, fmt.Sprintf("a%d.pdf", i), 1, w.client)
		w.portal.Upload(second, fmt.Sprintf("b%d.docx", i), 1, w.client)
	}
	year := time.Now().UTC().Format("2006")
	want := []string{
		"Shared with client", "Shared with client/" + year, "Shared with client/" + year + "/_pdf_",
		"Sons & Co", "Sons & Co/" + year, "Sons & Co/" + year + "/_docx_",
	}
	for i := range 8 {
		want = append(want, fmt.Sprintf("Shared with client/%s/_pdf_/a%d.pdf", year, i), fmt.Sprintf("Sons & Co/%s/_docx_/b%d.docx", year, i))
	}
	w.wantPaths(w.dest, want...)
}

// Paths that cannot be told and folders that cannot be made lose nothing without a word.
func TestPathsThatDoNotWorkOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(
		aRule("empty", "when: file.extension == 'txt'", fmt.Sprintf("source: {room: %s}", w.room),
			fmt.Sprintf(`destination: {folder: %s, path: '" / ./" + file.comment'}`, w.dest)),
		aRule("fails", "when: file.extension == 'pdf'", "stop: true", fmt.Sprintf("source: {room: %s}", w.room),
			fmt.Sprintf(`destination: {folder: %s, path: payload.project.name}`, w.dest)),
		aRule("nowhere", "when: file.extension == 'xlsx'", fmt.Sprintf("source: {room: %s}", w.room),
			`destination: {folder: 999999, path: '"a"'}`),
	)
	w.start()
	w.portal.Upload(w.room, "a.txt", 1, w.client)
	w.portal.Upload(w.room, "b.pdf", 1, w.client)
	w.portal.Upload(w.room, "c.xlsx", 1, w.client)
	w.wantTitles(w.dest, "a.txt")
	if got := w.events("routed"); len(got) != 1 || !strings.Contains(got[0].Reason, "rule empty: destination.path came out empty") {
		t.Errorf("routed: %+v", got)
	}
	reasons := ""
	for _, e := range w.events("failed") {
		reasons += e.Reason + "\n"
	}
	for _, want := range []string{"rule fails: destination.path: cannot fetch name from <nil>", "the destination folder 999999 does not exist"} {
		if !strings.Contains(reasons, want) {
			t.Errorf("no %q among the reasons of failed events:\n%s", want, reasons)
		}
	}
}

func TestOwnEventsHandOnWhatTheGatewayDid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	third := w.addRoom("Third")
	w.writeRules(
		rule("first", w.room, w.dest),
		rule("second", w.dest, third, "triggers: [file.copied]", "own_events: true"),
		rule("not-asked", w.dest, w.addRoom("Fourth"), "triggers: [file.copied]"),
	)
	w.start()
	w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.wantTitles(third, "a.pdf")
	if n := len(w.transfers("done")); n != 2 {
		t.Errorf("%d transfers, want 2", n)
	}
}

// Two rules that hand on each other's copies, of rooms that only the portal knows: nothing in
// the file says so. The circle ends by itself, and people are told.
func TestCirclesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.portal.SetTags(w.room, "in")
	w.portal.SetTags(w.dest, "out")
	w.writeRules(
		aRule("there", "source: {room_tag: in}", "triggers: [file.uploaded, file.copied]", "own_events: true",
			fmt.Sprintf(`destination: {folder: %s, path: 'string(now.UnixNano())'}`, w.dest)),
		aRule("back", "source: {room_title: Internal}", "triggers: [file.copied]", "own_events: true",
			fmt.Sprintf("destination: {folder: %s}", w.room)),
	)
	w.start()
	w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.rest()
	if n := len(w.transfers("")); n != 3 {
		t.Errorf("%d transfers, want 3: there, back and there again", n)
	}
	stopped := 0
	for _, e := range w.events("ignored") {
		if strings.Contains(e.Reason, "rule back: stopped: the gateway's own work would go round in a circle (back, there)") {
			stopped++
		}
	}
	if stopped != 1 {
		t.Errorf("the end of the circle is told %d times: %+v", stopped, w.events("ignored"))
	}
	w.wantMetrics(`docspace_router_loops_stopped_total{portal="default",rule="back"} 1`)
}

// TestOneRulesDestinationHoldsUpNoOtherRule closes the room in which one rule files what another
// one copies and a third one moves away.
func TestOneRulesDestinationHoldsUpNoOtherRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	closed, archive := w.addRoom("Closed"), w.addRoom("Archive of ours")
	w.portal.SetMember(closed, w.robot, portalsim.Read)
	source := fmt.Sprintf("source: {room: %s}", w.room)
	w.writeRules(
		aRule("filed", source, fmt.Sprintf(`destination: {folder: %s, path: '"2026"'}`, closed)),
		aRule("copied", source, fmt.Sprintf("destination: {folder: %s}", w.dest)),
		strings.Replace(aRule("away", source, fmt.Sprintf("destination: {folder: %s}", archive)), "action: copy", "action: move", 1),
	)
	w.start()
	w.portal.Upload(w.room, "a.pdf", 1, w.client)
	w.eventually("the rule with an open destination has copied", func() bool { return len(w.titles(w.dest)) == 1 })
	w.eventually("the event tells why it waits", func() bool {
		pending := w.events("pending")
		return len(pending) == 1 && strings.Contains(pending[0].Reason, "make the gateway's account content creator")
	})
	if n := len(w.titles(archive)); n != 0 {
		t.Error("the file was moved before all of its copies were made")
	}
	w.portal.SetMember(closed, w.robot, portalsim.ContentCreator)
	w.wantTitles(archive, "a.pdf")
	w.wantTitles(w.dest, "a.pdf")
	list := w.portal.List(closed)
	if len(list) != 1 {
		t.Fatalf("the closed room holds %v, want one folder", list)
	}
	w.wantTitles(list[0].ID, "a.pdf")
	if all := w.transfers(""); len(all) != 3 {
		t.Errorf("%d transfers, want 3: %+v", len(all), all)
	}
}

// Neither a 3.x delivery nor the portal's answer about a file holds an e-mail address. A key that
// may not ask for it must not make everybody look like somebody without one.
func TestAnEventWaitsForAKeyThatMayReadEmailAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("outside", w.room, w.dest, `when: not (file.created_by.email endsWith "@ours.example")`))
	w.start()
	w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.eventually("the event says what is missing", func() bool {
		pending := w.events("pending")
		return len(pending) == 1 && strings.Contains(pending[0].Reason, "the API key needs the scope accounts:read")
	})
	if got := w.titles(w.dest); len(got) != 0 {
		t.Errorf("the destination holds %q", got)
	}
}
