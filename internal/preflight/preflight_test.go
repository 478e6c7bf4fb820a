package preflight_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/preflight"
)

// world is a healthy setup, into which tests plant mistakes.
type world struct {
	*portalsim.Portal
	account, admin portalsim.UserID
	key            string
	hook           portalsim.Webhook
	rules          string
	silentPaths    bool
}

// silentPaths is a portal that tells rights only of the folder it is asked for.
type silentPaths struct{ *docspace.Client }

func (p silentPaths) FolderPath(ctx context.Context, id event.ID) ([]docspace.Folder, error) {
	path, err := p.Client.FolderPath(ctx, id)
	for i := range path {
		path[i].Security = nil
	}
	return path, err
}

// The folders of a world, in the order in which they are made.
const (
	roomsRoot portalsim.ID = "100"
	alpha     portalsim.ID = "106"
	beta      portalsim.ID = "107"
	legal     portalsim.ID = "108"
	forms     portalsim.ID = "109"
	hidden    portalsim.ID = "110"
	year      portalsim.ID = "111" // in legal
	scans     portalsim.ID = "112" // in alpha
)

const healthyRules = `version: 1
portals:
  acme:
    url: https://portal.example.com
    api_key: {env: KEY}
    webhook_secrets: [{env: HOOK}]
rules:
  - name: filed
    triggers: [file.uploaded]
    source: {room: 106}
    action: move
    destination: {folder: 111, path: room.title}
  - name: tagged
    triggers: [file.created]
    source: {room_tag: Client}
    action: copy
    destination: {folder: 108}
  - name: paired
    triggers: [file.uploaded]
    action: copy
    pairs:
      - {source: 107, destination: 108}
      - {source: 112, destination: 111}
  - name: off
    enabled: false
    triggers: [file.uploaded]
    source: {room: 999}
    action: copy
    destination: {folder: 111}
`

func newWorld(t *testing.T, o portalsim.Options) *world {
	t.Helper()
	o.Seed, o.FirstFolderID = 1, 100
	w := &world{Portal: portalsim.New(o), rules: healthyRules}
	t.Cleanup(w.Close)
	w.account = w.AddUser(portalsim.User{DisplayName: "Router", Admin: true})
	w.admin = w.AddUser(portalsim.User{DisplayName: "Ada", Owner: true})
	role := func(a portalsim.Access) map[portalsim.UserID]portalsim.Access {
		return map[portalsim.UserID]portalsim.Access{w.account: a}
	}
	w.AddRoom(portalsim.Room{Title: "Client Alpha", Tags: []string{"client"}, Members: role(portalsim.RoomManager)})
	w.AddRoom(portalsim.Room{Title: "Client Beta", Tags: []string{"client"}, Members: role(portalsim.Read)})
	w.AddRoom(portalsim.Room{Title: "Legal", Members: role(portalsim.ContentCreator)})
	w.AddRoom(portalsim.Room{Title: "Forms", Type: portalsim.RoomFormFilling, Members: role(portalsim.ContentCreator)})
	w.AddRoom(portalsim.Room{Title: "Hidden"})
	w.AddFolder(legal, "2026", w.admin)
	w.AddFolder(alpha, "Scans", w.admin)
	w.key = w.AddKey(w.account)
	w.hook = portalsim.Webhook{
		Name: "router", URL: "https://router.example.com/webhook", Secret: "secretsecret", Owner: w.admin, Enabled: true,
		Triggers: []string{"file.created", "file.uploaded"},
	}
	return w
}

