package config

import "gopkg.in/yaml.v3"

// Location is where something is written, and what it is: its path, as in rules[3].source.room.
type Location struct {
	Position
	Path string
}

// Problem is what is wrong at the place.
func (p Location) Problem(message, hint string) Problem {
	return Problem{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Message: message, Hint: hint}
}

// RuleLocations says where a rule is written. What a rule takes from the file's defaults is written
// there, and what stands for an alias is written at its anchor.
type RuleLocations struct {
	Rule         Location
	Sources      []Location // what each route names as its source: an id, a tag or a title
	Destinations []Location // the id of the folder that each route leads to
	Path         Location   // destination.path; without a line where there is none
}

// keep notes where something of a rule is written.
func (w *written) keep(into *[]Location, n *yaml.Node, path string) {
	if w.doc.options.Locations {
		*into = append(*into, Location{w.doc.at(n), path})
	}
}

// locationsOf is asked for rules without mistakes, of which everything has its place.
func locationsOf(all []written) []RuleLocations {
	out := make([]RuleLocations, len(all))
	for i := range all {
		w := &all[i]
		p := RuleLocations{Rule: Location{w.doc.at(w.rule), w.path}, Sources: w.sourcePlaces, Destinations: w.destinationPlaces}
		if len(p.Destinations) == 1 {
			one := p.Destinations[0]
			p.Destinations = make([]Location, len(p.Sources))
			for j := range p.Destinations {
				p.Destinations[j] = one
			}
		}
		if len(w.pathPlaces) == 1 {
			p.Path = w.pathPlaces[0]
		}
		out[i] = p
	}
	return out
}
