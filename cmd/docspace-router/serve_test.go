package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

const (
	hookSecret = "canary-Hook-2026"
	patience   = 2 * time.Minute
)

// TestServe follows the program through a working life: it starts, is registered as a webhook,
// routes an upload, takes a new version of the rules and refuses a bad one, and stops.
func TestServe(t *testing.T) {
	t.Parallel()
	portal := portalsim.New(portalsim.Options{AllowPrivateTargets: true, Timings: portalsim.Timings{QueuePause: 50 * time.Millisecond}})
	t.Cleanup(portal.Close)
	owner := portal.AddUser(portalsim.User{DisplayName: "Olivia Owner", Owner: true, Admin: true})
	robot := portal.AddUser(portalsim.User{DisplayName: "docspace-router", RoomAdmin: true})
	members := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager}
	source := portal.AddRoom(portalsim.Room{Title: "Client", Owner: owner, Members: members})
	dest := portal.AddRoom(portalsim.Room{Title: "Ours", Owner: owner, Members: members})
	below := portal.AddFolder(source, "2026", owner)
	key := portal.AddKey(robot, "files:write", "rooms:read", "accounts.self:read")

	dir := t.TempDir()
	variables := []string{
		"DOCSPACE_API_HOST=" + portal.Start(), "DOCSPACE_API_KEY=" + key, "DOCSPACE_WEBHOOK_SECRET=" + hookSecret,
	}
	writeRules(t, dir, source, dest, 1)
	g := start(t, dir, variables, "--log-level", "debug")

	// The portal asks with HEAD before it takes a webhook, and an administrator with curl.
	for _, path := range []string{"/webhook", "/webhook/default", "/healthz", "/readyz"} {
		if code, body := request(t, http.MethodHead, "http://"+g.listen+path, nil, nil); code != http.StatusOK {
			t.Errorf("HEAD %s: %d %s", path, code, body)
		}
	}
	if _, body := request(t, http.MethodGet, "http://"+g.listen+"/readyz", nil, nil); body != "database: ok\nrules: ok\n" {
		t.Errorf("readyz: %s", body)
	}
	if _, body := request(t, http.MethodGet, "http://"+g.admin+"/readyz", nil, nil); !strings.Contains(body, "rules: ok, 1 rule") {
		t.Errorf("readyz on the admin listener: %s", body)
	}

	portal.AddWebhook(portalsim.Webhook{
		Name: "docspace-router", URL: "http://" + g.listen + "/webhook", Secret: hookSecret,
		Triggers: []string{"file.created", "file.uploaded"}, Owner: owner, Enabled: true,
	})
	portal.Upload(below, "Invoice.pdf", 1234, owner)
	eventually(t, "the upload is copied", func() bool { return len(portal.List(dest)) == 1 })

	// explain asks the same portal and comes to the same result; it knows the gateway's own copies.
	log := portal.DeliveryLog()
	write(t, filepath.Join(dir, "upload.json"), log[len(log)-1].Body)
	write(t, filepath.Join(dir, "own.json"), fmt.Sprintf(
		`{"event":{"id":78,"createBy":%q,"trigger":"file.copied"},"payload":{"id":1,"parentId":%s,"title":"x.pdf","fileEntryType":2}}`, robot, source))
	for body, want := range map[string]string{
		"upload.json": fmt.Sprintf("in folder %s, room %s \"Client\"\n\n  yes  rule-1\n         copy   to folder %s, on conflict duplicate\n\n1 of 1 rule matches.\n", below, source, dest),
		"own.json":    "The gateway caused this event itself: only rules with own_events see it.\n",
	} {
		cmd := exec.Command("docspace-router", "explain", "--online", body)
		cmd.Dir, cmd.Env = dir, variables
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("explain --online %s: %v\n%s\nwant %s", body, err, out, want)
		}
	}

	// So does the running gateway, about an event it has stored.
	stored := exec.Command("docspace-router", "explain", "--event", "1", "--admin", g.admin)
	if out, err := stored.CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("room %s \"Client\"\n\n  yes  rule-1\n", source)) ||
		!strings.HasPrefix(string(out), "event 1 is ") || !strings.Contains(string(out), "\nWhat the rules in use now make of it:\n\n") {
		t.Errorf("explain --event 1: %v\n%s", err, out)
	}
	missing := exec.Command("docspace-router", "explain", "--event", "1000", "--admin", "http://"+g.admin)
	if code, stderr := finish(t, missing); code != 1 || !strings.Contains(stderr, "explain event 1000: refused: there is no event 1000") {
		t.Errorf("explain --event 1000: exit status %d\n%s", code, stderr)
	}

	// A delivery made by hand: signed it is taken, once; unsigned it is not.
	body := fmt.Appendf(nil, `{"event":{"id":77,"trigger":"file.updated"},"payload":{"id":1,"parentId":%s,"title":"x.pdf","fileEntryType":2},"webhook":{"id":9}}`, source)
	signed := http.Header{event.SignatureHeader: {event.Sign(body, hookSecret)}}
	for _, want := range []string{`{"status":"ok"}`, `{"status":"ok","duplicate":true}`} {
		if code, answer := request(t, http.MethodPost, "http://"+g.listen+"/webhook", signed, body); code != http.StatusOK || strings.TrimSpace(answer) != want {
			t.Errorf("signed delivery: %d %s, want %s", code, answer, want)
		}
	}
	if code, answer := request(t, http.MethodPost, "http://"+g.listen+"/webhook", nil, body); code != http.StatusUnauthorized {
		t.Errorf("unsigned delivery: %d %s", code, answer)
	}

	var transfers struct {
		Transfers []struct{ Title, Rule, State string }
	}
	g.ask(t, "/api/v1/transfers?state=done", &transfers)
	if len(transfers.Transfers) != 1 || transfers.Transfers[0].Title != "Invoice.pdf" || transfers.Transfers[0].Rule != "rule-1" {
		t.Errorf("transfers: %+v", transfers)
	}

	// Transfers are found by what their rooms are called, the first time too.
	list := func(args ...string) string {
		out, err := exec.Command("docspace-router", append(append([]string{"transfers"}, args...), "--admin", g.admin)...).CombinedOutput()
		if err != nil {
			t.Errorf("transfers %v: %v", args, err)
		}
		return string(out)
	}
	for room, want := range map[string]string{
		"CLIENT":       fmt.Sprintf("from or to Client (%s)\n", source),
		"ours":         fmt.Sprintf("from or to Ours (%s)\n", dest),
		string(source): "Invoice.pdf",
	} {
		if out := list("list", "--room", room); !strings.Contains(out, want) || !strings.Contains(out, "Invoice.pdf") {
			t.Errorf("transfers list --room %s: %s\nwant %s", room, out, want)
		}
	}
	if out := list("list", "--room", "Kitchen"); out != "No room or folder that the rules name is called \"Kitchen\" or has this id.\nno transfers\n" {
		t.Errorf("transfers list --room Kitchen: %s", out)
	}
	if out := list("list"); !strings.Contains(out, "  rule-1  Client  Ours  Invoice.pdf") {
		t.Errorf("transfers list: %s", out)
	}
	hint := "no transfers\nan event of that title came in, and may have matched no rule: events list -q 'x.pdf'\n"
	eventually(t, "an event that led to no transfer is hinted at", func() bool { return list("list", "-q", "x.pdf") == hint })
	if out := list("list", "-q", "y.pdf"); out != "no transfers\n" {
		t.Errorf("transfers list -q y.pdf: %s", out)
	}
	if out := list("list", "-q", "invoice", "--state", "failed"); out != "no transfers\n" {
		t.Errorf("transfers list -q invoice --state failed, which is done: %s", out)
	}
	if out := list("show", "1"); !strings.Contains(out, fmt.Sprintf("from %s (Client) to folder %s (Ours),", source, dest)) {
		t.Errorf("transfers show 1: %s", out)
	}

	// SIGHUP reads the file at once; a bad one changes nothing.
	writeRules(t, dir, source, dest, 2)
	g.signal(t, syscall.SIGHUP)
	g.logged(t, `msg="configuration read" component=config status=(loaded|unchanged) cause=SIGHUP`)
	if n := g.rules(t); n != 2 {
		t.Errorf("%d rules in use after the reload, want 2", n)
	}
	write(t, filepath.Join(dir, "rules.yaml"), "version: 2\n")
	g.signal(t, syscall.SIGHUP)
	g.logged(t, `msg="configuration refused" component=config status=failed cause=SIGHUP`)
	if n := g.rules(t); n != 2 {
		t.Errorf("%d rules in use after a bad reload, want 2", n)
	}

	// A second process must not touch the same database.
	writeRules(t, dir, source, dest, 1)
	if code, stderr := finish(t, serveCommand(dir, variables)); code != 1 || !strings.Contains(stderr, "another docspace-router has it open") {
		t.Errorf("second process: exit status %d\n%s", code, stderr)
	}
	// Nor take an address that is in use.
	if code, stderr := finish(t, serveCommand(dir, variables, "--database", "sqlite://other.db", "--listen", g.listen)); code != 1 ||
		!strings.Contains(stderr, "--listen: listen for webhooks: listen tcp "+g.listen+": bind: address already in use") {
		t.Errorf("address in use: exit status %d\n%s", code, stderr)
	}
	if code, stderr := finish(t, serveCommand(dir, variables, "--database", "sqlite://other.db", "--admin-listen", g.admin)); code != 1 ||
		!strings.Contains(stderr, "--admin-listen: listen for administrators: ") {
		t.Errorf("admin address in use: exit status %d\n%s", code, stderr)
	}

	g.stop(t, syscall.SIGTERM)
	for _, want := range []string{`msg="gateway stops"`, `msg="gateway stopped"`} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, g.log)
		}
	}
	for _, secret := range []string{key, hookSecret} {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("the log holds a secret:\n%s", g.log)
		}
	}
}

