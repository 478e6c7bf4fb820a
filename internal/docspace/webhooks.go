package docspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// Webhook is a webhook's configuration on the portal. The portal never tells its secret. Dates
// are for people: portals outside of UTC may shift them.
type Webhook struct {
	ID       int64
	Name     string // at most 50 characters; unique together with URL
	URL      string
	Enabled  bool
	SSL      bool   // demand https, and check certificates
	Triggers int64  // a bit for each trigger, by Trigger.Bit; 0 is all of them
	TargetID string // only events about exactly this entry, not about what lies in it; empty: any

	CreatedBy                event.User
	Created, Modified        time.Time
	LastSuccess, LastFailure time.Time // zero: never
	LastFailureText          string
}

// Unauthorized reports whether the last delivery was answered 401, which a gateway does whose secrets
// are others.
func (w Webhook) Unauthorized() bool {
	return w.LastFailure.After(w.LastSuccess) && strings.Contains(w.LastFailureText, ": 401")
}

// Trigger is a trigger that a webhook can subscribe to.
type Trigger struct {
	Name      string
	Bit       int64 // 0 stands for all, by the name "*"
	Available bool  // to the key's account
}

// LogRow is a delivery in the portal's webhook log. There is a row for each webhook that wanted
// an event, and another one for each retry by hand.
type LogRow struct {
	ID      int64 // and event.id of the body
	Created time.Time
	// Body is what was last sent or, before the first send, what will be: then it has no event id.
	Body []byte
	// Signature is that of Body, as sent; empty before the first send.
	Signature string
	// Status is the answer's. 0: not sent, or no connection; 500 also stands for timeouts.
	Status int
}

// Answered reports whether somebody has taken the delivery.
func (r LogRow) Answered() bool { return r.Status >= 200 && r.Status < 300 }

// MaxLogRows is how many rows of the log a call returns at most.
const MaxLogRows = maxCount

// Webhooks returns the webhooks the account may see: an administrator's all, other people's their
// own. Webhook administration has no scope of its own: reading takes *:read, changing *:write, or
// an unrestricted key.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	return send(ctx, c, request{call: "webhooks", method: http.MethodGet, path: "settings/webhook"}, decodeWebhooks)
}

// WebhookTriggers returns the triggers that the portal knows.
func (c *Client) WebhookTriggers(ctx context.Context) ([]Trigger, error) {
	return send(ctx, c, request{call: "webhook_triggers", method: http.MethodGet, path: "settings/webhook/triggers"}, decodeTriggers)
}

// WebhookLog returns a page of a webhook's log, newest row first, beginning after skip rows. New
// rows push the others back, so that pages read one after the other may overlap.
//
// It sends no bounds in time: DocSpace's own, deliveryFrom and deliveryTo, leave out every
// delivery that failed.
func (c *Client) WebhookLog(ctx context.Context, webhook int64, skip int) ([]LogRow, error) {
	query := url.Values{
		"configId":   {strconv.FormatInt(webhook, 10)},
		"count":      {strconv.Itoa(MaxLogRows)},
		"startIndex": {strconv.Itoa(max(skip, 0))},
	}
	return send(ctx, c, request{call: "webhook_log", method: http.MethodGet, path: "settings/webhooks/log", query: query}, decodeLogRows)
}

// webhookBody is the body that creates and changes webhooks.
type webhookBody struct {
	ID       int64  `json:"id,omitempty"`
	Name     string `json:"name"`
	URI      string `json:"uri"`
	Secret   string `json:"secretKey,omitempty"` // left out of a change: the secret stays
	Enabled  bool   `json:"enabled"`
	SSL      bool   `json:"ssl"`
	Triggers int64  `json:"triggers"`
	TargetID string `json:"targetId,omitempty"`
}

func bodyOf(w Webhook, secret string) webhookBody {
	return webhookBody{w.ID, w.Name, w.URL, secret, w.Enabled, w.SSL, w.Triggers, w.TargetID}
}

// CreateWebhook creates a webhook after the portal has asked its URL with HEAD, which must be
// answered with 2xx. A URL that will not do is refused with 400, and with 500 when the portal
// cannot connect to it.
func (c *Client) CreateWebhook(ctx context.Context, w Webhook, secret string) (Webhook, error) {
	const call = "create_webhook"
	if secret == "" {
		return Webhook{}, invalid(call, "no secret")
	}
	w.ID = 0
	return send(ctx, c, request{call: call, method: http.MethodPost, path: "settings/webhook", body: bodyOf(w, secret)}, decodeWebhook)
}

