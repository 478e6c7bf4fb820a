package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/portalsim"
)

// watches lets the gateway watch over a webhook at the address it will listen on.
func (w *world) watches(manage bool) {
	w.t.Helper()
	w.keepAddress()
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot)
	w.options.PublicURL = "http://" + w.options.Listen
	w.options.WatchWebhooks, w.options.ManageWebhook = true, manage
	w.options.Pace.Watch = 50 * time.Millisecond
}

// administrator is a client by which somebody else changes webhooks.
func (w *world) administrator() *docspace.Client {
	w.t.Helper()
	key := w.portal.AddKey(w.owner)
	c, err := docspace.New(docspace.Options{Portal: "default", URL: w.portal.URL(), APIKey: func() string { return key }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// hooks are the webhooks on the portal.
func (w *world) hooks(c *docspace.Client) []docspace.Webhook {
	w.t.Helper()
	all, err := c.Webhooks(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestADisabledWebhookIsReportedAndDoesNotMakeTheGatewayUnready(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.watches(false)
	w.writeRules(rule("uploads", w.room, w.dest))
	hook := w.ownWebhook()
	w.run()
	w.eventually("the webhook is found to be well", func() bool {
		return strings.Contains(w.ready(), "webhook of default: ok, webhook 1 (as of ")
	})
	admin := w.administrator()
	if _, err := admin.EnableWebhook(t.Context(), w.hooks(admin)[0], false); err != nil {
		t.Fatal(err)
	}
	w.eventually("that it is disabled is found", func() bool {
		return strings.Contains(w.ready(), "webhook of default: webhook 1 is disabled; meanwhile the portal notes no events")
	})
	if _, enabled := w.portal.WebhookState(hook); enabled {
		t.Error("it was enabled, which nobody allowed")
	}
	if public := w.readyAt(w.gateway.Addr()); strings.Contains(public, "webhook") {
		t.Errorf("everybody is told: %s", public)
	}
	w.wantMetrics(
		`docspace_router_webhook_healthy{portal="default"} 0`,
		`docspace_router_webhook_problem{portal="default",problem="disabled"} 1`,
	)
	var status struct {
		Portals []struct {
			Webhook struct {
				OK      bool
				Summary string
			}
		}
	}
	w.get("/api/v1/status", &status)
	if len(status.Portals) != 1 || status.Portals[0].Webhook.OK || !strings.Contains(status.Portals[0].Webhook.Summary, "webhook 1 is disabled") {
		t.Errorf("the status says %+v", status)
	}
	if page := w.text("/"); !strings.Contains(page, "Webhook: webhook 1 is disabled") {
		t.Error("the overview does not tell")
	}
}

func TestAWebhookWithAnotherSecretIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{RetryWaits: []time.Duration{}}})
	w.watches(false)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "http://" + w.options.Listen + "/webhook", Secret: "Another-Secret-2026",
		Triggers: []string{"file.uploaded", "file.created"}, Owner: w.robot, Enabled: true,
	})
	w.run()
	w.eventually("the webhook is found to be well", func() bool {
		return strings.Contains(w.ready(), "webhook of default: ok, webhook 1 (as of ")
	})
	w.portal.Upload(w.room, "first.pdf", 1, w.client)
	w.eventually("that deliveries are refused is found", func() bool {
		return strings.Contains(w.ready(), "webhook of default: deliveries are refused: webhook 1 signs with another secret")
	})
	w.wantMetrics(`docspace_router_webhook_problem{portal="default",problem="wrong_secret"} 1`)
	if page := w.text("/"); !strings.Contains(page, "Webhook: deliveries are refused") {
		t.Error("the overview does not tell")
	}
}

// TestAManagedWebhookFollows lets the gateway register itself, mend what others do to its webhook,
// and subscribe to what a new version of the rules needs.
func TestAManagedWebhookFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.watches(true)
	w.catchesUp()
	w.env["DOCSPACE_API_KEY"] = w.portal.AddKey(w.robot)
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	admin := w.administrator()
	w.eventually("the webhook is made", func() bool {
		all := w.hooks(admin)
		return len(all) == 1 && all[0].Enabled && all[0].URL == w.options.PublicURL+"/webhook/default" && all[0].Triggers == 128|256
	})
	w.portal.Upload(w.room, "first.pdf", 1, w.client)
	w.wantTitles(w.dest, "first.pdf")

	// Pointed to somebody who answers, and mended: what was sent there is in the log.
	w.halt()
	somebody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(somebody.Close)
	elsewhere := w.hooks(admin)[0]
	elsewhere.URL = somebody.URL
	if _, err := admin.UpdateWebhook(t.Context(), elsewhere, ""); err != nil {
		t.Fatal(err)
	}
	w.portal.Upload(w.room, "second.pdf", 1, w.client)
	w.rested()
	if log := w.portal.DeliveryLog(); log[len(log)-1].Status != http.StatusOK {
		t.Fatal("nobody answered")
	}
	w.run()
	w.eventually("it points here again", func() bool { return w.hooks(admin)[0].URL == w.options.PublicURL+"/webhook/default" })
	w.eventually("what was sent elsewhere is routed", func() bool { return len(w.titles(w.dest)) == 2 })

	w.writeRules(rule("uploads", w.room, w.dest, "triggers: [file.uploaded, file.moved]"))
	w.eventually("it follows the rules", func() bool { return w.hooks(admin)[0].Triggers == 256|16384 })

	if err := admin.DeleteWebhook(t.Context(), w.hooks(admin)[0].ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("there is another one", func() bool { return len(w.hooks(admin)) == 1 })
	w.portal.Upload(w.room, "third.pdf", 1, w.client)
	w.wantTitles(w.dest, "first.pdf", "second.pdf", "third.pdf")
	for _, want := range []string{"webhook mended", "the gateway has no webhook", "backfill"} {
		if !strings.Contains(w.logs.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}
