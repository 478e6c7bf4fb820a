package ingest

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"docspace-router/internal/event"
)

type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	events     *prometheus.CounterVec
	duplicates *prometheus.CounterVec
	ignored    *prometheus.CounterVec
	groupSize  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_webhook_requests_total",
			Help: "Deliveries by portal and HTTP status of the answer; the portal is empty when the address names none there is.",
		}, []string{"portal", "code"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "docspace_router_webhook_request_seconds",
			Help:    "Time from a delivery's arrival to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"portal"}),
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_events_total",
			Help: "Events stored, by portal and trigger.",
		}, []string{"portal", "trigger"}),
		duplicates: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_events_duplicate_total",
			Help: "Deliveries that had been stored before.",
		}, []string{"portal"}),
		ignored: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_deliveries_ignored_total",
			Help: "Deliveries about no file or folder, answered and not stored, by portal and reason: other_trigger, no_entry, no_object or id_too_long.",
		}, []string{"portal", "reason"}),
		groupSize: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "docspace_router_group_commit_size",
			Help:    "Deliveries that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
	}
}

var knownTriggers = event.Triggers()

// boundedTrigger keeps the label's values to those DocSpace documents.
func boundedTrigger(trigger string) string {
	if slices.Contains(knownTriggers, trigger) {
		return trigger
	}
	return "other"
}
