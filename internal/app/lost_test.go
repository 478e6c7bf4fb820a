package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

func TestWhatAnotherServerAnswersInThePortalsPlaceCostsNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]portalsim.Fault{
		"every call is redirected":   {Status: http.StatusFound},
		"every call is answered 405": {Status: http.StatusMethodNotAllowed},
		"every call is answered 413": {Status: http.StatusRequestEntityTooLarge},
		"writes are redirected":      {Status: http.StatusTemporaryRedirect, Method: http.MethodPut},
		"writes are answered 405":    {Status: http.StatusMethodNotAllowed, Method: http.MethodPut},
		"writes are answered 413":    {Status: http.StatusRequestEntityTooLarge, Method: http.MethodPut, Body: "<html>413</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			w.writeRules(rule("uploads", w.room, w.dest))
			w.start()
			fault.Kind = portalsim.Refuse
			release := w.portal.Inject(fault)
			want := append(w.upload(4), "below.pdf")
			w.portal.Upload(w.portal.AddFolder(w.room, "Below", w.client), "below.pdf", 10, w.client)
			w.eventually("what waits tells why", func() bool {
				reasons := 0
				for _, e := range w.events("pending") {
					reasons += min(1, len(e.Reason))
				}
				for _, tr := range w.transfers("queued") {
					reasons += min(1, len(tr.Reason))
				}
				return reasons == len(want)
			})
			release()
			w.wantTitles(w.dest, want...)
			for _, tr := range w.transfers("") {
				if tr.State != "done" || tr.Attempts != 1 {
					t.Errorf("transfer of %s: %s after %d attempts (%s), want done with the first that counts", tr.Title, tr.State, tr.Attempts, tr.Reason)
				}
			}
		})
	}
}

func TestAKeyThatMayNotSeeItsAccountStillCopiesUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot, "files:write", "rooms:read")
	third := w.addRoom("Third")
	w.writeRules(rule("uploads", w.room, w.dest), rule("copies", w.room, third, "triggers: [file.copied]"))
	w.start()
	w.portal.Inject(portalsim.Fault{Kind: portalsim.LoseAnswer, Path: put, Method: http.MethodPut, Times: 1})
	w.portal.CopyEntry(portalsim.KindFile, w.portal.Upload(w.room, "a.pdf", 10, w.client), w.room, portalsim.Duplicate, w.client)
	want := append(w.upload(3), "a.pdf")
	w.eventually("the uploads have arrived and only the copied ones wait, with a reason", func() bool {
		waiting := w.events("pending")
		return w.status().Transfers["done"] == len(want) && len(waiting) == len(want)+1 &&
			!slices.ContainsFunc(waiting, func(e storedEvent) bool {
				return e.Trigger != "file.copied" || !strings.Contains(e.Reason, "accounts.self:read")
			})
	})
	if got := w.titles(w.dest); len(got) != len(want) {
		t.Errorf("the destination holds %q, want %q", got, want)
	}
	// With a better key everything is decided: the person's copy is copied, the echoes are not.
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot)
	w.writeRules(rule("uploads", w.room, w.dest), rule("copies", w.room, third, "triggers: [file.copied]"), "# a new key\n")
	w.wantTitles(third, "a (1).pdf")
}

// portals writes a rules file with the test's portal and other ones.
func (w *world) writePortals(rules string, urls map[string]string) {
	var b strings.Builder
	b.WriteString("version: 1\nportals:\n")
	for name, url := range urls {
		fmt.Fprintf(&b, "  %s:\n    url: %s\n    api_key: {env: DOCSPACE_API_KEY}\n    webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]\n", name, url)
	}
	w.replaceRules(b.String() + "rules:\n" + rules)
}

