package ui

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/backfill"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

const authorCookie = "docspace-router-author"

// author is who acts: what somebody called themselves when they last paused something.
func author(r *http.Request) string {
	if name := strings.TrimSpace(r.PostFormValue("author")); name != "" {
		return name[:min(len(name), 100)]
	}
	if c, err := r.Cookie(authorCookie); err == nil {
		if name, err := base64.RawURLEncoding.DecodeString(c.Value); err == nil && len(name) > 0 {
			return string(name)
		}
	}
	return "UI"
}

// problemOf is an error of the store, of steer or of a backfill as a page tells it.
func problemOf(err error) error {
	var refusal *backfill.Refusal
	switch {
	case errors.As(err, &refusal):
		return statusError{http.StatusConflict, err.Error()}
	case errors.Is(err, store.ErrConflict):
		return statusError{http.StatusConflict, err.Error()}
	case errors.Is(err, steer.ErrUnknown), errors.Is(err, steer.ErrInvalid):
		return statusError{http.StatusUnprocessableEntity, err.Error()}
	}
	return err
}

// back returns to the page that a form was on, with a word about what was done.
func (u *UI) back(w http.ResponseWriter, r *http.Request, otherwise, text string) error {
	to := otherwise
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host && from.Path != "" {
		to = ownPath(from.RequestURI())
	}
	notice(w, r, text, u.now())
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// actOnOne retries or cancels a transfer. Where scripts run only the transfer's own part of the page
// changes.
func (u *UI) actOnOne(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	action := store.Action(mux.Vars(r)["action"])
	done, err := u.o.Actions.Act(r.Context(), action, []int64{id}, author(r))
	if err != nil {
		return err
	}
	text := said(action, len(done.IDs))
	if why := done.Refused[id]; why != "" {
		text = fmt.Sprintf("No %s: %s.", action, why)
	}
	return u.back(w, r, fmt.Sprintf("/transfers/%d", id), text)
}

// said tells what was done with some transfers.
func said(action store.Action, n int) string {
	transfers := count(n) + " transfers are"
	if n == 1 {
		transfers = "1 transfer is"
	}
	if action == store.Cancel {
		return transfers + " cancelled."
	}
	return transfers + " queued again."
}

// many is what is to be done with more than one transfer.
type many struct {
	Action store.Action
	Filter listFilter
	Count  int
	Rooms  []names.Place // that the filter's text means
}

// Back is the address of the list.
func (m many) Back() string { return m.Filter.with("/transfers", 0) }

// actOnMany acts on the transfers that were chosen, or on all that the list's filter lets through.
// The latter asks first, and tells how many they are.
func (u *UI) actOnMany(w http.ResponseWriter, r *http.Request) error {
	action := store.Action(mux.Vars(r)["action"])
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	if r.PostFormValue("all") == "" {
		return u.actOnChosen(w, r, action, f)
	}
	f.Before = 0
	narrow, found, err := u.filter(r.Context(), f)
	if err != nil {
		return err
	}
	if !found.Whole() {
		return statusError{http.StatusConflict, "Nothing was done. " + found.Note(0)}
	}
	n, err := u.o.Actions.Count(r.Context(), action, narrow)
	if err != nil {
		return err
	}
	if r.PostFormValue("sure") == "" {
		return u.render(w, r, http.StatusOK, "confirm", view{Title: "Are you sure?", Nav: "/transfers", Body: many{action, f, n, found.Rooms}})
	}
	t, err := u.tasks.add(action, steer.Scope(action, narrow), n, author(r))
	if err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/tasks/%d", t.ID), http.StatusSeeOther)
	return nil
}

func (u *UI) actOnChosen(w http.ResponseWriter, r *http.Request, action store.Action, f listFilter) error {
	var ids []int64
	for _, text := range r.PostForm["id"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return statusError{http.StatusBadRequest, fmt.Sprintf("%q is no transfer.", text)}
		}
		ids = append(ids, id)
	}
	switch {
	case len(ids) == 0:
		return statusError{http.StatusUnprocessableEntity, "No transfer was chosen."}
	case len(ids) > 500:
		return statusError{http.StatusUnprocessableEntity, "These are too many at once: narrow the list and act on all of it."}
	}
	done, err := u.o.Actions.Act(r.Context(), action, ids, author(r))
	if err != nil {
		return err
	}
	text := said(action, len(done.IDs))
	for id, why := range done.Refused {
		text += fmt.Sprintf(" Not so transfer %d: %s.", id, why)
		if len(done.Refused) > 1 {
			text += fmt.Sprintf(" And %d more.", len(done.Refused)-1)
		}
		break
	}
	return u.back(w, r, f.with("/transfers", 0), text)
}

func (u *UI) replay(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	text := "The event is routed again, by the rules as they are now."
	switch err := u.o.Actions.Replay(r.Context(), id, author(r)); {
	case errors.Is(err, store.ErrConflict):
		text = "Not replayed: it is about to be routed anyway."
	case err != nil:
		return err
	}
	return u.back(w, r, fmt.Sprintf("/events/%d", id), text)
}

// pauseTimes are how long a pause may be asked for.
var pauseTimes = []time.Duration{30 * time.Minute, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

func (u *UI) pause(w http.ResponseWriter, r *http.Request) error {
	d, err := time.ParseDuration(r.PostFormValue("for"))
	if err != nil {
		return statusError{http.StatusUnprocessableEntity, fmt.Sprintf("%q is no duration: want one such as 2h or 30m.", r.PostFormValue("for"))}
	}
	name := strings.TrimSpace(r.PostFormValue("author"))
	if name == "" {
		return statusError{http.StatusUnprocessableEntity, "Say who you are, for those who will wonder."}
	}
	p := store.Pause{
		Scope: store.PauseScope(r.PostFormValue("scope")), Name: r.PostFormValue("name"), Until: u.now().Add(d),
		Reason: strings.TrimSpace(r.PostFormValue("reason")), Author: author(r),
	}
	if err := u.o.Actions.Pause(r.Context(), p); err != nil {
		return problemOf(err)
	}
	setCookie(w, r, authorCookie, base64.RawURLEncoding.EncodeToString([]byte(author(r))), u.now().AddDate(1, 0, 0))
	return u.back(w, r, "/rules", fmt.Sprintf("The %s %s is paused until %s.", p.Scope, p.Name, p.Until.UTC().Format("2006-01-02 15:04 UTC")))
}

func (u *UI) resume(w http.ResponseWriter, r *http.Request) error {
	scope, name := store.PauseScope(r.PostFormValue("scope")), r.PostFormValue("name")
	text := fmt.Sprintf("The %s %s is not paused any more.", scope, name)
	if err := u.o.Actions.Resume(r.Context(), scope, name, author(r)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return problemOf(err)
	}
	return u.back(w, r, "/rules", text)
}

// pauseForm is what a form for pausing something is made of.
type pauseForm struct {
	Scope  store.PauseScope
	Name   string
	Pause  *store.Pause // the one there is
	Author string
}

// Times are the choices of how long.
func (pauseForm) Times() []time.Duration { return pauseTimes }

func newPauseForm(pauses []store.Pause, scope store.PauseScope, name, author string) pauseForm {
	f := pauseForm{Scope: scope, Name: name, Author: author}
	if author == "UI" {
		f.Author = ""
	}
	for i, p := range pauses {
		if p.Scope == scope && p.Name == name {
			f.Pause = &pauses[i]
		}
	}
	return f
}
