// Package rooms lists a portal's rooms, and the folders in them, for people who write rules: with
// the ids, types and tags that rules name. It reads, and it stops at a depth and a number of
// folders, because a portal may have millions.
package rooms

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// Portal is the part of a portal that is asked.
type Portal interface {
	Rooms(ctx context.Context) ([]docspace.Folder, error)
	Contents(ctx context.Context, folder event.ID, q docspace.ContentsQuery) (docspace.Contents, error)
}

// Options say what is listed.
type Options struct {
	// Filter keeps the rooms whose title or one of whose tags contains it, ignoring case, or whose
	// id it is. Empty: all.
	Filter string
	// Depth is how many levels of folders below each room are listed; 0: none.
	Depth int
	// MaxFolders bounds the folders of all rooms together; default 2000.
	MaxFolders int
	// Progress is told how many folders have been found so far, never by two calls at a time; nil:
	// nobody is.
	Progress func(folders int)
}

// List is what a portal has, sorted by title.
type List struct {
	Rooms []Room
	// Cut says that there are more folders than were listed; Deeper that there may be more below
	// those at the last level.
	Cut, Deeper bool
	// Unread are folders whose contents could not be read, with the reason.
	Unread []string
}

// Room is a room as rules see it.
type Room struct {
	ID      event.ID
	Title   string
	Type    string // a word that conditions know, or DocSpace's number where there is none
	Tags    []string
	Folders []Folder
}

// Folder is a folder in a room.
type Folder struct {
	ID      event.ID
	Title   string
	Folders []Folder
}

const (
	maxFolders = 2000
	parallel   = 8 // requests at once; the client keeps the portal's limits besides
)

// Read lists a portal's rooms. An error is about the rooms themselves; folders that cannot be read
// are among List.Unread.
func Read(ctx context.Context, p Portal, o Options) (List, error) {
	o.MaxFolders = cmp.Or(o.MaxFolders, maxFolders)
	found, err := p.Rooms(ctx)
	if err != nil {
		return List{}, err
	}
	var list List
	for _, room := range found {
		r := Room{ID: room.ID, Title: Line(room.Title), Type: typeName(room.RoomType), Tags: []string{}}
		for _, tag := range room.Tags {
			r.Tags = append(r.Tags, Line(tag))
		}
		slices.Sort(r.Tags)
		if r.fits(o.Filter) {
			list.Rooms = append(list.Rooms, r)
		}
	}
	slices.SortStableFunc(list.Rooms, func(a, b Room) int { return byTitle(a.Title, b.Title, a.ID, b.ID) })
	if o.Depth > 0 {
		err = list.descend(ctx, p, o)
	}
	return list, err
}

func (r *Room) fits(filter string) bool {
	part := strings.ToLower(filter)
	return part == "" || string(r.ID) == filter || strings.Contains(strings.ToLower(r.Title), part) ||
		slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.Contains(strings.ToLower(tag), part) })
}

func typeName(number int) string { return cmp.Or(rules.RoomType(number), fmt.Sprint(number)) }

func byTitle(a, b string, aID, bID event.ID) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(len(aID), len(bID)), cmp.Compare(aID, bID))
}

// branch is a folder or room whose folders are to be found.
type branch struct {
	id   event.ID
	into *[]Folder
	path string
}

// descend reads folders level by level, so that a bound on their number cuts depth and not
// whole rooms.
func (l *List) descend(ctx context.Context, p Portal, o Options) error {
	level := make([]branch, 0, len(l.Rooms))
	for i := range l.Rooms {
		r := &l.Rooms[i]
		level = append(level, branch{r.ID, &r.Folders, r.Title})
	}
	left := o.MaxFolders
	for depth := 1; len(level) > 0; depth++ {
		if depth > o.Depth {
			l.Deeper = true
			return nil
		}
		var next []branch
		// In portions, so that the bound is kept without asking for much in vain.
		for portion := range slices.Chunk(level, parallel) {
			if left == 0 {
				l.Cut = true
				return nil
			}
			answers, err := readFolders(ctx, p, portion, left)
			if err != nil {
				return err
			}
			for i, b := range portion {
				if answers[i].err != nil {
					l.Unread = append(l.Unread, fmt.Sprintf("%s (%s): %v", b.path, b.id, answers[i].err))
					continue
				}
				folders := answers[i].folders
				if len(folders) > left || answers[i].more {
					folders, l.Cut = folders[:min(left, len(folders))], true
				}
				left -= len(folders)
				*b.into = folders
				for j := range folders {
					next = append(next, branch{folders[j].ID, &folders[j].Folders, b.path + "/" + folders[j].Title})
				}
			}
			if o.Progress != nil {
				o.Progress(o.MaxFolders - left)
			}
		}
		level = next
	}
	return nil
}

type answer struct {
	folders []Folder
	more    bool
	err     error
}

// readFolders reads the folders of several at once. Its error is the end of ctx, or a portal that
// is down: of these one word is enough.
func readFolders(ctx context.Context, p Portal, portion []branch, most int) ([]answer, error) {
	answers := make([]answer, len(portion))
	var g errgroup.Group
	for i := range portion {
		g.Go(func() error {
			a := &answers[i]
			a.folders, a.more, a.err = foldersOf(ctx, p, portion[i].id, most)
			if a.err != nil && (ctx.Err() != nil || docspace.IsPortalDown(a.err) || docspace.IsCredentials(a.err)) {
				return a.err
			}
			return nil
		})
	}
	return answers, g.Wait()
}

// foldersOf reads pages until the files begin: folders come before them.
func foldersOf(ctx context.Context, p Portal, id event.ID, most int) (folders []Folder, more bool, err error) {
	const page = 100
	for start := 0; ; start += page {
		c, err := p.Contents(ctx, id, docspace.ContentsQuery{Start: start, Count: page})
		if err != nil {
			return nil, false, err
		}
		for _, f := range c.Folders {
			folders = append(folders, Folder{ID: f.ID, Title: Line(f.Title)})
		}
		if len(c.Folders) == 0 || len(c.Files) > 0 || start+page >= c.Total {
			break
		}
		if len(folders) >= most {
			more = true
			break
		}
	}
	slices.SortStableFunc(folders, func(a, b Folder) int { return byTitle(a.Title, b.Title, a.ID, b.ID) })
	return folders, more, nil
}

// Line makes a title one line that a terminal shows as it is: titles come from anybody.
func Line(title string) string {
	return strings.Join(strings.FieldsFunc(title, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r)
	}), " ")
}
