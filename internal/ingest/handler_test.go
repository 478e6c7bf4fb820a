package ingest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tidwall/gjson"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

func TestNewAsksForWhatItNeeds(t *testing.T) {
	t.Parallel()
	full := Options{
		Store:   &heldStore{},
		Enqueue: func(context.Context, *sql.Tx, string, []int64) error { return nil },
		Portals: func(string) (Portal, bool) { return Portal{}, false },
	}
	if _, err := New(full); err != nil {
		t.Errorf("with everything: %v", err)
	}
	for name, o := range map[string]Options{
		"Store":   {Enqueue: full.Enqueue, Portals: full.Portals},
		"Enqueue": {Store: full.Store, Portals: full.Portals},
		"Portals": {Store: full.Store, Enqueue: full.Enqueue},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var (
		ok         = reply{Status: "ok"}
		unsigned   = answered{http.StatusUnauthorized, reply{Status: "refused", Error: "the signature is missing or wrong"}}
		unknown    = answered{http.StatusNotFound, reply{Status: "refused", Error: "there is no portal of that name"}}
		ambiguous  = answered{http.StatusNotFound, reply{Status: "refused", Error: "there are several portals: use /webhook/{portal}"}}
		notJSON    = answered{http.StatusBadRequest, reply{Status: "refused", Error: "body is not JSON"}}
		notAllowed = answered{Code: http.StatusMethodNotAllowed}
		notFound   = answered{Code: http.StatusNotFound}
	)
	ignored := func(reason string) answered {
		return answered{http.StatusOK, reply{Status: "ok", Ignored: reason}}
	}
	signature := func(body, key string) []string { return []string{event.SignatureHeader, event.Sign([]byte(body), key)} }
	body := upload("1")
	tests := []struct {
		name, method, path, body string
		header                   []string
		onlyPortal               bool // acme alone is configured
		want                     answered
		stored                   []string
	}{
		{name: "DocSpace's probe of a portal's URL", method: "HEAD", path: "/webhook/acme", want: answered{Code: http.StatusOK}},
		{name: "a browser's look at a portal's URL", method: "GET", path: "/webhook/acme", want: answered{http.StatusOK, ok}},
		{name: "a probe of the only portal", method: "HEAD", path: "/webhook", onlyPortal: true, want: answered{Code: http.StatusOK}},
		{name: "a probe with a slash at the end", method: "HEAD", path: "/webhook/", onlyPortal: true, want: answered{Code: http.StatusOK}},
		{name: "a look at the only portal", method: "GET", path: "/webhook", onlyPortal: true, want: answered{http.StatusOK, ok}},
		{name: "a probe of no portal among several", method: "GET", path: "/webhook", want: ambiguous},
		{name: "a probe of an unknown portal", method: "GET", path: "/webhook/other", want: unknown},

		{name: "a delivery to a portal", method: "POST", path: "/webhook/acme", body: body, header: signature(body, secret), want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a delivery with a slash at the end", method: "POST", path: "/webhook/acme/", body: body, header: signature(body, secret), want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a delivery to the only portal", method: "POST", path: "/webhook", body: body, header: signature(body, secret), onlyPortal: true, want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a delivery to the only portal with a slash", method: "POST", path: "/webhook/", body: body, header: signature(body, secret), onlyPortal: true, want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a signature in lower case", method: "POST", path: "/webhook/acme", body: body, header: []string{event.SignatureHeader, strings.ToLower(event.Sign([]byte(body), secret))}, want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a body without content type or envelope", method: "POST", path: "/webhook/open", body: `{"fileId":5}`, want: answered{http.StatusOK, ok}, stored: []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(`{"fileId":5}`)))}},
		{name: "a portal without secrets takes unsigned deliveries", method: "POST", path: "/webhook/open", body: body, want: answered{http.StatusOK, ok}, stored: []string{"1"}},
		{name: "a portal without secrets looks at no signature", method: "POST", path: "/webhook/open", body: body, header: signature(body, "any"), want: answered{http.StatusOK, ok}, stored: []string{"1"}},

		{name: "no signature", method: "POST", path: "/webhook/acme", body: body, want: unsigned},
		{name: "the signature of another secret", method: "POST", path: "/webhook/acme", body: body, header: signature(body, "other"), want: unsigned},
		{name: "the signature of another body", method: "POST", path: "/webhook/acme", body: body, header: signature(body+" ", secret), want: unsigned},
		{name: "a signature that is none", method: "POST", path: "/webhook/acme", body: body, header: []string{event.SignatureHeader, "sha256=00"}, want: unsigned},
		{name: "an unsigned body that is not JSON tells nothing", method: "POST", path: "/webhook/acme", body: "hello", want: unsigned},
		{name: "an unsigned body about nothing tells nothing", method: "POST", path: "/webhook/acme", body: "{}", want: unsigned},
		{name: "an empty unsigned body", method: "POST", path: "/webhook/acme", want: unsigned},

		{name: "an unknown portal", method: "POST", path: "/webhook/other", body: body, header: signature(body, secret), want: unknown},
		{name: "no portal among several", method: "POST", path: "/webhook", body: body, header: signature(body, secret), want: ambiguous},
		{name: "a portal in another case", method: "POST", path: "/webhook/ACME", body: body, header: signature(body, secret), want: unknown},
		{name: "a deeper path", method: "POST", path: "/webhook/acme/x", body: body, header: signature(body, secret), want: notFound},
		{name: "two slashes", method: "POST", path: "//webhook/acme", body: body, header: signature(body, secret), want: notFound},
		{name: "dots in the path", method: "POST", path: "/webhook/../webhook/acme", body: body, header: signature(body, secret), want: notFound},
		{name: "another method", method: "PUT", path: "/webhook/acme", body: body, header: signature(body, secret), want: notAllowed},
		{name: "a deletion", method: "DELETE", path: "/webhook/acme", want: notAllowed},

		{name: "a signed body that is not JSON", method: "POST", path: "/webhook/acme", body: "hello", header: signature("hello", secret), want: notJSON},
		{name: "an empty signed body", method: "POST", path: "/webhook/acme", header: signature("", secret), want: notJSON},
		{name: "JSON that is no object", method: "POST", path: "/webhook/open", body: "[1]", want: ignored("the body is not a JSON object")},
		{name: "JSON without an entry", method: "POST", path: "/webhook/open", body: `{"event":{"id":1}}`, want: ignored("the body names no file or folder")},
		{name: "an id too long to be stored", method: "POST", path: "/webhook/open", body: `{"event":{"id":1},"payload":{"id":"` + strings.Repeat("x", 3000) + `"}}`, want: ignored("the id of the file has 3000 bytes, more than 2000")},
		{name: "an event of a user", method: "POST", path: "/webhook/open", body: `{"event":{"id":1,"trigger":"user.created"},"payload":{"id":"x"}}`, want: ignored("an event of a user is not about a file or folder")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t)
			if tt.onlyPortal {
				e.portals.Store(&map[string]Portal{"acme": {Name: "acme", Secrets: []string{secret}}})
			}
			got := e.send(e.request(tt.method, tt.path, tt.body, tt.header...))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			stored := e.events()
			if !slices.Equal(stored, tt.stored) {
				t.Errorf("stored are %v, want %v", stored, tt.stored)
			}
			if len(e.groups()) != len(stored) {
				t.Errorf("route jobs %v for %d events", e.groups(), len(stored))
			}
		})
	}
}

