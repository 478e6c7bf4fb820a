package dispatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// entry is a file or folder as an operation's result or a folder's listing shows it.
type entry struct {
	id               event.ID
	title            string
	author           string
	editor           string
	created, updated time.Time
}

func fileEntry(f docspace.File) entry {
	return entry{id: f.ID, title: f.Title, author: f.CreatedBy.ID, editor: f.UpdatedBy.ID, created: f.Created, updated: f.Updated}
}

func folderEntry(f docspace.Folder) entry {
	return entry{id: f.ID, title: f.Title, author: f.CreatedBy.ID, editor: f.CreatedBy.ID, created: f.Created, updated: f.Updated}
}

// entriesOf are the entries an operation reports to have made. Among the folders DocSpace
// names the destination itself.
func entriesOf(o docspace.Operation, model store.Transfer) []entry {
	var out []entry
	if model.Kind == event.File {
		for _, f := range o.Files {
			out = append(out, fileEntry(f))
		}
		return out
	}
	for _, f := range o.Folders {
		if f.ID != model.Destination {
			out = append(out, folderEntry(f))
		}
	}
	return out
}

// attribute gives each reported entry to the transfer it belongs to: by id where the entry
// kept it, as a move does, and else by title, which no two transfers of an operation share.
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
		if same && t.Action == event.Copy {
			continue // an unfinished copy may name its sources
		}
		if !same {
			var ok bool
			if t, ok = byTitle[titleKey(transfers[0].Kind, e.title)]; !ok {
				continue
			}
		}
		if _, taken := credit[t.ID]; !taken {
			credit[t.ID] = e
		}
	}
	return credit
}

// look asks the portal which of an operation's transfers have arrived.
func (d *Dispatcher) look(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer) (map[int64]entry, error) {
	if transfers[0].Action == event.Move {
		return d.lookForMoved(ctx, portal, op, transfers)
	}
	return d.lookForCopies(ctx, portal, op, transfers)
}

// lookForMoved asks each entry where it lies now. One that was moved onto another of its
// title with overwrite no longer exists; the other one is its result.
func (d *Dispatcher) lookForMoved(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer) (map[int64]entry, error) {
	credit := map[int64]entry{}
	var vanished []store.Transfer
	for _, t := range transfers {
		e, parent, err := whereIs(ctx, portal, t)
		switch {
		case docspace.IsGone(err):
			vanished = append(vanished, t)
		case docspace.IsForbidden(err):
			// It lies where the account may not see it, so it is not in the destination.
		case err != nil:
			return nil, err
		case parent == t.Destination:
			credit[t.ID] = e
		}
	}
	if len(vanished) > 0 && vanished[0].Conflict == event.Overwrite {
		found, err := d.lookForCopies(ctx, portal, op, vanished)
		if err != nil {
			return nil, err
		}
		for id, e := range found {
			credit[id] = e
		}
	}
	return credit, nil
}

func whereIs(ctx context.Context, portal Portal, t store.Transfer) (e entry, parent event.ID, err error) {
	if t.Kind == event.Folder {
		f, err := portal.Folder(ctx, t.EntryID)
		return folderEntry(f), f.ParentID, err
	}
	f, err := portal.File(ctx, t.EntryID)
	return fileEntry(f), f.FolderID, err
}

