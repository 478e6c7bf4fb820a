package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/config"
)

func TestLocations(t *testing.T) {
	t.Parallel()
	const text = `version: 1
defaults:
  destination: {folder: &legal 7}
rules:
  - name: listed
    triggers: [file.uploaded]
    source: {room: [1, 2]}
    action: copy
  - name: paired
    triggers: [file.uploaded]
    action: copy
    pairs:
      - {source: 3, destination: 4}
      - source: 5
        destination: *legal
  - name: filed
    triggers: [file.uploaded]
    source:
      room_tag: client
    action: copy
    destination:
      folder: 9
      path: room.title
`
	c, err := config.Parse("r.yaml", []byte(text), config.Options{WithoutSecrets: true, Locations: true})
	if err != nil {
		t.Fatal(err)
	}
	at := func(line, column int, path string) config.Location {
		return config.Location{Position: config.Position{File: "r.yaml", Line: line, Column: column}, Path: path}
	}
	shared := at(3, 25, "defaults.destination.folder")
	want := []config.RuleLocations{
		{
			Rule:         at(5, 5, "rules[0]"),
			Sources:      []config.Location{at(7, 21, "rules[0].source.room[0]"), at(7, 24, "rules[0].source.room[1]")},
			Destinations: []config.Location{shared, shared},
		},
		{
			Rule:         at(9, 5, "rules[1]"),
			Sources:      []config.Location{at(13, 18, "rules[1].pairs[0].source"), at(14, 17, "rules[1].pairs[1].source")},
			Destinations: []config.Location{at(13, 34, "rules[1].pairs[0].destination"), at(3, 25, "rules[1].pairs[1].destination")},
		},
		{
			Rule:         at(16, 5, "rules[2]"),
			Sources:      []config.Location{at(19, 17, "rules[2].source.room_tag")},
			Destinations: []config.Location{at(22, 15, "rules[2].destination.folder")},
			Path:         at(23, 13, "rules[2].destination.path"),
		},
	}
	if diff := cmp.Diff(want, c.Locations); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if c, err = config.Parse("r.yaml", []byte(text), config.Options{WithoutSecrets: true}); err != nil || c.Locations != nil {
		t.Errorf("places that nobody asked for: %v, %v", c.Locations, err)
	}
}