// hook lets the world's portal deliver to the gateway under a name.
func (w *world) hook(p *portalsim.Portal, owner portalsim.UserID, name string) {
	p.AddWebhook(portalsim.Webhook{
		Name: name, URL: "http://" + w.gateway.Addr() + "/webhook/" + name, Secret: secret,
		Triggers: []string{"*"}, Owner: owner, Enabled: true,
	})
}

func TestAPortalTakenOutOfTheRulesLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	address := w.env["DOCSPACE_API_HOST"]
	rules := rule("uploads", w.room, w.dest, "portal: acme")
	both := map[string]string{"acme": address, "other": "http://127.0.0.1:1"}
	w.writePortals(rules, both)
	w.run()
	w.hook(w.portal, w.owner, "acme")

	busy := w.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Path: put, Method: http.MethodPut})
	want := w.upload(3)
	w.eventually("transfers are queued", func() bool { return w.status().Transfers["queued"] == 3 })
	down := w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable})
	for _, title := range []string{"late 1.pdf", "late 2.pdf"} {
		// In a folder of its own, so that the portal must be asked where it lies.
		w.portal.Upload(w.portal.AddFolder(w.room, title, w.client), title, 10, w.client)
		want = append(want, title)
	}
	w.eventually("events are pending", func() bool { return w.status().Events["pending"] == 2 })

	w.writePortals(strings.ReplaceAll(rules, "acme", "other"), map[string]string{"other": both["other"]})
	w.eventually("the events tell that their portal is gone", func() bool {
		pending := w.events("pending")
		return len(pending) == 2 && strings.Contains(pending[0].Reason, "not in the rules file")
	})
	w.options.Listen = w.gateway.Addr()
	w.halt() // with it ends what was decided by the rules before
	down()
	busy()
	before := len(w.logs.String())
	w.run() // it is remembered, not only held in memory
	w.eventually("the gateway tells that transfers are held", func() bool { return strings.Contains(w.logs.String()[before:], "transfers held") })
	if s := w.status(); s.Transfers["queued"]+s.Transfers["sending"] != 3 || s.Events["pending"] != 2 {
		t.Errorf("without the portal: %+v, want 3 transfers and 2 events to wait", s)
	}
	w.writePortals(rules, both)
	w.wantTitles(w.dest, want...)
}

func TestADestinationInsideTheSourceIsNoLoop(t *testing.T) {
	t.Parallel()
	for _, action := range []event.Action{event.Copy, event.Move} {
		for _, conflict := range []event.Conflict{event.Duplicate, event.Skip, event.Overwrite} {
			t.Run(fmt.Sprint(action, " ", conflict), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, portalsim.Options{})
				inside := w.portal.AddFolder(w.room, "Inbox", w.client)
				w.writeRules(
					rule("files", w.room, inside, "triggers: [file.*]", "action: "+string(action), "conflict: "+string(conflict)),
					rule("folders", w.room, inside, "triggers: [folder.*]", "action: "+string(action), "conflict: "+string(conflict)),
				)
				w.start()
				there := w.portal.Upload(inside, "there.pdf", 10, w.client)
				w.portal.UpdateFile(there, 20, w.client)
				w.portal.Upload(w.room, "new.pdf", 10, w.client)
				w.portal.Rename(portalsim.KindFolder, inside, "Inbox of ours", w.client)
				w.wantTitles(inside, "new.pdf", "there.pdf")
				for _, e := range w.portal.List(inside) {
					if want := map[string]int{"new.pdf": 1, "there.pdf": 2}[e.Title]; e.Version != want {
						t.Errorf("%s has %d versions, want %d", e.Title, e.Version, want)
					}
				}
				if n := w.writes(); n != 1 {
					t.Errorf("%d write calls, want the one that brought new.pdf", n)
				}
				for _, e := range w.events("ignored") {
					if !strings.Contains(e.Reason, "already lies in folder") && !strings.Contains(e.Reason, "the gateway itself") &&
						!strings.Contains(e.Reason, "the destination itself") {
						t.Errorf("event %s of %s is ignored because %q", e.Trigger, e.EntryID, e.Reason)
					}
				}
			})
		}
	}
}

