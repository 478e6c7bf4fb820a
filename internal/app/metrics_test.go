package app_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"docspace-router/internal/app"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

var update = flag.Bool("update", false, "write the generated part of docs/metrics.md anew")

// TestMetricsPassTheLinter lets everything happen that is counted and asks Prometheus' own linter
// about every metric of the live gateway.
func TestMetricsPassTheLinter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest, "when: file.size > 0"))
	w.start()
	w.portal.Upload(w.room, "a.pdf", 1, w.client)
	w.wantTitles(w.dest, "a.pdf")
	problems, err := testutil.GatherAndLint(w.gateway.(*app.App).Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	w.wantMetrics(
		`docspace_router_webhook_requests_total{code="200",portal="default"} `,
		`docspace_router_rule_matches_total{portal="default",rule="uploads"} 1`,
		`docspace_router_transfers_total{outcome="done",portal="default",rule="uploads"} 1`,
		`docspace_router_transfer_seconds_count{portal="default"} 1`,
		`docspace_router_waiting_transfers{portal="default",state="queued"} 0`,
		`docspace_router_oldest_queued_transfer_seconds{portal="default"} 0`,
		`docspace_router_oldest_pending_event_seconds 0`,
		`docspace_router_portal_breaker_state{portal="default",state="closed"} 1`,
		`docspace_router_portal_writes_limit{portal="default"} 10000`,
		`docspace_router_portal_writes_left{portal="default"} 9999`,
		`docspace_router_build_info{`,
	)
}

// TestIgnoredEventsAreCountedByReason sends what nobody wants, for each reason there is a word for.
func TestIgnoredEventsAreCountedByReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest, "triggers: [file.uploaded]", `when: file.extension == "pdf"`))
	w.run()
	w.portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "http://" + w.gateway.Addr() + "/webhook", Secret: secret,
		Triggers: []string{"file.uploaded", "file.created", "file.copied"}, Owner: w.owner, Enabled: true,
	})
	for _, body := range []string{`{"event":{"trigger":"user.created"}}`, `[]`, `{"event":{"trigger":"file.uploaded"}}`} {
		if code, answer := w.deliver([]byte(body), event.Sign([]byte(body), secret)); code != http.StatusOK {
			t.Fatalf("%s: %d %s", body, code, answer)
		}
	}
	w.portal.Upload(w.room, "a.txt", 1, w.client)
	w.rest()
	w.wantMetrics(
		`docspace_router_deliveries_ignored_total{portal="default",reason="no_entry"} 1`,
		`docspace_router_deliveries_ignored_total{portal="default",reason="no_object"} 1`,
		`docspace_router_deliveries_ignored_total{portal="default",reason="other_trigger"} 1`,
		`docspace_router_events_ignored_total{portal="default",reason="no_match"} 1`,
	)
}

// TestStrangersMakeNoSeries calls the endpoint with names and triggers of a stranger's own making.
func TestStrangersMakeNoSeries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	for i := range 3 {
		body := fmt.Appendf(nil, `{"event":{"id":%d,"trigger":"file.stranger%d"},"payload":{"id":1,"parentId":2,"title":"x"}}`, i, i)
		w.deliver(body, event.Sign(body, secret))
		w.deliverTo(fmt.Sprintf("stranger%d", i), body, event.Sign(body, secret))
		w.deliver(body, "sha256=stranger")
	}
	w.rest()
	metrics := w.metrics()
	if strings.Contains(metrics, "stranger") {
		t.Errorf("a stranger's word is in\n%s", metrics)
	}
	w.wantMetrics(
		`docspace_router_webhook_requests_total{code="404",portal=""} 3`,
		`docspace_router_webhook_requests_total{code="401",portal="default"} 3`,
		`docspace_router_events_total{portal="default",trigger="other"} 3`,
	)
}

// TestSeriesOfARuleGoWithIt replaces a rule and finds nothing of it in the metrics.
func TestSeriesOfARuleGoWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("old-name", w.room, w.dest), rule("other", w.room, w.addRoom("Other")))
	w.start()
	w.portal.Upload(w.room, "a.pdf", 1, w.client)
	w.wantTitles(w.dest, "a.pdf")
	w.wantMetrics(
		`docspace_router_rule_matches_total{portal="default",rule="old-name"} 1`,
		`docspace_router_transfers_total{outcome="done",portal="default",rule="old-name"} 1`,
		`docspace_router_transfers_total{outcome="failed",portal="default",rule="old-name"} 0`,
	)
	w.writeRules(rule("new-name", w.room, w.dest), rule("other", w.room, w.addRoom("Another")))
	w.eventually("the rule's series have gone", func() bool { return !strings.Contains(w.metrics(), "old-name") })
	if !strings.Contains(w.metrics(), `docspace_router_rule_matches_total{portal="default",rule="other"} 1`) {
		t.Error("the series of a rule that stayed have gone")
	}
}

// TestTheBreakerShows takes the portal away.
func TestTheBreakerShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	defer w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable})()
	w.portal.Upload(w.room, "a.pdf", 1, w.client)
	w.eventually("the breaker is open", func() bool {
		return strings.Contains(w.metrics(), `docspace_router_portal_breaker_state{portal="default",state="open"} 1`)
	})
	w.eventually("the age of what waits shows", func() bool {
		return !strings.Contains(w.metrics(), `docspace_router_oldest_queued_transfer_seconds{portal="default"} 0`+"\n")
	})
}

// TestEveryMetricIsDocumented holds the table in docs/metrics.md to what the gateway registers.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	const path, begin = "../../docs/metrics.md", "| metric | labels | meaning |\n|---|---|---|\n"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := bytes.Cut(raw, []byte(begin))
	if !found {
		t.Fatalf("%s has no table", path)
	}
	want := string(head) + begin + strings.Join(describeMetrics(t, w.gateway.(*app.App).Registry()), "")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(raw) {
		t.Errorf("%s does not describe the metrics as they are; write it anew with: go test ./internal/app -run %s -args -update", path, t.Name())
	}
}

// describeMetrics is the table's rows: the gateway's own metrics, by name.
func describeMetrics(t *testing.T, registry *prometheus.Registry) (rows []string) {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registry.Describe(descriptions)
	}()
	form := regexp.MustCompile(`^Desc\{fqName: "(docspace_router_\w+)", help: ("(?:[^"\\]|\\.)*"), .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	for d := range descriptions {
		if !strings.Contains(d.String(), "docspace_router_") {
			continue // of the process and of Go's runtime, which are described elsewhere
		}
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("unlike the others: %s", d)
		}
		help := strings.ReplaceAll(strings.Trim(m[2], `"`), `\"`, "`")
		labels := strings.ReplaceAll(m[4], ",", ", ")
		if m[3] != "" {
			labels = "go_version, version"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, help))
	}
	slices.Sort(rows)
	return rows
}
