package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// completes reports whether a transfer goes on with a folder that an earlier operation copied in
// part. Copying the folder again would make a second one, or write everything in it anew: only
// what the copy lacks is sent after it, into the copy.
func completes(t store.Transfer) bool {
	return t.Kind == event.Folder && t.Action == event.Copy && t.ResultID != ""
}

// complete sends what a copied folder lacks, or the first part of it that fits into one call.
func (d *Dispatcher) complete(ctx context.Context, portal Portal, op *store.Operation, until time.Time) (step, error) {
	t := op.Transfers[0]
	c, err := d.compare(ctx, portal, op, t, t.ResultID)
	switch {
	case err != nil:
		if next, lost, err := d.destinationLost(ctx, portal, op, err); lost || err != nil {
			return next, err
		}
		return d.notSent(ctx, op, err)
	case c.over() || c.lacks == 0:
		d.giveBackWrite(ctx, op)
		return d.conclude(ctx, portal, op, map[int64]entry{t.ID: c.entry(t)}, "")
	}
	// Counted before the call, so that afterwards progress shows.
	if err := d.o.Store.MarkSeen(ctx, op, c.signs()); err != nil {
		return step{}, err
	}
	ids := part(c.first.ids, t.Attempts)
	return d.call(ctx, portal, op, until, docspace.Batch{
		Action: event.Copy, Kind: c.first.kind, IDs: ids, Destination: c.first.into, Conflict: t.Conflict,
	})
}

// part is what the next attempt sends of entries that are missing: after an attempt that achieved
// nothing fewer of them, from another place in the list. One of them may be what DocSpace refuses,
// and then the others must not wait for it.
func part(ids []event.ID, attempts int) []event.ID {
	n := max(1, len(ids)>>min(attempts, 30))
	from := attempts * n % len(ids)
	return ids[from:min(from+n, len(ids))]
}

// incomplete is the outcome of a transfer whose folder was copied in part: what it lacks is sent
// next. Progress costs no attempt.
func (d *Dispatcher) incomplete(op *store.Operation, t store.Transfer, e entry, problem string) store.Outcome {
	again := completes(t)
	t.ResultID, t.ResultTitle = e.id, e.title
	reason := fmt.Sprintf("%s: %s", lacking(t), e.lacks)
	if problem != "" {
		reason += "; " + problem
	}
	o := store.Outcome{TransferID: t.ID, State: event.Queued, Reason: reason}
	switch {
	case e.over:
		o.State, o.Attempted = event.Failed, true
	case again && e.signs() <= op.Seen:
		o = d.retryOrFail(t, reason)
	}
	o.ResultID, o.ResultTitle, o.MaxBatch = e.id, e.title, 1
	return o
}

func lacking(t store.Transfer) string {
	return fmt.Sprintf("the folder was copied only in part, to %q (%s)", t.ResultTitle, t.ResultID)
}

// comparison is what a copied folder has of its source.
type comparison struct {
	holds int    // entries of the source that the copy has, at any depth
	lacks int    // entries of the source that the copy lacks; a folder counts without what is in it
	first gap    // the first ones it lacks
	some  string // the title of one that it lacks

	noSource bool // the source has been deleted, so that there is nothing to compare with
	noCopy   bool // the copy has been deleted, so that there is nothing to complete
}

// gap is entries of one kind that one folder of a copy lacks.
type gap struct {
	kind event.Kind
	ids  []event.ID // in the source
	into event.ID
}

// over reports whether nothing can be added to the copy any more.
func (c comparison) over() bool { return c.noSource || c.noCopy }

// signs is a number that grows with everything that arrives.
func (c comparison) signs() int { return 1 + c.holds }

func (e entry) signs() int { return 1 + e.holds }

// entry is a copy that is being completed, as the result of its transfer.
func (c comparison) entry(t store.Transfer) entry {
	e := c.judge(entry{id: t.ResultID, title: t.ResultTitle})
	if c.over() {
		e.partial, e.over = true, true
	}
	return e
}

// judge adds to a copied folder what the comparison says of it.
func (c comparison) judge(e entry) entry {
	e.holds, e.partial, e.over = c.holds, c.lacks > 0 || c.noCopy, c.noCopy
	switch {
	case c.noCopy:
		e.lacks = "the copy has been deleted since"
	case c.noSource:
		e.lacks = "the source was deleted before it was complete"
	case c.lacks == 1:
		e.lacks = fmt.Sprintf("it lacks %q", c.some)
	default:
		e.lacks = fmt.Sprintf("it lacks %d entries, one of them %q", c.lacks, c.some)
	}
	return e
}

