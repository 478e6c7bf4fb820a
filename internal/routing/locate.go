package routing

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/rules"
)

// Portal is the part of a portal that routing asks about entries.
type Portal interface {
	Self(ctx context.Context) (docspace.User, error)
	FolderPath(ctx context.Context, id event.ID) ([]docspace.Folder, error)
	File(ctx context.Context, id event.ID) (docspace.File, error)
	Folder(ctx context.Context, id event.ID) (docspace.Folder, error)
	Room(ctx context.Context, id event.ID) (docspace.Folder, error)
	Person(ctx context.Context, id string) (docspace.User, error)
	Subfolders(ctx context.Context, id event.ID) ([]docspace.Folder, error)
	CreateFolder(ctx context.Context, parent event.ID, title string) (docspace.Folder, error)
	// Clock is how far the portal's clock is ahead of ours.
	Clock(ctx context.Context) (time.Duration, error)
}

// place is a folder or room of one portal.
type place struct {
	portal string
	id     event.ID
}

// Locator answers where entries lie, and remembers it for a while: rooms are renamed and
// tagged, and tag changes fire no webhook.
type Locator struct {
	paths   *cache[place, []docspace.Folder]
	rooms   *cache[place, docspace.Folder]
	entries *cache[version, event.Entry]
	self    *cache[string, string]
	people  *cache[person, event.User]
	hidden  *cache[place, *hiddenError]
	calls   singleflight.Group
	metrics *lookupMetrics
	// era changes whenever something known became untrue; an answer asked for in an earlier
	// era is used once and not kept.
	era atomic.Int64
}

// version is an entry as it was at one moment: a later one may have another size.
type version struct {
	place
	kind     event.Kind
	modified time.Time
}

// NewLocator returns a Locator that remembers answers for ttl. Its look-ups are counted in reg,
// which may be nil.
func NewLocator(ttl time.Duration, reg prometheus.Registerer) *Locator {
	return &Locator{
		paths:   newCache[place, []docspace.Folder](ttl),
		rooms:   newCache[place, docspace.Folder](ttl),
		entries: newCache[version, event.Entry](ttl),
		self:    newCache[string, string](ttl),
		people:  newCache[person, event.User](ttl),
		hidden:  newCache[place, *hiddenError](min(ttl, time.Minute)),
		metrics: newLookupMetrics(reg),
	}
}

// cache keeps the answers used last, each until its time is over. The library's own expiring
// cache runs a goroutine that nobody can stop.
type cache[K comparable, V any] struct {
	*lru.Cache[K, answer[V]]
	ttl time.Duration
}

type answer[V any] struct {
	value V
	until time.Time
}

func newCache[K comparable, V any](ttl time.Duration) *cache[K, V] {
	c, err := lru.New[K, answer[V]](10_000)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &cache[K, V]{c, ttl}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	a, ok := c.Get(key)
	if !ok || !time.Now().Before(a.until) {
		var zero V
		return zero, false
	}
	return a.value, true
}

func (c *cache[K, V]) add(key K, value V) {
	c.Add(key, answer[V]{value, time.Now().Add(c.ttl)})
}

// forget drops everything known: the portals have changed.
func (l *Locator) forget() {
	l.era.Add(1)
	l.paths.Purge()
	l.rooms.Purge()
	l.entries.Purge()
	l.self.Purge()
	l.people.Purge()
	l.hidden.Purge()
}

// observe drops what an event makes untrue: a moved folder changes the paths of all that lie
// below it, and a changed room its title or tags.
func (l *Locator) observe(portal string, ev event.Event) {
	family, verb, _ := strings.Cut(ev.Trigger, ".")
	switch {
	case family == "room" && verb == "created", family == "folder" && verb == "created":
		return // nothing is known of it yet
	case family == "room" || family == "agent":
	case family == "folder" && (verb == "moved" || verb == "restored" || verb == "updated"):
	default:
		return
	}
	l.era.Add(1)
	for _, key := range l.paths.Keys() {
		if path, ok := l.paths.Peek(key); ok && key.portal == portal && lies(path.value, ev.Entry.ID) {
			l.paths.Remove(key)
		}
	}
	l.rooms.Remove(place{portal, ev.Entry.ID})
	for _, key := range l.hidden.Keys() {
		if key.portal == portal {
			l.hidden.Remove(key)
		}
	}
}

func lies(path []docspace.Folder, id event.ID) bool {
	for _, f := range path {
		if f.ID == id {
			return true
		}
	}
	return false
}

// selfID is the id of the account the portal's key acts as.
func (l *Locator) selfID(ctx context.Context, portal string, p Portal) (string, error) {
	return remember(ctx, l, l.self, lookup{portal, "self"}, portal, "", func(ctx context.Context) (string, error) {
		user, err := p.Self(ctx)
		return user.ID, err
	})
}

