package app

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// newBuildInfo is a constant that tells a monitor which version runs.
func newBuildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "docspace_router_build_info",
		Help:        "Always 1; the labels tell the version of the gateway and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	}, func() float64 { return 1 })
}

// stateCollector reports how many events and transfers are in each state and what waits, asked of
// the database at every scrape, so that it is right after a restart too. Replicas that share a
// database all report the same.
type stateCollector struct {
	store   *store.Store
	portals func() []string
	log     *slog.Logger

	events, transfers, waiting, oldest, pending *prometheus.Desc
}

func newStateCollector(s *store.Store, portals func() []string, log *slog.Logger) *stateCollector {
	return &stateCollector{
		store: s, portals: portals, log: log,
		events:    prometheus.NewDesc("docspace_router_events", "Stored events by state; figures above 10000 are from the last count, some seconds ago, and absent before the first.", []string{"state"}, nil),
		transfers: prometheus.NewDesc("docspace_router_transfers", "Stored transfers by state; figures above 10000 are from the last count, some seconds ago, and absent before the first.", []string{"state"}, nil),
		waiting: prometheus.NewDesc("docspace_router_waiting_transfers",
			"Transfers that have not ended, by portal and state.", []string{"portal", "state"}, nil),
		oldest: prometheus.NewDesc("docspace_router_oldest_queued_transfer_seconds",
			"How long the portal's transfer that was queued first has been queued or sending; 0 when none waits.", []string{"portal"}, nil),
		pending: prometheus.NewDesc("docspace_router_oldest_pending_event_seconds",
			"How long ago the oldest event was received that is not decided on; 0 when there is none.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.events, c.transfers, c.waiting, c.oldest, c.pending} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What the database does not tell is missing from the
// scrape and named in the log.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counts, err := c.store.Counts(ctx)
	if err != nil {
		c.log.Warn("states not counted", "err", err)
		return
	}
	// What is still being counted for the first time is missing, rather than wrong.
	known := func(n int64) bool { return n <= store.Countable || !counts.Counting }
	for state, n := range counts.Events {
		if known(n) {
			gauge(c.events, float64(n), string(state))
		}
	}
	for state, n := range counts.Transfers {
		if known(n) {
			gauge(c.transfers, float64(n), string(state))
		}
	}
	// A portal that has left the rules file may still have transfers that wait for it.
	waiting := map[string]map[event.State]store.Backlog{}
	for _, portal := range c.portals() {
		waiting[portal] = map[event.State]store.Backlog{}
	}
	for _, b := range counts.Waiting {
		if waiting[b.Portal] == nil {
			waiting[b.Portal] = map[event.State]store.Backlog{}
		}
		waiting[b.Portal][b.State] = b
	}
	for portal, states := range waiting {
		age := time.Duration(0)
		for _, state := range []event.State{event.Blocked, event.Queued, event.Sending} {
			b := states[state]
			if known(b.Transfers) {
				gauge(c.waiting, float64(b.Transfers), portal, string(state))
			}
			if state != event.Blocked && b.Transfers > 0 {
				age = max(age, time.Since(b.Oldest))
			}
		}
		gauge(c.oldest, age.Seconds(), portal)
	}
	pending, err := c.store.OldestPending(ctx)
	if err != nil {
		c.log.Warn("states not counted", "err", err)
		return
	}
	age := 0.0
	if !pending.IsZero() {
		age = max(0, time.Since(pending).Seconds())
	}
	gauge(c.pending, age)
}

// portalCollector reports what each portal in the rules file lets the gateway do.
type portalCollector struct {
	app *App

	up, limit, left, available, paused, breaker *prometheus.Desc
}

func newPortalCollector(a *App) *portalCollector {
	portal := []string{"portal"}
	return &portalCollector{
		app: a,
		up: prometheus.NewDesc("docspace_router_portal_up",
			"Whether a portal answers: 0 while it cannot be reached or refuses the key, as this process has found it.", portal, nil),
		limit: prometheus.NewDesc("docspace_router_portal_writes_limit",
			"Write calls that the rules file allows in 24 hours; absent without a limit.", portal, nil),
		left: prometheus.NewDesc("docspace_router_portal_writes_left",
			"Write calls left of the limit on this day, UTC; absent without a limit.", portal, nil),
		available: prometheus.NewDesc("docspace_router_portal_writes_available",
			"Write calls that may leave at this moment, as the limit is spread over the day; absent without a limit.", portal, nil),
		paused: prometheus.NewDesc("docspace_router_portal_paused_seconds",
			"How much longer the portal asked the gateway not to write; 0 when it did not.", portal, nil),
		breaker: prometheus.NewDesc("docspace_router_portal_breaker_state",
			"1 for the state that the portal's circuit breaker is in: open while the portal is down or refuses the key, half_open while that is found out.",
			[]string{"portal", "state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *portalCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.limit, c.left, c.available, c.paused, c.breaker} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *portalCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for name, p := range c.app.current.Load().portals {
		up := 1.0
		if p.client.Health().Down {
			up = 0
		}
		gauge(c.up, up, name)
		now := p.client.BreakerState()
		for _, state := range docspace.BreakerStates() {
			v := 0.0
			if state == now {
				v = 1
			}
			gauge(c.breaker, v, name, string(state))
		}
		limit := p.config.Limits.WritesPerDay
		usage, err := c.app.store.Usage(ctx, name, store.Budget{WritesPerDay: limit})
		if err != nil {
			c.app.limited.Warn("budget not read", "component", "app", "portal", name, "err", err)
			continue
		}
		gauge(c.paused, max(0, time.Until(usage.PausedUntil).Seconds()), name)
		if limit > 0 {
			gauge(c.limit, float64(limit), name)
			gauge(c.left, max(0, float64(limit)-float64(usage.WritesToday)), name)
			gauge(c.available, usage.Tokens, name)
		}
	}
}