// compare compares a copied folder with its source: that a folder is there does not prove that
// all of it is. What came into the source after it was sent is no part of the copy.
func (d *Dispatcher) compare(ctx context.Context, portal Portal, op *store.Operation, t store.Transfer, copied event.ID) (comparison, error) {
	sent, first := op.StartedAt, op.StartedAt
	if !t.SentAt.IsZero() && t.SentAt.Before(first) {
		first = t.SentAt
	}
	if completes(t) {
		sent = first
	}
	offset := portal.ClockOffset()
	c := comparer{portal: portal, conflict: t.Conflict, until: sent.Add(offset), since: first.Add(offset - clockMargin)}
	source, err := c.source(ctx, t.EntryID)
	if docspace.IsGone(err) {
		return comparison{noSource: true}, nil
	}
	if err != nil {
		return comparison{}, err
	}
	made, err := c.copy(ctx, copied)
	if docspace.IsGone(err) {
		return comparison{noCopy: true}, nil
	}
	if err != nil {
		return comparison{}, err
	}
	err = c.compare(ctx, source, made, copied)
	return c.comparison, err
}

// comparer compares two folders and all below them.
type comparer struct {
	comparison
	portal   Portal
	conflict event.Conflict
	until    time.Time // what came into the source later is left out
	since    time.Time // with overwrite: what was changed in the copy earlier was there before it
}

// listing is a folder's entries by the keys of their titles.
type listing struct {
	files   map[string][]docspace.File
	folders map[string][]docspace.Folder
	order   []string // keys of both, as they come
}

func (c *comparer) list(ctx context.Context, folder event.ID, file func(docspace.File) bool, sub func(docspace.Folder) bool) (listing, error) {
	l := listing{files: map[string][]docspace.File{}, folders: map[string][]docspace.Folder{}}
	err := pages(ctx, c.portal, folder, docspace.ByTitle, func(page docspace.Contents) bool {
		for _, f := range page.Files {
			if key := titleKey(event.File, f.Title); file(f) {
				l.files[key] = append(l.files[key], f)
				l.order = append(l.order, key)
			}
		}
		for _, f := range page.Folders {
			if key := titleKey(event.Folder, f.Title); sub(f) {
				l.folders[key] = append(l.folders[key], f)
				l.order = append(l.order, key)
			}
		}
		return true
	})
	slices.Sort(l.order)
	l.order = slices.Compact(l.order)
	return l, err
}

func (c *comparer) source(ctx context.Context, folder event.ID) (listing, error) {
	return c.list(ctx, folder,
		func(f docspace.File) bool { return !f.Created.After(c.until) },
		func(f docspace.Folder) bool { return !f.Created.After(c.until) })
}

func (c *comparer) copy(ctx context.Context, folder event.ID) (listing, error) {
	return c.list(ctx, folder,
		func(f docspace.File) bool { return c.conflict != event.Overwrite || !f.Updated.Before(c.since) },
		func(docspace.Folder) bool { return true })
}

func (c *comparer) compare(ctx context.Context, want, got listing, into event.ID) error {
	for _, key := range want.order {
		c.files(want.files[key], got.files[key], into)
	}
	for _, key := range want.order {
		c.folders(want.folders[key], got.folders[key], into)
	}
	for _, key := range want.order {
		from, to := want.folders[key], got.folders[key]
		if len(from) != 1 || len(to) == 0 {
			continue // of several with one title nobody knows which became which
		}
		below, err := c.source(ctx, from[0].ID)
		if err != nil && !docspace.IsGone(err) {
			return err
		}
		made, err := c.copy(ctx, to[0].ID)
		if err != nil && !docspace.IsGone(err) {
			return err
		}
		if err := c.compare(ctx, below, made, to[0].ID); err != nil {
			return err
		}
	}
	return nil
}

// files compares files of one key. Those of a size that the copy has count as copied first.
func (c *comparer) files(want, got []docspace.File, into event.ID) {
	want = distinct(c.conflict, want, func(f docspace.File) string { return f.Title })
	missing := len(want) - len(got)
	c.holds += min(len(want), len(got))
	for _, f := range want {
		if i := slices.IndexFunc(got, func(g docspace.File) bool { return g.Size == f.Size }); i >= 0 {
			got = slices.Delete(slices.Clone(got), i, i+1)
			continue
		}
		if missing > 0 {
			missing--
			c.miss(event.File, f.ID, f.Title, into)
		}
	}
	for _, f := range want[len(want)-max(missing, 0):] {
		c.miss(event.File, f.ID, f.Title, into)
	}
}

func (c *comparer) folders(want, got []docspace.Folder, into event.ID) {
	want = distinct(c.conflict, want, func(f docspace.Folder) string { return f.Title })
	c.holds += min(len(want), len(got))
	for _, f := range want[min(len(want), len(got)):] {
		c.miss(event.Folder, f.ID, f.Title, into)
	}
}

// distinct leaves out what DocSpace copies into one: with skip and overwrite, entries of one title.
func distinct[E any](conflict event.Conflict, entries []E, title func(E) string) []E {
	if conflict == event.Duplicate || len(entries) < 2 {
		return entries
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(entries), func(e E) bool {
		key := strings.ToLower(title(e))
		defer func() { seen[key] = true }()
		return seen[key]
	})
}

func (c *comparer) miss(kind event.Kind, id event.ID, title string, into event.ID) {
	if c.lacks == 0 {
		c.first, c.some = gap{kind: kind, into: into}, title
	}
	c.lacks++
	if c.first.kind == kind && c.first.into == into {
		c.first.ids = append(c.first.ids, id)
	}
}
