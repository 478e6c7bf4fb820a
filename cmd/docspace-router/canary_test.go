package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// canaries are the secrets of the test, by where they were put. Each is recognised wherever it shows.
type canaries map[string]string

// findIn reports every canary that a text holds, as it is or as HTTP's basic authentication writes it.
func (c canaries) findIn(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range c {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("user:" + secret)), fmt.Sprintf("%x", secret)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s shows %s: …%s…", where, name, text[max(0, i-80):min(len(text), i+len(form)+40)])
			}
		}
	}
}

// TestNoSecretShows puts a secret into every place that takes one, sees that each was really used,
// and looks for them in everything that the gateway says.
func TestNoSecretShows(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			noSecretShows(t, format)
		})
	}
}

func noSecretShows(t *testing.T, format string) {
	dir := t.TempDir()
	c := canaries{}
	plant := func(where string) string {
		c[where] = "Canary-" + strings.ReplaceAll(where, " ", "-") + "-x7"
		return c[where]
	}

	// A portal that answers every request with an error that holds the key it was sent.
	told := &seen{}
	answers := 0
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		told.add(key)
		told.mu.Lock()
		answers++
		n := answers
		told.mu.Unlock()
		switch n % 4 {
		case 0:
			http.Error(w, "<html>you sent "+key, http.StatusBadGateway)
		case 1:
			w.Header().Set("Content-Type", "text/"+strings.TrimPrefix(key, "Bearer "))
			fmt.Fprintf(w, "<html>you sent %s", key)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader([]int{http.StatusForbidden, http.StatusInternalServerError}[n%4-2])
			fmt.Fprintf(w, `{"statusCode":403,"status":1,"error":{"message":"you sent %s","type":"%s"}}`, key, key)
		}
	}))
	t.Cleanup(echo.Close)
	proxied := &seen{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.add(r.Header.Get("Proxy-Authorization"))
		http.Error(w, "the proxy was told "+r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	traces := &seen{}
	collectorKey := plant("the collector's key")
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		traces.add(string(raw))
		if key := r.Header.Get("X-Key"); key != collectorKey {
			traces.add("wrong key " + key)
		} else {
			traces.add("right key")
		}
		http.Error(w, "you sent "+r.Header.Get("X-Key"), http.StatusBadRequest)
	}))
	t.Cleanup(collector.Close)

	sim := portalsim.New(portalsim.Options{AllowPrivateTargets: true, Timings: portalsim.Timings{QueuePause: 10 * time.Millisecond}})
	t.Cleanup(sim.Close)
	owner := sim.AddUser(portalsim.User{DisplayName: "Olivia Owner", Owner: true, Admin: true})
	robot := sim.AddUser(portalsim.User{DisplayName: "docspace-router", RoomAdmin: true})
	members := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager}
	source := sim.AddRoom(portalsim.Room{Title: "Client", Owner: owner, Members: members})
	dest := sim.AddRoom(portalsim.Room{Title: "Ours", Owner: owner, Members: members})
	c["a key that works"] = sim.AddKey(robot, "files:write", "rooms:read", "accounts.self:read")

	secrets := map[string]string{} // of each portal's webhook
	for _, portal := range []string{"lit", "var", "file", "good", "far"} {
		secrets[portal] = plant("webhook secret " + portal)
	}
	write(t, filepath.Join(dir, "key.txt"), plant("API key in a file"))
	write(t, filepath.Join(dir, "hook.txt"), secrets["file"])
	rules := fmt.Sprintf(`version: 1
portals:
  lit: {url: %[1]q, api_key: %[2]s, webhook_secrets: [%[3]s]}
  var: {url: %[1]q, api_key: {env: VAR_KEY}, webhook_secrets: [{env: VAR_HOOK}]}
  file: {url: %[1]q, api_key: {file: key.txt}, webhook_secrets: [{file: hook.txt}]}
  good: {url: %[4]q, api_key: {env: GOOD_KEY}, webhook_secrets: [{env: GOOD_HOOK}]}
  far: {url: "http://portal.example.invalid", api_key: {env: FAR_KEY}, webhook_secrets: [{env: FAR_HOOK}]}
defaults: {portal: "*", triggers: [file.uploaded], action: copy}
rules:
  - {name: all, source: {room: %[5]s}, destination: {folder: %[6]s}, when: file.size > 0}
`, echo.URL, plant("API key in the rules file"), secrets["lit"], sim.Start(), source, dest)
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	certificate, key := selfSigned(t)
	write(t, filepath.Join(dir, "tls.crt"), certificate)
	write(t, filepath.Join(dir, "tls.key"), key)
	c["TLS key"] = strings.Split(key, "\n")[1]
	token := plant("admin token")
	variables := []string{
		"VAR_KEY=" + plant("API key in a variable"), "VAR_HOOK=" + secrets["var"],
		"GOOD_KEY=" + c["a key that works"], "GOOD_HOOK=" + secrets["good"],
		"FAR_KEY=" + plant("API key of a far portal"), "FAR_HOOK=" + secrets["far"],
		"HTTP_PROXY=http://user:" + plant("proxy password") + "@" + strings.TrimPrefix(proxy.URL, "http://"),
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_HEADERS=x-key=" + collectorKey,
		"OTEL_BSP_SCHEDULE_DELAY=50",
	}

	// The token stands in the arguments, the one place where the process list shows it too.
	g := start(t, dir, variables, "--log-level", "debug", "--log-format", format, "--admin-token", token,
		"--tls-cert", "tls.crt", "--tls-key", "tls.key", "--pace", `{"portal_pause":"50ms","retry_first":"50ms"}`)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(client *http.Client, method, url, body string, head http.Header) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = head
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var heads bytes.Buffer
		_ = resp.Header.Write(&heads)
		c.findIn(t, method+" "+url, heads.String()+string(raw))
		return resp.StatusCode, string(raw)
	}
	admin := func(method, path, body string) (int, string) {
		return ask(http.DefaultClient, method, "http://"+g.admin+path, body,
			http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}})
	}
	file := sim.Upload(source, "Invoice.pdf", 1234, owner)
	for portal, secret := range secrets {
		body := fmt.Sprintf(`{"data":{"fileId":%s,"folderId":%s}}`, file, source)
		for signature, want := range map[string]int{event.Sign([]byte(body), secret): 200, "sha256=" + secret: 401, secret: 401} {
			head := http.Header{event.SignatureHeader: {signature}}
			if code, answer := ask(client, http.MethodPost, "https://"+g.listen+"/webhook/"+portal, body, head); code != want {
				t.Errorf("delivery to %s: %d %s, want %d", portal, code, answer, want)
			}
		}
	}
	eventually(t, "the file is copied", func() bool { return len(sim.List(dest)) == 1 })
	for name, where := range map[string]*seen{
		"API key in the rules file": told, "API key in a variable": told, "API key in a file": told, "proxy password": proxied,
	} {
		want := c[name]
		if where == proxied {
			want = base64.StdEncoding.EncodeToString([]byte("user:" + want))
		}
		eventually(t, name+" is used", func() bool { return strings.Contains(where.String(), want) })
	}
	eventually(t, "traces are sent with the key", func() bool {
		return strings.Contains(traces.String(), "right key") && strings.Contains(traces.String(), "route event")
	})
	eventually(t, "it is told that traces are refused", func() bool { return strings.Contains(g.log.String(), "traces not sent") })

	// Every route that the admin API describes, and those beside it.
	_, description := admin(http.MethodGet, "/api/v1/openapi.json", "")
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(description), &api); err != nil || len(api.Paths) < 5 {
		t.Fatalf("%d routes: %v", len(api.Paths), err)
	}
	id := regexp.MustCompile(`\{[^}]*\}`)
	for path, methods := range api.Paths {
		for method := range methods {
			for _, with := range []string{"1", "5", "nothing"} {
				admin(strings.ToUpper(method), id.ReplaceAllString(path, with), `{"data":{"fileId":1,"folderId":2}}`)
			}
		}
	}
	for _, portal := range []string{"lit", "var", "file", "good", "far", "nothing"} {
		admin(http.MethodPost, "/api/v1/explain?portal="+portal, `{"data":{"fileId":1,"folderId":2}}`)
	}
	for _, path := range []string{
		"/metrics", "/readyz", "/nothing", "/", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1",
	} {
		admin(http.MethodGet, path, "")
	}
	pages := []string{
		"/", "/transfers", "/transfers?state=failed&q=invoice", "/transfers/1", "/events", "/events/1", "/rules", "/rules-file", "/playground", "/sign-in",
	}
	visit := func() {
		for _, path := range pages {
			if code, page := admin(http.MethodGet, path, ""); code != http.StatusOK || !strings.Contains(page, "</html>") {
				t.Errorf("page %s: %d %.200s", path, code, page)
			}
		}
	}
	visit()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, guess := range []string{token, "wrong-" + token} {
		ask(client, http.MethodPost, "http://"+g.admin+"/sign-in", url.Values{"token": {guess}}.Encode(), form)
	}
	for _, path := range []string{"/healthz", "/readyz", "/webhook/good", "/nothing"} {
		ask(client, http.MethodGet, "https://"+g.listen+path, "", nil)
	}

	// Rules that are broken around their secrets, and the commands that read them.
	broken := []string{
		strings.Replace(rules, "api_key: ", "api_kye: ", 1),
		strings.Replace(rules, "api_key: "+c["API key in the rules file"], "api_key: ["+c["API key in the rules file"]+"]", 1),
		strings.Replace(rules, "webhook_secrets: [", "webhook_secrets: ["+c["API key in the rules file"]+": 1, ", 1),
		strings.Replace(rules, fmt.Sprintf("%q", echo.URL), "http://user:"+plant("password in a portal's URL")+"@127.0.0.1:1", 1),
		strings.Replace(rules, fmt.Sprintf("%q", echo.URL), "http://user:"+c["password in a portal's URL"]+"@[bad", 1),
		strings.Replace(rules, "{env: VAR_KEY}", "{env: "+c["API key in a variable"]+", file: x}", 1),
		strings.Replace(rules, "api_key: "+c["API key in the rules file"], "api_key: \""+c["API key in the rules file"]+"\\q\"", 1),
	}
	run := func(args ...string) {
		cmd := exec.Command("docspace-router", args...)
		cmd.Dir, cmd.Env = dir, variables
		out, _ := cmd.CombinedOutput() // whether it fails is not the question
		c.findIn(t, strings.Join(args, " "), string(out))
	}
	for i, text := range broken {
		write(t, filepath.Join(dir, "rules.yaml"), text)
		if code, answer := admin(http.MethodPost, "/-/reload", ""); code != http.StatusUnprocessableEntity {
			t.Errorf("broken rules %d are taken: %d %s", i, code, answer)
		}
		admin(http.MethodGet, "/api/v1/status", "")
		admin(http.MethodGet, "/readyz", "")
		visit()
		run("check")
		run("check", "-o", "json")
	}
	// What a load has changed is shown, and one that was of a secret.
	write(t, filepath.Join(dir, "rules.yaml"), strings.Replace(rules, c["API key in the rules file"], plant("next API key in the rules file"), 1))
	if code, answer := admin(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
		t.Errorf("rules with another key: %d %s", code, answer)
	}
	visit()
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	write(t, filepath.Join(dir, "body.json"), `{"data":{"fileId":1,"folderId":2}}`)
	for _, portal := range []string{"lit", "var", "file"} {
		run("explain", "--online", "--portal", portal, "-o", "json", "body.json")
	}
	run("check", "-o", "json")
	run("schema")
	run("serve", "--help")
	password := plant("database password")
	for _, database := range []string{
		"postgres://user:" + password + "@127.0.0.1:1/x", "postgres://user:" + password + "@[bad/x", "mysql://user:" + password + "@h/x",
	} {
		run("serve", "--database", database, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	}

	g.stop(t, syscall.SIGTERM)
	c.findIn(t, "the log", g.log.String())
	c.findIn(t, "a trace", traces.String())
	if format == "json" {
		for line := range strings.Lines(g.log.String()) {
			var record struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Level == "" || record.Msg == "" {
				t.Errorf("no JSON record (%v): %s", err, line)
			}
		}
	}
}

// selfSigned makes a certificate for the loopback address, and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}
