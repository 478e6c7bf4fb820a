package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/portalsim"
)

// invoke runs the program inside the test, with variables of its own.
func invoke(t *testing.T, variables map[string]string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), environment{
		args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		lookup: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
	})
	return status, out.String(), errs.String()
}

func roomsPortal(t *testing.T) (p *portalsim.Portal, account portalsim.UserID, variables map[string]string) {
	t.Helper()
	p = portalsim.New(portalsim.Options{Seed: 1, FirstFolderID: 100})
	t.Cleanup(p.Close)
	account = p.AddUser(portalsim.User{DisplayName: "Router"})
	p.AddRoom(portalsim.Room{Title: "Legal", Type: portalsim.RoomPublic, Owner: account})
	alpha := p.AddRoom(portalsim.Room{Title: "Client Alpha", Tags: []string{"vip", "client"}, Owner: account})
	p.AddRoom(portalsim.Room{Title: "Forms", Type: portalsim.RoomFormFilling, Tags: []string{"client"}, Owner: account})
	p.AddRoom(portalsim.Room{Title: "Hidden"}) // the account has no role in it
	year := p.AddFolder(alpha, "2026", account)
	p.AddFolder(p.AddFolder(p.AddFolder(year, "March", account), "Drafts", account), "Old", account)
	p.AddFolder(alpha, "2025", account)
	p.AddFile(alpha, portalsim.File{Title: "2024"})
	return p, account, map[string]string{
		"DOCSPACE_API_HOST": p.Start(), "DOCSPACE_API_KEY": p.AddKey(account, "files:read", "rooms:read"),
	}
}

func TestRooms(t *testing.T) {
	t.Parallel()
	p, account, variables := roomsPortal(t)
	url := p.URL()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	variables["KEY"] = variables["DOCSPACE_API_KEY"]
	variables["FILES_KEY"] = p.AddKey(account, "files:read")
	two := write("two.yaml", fmt.Sprintf(`version: 1
portals:
  one: {url: %[1]s, api_key: {env: KEY}, webhook_secrets: [{env: NOT_YET}]}
  two: {url: %[1]s, api_key: {env: FILES_KEY}, webhook_secrets: [{env: NOT_YET}]}
rules: [{not yet written}]
`, url))
	for name, test := range map[string]struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		"a table, without a rules file": {
			args: []string{}, stdout: `ID   TITLE         TYPE           TAGS
105  Client Alpha  custom         client, vip
106  Forms         filling_forms  client
104  Legal         public         -
`,
		},
		"folders, as deep as was asked": {
			args: []string{"--tree", "--depth", "2", "--filter", "VIP"}, stdout: `ID   TITLE         TYPE    TAGS
105  Client Alpha  custom  client, vip
112    2025
108    2026
109      March
Folders more than 2 levels down are not listed: see --depth.
`,
		},
		"a room by its id": {
			args: []string{"--filter", "104"}, stdout: `ID   TITLE  TYPE    TAGS
104  Legal  public  -
`,
		},
		"no room": {
			args:   []string{"--filter", "nothing"},
			stdout: "No room has \"nothing\" in its title or tags, or as its id.\n",
		},
		"one portal is refused, the other is listed": {
			args: []string{"--rules", two, "--filter", "legal"}, status: 1,
			stdout: "Portal one, " + url + "\nID   TITLE  TYPE    TAGS\n104  Legal  public  -\n",
			stderr: "docspace-router: portal two: rooms: portal answered 403 Forbidden (the API key needs the scopes rooms:read and, for --tree, files:read)\n",
		},
		"one portal of several": {
			args: []string{"--rules", two, "--filter", "legal", "--portal", "one"}, stdout: "ID   TITLE  TYPE    TAGS\n104  Legal  public  -\n",
		},
		"a portal that the file has not": {
			args: []string{"--rules", two, "--portal", "three"}, status: 2,
			stderr: "docspace-router: the rules file has no portal \"three\", only one, two\n",
		},
		"a file that was named and is missing": {
			args: []string{"--rules", filepath.Join(dir, "none.yaml")}, status: 2,
			stderr: "docspace-router: " + filepath.Join(dir, "none.yaml") + ": does not exist\n",
		},
		"a depth of nothing": {
			args: []string{"--depth", "2"}, status: 2,
			stderr: "docspace-router: --depth says how deep --tree goes: give --tree as well (see docspace-router rooms --help)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := invoke(t, variables, append([]string{"rooms"}, test.args...)...)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if diff := cmp.Diff(test.stdout, stdout); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stderr, stderr); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoomsOfAPortalThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	status, _, stderr := invoke(t, map[string]string{"DOCSPACE_API_HOST": "http://127.0.0.1:9", "DOCSPACE_API_KEY": "key"}, "rooms")
	const want = "docspace-router: portal default: http://127.0.0.1:9 does not answer: connection refused: is the address right, in DOCSPACE_API_HOST or the rules file?\n"
	if status != 1 || stderr != want {
		t.Errorf("status %d, stderr %q, want %q", status, stderr, want)
	}
}

func TestRoomsForScripts(t *testing.T) {
	t.Parallel()
	_, _, variables := roomsPortal(t)
	status, stdout, stderr := invoke(t, variables, "rooms", "-o", "json", "--tree", "--filter", "alpha")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var got []portalJSON
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := []portalJSON{{
		Portal: "default", URL: variables["DOCSPACE_API_HOST"], Deeper: true,
		Rooms: []roomJSON{{ID: "105", Title: "Client Alpha", Type: "custom", Tags: []string{"client", "vip"}, Folders: []folderJSON{
			{ID: "112", Title: "2025"},
			{ID: "108", Title: "2026", Folders: []folderJSON{{ID: "109", Title: "March", Folders: []folderJSON{{ID: "110", Title: "Drafts"}}}}},
		}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
