package names

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

const (
	mostPlaces = 5_000       // how many rooms and folders are found by name; each costs a portal a call
	mostFound  = 20          // how many of them a list is narrowed to
	sourceTime = time.Minute // how long a list of sources is believed

	soonTime = 2 * time.Second       // how long FindSoon waits for names
	soonStep = 25 * time.Millisecond // how often it looks meanwhile
)

// places are the rooms and folders that are found by name.
type places struct {
	table *rules.Table
	at    time.Time
	all   []store.Room
}

// places lists the rooms and folders that the rules in use name, and those that transfers came from.
// A portal that no rule is about any more cannot tell names.
func (b *Book) places(ctx context.Context) ([]store.Room, error) {
	b.placesMu.Lock()
	defer b.placesMu.Unlock()
	table := b.o.Rules()
	if b.listed.table == table && b.now().Before(b.listed.at.Add(sourceTime)) {
		return b.listed.all, nil
	}
	var all []store.Room
	seen, portals := map[store.Room]bool{}, map[string]bool{}
	add := func(r store.Room) {
		if r.ID != "" && !seen[r] && len(all) < mostPlaces {
			seen[r] = true
			all = append(all, r)
		}
	}
	for _, rule := range table.Rules() {
		for _, portal := range rule.Portals {
			portals[portal] = true
			for i := range rule.Routes {
				add(store.Room{Portal: portal, ID: rule.Routes[i].Source})
				add(store.Room{Portal: portal, ID: rule.Routes[i].Destination})
			}
		}
	}
	sources, err := b.o.Sources(ctx, mostPlaces)
	if err != nil {
		return nil, err
	}
	for _, r := range sources {
		if portals[r.Portal] {
			add(r)
		}
	}
	b.listed = places{table, b.now(), all}
	return all, nil
}

// Place is a room or folder with its name.
type Place struct {
	Portal string `json:"portal"`
	ID     string `json:"id"`
	Name   string `json:"name"`
}

// Found is what a text means as the name or the id of rooms and folders.
type Found struct {
	Text    string
	Rooms   []Place // whose name contains it: those whose name it is first
	Known   bool    // whether it is the id of a room or folder that can be found by name
	Waiting int     // how many names are not known yet
	Untold  int     // how many a portal did not tell
	More    bool    // whether there are more than Rooms
}

// Whole reports whether Rooms are all that the text means, as far as portals tell: what is done to many
// must not be done to some of them.
func (f Found) Whole() bool { return f.Waiting == 0 && !f.More }

// Find looks for a text in the names of rooms and folders of a portal, or of all, in whatever case.
func (b *Book) Find(ctx context.Context, portal, text string) (Found, error) {
	f := Found{Text: strings.TrimSpace(text)}
	if f.Text == "" {
		return f, nil
	}
	all, err := b.places(ctx)
	if err != nil {
		return f, fmt.Errorf("find rooms by name: %w", err)
	}
	part := strings.ToLower(f.Text)
	for _, at := range all {
		if portal != "" && at.Portal != portal {
			continue
		}
		f.Known = f.Known || string(at.ID) == f.Text
		title, asked := b.look(at, findTime)
		switch {
		case title == "" && !asked:
			f.Waiting++
		case title == "":
			f.Untold++
		case strings.Contains(strings.ToLower(title), part):
			f.Rooms = append(f.Rooms, Place{at.Portal, string(at.ID), title})
		}
	}
	slices.SortFunc(f.Rooms, func(a, b Place) int {
		if exact := strings.EqualFold(a.Name, f.Text); exact != strings.EqualFold(b.Name, f.Text) {
			if exact {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.Portal, b.Portal), strings.Compare(a.ID, b.ID))
	})
	if f.More = len(f.Rooms) > mostFound; f.More {
		f.Rooms = f.Rooms[:mostFound]
	}
	return f, nil
}

// FindSoon is Find for who does not ask again: while names are still being looked up it waits, for a
// moment.
func (b *Book) FindSoon(ctx context.Context, portal, text string) (Found, error) {
	end := b.now().Add(soonTime)
	for {
		f, err := b.Find(ctx, portal, text)
		if err != nil || f.Waiting == 0 || !b.now().Before(end) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-time.After(soonStep):
		}
	}
}

// Filter is what a list of transfers is narrowed to: the rooms of that name, and the one with this id,
// since a name may be a number. It is empty only where nothing was asked for.
func (f Found) Filter() []store.Room {
	if f.Text == "" {
		return nil
	}
	list := []store.Room{{ID: event.ID(f.Text)}}
	for _, r := range f.Rooms {
		list = append(list, store.Room{Portal: r.Portal, ID: event.ID(r.ID)})
	}
	return list
}

// Note says what a list of so many transfers does not say by itself; "" where that is nothing.
func (f Found) Note(listed int) string {
	if f.Text == "" {
		return ""
	}
	var notes []string
	unknown := len(f.Rooms) == 0 && !f.Known && listed == 0
	if unknown && f.Waiting == 0 {
		notes = append(notes, fmt.Sprintf("No room or folder that the rules name is called %q or has this id.", f.Text))
	}
	if f.Waiting > 0 {
		notes = append(notes, fmt.Sprintf("%s still being looked up: there may be more in a moment.", names(f.Waiting)))
	}
	if f.Untold > 0 && unknown {
		notes = append(notes, fmt.Sprintf("%s not told by the portal.", names(f.Untold)))
	}
	if f.More {
		notes = append(notes, fmt.Sprintf("More than %d rooms and folders are called so, and %d of them are looked at: give more of the name.", mostFound, mostFound))
	}
	return strings.Join(notes, " ")
}

func names(n int) string {
	if n == 1 {
		return "The name of 1 room or folder is"
	}
	return fmt.Sprintf("The names of %d rooms and folders are", n)
}

// Titles lists names that are known, sorted, for people to choose from.
func (b *Book) Titles(ctx context.Context, most int) ([]string, error) {
	all, err := b.places(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the names of rooms: %w", err)
	}
	var titles []string
	for _, at := range all {
		if title, _ := b.look(at, findTime); title != "" {
			titles = append(titles, title)
		}
	}
	slices.Sort(titles)
	titles = slices.Compact(titles)
	return titles[:min(len(titles), most)], nil
}
