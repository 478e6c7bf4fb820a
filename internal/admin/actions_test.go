package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// fail ends the transfer that is queued first of a lane as failed.
func (l *listener) fail(lane string) {
	l.t.Helper()
	op, _, err := l.store.Claim(l.t.Context(), lane, store.ClaimOptions{Limit: 1, Fit: func(store.Transfer) bool { return true }})
	if err != nil || op == nil {
		l.t.Fatalf("claim: %+v, %v", op, err)
	}
	if _, err := l.store.SettleOperation(l.t.Context(), op, []store.Outcome{{
		TransferID: op.Transfers[0].ID, State: event.Failed, Reason: "the file is gone", Attempted: true,
	}}, ""); err != nil {
		l.t.Fatal(err)
	}
}

const copies = "acme|copy|file|duplicate|20"

func soon() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }

func TestActions(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	l.fail(copies)
	for _, tt := range []struct {
		name, path, body string
		code             int
		part             string
	}{
		{"what failed is not given up by its rule", "transfers/cancel", `{"rule":"copies","dry_run":true}`, http.StatusOK, `"matched":0,"acted":0`},
		{"but by its state", "transfers/cancel", `{"state":["failed"],"dry_run":true}`, http.StatusOK, `"matched":1,"acted":0`},
		{"give up what failed", "transfers/2/cancel", "", http.StatusOK, `"reason":"cancelled by Ann"`},
		{"give it up twice", "transfers/2/cancel", "", http.StatusConflict, "transfer 2: it is cancelled already"},
		{"retry what failed", "transfers/2/retry", "", http.StatusOK, `"state":"queued"`},
		{"retry it twice", "transfers/2/retry", "", http.StatusConflict, "only what failed or was cancelled"},
		{"cancel it", "transfers/2/cancel", "", http.StatusOK, `"reason":"cancelled by Ann"`},
		{"retry what is not there", "transfers/99/retry", "", http.StatusNotFound, "there is no transfer 99"},
		{"retry what is no number", "transfers/x/retry", "", http.StatusUnprocessableEntity, "invalid integer"},
		{"many without a scope", "transfers/retry", `{}`, http.StatusUnprocessableEntity, "say which transfers"},
		{"many with two scopes", "transfers/retry", `{"ids":[1],"all":true}`, http.StatusUnprocessableEntity, "not both"},
		{"many with an unknown field", "transfers/retry", `{"rul":"x"}`, http.StatusUnprocessableEntity, "unexpected property"},
		{"many in an impossible state", "transfers/retry", `{"state":["queued"]}`, http.StatusUnprocessableEntity, "in none of these states"},
		{"what was cancelled is not meant by all", "transfers/retry", `{"all":true}`, http.StatusOK, `"matched":0,"acted":0`},
		{"count", "transfers/retry", `{"state":["cancelled"],"dry_run":true}`, http.StatusOK, `"matched":1,"acted":0`},
		{"many", "transfers/retry", `{"state":["cancelled"],"rule":"copies"}`, http.StatusOK, `"matched":1,"acted":1`},
		{"some", "transfers/cancel", `{"ids":[1,2,77]}`, http.StatusOK, `"acted":1,"refused":[{"id":1,"reason":"it is done already"},{"id":77`},
		{"replay", "events/4/replay", "", http.StatusOK, `"state":"pending"`},
		{"replay what is pending", "events/4/replay", "", http.StatusConflict, "about to be routed"},
		{"replay what is not there", "events/99/replay", "", http.StatusNotFound, "there is no event 99"},
		{"pause", "pauses", `{"scope":"rule","name":"copies","until":"` + soon() + `","reason":"audit"}`, http.StatusOK, `"author":"Ann"`},
		{"pause what is not there", "pauses", `{"scope":"rule","name":"cpies","until":"` + soon() + `","reason":"audit"}`, http.StatusUnprocessableEntity, "have no rule"},
		{"pause in the past", "pauses", `{"scope":"rule","name":"copies","until":"2020-01-01T00:00:00Z","reason":"audit"}`, http.StatusUnprocessableEntity, "over at once"},
		{"pause for ever", "pauses", `{"scope":"rule","name":"copies","until":"2999-01-01T00:00:00Z","reason":"audit"}`, http.StatusUnprocessableEntity, "90 days"},
		{"pause without a reason", "pauses", `{"scope":"rule","name":"copies","until":"` + soon() + `","reason":" "}`, http.StatusUnprocessableEntity, "say why"},
	} {
		p := l.send(http.MethodPost, "/api/v1/"+tt.path, tt.body, "Content-Type", "application/json", "X-Author", "Ann")
		if p.Code != tt.code || !strings.Contains(p.Text, tt.part) {
			t.Errorf("%s: %+v, want %d with %s", tt.name, p, tt.code, tt.part)
		}
		if p.Code >= 400 && p.Type != "application/problem+json" {
			t.Errorf("%s: answered as %s", tt.name, p.Type)
		}
	}
	l.do(http.MethodPost, "/api/v1/transfers/2/retry")
	held := l.get("/api/v1/transfers/2")
	if !strings.Contains(fmt.Sprint(held["held_by"]), "rule copies is paused by Ann: audit") || held["held_until"] == nil || held["state"] != "queued" {
		t.Errorf("a held transfer is told as %v", held)
	}
	rule := l.get("/api/v1/rules")["rules"].([]any)[0].(map[string]any)
	if rule["hits"] != 2.0 || rule["paused"] == nil || rule["last_hit"] == nil {
		t.Errorf("rule is told as %v", rule)
	}
	if p := l.do(http.MethodDelete, "/api/v1/pauses/rule/copies"); p.Code != http.StatusOK || !strings.Contains(p.Text, `"pauses":[]`) {
		t.Errorf("resume: %+v", p)
	}
	if p := l.do(http.MethodDelete, "/api/v1/pauses/rule/copies"); p.Code != http.StatusNotFound {
		t.Errorf("resume twice: %+v", p)
	}
}

