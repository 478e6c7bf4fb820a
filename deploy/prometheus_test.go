package deploy

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"docspace-router/internal/app"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

var withPrometheus = flag.Bool("prometheus", false, "scrape a gateway with a real Prometheus server and ask it what the dashboard asks")

const patience = 2 * time.Minute

// alerts are the rules in alerts.yaml.
type alerts struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			Annotations map[string]string
		}
	}
}

func readAlerts(t *testing.T) (a alerts) {
	t.Helper()
	raw, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestEveryAlertHasItsRunbook looks for the section that each alert sends people to, and for an alert
// for each section.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections, names []string
	for _, m := range regexp.MustCompile(`(?m)^### (DocSpaceRouter\w+)$`).FindAllStringSubmatch(string(raw), -1) {
		sections = append(sections, m[1])
	}
	for _, g := range readAlerts(t).Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
			if want := "docs/operations.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("the runbook of %s is %q, want %q", r.Alert, r.Annotations["runbook"], want)
			}
		}
	}
	slices.Sort(sections)
	slices.Sort(names)
	if !slices.Equal(sections, names) {
		t.Errorf("docs/operations.md has sections for %q, and there are the alerts %q", sections, names)
	}
}

// panel is what matters of a panel of a dashboard.
type panel struct {
	ID      int
	Title   string
	Type    string
	Targets []struct{ Expr string }
}

func readDashboard(t *testing.T) (panels []panel) {
	t.Helper()
	raw, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Panels []panel }
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d.Panels
}

func TestTheDashboardIsWhole(t *testing.T) {
	t.Parallel()
	ids := map[int]bool{}
	for _, p := range readDashboard(t) {
		if ids[p.ID] || p.Title == "" || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %d %q: its id is taken, or it has no title or no query", p.ID, p.Title)
		}
		ids[p.ID] = true
	}
	if len(ids) < 20 {
		t.Errorf("only %d panels", len(ids))
	}
}

var metricName = regexp.MustCompile(`docspace_router_\w+`)

// TestPrometheusHasAnswers runs a gateway for a while, lets a real Prometheus server scrape it, and
// asks that for everything the dashboard shows and the alerts look at.
func TestPrometheusHasAnswers(t *testing.T) {
	if !*withPrometheus {
		t.Skip("needs Prometheus; make alerts runs it")
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("Debian's package prometheus has it: %v", err)
	}
	gateway := runGateway(t)
	ask := runPrometheus(t, program, gateway)

	replace := strings.NewReplacer("$__rate_interval", "1m", "$portal", ".*")
	for _, p := range readDashboard(t) {
		for _, target := range p.Targets {
			query := replace.Replace(target.Expr)
			eventually(t, fmt.Sprintf("panel %q has data for %s", p.Title, query), func() bool { return ask(query) > 0 })
		}
	}
	for _, g := range readAlerts(t).Groups {
		for _, r := range g.Rules {
			for _, name := range metricName.FindAllString(r.Expr, -1) {
				eventually(t, fmt.Sprintf("alert %s has data for %s", r.Alert, name), func() bool { return ask(name) > 0 })
			}
		}
	}
}

// runGateway runs a gateway whose life is full of events, and returns its admin address.
func runGateway(t *testing.T) string {
	t.Helper()
	portal := portalsim.New(portalsim.Options{AllowPrivateTargets: true, Timings: portalsim.Timings{QueuePause: 10 * time.Millisecond}})
	t.Cleanup(portal.Close)
	owner := portal.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
	robot := portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	members := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager}
	source := portal.AddRoom(portalsim.Room{Title: "Client", Owner: owner, Members: members})
	dest := portal.AddRoom(portalsim.Room{Title: "Ours", Owner: owner, Members: members})
	const secret = "Prometheus-Test-1"
	variables := map[string]string{
		"DOCSPACE_API_HOST": portal.Start(), "DOCSPACE_WEBHOOK_SECRET": secret,
		"DOCSPACE_API_KEY": portal.AddKey(robot, "files:write", "rooms:read", "accounts.self:read", "*:read"), // the last to see the webhook and its log
	}
	dir := t.TempDir()
	rules := fmt.Sprintf("version: 1\nrules:\n  - {name: all, triggers: [file.uploaded], source: {room: %s}, action: copy, destination: {folder: %s}, when: 'file.size > 9'}\n", source, dest)
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway, err := app.New(t.Context(), app.Options{
		Rules: filepath.Join(dir, "rules.yaml"), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", AdminToken: "scrape-token",
		Database: "sqlite://" + filepath.Join(dir, "router.db"), Version: "test", Logger: slog.New(slog.DiscardHandler),
		LookupEnv:     func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		WatchWebhooks: true, CatchUpWindow: time.Hour,
		Pace: app.Pace{Poll: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "http://" + gateway.Addr() + "/webhook", Secret: secret, Triggers: []string{"*"}, Owner: robot, Enabled: true, // which sees no other's
	})
	// Uploads go on: a rate needs a series that moves between two scrapes.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			portal.Upload(source, fmt.Sprintf("File %d.pdf", n), int64(5+n%3*5), owner)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	body := []byte(`{"event":{"trigger":"user.created"}}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+gateway.Addr()+"/webhook", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(event.SignatureHeader, event.Sign(body, secret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return gateway.AdminAddr()
}

// runPrometheus runs a server that scrapes the gateway as docs/operations.md says, with the alerts
// loaded, and returns what counts the answers to a query.
func runPrometheus(t *testing.T, program, gateway string) func(query string) int {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: docspace-router
    authorization: {credentials_file: token}
    static_configs: [{targets: [%q]}]
`, rules, gateway)
	for name, text := range map[string]string{"prometheus.yml": config, "token": "scrape-token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "--config.file", filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to keep
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", log.String())
		}
	})
	return func(query string) int {
		resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return 0 // it is still starting
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Status, Error string
			Data          struct{ Result []struct{ Value [2]any } }
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return 0
		}
		if answer.Status == "error" {
			t.Fatalf("%s: %s", query, answer.Error)
		}
		n := 0
		for _, r := range answer.Data.Result {
			if r.Value[1] != "NaN" { // which a quantile of nothing is
				n++
			}
		}
		return n
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
