package preflight

import (
	"slices"
	"strings"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

const (
	lookItUp  = "look its id up with docspace-router rooms"
	giveWrite = "make the gateway's account content creator or room manager there"
)

// judge holds the rules against what was looked up.
func (c *check) judge() {
	for i := range c.rules {
		r := &c.rules[i]
		if r.Disabled {
			continue
		}
		for j := range r.Routes {
			route := &r.Routes[j]
			switch route.SourceKind {
			case rules.TagSource, rules.TitleSource:
				c.pattern(r, route, r.Sources[j])
			default:
				if s := c.at(r, route.Source, r.Sources[j]); s != nil {
					c.source(r, route, s, r.Sources[j])
				}
			}
			if s := c.at(r, route.Destination, r.Destinations[j]); s != nil {
				c.destination(r, s, r.Destinations[j])
				c.inside(r, route, s, r.Destinations[j])
			}
		}
	}
}

// at returns the folder that an id stands for, or reports that there is none.
func (c *check) at(r *ruleHere, id event.ID, where config.Location) *spot {
	s := c.places[id]
	switch {
	case s == nil || !s.asked: // which has been reported or noted
	case s.trouble != nil:
		c.add(Error, r, where, lookItUp, "what %s is could not be learned: %v", id, s.trouble)
	case s.found():
		return s
	case s.hidden:
		c.add(Error, r, where, "give the account a role in that room", "the gateway's account may not read %s", id)
	case s.isFile:
		c.add(Error, r, where, "name a room or folder, such as the one the file lies in", "there is no room or folder %s, only a file of that number", id)
	default:
		c.add(Error, r, where, lookItUp, "there is no room or folder %s", id)
	}
	return nil
}

// section names the part of the portal that a folder is the root of, or "".
func section(s *spot) string {
	if len(s.path) != 1 || s.folder.IsRoom() {
		return ""
	}
	switch s.folder.RootType {
	case sectionRooms:
		return "the list of all rooms"
	case sectionArchive:
		return "the archive"
	case sectionTrash:
		return "the trash"
	}
	return ""
}

func (c *check) source(r *ruleHere, route *rules.Route, s *spot, where config.Location) {
	switch whole := section(s); {
	case whole != "":
		c.add(Error, r, where, `name rooms, or write room_title: "*" for all of them`, "%s is %s, which holds rooms and no files", s.id, whole)
		return
	case s.folder.RootType == sectionTrash:
		c.add(Warning, r, where, "restore it, or remove it from the rule", "%s lies in the trash", s)
		return
	case s.folder.RootType == sectionArchive:
		c.add(Warning, r, where, "bring the room back, or remove it from the rule", "%s is archived: nothing can be uploaded to it", s)
		return
	}
	if route.SourceKind == rules.RoomSource && !s.folder.IsRoom() {
		c.add(Warning, r, where, "write folder in place of room, or name the room", "%s is a folder, and no room%s", s, inRoom(s))
	}
	if room := s.room(); room != nil {
		rights := room.Security
		if rights == nil { // the path does not tell
			rights = s.folder.Security
		}
		if trouble, hint := cannotLeave(r.Action, rights); trouble != "" {
			c.add(Error, r, where, hint, "the gateway's account may not %s %s", trouble, named(*room))
		}
	}
}

func inRoom(s *spot) string {
	if room := s.room(); room != nil {
		return ": the room it lies in is " + named(*room)
	}
	return ""
}

// cannotLeave says why an action cannot take files out of a room, by the rights that DocSpace
// grants there, and what helps.
func cannotLeave(action event.Action, rights map[string]bool) (trouble, hint string) {
	switch {
	case denied(rights, "Read"):
		return "read", "give it a role in the room"
	case denied(rights, "Copy", "Download"):
		return "copy files out of", "give it a role in the room, which a portal administrator needs as well, and let the room permit downloads"
	case action == event.Move && denied(rights, "EditRoom", "Move"):
		return "move other people's files out of", "make it room manager there, or copy"
	}
	return "", ""
}

// denied reports whether the portal names at least one of the rights and grants none of them. A
// portal that names none leaves the question open.
func denied(rights map[string]bool, names ...string) bool {
	named := false
	for _, name := range names {
		granted, ok := rights[name]
		if granted {
			return false
		}
		named = named || ok
	}
	return named
}

func (c *check) destination(r *ruleHere, s *spot, where config.Location) {
	switch whole := section(s); {
	case whole != "":
		c.add(Error, r, where, "name a room or folder", "%s is %s, into which no files can be put", s.id, whole)
		return
	case s.folder.RootType == sectionTrash:
		c.add(Error, r, where, "restore it, or name another folder", "%s lies in the trash", s)
		return
	case s.folder.RootType == sectionArchive:
		c.add(Error, r, where, "bring the room back, or name another folder", "%s is archived", s)
		return
	}
	rights, right := s.folder.Security, "CopyTo"
	if r.Action == event.Move {
		right = "MoveTo"
	}
	switch {
	case denied(rights, right):
		c.add(Error, r, where, giveWrite, "the gateway's account may not %s files into %s", r.Action, s)
	case r.Spec.Path != "" && denied(rights, "Create"):
		c.add(Error, r, where, giveWrite, "the gateway's account may not create folders in %s", s)
	}
	if room := s.room(); room != nil && room.RoomType == roomForms {
		c.add(Warning, r, where, "name another room, or let the rule take forms only: file.is_form",
			"%s is a form filling room, which takes PDF forms, one at a time, and refuses everything else", named(*room))
	}
	if r.Spec.Path != "" {
		c.namesakes(r, s)
	}
}

// namesakes reports folders of one title, among which a path cannot choose.
func (c *check) namesakes(r *ruleHere, s *spot) {
	known := map[string]docspace.Folder{}
	for _, f := range s.folders {
		title := strings.ToLower(f.Title)
		if first, taken := known[title]; taken {
			c.add(Warning, r, r.Path, "rename or merge one of them",
				"%s holds two folders titled %q, %s and %s: a path of that name uses one of them", s, f.Title, first.ID, f.ID)
			return
		}
		known[title] = f
	}
}

// inside reports a destination that a rule would take files from as well. A condition may leave
// it out, which cannot be told.
func (c *check) inside(r *ruleHere, route *rules.Route, to *spot, where config.Location) {
	from := c.places[route.Source]
	if from == nil || !from.found() || r.When != "" || !route.Subfolders || !to.below(route.Source) {
		return
	}
	hint := "write subfolders: false, or leave it out with when"
	if route.SourceKind == rules.AnySource {
		hint = "make it a rule of its own with subfolders: false, or leave it out with when"
	}
	c.add(Warning, r, where, hint,
		"%s lies in the rule's own source %s: what people put there is taken and put there again", to, from)
}

// pattern checks a source that names rooms by tag or title.
func (c *check) pattern(r *ruleHere, route *rules.Route, where config.Location) {
	if c.rooms == nil {
		return // which has been noted
	}
	what := "title"
	if route.SourceKind == rules.TagSource {
		what = "tag"
	}
	fits := 0
	troubles := map[string][]string{}
	hints := map[string]string{}
	for _, room := range c.rooms {
		if route.SourceKind == rules.TagSource && !rules.HasTag(room.Tags, route.Pattern) ||
			route.SourceKind == rules.TitleSource && !rules.Glob(route.Pattern, room.Title) {
			continue
		}
		fits++
		if trouble, hint := cannotLeave(r.Action, room.Security); trouble != "" {
			troubles[trouble], hints[trouble] = append(troubles[trouble], named(room)), hint
		}
	}
	if fits == 0 {
		c.add(Warning, r, where, "compare with docspace-router rooms; rooms in which the account has no role do not count",
			"no room has the %s %q", what, route.Pattern)
	}
	words := make([]string, 0, len(troubles))
	for word := range troubles {
		words = append(words, word)
	}
	slices.Sort(words)
	for _, word := range words {
		c.add(Error, r, where, hints[word], "the gateway's account may not %s %s", word, some(troubles[word]))
	}
}

// some names a few of a list.
func some(names []string) string {
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}
