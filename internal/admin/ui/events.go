package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

type eventsView struct {
	Filter  listFilter
	List    []store.StoredEvent
	Older   string
	States  []event.EventState
	Portals []Portal
	Rules   []string
}

// Newest is the address of the first page.
func (v eventsView) Newest() string { return v.Filter.with("/events", 0) }

func (u *UI) events(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	v := eventsView{Filter: f, States: event.EventStates(), Portals: u.o.Portals(), Rules: u.ruleNames()}
	var next int64
	if v.List, next, err = u.o.Store.Events(r.Context(), f.store()); err != nil {
		return err
	}
	if next > 0 {
		v.Older = f.with("/events", next)
	}
	return u.render(w, r, http.StatusOK, "events", view{Title: "Events", Nav: "/events", Live: f.First(), Pulse: pulse, Body: v})
}

type eventView struct {
	store.StoredEvent
	Body      string
	Transfers []transferRow
	Verdicts  *verdictsView
	Asked     bool // whether the portal is asked for the verdicts
}

// verdictsView is what the rules make of a delivery.
type verdictsView struct {
	explain.Explanation
	Shown   []explain.Verdict
	Matched int
	Others  int    // rules of other portals
	Left    int    // rules that did not match and are not shown
	Problem string // why there is no explanation
}

// maxVerdicts is how many rules are shown in full.
const maxVerdicts = 100

func newVerdicts(e explain.Explanation, err error) *verdictsView {
	if err != nil {
		return &verdictsView{Problem: err.Error()}
	}
	v := &verdictsView{Explanation: e}
	for _, rule := range e.Rules {
		switch {
		case rule.Condition == rules.OnPortal:
			v.Others++
			continue
		case rule.Matched:
			v.Matched++
		case len(e.Rules) > maxVerdicts:
			v.Left++
			continue
		}
		v.Shown = append(v.Shown, rule)
	}
	return v
}

func (u *UI) event(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	id, err := pathID(r)
	if err != nil {
		return err
	}
	stored, body, err := u.o.Store.Event(r.Context(), id)
	if err != nil {
		return err
	}
	v := eventView{StoredEvent: stored, Body: pretty(body)}
	list, err := u.o.Store.EventTransfers(r.Context(), id)
	if err != nil {
		return err
	}
	if v.Transfers, err = u.rows(r.Context(), list); err != nil {
		return err
	}
	// Asking the rules may mean asking the portal, which may be slow: the page comes first, and
	// fetches the verdicts where scripts run. Elsewhere a link does.
	if v.Asked = r.FormValue("why") != ""; v.Asked {
		v.Verdicts = u.verdicts(r, stored, body)
	}
	title := stored.Title
	if title == "" {
		title = fmt.Sprintf("event %d", id)
	}
	return u.render(w, r, http.StatusOK, "event", view{Title: title, Nav: "/events", Live: true, Pulse: pulse, Body: v})
}

func (u *UI) verdicts(r *http.Request, stored store.StoredEvent, body []byte) *verdictsView {
	ev, err := parseStored(stored, body)
	if err != nil {
		return &verdictsView{Problem: err.Error()}
	}
	return newVerdicts(u.o.Explain(r.Context(), stored.Portal, ev))
}

func parseStored(stored store.StoredEvent, body []byte) (event.Event, error) {
	ev, err := event.Parse(body)
	if err != nil {
		return ev, fmt.Errorf("the stored body cannot be read: %w", err)
	}
	if ev.CreatedOn.IsZero() {
		ev.CreatedOn = stored.HappenedAt
	}
	return ev, nil
}

// pretty indents a body for people. What is no JSON is shown as it is.
func pretty(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, bytes.TrimSpace(body), "", "  ") == nil {
		return out.String()
	}
	if !utf8.Valid(body) {
		return strings.ToValidUTF8(string(body), "\uFFFD")
	}
	return string(body)
}

var errNoDelivery = errors.New("paste the body of a delivery, or choose one that is stored")
