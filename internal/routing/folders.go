package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/singleflight"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/store"
)

const (
	// folderTimeout bounds all that is done for one folder.
	folderTimeout = 90 * time.Second
	// waitForOther is how long an event waits within one try for a folder that somebody else
	// is creating.
	waitForOther = 5 * time.Second
	lookAgain    = 200 * time.Millisecond
	// keptFresh is how old the store's word may be that a folder was seen.
	keptFresh = 24 * time.Hour
)

// folders finds the folders that rules' paths name, and creates those that are missing: each
// once, whatever runs at the same time. DocSpace accepts a second folder of the same title, so
// the store decides who creates one, and an answer that was lost is settled by looking.
type folders struct {
	store       *store.Store
	settleAfter time.Duration
	now         func() time.Time
	known       *cache[store.FolderKey, event.ID]
	calls       singleflight.Group
	lookFor     time.Duration // how long one event waits for its folders within one try
	began       sync.Map      // when each of calls that is under way began, by its name
	lookups     *lookupMetrics
	created     *prometheus.CounterVec
	log         *slog.Logger
}

func newFolders(o Options, lookups *lookupMetrics, log *slog.Logger) *folders {
	return &folders{
		store: o.Store, settleAfter: o.SettleAfter, now: o.Now,
		// A folder that is deleted is missed at the latest when this is over.
		known:   newCache[store.FolderKey, event.ID](min(o.CacheFor, time.Minute)),
		lookFor: o.FolderWait,
		lookups: lookups,
		created: promauto.With(o.Registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_folders_created_total",
			Help: "Folders that were created because a rule's path names them.",
		}, []string{"portal"}),
		log: log,
	}
}

// resolve returns the folder at the end of a path below base. A slow portal holds up an event's
// other rules, and the events after it, for a moment only: the search goes on by itself, and the
// next try finds its answer. What must be created is taken from the budget.
func (f *folders) resolve(ctx context.Context, name string, portal Portal, b store.Budget, base event.ID, path []string) (event.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, f.lookFor)
	defer cancel()
	id, err := f.walk(ctx, name, portal, b, base, path)
	if docspace.IsGone(err) {
		// A folder on the way may have been deleted since it was last seen.
		f.forget(name)
		id, err = f.walk(ctx, name, portal, b, base, path)
	}
	return id, err
}

func (f *folders) walk(ctx context.Context, name string, portal Portal, b store.Budget, base event.ID, path []string) (event.ID, error) {
	at := base
	for _, title := range path {
		below, err := f.below(ctx, portal, b, store.FolderKey{Portal: name, Parent: at, Title: title})
		if err != nil {
			return "", fmt.Errorf("folder %q below folder %s: %w", title, at, err)
		}
		at = below
	}
	return at, nil
}

// observe forgets a folder that an event says has changed.
func (f *folders) observe(portal string, ev event.Event) {
	if ev.Entry.Kind != event.Folder || ev.Trigger == event.FolderCreated {
		return
	}
	for _, key := range f.known.Keys() {
		if id, ok := f.known.Peek(key); ok && key.Portal == portal && id.value == ev.Entry.ID {
			f.known.Remove(key)
		}
	}
}

// forget drops what is remembered of a portal's folders.
func (f *folders) forget(portal string) {
	for _, key := range f.known.Keys() {
		if key.Portal == portal {
			f.known.Remove(key)
		}
	}
}

// below returns the folder of a title in a folder. Events that want the same one wait for it
// together; it is made even when none of them can wait any longer.
func (f *folders) below(ctx context.Context, portal Portal, b store.Budget, key store.FolderKey) (event.ID, error) {
	about := lookup{key.Portal, "subfolders"}
	if id, ok := f.known.get(key); ok {
		f.lookups.count(about, fromCache)
		return id, nil
	}
	call := key.Portal + " " + string(key.Parent) + " " + key.Title
	if at, ok := f.began.Load(call); ok && time.Since(at.(time.Time)) > f.lookFor {
		return "", errStillLooking
	}
	done := f.calls.DoChan(call, func() (any, error) {
		f.began.Store(call, time.Now())
		defer f.began.Delete(call)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), folderTimeout)
		defer cancel()
		var id event.ID
		// Around all of it: a panic while a folder is created leaves in the store that one may have been.
		err := guard.Call(func() (err error) { id, err = f.find(ctx, portal, b, key); return err })
		if err == nil {
			f.known.add(key, id)
		}
		return id, err
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(event.ID), nil
	case <-ctx.Done():
		return "", errStillLooking
	}
}

// errStillLooking says that an event need not wait for an answer that is on its way.
var errStillLooking = errors.New("it is still being looked for, because the portal has not answered yet")

