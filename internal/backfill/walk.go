package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// Portal is the part of a portal that a walk needs.
type Portal interface {
	routing.Portal
	Contents(ctx context.Context, folder event.ID, q docspace.ContentsQuery) (docspace.Contents, error)
	Rooms(ctx context.Context) ([]docspace.Folder, error)
	// Ready reports whether a call has a chance, and otherwise how long to wait.
	Ready(ctx context.Context) (wait time.Duration, ready bool)
}

// walk is one backfill at work.
type walk struct {
	*Service
	*subject
	reader Portal
	id     int64 // 0 of a rehearsal
	since  time.Time
}

// visit is what one page of a folder came to.
type visit struct {
	is    store.BackfillFolder   // the folder as it is to be stored
	found []store.BackfillFolder // to be walked
	going []candidate
}

// candidate is an entry that the rule wants and has not transferred.
type candidate struct {
	entry   event.Entry
	pending store.PendingEvent
	event   event.Event
	matches []rules.Match
}

// read reads the next page of a folder and looks at what is new in it. Everything else it leaves
// out, with the reason in the tally.
//
// Files come in the order of their creation, so that what people add comes last. What they take
// away, or this very rule moves away, lets the rest of the list move up: then a page begins behind
// files that nobody has looked at. So each begins with the last file that was looked at, and where
// that is not what stands there, the walk goes a page back.
func (w *walk) read(ctx context.Context, f store.BackfillFolder, tally *Tally) (visit, error) {
	v := visit{is: f}
	page, err := w.reader.Contents(ctx, f.Folder, docspace.ContentsQuery{SortBy: docspace.ByCreated, Start: f.Start})
	if err != nil {
		return w.unread(v, err, tally)
	}
	var entries []event.Entry
	if f.Start == 0 && f.Mark.IsZero() && len(page.Folders) > 0 && (f.Deep || w.folder != "") {
		// In one call, since folders that come and go would shift the pages.
		folders, err := w.reader.Subfolders(ctx, f.Folder)
		if err != nil {
			return w.unread(v, err, tally)
		}
		for _, sub := range folders {
			entries = append(entries, folderEntry(sub, f.Folder))
		}
	}
	back, files := advance(&v.is, page)
	if !back && w.file != "" {
		for _, file := range files {
			entries = append(entries, fileEntry(file, f.Folder))
		}
	}
	if v.going, err = w.look(ctx, entries, tally); err != nil {
		return visit{}, err
	}
	if f.Deep {
		v.found = w.below(entries, v.going)
		tally.FoldersFound += len(v.found)
	}
	if v.is.Walked {
		tally.FoldersWalked++
	}
	return v, nil
}

// pageSize is what a portal gives at most.
const pageSize = 100

// advance says which files of a page have not been looked at, and moves the folder on; or it moves
// the folder back where files may have been missed.
func advance(f *store.BackfillFolder, page docspace.Contents) (back bool, files []docspace.File) {
	seen := func(file docspace.File) bool {
		at := file.Created.Truncate(time.Millisecond)
		return at.Before(f.Mark) || at.Equal(f.Mark) && slices.Contains(f.Marked, file.ID)
	}
	n := len(page.Folders) + len(page.Files)
	if f.Start > 0 && len(page.Folders) == 0 && (n == 0 || !seen(page.Files[0])) {
		f.Start = max(0, min(f.Start, page.Total)-pageSize+1)
		return true, nil
	}
	for _, file := range page.Files {
		if !seen(file) {
			files = append(files, file)
		}
	}
	for _, file := range files {
		at := file.Created.Truncate(time.Millisecond)
		if at.After(f.Mark) {
			f.Mark, f.Marked = at, nil
		}
		f.Marked = append(f.Marked, file.ID)
	}
	if f.Start+n >= page.Total || n == 0 {
		f.Walked = true
		return false, files
	}
	f.Start += n
	if len(page.Files) > 0 {
		f.Start = max(f.Start-1, 1)
	}
	return false, files
}

// unread leaves out a folder that is gone or not for the gateway's eyes. Any other error may pass.
func (w *walk) unread(v visit, err error, tally *Tally) (visit, error) {
	switch {
	case docspace.IsGone(err):
	case docspace.IsForbidden(err):
		tally.unreadable(v.is.Folder, err)
	default:
		return visit{}, fmt.Errorf("read folder %s: %w", v.is.Folder, err)
	}
	v.is.Walked = true
	tally.FoldersWalked++
	return v, nil
}

