package docspace_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// hookPortal is a simulated portal in simulated time, whose webhooks get the answer of their
// receiver, and a client with a key of those scopes.
func hookPortal(t *testing.T, receiver http.Handler, scopes ...string) (*portalsim.Portal, portalsim.UserID, *docspace.Client) {
	t.Helper()
	p := portalsim.New(portalsim.Options{HTTPClient: &http.Client{Transport: portalsim.HandlerTransport(receiver)}})
	t.Cleanup(p.Close)
	robot := p.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	key := p.AddKey(robot, scopes...)
	c, err := docspace.New(docspace.Options{Portal: "acme", URL: p.URL(), APIKey: func() string { return key }, Transport: p.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return p, robot, c
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func TestAWebhooksLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		_, robot, c := hookPortal(t, status(200), "*:write")
		triggers, err := c.WebhookTriggers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]docspace.Trigger{}
		for _, trigger := range triggers {
			known[trigger.Name] = trigger
		}
		if got := known["file.uploaded"]; got.Bit != 256 || !got.Available || known["folder.downloaded"].Bit != 34359738368 {
			t.Errorf("triggers %+v", triggers)
		}
		w := docspace.Webhook{Name: "router", URL: "https://router.example.com/webhook", Enabled: true, SSL: true, Triggers: 384}
		made, err := c.CreateWebhook(ctx, w, "Str0ng-Secret")
		if err != nil {
			t.Fatal(err)
		}
		if made.ID == 0 || made.Name != w.Name || made.URL != w.URL || !made.Enabled || !made.SSL || made.Triggers != 384 || made.CreatedBy.ID != string(robot) {
			t.Errorf("created %+v", made)
		}
		made.Triggers = 256
		if changed, err := c.UpdateWebhook(ctx, made, ""); err != nil || changed.Triggers != 256 || changed.ID != made.ID {
			t.Errorf("changed %+v: %v", changed, err)
		}
		if off, err := c.EnableWebhook(ctx, made, false); err != nil || off.Enabled {
			t.Errorf("switched off %+v: %v", off, err)
		}
		list, err := c.Webhooks(ctx)
		if err != nil || len(list) != 1 || list[0].ID != made.ID || list[0].Enabled || list[0].Triggers != 256 {
			t.Errorf("list %+v: %v", list, err)
		}
		if err := c.DeleteWebhook(ctx, made.ID); err != nil {
			t.Error(err)
		}
		if err := c.DeleteWebhook(ctx, made.ID); !docspace.IsGone(err) {
			t.Errorf("deleted again: %v", err)
		}
	})
}

func TestWebhooksThatThePortalRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, c := hookPortal(t, status(404), "*:write")
		w := docspace.Webhook{Name: "router", URL: "https://router.example.com/webhook", Enabled: true}
		for name, change := range map[string]func() error{
			"the probe fails": func() error { _, err := c.CreateWebhook(t.Context(), w, "Str0ng-Secret"); return err },
			"the secret":      func() error { _, err := c.CreateWebhook(t.Context(), w, strings.Repeat("x", 31)); return err },
			"a private address": func() error {
				w.URL = "http://10.0.0.1/"
				_, err := c.CreateWebhook(t.Context(), w, "Str0ng-Secret")
				return err
			},
		} {
			err := change()
			if e := new(docspace.StatusError); !errors.As(err, &e) || e.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %v, want 400", name, err)
			}
		}
		_, _, reader := hookPortal(t, status(200), "*:read")
		if _, err := reader.CreateWebhook(t.Context(), w, "Str0ng-Secret"); !docspace.IsCredentials(err) {
			t.Errorf("a key that may only read: %v", err)
		}
		_, _, files := hookPortal(t, status(200), "files:write", "rooms:read")
		if _, err := files.Webhooks(t.Context()); !docspace.IsCredentials(err) {
			t.Errorf("a key without the scope: %v", err)
		}
	})
}

// TestTheWebhookLog reads rows in each state: delivered, given up, never sent.
func TestTheWebhookLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := 200
		p, robot, c := hookPortal(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }), "*:read")
		room := p.AddRoom(portalsim.Room{Title: "Room", Owner: robot})
		hook := p.AddWebhook(portalsim.Webhook{Name: "router", URL: "https://router.example.com/", Secret: "Str0ng-Secret", Owner: robot, Enabled: true})
		p.AddWebhook(portalsim.Webhook{Name: "other", URL: "https://other.example.com/", Secret: "Str0ng-Secret", Owner: robot, Enabled: true})
		upload := func(titles ...string) {
			for _, title := range titles {
				p.Upload(room, title, 1, robot)
			}
		}
		upload("delivered.pdf")
		if err := p.WaitDelivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		answer = 503
		upload("given up.pdf")
		if err := p.WaitDelivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		upload("never sent.pdf")
		p.LoseQueue()

		rows, err := c.WebhookLog(t.Context(), int64(hook), 0)
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		slices.Reverse(rows)
		for i, want := range []struct {
			title         string
			status        int
			signed, hasID bool
		}{{"delivered.pdf", 200, true, true}, {"given up.pdf", 503, true, true}, {"never sent.pdf", 0, false, false}} {
			r := rows[i]
			ev, err := event.Parse(r.Body)
			if err != nil || ev.Entry.Title != want.title || r.Status != want.status || r.Answered() != (want.status == 200) {
				t.Errorf("row %d: %+v, %v", r.ID, r, err)
			}
			if event.Verify(r.Body, r.Signature, "Str0ng-Secret") != want.signed || strings.HasPrefix(ev.ID, "sha256:") == want.hasID {
				t.Errorf("row %d: signature %q, event id %s", r.ID, r.Signature, ev.ID)
			}
			if time.Since(r.Created).Abs() > time.Hour {
				t.Errorf("row %d was made at %s", r.ID, r.Created)
			}
		}
		upload(slices.Repeat([]string{"many.pdf"}, 120)...)
		first, err := c.WebhookLog(t.Context(), int64(hook), 0)
		if err != nil || len(first) != docspace.MaxLogRows {
			t.Fatalf("%d rows: %v", len(first), err)
		}
		rest, err := c.WebhookLog(t.Context(), int64(hook), len(first))
		if err != nil || len(rest) != 23 || rest[0].ID >= first[len(first)-1].ID {
			t.Errorf("%d more rows: %v", len(rest), err)
		}
		p.LoseQueue()
	})
}

func TestSenselessWebhookCallsAreNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, c := hookPortal(t, status(200))
		_, noSecret := c.CreateWebhook(context.Background(), docspace.Webhook{Name: "x"}, "")
		_, noID := c.UpdateWebhook(context.Background(), docspace.Webhook{Name: "x"}, "")
		_, noneToEnable := c.EnableWebhook(context.Background(), docspace.Webhook{Name: "x"}, true)
		for _, err := range []error{noSecret, noID, noneToEnable, c.DeleteWebhook(context.Background(), 0)} {
			if err == nil || !strings.Contains(err.Error(), "invalid request") {
				t.Errorf("%v", err)
			}
		}
		if n := len(p.DeliveryLog()); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}
