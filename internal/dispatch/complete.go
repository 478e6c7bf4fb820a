package dispatch

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/guard"
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
	return d.call(ctx, portal, op, until, docspace.Batch{
		Action: event.Copy, Kind: c.first.kind, IDs: part(c.first.ids, t.Attempts), Destination: c.first.into, Conflict: t.Conflict,
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
// next. What was achieved costs no attempt, and makes up for those before.
func (d *Dispatcher) incomplete(t store.Transfer, e entry, problem string) store.Outcome {
	before := -1
	if completes(t) {
		before = t.ResultVersion
	}
	t.ResultID, t.ResultTitle = e.id, e.title
	reason := fmt.Sprintf("%s: %s", lacking(t), e.lacks)
	if problem != "" {
		reason += "; " + problem
	}
	switch {
	case e.over:
		// Without the result, whoever tries again begins anew.
		return store.Outcome{TransferID: t.ID, State: event.Failed, Reason: reason, Attempted: true}
	case e.holds > before:
		return store.Outcome{
			TransferID: t.ID, State: event.Queued, Reason: reason, Progress: true,
			ResultID: e.id, ResultTitle: e.title, ResultVersion: e.holds, MaxBatch: 1,
		}
	}
	o := d.retryOrFail(t, reason)
	o.ResultID, o.ResultTitle, o.ResultVersion, o.MaxBatch = e.id, e.title, e.holds, 1
	return o
}

func lacking(t store.Transfer) string {
	return fmt.Sprintf("the folder was copied only in part, to %q (%s)", t.ResultTitle, t.ResultID)
}

// comparison is what a copied folder has of its source.
type comparison struct {
	holds   int    // entries of the source that the copy has, at any depth
	lacks   int    // entries of the source that the copy lacks; a folder counts without what is in it
	first   gap    // the first ones it lacks
	some    string // the title of one that it lacks
	largest int64  // bytes of the largest file that it lacks

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

// miss notes an entry that the copy lacks.
func (c *comparison) miss(kind event.Kind, id event.ID, title string, into event.ID) {
	if c.lacks == 0 {
		c.first, c.some = gap{kind: kind, into: into}, title
	}
	c.lacks++
	if c.first.kind == kind && c.first.into == into {
		c.first.ids = append(c.first.ids, id)
	}
}

// add adds the comparison of a folder below.
func (c *comparison) add(below comparison) {
	if c.lacks == 0 {
		c.first, c.some = below.first, below.some
	}
	c.holds += below.holds
	c.lacks += below.lacks
	c.largest = max(c.largest, below.largest)
}

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
	e.holds, e.partial, e.over, e.largest = c.holds, c.lacks > 0 || c.noCopy, c.noCopy, c.largest
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
	offset, err := portal.Clock(ctx)
	if err != nil {
		return comparison{}, err
	}
	sent, first := op.StartedAt, op.StartedAt
	if !t.SentAt.IsZero() && t.SentAt.Before(first) {
		first = t.SentAt
	}
	if completes(t) {
		sent = first
	}
	c := comparer{
		portal: portal, conflict: t.Conflict, until: sent.Add(offset), since: first.Add(offset - clockMargin),
		turns: make(chan struct{}, 8),
	}
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
	return c.compare(ctx, source, made, copied)
}

// comparer compares two folders and all below them.
type comparer struct {
	portal   Portal
	conflict event.Conflict
	until    time.Time     // what came into the source later is left out
	since    time.Time     // with overwrite: what was changed in the copy earlier was there before it
	turns    chan struct{} // bounds how many folders are listed at the same time
}

// listing is what lies in a folder.
type listing struct {
	files   []docspace.File
	folders []docspace.Folder
}

func (c comparer) source(ctx context.Context, folder event.ID) (listing, error) {
	return c.list(ctx, folder,
		func(f docspace.File) bool { return !f.Created.After(c.until) },
		func(f docspace.Folder) bool { return !f.Created.After(c.until) })
}

func (c comparer) copy(ctx context.Context, folder event.ID) (listing, error) {
	return c.list(ctx, folder,
		func(f docspace.File) bool { return c.conflict != event.Overwrite || !f.Updated.Before(c.since) },
		func(docspace.Folder) bool { return true })
}

func (c comparer) list(ctx context.Context, folder event.ID, file func(docspace.File) bool, sub func(docspace.Folder) bool) (l listing, err error) {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return l, ctx.Err()
	}
	err = pages(ctx, c.portal, folder, docspace.ByTitle, func(page docspace.Contents) bool {
		for _, f := range page.Files {
			if file(f) {
				l.files = append(l.files, f)
			}
		}
		for _, f := range page.Folders {
			if sub(f) {
				l.folders = append(l.folders, f)
			}
		}
		return true
	})
	return l, err
}

// compare compares what lies in two folders, and what lies below.
func (c comparer) compare(ctx context.Context, want, got listing, into event.ID) (comparison, error) {
	var found comparison
	files := match(event.File, c.conflict, want.files, got.files,
		func(f docspace.File) string { return f.Title }, func(a, b docspace.File) bool { return a.Size == b.Size })
	found.holds += len(files.pairs)
	for _, f := range files.missing {
		found.miss(event.File, f.ID, f.Title, into)
		found.largest = max(found.largest, f.Size)
	}
	folders := match(event.Folder, c.conflict, want.folders, got.folders,
		func(f docspace.Folder) string { return f.Title }, func(docspace.Folder, docspace.Folder) bool { return false })
	found.holds += len(folders.pairs)
	for _, f := range folders.missing {
		found.miss(event.Folder, f.ID, f.Title, into)
	}
	below := make([]comparison, len(folders.pairs))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range folders.pairs {
		if !p.certain {
			continue // of several with one title nobody knows which became which
		}
		group.Go(func() error {
			return guard.Call(func() error {
				source, err := c.source(ctx, p.want.ID)
				if err != nil && !docspace.IsGone(err) {
					return err
				}
				made, err := c.copy(ctx, p.got.ID)
				if err != nil && !docspace.IsGone(err) {
					return err
				}
				below[i], err = c.compare(ctx, source, made, p.got.ID)
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return comparison{}, err
	}
	for _, b := range below {
		found.add(b)
	}
	return found, nil
}
