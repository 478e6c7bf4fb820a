package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

// TestCatchUp loses deliveries to somebody who refuses them, and has the gateway fetch them.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	portal := portalsim.New(portalsim.Options{AllowPrivateTargets: true, Timings: portalsim.Timings{
		QueuePause: 50 * time.Millisecond, RetryWaits: []time.Duration{10 * time.Millisecond},
	}})
	t.Cleanup(portal.Close)
	robot := portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	source, dest := portal.AddRoom(portalsim.Room{Title: "Client", Owner: robot}), portal.AddRoom(portalsim.Room{Title: "Ours", Owner: robot})
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(refuses.Close)
	portal.AddWebhook(portalsim.Webhook{Name: "by hand", URL: refuses.URL + "/webhook/default", Secret: hookSecret, Owner: robot, Enabled: true,
		Triggers: []string{"file.uploaded"}})

	dir := t.TempDir()
	writeRules(t, dir, source, dest, 1)
	g := start(t, dir, []string{
		"DOCSPACE_API_HOST=" + portal.Start(), "DOCSPACE_API_KEY=" + portal.AddKey(robot), "DOCSPACE_WEBHOOK_SECRET=" + hookSecret,
		"ROUTER_PUBLIC_URL=" + refuses.URL,
	}, "--catch-up-window", "off")
	portal.Upload(source, "a.pdf", 1, robot)
	portal.Upload(source, "b.pdf", 1, robot)
	if err := portal.WaitDelivered(t.Context()); err != nil {
		t.Fatal(err)
	}
	catchUp := func(code int, want string, args ...string) {
		t.Helper()
		cmd := exec.Command("docspace-router", append([]string{"catch-up", "--admin", g.admin}, args...)...)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
			t.Errorf("catch-up %v: %v\n%s\nwant status %d and %q", args, err, out, code, want)
		}
	}
	catchUp(1, "there is no portal nobody", "--portal", "nobody")
	catchUp(2, "neither a time", "--since", "yesterday")
	catchUp(1, "events are kept for 720h", "--since", "2020-01-01")
	catchUp(0, "default: 2 events taken in, 2 rows read", "--since", "1h")
	catchUp(0, `"taken": 0`, "-o", "json", "--since", "2h")
	eventually(t, "both are copied", func() bool { return len(portal.List(dest)) == 2 })
	catchUp(0, "default: nothing is missing", "--portal", "default")
}