// check runs preflight on the world and returns what was found in lines of text.
func (w *world) check(t *testing.T) (preflight.Report, []string) {
	t.Helper()
	if w.hook.Name != "" {
		w.AddWebhook(w.hook)
	}
	c, err := config.Parse("rules.yaml", []byte(w.rules), config.Options{Locations: true, LookupEnv: func(name string) (string, bool) {
		return map[string]string{"KEY": w.key, "HOOK": "secretsecret"}[name], true
	}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := preflight.Run(t.Context(), preflight.Options{Config: c, Open: func(p config.Portal) (preflight.Portal, error) {
		client, err := docspace.New(docspace.Options{Portal: p.Name, URL: p.URL, Transport: w.Transport(), APIKey: p.APIKey.Reveal})
		if err != nil {
			return nil, err
		}
		t.Cleanup(client.Close)
		if w.silentPaths {
			return silentPaths{client}, nil
		}
		return client, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range report.Findings {
		lines = append(lines, fmt.Sprintf("%s [%s] %s", f.Severity, f.Rule, f.Problem))
	}
	return report, lines
}

// instead replaces a part of the rules, which must be there.
func (w *world) instead(t *testing.T, old, text string) {
	t.Helper()
	if !strings.Contains(w.rules, old) {
		t.Fatalf("%q is not in the rules", old)
	}
	w.rules = strings.Replace(w.rules, old, text, 1)
}

func TestSilentOnAHealthySetup(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*world){
		"a key that may do everything": func(*world) {},
		"the recommended key":          func(w *world) { w.key = w.AddKey(w.account, "files:write", "rooms:read", "accounts.self:read") },
		"a key that expires next year": func(w *world) { w.ExpireKey(w.key, time.Now().AddDate(1, 0, 0)) },
		"a webhook for everything":     func(w *world) { w.hook.Triggers = nil },
		"a room in connected storage": func(w *world) {
			room := w.AddThirdPartyRoom(portalsim.Room{Title: "Drive", Owner: w.account}, portalsim.ThirdParty{})
			w.rules = strings.Replace(w.rules, "destination: 111}", fmt.Sprintf("destination: %q}", room), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			plant(w)
			report, lines := w.check(t)
			if len(lines) > 0 || report.Failed() {
				t.Errorf("found:\n%s", strings.Join(lines, "\n"))
			}
			if s := report.Portals[0]; s.Account != "Router" || s.Titles["112"] != "Scans" || len(s.Titles) < 5 {
				t.Errorf("learned %+v", s)
			}
		})
	}
}

func TestPlantedMistakes(t *testing.T) {
	t.Parallel()
	inThreeDays := time.Now().UTC().AddDate(0, 0, 3)
	for name, test := range map[string]struct {
		portal portalsim.Options
		plant  func(*testing.T, *world)
		want   []string
	}{
		"the portal is down": {
			plant: func(_ *testing.T, w *world) { w.hook.Name = ""; w.Close() },
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: the portal https://portal.example.com cannot be reached: settings: portal answered 503 Service Unavailable, is the address right, and may this machine connect to it?",
			},
		},
		"the portal is not paid for": {
			plant: func(_ *testing.T, w *world) { w.SetState(portalsim.Unpaid) },
			want:  []string{"error [] rules.yaml:3:3: portals.acme: the portal is not paid for, and answers nobody"},
		},
		"the key was revoked": {
			plant: func(_ *testing.T, w *world) { w.RevokeKey(w.key) },
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: the API key is refused: it is unknown, expired or switched off, or its account is, create one as the gateway's account, under Developer Tools, API keys",
			},
		},
		"the key expires soon": {
			plant: func(_ *testing.T, w *world) { w.ExpireKey(w.key, inThreeDays) },
			want: []string{
				`warning [] rules.yaml:3:3: portals.acme: the API key "key" expires on ` + inThreeDays.Format(time.DateOnly) + ", create another one in time",
			},
		},
		"the key lacks scopes": {
			plant: func(t *testing.T, w *world) {
				w.key = w.AddKey(w.account, "files:read")
				w.instead(t, "source: {room: 106}", "source: {room: 106}\n    when: not (file.created_by.email endsWith \"@acme.example\")")
			},
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: the API key lacks the scope files:write, which is needed to copy, to move and to look, create a key with files:write, rooms:read, accounts.self:read, accounts:read and *:write: the scopes of a key cannot be changed later",
				"error [] rules.yaml:3:3: portals.acme: the API key lacks the scope accounts.self:read, which is needed to tell the gateway's own work from that of people, create a key with files:write, rooms:read, accounts.self:read, accounts:read and *:write: the scopes of a key cannot be changed later",
				"error [] rules.yaml:3:3: portals.acme: the API key lacks the scope rooms:read, which for the rule tagged is needed to read the tags of rooms, create a key with files:write, rooms:read, accounts.self:read, accounts:read and *:write: the scopes of a key cannot be changed later",
				"error [] rules.yaml:3:3: portals.acme: the API key lacks the scope accounts:read, which for the rule filed is needed to read e-mail addresses, create a key with files:write, rooms:read, accounts.self:read, accounts:read and *:write: the scopes of a key cannot be changed later",
			},
		},
		"the account is the owner's": {
			plant: func(_ *testing.T, w *world) {
				for _, room := range []portalsim.ID{alpha, beta, legal} {
					w.SetMember(room, w.admin, portalsim.RoomManager)
				}
				w.key = w.AddKey(w.admin)
			},
			want: []string{
				"warning [] rules.yaml:3:3: portals.acme: the API key belongs to Ada, who owns the portal: what a person copies or moves with the gateway's account is taken for the gateway's own work and not routed, and both share limits and results, give the gateway an account of its own, and create the key as that one",
			},
		},
		"the clocks differ": {
			portal: portalsim.Options{ClockSkew: -10 * time.Minute},
			plant:  func(*testing.T, *world) {},
			want:   []string{"warning [] rules.yaml:3:3: portals.acme: the portal's clock is 10m0s behind this machine's, set the clock of the machine that is wrong: paths and conditions that use the time suffer"},
		},
		"limits above DocSpace's": {
			plant: func(t *testing.T, w *world) {
				w.instead(t, "    api_key", "    limits: {writes_per_day: 20000}\n    api_key")
			},
			want: []string{
				"warning [] rules.yaml:3:3: portals.acme: limits.writes_per_day is 20000, and DocSpace allows 10000, lower it, unless the portal's own limits were raised",
			},
		},
		"a room that is not there": {
			plant: func(t *testing.T, w *world) { w.instead(t, "room: 106", "room: 777") },
			want: []string{
				"error [filed] rules.yaml:10:20: rules[0].source.room: there is no room or folder 777, look its id up with docspace-router rooms",
			},
		},
		"a file in place of a folder": {
			plant: func(t *testing.T, w *world) {
				w.AddFile(alpha, portalsim.File{Title: "a.pdf"})
				w.instead(t, "destination: 108}", "destination: 1}")
			},
			want: []string{
				"error [paired] rules.yaml:22:36: rules[2].pairs[0].destination: there is no room or folder 1, only a file of that number, name a room or folder, such as the one the file lies in",
			},
		},
		"a folder in place of a room": {
			plant: func(t *testing.T, w *world) { w.instead(t, "room: 106", "room: 112") },
			want: []string{
				`warning [filed] rules.yaml:10:20: rules[0].source.room: "Scans" (112) is a folder, and no room: the room it lies in is "Client Alpha" (106), write folder in place of room, or name the room`,
			},
		},
		"a room that the account may not read": {
			plant: func(t *testing.T, w *world) {
				stranger := w.AddUser(portalsim.User{DisplayName: "Router"})
				for _, room := range []portalsim.ID{alpha, beta, legal} {
					w.SetMember(room, stranger, portalsim.RoomManager)
				}
				w.key = w.AddKey(stranger)
				w.instead(t, "room: 106", "room: [106, 110]")
			},
			want: []string{
				"error [filed] rules.yaml:10:26: rules[0].source.room[1]: the gateway's account may not read 110, give the account a role in that room",
			},
		},
		"an administrator without a role": {
			plant: func(_ *testing.T, w *world) { w.SetMember(beta, w.account, portalsim.NoAccess) },
			want: []string{
				`error [tagged] rules.yaml:15:24: rules[1].source.room_tag: the gateway's account may not copy files out of "Client Beta" (107), give it a role in the room, which a portal administrator needs as well, and let the room permit downloads`,
				`error [paired] rules.yaml:22:18: rules[2].pairs[0].source: the gateway's account may not copy files out of "Client Beta" (107), give it a role in the room, which a portal administrator needs as well, and let the room permit downloads`,
			},
		},
		"a move out of a room where the account is content creator": {
			plant: func(_ *testing.T, w *world) { w.SetMember(alpha, w.account, portalsim.ContentCreator) },
			want: []string{
				`error [filed] rules.yaml:10:20: rules[0].source.room: the gateway's account may not move other people's files out of "Client Alpha" (106), make it room manager there, or copy`,
			},
		},
		"a destination that the account may only read": {
			plant: func(t *testing.T, w *world) { w.instead(t, "{folder: 108}", "{folder: 107}") },
			want: []string{
				`error [tagged] rules.yaml:17:27: rules[1].destination.folder: the gateway's account may not copy files into "Client Beta" (107), make the gateway's account content creator or room manager there`,
			},
		},
		"the list of all rooms as destination": {
			plant: func(t *testing.T, w *world) { w.instead(t, "{folder: 108}", "{folder: "+string(roomsRoot)+"}") },
			want: []string{
				"error [tagged] rules.yaml:17:27: rules[1].destination.folder: 100 is the list of all rooms, into which no files can be put, name a room or folder",
			},
		},
		"archived rooms": {
			plant: func(t *testing.T, w *world) {
				w.ArchiveRoom(beta, w.admin)
				w.instead(t, "{folder: 108}", "{folder: 107}")
			},
			want: []string{
				`error [tagged] rules.yaml:17:27: rules[1].destination.folder: "Client Beta" (107) is archived, bring the room back, or name another folder`,
				`warning [paired] rules.yaml:22:18: rules[2].pairs[0].source: "Client Beta" (107) is archived: nothing can be uploaded to it, bring the room back, or remove it from the rule`,
			},
		},
		"a destination in the trash": {
			plant: func(t *testing.T, w *world) {
				folder := w.AddFolder(legal, "Old", w.account)
				w.Trash(portalsim.KindFolder, folder, w.account)
				w.instead(t, "{folder: 108}", "{folder: "+string(folder)+"}")
			},
			want: []string{
				`error [tagged] rules.yaml:17:27: rules[1].destination.folder: "Old" (113) lies in the trash, restore it, or name another folder`,
			},
		},
		"a form filling room": {
			plant: func(t *testing.T, w *world) { w.instead(t, "{folder: 108}", "{folder: "+string(forms)+"}") },
			want: []string{
				`warning [tagged] rules.yaml:17:27: rules[1].destination.folder: "Forms" (109) is a form filling room, which takes PDF forms, one at a time, and refuses everything else, name another room, or let the rule take forms only: file.is_form`,
			},
		},
		"a destination in the rule's own source": {
			plant: func(t *testing.T, w *world) {
				w.SetMember(alpha, w.account, portalsim.RoomManager)
				w.instead(t, "{source: 107, destination: 108}", "{source: 106, destination: 112}")
			},
			want: []string{
				`warning [paired] rules.yaml:22:36: rules[2].pairs[0].destination: "Scans" (112) lies in the rule's own source "Client Alpha" (106): what people put there is taken and put there again, make it a rule of its own with subfolders: false, or leave it out with when`,
			},
		},
		"two folders of one title below a path": {
			plant: func(_ *testing.T, w *world) {
				w.AddFolder(year, "Client Alpha", w.account)
				w.AddFolder(year, "client alpha", w.account)
			},
			want: []string{
				`warning [filed] rules.yaml:12:38: rules[0].destination.path: "2026" (111) holds two folders titled "client alpha", 113 and 114: a path of that name uses one of them, rename or merge one of them`,
			},
		},
		"a tag that no room has": {
			plant: func(t *testing.T, w *world) { w.instead(t, "room_tag: Client", "room_tag: Cleint") },
			want: []string{
				`warning [tagged] rules.yaml:15:24: rules[1].source.room_tag: no room has the tag "Cleint", compare with docspace-router rooms; rooms in which the account has no role do not count`,
			},
		},
		"a title that no room has": {
			plant: func(t *testing.T, w *world) { w.instead(t, "room_tag: Client", `room_title: "Custom*"`) },
			want: []string{
				`warning [tagged] rules.yaml:15:26: rules[1].source.room_title: no room has the title "Custom*", compare with docspace-router rooms; rooms in which the account has no role do not count`,
			},
		},
		"a portal that tells no rights in paths": {
			plant: func(t *testing.T, w *world) {
				w.silentPaths = true
				w.instead(t, "{folder: 108}", "{folder: 107}")
				w.SetMember(alpha, w.account, portalsim.ContentCreator)
			},
			want: []string{
				`error [filed] rules.yaml:10:20: rules[0].source.room: the gateway's account may not move other people's files out of "Client Alpha" (106), make it room manager there, or copy`,
				`error [tagged] rules.yaml:17:27: rules[1].destination.folder: the gateway's account may not copy files into "Client Beta" (107), make the gateway's account content creator or room manager there`,
			},
		},
		"a portal that fails here and there": {
			plant: func(t *testing.T, w *world) {
				for _, path := range []string{"people/@self", "files/rooms", "files/folder/106/path", "settings/webhook"} {
					w.Inject(portalsim.Fault{Kind: portalsim.Refuse, Path: path + "$", Status: 500, Message: "Oops"})
				}
				w.instead(t, "{source: 107", "{source: 777")
			},
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: the portal could not be asked for the account: self: portal answered 500 Internal Server Error: Oops",
				"error [] rules.yaml:3:3: portals.acme: the portal could not be asked for the list of rooms: rooms: portal answered 500 Internal Server Error: Oops",
				"error [] rules.yaml:3:3: portals.acme: the portal could not be asked for the webhooks: webhooks: portal answered 500 Internal Server Error: Oops",
				"error [filed] rules.yaml:10:20: rules[0].source.room: what 106 is could not be learned: folder_path: portal answered 500 Internal Server Error: Oops, look its id up with docspace-router rooms",
				"error [paired] rules.yaml:22:18: rules[2].pairs[0].source: there is no room or folder 777, look its id up with docspace-router rooms",
			},
		},
		"a portal that goes down in between": {
			plant: func(_ *testing.T, w *world) {
				w.Inject(portalsim.Fault{Kind: portalsim.Refuse, Path: "files/rooms", Status: 503})
				w.SetMember(alpha, w.account, portalsim.ContentCreator)
			},
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: the portal stopped answering while it was asked for the list of rooms, and the rest was left out: rooms: portal answered 503 Service Unavailable, check again",
				`error [filed] rules.yaml:10:20: rules[0].source.room: the gateway's account may not move other people's files out of "Client Alpha" (106), make it room manager there, or copy`,
			},
		},
		"no webhook": {
			plant: func(_ *testing.T, w *world) { w.hook.URL = "https://elsewhere.example.com/hooks" },
			want: []string{
				"error [] rules.yaml:3:3: portals.acme: no webhook leads to the gateway: none has the address https://…/webhook/acme, make it with docspace-router webhook register",
			},
		},
		"the webhook is disabled": {
			plant: func(_ *testing.T, w *world) { w.hook.Enabled = false },
			want: []string{
				`error [] rules.yaml:3:3: portals.acme: the webhook "router" is disabled, enable it with docspace-router webhook register, or under Developer Tools, Webhooks; DocSpace disables a webhook that failed`,
			},
		},
		"the webhook signs with another secret": {
			portal: refusing(http.StatusUnauthorized),
			plant:  lastDeliveryFailed,
			want: []string{
				`error [] rules.yaml:3:3: portals.acme: the webhook "router" probably signs with another secret than webhook_secrets lists: its last delivery was refused with 401, set its secret, under Developer Tools, Webhooks, to the first of webhook_secrets, or add the one it has to these`,
			},
		},
		"the last delivery failed": {
			portal: refusing(http.StatusBadGateway),
			plant:  lastDeliveryFailed,
			want: []string{
				`warning [] rules.yaml:3:3: portals.acme: the last delivery of the webhook "router" failed: Response status code does not indicate success: 502 (Bad Gateway), look at its history, under Developer Tools, Webhooks`,
			},
		},
		"the webhook tells of one entry": {
			plant: func(_ *testing.T, w *world) { w.hook.TargetID = alpha },
			want: []string{
				`error [] rules.yaml:3:3: portals.acme: the webhook "router" tells only of the entry 106 itself, and not of what lies in it, remove its target, under Developer Tools, Webhooks`,
			},
		},
		"the webhook lacks a trigger": {
			plant: func(_ *testing.T, w *world) { w.hook.Triggers = []string{"file.uploaded"} },
			want: []string{
				`error [tagged] rules.yaml:13:5: rules[1]: the webhook "router" does not tell of file.created, add what is missing with docspace-router webhook register, or under Developer Tools, Webhooks`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.portal)
			test.plant(t, w)
			_, lines := w.check(t)
			if diff := cmp.Diff(test.want, lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// refusing are the options of a portal to whose deliveries the gateway answers with a code.
func refusing(code int) portalsim.Options {
	endpoint := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	return portalsim.Options{
		HTTPClient: &http.Client{Transport: portalsim.HandlerTransport(endpoint)},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("203.0.113.1")}, nil
		},
		Timings: portalsim.Timings{QueuePause: -1, RetryWaits: []time.Duration{}},
	}
}

// lastDeliveryFailed lets the webhook deliver once.
func lastDeliveryFailed(t *testing.T, w *world) {
	t.Helper()
	w.AddWebhook(w.hook)
	w.hook.Name = ""
	w.Upload(alpha, "a.pdf", 1, w.admin)
	if err := w.WaitDelivered(t.Context()); err != nil {
		t.Fatal(err)
	}
}
