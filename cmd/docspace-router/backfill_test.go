package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"docspace-router/internal/backfill"
	"docspace-router/internal/portalsim"
)

// TestBackfill follows an administrator through a backfill of a running gateway: a dry run, the
// start, Ctrl-C, a restart of the gateway, and the end.
func TestBackfill(t *testing.T) {
	t.Parallel()
	const files = 400
	portal := portalsim.New(portalsim.Options{AllowPrivateTargets: true, Timings: portalsim.Timings{ItemDuration: 10 * time.Millisecond}})
	t.Cleanup(portal.Close)
	owner := portal.AddUser(portalsim.User{DisplayName: "Olivia Owner", Owner: true, Admin: true})
	robot := portal.AddUser(portalsim.User{DisplayName: "docspace-router", RoomAdmin: true})
	members := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager}
	source := portal.AddRoom(portalsim.Room{Title: "Client", Owner: owner, Members: members})
	dest := portal.AddRoom(portalsim.Room{Title: "Ours", Owner: owner, Members: members})
	for i := range files {
		portal.AddFile(source, portalsim.File{Title: fmt.Sprintf("Old %03d.pdf", i), Size: 1 << 10, By: owner})
	}
	dir := t.TempDir()
	variables := []string{
		"DOCSPACE_API_HOST=" + portal.Start(), "DOCSPACE_API_KEY=" + portal.AddKey(robot, "files:write", "rooms:read", "accounts.self:read"),
		"DOCSPACE_WEBHOOK_SECRET=" + hookSecret,
	}
	writeRules(t, dir, source, dest, 1)
	g := start(t, dir, variables)
	command := func(args ...string) *exec.Cmd {
		return exec.Command("docspace-router", append([]string{"backfill"}, append(args, "--admin", g.admin)...)...)
	}
	says := func(pattern string, args ...string) string {
		t.Helper()
		out, err := command(args...).CombinedOutput()
		if err != nil || !regexp.MustCompile(pattern).Match(out) {
			t.Fatalf("backfill %s: %v\n%s\nwant %s", strings.Join(args, " "), err, out, pattern)
		}
		return string(out)
	}
	fails := func(pattern string, args ...string) {
		t.Helper()
		if code, stderr := finish(t, command(args...)); code != 1 || !regexp.MustCompile(pattern).MatchString(stderr) {
			t.Errorf("backfill %s: exit status %d\n%s\nwant 1 and %s", strings.Join(args, " "), code, stderr, pattern)
		}
	}
	says("^No backfill was ever asked for", "list")
	dry := says(fmt.Sprintf(`(?m)^ +%d +400\.0 KB +to %s$`, files, dest), "--rule", "rule-1", "--dry-run")
	if n := strings.Count(dry, "copy file "); n != files {
		t.Errorf("the dry run lists %d files, want %d", n, files)
	}
	says(`(?s)^\{"entry":\{"kind":"file".*\n\{"tally":\{"folders_found":1,.*\}\n$`, "--rule", "rule-1", "--dry-run", "-o", "json")
	fails("refused: there is no rule \"rule-7\", did you mean \"rule-1\"", "--rule", "rule-7")
	fails("dry run: there is no rule", "--rule", "unheard-of", "--dry-run")
	fails("refused: there is no backfill of that id", "show", "7")

	watching := command("--rule", "rule-1")
	var told strings.Builder
	watching.Stderr = &told
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some files have arrived", func() bool { return len(portal.List(dest)) > 10 })
	if err := watching.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := watching.Wait(); err != nil || !strings.Contains(told.String(), "Backfill 1 goes on without this command") {
		t.Errorf("after Ctrl-C: %v\n%s", err, told.String())
	}
	fails("backfill 1 of rule rule-1 is under way", "--rule", "rule-1")
	says(`(?m)^1 +rule-1 +default +running `, "list")
	g.stop(t, syscall.SIGTERM)
	g = start(t, dir, variables)
	says(fmt.Sprintf(`Backfill 1 of rule rule-1 on portal default: done\nTransfers: %d done\n`, files), "show", "1", "--follow")
	if n := len(portal.List(dest)); n != files {
		t.Errorf("%d files have arrived, want %d", n, files)
	}
	fails("cancel backfill: refused: backfill 1 is done already", "cancel", "1")

	says("^Backfill 2 of rule", "--rule", "rule-1", "--detach")
	var s backfill.Status
	shown := says(`(?m)^\{$`, "show", "2", "--follow", "-o", "json")
	if err := json.Unmarshal([]byte(shown[strings.Index(shown, "{"):]), &s); err != nil || s.Tally.Skipped[backfill.SkippedTransferred] != files {
		t.Errorf("the second backfill came to %v, %+v", err, s)
	}
}
