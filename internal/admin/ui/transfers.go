package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// perPage is how many rows a list shows at once.
const perPage = 50

// mostNames is how many names of rooms a page offers to choose from.
const mostNames = 500

type transfersView struct {
	Filter  listFilter
	List    []transferRow
	Older   string // the address of the next page; empty on the last
	States  []event.State
	Portals []Portal
	Rules   []string
	Names   []string      // of rooms and folders, to choose from
	Rooms   []names.Place // that the filter's text means
	Note    string        // what the list does not say by itself

	Retry, Cancel offers
}

// offers is where an action on many transfers does something.
type offers struct {
	Chosen bool // on this page
	All    bool // among all that match
}

// Newest is the address of the first page.
func (v transfersView) Newest() string { return v.Filter.with("/transfers", 0) }

// listFilter is what a list is narrowed by, as its form has it.
type listFilter struct {
	Q, Room, State, Portal, Rule string
	Before                       int64
}

// Any reports whether anything is left out.
func (f listFilter) Any() bool {
	return f.Q != "" || f.Room != "" || f.State != "" || f.Portal != "" || f.Rule != ""
}

// First reports whether it is the page of the newest.
func (f listFilter) First() bool { return f.Before == 0 }

// Fields are the filters that are set, for a form to carry them on.
func (f listFilter) Fields() map[string]string {
	fields := map[string]string{}
	for name, value := range map[string]string{"q": f.Q, "room": f.Room, "state": f.State, "portal": f.Portal, "rule": f.Rule} {
		if value != "" {
			fields[name] = value
		}
	}
	return fields
}

// with is the address of the list with these filters and a cursor.
func (f listFilter) with(path string, before int64) string {
	q := url.Values{}
	for name, value := range f.Fields() {
		q.Set(name, value)
	}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func readFilter(r *http.Request) (f listFilter, err error) {
	f = listFilter{
		Q: r.FormValue("q"), Room: strings.TrimSpace(r.FormValue("room")), State: r.FormValue("state"),
		Portal: r.FormValue("portal"), Rule: r.FormValue("rule"),
	}
	if before := r.FormValue("before"); before != "" {
		if f.Before, err = strconv.ParseInt(before, 10, 64); err != nil || f.Before < 1 {
			return f, statusError{http.StatusBadRequest, "The address holds no valid place in the list. Begin with the newest."}
		}
	}
	return f, nil
}

// store is what the list is narrowed by, but for rooms.
func (f listFilter) store() store.Filter {
	out := store.Filter{Portal: f.Portal, Rule: f.Rule, Search: f.Q, Before: f.Before, Limit: perPage}
	if f.State != "" {
		out.States = strings.Split(f.State, ",")
	}
	return out
}

// filter is what a list of transfers is narrowed by, with the rooms that are meant.
func (u *UI) filter(ctx context.Context, f listFilter) (store.Filter, names.Found, error) {
	out := f.store()
	found, err := u.o.Names.Find(ctx, f.Portal, f.Room)
	out.Rooms = found.Filter()
	return out, found, err
}

func (u *UI) transfers(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	v := transfersView{Filter: f, States: event.States(), Portals: u.o.Portals(), Rules: u.ruleNames()}
	if v.Names, err = u.o.Names.Titles(r.Context(), mostNames); err != nil {
		return err
	}
	narrow, found, err := u.filter(r.Context(), f)
	if err != nil {
		return err
	}
	list, next, err := u.o.Store.Transfers(r.Context(), narrow)
	if err != nil {
		return err
	}
	v.Rooms, v.Note = found.Rooms, found.Note(len(list))
	if v.List, err = u.rows(r.Context(), list); err != nil {
		return err
	}
	if next > 0 {
		v.Older = f.with("/transfers", next)
	}
	if err := u.offer(r.Context(), &v, narrow); err != nil {
		return err
	}
	// Only the newest page changes by itself; one that is read further back stays as it is.
	return u.render(w, r, http.StatusOK, "transfers", view{Title: "Transfers", Nav: "/transfers", Live: f.First(), Pulse: pulse, Body: v})
}

// offer finds out which actions would do something. The database is asked only where the page does
// not tell.
func (u *UI) offer(ctx context.Context, v *transfersView, f store.Filter) error {
	retry, cancel := steer.Scope(store.Retry, f), steer.Scope(store.Cancel, f)
	for _, t := range v.List {
		v.Retry.Chosen = v.Retry.Chosen || t.CanRetry()
		v.Retry.All = v.Retry.All || slices.Contains(retry.States, string(t.State))
		v.Cancel.Chosen = v.Cancel.Chosen || t.CanCancel()
		v.Cancel.All = v.Cancel.All || slices.Contains(cancel.States, string(t.State))
	}
	if v.Filter.First() && v.Older == "" {
		return nil // the page is all there is
	}
	some := func(f store.Filter) (bool, error) {
		if len(f.States) == 0 {
			return false, nil
		}
		f.Before, f.Limit = 0, 1
		found, _, err := u.o.Store.Transfers(ctx, f)
		return len(found) > 0, err
	}
	var err error
	if !v.Retry.All {
		if v.Retry.All, err = some(retry); err != nil {
			return err
		}
	}
	if !v.Cancel.All {
		v.Cancel.All, err = some(cancel)
	}
	return err
}

// transferRow is a transfer as people see it.
type transferRow struct {
	store.Transfer
	Shown string       // its state, or "held"
	Hold  *store.Pause // what holds it
}

func (u *UI) rows(ctx context.Context, list []store.Transfer) ([]transferRow, error) {
	pauses, err := u.o.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]transferRow, len(list))
	for i, t := range list {
		rows[i] = transferRow{Transfer: t, Shown: string(t.State)}
		if t.State == event.Queued {
			rows[i].Hold = store.Holding(pauses, t)
		}
		if h := rows[i].Hold; h != nil {
			rows[i].Shown = "held"
			rows[i].Reason = fmt.Sprintf("%s %s is paused by %s: %s", h.Scope, h.Name, h.Author, h.Reason)
		}
	}
	return rows, nil
}

