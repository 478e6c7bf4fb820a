package app

import (
	"testing"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// TestANameThatIsNotToBeHadIsNoError tells what a portal answered from what it did not: the first is not
// asked for again so soon.
func TestANameThatIsNotToBeHadIsNoError(t *testing.T) {
	t.Parallel()
	sim := portalsim.New(portalsim.Options{})
	t.Cleanup(sim.Close)
	owner := sim.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
	robot := sim.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	key := sim.AddKey(robot, "files:read", "rooms:read")
	seen := sim.AddRoom(portalsim.Room{Title: "Legal", Owner: owner, Members: map[portalsim.UserID]portalsim.Access{robot: portalsim.Read}})
	hidden := sim.AddRoom(portalsim.Room{Title: "Private", Owner: owner})
	client, err := docspace.New(docspace.Options{Portal: "acme", URL: "http://portal.test", APIKey: func() string { return key }, Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	a := &App{}
	a.current.Store(&version{portals: map[string]*portal{"acme": {client: client}}})
	want := func(portal string, id event.ID, title string, told bool) {
		t.Helper()
		got, err := a.folderTitle(t.Context(), portal, id)
		if got != title || (err == nil) != told {
			t.Errorf("%s on %s is called %q, %v", id, portal, got, err)
		}
	}
	want("acme", event.ID(seen), "Legal", true)
	want("acme", event.ID(hidden), "", true)
	want("acme", "999999", "", true)
	want("other", event.ID(seen), "", false)
	key = "unknown"
	want("acme", event.ID(seen), "", false)
}
