package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// hookDesk is a portal, a folder with a rules file, and what stands for the gateway's endpoint.
type hookDesk struct {
	t         *testing.T
	portal    *portalsim.Portal
	robot     portalsim.UserID
	room      portalsim.ID
	dir       string
	variables map[string]string
	endpoint  *httptest.Server
	answer    int
}

func newHookDesk(t *testing.T, o portalsim.Options, scopes ...string) *hookDesk {
	t.Helper()
	o.AllowPrivateTargets = o.Seed == 0 // tests of private addresses give one
	o.Passwords = portalsim.PasswordPolicy{MinLength: 12, Upper: true, Digit: true, Special: true}
	o.Timings = portalsim.Timings{QueuePause: 50 * time.Millisecond, RetryWaits: []time.Duration{10 * time.Millisecond}}
	d := &hookDesk{t: t, portal: portalsim.New(o), dir: t.TempDir(), answer: http.StatusOK}
	t.Cleanup(d.portal.Close)
	d.robot = d.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	d.room = d.portal.AddRoom(portalsim.Room{Title: "Room", Owner: d.robot})
	d.endpoint = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.answer == http.StatusFound {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		w.WriteHeader(d.answer)
	}))
	t.Cleanup(d.endpoint.Close)
	d.variables = map[string]string{
		"DOCSPACE_API_HOST": d.portal.Start(), "DOCSPACE_API_KEY": d.portal.AddKey(d.robot, scopes...),
		"ROUTER_PUBLIC_URL": d.endpoint.URL,
	}
	d.rules("")
	return d
}

// rules writes the rules file; portals stands before the rules.
func (d *hookDesk) rules(portals string, triggers ...string) {
	d.t.Helper()
	if triggers == nil {
		triggers = []string{"file.uploaded", "folder.created"}
	}
	write(d.t, filepath.Join(d.dir, "rules.yaml"), fmt.Sprintf(`version: 1
%srules:
  - {name: a, triggers: [%s], source: {room: %s}, action: copy, destination: {folder: 99}}
  - {name: off, enabled: false, triggers: [file.moved], source: {room: %s}, action: copy, destination: {folder: 99}}
`, portals, strings.Join(triggers, ", "), d.room, d.room))
}

// run runs a webhook command and returns what it said.
func (d *hookDesk) run(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	code = run(d.t.Context(), environment{
		args: append([]string{"webhook"}, append(args, "--rules", filepath.Join(d.dir, "rules.yaml"))...), stdin: strings.NewReader(""),
		stdout: &out, stderr: &errs, lookup: func(name string) (string, bool) { v, ok := d.variables[name]; return v, ok },
	})
	return code, out.String(), errs.String()
}

// want runs a command and checks what it says.
func (d *hookDesk) want(code int, text string, args ...string) string {
	d.t.Helper()
	got, stdout, stderr := d.run(args...)
	if got != code || !strings.Contains(stdout+stderr, text) {
		d.t.Fatalf("%v: exit status %d, want %d\n%s%s\nwant something with %q", args, got, code, stdout, stderr, text)
	}
	return stdout + stderr
}

// listed are the webhooks of the portal.
func (d *hookDesk) listed() (list []listedWebhook) {
	d.t.Helper()
	_, stdout, stderr := d.run("list", "-o", "json")
	var out struct{ Webhooks []listedWebhook }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		d.t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	return out.Webhooks
}

