package rooms_test

import (
	"fmt"
	"testing"

	"docspace-router/internal/docspace"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/rooms"
)

func start(t *testing.T) (*portalsim.Portal, portalsim.UserID, *docspace.Client) {
	t.Helper()
	p := portalsim.New(portalsim.Options{Seed: 1, Limits: portalsim.Limits{RequestsPerMinute: -1}})
	t.Cleanup(p.Close)
	account := p.AddUser(portalsim.User{DisplayName: "Router"})
	key := p.AddKey(account, "files:read", "rooms:read")
	client, err := docspace.New(docspace.Options{
		Portal: "acme", URL: p.URL(), Transport: p.Transport(), APIKey: func() string { return key },
		Limits: docspace.Limits{RequestsPerMinute: 1_000_000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return p, account, client
}

func TestALargeTreeIsCutWithAWord(t *testing.T) {
	t.Parallel()
	p, account, client := start(t)
	room := p.AddRoom(portalsim.Room{Title: "Cases", Owner: account})
	for i := range 250 {
		p.AddFolder(room, fmt.Sprintf("Case %03d", i), account)
	}
	other := p.AddRoom(portalsim.Room{Title: "Drafts", Owner: account})
	p.AddFolder(other, "2026", account)

	list, err := rooms.Read(t.Context(), client, rooms.Options{Depth: 1})
	if err != nil || list.Cut || !list.Deeper || len(list.Rooms[0].Folders) != 250 || len(list.Rooms[1].Folders) != 1 {
		t.Errorf("the whole: %v, cut %v, deeper %v, %d and %d folders", err, list.Cut, list.Deeper, len(list.Rooms[0].Folders), len(list.Rooms[1].Folders))
	}
	found := 0
	list, err = rooms.Read(t.Context(), client, rooms.Options{Depth: 5, MaxFolders: 120, Progress: func(n int) { found = n }})
	if err != nil || !list.Cut || len(list.Rooms[0].Folders) != 120 || found != 120 {
		t.Errorf("a part: %v, cut %v, %d folders, progress %d", err, list.Cut, len(list.Rooms[0].Folders), found)
	}
}

func TestTitlesAreOneLine(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Client Alpha":         "Client Alpha",
		"a\tb\nc":              "a b c",
		"\x1b[31mred\u202efdp": "[31mred fdp",
		"  Übersicht  №5 ":     "Übersicht №5",
	} {
		if got := rooms.Line(title); got != want {
			t.Errorf("%q became %q, want %q", title, got, want)
		}
	}
}
