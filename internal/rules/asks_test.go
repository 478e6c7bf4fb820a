package rules_test

import (
	"testing"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

func TestAsks(t *testing.T) {
	t.Parallel()
	byID := rules.Route{Source: "1", SourceKind: rules.RoomSource, Destination: "2"}
	byTag := rules.Route{Pattern: "client", SourceKind: rules.TagSource, Destination: "2"}
	for name, test := range map[string]struct {
		route      rules.Route
		when, path string
		want       rules.Need
	}{
		"nothing":                        {byID, `file.size > 5 && room.title == "x"`, "room.title", 0},
		"the tags, for its source":       {byTag, "", "", rules.NeedRoomTags},
		"the tags, for its condition":    {byID, `"vip" in room.tags`, "", rules.NeedRoomTags},
		"the tags, for its path":         {byID, "", "room.tags[0]", rules.NeedRoomTags},
		"e-mail addresses":               {byID, `not (file.created_by.email endsWith "@acme.example")`, "", rules.NeedAuthor},
		"whose file it is, not where":    {byID, `file.created_by.id != "x"`, "", 0},
		"both, in parts of a condition":  {byID, `file.created_by.email == "a@b.example" && "vip" in room.tags`, "", rules.NeedAuthor | rules.NeedRoomTags},
		"what whole things may be about": {byID, `len(toJSON(file.created_by)) > 3`, "", rules.NeedAuthor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, errs := rules.Compile([]rules.Spec{{
				Name: "a", Portals: []string{"acme"}, Triggers: []string{"file.uploaded"}, Routes: []rules.Route{test.route},
				When: test.when, Path: test.path, Action: event.Copy, Conflict: event.Duplicate,
			}})
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if got := table.Asks(0); got != test.want {
				t.Errorf("got %b, want %b", got, test.want)
			}
		})
	}
}