// delivery is a body of the 3.x generation about a file in the client's room.
func (w *world) delivery(webhook, id int, trigger, at string, file portalsim.ID, title string) []byte {
	return fmt.Appendf(nil, `{"event":{"id":%d,"createOn":"%s","createBy":"%s","trigger":"%s"},`+
		`"payload":{"id":%s,"parentId":%s,"title":"%s","fileEntryType":2},"webhook":{"id":%d}}`,
		id, at, w.client, trigger, file, w.room, title, webhook)
}

func TestTwoReportsOfOneHappeningAreOneTransfer(t *testing.T) {
	t.Parallel()
	const at = "2026-03-02T09:14:07Z"
	for name, c := range map[string]struct {
		second func(w *world, file portalsim.ID) []byte
		twice  bool
	}{
		"a manual retry has a new id": {second: func(w *world, f portalsim.ID) []byte { return w.delivery(1, 2, "file.updated", at, f, "a.pdf") }},
		"a second webhook":            {second: func(w *world, f portalsim.ID) []byte { return w.delivery(2, 2, "file.updated", at, f, "a.pdf") }},
		"a second webhook, a second later": {second: func(w *world, f portalsim.ID) []byte {
			return w.delivery(2, 2, "file.updated", "2026-03-02T09:14:08Z", f, "a.pdf")
		}},
		"a second version two seconds later": {twice: true, second: func(w *world, f portalsim.ID) []byte {
			return w.delivery(1, 2, "file.updated", "2026-03-02T09:14:09Z", f, "a.pdf")
		}},
		"another trigger of the same second": {twice: true, second: func(w *world, f portalsim.ID) []byte {
			return w.delivery(1, 2, "file.uploaded", at, f, "a.pdf")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			file := w.portal.AddFile(w.room, portalsim.File{Title: "a.pdf", Size: 10, By: w.client})
			w.writeRules(rule("all", w.room, w.dest, "triggers: [file.updated, file.uploaded]", "conflict: overwrite"))
			w.run()
			for _, body := range [][]byte{w.delivery(1, 1, "file.updated", at, file, "a.pdf"), c.second(w, file)} {
				if code, answer := w.deliver(body, event.Sign(body, secret)); code != http.StatusOK {
					t.Fatalf("answered %d %s", code, answer)
				}
				w.rest()
			}
			want := 1
			if c.twice {
				want = 2
			}
			if got := w.transfers("done"); len(got) != want {
				t.Errorf("%d transfers, want %d: %+v", len(got), want, got)
			}
			if e := w.portal.List(w.dest); len(e) != 1 || e[0].Version != want {
				t.Errorf("the destination holds %+v, want version %d", e, want)
			}
			told := slices.ContainsFunc(w.events("routed"), func(e storedEvent) bool { return strings.Contains(e.Reason, "event 1 reported the same") })
			if told == c.twice {
				t.Errorf("events %+v; that the second one repeats the first is told: %t", w.events("routed"), told)
			}
		})
	}
}

func TestAnUploadReportedInManyWaysIsCopiedOnce(t *testing.T) {
	t.Parallel()
	for _, generation := range []int{3, 4} {
		t.Run(fmt.Sprintf("generation %d", generation), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{Generation: generation})
			w.writeRules(rule("uploads", w.room, w.dest))
			w.start()
			w.addWebhook()
			w.portal.UploadOneShot(w.room, "a.pdf", 10, w.client)
			w.rest()
			for _, row := range w.portal.DeliveryLog() {
				w.portal.RetryDelivery(row.ID)
			}
			w.wantTitles(w.dest, "a.pdf")
			if all := w.transfers(""); len(all) != 1 || all[0].Attempts != 1 {
				t.Errorf("transfers: %+v, want one", all)
			}
		})
	}
}