// person is a user of one portal.
type person struct{ portal, id string }

// author completes what is known of an entry's author with the e-mail address, which neither a
// 3.x delivery nor an answer about a file holds.
func (l *Locator) author(ctx context.Context, portal string, p Portal, u *event.User) error {
	if u.ID == "" {
		return nil
	}
	known, err := remember(ctx, l, l.people, lookup{portal, "person"}, person{portal, u.ID}, u.ID,
		func(ctx context.Context) (event.User, error) {
			user, err := p.Person(ctx, u.ID)
			return user.User, err
		})
	switch {
	case docspace.IsGone(err):
		return nil // a guest without an account, or somebody who has left
	case docspace.IsCredentials(err) || docspace.IsForbidden(err):
		// Not wrapped: it says nothing about the entry, and the event must wait for a better key.
		return fmt.Errorf("read the e-mail address of user %s (the API key needs the scope accounts:read): %s", u.ID, err.Error())
	case err != nil:
		return fmt.Errorf("read the e-mail address of user %s: %w", u.ID, err)
	}
	u.Email, u.DisplayName = known.Email, cmp.Or(u.DisplayName, known.DisplayName)
	return nil
}

// hiddenError says that the gateway's account may not read where an entry lies, as is usual for
// rooms that no rule is about: webhooks tell of all.
type hiddenError struct {
	what string
	err  error
}

func (e *hiddenError) Error() string {
	return fmt.Sprintf("the gateway's account may not read %s, so the rules cannot be asked: if one should take what is there, give the account a role in that room", e.what)
}

func (e *hiddenError) Unwrap() error { return e.err }

// chain returns the folders an entry lies in, from its own folder up to its room, and the
// room, or nil where there is none: DocSpace's personal sections have no rooms.
func (l *Locator) chain(ctx context.Context, portal string, p Portal, parent event.ID) ([]rules.Folder, *rules.Room, error) {
	at := place{portal, parent}
	if err, ok := l.hidden.get(at); ok {
		return nil, nil, err
	}
	path, err := remember(ctx, l, l.paths, lookup{portal, "path"}, at, string(parent),
		func(ctx context.Context) ([]docspace.Folder, error) { return p.FolderPath(ctx, parent) })
	if docspace.IsForbidden(err) {
		hidden := &hiddenError{what: "folder " + string(parent), err: err}
		l.hidden.add(at, hidden)
		return nil, nil, hidden
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find the room of folder %s: %w", parent, err)
	}
	var chain []rules.Folder
	for i := len(path) - 1; i >= 0; i-- {
		chain = append(chain, rules.Folder{ID: path[i].ID, Title: path[i].Title})
		if path[i].RoomType != 0 {
			return chain, &rules.Room{ID: path[i].ID, Title: path[i].Title, Type: rules.RoomType(path[i].RoomType)}, nil
		}
	}
	// Only readable folders are in a path, so the entry's own folder may be missing from it.
	if len(chain) == 0 || chain[0].ID != parent {
		chain = append([]rules.Folder{{ID: parent}}, chain...)
	}
	return chain, nil, nil
}

func (l *Locator) tags(ctx context.Context, portal string, p Portal, room event.ID) ([]string, error) {
	r, err := remember(ctx, l, l.rooms, lookup{portal, "room"}, place{portal, room}, string(room),
		func(ctx context.Context) (docspace.Folder, error) { return p.Room(ctx, room) })
	if err != nil {
		return nil, fmt.Errorf("read the tags of room %s: %w", room, err)
	}
	return r.Tags, nil
}

// remember answers from the cache or asks once, however many events want to know. The asking
// goes on when the event that began it can wait no longer, so that a slow portal's answer is
// there for the next try.
func remember[K comparable, V any](ctx context.Context, l *Locator, known *cache[K, V], about lookup, key K, id string,
	ask func(context.Context) (V, error),
) (V, error) {
	if v, ok := known.get(key); ok {
		l.metrics.count(about, fromCache)
		return v, nil
	}
	era := l.era.Load()
	asked := false
	done := l.calls.DoChan(fmt.Sprintf("%s %s %s in era %d", about.of, about.portal, id, era), func() (any, error) {
		asked = true
		l.metrics.count(about, fromPortal)
		var v V
		err := guard.Call(func() (err error) { v, err = ask(context.WithoutCancel(ctx)); return err })
		if err == nil && l.era.Load() == era {
			known.add(key, v)
		}
		return v, err
	})
	var zero V
	select {
	case r := <-done:
		if !asked {
			l.metrics.count(about, fromOther)
		}
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(V), nil
	case <-ctx.Done():
		return zero, fmt.Errorf("the portal has not answered yet: %w", ctx.Err())
	}
}