// below lists the folders to be walked. One that goes takes what is in it along, and what lies in
// a destination of the rule has arrived.
func (w *walk) below(entries []event.Entry, going []candidate) []store.BackfillFolder {
	var found []store.BackfillFolder
	for _, e := range entries {
		taken := slices.ContainsFunc(going, func(c candidate) bool { return c.entry.Kind == event.Folder && c.entry.ID == e.ID })
		if e.Kind == event.Folder && !taken && !w.destinations[e.ID] {
			found = append(found, store.BackfillFolder{Folder: e.ID, Deep: true})
		}
	}
	return found
}

// look finds the entries that the rule wants and has not transferred.
func (w *walk) look(ctx context.Context, entries []event.Entry, tally *Tally) ([]candidate, error) {
	var out []candidate
	for _, kind := range []event.Kind{event.Folder, event.File} {
		if trigger, _ := w.triggers(kind); trigger == "" {
			continue
		}
		var ids []event.ID
		for _, e := range entries {
			if e.Kind == kind {
				ids = append(ids, e.ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		handled, err := w.o.Store.Handled(ctx, w.portal, w.rule.Name, kind, ids)
		if err != nil {
			return nil, err
		}
		results, err := w.o.Store.KnownResults(ctx, w.portal, kind, ids)
		if err != nil {
			return nil, err
		}
		self, err := w.o.Router.Self(ctx, w.portal, w.reader)
		if err != nil {
			return nil, fmt.Errorf("find out the gateway's own account, to tell its work from people's: %w", err)
		}
		for _, e := range entries {
			if e.Kind != kind {
				continue
			}
			tally.Entries++
			_, result := results[e.ID]
			c, reason, err := w.consider(ctx, e, self, result || e.CreatedBy.ID == self, handled)
			if err != nil {
				return nil, err
			}
			if reason != "" {
				tally.skip(reason)
				continue
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// DocSpace's numbers of the sections whose entries are not at work, as in event.Entry.RootType.
const inTrash, inArchive = 3, 20

// consider says why an entry is left out, or "".
func (w *walk) consider(ctx context.Context, e event.Entry, self string, own bool, handled store.Handled) (candidate, string, error) {
	trigger, ownTrigger := w.triggers(e.Kind)
	actor := e.CreatedBy
	if own {
		trigger, actor = ownTrigger, event.User{ID: self}
	}
	switch {
	case e.RootType == inTrash || e.RootType == inArchive:
		return candidate{}, SkippedArchived, nil
	case trigger == "":
		return candidate{}, SkippedOwn, nil
	case e.CreatedOn.Before(w.since) && e.ModifiedOn.Before(w.since):
		return candidate{}, SkippedSince, nil
	}
	c, err := w.present(e, trigger, actor)
	if err != nil {
		return candidate{}, "", err
	}
	prospect, err := w.o.Router.Prospect(ctx, w.snap, w.rule.Name, c.pending)
	switch {
	case errors.Is(err, routing.ErrOwnEvent):
		return candidate{}, SkippedOwn, nil
	case docspace.IsGone(err):
		return candidate{}, SkippedSource, nil
	case docspace.IsForbidden(err):
		return candidate{}, SkippedUnreadable, nil
	case err != nil:
		return candidate{}, "", err
	case len(prospect.Matches) == 0:
		return candidate{}, reasons[prospect.Condition], nil
	}
	// What is left of it when the transfers that were made before are taken away.
	before := SkippedThere
	for _, m := range prospect.Matches {
		state, known := handled[e.ID][m.Destination]
		if !known {
			if known, err = w.o.Store.Remembered(ctx, w.portal, w.rule.Name, m.Destination, e.Kind, e.ID); err != nil {
				return candidate{}, "", err
			}
			state = event.Done
		}
		switch {
		case known && !state.Ended():
			before = SkippedQueued
		case known && before != SkippedQueued:
			before = SkippedTransferred
		case !known && (len(m.Path) > 0 || routing.Stays(e, m.Destination) == ""):
			c.matches = append(c.matches, m)
		}
	}
	if len(c.matches) == 0 {
		return candidate{}, before, nil
	}
	return c, "", nil
}

// reasons are those for which an entry is left out, by the condition that failed.
var reasons = map[string]string{
	rules.OnEnabled:  SkippedSource,
	rules.OnPortal:   SkippedSource,
	rules.OnTrigger:  SkippedSource,
	rules.OnSource:   SkippedSource,
	rules.OnOwn:      SkippedOwn,
	rules.OnStop:     SkippedOther,
	rules.OnFallback: SkippedOther,
	rules.OnMove:     SkippedOther,
	rules.OnWhen:     SkippedWhen,
	rules.OnPath:     SkippedError,
}

// present makes of an entry the event that its arrival would have been: by its author, at the time
// of its creation. The body is one that DocSpace could have sent, so that whoever reads the stored
// event needs to know nothing of backfills.
func (w *walk) present(e event.Entry, trigger string, actor event.User) (candidate, error) {
	kind := 2
	if e.Kind == event.Folder {
		kind = 1
	}
	type user struct {
		ID          string `json:"id"`
		DisplayName string `json:"displayName,omitempty"`
		Email       string `json:"email,omitempty"`
	}
	type body struct {
		Event struct {
			ID       string    `json:"id"`
			CreateOn time.Time `json:"createOn,omitzero"`
			CreateBy string    `json:"createBy"`
			Trigger  string    `json:"trigger"`
		} `json:"event"`
		Payload struct {
			ID         event.ID  `json:"id"`
			Parent     event.ID  `json:"parentId"`
			Title      string    `json:"title"`
			EntryType  int       `json:"fileEntryType"`
			RootType   int       `json:"rootFolderType,omitempty"`
			Version    int       `json:"version,omitempty"`
			Size       int64     `json:"contentLength,omitempty"`
			Comment    string    `json:"comment,omitempty"`
			IsForm     bool      `json:"isForm,omitempty"`
			Created    time.Time `json:"created,omitzero"`
			CreatedBy  user      `json:"createdBy"`
			Modified   time.Time `json:"updated,omitzero"`
			ModifiedBy user      `json:"updatedBy"`
		} `json:"payload"`
		Webhook struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"webhook"`
	}
	var b body
	b.Event.ID = fmt.Sprintf("%s of %s %s", w.rule.Name, e.Kind, e.ID)
	b.Event.CreateOn, b.Event.CreateBy, b.Event.Trigger = e.CreatedOn, actor.ID, trigger
	p := &b.Payload
	p.ID, p.Parent, p.Title, p.EntryType, p.RootType = e.ID, e.ParentID, e.Title, kind, e.RootType
	p.Version, p.Size, p.Comment, p.IsForm = e.Version, e.Size, e.Comment, e.IsForm
	p.Created, p.CreatedBy = e.CreatedOn, user(e.CreatedBy)
	p.Modified, p.ModifiedBy = e.ModifiedOn, user(e.ModifiedBy)
	b.Webhook.ID, b.Webhook.Name = store.BackfillWebhook(w.id), "backfill"
	raw, err := json.Marshal(b)
	if err != nil {
		return candidate{}, fmt.Errorf("present %s %s: %w", e.Kind, e.ID, err)
	}
	ev, err := event.Parse(raw)
	if err != nil {
		return candidate{}, fmt.Errorf("present %s %s: %w", e.Kind, e.ID, err)
	}
	now := w.o.Now()
	happened := ev.CreatedOn
	if happened.IsZero() {
		happened = now
	}
	return candidate{entry: e, event: ev, pending: store.PendingEvent{
		Portal: w.portal, EventID: ev.ID, Trigger: trigger, ReceivedAt: now, HappenedAt: happened,
		Owed: []string{w.rule.Name}, Body: raw,
	}}, nil
}

func fileEntry(f docspace.File, parent event.ID) event.Entry {
	return event.Entry{
		Kind: event.File, ID: f.ID, ParentID: parent, Title: f.Title, RootType: f.RootType, CreatedOn: f.Created, ModifiedOn: f.Updated,
		CreatedBy: f.CreatedBy, ModifiedBy: f.UpdatedBy, Size: f.Size, Version: f.Version, Comment: f.Comment, IsForm: f.IsForm,
	}
}

func folderEntry(f docspace.Folder, parent event.ID) event.Entry {
	return event.Entry{
		Kind: event.Folder, ID: f.ID, ParentID: parent, Title: f.Title, RootType: f.RootType, CreatedOn: f.Created, ModifiedOn: f.Updated,
		CreatedBy: f.CreatedBy,
	}
}
