package preflight

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// DocSpace's numbers of sections.
const (
	sectionTrash   = 3
	sectionArchive = 20
	sectionRooms   = 14
)

// roomForms is DocSpace's number of form filling rooms.
const roomForms = 1

// spot is what an id in the rules stands for on the portal.
type spot struct {
	id      event.ID
	asked   bool              // whether the portal was asked for it
	folder  docspace.Folder   // without an id where it could not be read
	path    []docspace.Folder // from the section down to the folder itself
	isFile  bool
	hidden  bool  // the account may not read it
	trouble error // the portal did not say what it is

	folders []docspace.Folder // directly in it, when a rule files by path
}

func (s *spot) found() bool { return s.folder.ID != "" }

// room is the room it lies in, or is; nil outside of rooms.
func (s *spot) room() *docspace.Folder {
	for i := range s.path {
		if s.path[i].IsRoom() {
			return &s.path[i]
		}
	}
	return nil
}

// below reports whether it lies somewhere in another folder.
func (s *spot) below(id event.ID) bool {
	for _, f := range s.path {
		if f.ID == id {
			return s.id != id
		}
	}
	return false
}

// String names it for people, as in "Client Alpha" (539564).
func (s *spot) String() string { return named(s.folder) }

func named(f docspace.Folder) string { return fmt.Sprintf("%q (%s)", f.Title, f.ID) }

// lookUp asks for every id that the rules name, once.
func (c *check) lookUp(ctx context.Context) error {
	if !c.allowed("files", "read") {
		c.note("ids are not checked: the key has no files:read")
		return nil
	}
	byPath := map[event.ID]bool{}
	for i := range c.rules {
		r := &c.rules[i]
		for j := range r.Routes {
			route := &r.Routes[j]
			for _, id := range []event.ID{route.Source, route.Destination} {
				if id != "" && c.places[id] == nil {
					c.places[id] = &spot{id: id}
				}
			}
			byPath[route.Destination] = byPath[route.Destination] || r.Spec.Path != "" && !r.Disabled
		}
	}
	c.progress.add(0, len(c.places))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for id, s := range c.places {
		g.Go(func() error {
			err := s.read(ctx, c.portal, byPath[id])
			if err != nil && lost(ctx, err) {
				return fmt.Errorf("look up %s: %w", id, err)
			}
			s.asked, s.trouble = true, err
			c.progress.add(1, 0)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for id, s := range c.places {
		if s.found() {
			c.status.Titles[id] = s.folder.Title
		}
	}
	return nil
}

// read learns what the id stands for. Its error is none about the id.
func (s *spot) read(ctx context.Context, p Portal, withFolders bool) error {
	path, err := p.FolderPath(ctx, s.id)
	switch {
	case docspace.IsForbidden(err):
		s.hidden = true
		return nil
	case docspace.IsGone(err):
		// Files are numbered apart, so that this is a guess where an id is free among folders.
		_, err := p.File(ctx, s.id)
		s.isFile = err == nil
		if docspace.IsGone(err) || docspace.IsForbidden(err) {
			return nil
		}
		return err
	case err != nil:
		return err
	}
	s.path = path
	if n := len(path); n > 0 && path[n-1].ID == s.id && path[n-1].Security != nil {
		s.folder = path[n-1]
	} else {
		switch s.folder, err = p.Folder(ctx, s.id); {
		case docspace.IsForbidden(err), docspace.IsGone(err):
			s.hidden = true
			return nil
		case err != nil:
			return err
		}
		if n == 0 || path[n-1].ID != s.id {
			s.path = append(path, s.folder)
		}
	}
	if withFolders {
		s.folders, err = p.Subfolders(ctx, s.id)
		if docspace.IsForbidden(err) || docspace.IsGone(err) {
			err = nil
		}
	}
	return err
}

// lookUpRooms lists the rooms when a rule names them by tag or title.
func (c *check) lookUpRooms(ctx context.Context) error {
	wanted := false
	for i := range c.rules {
		for j := range c.rules[i].Routes {
			kind := c.rules[i].Routes[j].SourceKind
			wanted = wanted || !c.rules[i].Disabled && (kind == rules.TagSource || kind == rules.TitleSource)
		}
	}
	if !wanted {
		return nil
	}
	if !c.allowed("rooms", "read") {
		c.note("rooms that rules name by tag or title are not checked: the key has no rooms:read")
		return nil
	}
	found, err := c.portal.Rooms(ctx)
	if err != nil {
		return err
	}
	c.rooms = append([]docspace.Folder{}, found...) // not nil: they are known
	return nil
}
