// Package names knows what rooms and folders are called, and which ones a name means. It asks a portal
// only in the background: whoever asks gets an answer at once, and that a name is not known yet is one.
// Only FindSoon waits, and not for long.
package names

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

const (
	nameTime    = 10 * time.Minute // how long a name is believed
	findTime    = time.Hour        // how long it is where names are searched: that asks for all of them
	unknownTime = time.Minute      // how long a portal that did not answer is not asked again
	nameTimeout = 5 * time.Second
)

// Options configures a Book. All fields are required.
type Options struct {
	// Title asks a portal for the name of a room or folder: "" where the portal has none to tell.
	Title func(ctx context.Context, portal string, id event.ID) (string, error)
	// Rules are those in use: their rooms and folders are the ones that are found by name.
	Rules func() *rules.Table
	// Sources lists rooms and folders that transfers came from: those that rules find by tag or title.
	Sources func(ctx context.Context, most int) ([]store.Room, error)
}

// Book knows what rooms and folders are called. What is not known yet is looked up one after another
// by Run.
type Book struct {
	o     Options
	known *lru.Cache[store.Room, name]
	found atomic.Int64
	now   func() time.Time

	mu      sync.Mutex
	waiting map[store.Room]bool
	queue   chan store.Room

	placesMu sync.Mutex
	listed   places
}

type name struct {
	title string
	at    time.Time // when the portal was asked last
	told  bool      // whether it answered then
}

// fresh reports whether there is no need to ask again for something that wants no name older than age.
func (n name) fresh(now time.Time, age time.Duration) bool {
	if !n.told {
		age = unknownTime
	}
	return now.Before(n.at.Add(age))
}

// New returns a Book that knows nothing.
func New(o Options) *Book {
	known, err := lru.New[store.Room, name](2 * mostPlaces)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &Book{o: o, known: known, now: time.Now, waiting: map[store.Room]bool{}, queue: make(chan store.Room, 500)}
}

// Version grows with every name that becomes known.
func (b *Book) Version() int64 { return b.found.Load() }

// Of is the name of a room or folder, or "" while it is not known.
func (b *Book) Of(portal string, id event.ID) string {
	if id == "" {
		return ""
	}
	title, _ := b.look(store.Room{Portal: portal, ID: id}, nameTime)
	return title
}

// look returns a name, and whether a portal was ever asked for it, and has it asked again when what is
// known is too old.
func (b *Book) look(at store.Room, age time.Duration) (title string, asked bool) {
	v, asked := b.known.Get(at)
	if asked && v.fresh(b.now(), age) {
		return v.title, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.waiting[at] {
		select {
		case b.queue <- at:
			b.waiting[at] = true
		default: // there is no hurry: the next page asks again
		}
	}
	return v.title, asked
}

// Run looks names up until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-b.queue:
			b.ask(ctx, at)
		}
	}
}

func (b *Book) ask(ctx context.Context, at store.Room) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	told := false
	title := ""
	defer func() { // after a panic too, or it would wait for ever
		old, before := b.known.Get(at)
		if title == "" {
			title = old.title // a portal that is down renames nothing, and what is deleted is still called so
		}
		b.known.Add(at, name{title, b.now(), told})
		b.mu.Lock()
		delete(b.waiting, at)
		b.mu.Unlock()
		if title != old.title || !before {
			b.found.Add(1)
		}
	}()
	t, err := b.o.Title(ctx, at.Portal, at.ID)
	if err == nil {
		title, told = t, true
	}
}
