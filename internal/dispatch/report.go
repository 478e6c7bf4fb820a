package dispatch

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

type metrics struct {
	transfers  *prometheus.CounterVec
	operations *prometheus.CounterVec
	size       prometheus.Histogram
	seconds    *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		transfers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_transfers_total",
			Help: "What operations made of transfers, by portal and outcome; queued counts those to be tried again.",
		}, []string{"portal", "outcome"}),
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
	}
}

// report writes one line per settled operation and, at debug, one per transfer.
func (d *Dispatcher) report(ctx context.Context, op *store.Operation, outcomes []store.Outcome, problem string) {
	count := map[event.State]int{}
	for _, o := range outcomes {
		count[o.State]++
		d.metrics.transfers.WithLabelValues(op.Portal, string(o.State)).Inc()
		level := slog.LevelDebug
		if o.State == event.Failed {
			level = slog.LevelError
		}
		d.log.Log(ctx, level, "transfer settled", "portal", op.Portal, "transfer_id", o.TransferID, "operation_id", op.ID,
			"outcome", o.State, "reason", o.Reason)
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
