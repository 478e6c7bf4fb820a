package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A list is read along an index in the order of ids, so that a page costs what it shows. Times
// are almost in that order, unless a clock is turned back: the smallest id that can matter is that of
// a thousand rows which lie next to the time, and the plus sign keeps SQLite from reading along the
// index of times instead, which would make it sort. Several states are several lists, which are merged.

// A search looks at one window of rows after the other, for searchFor at most. A page may so be shorter
// than its limit, or empty, although there is more: its next cursor says so.
const (
	window    = 5_000
	searchFor = 50 * time.Millisecond
)

// searchLength is how much of a title is searched, in characters.
const searchLength = 255

// searchKey is a title as it is searched.
func searchKey(title string) string {
	runes := []rune(strings.ToLower(title))
	return string(runes[:min(len(runes), searchLength)])
}

// where collects conditions and their values.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, value any) {
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "?", w.value(value)))
}

// oneOf is the condition that a column has one of the values.
func (w *where) oneOf(column string, values []string) {
	from := len(w.args) + 1
	w.args = append(w.args, anys(values)...)
	w.conditions = append(w.conditions, column+" IN "+placeholders(from, len(values)))
}

// value is the placeholder of one more value.
func (w *where) value(value any) string {
	w.args = append(w.args, value)
	return "$" + strconv.Itoa(len(w.args))
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// list is what a list is read from.
type list[T any] struct {
	table, columns string
	at             string // the column that Since and Until are about
	scan           func(*sql.Rows) (T, error)
	id             func(T) int64
}

var (
	transferList = list[Transfer]{"transfers", transferColumns, "created_at", scanTransfer, func(t Transfer) int64 { return t.ID }}
	eventList    = list[StoredEvent]{"events", storedEventColumns, "received_at", scanStoredEvent, func(e StoredEvent) int64 { return e.ID }}
)

// Transfers lists transfers, newest first. When there are more, or a search could not look through
// everything, next is where the next page begins: its Filter.Before.
func (s *Store) Transfers(ctx context.Context, f Filter) (transfers []Transfer, next int64, err error) {
	if transfers, next, err = transferList.read(ctx, s, f); err != nil {
		return nil, 0, fmt.Errorf("list transfers: %w", err)
	}
	return transfers, next, nil
}

// Events lists events, newest first, as Transfers lists transfers.
func (s *Store) Events(ctx context.Context, f Filter) (events []StoredEvent, next int64, err error) {
	f.Rooms = nil
	if events, next, err = eventList.read(ctx, s, f); err != nil {
		return nil, 0, fmt.Errorf("list events: %w", err)
	}
	return events, next, nil
}

// read reads a page. One row more than is asked for is looked for, so that a full page says that
// there is a next one only where there is.
func (l list[T]) read(ctx context.Context, s *Store, f Filter) (items []T, next int64, err error) {
	limit := max(f.Limit, 1)
	f.Limit = limit + 1
	if items, next, err = l.pages(ctx, s, f); len(items) > limit {
		items, next = items[:limit], l.id(items[limit-1])
	}
	return items, next, err
}

// pages reads pages until there are as many rows as are wanted, or time is up.
func (l list[T]) pages(ctx context.Context, s *Store, f Filter) (items []T, next int64, err error) {
	until := time.Now().Add(searchFor)
	for {
		part, next, err := l.page(ctx, s, f)
		if err != nil {
			return nil, 0, err
		}
		items = append(items, part...)
		f.Limit -= len(part)
		if f.Before = next; next == 0 || f.Limit <= 0 || time.Now().After(until) {
			return items, next, nil
		}
	}
}

// page reads one page, which is short when a window ends.
func (l list[T]) page(ctx context.Context, s *Store, f Filter) (items []T, next int64, err error) {
	for _, state := range lists(f) {
		part, floor, err := l.ofState(ctx, s, f, state)
		if err != nil {
			return nil, 0, err
		}
		items, next = append(items, part...), max(next, floor)
	}
	// Below next nothing is known of one of the states.
	items = slices.DeleteFunc(items, func(item T) bool { return l.id(item) < next })
	slices.SortFunc(items, func(a, b T) int { return int(l.id(b) - l.id(a)) })
	if len(items) > f.Limit {
		items = items[:f.Limit]
	}
	if len(items) == f.Limit && f.Limit > 0 {
		next = l.id(items[len(items)-1])
	}
	return items, next, nil
}

// ofState reads the page of one state. Floor is the id down to which the state has been read; 0 when
// it has been read to its end.
func (l list[T]) ofState(ctx context.Context, s *Store, f Filter, state string) (items []T, floor int64, err error) {
	w := l.where(f, state)
	windowed := f.Search != "" || l.windowed(f)
	if !windowed {
		items, err = queryAll(ctx, s.read, l.scan,
			`SELECT `+l.columns+` FROM `+l.table+w.String()+` ORDER BY id DESC LIMIT `+w.value(f.Limit), w.args...)
		if len(items) == f.Limit && f.Limit > 0 {
			floor = l.id(items[len(items)-1])
		}
		return items, floor, err
	}
	if items, err = l.search(ctx, s, f, w); err != nil {
		return nil, 0, err
	}
	if len(items) == f.Limit && f.Limit > 0 {
		return items, l.id(items[len(items)-1]), nil
	}
	floor, err = l.windowEnd(ctx, s, f, state)
	return items, floor, err
}

// windowed reports whether a list of events by rule is meant: it is read along the rule's
// transfers, of which those within the window are looked at. So is one of transfers by room, along
// the indexes of the places that a room can have in a transfer.
func (l list[T]) windowed(f Filter) bool {
	return l.table == "events" && f.Rule != "" || len(f.Rooms) > 0
}

// roomPlaces are conditions, one for each place that a room can have in a transfer; each has an index.
var roomPlaces = []string{"source = ?", "base = ?", "destination = ? AND destination <> base"}

// roomWindow is how many transfers of a room, and of each place, are looked at in one window: fewer
// of each the more rooms there are.
func roomWindow(f Filter) int { return max(window/len(f.Rooms)/len(roomPlaces), 100) }

// roomRows selects the ids of the newest transfers of rooms. What is further back than the window of
// one of them is not looked at, so no more than a window of the newest counts.
func (l list[T]) roomRows(f Filter, w *where) string {
	bounds := where{args: w.args}
	l.bound(f, &bounds)
	w.args = bounds.args
	limit := w.value(roomWindow(f))
	var parts []string
	for _, id := range roomIDs(f.Rooms) {
		room := w.value(id)
		for _, place := range roomPlaces {
			of := where{conditions: append([]string{strings.ReplaceAll(place, "?", room)}, bounds.conditions...)}
			parts = append(parts, `SELECT id FROM (SELECT id FROM transfers`+of.String()+` ORDER BY id DESC LIMIT `+limit+`) AS part`)
		}
	}
	return `SELECT id FROM (` + strings.Join(parts, ` UNION ALL `) + `) AS rooms ORDER BY id DESC`
}

func roomIDs(rooms []Room) []string {
	var ids []string
	for _, r := range rooms {
		ids = append(ids, string(r.ID))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// inRooms is the condition that a transfer comes from one of the rooms or goes to it.
func (w *where) inRooms(rooms []Room) {
	var either []string
	for _, r := range rooms {
		of := w.value(string(r.ID)) + " IN (source, base, destination)"
		if r.Portal != "" {
			of = "portal = " + w.value(r.Portal) + " AND " + of
		}
		either = append(either, of)
	}
	w.conditions = append(w.conditions, "("+strings.Join(either, " OR ")+")")
}

// lists are the states that are read as lists of their own, and merged. By room they are one list.
func lists(f Filter) []string {
	if len(f.States) == 0 || len(f.Rooms) > 0 {
		return []string{""}
	}
	return f.States
}

// search looks for a title among the newest rows. Without another filter an index has all that is
// looked at.
func (l list[T]) search(ctx context.Context, s *Store, f Filter, w where) ([]T, error) {
	from := l.table
	if s.kind == SQLite && len(f.States) == 0 && f.Portal == "" && f.Rule == "" && len(f.Rooms) == 0 && f.Since.IsZero() && f.Until.IsZero() {
		from += " INDEXED BY " + l.table + "_search"
	}
	query := `SELECT id FROM (SELECT id, search FROM ` + from + w.String() + ` ORDER BY id DESC LIMIT ` + w.value(window) + `) AS newest`
	if f.Search != "" {
		query += ` WHERE ` + s.find() + `(search, ` + w.value(searchKey(f.Search)) + `) > 0`
	}
	ids, err := queryColumn[int64](ctx, s.read, query+` LIMIT `+w.value(f.Limit), w.args...)
	if err != nil {
		return nil, err
	}
	var items []T
	err = inChunks(ids, 500, func(chunk []int64) error {
		part, err := queryAll(ctx, s.read, l.scan, `SELECT `+l.columns+` FROM `+l.table+` WHERE id IN `+placeholders(1, len(chunk)), anys(chunk)...)
		items = append(items, part...)
		return err
	})
	slices.SortFunc(items, func(a, b T) int { return int(l.id(b) - l.id(a)) })
	return items, err
}

// find is the database's function that finds one text in another.
func (s *Store) find() string {
	if s.kind == PostgreSQL {
		return "strpos"
	}
	return "instr"
}

// windowEnd is the id of the last row that a search looked at, or 0 when it came to the end.
func (l list[T]) windowEnd(ctx context.Context, s *Store, f Filter, state string) (int64, error) {
	var w where
	switch {
	case len(f.Rooms) > 0:
		return lastOf(queryColumn[int64](ctx, s.read, l.roomRows(f, &w)+` LIMIT 1 OFFSET `+w.value(roomWindow(f)-1), w.args...))
	case l.windowed(f):
		w = ruleEvents(f)
		return lastOf(queryColumn[int64](ctx, s.read, `SELECT event_id FROM transfers`+w.String()+
			` ORDER BY event_id DESC LIMIT 1 OFFSET `+w.value(window-1), w.args...))
	}
	w = l.where(f, state)
	return lastOf(queryColumn[int64](ctx, s.read, `SELECT id FROM `+l.table+w.String()+` ORDER BY id DESC LIMIT 1 OFFSET `+w.value(window-1), w.args...))
}

func lastOf(ids []int64, err error) (int64, error) {
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return ids[len(ids)-1], nil
}

// ruleEvents are the conditions on transfers whose events are listed.
func ruleEvents(f Filter) where {
	var w where
	w.add("rule = ?", f.Rule)
	if f.Before > 0 {
		w.add("event_id < ?", f.Before)
	}
	return w
}

func (l list[T]) where(f Filter, state string) where {
	var w where
	switch {
	case len(f.Rooms) > 0:
		w.conditions = []string{`id IN (` + l.roomRows(f, &w) + ` LIMIT ` + w.value(roomWindow(f)) + `)`}
		if slices.ContainsFunc(f.Rooms, func(r Room) bool { return r.Portal != "" }) {
			w.inRooms(f.Rooms)
		}
	case l.windowed(f):
		w = ruleEvents(f)
		w.conditions = []string{`id IN (SELECT event_id FROM transfers` + w.String() + ` ORDER BY event_id DESC LIMIT ` + w.value(window) + `)`}
	}
	if f.Rule != "" && l.table == "transfers" {
		w.add("rule = ?", f.Rule)
	}
	switch {
	case state != "":
		w.add("state = ?", state)
	case len(f.States) > 0:
		w.oneOf("state", f.States)
	}
	if f.Portal != "" {
		w.add("portal = ?", f.Portal)
	}
	if len(f.Rooms) == 0 { // else its rows are bound already
		l.bound(f, &w)
	}
	return w
}

// bound adds the conditions on ids and times.
func (l list[T]) bound(f Filter, w *where) {
	if !f.Since.IsZero() {
		w.add("id >= (SELECT min(id) FROM (SELECT id FROM "+l.table+" WHERE "+l.at+" >= ? ORDER BY "+l.at+" LIMIT 1000) AS first)", millis(f.Since))
		w.add("+"+l.at+" >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("id <= (SELECT max(id) FROM (SELECT id FROM "+l.table+" WHERE "+l.at+" < ? ORDER BY "+l.at+" DESC LIMIT 1000) AS last)", millis(f.Until))
		w.add("+"+l.at+" < ?", millis(f.Until))
	}
	if f.Before > 0 {
		w.add("id < ?", f.Before)
	}
}
