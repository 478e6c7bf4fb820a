package browsertest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"docspace-router/internal/app"
	"docspace-router/internal/portalsim"
)

var (
	browserFlag = flag.String("browser", "", `the Chromium to drive, or "find"; empty: skip what needs one`)
	screenshots = flag.String("screenshots", "", "the folder to write pictures of the pages to; empty: none")
)

// patience is how long one step waits for what must happen. It is no measure of speed: a machine
// that is busy with other tests takes minutes to start a Chromium.
const patience = 5 * time.Minute

const secret = "Browser-Secret-2026"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// office is a simulated portal with two clients' rooms and a running gateway between them.
type office struct {
	t      *testing.T
	portal *portalsim.Portal
	app    *app.App
	rules  string // the path of the rules file
	url    string // of the admin listener

	owner, robot, client portalsim.UserID

	bramley, bramleyInside portalsim.ID
	halden, haldenInside   portalsim.ID
	contracts, photos      portalsim.ID
}

// open starts the portal and the gateway. Change may alter the gateway's options.
func open(t *testing.T, change ...func(*app.Options)) *office {
	t.Helper()
	o := &office{t: t, rules: filepath.Join(t.TempDir(), "rules.yaml")}
	o.portal = portalsim.New(portalsim.Options{
		AllowPrivateTargets: true, FirstFileID: 90_001, FirstFolderID: 7_001,
		Timings: portalsim.Timings{QueuePause: 10 * time.Millisecond, RetryWaits: []time.Duration{100 * time.Millisecond, time.Second}},
	})
	t.Cleanup(o.portal.Close)
	address := o.portal.Start()
	o.owner = o.portal.AddUser(portalsim.User{DisplayName: "Olivia Owner", Owner: true, Admin: true})
	o.robot = o.portal.AddUser(portalsim.User{DisplayName: "docspace-router", RoomAdmin: true})
	o.client = o.portal.AddUser(portalsim.User{DisplayName: "Clara Client", Guest: true})
	o.bramley = o.room("Bramley & Sons, shared")
	o.bramleyInside = o.room("Bramley & Sons, internal")
	o.halden = o.room("Halden Shipyard, shared")
	o.haldenInside = o.room("Halden Shipyard, internal")
	o.contracts = o.room("Contracts to sign")
	o.photos = o.room("Photo archive")
	o.write(o.ruleText(""))
	env := map[string]string{
		"DOCSPACE_API_HOST":       address,
		"DOCSPACE_API_KEY":        o.portal.AddKey(o.robot, "files:write", "rooms:read", "accounts.self:read"),
		"DOCSPACE_WEBHOOK_SECRET": secret,
	}
	options := app.Options{
		Rules: o.rules, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Version: "v1.0.0",
		Database:  "sqlite://" + filepath.Join(t.TempDir(), "router.db"),
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Logger:    slog.New(slog.DiscardHandler),
		Pace: app.Pace{
			Reload: 50 * time.Millisecond, Poll: 20 * time.Millisecond, PortalPause: 100 * time.Millisecond,
			RetryFirst: 50 * time.Millisecond, Sweep: 100 * time.Millisecond,
		},
	}
	for _, c := range change {
		c(&options)
	}
	var err error
	if o.app, err = app.New(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	o.url = "http://" + o.app.AdminAddr()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.app.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	o.portal.AddWebhook(portalsim.Webhook{
		Name: "docspace-router", URL: "http://" + o.app.Addr() + "/webhook", Secret: secret,
		Triggers: []string{"file.created", "file.uploaded"}, Owner: o.owner, Enabled: true,
	})
	return o
}

func (o *office) room(title string) portalsim.ID {
	return o.portal.AddRoom(portalsim.Room{Title: title, Owner: o.owner, Members: map[portalsim.UserID]portalsim.Access{
		o.robot: portalsim.RoomManager, o.client: portalsim.ContentCreator,
	}})
}

// ruleText is the rules file; more is added at its end.
func (o *office) ruleText(more string) string {
	return fmt.Sprintf(`version: 1
rules:
  - name: bramley-documents
    description: What Bramley & Sons send us, filed by month
    triggers: [file.uploaded]
    source: {room: %q}
    when: file.extension in ["pdf", "docx", "xlsx"]
    action: copy
    destination: {folder: %q}
  - name: bramley-signed
    description: Signed contracts leave the shared room
    triggers: [file.uploaded]
    source: {room: %q}
    when: file.name contains "signed"
    action: copy
    destination: {folder: %q}
  - name: halden-drawings
    triggers: [file.uploaded]
    source: {room: %q}
    when: file.extension in ["dwg", "pdf"] && file.size < 50 * MB
    action: copy
    destination: {folder: %q}
  - name: halden-photos
    description: Photos from the yard
    triggers: [file.uploaded]
    source: {room: %q}
    when: file.extension == "jpg"
    action: move
    destination: {folder: %q}
%s`, o.bramley, o.bramleyInside, o.bramley, o.contracts, o.halden, o.haldenInside, o.halden, o.photos, more)
}

// write replaces the rules file.
func (o *office) write(text string) {
	o.t.Helper()
	if err := os.WriteFile(o.rules, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// browser opens a tab of a private Chromium.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := findBrowser(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 800),
		chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with one
	}
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

func findBrowser(t *testing.T) string {
	t.Helper()
	switch *browserFlag {
	case "":
		t.Skip("no browser was asked for")
	case "find":
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		t.Fatal("no Chromium is installed")
	}
	return *browserFlag
}

type step = chromedp.Action[chromedp.Void]

// do runs steps in the browser and tells which page they failed on.
func do(ctx context.Context, t *testing.T, what string, steps ...step) {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Do(bounded, steps...); err != nil {
		now, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		where, _ := chromedp.Run(now, chromedp.Location())
		text, _ := chromedp.Run(now, chromedp.Text("main"))
		t.Fatalf("%s: %v\non %s:\n%s", what, err, where, text)
	}
}

// holds waits until an expression of the page is true, also over a change of page.
func holds(expression string) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression)); err == nil && ok {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("not so: %s: %w", expression, ctx.Err())
			case <-tick.C:
			}
		}
	})
}