func TestWebhookRegisterListRemove(t *testing.T) {
	t.Parallel()
	d := newHookDesk(t, portalsim.Options{}, "files:write", "*:write")
	d.variables["DOCSPACE_WEBHOOK_SECRET"] = "Long-Enough-2026"
	d.portal.AddWebhook(portalsim.Webhook{Name: "somebody's", URL: "https://other.example.com/", Owner: d.robot, Enabled: true, Triggers: []string{"room.created"}})

	d.want(1, "makes one; meanwhile the portal notes no events", "list")
	d.want(0, "would change: create it, for "+d.endpoint.URL+"/webhook/default", "register", "--dry-run")
	if n := len(d.listed()); n != 1 {
		t.Fatalf("%d webhooks after a dry run", n)
	}
	d.want(0, "done: create it", "register")
	d.want(0, "webhook 2 is as it should be", "register")
	list := d.listed()
	if len(list) != 2 || *list[0].Own || !*list[1].Own || !list[1].Enabled || !slices.Equal(list[1].Triggers, []string{"file.uploaded", "folder.created"}) {
		t.Fatalf("webhooks %+v", list)
	}
	d.want(0, "2", "list")

	// Without the address the name tells, and of others nothing is known.
	delete(d.variables, "ROUTER_PUBLIC_URL")
	said := d.want(0, "OURS goes by the names alone: give --public-url", "list")
	if !regexp.MustCompile(`somebody's +yes +\? `).MatchString(said) || !regexp.MustCompile(`docspace-router default at \S+ +yes +yes `).MatchString(said) {
		t.Errorf("listed without --public-url:\n%s", said)
	}
	if list := d.listed(); list[0].Own != nil || !*list[1].Own {
		t.Errorf("webhooks without --public-url: %+v", list)
	}
	d.variables["ROUTER_PUBLIC_URL"] = d.endpoint.URL

	// What somebody has changed, and what the rules need by now, is set right.
	d.rules("", "file.created", "file.uploaded")
	d.want(1, "does not subscribe to file.created, which rules need", "list")
	d.want(0, "would change: subscribe to what rules need; unsubscribe from folder.created", "register", "--dry-run")
	d.want(0, "subscribe to what rules need; unsubscribe from folder.created", "register")
	if got := d.listed()[1].Triggers; !slices.Equal(got, []string{"file.created", "file.uploaded"}) {
		t.Errorf("triggers %v", got)
	}
	// The portal signs with the secret of the variable.
	d.portal.Upload(d.room, "a.pdf", 1, d.robot)
	if err := d.portal.WaitDelivered(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := d.portal.DeliveryLog()
	if row := log[len(log)-1]; row.Status != http.StatusOK || !signedWith(row, "Long-Enough-2026") {
		t.Errorf("row %+v", row)
	}

	d.want(0, "would be deleted", "remove", "--dry-run")
	d.want(0, "webhook 2", "remove")
	d.want(0, "there is no webhook of the gateway", "remove")
	if list := d.listed(); len(list) != 1 || list[0].Name != "somebody's" {
		t.Errorf("left: %+v", list)
	}
}

func TestWebhookRegisterMakesTheSecret(t *testing.T) {
	t.Parallel()
	t.Run("in a file", func(t *testing.T) {
		t.Parallel()
		d := newHookDesk(t, portalsim.Options{})
		d.rules(fmt.Sprintf("portals: {acme: {url: %q, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{file: hook}]}}\n", d.variables["DOCSPACE_API_HOST"]))
		path := filepath.Join(d.dir, "hook")
		d.want(0, "give it a new secret", "register", "--dry-run")
		if _, err := os.Stat(path); err == nil {
			t.Fatal("a dry run wrote the secret")
		}
		if said := d.want(0, "a new secret is in "+path, "register"); strings.Contains(said, secretIn(t, path)) {
			t.Errorf("it is shown as well:\n%s", said)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		d.signs(secretIn(t, path))
		d.want(0, "is as it should be", "register")
		d.want(1, "has a webhook secret already", "register", "--new-secret")
		// Elsewhere the file is not there; the gateway must go on.
		secret := secretIn(t, path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		d.want(0, "the webhook keeps the one it has", "register")
		d.signs(secret)
		d.want(0, "give it a new secret", "register", "--new-secret")
		d.signs(secretIn(t, path))
	})
	t.Run("shown once for a variable", func(t *testing.T) {
		t.Parallel()
		d := newHookDesk(t, portalsim.Options{})
		said := d.want(0, "Set the variable DOCSPACE_WEBHOOK_SECRET for serve", "register")
		_, secret, _ := strings.Cut(said, "shown this once: ")
		secret, _, _ = strings.Cut(secret, "\n")
		d.signs(secret)
		if said := d.want(0, "the webhook keeps the one it has", "register"); strings.Contains(said, "shown") {
			t.Errorf("another one is shown:\n%s", said)
		}
	})
}

func secretIn(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// signs checks what the portal signs with.
func (d *hookDesk) signs(secret string) {
	d.t.Helper()
	d.portal.Upload(d.room, "a.pdf", 1, d.robot)
	if err := d.portal.WaitDelivered(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	log := d.portal.DeliveryLog()
	if secret == "" || !signedWith(log[len(log)-1], secret) {
		d.t.Errorf("the portal does not sign with %q", secret)
	}
}

func TestWebhookRegisterSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		portal portalsim.Options
		scopes []string
		secret string
		url    string
		answer int
		says   string
		code   int
	}{
		"the probe is answered 404":   {answer: 404, says: "is answered 404 Not Found, and DocSpace wants 200", code: 1},
		"the probe is redirected":     {answer: 302, says: "DocSpace follows no redirects", code: 1},
		"nobody listens":              {url: "http://127.0.0.1:1", says: "Is serve running", code: 1},
		"a private address":           {portal: portalsim.Options{Seed: 1}, says: "a network that DocSpace sends no webhooks into", code: 1},
		"the key lacks the scope":     {scopes: []string{"files:write"}, says: "give it the permission *:write", code: 1},
		"the key may only read":       {scopes: []string{"*:read"}, says: "give it the permission *:write", code: 1},
		"only administrators may":     {portal: portalsim.Options{AdminWebhooksOnly: true}, says: "leave webhooks to administrators", code: 1},
		"a secret of 31 characters":   {secret: "Aa1-" + strings.Repeat("x", 27), says: "takes at most 30", code: 1},
		"a secret the policy refuses": {secret: "onlylowercase", says: "password policy", code: 1},
		"an address with a path":      {url: "https://router.example.com/webhook", says: "leave out /webhook", code: 2},
		"no address":                  {url: "-", says: "--public-url", code: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newHookDesk(t, tt.portal, tt.scopes...)
			d.variables["DOCSPACE_WEBHOOK_SECRET"] = "Long-Enough-2026"
			if tt.secret != "" {
				d.variables["DOCSPACE_WEBHOOK_SECRET"] = tt.secret
			}
			switch tt.url {
			case "":
			case "-":
				delete(d.variables, "ROUTER_PUBLIC_URL")
			default:
				d.variables["ROUTER_PUBLIC_URL"] = tt.url
			}
			if tt.answer != 0 {
				d.answer = tt.answer
			}
			said := d.want(tt.code, tt.says, "register")
			if strings.Contains(said, d.variables["DOCSPACE_WEBHOOK_SECRET"]) || strings.Contains(said, d.variables["DOCSPACE_API_KEY"]) {
				t.Errorf("a secret is shown:\n%s", said)
			}
		})
	}
}

func TestWebhookNeedsARuleAndOnePortalToRemove(t *testing.T) {
	t.Parallel()
	d := newHookDesk(t, portalsim.Options{})
	host := d.variables["DOCSPACE_API_HOST"]
	d.variables["DOCSPACE_WEBHOOK_SECRET"] = "Long-Enough-2026"
	write(t, filepath.Join(d.dir, "rules.yaml"), fmt.Sprintf(`version: 1
portals:
  acme: {url: %q, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}
  other: {url: %q, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}
rules: [{name: a, portal: acme, triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 2}}]
`, host, host))
	if said := d.want(0, "other: no enabled rule needs a webhook", "register"); !strings.Contains(said, "acme: webhook 1, for "+d.endpoint.URL+"/webhook/acme: done: create it") {
		t.Error(said)
	}
	d.want(2, "has 2 portals: name the one that is meant with --portal", "remove")
	d.want(2, "there is no portal nobody", "remove", "--portal", "nobody")
	d.want(0, "there is no webhook of the gateway", "remove", "--portal", "other")
	d.want(0, "deleted", "remove", "--portal", "acme")
}

func signedWith(row portalsim.DeliveryRow, secret string) bool {
	return event.Verify([]byte(row.Body), row.Signature, secret)
}
