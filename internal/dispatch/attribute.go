package dispatch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/store"
)

// entry is a file or folder as an operation's result or a folder's listing shows it.
type entry struct {
	id, parent       event.ID
	title            string
	author, editor   string // ids of accounts
	created, updated time.Time
	version          int
	size             int64 // bytes
	form             bool  // a PDF form, which is a category of its own

	// Of a copied folder:
	partial bool   // it lacks something of its source
	lacks   string // what is wrong with it then, for people
	holds   int    // how many entries of its source it has, at any depth
	largest int64  // bytes of the largest file that it lacks
	over    bool   // nothing can be added to it any more
}

func fileEntry(f docspace.File) entry {
	return entry{
		id: f.ID, parent: f.FolderID, title: f.Title, author: f.CreatedBy.ID, editor: f.UpdatedBy.ID,
		created: f.Created, updated: f.Updated, version: f.Version, size: f.Size, form: f.IsForm,
	}
}

func folderEntry(f docspace.Folder) entry {
	return entry{id: f.ID, parent: f.ParentID, title: f.Title, author: f.CreatedBy.ID, created: f.Created, updated: f.Updated}
}

// replaces reports whether the entry is another than the one the transfer's event was about:
// it is younger than the event. DocSpace numbers a new file one above the highest number there
// is, so that the number of a file deleted for good can come back.
func (e entry) replaces(t store.Transfer) bool {
	return e.created.After(t.HappenedAt.Add(clockMargin / 2))
}

// madeBy reports whether an account can have made the entry, or changed it where the transfer
// overwrites. In connected third-party storage every entry is its owner's, and an unknown
// account proves nothing.
func (e entry) madeBy(account string, t store.Transfer) bool {
	switch {
	case account == "" || !t.Destination.IsNumber():
		return true
	case t.Action == event.Move && t.Conflict != event.Overwrite:
		return true // what is moved keeps its author
	case t.Conflict == event.Overwrite && t.Kind == event.Folder:
		return true // a merged folder keeps its author and has no editor
	case t.Conflict == event.Overwrite:
		return e.editor == account
	default:
		return e.author == account
	}
}

// find asks the portal for a transfer's entry as it is now.
func find(ctx context.Context, portal Portal, t store.Transfer) (entry, error) {
	if t.Kind == event.Folder {
		f, err := portal.Folder(ctx, t.EntryID)
		return folderEntry(f), err
	}
	f, err := portal.File(ctx, t.EntryID)
	return fileEntry(f), err
}

// sighting is what the portal says of a transfer's entry now.
type sighting struct {
	entry
	err error
}

// gone reports whether the entry has certainly ceased to exist.
func (s sighting) gone(t store.Transfer) bool {
	return docspace.IsGone(s.err) || s.err == nil && s.replaces(t)
}

// findAll asks the portal for the entries of many transfers, some at a time.
func findAll(ctx context.Context, portal Portal, transfers []store.Transfer) []sighting {
	all := make([]sighting, len(transfers))
	var group errgroup.Group
	group.SetLimit(8)
	for i, t := range transfers {
		group.Go(func() error {
			return guard.Call(func() error {
				all[i].entry, all[i].err = find(ctx, portal, t)
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		panic(err) // the job's own, which the queue repeats
	}
	return all
}

// entriesOf are the entries that an operation reports to have put into the destination. Among
// the folders DocSpace names the destination itself, and an operation that was cut short may
// still name its sources.
func entriesOf(o docspace.Operation, model store.Transfer) []entry {
	var all, made []entry
	if model.Kind == event.File {
		for _, f := range o.Files {
			all = append(all, fileEntry(f))
		}
	} else {
		for _, f := range o.Folders {
			all = append(all, folderEntry(f))
		}
	}
	for _, e := range all {
		itself := model.Kind == event.Folder && e.id == model.Destination // files are numbered apart
		if !itself && (e.parent == "" || e.parent == model.Destination) {
			made = append(made, e)
		}
	}
	return made
}

func pageEntries(page docspace.Contents, kind event.Kind) []entry {
	var out []entry
	if kind == event.Folder {
		for _, f := range page.Folders {
			out = append(out, folderEntry(f))
		}
		return out
	}
	for _, f := range page.Files {
		out = append(out, fileEntry(f))
	}
	return out
}

// attribute gives each entry to the transfer it belongs to: by id where the entry kept it, as
// a move does, and else by title, which no two transfers of an operation share.
func attribute(transfers []store.Transfer, entries []entry) map[int64]entry {
	credit := make(map[int64]entry, len(transfers))
	byID := make(map[event.ID]store.Transfer, len(transfers))
	byTitle := make(map[string]store.Transfer, len(transfers))
	for _, t := range transfers {
		byID[t.EntryID] = t
		byTitle[titleKey(t.Kind, t.Title)] = t
	}
	for _, e := range entries {
		t, same := byID[e.id]
		if same && t.Action == event.Copy && t.Conflict != event.Overwrite {
			continue // a copy has a number of its own
		}
		if !same {
			var ok bool
			if t, ok = byTitle[titleKey(transfers[0].Kind, e.title)]; !ok {
				continue
			}
			// Only a duplicate is given a counter: an entry with another title than the source's
			// was made by another operation.
			if t.Conflict != event.Duplicate && !strings.EqualFold(t.Title, e.title) {
				continue
			}
		}
		if _, taken := credit[t.ID]; !taken {
			credit[t.ID] = e
		}
	}
	return credit
}

// attributeRenamed attributes entries by the titles that the transfers' sources have now: one
// may have been renamed since its event.
func attributeRenamed(ctx context.Context, portal Portal, transfers []store.Transfer, entries []entry) map[int64]entry {
	if len(entries) == 0 {
		return nil
	}
	var renamed []store.Transfer
	for _, t := range transfers {
		if e, err := find(ctx, portal, t); err == nil && !e.replaces(t) && e.title != t.Title {
			t.Title = e.title
			renamed = append(renamed, t)
		}
	}
	if len(renamed) == 0 {
		return nil
	}
	return attribute(renamed, entries)
}

// leftOver are the entries that no transfer was credited with.
func leftOver(entries []entry, credit map[int64]entry) []entry {
	used := ids(slices.Collect(maps.Values(credit)))
	return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return used[e.id] })
}

// ids is the set of the ids of entries.
func ids(entries []entry) map[event.ID]bool {
	set := make(map[event.ID]bool, len(entries))
	for _, e := range entries {
		set[e.id] = true
	}
	return set
}
