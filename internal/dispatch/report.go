package dispatch

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

type metrics struct {
	transfers  *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	operations *prometheus.CounterVec
	size       prometheus.Histogram
	seconds    *prometheus.HistogramVec

	mu    sync.Mutex // guards rules
	rules map[string]bool
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		transfers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_transfers_total",
			Help: "What operations made of transfers, by portal, rule and outcome; queued counts those to be tried again. Those of a rule that leaves the rules file go with it.",
		}, []string{"portal", "rule", "outcome"}),
		latency: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "docspace_router_transfer_seconds",
			Help:    "Time from a delivery's arrival to the moment its transfer is known to be done.",
			Buckets: prometheus.ExponentialBuckets(0.25, 2, 18),
		}, []string{"portal"}),
		operations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_operations_total",
			Help: "Settled operations, by portal and whether all of their transfers were done.",
		}, []string{"portal", "result"}),
		size: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "docspace_router_operation_transfers",
			Help:    "Transfers per operation.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "docspace_router_operation_seconds",
			Help:    "Time from claiming an operation's transfers to knowing what became of them.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 14),
		}, []string{"portal"}),
		rules: map[string]bool{},
	}
}

// count counts one outcome.
func (m *metrics) count(portal, rule string, outcome event.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules[rule] = true
	m.transfers.WithLabelValues(portal, rule, string(outcome)).Inc()
}

// KeepRules makes the metrics those of the rules in a table, as routing's do. What is still queued of
// others goes on, and is counted until the next call.
func (d *Dispatcher) KeepRules(t *rules.Table) {
	m := d.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	now := map[string]bool{}
	for _, r := range t.Rules() {
		now[r.Name], m.rules[r.Name] = true, true
		for _, portal := range r.Portals {
			for _, outcome := range []event.State{event.Done, event.Failed} {
				m.transfers.WithLabelValues(portal, r.Name, string(outcome))
			}
		}
	}
	for rule := range m.rules {
		if !now[rule] {
			delete(m.rules, rule)
			m.transfers.DeletePartialMatch(prometheus.Labels{"rule": rule})
		}
	}
}

// tell counts and traces what became of some of an operation's transfers, and writes a line for
// each at debug.
func (d *Dispatcher) tell(ctx context.Context, op *store.Operation, transfers []store.Transfer, outcomes []store.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	origins, err := d.o.Store.Origins(ctx, transfers)
	if err != nil {
		d.log.Warn("transfers not measured", "portal", op.Portal, "operation_id", op.ID, "err", err)
	}
	byID := make(map[int64]store.Transfer, len(transfers))
	for _, t := range transfers {
		byID[t.ID] = t
	}
	for _, o := range outcomes {
		t := byID[o.TransferID]
		d.metrics.count(op.Portal, t.Rule, o.State)
		origin, known := origins[t.EventID]
		if known && o.State == event.Done {
			d.metrics.latency.WithLabelValues(op.Portal).Observe(max(0, d.o.Now().Sub(origin.ReceivedAt).Seconds()))
		}
		d.traceOutcome(ctx, op, t, o, origin)
		level := slog.LevelDebug
		if o.State == event.Failed {
			level = slog.LevelError
		}
		d.log.Log(ctx, level, "transfer settled", "portal", op.Portal, "rule", t.Rule, "event", t.EventID, "transfer_id", t.ID,
			"operation_id", op.ID, "outcome", o.State, "reason", o.Reason)
	}
}

// report writes one line per settled operation.
func (d *Dispatcher) report(ctx context.Context, op *store.Operation, outcomes []store.Outcome, problem string) {
	count := map[event.State]int{}
	for _, o := range outcomes {
		count[o.State]++
	}
	took := d.o.Now().Sub(op.StartedAt)
	result, level := "complete", slog.LevelInfo
	if count[event.Done]+count[event.Skipped] < len(outcomes) {
		result, level = "incomplete", slog.LevelWarn
	}
	d.metrics.operations.WithLabelValues(op.Portal, result).Inc()
	d.metrics.size.Observe(float64(op.Size))
	d.metrics.seconds.WithLabelValues(op.Portal).Observe(took.Seconds())
	d.log.Log(ctx, level, "operation settled", "portal", op.Portal, "lane", op.Lane, "operation_id", op.ID,
		"done", count[event.Done], "skipped", count[event.Skipped], "queued", count[event.Queued], "failed", count[event.Failed],
		"reason", problem, "duration_ms", took.Milliseconds())
}
