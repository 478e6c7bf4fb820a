package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"docspace-router/internal/store"
)

// stateCollector reports how many events and transfers are in each state, counted in the
// database at every scrape, so that it is right after a restart too.
type stateCollector struct {
	store     *store.Store
	log       *slog.Logger
	events    *prometheus.Desc
	transfers *prometheus.Desc
	oldest    *prometheus.Desc
}

func newStateCollector(s *store.Store, log *slog.Logger) *stateCollector {
	return &stateCollector{
		store:     s,
		log:       log,
		events:    prometheus.NewDesc("docspace_router_events", "Stored events by state.", []string{"state"}, nil),
		transfers: prometheus.NewDesc("docspace_router_transfers", "Stored transfers by state.", []string{"state"}, nil),
		oldest: prometheus.NewDesc("docspace_router_oldest_queued_transfer_seconds",
			"How long the transfer that was queued first has been waiting; 0 when none waits.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.events
	ch <- c.transfers
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, err := c.store.Counts(ctx)
	if err != nil {
		c.log.Error("states not counted", "err", err)
		return
	}
	for state, n := range counts.Events {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.GaugeValue, float64(n), string(state))
	}
	for state, n := range counts.Transfers {
		ch <- prometheus.MustNewConstMetric(c.transfers, prometheus.GaugeValue, float64(n), string(state))
	}
	age := 0.0
	if !counts.OldestQueued.IsZero() {
		age = time.Since(counts.OldestQueued).Seconds()
	}
	ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age)
}
