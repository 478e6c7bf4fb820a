package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"docspace-router/internal/annotate"
	"docspace-router/internal/config"
	"docspace-router/internal/preflight"
)

// annotateFiles writes the titles that the portals told beside the ids in the rules files.
func annotateFiles(c *config.Config, path string, report preflight.Report) []annotated {
	notes, known := titleNotes(c, report)
	info, err := os.Stat(path)
	isDir := err == nil && info.IsDir()
	out := make([]annotated, 0, len(c.Files))
	for _, f := range c.Files {
		a := annotated{file: path}
		if isDir {
			a.file = filepath.Join(path, f.Name)
		}
		if len(notes[a.file]) > 0 && !known {
			a.err = errors.New("no portal told a title")
		} else {
			a.lines, a.err = annotateFile(a.file, f.Text, notes[a.file])
		}
		out = append(out, a)
	}
	return out
}

func annotateFile(path string, text []byte, notes []annotate.Note) (lines int, err error) {
	r, err := annotate.Text(text, notes)
	if err != nil {
		return 0, err
	}
	if r.Changed > 0 {
		if err := annotate.Write(path, text, r.Text); err != nil {
			return 0, err
		}
	}
	if len(r.Left) > 0 {
		return r.Changed, fmt.Errorf("titles are written in %s, but no comment fits behind line %d, where a quoted text goes on in the next line",
			count(r.Changed, "line"), r.Left[0])
	}
	return r.Changed, nil
}

// titleNotes are the titles of all ids, by the file in which the ids are written.
func titleNotes(c *config.Config, report preflight.Report) (notes map[string][]annotate.Note, known bool) {
	titles := map[string]preflight.Status{}
	for _, s := range report.Portals {
		titles[s.Portal] = s
		known = known || len(s.Titles) > 0
	}
	notes = map[string][]annotate.Note{}
	for i, r := range c.Rules.Rules() {
		at := c.Locations[i]
		for j, route := range r.Routes {
			for _, portal := range r.Portals {
				if route.Source != "" {
					p := at.Sources[j]
					notes[p.File] = append(notes[p.File], annotate.Note{Line: p.Line, Column: p.Column, Title: titles[portal].Titles[route.Source]})
				}
				p := at.Destinations[j]
				notes[p.File] = append(notes[p.File], annotate.Note{Line: p.Line, Column: p.Column, Title: titles[portal].Titles[route.Destination]})
			}
		}
	}
	return notes, known
}