// UpdateWebhook replaces a webhook's configuration, with the same checks as CreateWebhook. An empty
// secret leaves the present one.
func (c *Client) UpdateWebhook(ctx context.Context, w Webhook, secret string) (Webhook, error) {
	const call = "update_webhook"
	if w.ID == 0 {
		return Webhook{}, invalid(call, "no id")
	}
	return send(ctx, c, request{call: call, method: http.MethodPut, path: "settings/webhook", body: bodyOf(w, secret)}, decodeWebhook)
}

// EnableWebhook switches a webhook on or off and leaves everything else. The portal checks its URL
// as CreateWebhook does.
func (c *Client) EnableWebhook(ctx context.Context, w Webhook, on bool) (Webhook, error) {
	const call = "enable_webhook"
	if w.ID == 0 {
		return Webhook{}, invalid(call, "no id")
	}
	w.Enabled = on // name and address are ignored, but must be valid
	return send(ctx, c, request{call: call, method: http.MethodPut, path: "settings/webhook/enable", body: bodyOf(w, "")}, decodeWebhook)
}

// DeleteWebhook deletes a webhook. The portal then no longer lists its log.
func (c *Client) DeleteWebhook(ctx context.Context, id int64) error {
	const call = "delete_webhook"
	if id == 0 {
		return invalid(call, "no id")
	}
	_, err := send(ctx, c, request{
		call: call, method: http.MethodDelete, path: "settings/webhook/" + strconv.FormatInt(id, 10),
	}, func(envelope) (struct{}, error) { return struct{}{}, nil })
	return err
}

func decodeWebhooks(e envelope) ([]Webhook, error) {
	list, err := e.array()
	if err != nil {
		return nil, err
	}
	return each(list, func(raw json.RawMessage) (Webhook, error) {
		f, _ := object(raw)
		return webhookOf(f["configs"])
	})
}

func decodeWebhook(e envelope) (Webhook, error) { return webhookOf(e.response) }

func webhookOf(raw json.RawMessage) (Webhook, error) {
	f, ok := object(raw)
	if !ok {
		return Webhook{}, errors.New("webhook is not an object")
	}
	w := Webhook{
		ID: f.integer("id"), Name: f.text("name"), URL: f.text("uri"), Enabled: f.flag("enabled"), SSL: f.flag("ssl"),
		Triggers: f.integer("triggers"), TargetID: string(f.id("targetId")), CreatedBy: f.user("createdBy"),
		Created: f.moment("createdOn"), Modified: f.moment("modifiedOn"),
		LastSuccess: f.moment("lastSuccessOn"), LastFailure: f.moment("lastFailureOn"), LastFailureText: f.text("lastFailureContent"),
	}
	if w.ID == 0 {
		return Webhook{}, errors.New("webhook has no id")
	}
	return w, nil
}

func decodeTriggers(e envelope) ([]Trigger, error) {
	list, err := e.array()
	if err != nil {
		return nil, err
	}
	return each(list, func(raw json.RawMessage) (Trigger, error) {
		f, ok := object(raw)
		t := Trigger{Name: f.text("name"), Bit: f.integer("id"), Available: f.flag("available")}
		if !ok || t.Name == "" {
			return t, errors.New("trigger has no name")
		}
		return t, nil
	})
}

// decodeLogRows insists on ids: a row that cannot be told from the others would never be taken in,
// or again and again.
func decodeLogRows(e envelope) ([]LogRow, error) {
	list, err := e.array()
	if err != nil {
		return nil, err
	}
	return each(list, func(raw json.RawMessage) (LogRow, error) {
		f, ok := object(raw)
		if !ok || f.integer("id") == 0 {
			return LogRow{}, errors.New("log row has no id")
		}
		var body string
		if err := json.Unmarshal(f["requestPayload"], &body); err != nil {
			return LogRow{}, fmt.Errorf("body of log row %d is not text", f.integer("id"))
		}
		return LogRow{
			ID: f.integer("id"), Created: f.moment("creationTime"), Body: []byte(body),
			Signature: loggedHeader(f.text("requestHeaders"), event.SignatureHeader), Status: int(f.integer("status")),
		}, nil
	})
}

// loggedHeader reads a header's value from the log, where headers are JSON in a string: an object
// of lists, or of plain texts.
func loggedHeader(headers, name string) string {
	f, _ := object([]byte(headers))
	for key := range f {
		if !strings.EqualFold(key, name) {
			continue
		}
		if values := f.texts(key); len(values) > 0 {
			return values[0]
		}
		return f.text(key)
	}
	return ""
}
