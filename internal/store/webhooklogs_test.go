package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

// useWebhookLogs calls every method about them.
func (h *harness) useWebhookLogs() {
	h.t.Helper()
	ctx := h.ctx()
	h.must(h.SaveWebhookLog(ctx, WebhookLog{Portal: "acme", WebhookID: "12", KnownSince: start}))
	_, err := h.WebhookLog(ctx, "acme", "12")
	h.must(err)
	_, err = h.SeenWebhooks(ctx, "acme")
	h.must(err)
	_, err = h.KnownSince(ctx, "acme")
	h.must(err)
	_, err = h.StoredEvents(ctx, "acme", []event.Event{{ID: "1", WebhookID: "12"}})
	h.must(err)
	_, err = h.Unsettled(ctx, "acme", 10)
	h.must(err)
}

func TestAWebhooksLogIsRemembered(t *testing.T) {
	t.Parallel()
	h := open(t)
	if _, err := h.WebhookLog(h.ctx(), "acme", "12"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a log never read: %v", err)
	}
	want := WebhookLog{Portal: "acme", WebhookID: "12", KnownSince: start}
	for range 2 {
		h.must(h.SaveWebhookLog(h.ctx(), want))
		got, err := h.WebhookLog(h.ctx(), "acme", "12")
		h.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		want.HandledTo, want.Newest, want.NewestAt, want.CheckedAt = 1<<40, 1<<41, start.Add(time.Hour), start.Add(time.Minute)
	}
	if _, err := h.WebhookLog(h.ctx(), "other", "12"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another portal's: %v", err)
	}
}

func TestWhatIsStoredOfALog(t *testing.T) {
	t.Parallel()
	h := open(t)
	if since, err := h.KnownSince(h.ctx(), "acme"); err != nil || !since.IsZero() {
		t.Errorf("an empty database knows since %s: %v", since, err)
	}
	first := h.delivery("7")
	first.Event.WebhookID = "12"
	second := h.delivery("8")
	second.Event.WebhookID = "3"
	h.insert(first, second)

	again, anew := first.Event, first.Event
	anew.CreatedOn = anew.CreatedOn.Add(time.Hour) // of a portal that counts from 1 again
	elsewhere := first.Event
	elsewhere.WebhookID = "4"
	got, err := h.StoredEvents(h.ctx(), "acme", []event.Event{again, anew, elsewhere, second.Event})
	h.must(err)
	if diff := cmp.Diff([]bool{true, false, false, true}, got); diff != "" {
		t.Error(diff)
	}
	if since, err := h.KnownSince(h.ctx(), "acme"); err != nil || !since.Equal(first.ReceivedAt) {
		t.Errorf("known since %s, want %s: %v", since, first.ReceivedAt, err)
	}
	h.must(h.SaveWebhookLog(h.ctx(), WebhookLog{Portal: "acme", WebhookID: "9", KnownSince: start}))
	seen, err := h.SeenWebhooks(h.ctx(), "acme")
	h.must(err)
	if diff := cmp.Diff([]string{"12", "3", "9"}, seen); diff != "" {
		t.Error(diff)
	}
	if n, err := h.Unsettled(h.ctx(), "acme", 1); err != nil || n != 1 {
		t.Errorf("a backlog of %d, want as many as were counted: %v", n, err)
	}
	if n, err := h.Unsettled(h.ctx(), "acme", 100); err != nil || n != 2 {
		t.Errorf("a backlog of %d: %v", n, err)
	}
}
