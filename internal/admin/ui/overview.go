package ui

import (
	"context"
	"net/http"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// countsFor is how long the counts by state are believed: everybody who has a page open asks.
const countsFor = 2 * time.Second

type overviewView struct {
	Counts  store.Counts
	Waiting int64 // transfers that are not ended
	Chart   chart
	Portals []portalView
	Rules   Rules
	Errors  []string
	Failed  []transferRow // the newest ones
	Pauses  []store.Pause

	FailedEvents []store.StoredEvent // the newest ones
	Backfills    []backfillView
}

// mostFailed is how many failed transfers, and as many events, are shown.
const mostFailed = 5

// Transfers and Events are how many there are in a state.
func (v overviewView) Transfers(state string) int64 { return v.Counts.Transfers[event.State(state)] }

// Events is like Transfers.
func (v overviewView) Events(state string) int64 { return v.Counts.Events[event.EventState(state)] }

// Large is the figure above which counts are not of this moment.
func (overviewView) Large() int64 { return store.Countable }

type portalView struct {
	Portal
	Usage store.Usage
	Left  int64 // of the day's writes
	Share int   // of the day's writes that are used, in percent
	Pause pauseForm
}

func (u *UI) countsNow(ctx context.Context) (store.Counts, error) {
	return u.counts.get(ctx, countsFor, u.o.Store.Counts)
}

func (u *UI) overview(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	v := overviewView{Rules: u.o.Rules()}
	v.Errors = errorLines(v.Rules.Status.LastError)
	var err error
	if v.Counts, err = u.countsNow(r.Context()); err != nil {
		return err
	}
	for _, s := range []event.State{event.Blocked, event.Queued, event.Sending} {
		v.Waiting += v.Counts.Transfers[s]
	}
	minutes, err := u.flow.get(r.Context(), u.now(), u.o.Store.Flow)
	if err != nil {
		return err
	}
	v.Chart = newChart(minutes)
	if v.Pauses, err = u.o.Store.Pauses(r.Context()); err != nil {
		return err
	}
	if v.Backfills, err = u.backfillsNow(r.Context()); err != nil {
		return err
	}
	if v.Portals, err = u.portals(r.Context(), v.Pauses, author(r)); err != nil {
		return err
	}
	failed, _, err := u.o.Store.Transfers(r.Context(), store.Filter{States: []string{string(event.Failed)}, Limit: mostFailed})
	if err != nil {
		return err
	}
	if v.Failed, err = u.rows(r.Context(), failed); err != nil {
		return err
	}
	if v.FailedEvents, _, err = u.o.Store.Events(r.Context(), store.Filter{States: []string{string(event.EventFailed)}, Limit: mostFailed}); err != nil {
		return err
	}
	return u.render(w, r, http.StatusOK, "overview", view{Title: "Overview", Nav: "/", Live: true, Pulse: pulse, Body: v})
}

func (u *UI) portals(ctx context.Context, pauses []store.Pause, author string) ([]portalView, error) {
	var out []portalView
	for _, p := range u.o.Portals() {
		usage, err := u.o.Store.Usage(ctx, p.Name, store.Budget{WritesPerDay: p.WritesPerDay})
		if err != nil {
			return nil, err
		}
		v := portalView{Portal: p, Usage: usage, Pause: newPauseForm(pauses, store.PausePortal, p.Name, author)}
		if p.WritesPerDay > 0 {
			v.Left = max(0, int64(p.WritesPerDay)-usage.WritesToday)
			v.Share = int(min(100, usage.WritesToday*100/int64(p.WritesPerDay)))
		}
		out = append(out, v)
	}
	return out, nil
}
