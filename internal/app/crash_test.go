package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// child is a gateway in a process of its own.
type child struct {
	cmd           *exec.Cmd
	public, admin string
}

// Addr is the address of the webhook endpoint.
func (c *child) Addr() string { return c.public }

// AdminAddr is the address of the admin listener.
func (c *child) AdminAddr() string { return c.admin }

// spawn starts a gateway, at the address of the one before.
func (w *world) spawn() *child {
	w.t.Helper()
	o := w.options
	argument, err := json.Marshal(process{o.Rules, o.Listen, o.AdminListen, o.Database, o.Pace, w.env})
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], gatewayArgument, string(argument))
	cmd.Stderr = w.logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	c := &child{cmd: cmd}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Fatalf("the gateway did not start: %v\n%s", err, w.logs)
	}
	if _, err := fmt.Sscan(line, &c.public, &c.admin); err != nil {
		w.t.Fatal(err)
	}
	w.gateway, w.options.Listen = c, c.public
	return c
}

// kill ends the process as a crash would: nothing is flushed, nothing is said.
func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait()
}

// TestKilledGatewayLosesAndRepeatsNothing kills the gateway again and again amid 500
// transfers. After the last restart every file is in the destination, once.
func TestKilledGatewayLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const files = 500
	for _, action := range []event.Action{event.Copy, event.Move} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
				ItemDuration: 3 * time.Millisecond, OperationTTL: time.Second, CleanInterval: 100 * time.Millisecond,
				// The gateway is away for moments only; what is not delivered until then comes again.
				RetryWaits: slices.Repeat([]time.Duration{200 * time.Millisecond}, 100),
			}})
			w.options.Pace.SettleAfter = 3 * time.Second
			w.writeRules(rule("uploads", w.room, w.dest, "action: "+string(action)))
			gateway := w.spawn()
			w.addWebhook()
			want := w.upload(files)
			for _, seen := range []int{1, 60, 150, 270, 400} {
				w.eventually(fmt.Sprintf("%d files have arrived", seen), func() bool { return len(w.portal.List(w.dest)) >= seen })
				gateway.kill()
				gateway = w.spawn()
			}
			w.wantTitles(w.dest, want...)
			if n := w.status().Transfers["done"]; n != files {
				t.Errorf("%d transfers are done, want %d: %v", n, files, w.status().Transfers)
			}
			if err := gateway.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := gateway.cmd.Wait(); err != nil {
				t.Errorf("after SIGTERM the gateway ended with %v, want exit status 0", err)
			}
		})
	}
}

// TestKilledGatewayMakesEachFolderOnce kills the gateway while it makes the folders of a path, most
// likely between the call and its answer. On PostgreSQL a second one works beside it all the time.
func TestKilledGatewayMakesEachFolderOnce(t *testing.T) {
	t.Parallel()
	const folders, files = 30, 4
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{
		RetryWaits: slices.Repeat([]time.Duration{200 * time.Millisecond}, 100),
	}})
	w.options.Pace.SettleAfter = 3 * time.Second
	w.portal.Inject(portalsim.Fault{Kind: portalsim.Late, Method: http.MethodPost, Path: "files/folder/{id}", Delay: 100 * time.Millisecond})
	w.writeRules(aRule("filed", fmt.Sprintf("source: {room: %s}", w.room),
		fmt.Sprintf(`destination: {folder: %s, path: '"Clients/" + split(file.name, "-")[0]'}`, w.dest)))
	if server != nil {
		w.spawn()
		w.options.Listen = "127.0.0.1:0"
	}
	gateway := w.spawn()
	w.addWebhook()
	want := []string{"Clients"}
	for i := range folders {
		want = append(want, fmt.Sprintf("Clients/%02d", i))
		for j := range files {
			title := fmt.Sprintf("%02d-%d.pdf", i, j)
			want = append(want, fmt.Sprintf("Clients/%02d/%s", i, title))
			w.portal.Upload(w.room, title, 1, w.client)
		}
	}
	made := func() int { return w.portal.Calls().Count(http.MethodPost, "files/folder/{id}") }
	for _, seen := range []int{1, 2, 8, 20} {
		w.eventually(fmt.Sprintf("%d folders have been asked for", seen), func() bool { return made() >= seen })
		gateway.kill()
		gateway = w.spawn()
	}
	w.wantPaths(w.dest, want...)
}
