package rules

import (
	"testing"

	"go.uber.org/goleak"

	"docspace-router/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rule is a valid spec to vary: everything uploaded into folder 10 or below is copied to 20.
func ruleSpec(name string, change ...func(*Spec)) Spec {
	s := Spec{
		Name: name, Portals: []string{"acme"}, Triggers: []string{"file.uploaded"},
		Routes: []Route{{Source: "10", SourceKind: RoomSource, Subfolders: true, Destination: "20"}},
		Action: event.Copy, Conflict: event.Duplicate,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func when(expression string) func(*Spec)     { return func(s *Spec) { s.When = expression } }
func triggers(names ...string) func(*Spec)   { return func(s *Spec) { s.Triggers = names } }
func moves(s *Spec)                          { s.Action = event.Move }
func stops(s *Spec)                          { s.Stop = true }
func isFallback(s *Spec)                     { s.Fallback = true }
func isDisabled(s *Spec)                     { s.Disabled = true }
func onPortal(name string) func(*Spec)       { return func(s *Spec) { s.Portals = []string{name} } }
func withRoutes(routes ...Route) func(*Spec) { return func(s *Spec) { s.Routes = routes } }
func to(id event.ID) func(*Spec) {
	return func(s *Spec) {
		for i := range s.Routes {
			s.Routes[i].Destination = id
		}
	}
}

func compile(t testing.TB, specs ...Spec) *Table {
	t.Helper()
	table, errs := Compile(specs)
	if len(errs) > 0 {
		t.Fatalf("Compile: %v", errs)
	}
	return table
}

// upload is a 3.x delivery about report.pdf in folder 11 of room 10, its place known.
func upload(change ...func(*Facts)) *Facts {
	f := &Facts{
		Portal: "acme",
		Event: event.Event{
			ID: "1", Trigger: "file.uploaded",
			Payload: []byte(`{"id":90412,"title":"report.pdf","extra":{"deep":[1,2.5]}}`),
			Webhook: []byte(`{"id":12,"name":"router"}`),
			Entry: event.Entry{
				Kind: event.File, ID: "90412", ParentID: "11", Title: "report.pdf",
				CreatedBy: event.User{ID: "6d1a"},
			},
		},
		Chain:      []Folder{{"11", "Inbox"}, {"10", "Client A"}},
		ChainKnown: true,
		Room:       &Room{ID: "10", Title: "Client A", Type: "custom"},
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func lookedUp(f *Facts) {
	f.Event.Entry.Detailed = true
	f.Event.Entry.Size = 3 << 20
	f.Event.Entry.Version = 1
}

func tagged(tags ...string) func(*Facts) {
	return func(f *Facts) {
		room := *f.Room
		room.Tags = tags
		f.Room, f.RoomTagsKnown = &room, true
	}
}

func titled(title string) func(*Facts) { return func(f *Facts) { f.Event.Entry.Title = title } }

func unplaced(f *Facts) { f.Chain, f.ChainKnown, f.Room = nil, false, nil }