// CanRetry and CanCancel report what a person can do with it.
func (t transferRow) CanRetry() bool { return t.State == event.Failed || t.State == event.Cancelled }

// CanCancel is like CanRetry.
func (t transferRow) CanCancel() bool {
	return t.State == event.Blocked || t.State == event.Queued || t.State == event.Failed
}

func (u *UI) ruleNames() []string {
	infos := u.o.Rules().Table.Rules()
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	return names
}

type transferView struct {
	transferRow
	Event    store.StoredEvent
	HasEvent bool
	Story    []step
	Link     string // to the result, else the entry, on the portal
	Into     string // the destination on the portal
}

func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		return 0, store.ErrNotFound
	}
	return id, nil
}

func (u *UI) transfer(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	id, err := pathID(r)
	if err != nil {
		return err
	}
	t, err := u.o.Store.Transfer(r.Context(), id)
	if err != nil {
		return err
	}
	rows, err := u.rows(r.Context(), []store.Transfer{t})
	if err != nil {
		return err
	}
	v := transferView{transferRow: rows[0], Into: u.o.Link(t.Portal, event.Folder, t.Destination)}
	if v.Event, _, err = u.o.Store.Event(r.Context(), t.EventID); err != nil {
		return err
	}
	if t.State == event.Done {
		v.Link = u.o.Link(t.Portal, t.Kind, t.ResultID)
	}
	if v.Story, err = u.story(r.Context(), v.transferRow, v.Event); err != nil {
		return err
	}
	title := t.Title
	if title == "" {
		title = fmt.Sprintf("%s %s", t.Kind, t.EntryID)
	}
	return u.render(w, r, http.StatusOK, "transfer", view{Title: title, Nav: "/transfers", Live: true, Pulse: pulse, Body: v})
}