func TestTheSameDeliveryIsStoredOnce(t *testing.T) {
	t.Parallel()
	e := serve(t)
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join("..", "event", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	first, again := read("v3-file-uploaded.json"), read("v3-file-uploaded-retry.json")
	duplicate := answered{http.StatusOK, reply{Status: "ok", Duplicate: true}}
	for i, step := range []struct {
		body string
		want answered
	}{
		{first, answered{http.StatusOK, reply{Status: "ok"}}},
		{first, duplicate},
		{again, duplicate}, // an automatic retry: other bytes, another signature
	} {
		if got := e.send(e.signed(step.body)); got != step.want {
			t.Errorf("delivery %d is answered %+v, want %+v", i, got, step.want)
		}
	}
	if got := e.events(); !slices.Equal(got, []string{"48213"}) {
		t.Errorf("stored are %v", got)
	}
	if diff := cmp.Diff([][]int64{{1}}, e.groups()); diff != "" {
		t.Errorf("route jobs (-want +got):\n%s", diff)
	}
	// To another portal the same body is another delivery.
	if got := e.send(e.request("POST", "/webhook/open", first)); got.Body.Duplicate {
		t.Error("a portal's delivery counts as another portal's duplicate")
	}
}

func TestUnsignedHeadersDecideNothing(t *testing.T) {
	t.Parallel()
	e := serve(t)
	send := func(id, headerID string) answered {
		r := e.signed(upload(id))
		r.Header.Set("x-docspace-event-id", headerID)
		r.Header.Set("x-docspace-event-timestamp", "1")
		return e.send(r)
	}
	got := []bool{send("1", "7").Body.Duplicate, send("2", "7").Body.Duplicate, send("2", "8").Body.Duplicate}
	if want := []bool{false, false, true}; !slices.Equal(got, want) {
		t.Errorf("duplicates are %v, want %v", got, want)
	}
	if ids := e.events(); !slices.Equal(ids, []string{"2", "1"}) {
		t.Errorf("stored are %v", ids)
	}
}

func TestSecretsCanBeRotated(t *testing.T) {
	t.Parallel()
	e := serve(t)
	send := func(id, key string) int {
		body := upload(id)
		return e.send(e.request("POST", "/webhook/acme", body, event.SignatureHeader, event.Sign([]byte(body), key))).Code
	}
	use := func(secrets ...string) { e.portals.Store(&map[string]Portal{"acme": {Name: "acme", Secrets: secrets}}) }
	var got []int
	use("old")
	got = append(got, send("1", "old"), send("2", "new"))
	use("new", "old")
	got = append(got, send("3", "old"), send("4", "new"))
	use("new")
	got = append(got, send("5", "old"), send("6", "new"))
	if want := []int{200, 401, 200, 200, 401, 200}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	if ids := e.events(); !slices.Equal(ids, []string{"6", "4", "3", "1"}) {
		t.Errorf("stored are %v", ids)
	}
}

func TestWhoLooksAfterTheWebhookIsTold(t *testing.T) {
	t.Parallel()
	e := serve(t)
	var told []string
	e.handler.stored = func(portal, webhook string) { told = append(told, portal+" "+webhook) }
	e.handler.refused = func(portal string) { told = append(told, portal+" refused") }
	body := upload("1")
	for _, key := range []string{secret, "another secret", secret} {
		e.send(e.request("POST", "/webhook/acme", body, event.SignatureHeader, event.Sign([]byte(body), key)))
	}
	hook := gjson.Get(body, "webhook.id").String()
	if want := []string{"acme " + hook, "acme refused", "acme " + hook}; hook == "" || !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestTheLimitOfTheBody(t *testing.T) {
	t.Parallel()
	tooLarge := answered{http.StatusRequestEntityTooLarge, reply{Status: "refused", Error: "the body is larger than 2 MiB"}}
	ok := answered{http.StatusOK, reply{Status: "ok"}}
	tests := []struct {
		name    string
		size    int
		chunked bool
		want    answered
	}{
		{"exactly 2 MiB", MaxBody, false, ok},
		{"exactly 2 MiB of unknown length", MaxBody, true, ok},
		{"one byte more", MaxBody + 1, false, tooLarge},
		{"one byte more of unknown length", MaxBody + 1, true, tooLarge},
		{"a small body of unknown length", 1000, true, ok},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t)
			body := upload("1")
			body += strings.Repeat(" ", tt.size-len(body))
			r := e.signed(body)
			if tt.chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
			}
			if got := e.send(r); got != tt.want {
				t.Errorf("answer %+v, want %+v", got, tt.want)
			}
			if want := tt.want == ok; (len(e.events()) == 1) != want {
				t.Errorf("stored are %v", e.events())
			}
		})
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	t.Parallel()
	e := serve(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", e.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /webhook/open HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\":1}")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest || len(e.events()) > 0 {
		t.Errorf("answer %d, stored %v", response.StatusCode, e.events())
	}
}

func TestASlowSenderHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	e := serve(t)
	body := upload("1")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", e.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /webhook/open HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	for i := range 10 {
		if got := e.send(e.signed(upload(fmt.Sprint(i + 2)))); got.Code != http.StatusOK {
			t.Errorf("delivery %d is answered %+v", i, got)
		}
	}
	fmt.Fprint(conn, body[10:])
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || len(e.events()) != 11 {
		t.Errorf("the slow one is answered %d, stored are %v", response.StatusCode, e.events())
	}
}

func TestNothingIsEverGoneOrMoved(t *testing.T) {
	t.Parallel()
	e := serve(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/", "/webhook", "/webhook/", "/webhook//", "//webhook", "/webhook/acme", "/webhook/acme/", "/webhook/none", "/webhook/%2e%2e/acme", "/webhook/a%2Fb", "/webhook/..", "/webhook/./acme", "/WEBHOOK"} {
			if got := e.send(e.request(method, path, upload("1"))); got.Code == http.StatusGone || got.Code/100 == 3 || got.Code/100 == 5 {
				t.Errorf("%s %s is answered %d", method, path, got.Code)
			}
		}
	}
}

func TestEverythingIsCounted(t *testing.T) {
	t.Parallel()
	e := serve(t)
	e.send(e.signed(upload("1")))
	e.send(e.signed(upload("1")))
	e.send(e.request("POST", "/webhook/acme", upload("2")))
	e.send(e.request("POST", "/webhook/open", `{"id":1,"trigger":"folder.`+strings.Repeat("x", 500)+`"}`))
	e.send(e.request("POST", "/webhook/open", `{}`))
	e.send(e.request("POST", "/webhook/open", `hello`))
	for i := range 20 { // names that nobody configured must not become labels
		e.send(e.request("POST", fmt.Sprintf("/webhook/guess-%d", i), `{}`))
	}
	e.store.failing.Store(true)
	e.send(e.signed(upload("3")))
	e.send(e.request("POST", "/webhook/acme", strings.Repeat(" ", MaxBody+1)))

	want := map[string]float64{
		"webhook_requests_total{code=200,portal=acme}":          2,
		"webhook_requests_total{code=401,portal=acme}":          1,
		"webhook_requests_total{code=413,portal=acme}":          1,
		"webhook_requests_total{code=503,portal=acme}":          1,
		"webhook_requests_total{code=200,portal=open}":          2,
		"webhook_requests_total{code=400,portal=open}":          1,
		"webhook_requests_total{code=404,portal=}":              20,
		"events_total{portal=acme,trigger=file.uploaded}":       1,
		"events_total{portal=open,trigger=other}":               1,
		"events_duplicate_total{portal=acme}":                   1,
		"deliveries_ignored_total{portal=open,reason=no_entry}": 1,
	}
	if diff := cmp.Diff(want, e.counters()); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if n := testutil.CollectAndCount(e.handler.metrics.seconds); n != 2 {
		t.Errorf("%d portals are timed, want 2", n)
	}
	problems, err := testutil.GatherAndLint(e.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestNoSecretAndNoPayloadIsShown(t *testing.T) {
	t.Parallel()
	e := serve(t)
	good := e.signed(upload("1"))
	signature := good.Header.Get(event.SignatureHeader)
	answers := []answered{
		e.send(good), // the secret is in use
		e.send(e.signed(upload("1"))),
		e.send(e.request("POST", "/webhook/acme", upload("2"))),
		e.send(e.request("POST", "/webhook/acme", upload("2"), event.SignatureHeader, signature)),
		e.send(e.signed("canary-title is no JSON")),
		e.send(e.signed(`{"title":"canary-title"}`)),
		e.send(e.request("POST", "/webhook/none", upload("1"), event.SignatureHeader, signature)),
	}
	e.store.failing.Store(true)
	answers = append(answers, e.send(e.signed(upload("3"))))
	var codes []int
	for _, a := range answers {
		codes = append(codes, a.Code)
	}
	if want := []int{200, 200, 401, 401, 400, 200, 404, 503}; !slices.Equal(codes, want) {
		t.Fatalf("answers %v, want %v", codes, want)
	}
	logs := e.logs.String()
	if n := strings.Count(logs, "\n"); n < len(answers) {
		t.Fatalf("only %d lines are logged:\n%s", n, logs)
	}
	shown := logs + fmt.Sprintf("%+v", answers)
	for _, canary := range []string{secret, "canary-title", signature[7:], strings.ToLower(signature[7:])} {
		if strings.Contains(shown, canary) {
			t.Errorf("%q is shown in\n%s", canary, shown)
		}
	}
	if strings.Contains(fmt.Sprint(answers), errStore.Error()) {
		t.Error("the sender is told of the store's trouble")
	}
}

func TestTwoHandlersCannotShareARegistryUnnoticed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	defer func() {
		if recover() == nil {
			t.Error("the second handler's metrics went nowhere")
		}
	}()
	newMetrics(reg)
}

func TestTheWholeDeliveryIsStored(t *testing.T) {
	t.Parallel()
	e := serve(t)
	body := upload("77")
	e.send(e.signed(body))
	pending, err := e.store.PendingEvents(t.Context(), []int64{1})
	if err != nil || len(pending) != 1 {
		t.Fatalf("pending are %v (%v)", pending, err)
	}
	got := pending[0]
	if got.ReceivedAt.IsZero() || string(got.Body) != body {
		t.Errorf("stored is %+v", got)
	}
	want := store.PendingEvent{ID: 1, Portal: "acme", EventID: "77", Trigger: "file.uploaded", ReceivedAt: got.ReceivedAt, HappenedAt: got.HappenedAt, Body: got.Body}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if want := "2026-03-02T09:14:07Z"; got.HappenedAt.Format("2006-01-02T15:04:05Z07:00") != want {
		t.Errorf("it happened at %v, want %s", got.HappenedAt, want)
	}
}

var errEnqueue = errors.New("the queue is broken")