// lookForCopies looks in the destination for entries of the transfers' titles that the
// gateway's account has made since the operation began and that are not yet known as the
// result of another transfer.
func (d *Dispatcher) lookForCopies(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer) (map[int64]entry, error) {
	self, err := portal.Self(ctx)
	if err != nil && !docspace.IsForbidden(err) && !docspace.IsCredentials(err) {
		return nil, fmt.Errorf("find out the gateway's own account: %w", err)
	}
	model := transfers[0]
	since := op.StartedAt.Add(-d.o.ClockSkew)
	recent, err := d.recentEntries(ctx, portal, model, since)
	if err != nil {
		return nil, err
	}
	overwrites := model.Conflict == event.Overwrite
	var mine []entry
	var ids []event.ID
	for _, e := range recent {
		made := e.author
		if overwrites {
			made = e.editor
		}
		if self.ID == "" || made == self.ID {
			mine = append(mine, e)
			ids = append(ids, e.id)
		}
	}
	taken := map[event.ID]bool{}
	if !overwrites { // a file that is overwritten is rightly the result of many transfers
		if taken, err = d.o.Store.TakenResults(ctx, op.Portal, ids); err != nil {
			return nil, err
		}
	}
	var free []entry
	for _, e := range mine {
		if !taken[e.id] {
			free = append(free, e)
		}
	}
	credit := attribute(transfers, free)
	if len(credit) < len(transfers) && len(credit) < len(free) {
		// Entries are left over: a source may have been renamed since its event.
		renamed := currentTitles(ctx, portal, without(transfers, credit))
		for id, e := range attribute(renamed, leftOver(free, credit)) {
			credit[id] = e
		}
	}
	return credit, nil
}

// currentTitles returns the transfers with the titles their entries have now.
func currentTitles(ctx context.Context, portal Portal, transfers []store.Transfer) []store.Transfer {
	out := make([]store.Transfer, len(transfers))
	for i, t := range transfers {
		// An id can be given to another file after the newest one was deleted for good; such
		// a file is younger than the event and not the one that was meant.
		if e, _, err := whereIs(ctx, portal, t); err == nil && !e.created.After(t.HappenedAt.Add(time.Second)) {
			t.Title = e.title
		}
		out[i] = t
	}
	return out
}

func leftOver(entries []entry, credit map[int64]entry) []entry {
	used := make(map[event.ID]bool, len(credit))
	for _, e := range credit {
		used[e.id] = true
	}
	var rest []entry
	for _, e := range entries {
		if !used[e.id] {
			rest = append(rest, e)
		}
	}
	return rest
}

// recentEntries lists what was made, or with overwrite changed, in a transfer's destination
// since a moment, newest first.
func (d *Dispatcher) recentEntries(ctx context.Context, portal Portal, model store.Transfer, since time.Time) ([]entry, error) {
	order := docspace.ByCreated
	if model.Conflict == event.Overwrite {
		order = docspace.ByUpdated
	}
	var out []entry
	for start := 0; ; {
		page, err := portal.Contents(ctx, model.Destination, docspace.ContentsQuery{SortBy: order, Descending: true, Start: start})
		if err != nil {
			return nil, err
		}
		got := len(page.Files) + len(page.Folders)
		start += got
		entries := pageEntries(page, model.Kind)
		older := false
		for _, e := range entries {
			at := e.created
			if order == docspace.ByUpdated {
				at = e.updated
			}
			if at.Before(since) {
				older = true
				continue
			}
			out = append(out, e)
		}
		// Folders come before files over all pages, so a page without an entry of our kind is
		// no reason to stop looking for files, but is the end of the folders.
		if got == 0 || older || start >= page.Total || model.Kind == event.Folder && len(page.Folders) == 0 {
			return out, nil
		}
	}
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

// titlesIn lists the titles of a transfer's kind in its destination, in lower case, as
// DocSpace compares them.
func titlesIn(ctx context.Context, portal Portal, t store.Transfer) (map[string]bool, error) {
	titles := map[string]bool{}
	for start := 0; ; {
		page, err := portal.Contents(ctx, t.Destination, docspace.ContentsQuery{SortBy: docspace.ByTitle, Start: start})
		if err != nil {
			return nil, err
		}
		for _, e := range pageEntries(page, t.Kind) {
			titles[strings.ToLower(e.title)] = true
		}
		got := len(page.Files) + len(page.Folders)
		if start += got; got == 0 || start >= page.Total {
			return titles, nil
		}
	}
}
