package admin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/store"
)

// delivery is a body about file 5.
const delivery = `{"event":{"id":1,"trigger":"file.uploaded"},"payload":{"id":5,"parentId":11,"title":"x.pdf","fileEntryType":2}}`

// keep stores a delivery of portal beta that did not say when it happened.
func (l *listener) keep(body string) int64 {
	l.t.Helper()
	var ids []int64
	err := l.store.InTx(l.t.Context(), func(tx *sql.Tx) (err error) {
		ids, err = l.store.InsertEvents(l.t.Context(), tx, []store.NewEvent{{
			Portal: "beta", ReceivedAt: start, Body: []byte(body), Event: event.Event{ID: body, Trigger: "file.uploaded"},
		}})
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return ids[0]
}

func TestExplain(t *testing.T) {
	t.Parallel()
	var seen event.Event
	l := serve(t, func(o *Options) {
		o.Explain = func(_ context.Context, portal string, ev event.Event) (explain.Explanation, error) {
			seen = ev
			switch portal {
			case "none":
				return explain.Explanation{}, fmt.Errorf("%w: none", ErrUnknownPortal)
			case "down":
				return explain.Explanation{}, errors.New("ask portal down: no answer")
			}
			return explain.Explanation{Portal: portal, EntryID: string(ev.Entry.ID), Rules: []explain.Verdict{{Rule: "a"}}}, nil
		}
	})
	kept := l.keep(delivery)
	bad := l.keep("{}")
	for _, tt := range []struct {
		name, path, body string
		code             int
		part             string
	}{
		{"a body", "explain?portal=acme", delivery, http.StatusOK, `"portal":"acme","trigger":"","entry_kind":"","entry_id":"5"`},
		{"a body of the only portal", "explain", delivery, http.StatusOK, `"rules":[{"rule":"a","matched":false}]`},
		{"a stored event", fmt.Sprintf("events/%d/explain", kept), "", http.StatusOK, `"portal":"beta","trigger":"","entry_kind":"","entry_id":"5"`},
		{"what became of a stored event", fmt.Sprintf("events/%d/explain", kept), "", http.StatusOK, fmt.Sprintf(`"stored":{"id":%d,"state":"pending"}`, kept)},
		{"a stored event there is not", "events/1000/explain", "", http.StatusNotFound, "there is no event 1000"},
		{"a stored event that cannot be read", fmt.Sprintf("events/%d/explain", bad), "", http.StatusUnprocessableEntity, "the stored body cannot be read"},
		{"an event that is no number", "events/x/explain", "", http.StatusUnprocessableEntity, "invalid integer"},
		{"no body", "explain", "", http.StatusBadRequest, "body is required"},
		{"a body that is too large", "explain", strings.Repeat(" ", maxDelivery+1), http.StatusRequestEntityTooLarge, "too large"},
		{"no JSON", "explain?portal=acme", "hello", http.StatusUnprocessableEntity, "body is not JSON"},
		{"a body about nobody's file", "explain?portal=acme", `{"event":{"trigger":"user.created"}}`, http.StatusUnprocessableEntity, "not about a file or folder"},
		{"an unknown portal", "explain?portal=none", delivery, http.StatusUnprocessableEntity, "unknown portal: none"},
		{"a portal that does not answer", "explain?portal=down", delivery, http.StatusBadGateway, "ask portal down: no answer"},
	} {
		p := l.send(http.MethodPost, "/api/v1/"+tt.path, tt.body, "Content-Type", "application/json")
		if p.Code != tt.code || !strings.Contains(p.Text, tt.part) {
			t.Errorf("%s: %+v, want %d with %s", tt.name, p, tt.code, tt.part)
		}
		if tt.name == "a stored event" && !seen.CreatedOn.Equal(start) {
			t.Errorf("a stored event without a time happened at %s, want when it was received", seen.CreatedOn)
		}
	}
	if p := l.do(http.MethodGet, "/api/v1/explain"); p.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %+v", p)
	}
}
