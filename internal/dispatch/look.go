package dispatch

import (
	"context"
	"fmt"
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

// clockMargin is how far a portal's clock may be from where its answers' whole seconds put it.
const clockMargin = 2 * time.Second

// look asks the portal which of an operation's transfers have arrived. Entries in used are
// known to be something else.
func (d *Dispatcher) look(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer, used map[event.ID]bool) (map[int64]entry, error) {
	ctx, span := d.verify(ctx, transfers)
	defer span.End()
	if transfers[0].Action == event.Move {
		return d.lookForMoved(ctx, portal, op, transfers, used)
	}
	if t := transfers[0]; completes(t) { // and so it is alone
		c, err := d.compare(ctx, portal, op, t, t.ResultID)
		return map[int64]entry{t.ID: c.entry(t)}, err
	}
	return d.lookForCopies(ctx, portal, op, transfers, used)
}

// lookForMoved asks each entry where it lies now. One that no longer exists may have become
// another: it was moved onto one of its title, or to storage of another kind.
func (d *Dispatcher) lookForMoved(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer, used map[event.ID]bool) (map[int64]entry, error) {
	credit := map[int64]entry{}
	var vanished []store.Transfer
	for i, e := range findAll(ctx, portal, transfers) {
		switch t := transfers[i]; {
		case docspace.IsGone(e.err):
			vanished = append(vanished, t)
		case docspace.IsForbidden(e.err):
			// It lies where the account may not see it, so it is not in the destination.
		case e.err != nil:
			return nil, e.err
		case e.parent == t.Destination && !e.replaces(t):
			credit[t.ID] = e.entry
		}
	}
	if len(vanished) == 0 {
		return credit, nil
	}
	kind := vanished[0].Kind
	switch numbers := vanished[0].Destination.IsNumber() && !slices.ContainsFunc(vanished, func(t store.Transfer) bool { return !t.EntryID.IsNumber() }); {
	case kind == event.Folder && vanished[0].Conflict != event.Duplicate, !numbers:
		// Dates and author stay what they were, so that only the title tells.
		found, err := d.unknownTitled(ctx, portal, op, vanished, used)
		if err != nil {
			return nil, err
		}
		merge(credit, found)
	case vanished[0].Conflict == event.Overwrite:
		found, err := d.lookForCopies(ctx, portal, op, vanished, used)
		if err != nil {
			return nil, err
		}
		merge(credit, found)
	}
	return credit, nil
}

// unknownTitled finds entries in the destination that have the transfers' titles and, unless they
// were merged with, are not yet known as results.
func (d *Dispatcher) unknownTitled(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer, used map[event.ID]bool) (map[int64]entry, error) {
	held, err := titlesIn(ctx, portal, transfers[0])
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, t := range transfers {
		all = append(all, held[strings.ToLower(t.Title)]...)
	}
	known := map[event.ID]int{}
	if transfers[0].Kind == event.File {
		if known, err = d.o.Store.KnownResults(ctx, op.Portal, event.File, slices.Collect(maps.Keys(ids(all)))); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(e entry) bool {
		_, taken := known[e.id]
		return used[e.id] || taken && transfers[0].Conflict != event.Overwrite
	})
	return attribute(transfers, all), nil
}

// lookForCopies looks in the destination for entries of the transfers' titles that the
// gateway's account has made since they were first sent, and that are not yet known as the
// result of another transfer.
func (d *Dispatcher) lookForCopies(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer, used map[event.ID]bool) (map[int64]entry, error) {
	if transfers[0].Kind == event.Folder && transfers[0].Action == event.Copy && transfers[0].Conflict != event.Duplicate {
		// It may have been merged with a folder that was there before.
		credit, err := d.unknownTitled(ctx, portal, op, transfers, nil)
		if err != nil {
			return nil, err
		}
		return credit, d.inspect(ctx, portal, op, transfers, credit)
	}
	self, err := portal.Self(ctx)
	if err != nil && !docspace.IsForbidden(err) && !docspace.IsCredentials(err) {
		return nil, fmt.Errorf("find out the gateway's own account: %w", err)
	}
	offset, err := portal.Clock(ctx)
	if err != nil {
		return nil, err
	}
	since := op.StartedAt
	for _, t := range transfers {
		if !t.SentAt.IsZero() && t.SentAt.Before(since) {
			since = t.SentAt
		}
	}
	since = since.Add(offset - clockMargin)
	recent, err := d.recentEntries(ctx, portal, transfers[0], since)
	if err != nil {
		return nil, err
	}
	known, err := d.o.Store.KnownResults(ctx, op.Portal, transfers[0].Kind, slices.Collect(maps.Keys(ids(recent))))
	if err != nil {
		return nil, err
	}
	var free []entry
	for _, e := range recent {
		version, taken := known[e.id]
		// A file that is overwritten is rightly the result of several transfers.
		newer := transfers[0].Conflict == event.Overwrite && e.version > version
		switch {
		case used[e.id], taken && !newer:
		case !e.madeBy(self.ID, transfers[0]):
		default:
			free = append(free, e)
		}
	}
	credit := attribute(transfers, free)
	if len(credit) < len(transfers) && len(credit) < len(free) {
		merge(credit, attributeRenamed(ctx, portal, without(transfers, credit), leftOver(free, credit)))
	}
	if transfers[0].Kind == event.Folder && transfers[0].Action == event.Copy {
		if err := d.inspect(ctx, portal, op, transfers, credit); err != nil {
			return nil, err
		}
	}
	return credit, nil
}

// recentEntries lists what was made, or with overwrite changed, in a transfer's destination
// since a moment.
func (d *Dispatcher) recentEntries(ctx context.Context, portal Portal, model store.Transfer, since time.Time) ([]entry, error) {
	order := docspace.ByCreated
	if model.Conflict == event.Overwrite {
		order = docspace.ByUpdated
	}
	var out []entry
	err := pages(ctx, portal, model.Destination, order, func(page docspace.Contents) (more bool) {
		more = true
		for _, e := range pageEntries(page, model.Kind) {
			at := e.created
			if order == docspace.ByUpdated {
				at = e.updated
			}
			if at.Before(since) {
				more = false
				continue
			}
			out = append(out, e)
		}
		// Folders come before files over all pages, so a page without a folder ends them.
		return more && (model.Kind == event.File || len(page.Folders) > 0)
	})
	return out, err
}

// titlesIn lists the entries of a transfer's kind in its destination by their titles in lower
// case, as DocSpace compares them.
func titlesIn(ctx context.Context, portal Portal, t store.Transfer) (map[string][]entry, error) {
	titles := map[string][]entry{}
	err := pages(ctx, portal, t.Destination, docspace.ByTitle, func(page docspace.Contents) bool {
		for _, e := range pageEntries(page, t.Kind) {
			key := strings.ToLower(e.title)
			titles[key] = append(titles[key], e)
		}
		return true
	})
	return titles, err
}

// inspect compares copied folders with their sources, some at a time.
func (d *Dispatcher) inspect(ctx context.Context, portal Portal, op *store.Operation, transfers []store.Transfer, credit map[int64]entry) error {
	found := make([]comparison, len(transfers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, t := range transfers {
		if e, ok := credit[t.ID]; ok {
			group.Go(func() error {
				return guard.Call(func() (err error) {
					found[i], err = d.compare(ctx, portal, op, t, e.id)
					return err
				})
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, t := range transfers {
		if e, ok := credit[t.ID]; ok {
			credit[t.ID] = found[i].judge(e)
		}
	}
	return nil
}

// pages reads a folder page by page, newest first or by title, until there is no more or
// visit wants no more.
func pages(ctx context.Context, portal Portal, folder event.ID, order string, visit func(docspace.Contents) bool) error {
	for start := 0; ; {
		page, err := portal.Contents(ctx, folder, docspace.ContentsQuery{SortBy: order, Descending: order != docspace.ByTitle, Start: start})
		if err != nil {
			return err
		}
		got := len(page.Files) + len(page.Folders)
		start += got
		if !visit(page) || got == 0 || start >= page.Total {
			return nil
		}
	}
}

func merge(into, from map[int64]entry) { maps.Copy(into, from) }
