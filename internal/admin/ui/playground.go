package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

type playgroundView struct {
	Portal   string
	Event    string // the id of a stored one
	Body     string
	Rule     string
	When     string
	Changed  bool // the condition differs from the rules file's
	Recent   []store.StoredEvent
	Rules    []rules.Info
	Portals  []Portal
	Verdicts *verdictsView
	Wrong    string // what is wrong with the condition
}

// playground shows what the rules make of a delivery, with one rule's condition as it is being
// written. It asks the portal what the rules need to know; it sends and stores nothing.
func (u *UI) playground(w http.ResponseWriter, r *http.Request) error {
	v := playgroundView{
		Portal: r.FormValue("portal"), Event: strings.TrimSpace(r.FormValue("event")), Body: r.FormValue("body"),
		Rule: r.FormValue("rule"), Rules: u.o.Rules().Table.Rules(), Portals: u.o.Portals(),
	}
	var err error
	if v.Recent, _, err = u.o.Store.Events(r.Context(), store.Filter{Limit: 30}); err != nil {
		return err
	}
	// What is in the text area is about the event that was chosen before, if it was another.
	if v.Event != "" {
		fill := v.Body == "" || r.FormValue("event_shown") != v.Event
		if err := u.pick(r.Context(), &v, fill); err != nil {
			return err
		}
	}
	inFile := ""
	for _, info := range v.Rules {
		if info.Name == v.Rule {
			inFile = info.When
		}
	}
	v.When = inFile
	if r.PostForm.Has("when") && r.PostFormValue("rule_shown") == v.Rule {
		v.When = strings.ReplaceAll(r.PostFormValue("when"), "\r\n", "\n")
	}
	v.Changed = strings.TrimSpace(v.When) != strings.TrimSpace(inFile)
	u.try(r.Context(), &v)
	return u.render(w, r, http.StatusOK, "playground", view{Title: "Playground", Nav: "/playground", Body: v})
}

// pick has the chosen event among those to choose from, and fills it in.
func (u *UI) pick(ctx context.Context, v *playgroundView, fill bool) error {
	id, err := strconv.ParseInt(v.Event, 10, 64)
	if err != nil {
		return statusError{http.StatusBadRequest, fmt.Sprintf("%q is no event: want its id, a number.", v.Event)}
	}
	stored, body, err := u.o.Store.Event(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound) && !fill:
		return nil // it was removed since; the text area still has it
	case err != nil:
		return err
	}
	if fill {
		v.Body, v.Portal = pretty(body), stored.Portal
	}
	if !slices.ContainsFunc(v.Recent, func(e store.StoredEvent) bool { return e.ID == id }) {
		v.Recent = append(v.Recent, stored)
	}
	return nil
}

func (u *UI) try(ctx context.Context, v *playgroundView) {
	if strings.TrimSpace(v.Body) == "" {
		if v.Rule != "" || v.Event != "" {
			v.Verdicts = &verdictsView{Problem: errNoDelivery.Error()}
		}
		return
	}
	ev, err := event.Parse([]byte(v.Body))
	if err != nil {
		v.Verdicts = &verdictsView{Problem: err.Error()}
		return
	}
	e, err := u.o.Try(ctx, Trial{Portal: v.Portal, Event: ev, Rule: v.Rule, When: v.When})
	var wrong rules.SpecError
	if errors.As(err, &wrong) {
		v.Wrong = wrong.Error()
		return
	}
	v.Verdicts = newVerdicts(e, err)
}