func TestTheStoryOfATransfer(t *testing.T) {
	t.Parallel()
	l := serve(t)
	l.fill()
	l.fail(copies)
	l.send(http.MethodPost, "/api/v1/transfers/2/retry", "", "X-Author", "Ann")
	got := l.get("/api/v1/transfers/2")
	at := "2026-03-02T09:00:00Z"
	want := []any{
		map[string]any{"operation": 2.0, "outcome": "failed", "reason": "the file is gone", "at": at, "last_at": at, "times": 1.0},
		map[string]any{"outcome": "queued", "reason": "queued again by Ann", "at": at, "last_at": at, "times": 1.0},
	}
	if diff := cmp.Diff(want, got["history"]); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if got["delivery"].(map[string]any)["id"] != 2.0 || got["last_operation"].(map[string]any)["state"] != "settled" ||
		got["destination_link"] != "https://acme.example.com/rooms/shared/20/filter?folder=20" {
		t.Errorf("story %v", got)
	}
	if link := l.get("/api/v1/transfers/1")["result_link"]; link != "https://acme.example.com/doceditor?fileid=900" {
		t.Errorf("the result's link is %v", link)
	}
	if e := l.get("/api/v1/events/2"); len(e["transfers"].([]any)) != 1 || !cmp.Equal(e["body"], any(map[string]any{})) {
		t.Errorf("event %v", e)
	}
	for _, path := range []string{"transfers/99", "events/99"} {
		if p := l.do(http.MethodGet, "/api/v1/"+path); p.Code != http.StatusNotFound || p.Type != "application/problem+json" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// TestEveryRouteIsDescribedAndGuarded goes by the OpenAPI document: each route that it describes
// answers one of the statuses it lists, wants the token, and takes no orders from pages of other sites.
func TestEveryRouteIsDescribedAndGuarded(t *testing.T) {
	t.Parallel()
	l := serve(t, func(o *Options) { o.Token = "secret" })
	l.fill()
	auth := []string{"Authorization", "Bearer secret", "Content-Type", "application/json"}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Summary    string         `json:"summary"`
			Responses  map[string]any `json:"responses"`
			Parameters []struct {
				Name, In string
			} `json:"parameters"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	raw := l.do(http.MethodGet, "/api/v1/openapi.json", auth...).Text
	if err := json.Unmarshal([]byte(raw), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(raw, -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("schema %s is referred to and not there", ref[1])
		}
	}
	routes := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			routes++
			for _, name := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name[1] && p.In == "path" }) {
					t.Errorf("%s %s: parameter %s is not described", method, path, name[1])
				}
			}
			address := strings.NewReplacer("{id}", "2", "{scope}", "rule", "{name}", "copies").Replace(path)
			method = strings.ToUpper(method)
			if p := l.send(method, address, "{}"); p.Code != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %d", method, path, p.Code)
			}
			p := l.send(method, address, "{}", append(slices.Clone(auth), "Sec-Fetch-Site", "cross-site")...)
			if method != http.MethodGet && p.Code != http.StatusForbidden {
				t.Errorf("%s %s from another site: %d", method, path, p.Code)
			}
			p = l.send(method, address, "{}", auth...)
			if op.Responses[fmt.Sprint(p.Code)] == nil && op.Responses["default"] == nil || p.Code == http.StatusInternalServerError {
				t.Errorf("%s %s: %+v is not described", method, path, p)
			}
		}
	}
	if routes < 15 {
		t.Errorf("only %d routes are described", routes)
	}
}
