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
	states := f.States
	if len(states) == 0 {
		states = []string{""}
	}
	for _, state := range states {
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
// transfers, of which those within the window are looked at.
func (l list[T]) windowed(f Filter) bool { return l.table == "events" && f.Rule != "" }

// search looks for a title among the newest rows. Without another filter an index has all that is
// looked at.
func (l list[T]) search(ctx context.Context, s *Store, f Filter, w where) ([]T, error) {
	from := l.table
	if s.kind == SQLite && len(f.States) == 0 && f.Portal == "" && f.Rule == "" && f.Destination == "" && f.Since.IsZero() && f.Until.IsZero() {
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
	if l.windowed(f) {
		w := ruleEvents(f)
		return lastOf(queryColumn[int64](ctx, s.read, `SELECT event_id FROM transfers`+w.String()+
			` ORDER BY event_id DESC LIMIT 1 OFFSET `+w.value(window-1), w.args...))
	}
	w := l.where(f, state)
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
	if l.windowed(f) {
		w = ruleEvents(f)
		w.conditions = []string{`id IN (SELECT event_id FROM transfers` + w.String() + ` ORDER BY event_id DESC LIMIT ` + w.value(window) + `)`}
	} else if f.Rule != "" {
		w.add("rule = ?", f.Rule)
	}
	if f.Destination != "" {
		w.add("destination = ?", string(f.Destination))
	}
	if state != "" {
		w.add("state = ?", state)
	}
	if f.Portal != "" {
		w.add("portal = ?", f.Portal)
	}
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
	return w
}
