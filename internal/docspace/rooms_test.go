package docspace_test

import (
	"fmt"
	"slices"
	"testing"

	"docspace-router/internal/docspace"
	"docspace-router/internal/portalsim"
)

func TestRooms(t *testing.T) {
	t.Parallel()
	portal := portalsim.New(portalsim.Options{Seed: 1})
	t.Cleanup(portal.Close)
	account := portal.AddUser(portalsim.User{DisplayName: "Router"})
	for i := range 201 {
		portal.AddRoom(portalsim.Room{Title: fmt.Sprintf("Client %03d", i), Tags: []string{"client"}, Owner: account})
	}
	portal.AddRoom(portalsim.Room{Title: "Hidden"}) // the account has no role in it
	portal.AddRoom(portalsim.Room{Title: "Public relations", Type: portalsim.RoomPublic, Owner: account})
	client, err := docspace.New(docspace.Options{
		Portal: "acme", URL: portal.URL(), Transport: portal.Transport(), APIKey: func() string { return portal.AddKey(account, "rooms:read") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)

	rooms, err := client.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(rooms) != 202 || rooms[0].Title != "Client 000" || rooms[201].Title != "Public relations" {
		t.Errorf("got %d rooms, want the 202 visible ones by title", len(rooms))
	}
	if !slices.Equal(rooms[0].Tags, []string{"client"}) || rooms[201].RoomType != 6 {
		t.Errorf("got %+v and %+v", rooms[0], rooms[201])
	}
}

func TestReachTellsAnUnpaidPortalFromOneThatIsAway(t *testing.T) {
	t.Parallel()
	portal := portalsim.New(portalsim.Options{Seed: 1})
	client, err := docspace.New(docspace.Options{
		Portal: "acme", URL: portal.URL(), Transport: portal.Transport(), APIKey: func() string { return "sk-wrong" },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, state := range []portalsim.State{portalsim.Active, portalsim.Unpaid, portalsim.Suspended} {
		portal.SetState(state)
		if err := client.Reach(t.Context()); err != nil {
			t.Errorf("state %v: %v", state, err)
		}
	}
	portal.Close()
	if err := client.Reach(t.Context()); !docspace.IsPortalDown(err) {
		t.Errorf("a closed portal: %v", err)
	}
}