// ready waits until a page and its scripts are loaded, and it follows what happens where it is one
// that does. What is pressed earlier works too, but as it does without scripts.
func ready() step {
	return holds(`(() => {
		const live = document.querySelector('.live');
		return document.readyState === 'complete' && !!window.htmx && !(live && live.hidden);
	})()`)
}

// presses counts what was pressed.
var presses atomic.Int64

// press clicks on an element of a page that is ready, where a person can see it. It finds and clicks
// it in one go: a page that follows what happens may put another in its place at any time. One that has
// just done so is waited for, since htmx does not know its forms yet. The answer to a click may be lost
// with the page that it leaves; the next page then tells, by the storage they share, that it was done.
func press(selector string) step {
	return chromedp.Steps(ready(), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := holds(fmt.Sprintf(`(() => {
			if (sessionStorage.pressed === '%d') return true;
			const e = document.querySelector(%q);
			if (!e) return false;
			e.scrollIntoView({block: 'center'});
			const {x, y, width, height} = e.getBoundingClientRect(), there = document.elementFromPoint(x + width / 2, y + height / 2);
			if (!there || !e.contains(there) && !there.contains(e)) return false;
			if (document.querySelector('.htmx-swapping, .htmx-settling, .htmx-added')) return false;
			sessionStorage.pressed = '%[1]d';
			e.click();
			return true;
		})()`, presses.Add(1), selector))(ctx, target)
		return err
	}))
}

// seen waits until the text of an element contains a part.
func seen(selector, part string) step {
	return holds(fmt.Sprintf(`(() => { const e = document.querySelector(%q); return !!e && e.innerText.includes(%q); })()`, selector, part))
}

// set gives a field of a page that is ready another value, as somebody does who writes or chooses it.
func set(selector, value string) step {
	return chromedp.Steps(ready(), holds(fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		if (!e || e.disabled) return false;
		e.focus();
		e.value = %q;
		e.dispatchEvent(new Event('input', {bubbles: true}));
		e.dispatchEvent(new Event('change', {bubbles: true}));
		return true;
	})()`, selector, value)))
}