// find looks for a folder where it should be, and creates it when it is not there and nobody
// else is about to.
func (f *folders) find(ctx context.Context, portal Portal, b store.Budget, key store.FolderKey) (event.ID, error) {
	giveUp := time.NewTimer(waitForOther)
	defer giveUp.Stop()
	for {
		id, refused, err := f.stored(ctx, portal, key)
		if err != nil || id != "" {
			return id, err
		}
		lookedAt := f.now()
		if id, err := f.look(ctx, portal, key); err != nil || id != "" {
			return id, err
		}
		if f.now().Before(refused.Until) {
			return "", asRefused(refused)
		}
		begun, wait, err := f.store.BeginFolder(ctx, key, lookedAt, f.settleAfter, b)
		switch {
		case err != nil:
			return "", err
		case begun:
			return f.create(ctx, portal, key)
		case wait > 0:
			return "", fmt.Errorf("it is created when the portal's budget of writes allows, in %s", wait.Round(time.Second))
		}
		again := time.NewTimer(lookAgain)
		select {
		case <-again.C:
			continue
		case <-giveUp.C:
			err = errors.New("somebody is creating it, or was and has not learned the outcome")
		case <-ctx.Done():
			err = ctx.Err()
		}
		again.Stop()
		return "", err
	}
}

// stored returns the folder that the store knows, if it is still what the path means: people
// rename, move and delete folders. Where it knows none, it may know that the portal refuses to
// create it.
func (f *folders) stored(ctx context.Context, portal Portal, key store.FolderKey) (event.ID, store.Refusal, error) {
	row, err := f.store.PathFolder(ctx, key)
	if err != nil || row.ID == "" {
		return "", row.Refused, err
	}
	f.lookups.count(lookup{key.Portal, "folder"}, fromPortal)
	folder, err := portal.Folder(ctx, row.ID)
	switch {
	case docspace.IsGone(err), docspace.IsForbidden(err): // it may lie in somebody's trash
	case err != nil:
		return "", store.Refusal{}, err
	case folder.ParentID == key.Parent && folder.Title == row.Title:
		if f.now().Sub(row.KeptAt) < keptFresh {
			return row.ID, store.Refusal{}, nil
		}
		return row.ID, store.Refusal{}, f.store.KeepFolder(ctx, key, row.ID, row.Title)
	}
	return "", store.Refusal{}, f.store.ForgetFolder(ctx, key, row.ID)
}

// look searches the parent on the portal. Of several that fit, all gateways take the same.
func (f *folders) look(ctx context.Context, portal Portal, key store.FolderKey) (event.ID, error) {
	f.lookups.count(lookup{key.Portal, "subfolders"}, fromPortal)
	list, err := portal.Subfolders(ctx, key.Parent)
	if err != nil {
		return "", err
	}
	var best *docspace.Folder
	for i := range list {
		if strings.EqualFold(list[i].Title, key.Title) && (best == nil || before(list[i], *best, key.Title)) {
			best = &list[i]
		}
	}
	if best == nil {
		return "", nil
	}
	return best.ID, f.store.KeepFolder(ctx, key, best.ID, best.Title)
}

// before prefers the very title, then the older folder.
func before(a, b docspace.Folder, title string) bool {
	if a.Title != b.Title && (a.Title == title || b.Title == title) {
		return a.Title == title
	}
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) < 0
}

// create makes the one call that the store has allowed.
func (f *folders) create(ctx context.Context, portal Portal, key store.FolderKey) (event.ID, error) {
	folder, err := portal.CreateFolder(ctx, key.Parent, key.Title)
	if err == nil {
		f.created.WithLabelValues(key.Portal).Inc()
		f.log.Info("folder created", "portal", key.Portal, "parent", key.Parent, "folder", folder.ID, "title", folder.Title)
		// The title may differ from what was asked for, so the store keeps both.
		return folder.ID, f.store.KeepFolder(ctx, key, folder.ID, folder.Title)
	}
	var status *docspace.StatusError
	if docspace.Uncertain(err) || errors.As(err, &status) && status.StatusCode >= http.StatusInternalServerError {
		f.log.Warn("answer lost", "portal", key.Portal, "parent", key.Parent, "title", key.Title, "err", err)
		id, lookErr := f.look(ctx, portal, key)
		if id != "" && lookErr == nil {
			return id, nil
		}
		return "", fmt.Errorf("it may have been created, so it is looked for before that is tried again: %w", err)
	}
	pause, limited := docspace.IsRateLimited(err)
	if limited && pause >= time.Minute {
		if err := f.store.PausePortal(ctx, key.Portal, f.now().Add(pause), "the portal's limit of writes per day is reached"); err != nil {
			return "", err
		}
	}
	if docspace.IsForbidden(err) {
		// So DocSpace answers when the parent is not there at all.
		if _, gone := portal.Folder(ctx, key.Parent); docspace.IsGone(gone) {
			return "", errors.Join(gone, f.store.AbandonFolder(ctx, key))
		}
	}
	if status == nil || limited {
		return "", errors.Join(err, f.store.AbandonFolder(ctx, key))
	}
	refused := store.Refusal{Status: status.StatusCode, Reason: status.Message}
	if docspace.IsCredentials(err) {
		refused = store.Refusal{Reason: err.Error()}
	}
	if storeErr := f.store.RefuseFolder(ctx, key, refused); storeErr != nil {
		return "", errors.Join(err, storeErr)
	}
	return "", err
}

// asRefused is the error that the portal's refusal was when it came.
func asRefused(r store.Refusal) error {
	if r.Status == 0 {
		return errors.New(r.Reason)
	}
	return &docspace.StatusError{Call: "create_folder", StatusCode: r.Status, Message: r.Reason, Enveloped: true}
}
