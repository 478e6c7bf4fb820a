package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/portalsim"
)

// onlineSetup is a directory with a copy of a rules file of testdata/online, and a portal that it
// is about; a second portal is down.
func onlineSetup(t *testing.T, file string) (path string, portal *portalsim.Portal, variables map[string]string) {
	t.Helper()
	p := portalsim.New(portalsim.Options{Seed: 1, FirstFolderID: 100})
	t.Cleanup(p.Close)
	account := p.AddUser(portalsim.User{DisplayName: "Router"})
	owner := p.AddUser(portalsim.User{DisplayName: "Ada", Owner: true})
	role := func(a portalsim.Access) map[portalsim.UserID]portalsim.Access {
		return map[portalsim.UserID]portalsim.Access{account: a}
	}
	p.AddRoom(portalsim.Room{Title: "Client Alpha", Tags: []string{"client"}, Members: role(portalsim.ContentCreator)}) // 106
	p.AddRoom(portalsim.Room{Title: "Client Beta #2", Tags: []string{"client"}, Members: role(portalsim.Read)})         // 107
	p.AddRoom(portalsim.Room{Title: "Legal", Members: role(portalsim.ContentCreator)})                                  // 108
	p.AddRoom(portalsim.Room{Title: "Forms", Type: portalsim.RoomFormFilling, Members: role(portalsim.ContentCreator)}) // 109
	p.AddRoom(portalsim.Room{Title: "Hidden"})                                                                          // 110
	p.AddFolder(p.AddRoom(portalsim.Room{Title: "Old", Members: role(portalsim.RoomManager)}), "2019", owner)           // 111, 112
	p.AddFolder("108", "2026", owner)                                                                                   // 113
	p.AddFolder("108", "2026", owner)                                                                                   // 114
	p.AddFile("106", portalsim.File{Title: "a.pdf"})                                                                    // 1
	p.ArchiveRoom("111", owner)
	p.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "https://router.example.com/hooks/webhook/acme", Secret: "secretsecret", Owner: account, Enabled: true,
		Triggers: []string{"file.uploaded"},
	})
	down := portalsim.New(portalsim.Options{Seed: 2})
	variables = map[string]string{
		"KEY": p.AddKey(account, "*:read", "files:write"), "RECOMMENDED_KEY": p.AddKey(account, "files:write", "rooms:read", "accounts.self:read"),
		"HOOK": "secretsecret", "DOWN_KEY": "sk-x",
	}
	text, err := os.ReadFile(filepath.Join("testdata/online", file))
	if err != nil {
		t.Fatal(err)
	}
	replaced := strings.NewReplacer("http://acme.example", p.Start(), "http://down.example", down.Start()).Replace(string(text))
	down.Close()
	path = filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, []byte(replaced), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, p, variables
}

// plain makes output the same in every run.
func plain(text, path string, replace ...string) string {
	return strings.NewReplacer(append(replace, path, filepath.Base(path))...).Replace(text)
}

func TestCheckOnlineFindsManyThings(t *testing.T) {
	t.Parallel()
	path, _, variables := onlineSetup(t, "many.yaml")
	status, stdout, stderr := invoke(t, variables, "check", "--online", "--public-url", "https://router.example.com/hooks", path)
	if status != 1 || stderr != "" {
		t.Errorf("status %d: %s", status, stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	down := strings.TrimSpace(strings.Split(strings.SplitAfter(string(text), "down:\n    url: ")[1], "\n")[0])
	got := plain(stdout, path, down, "http://down.example", strings.TrimPrefix(down, "http://"), "down.example")
	want, err := os.ReadFile("testdata/online/many.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, got)
	}
}

func TestCheckOnlineIsContentWithAHealthySetup(t *testing.T) {
	t.Parallel()
	path, _, variables := onlineSetup(t, "healthy.yaml")
	status, stdout, stderr := invoke(t, variables, "check", "--online", path)
	want := `healthy.yaml: valid: 3 rules, 1 portal
portal acme: ok, as Router (the webhook is not checked: the key has no *:read)
`
	if got := plain(stdout, path); status != 0 || stderr != "" || got != want {
		t.Errorf("status %d, stderr %q:\n%s", status, stderr, got)
	}
	status, stdout, _ = invoke(t, variables, "check", "--online", "-o", "json", path)
	var got struct {
		Valid  bool
		Online onlineJSON
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != 0 || !got.Valid {
		t.Fatalf("status %d: %v\n%s", status, err, stdout)
	}
	wanted := onlineJSON{
		Portals:  []statusJSON{{Portal: "acme", Asked: true, Account: "Router", Notes: []string{"the webhook is not checked: the key has no *:read"}}},
		Findings: []findingJSON{},
	}
	if diff := cmp.Diff(wanted, got.Online); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, secret := range variables {
		if name != "HOOK" && strings.Contains(stdout, secret) {
			t.Errorf("the output shows %s", name)
		}
	}
}

func TestAnnotate(t *testing.T) {
	t.Parallel()
	path, portal, variables := onlineSetup(t, "healthy.yaml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, _ := invoke(t, variables, "check", "--online", "--annotate", path)
	if !strings.HasSuffix(plain(stdout, path), "healthy.yaml: titles written in 5 lines\n") || status != 0 {
		t.Errorf("status %d:\n%s", status, stdout)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		"room: 106  # ask Ada\n", "room: 106  # = Client Alpha  # ask Ada\n",
		"folder: 108}\n", "folder: 108}  # = Legal\n",
		"folder: 114 # where", "folder: 114 # = 2026  # where",
		"{source: 107, destination: 108}\n", "{source: 107, destination: 108}  # = Client Beta #2, Legal\n",
		"- 106\n", "- 106  # = Client Alpha\n",
	).Replace(string(before))
	if diff := cmp.Diff(want, string(after)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}

	// A second time there is nothing to write, until a title changes.
	if _, stdout, _ = invoke(t, variables, "check", "--online", "--annotate", path); !strings.HasSuffix(stdout, ": the titles are up to date\n") {
		t.Errorf("a second time:\n%s", stdout)
	}
	portal.Rename(portalsim.KindFolder, "107", "Client Gamma", "")
	if _, stdout, _ = invoke(t, variables, "check", "--online", "--annotate", path); !strings.HasSuffix(stdout, ": titles written in 1 line\n") {
		t.Errorf("after a room was renamed:\n%s", stdout)
	}
	if after, err = os.ReadFile(path); err != nil || string(after) != strings.Replace(want, "Client Beta #2,", "Client Gamma,", 1) {
		t.Errorf("after a room was renamed: %v\n%s", err, after)
	}

	// When nothing can be learned, what was written before stays.
	portal.Close()
	status, stdout, _ = invoke(t, variables, "check", "--online", "--annotate", path)
	if status != 1 || !strings.HasSuffix(stdout, ": not annotated: no portal told a title\n") {
		t.Errorf("status %d:\n%s", status, stdout)
	}
}

func TestAnnotateWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path, _, variables := onlineSetup(t, "healthy.yaml")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"without --online":  {[]string{"--annotate", path}, "--annotate writes what the portals answer: give --online as well"},
		"standard input":    {[]string{"--online", "--annotate", "-"}, "--annotate changes the rules file: name it"},
		"without secrets":   {[]string{"--online", "--without-secrets", path}, "--online needs the API keys"},
		"an address of its": {[]string{"--online", "--public-url", "router", path}, "--public-url is not an address such as"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if status, _, stderr := invoke(t, variables, append([]string{"check"}, test.args...)...); status != 2 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d: %s", status, stderr)
			}
		})
	}
}