// TestServeGoesOnAfterAKill kills the program with deliveries accepted and not routed: the
// portal is away. The next process routes them, by the last good rules amid a bad file.
func TestServeGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	variables := []string{"DOCSPACE_API_HOST=http://" + unused(t), "DOCSPACE_API_KEY=k", "DOCSPACE_WEBHOOK_SECRET=" + hookSecret}
	writeRules(t, dir, "10", "20", 1)
	g := start(t, dir, variables)
	body := []byte(`{"event":{"id":1,"trigger":"file.uploaded"},"payload":{"id":5,"parentId":11,"title":"x.pdf","fileEntryType":2},"webhook":{"id":9}}`)
	signed := http.Header{event.SignatureHeader: {event.Sign(body, hookSecret)}}
	if code, answer := request(t, http.MethodPost, "http://"+g.listen+"/webhook", signed, body); code != http.StatusOK {
		t.Fatalf("delivery: %d %s", code, answer)
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-g.ended

	portal := portalsim.New(portalsim.Options{})
	t.Cleanup(portal.Close)
	variables[0] = "DOCSPACE_API_HOST=" + portal.Start() // knows neither the key nor the file
	write(t, filepath.Join(dir, "rules.yaml"), "version: 2\n")
	g = start(t, dir, variables)
	var events struct {
		Events []struct{ Title, State string }
	}
	g.ask(t, "/api/v1/events", &events)
	if len(events.Events) != 1 || events.Events[0].Title != "x.pdf" {
		t.Errorf("events after the restart: %+v", events)
	}
	if _, ready := request(t, http.MethodGet, "http://"+g.admin+"/readyz", nil, nil); !strings.Contains(ready, "the file has errors") || !strings.Contains(ready, "last good version") {
		t.Errorf("readyz: %s", ready)
	}
	g.stop(t, os.Interrupt)
}

func TestServeAsksForTheAdminToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeRules(t, dir, "10", "20", 1)
	g := start(t, dir, []string{
		"DOCSPACE_API_HOST=https://acme.example.com", "DOCSPACE_API_KEY=k", "DOCSPACE_WEBHOOK_SECRET=s",
		"ROUTER_ADMIN_TOKEN=canary-token", "ROUTER_LOG_FORMAT=json",
	})
	for token, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, "canary-token": http.StatusOK} {
		head := http.Header{}
		if token != "" {
			head.Set("Authorization", "Bearer "+token)
		}
		if code, answer := request(t, http.MethodGet, "http://"+g.admin+"/api/v1/status", head, nil); code != want {
			t.Errorf("token %q: %d %s, want %d", token, code, answer, want)
		}
	}
	ask := exec.Command("docspace-router", "explain", "--event", "1", "--admin", g.admin)
	if code, stderr := finish(t, ask); code != 1 || !strings.Contains(stderr, "the admin token is missing or wrong") {
		t.Errorf("explain --event without the token: exit status %d\n%s", code, stderr)
	}
	ask = exec.Command("docspace-router", "explain", "--event", "1", "--admin", g.admin)
	ask.Env = append(ask.Environ(), "ROUTER_ADMIN_TOKEN=canary-token")
	if code, stderr := finish(t, ask); code != 1 || !strings.Contains(stderr, "there is no event 1") {
		t.Errorf("explain --event with the token: exit status %d\n%s", code, stderr)
	}
	if code, answer := request(t, http.MethodPost, "http://"+g.admin+"/-/reload", http.Header{"Authorization": {"Bearer canary-token"}}, nil); code != http.StatusOK || answer != "reloaded\n" {
		t.Errorf("reload: %d %s", code, answer)
	}
	g.stop(t, syscall.SIGTERM)
	if strings.Contains(g.log.String(), "canary-token") {
		t.Errorf("the log holds the token:\n%s", g.log)
	}
}

