package backfill

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// Refusal is a request that cannot be done, in words for whoever made it.
type Refusal struct{ text string }

func (r *Refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// subject is what a backfill is about: a rule as it is at this moment.
type subject struct {
	snap   routing.Snapshot
	rule   rules.Info
	portal string
	// The triggers as which entries are presented; "" where the rule is not about such entries.
	file, folder string
	// ownFile and ownFolder are those of entries that the gateway itself put there.
	ownFile, ownFolder string
	destinations       map[event.ID]bool
}

// arrivals are the triggers as which an entry is presented, the likeliest first.
var arrivals = map[event.Kind][]string{
	event.File:   {"file.uploaded", "file.created", "file.copied", "file.moved", "file.restored", "file.updated"},
	event.Folder: {"folder.created", "folder.copied", "folder.moved", "folder.restored", "folder.updated"},
}

func newSubject(snap routing.Snapshot, rule, portal string) (*subject, error) {
	all := snap.Rules.Rules()
	at := slices.IndexFunc(all, func(r rules.Info) bool { return r.Name == rule })
	if at < 0 {
		return nil, refuse("there is no rule %q%s", rule, nearest(rule, all))
	}
	s := &subject{snap: snap, rule: all[at], portal: portal, destinations: map[event.ID]bool{}}
	switch {
	case s.rule.Disabled:
		return nil, refuse("rule %s is disabled: enable it in the rules file first", rule)
	case portal == "" && len(s.rule.Portals) > 1:
		return nil, refuse("rule %s is for several portals: say which, one of %s", rule, strings.Join(s.rule.Portals, ", "))
	case portal == "":
		s.portal = s.rule.Portals[0]
	case !slices.Contains(s.rule.Portals, portal):
		return nil, refuse("rule %s is not for portal %s, only for %s", rule, portal, strings.Join(s.rule.Portals, ", "))
	}
	s.file, s.ownFile = s.arrival(event.File)
	s.folder, s.ownFolder = s.arrival(event.Folder)
	if s.file == "" && s.folder == "" {
		return nil, refuse("rule %s is about %s, and of a file that lies there nobody can tell whether it was submitted as a form: "+
			"a backfill needs a rule with a trigger such as file.uploaded or folder.created", rule, strings.Join(s.rule.Triggers, ", "))
	}
	for _, r := range s.rule.Routes {
		s.destinations[r.Destination] = true
	}
	return s, nil
}

// nearest suggests what a misspelt name may have meant.
func nearest(name string, all []rules.Info) string {
	best, distance := "", 4
	for _, r := range all {
		if d := levenshtein.Distance(name, r.Name, nil); d < distance {
			best, distance = r.Name, d
		}
	}
	if best == "" {
		return " in the rules in use"
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// arrival returns the trigger as which an entry of a kind is presented, and the one for what the
// gateway itself put there, which only rules with own_events want.
func (s *subject) arrival(kind event.Kind) (trigger, own string) {
	for _, t := range arrivals[kind] {
		if !slices.Contains(s.rule.Triggers, t) {
			continue
		}
		if trigger == "" {
			trigger = t
		}
		if own == "" && s.rule.OwnEvents && event.OwnWork(t) && t != event.FolderCreated {
			own = t
		}
	}
	return trigger, own
}

// triggers are those as which an entry of a kind is presented.
func (s *subject) triggers(kind event.Kind) (trigger, own string) {
	if kind == event.Folder {
		return s.folder, s.ownFolder
	}
	return s.file, s.ownFile
}

// sources lists the folders that a walk begins with: those the rule names, or of them the wanted
// ones. Rooms that the rule names by tag or title are looked up.
func (s *subject) sources(ctx context.Context, portal Portal, wanted []string) ([]store.BackfillFolder, error) {
	var folders []store.BackfillFolder
	add := func(id event.ID, deep bool) {
		if !slices.ContainsFunc(folders, func(f store.BackfillFolder) bool { return f.Folder == id }) {
			folders = append(folders, store.BackfillFolder{Folder: id, Deep: deep})
		}
	}
	var rooms []docspace.Folder
	for _, r := range s.rule.Routes {
		if r.SourceKind != rules.TagSource && r.SourceKind != rules.TitleSource {
			add(r.Source, r.Subfolders)
			continue
		}
		if rooms == nil {
			var err error
			if rooms, err = portal.Rooms(ctx); err != nil {
				return nil, fmt.Errorf("list the rooms of portal %s: %w", s.portal, err)
			}
		}
		for _, room := range rooms {
			if fits(r, room) {
				add(room.ID, r.Subfolders)
			}
		}
	}
	if len(folders) == 0 {
		return nil, refuse("rule %s has no source: no room that the gateway's account may see fits it", s.rule.Name)
	}
	if len(wanted) == 0 {
		return folders, nil
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(folders, func(f store.BackfillFolder) bool { return string(f.Folder) == w }) {
			return nil, refuse("%s is no source of rule %s, which has %s", w, s.rule.Name, idList(folders))
		}
	}
	return slices.DeleteFunc(folders, func(f store.BackfillFolder) bool { return !slices.Contains(wanted, string(f.Folder)) }), nil
}

// fits reports whether a room is one that a route names by tag or title.
func fits(r rules.Route, room docspace.Folder) bool {
	if r.SourceKind == rules.TitleSource {
		return rules.Glob(r.Pattern, room.Title)
	}
	return slices.ContainsFunc(room.Tags, func(tag string) bool { return strings.EqualFold(tag, r.Pattern) })
}

// idList names a few sources.
func idList(folders []store.BackfillFolder) string {
	const few = 20
	var ids []string
	for i, f := range folders {
		if i == few {
			ids = append(ids, fmt.Sprintf("… and %d more", len(folders)-few))
			break
		}
		ids = append(ids, string(f.Folder))
	}
	return strings.Join(ids, ", ")
}
