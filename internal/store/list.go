package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A list is read along an index in the order of ids, so that a page costs what it shows. Times are
// turned into ids first. They are almost in that order, unless a clock is turned back: the ids that can
// matter are those of a thousand rows which lie next to the time. Several states are several lists, which
// are merged.

// What no index tells, such as a part of a title or the second of two filters, is looked for in one
// window of rows after the other, for searchFor at most. A page may so be shorter than its limit, or
// empty, although there is more: its next cursor says so.
const (
	window    = 1_000
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

// all adds conditions.
func (w *where) all(conditions []condition) {
	for _, c := range conditions {
		text := c.text
		for _, value := range c.values {
			text = strings.Replace(text, "?", w.value(value), 1)
		}
		w.conditions = append(w.conditions, text)
	}
}

// between adds that ids are from one on and before another.
func (w *where) between(from, before int64) {
	if from > 0 {
		w.add("id >= ?", from)
	}
	if before < math.MaxInt64 {
		w.add("id < ?", before)
	}
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// condition is what a filter asks of a row.
type condition struct {
	text    string // with ? for each value
	values  []any
	columns []string
}

// equals asks for a value of a column.
func equals(column string, value any) condition {
	return condition{column + " = ?", []any{value}, []string{column}}
}

// list is what a list is read from.
type list[T any] struct {
	table, columns string
	at             string // the column that Since and Until are about
	scan           func(*sql.Rows) (T, error)
	id             func(T) int64
	together       bool // whether there is an index of state and portal
}

var (
	transferList = list[Transfer]{"transfers", transferColumns, "created_at", scanTransfer, func(t Transfer) int64 { return t.ID }, true}
	eventList    = list[StoredEvent]{"events", storedEventColumns, "received_at", scanStoredEvent, func(e StoredEvent) int64 { return e.ID }, false}
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
	from, before, err := l.span(ctx, s, f)
	if err != nil || from >= before {
		return nil, 0, err
	}
	f.Before = before
	states := lists(f)
	walks := make([]walk, len(states))
	for i, state := range states {
		if walks[i], err = l.walk(ctx, s, f, from, state); err != nil {
			return nil, 0, err
		}
	}
	for {
		part, next, err := l.page(ctx, s, f, walks)
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

// span is between which ids all rows lie that a filter can mean: from the first one, and before
// the second.
func (l list[T]) span(ctx context.Context, s *Store, f Filter) (from, before int64, err error) {
	before = math.MaxInt64
	if f.Before > 0 {
		before = f.Before
	}
	if !f.Since.IsZero() {
		from, err = one(queryColumn[int64](ctx, s.read, `SELECT coalesce(min(id), $2) FROM (SELECT id FROM `+l.table+` WHERE `+l.at+` >= $1
			ORDER BY `+l.at+` LIMIT 1000) AS first`, millis(f.Since), int64(math.MaxInt64)))
	}
	if err == nil && !f.Until.IsZero() {
		var last int64
		last, err = one(queryColumn[int64](ctx, s.read, `SELECT coalesce(max(id), 0) FROM (SELECT id FROM `+l.table+` WHERE `+l.at+` < $1
			ORDER BY `+l.at+` DESC LIMIT 1000) AS last`, millis(f.Until)))
		before = min(before, last+1)
	}
	return from, before, err
}

// walk is how the rows of one state are read.
type walk struct {
	from  int64       // the first id
	along []condition // have an index together
	rest  []condition // are asked of each row
	rule  string      // of events: they are read along this rule's transfers
	rooms []string    // of transfers: they are read along each place that these rooms have in one
}

// lists are the states that are read as lists of their own, and merged. By room they are one list.
func lists(f Filter) []string {
	if len(f.States) == 0 || len(f.Rooms) > 0 {
		return []string{""}
	}
	return f.States
}

// walk chooses the index with the fewest rows to read along, as far as a few windows tell.
func (l list[T]) walk(ctx context.Context, s *Store, f Filter, from int64, state string) (walk, error) {
	w := walk{from: from}
	indexed, others := l.conditions(f, state)
	if l.table == "events" && f.Rule != "" {
		w.rule, w.rest = f.Rule, append(indexed, others...)
		return w, nil
	}
	if len(f.Rooms) > 0 {
		w.rooms, w.rest = roomIDs(f.Rooms), append(indexed, others...)
		return w, nil
	}
	var choice [][]condition
	for i, c := range indexed {
		if l.together && i > 0 && c.columns[0] == "portal" && indexed[i-1].columns[0] == "state" {
			choice[i-1] = indexed[i-1 : i+1]
		} else {
			choice = append(choice, indexed[i:i+1])
		}
	}
	const enough = 10 * window
	fewest, best := enough+1, 0
	for i, along := range choice {
		if len(choice) == 1 {
			break
		}
		var c where
		c.all(along)
		c.between(from, f.Before)
		n, err := one(queryColumn[int](ctx, s.read, `SELECT count(*) FROM (SELECT 1 FROM `+l.table+c.String()+` LIMIT `+c.value(enough)+`) AS counted`, c.args...))
		if err != nil {
			return walk{}, err
		}
		if n < fewest {
			fewest, best = n, i
		}
	}
	for i, c := range choice {
		if i == best {
			w.along = c
		} else {
			w.rest = append(w.rest, c...)
		}
	}
	w.rest = append(w.rest, others...)
	return w, nil
}

// conditions are what a filter asks of the rows of a state: what has an index in the order of ids,
// and the rest. A rule is nothing that is asked of an event.
func (l list[T]) conditions(f Filter, state string) (indexed, others []condition) {
	if f.Rule != "" && l.table == "transfers" {
		indexed = append(indexed, equals("rule", f.Rule))
	}
	if state != "" {
		indexed = append(indexed, equals("state", state))
	}
	if f.Portal != "" {
		indexed = append(indexed, equals("portal", f.Portal))
	}
	if len(f.Rooms) > 0 {
		others = append(others, inRooms(f.Rooms))
		if len(f.States) > 0 {
			others = append(others, oneOf("state", f.States))
		}
	}
	if !f.Since.IsZero() {
		others = append(others, condition{l.at + " >= ?", []any{millis(f.Since)}, []string{l.at}})
	}
	if !f.Until.IsZero() {
		others = append(others, condition{l.at + " < ?", []any{millis(f.Until)}, []string{l.at}})
	}
	return indexed, others
}

// oneOf asks for any of some values of a column.
func oneOf(column string, values []string) condition {
	return condition{column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")", anys(values), []string{column}}
}

// inRooms asks that a transfer comes from one of the rooms or goes to it.
func inRooms(rooms []Room) condition {
	c := condition{columns: []string{"source", "base", "destination", "portal"}}
	var either []string
	for _, r := range rooms {
		of := "? IN (source, base, destination)"
		c.values = append(c.values, string(r.ID))
		if r.Portal != "" {
			of += " AND portal = ?"
			c.values = append(c.values, r.Portal)
		}
		either = append(either, of)
	}
	c.text = "(" + strings.Join(either, " OR ") + ")"
	return c
}

func roomIDs(rooms []Room) []string {
	var ids []string
	for _, r := range rooms {
		ids = append(ids, string(r.ID))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// page reads one page, which is short when a window ends.
func (l list[T]) page(ctx context.Context, s *Store, f Filter, walks []walk) (items []T, next int64, err error) {
	for _, w := range walks {
		part, floor, err := l.ofState(ctx, s, f, w)
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
func (l list[T]) ofState(ctx context.Context, s *Store, f Filter, w walk) (items []T, floor int64, err error) {
	if len(w.rest) == 0 && !w.windowed() && f.Search == "" {
		rows := w.rows(f.Before)
		items, err = queryAll(ctx, s.read, l.scan,
			`SELECT `+l.columns+` FROM `+l.table+rows.String()+` ORDER BY id DESC LIMIT `+rows.value(f.Limit), rows.args...)
	} else {
		items, err = l.search(ctx, s, f, w)
	}
	switch {
	case err != nil:
		return nil, 0, err
	case len(items) == f.Limit && f.Limit > 0:
		return items, l.id(items[len(items)-1]), nil
	case len(w.rest) == 0 && !w.windowed() && f.Search == "":
		return items, 0, nil
	}
	floor, err = l.windowEnd(ctx, s, f, w)
	return items, floor, err
}

// windowed reports whether rows are read along those of something else, a window of which is looked at.
func (w walk) windowed() bool { return w.rule != "" || len(w.rooms) > 0 }

// rows are the rows that are read, below an id.
func (w walk) rows(before int64) (rows where) {
	switch {
	case w.rule != "":
		rows = w.transfers(before)
		rows.conditions = []string{`id IN (SELECT event_id FROM transfers` + rows.String() + ` ORDER BY event_id DESC LIMIT ` + rows.value(window) + `)`}
	case len(w.rooms) > 0:
		rows.conditions = []string{`id IN (` + w.roomRows(before, &rows) + ` LIMIT ` + rows.value(w.roomWindow()) + `)`}
	default:
		rows.all(w.along)
		rows.between(w.from, before)
	}
	return rows
}

// roomPlaces are conditions, one for each place that a room can have in a transfer; each has an index.
var roomPlaces = []string{"source = ?", "base = ?", "destination = ? AND destination <> base"}

// roomWindow is how many transfers of a room, and of each place, are looked at in one window: fewer
// of each the more rooms there are.
func (w walk) roomWindow() int { return max(window/len(w.rooms)/len(roomPlaces), 100) }

// roomRows selects the ids of the newest transfers of rooms. What is further back than the window of
// one of them is not looked at, so no more than a window of the newest counts.
func (w walk) roomRows(before int64, rows *where) string {
	bounds := where{args: rows.args}
	bounds.between(w.from, before)
	rows.args = bounds.args
	limit := rows.value(w.roomWindow())
	var parts []string
	for _, id := range w.rooms {
		room := rows.value(id)
		for _, place := range roomPlaces {
			of := where{conditions: append([]string{strings.ReplaceAll(place, "?", room)}, bounds.conditions...)}
			parts = append(parts, `SELECT id FROM (SELECT id FROM transfers`+of.String()+` ORDER BY id DESC LIMIT `+limit+`) AS part`)
		}
	}
	return `SELECT id FROM (` + strings.Join(parts, ` UNION ALL `) + `) AS rooms ORDER BY id DESC`
}

// transfers are the transfers of a rule whose events are read.
func (w walk) transfers(before int64) (rows where) {
	rows.add("rule = ?", w.rule)
	rows.add("event_id < ?", before)
	if w.from > 0 {
		rows.add("event_id >= ?", w.from)
	}
	return rows
}

// search looks at a window of the newest rows. Where all rows are searched for a title, an index has
// all that is looked at.
func (l list[T]) search(ctx context.Context, s *Store, f Filter, w walk) ([]T, error) {
	query, rows := l.newest(s, f, w, window)
	ids, err := queryColumn[int64](ctx, s.read, `SELECT id`+query+` ORDER BY id DESC LIMIT `+rows.value(f.Limit), rows.args...)
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

// newest is the part of a query that has what a filter lets through of the newest rows, most of them at
// most. The limit also keeps the database to the index that was chosen.
func (l list[T]) newest(s *Store, f Filter, w walk, most int64) (query string, rows where) {
	from, columns := l.table, []string{"id"}
	if s.kind == SQLite && len(w.along) == 0 && len(w.rest) == 0 && !w.windowed() {
		from += " INDEXED BY " + l.table + "_search"
	}
	rest := w.rest
	if f.Search != "" {
		rest = append(slices.Clip(rest), condition{s.find() + "(search, ?) > 0", []any{searchKey(f.Search)}, []string{"search"}})
	}
	for _, c := range rest {
		for _, column := range c.columns {
			if !slices.Contains(columns, column) {
				columns = append(columns, column)
			}
		}
	}
	rows = w.rows(f.Before)
	query = ` FROM (SELECT ` + strings.Join(columns, ", ") + ` FROM ` + from + rows.String() + ` ORDER BY id DESC LIMIT ` + rows.value(most) + `) AS newest`
	rows.conditions = nil
	rows.all(rest)
	return query + rows.String(), rows
}

// count counts what a filter lets through.
func (l list[T]) count(ctx context.Context, s *Store, f Filter) (total int, err error) {
	rooms := f.Rooms
	f.Rooms = nil
	var from int64
	if from, f.Before, err = l.span(ctx, s, f); err != nil {
		return 0, err
	}
	for _, state := range lists(f) {
		w, err := l.walk(ctx, s, f, from, state)
		if err != nil {
			return 0, err
		}
		if len(rooms) > 0 {
			w.rest = append(w.rest, inRooms(rooms))
		}
		query, rows := l.newest(s, f, w, math.MaxInt64)
		n, err := one(queryColumn[int](ctx, s.read, `SELECT count(*)`+query, rows.args...))
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// find is the database's function that finds one text in another.
func (s *Store) find() string {
	if s.kind == PostgreSQL {
		return "strpos"
	}
	return "instr"
}

// windowEnd is the id of the last row that a search looked at, or 0 when it came to the end.
func (l list[T]) windowEnd(ctx context.Context, s *Store, f Filter, w walk) (int64, error) {
	switch {
	case w.rule != "":
		rows := w.transfers(f.Before)
		return lastOf(queryColumn[int64](ctx, s.read, `SELECT event_id FROM transfers`+rows.String()+
			` ORDER BY event_id DESC LIMIT 1 OFFSET `+rows.value(window-1), rows.args...))
	case len(w.rooms) > 0:
		var rows where
		return lastOf(queryColumn[int64](ctx, s.read, w.roomRows(f.Before, &rows)+` LIMIT 1 OFFSET `+rows.value(w.roomWindow()-1), rows.args...))
	}
	rows := w.rows(f.Before)
	return lastOf(queryColumn[int64](ctx, s.read, `SELECT id FROM `+l.table+rows.String()+` ORDER BY id DESC LIMIT 1 OFFSET `+rows.value(window-1), rows.args...))
}

func lastOf(ids []int64, err error) (int64, error) {
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return ids[len(ids)-1], nil
}