// gateway is a running `serve`.
type gateway struct {
	cmd           *exec.Cmd
	listen, admin string
	log           *seen
	ended         chan struct{} // closed when the process has ended
	err           error         // how it ended
}

var startedLine = regexp.MustCompile(`gateway started.* listen=(\S+) admin_listen=(\S+)|"gateway started".*"listen":"([^"]+)","admin_listen":"([^"]+)"`)

// serveCommand is a `serve` in dir on free ports, with nothing in its environment but what
// is given.
func serveCommand(dir string, variables []string, args ...string) *exec.Cmd {
	all := append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)
	cmd := exec.Command("docspace-router", all...)
	cmd.Dir, cmd.Env = dir, variables
	return cmd
}

// start runs `serve` and waits until it has started.
func start(t *testing.T, dir string, variables []string, args ...string) *gateway {
	t.Helper()
	g := &gateway{cmd: serveCommand(dir, variables, args...), log: &seen{}, ended: make(chan struct{})}
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			g.log.add(lines.Text())
		}
		g.err = g.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill() // ended already, if all is well
		<-g.ended
	})
	m := g.logged(t, startedLine.String())
	g.listen, g.admin = m[1]+m[3], m[2]+m[4]
	return g
}

// logged waits until a line of the log matches, and returns the match.
func (g *gateway) logged(t *testing.T, pattern string) (m []string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(t, "the log says "+pattern, func() bool {
		m = re.FindStringSubmatch(g.log.String())
		select {
		case <-g.ended:
			if m == nil {
				t.Fatalf("serve ended: %v\n%s", g.err, g.log)
			}
		default:
		}
		return m != nil
	})
	return m
}

func (g *gateway) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop asks the gateway to stop and checks that it does so in order.
func (g *gateway) stop(t *testing.T, s os.Signal) {
	t.Helper()
	g.signal(t, s)
	select {
	case <-g.ended:
		if g.err != nil {
			t.Errorf("serve ended with %v, want status 0\n%s", g.err, g.log)
		}
	case <-time.After(patience):
		t.Errorf("serve did not stop within %s\n%s", patience, g.log)
	}
}

func (g *gateway) ask(t *testing.T, path string, into any) {
	t.Helper()
	code, body := request(t, http.MethodGet, "http://"+g.admin+path, nil, nil)
	if code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, code, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

// rules is how many rules are in use.
func (g *gateway) rules(t *testing.T) int {
	t.Helper()
	var status struct{ Rules struct{ Rules int } }
	g.ask(t, "/api/v1/status", &status)
	return status.Rules.Rules
}

// finish runs a command that is to end by itself.
func finish(t *testing.T, cmd *exec.Cmd) (code int, stderr string) {
	t.Helper()
	var text bytes.Buffer
	cmd.Stderr = &text
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// seen is what a process has logged, or a server was told, so far.
type seen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *seen) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(line + "\n")
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func request(t *testing.T, method, url string, head http.Header, body []byte) (code int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range head {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// unused is an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// writeRules writes a rules file with n rules that all do the same.
func writeRules(t *testing.T, dir string, source, dest portalsim.ID, n int) {
	t.Helper()
	text := "version: 1\nrules:\n"
	for i := 1; i <= n; i++ {
		text += fmt.Sprintf("  - {name: rule-%d, triggers: [file.uploaded, file.copied], source: {room: %s}, action: copy, destination: {folder: %s}}\n", i, source, dest)
	}
	write(t, filepath.Join(dir, "rules.yaml"), text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
