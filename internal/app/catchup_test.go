package app_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

// keepAddress makes the gateway listen on the same port at every start.
func (w *world) keepAddress() {
	w.t.Helper()
	l, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.options.Listen = l.Addr().String()
	if err := l.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// catchesUp gives the gateway a key that may read the log, and a window.
func (w *world) catchesUp() {
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot, "files:write", "rooms:read", "accounts.self:read", "*:read")
	w.options.CatchUpWindow = 72 * time.Hour
	w.options.Pace.CatchUp, w.options.Pace.Fresh = 200*time.Millisecond, time.Second
}

// ownWebhook adds a webhook of the gateway's account, at the address it will listen on.
func (w *world) ownWebhook() int {
	return w.portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "http://" + w.options.Listen + "/webhook", Secret: secret,
		Triggers: []string{"file.uploaded", "file.created"}, Owner: w.robot, Enabled: true,
	})
}

type catchUp struct {
	Running                        bool
	Webhooks, Rows, Missing, Taken int
	Trouble                        string
}

func (w *world) catchUpStatus() catchUp {
	w.t.Helper()
	var list struct{ Portals []catchUp }
	w.get("/api/v1/catch-up", &list)
	return list.Portals[0]
}

// TestWhatHappenedWhileTheGatewayWasAwayIsRouted is the trap of DocSpace's half-minute memory: for
// an hour of the portal's clock nobody answers, and the webhook gives up on every upload.
func TestWhatHappenedWhileTheGatewayWasAwayIsRouted(t *testing.T) {
	t.Parallel()
	const rooms = 12
	each := fewer(250, 25)
	w := newWorld(t, portalsim.Options{
		ClockSkew: -time.Hour,
		Limits:    portalsim.Limits{RequestsPerMinute: -1},
		Timings:   portalsim.Timings{RetryWaits: []time.Duration{time.Millisecond}},
	})
	w.keepAddress()
	w.catchesUp()
	var rules []string
	sources, dests := make([]portalsim.ID, rooms), make([]portalsim.ID, rooms)
	for i := range rooms {
		sources[i], dests[i] = w.addRoom(fmt.Sprintf("Client %d", i)), w.addRoom(fmt.Sprintf("Ours %d", i))
		rules = append(rules, rule(fmt.Sprintf("room-%d", i), sources[i], dests[i]))
	}
	w.writeRules(rules...)
	hook := w.ownWebhook()
	want := make([][]string, rooms)
	upload := func(room int, title string) {
		w.portal.Upload(sources[room], title, 10, w.client)
		want[room] = append(want[room], title)
	}

	w.run()
	upload(0, "before.pdf")
	w.rest()
	w.halt()
	for i := range each {
		for room := range rooms {
			upload(room, fmt.Sprintf("File %04d.pdf", i))
		}
		w.portal.AdvanceClock(time.Hour / time.Duration(each))
	}
	w.rested()
	if exists, enabled := w.portal.WebhookState(hook); !exists || !enabled {
		t.Fatal("the webhook did not outlive the outage")
	}
	for _, row := range w.portal.DeliveryLog()[1:] {
		if !row.Settled || row.Status != 0 {
			t.Fatalf("row %d was not given up: %+v", row.ID, row)
		}
	}

	w.run()
	// What comes meanwhile does not wait for all of that.
	w.eventually("catching up is under way", func() bool { return w.catchUpStatus().Taken > 0 })
	for i := range 5 {
		upload(i, "live.pdf")
	}
	delivered := func() (n int) {
		for i := range 5 {
			if slices.Contains(w.titles(dests[i]), "live.pdf") {
				n++
			}
		}
		return n
	}
	missed := func() (n int) {
		for i := range rooms {
			n += len(w.titles(dests[i]))
		}
		return n
	}
	w.eventually("live uploads have arrived", func() bool { return delivered() == 5 })
	t.Logf("live uploads had arrived when %d of %d files had", missed(), rooms*each)
	w.eventually("everything is taken in", func() bool { return w.status().Transfers["done"] == rooms*each+6 })
	for i := range rooms {
		w.wantTitles(dests[i], want[i]...)
	}
	for _, e := range w.transfers("") {
		if e.State != "done" {
			t.Errorf("%s of %s: %s", e.State, e.Title, e.Reason)
		}
	}
	if n := w.status().Events["routed"]; n != rooms*each+6 {
		t.Errorf("%d events are routed, want %d", n, rooms*each+6)
	}
}

// rested waits until the portal has given up on everything.
func (w *world) rested() {
	w.t.Helper()
	if err := w.portal.WaitDelivered(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestWhatABackfillBroughtIsNotCaughtUp changes files while the gateway is away, brings them by a
// backfill, and only then lets the portal's log be read.
func TestWhatABackfillBroughtIsNotCaughtUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{
		ClockSkew: -time.Hour,
		Timings:   portalsim.Timings{RetryWaits: []time.Duration{time.Millisecond}},
	})
	w.keepAddress()
	w.options.PublicURL = "http://" + w.options.Listen
	w.writeRules(rule("changes", w.room, w.dest, "triggers: [file.uploaded, file.created, file.updated]"))
	w.portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: w.options.PublicURL + "/webhook", Secret: secret,
		Triggers: []string{"file.uploaded", "file.updated"}, Owner: w.robot, Enabled: true,
	})
	changed := w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.portal.UpdateFile(changed, 20, w.client)
	w.portal.AdvanceClock(time.Minute)
	w.rested()

	w.run()
	w.backfilled(w.backfill(backfillBody{"rule": "changes"}))
	w.halt()
	w.catchesUp()
	w.run()
	w.eventually("both rows are taken in", func() bool { return w.status().Events["routed"] == 3 })
	w.wantTitles(w.dest, "a.pdf")
}

// TestADeliveryThatWasRetriedByHandIsCaughtUpOnce has two rows of one upload in the log.
func TestADeliveryThatWasRetriedByHandIsCaughtUpOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{RetryWaits: []time.Duration{time.Millisecond}}})
	w.keepAddress()
	w.catchesUp()
	w.options.PublicURL = "http://" + w.options.Listen // nothing was ever delivered to know the webhook by
	w.writeRules(rule("uploads", w.room, w.dest))
	w.ownWebhook()
	w.portal.Upload(w.room, "a.pdf", 10, w.client)
	w.rested()
	w.portal.RetryDelivery(1)
	w.rested()
	w.portal.Upload(w.room, "b.pdf", 10, w.client)
	w.rested()
	w.run()
	w.eventually("all rows are taken in", func() bool {
		n := 0
		for _, count := range w.status().Events {
			n += count
		}
		return n == 3
	})
	w.wantTitles(w.dest, "a.pdf", "b.pdf")
	if done := w.status().Transfers["done"]; done != 2 {
		t.Errorf("%d transfers are done, want 2", done)
	}
}
