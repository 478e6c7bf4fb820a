package ui

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"docspace-router/internal/event"
)

const (
	nameTime    = 10 * time.Minute // how long a name is believed
	unknownTime = time.Minute      // how long a portal that did not tell a name is not asked again
	nameTimeout = 5 * time.Second
)

type place struct {
	portal string
	id     event.ID
}

type name struct {
	title string
	until time.Time
}

// names knows what rooms and folders are called. Pages ask it and get an answer at once: what is
// not known yet is looked up one after another in the background, and told to live pages when it
// is there.
type names struct {
	ask   func(ctx context.Context, portal string, id event.ID) (string, error)
	known *lru.Cache[place, name]
	found atomic.Int64

	mu      sync.Mutex
	waiting map[place]bool
	queue   chan place
}

func newNames(ask func(ctx context.Context, portal string, id event.ID) (string, error)) *names {
	known, err := lru.New[place, name](10_000)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &names{ask: ask, known: known, waiting: map[place]bool{}, queue: make(chan place, 500)}
}

// version grows with every name that becomes known.
func (n *names) version() int64 { return n.found.Load() }

// of is the name of a room or folder, or "" while it is not known.
func (n *names) of(portal string, id event.ID) string {
	at := place{portal, id}
	v, ok := n.known.Get(at)
	if ok && time.Now().Before(v.until) || id == "" {
		return v.title
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.waiting[at] {
		select {
		case n.queue <- at:
			n.waiting[at] = true
		default: // there is no hurry: the next page asks again
		}
	}
	return v.title
}

func (n *names) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-n.queue:
			n.look(ctx, at)
		}
	}
}

func (n *names) look(ctx context.Context, at place) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	title, err := n.ask(ctx, at.portal, at.id)
	v := name{title, time.Now().Add(nameTime)}
	old, _ := n.known.Get(at)
	if err != nil {
		v = name{old.title, time.Now().Add(unknownTime)} // a portal that is down renames nothing
	}
	n.known.Add(at, v)
	n.mu.Lock()
	delete(n.waiting, at)
	n.mu.Unlock()
	if v.title != old.title {
		n.found.Add(1)
	}
}
