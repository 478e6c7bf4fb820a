package routing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// traced decides on an event inside a span of the trace that its delivery began, across the database
// and whatever restarts there were. What the portal is asked for becomes spans below it.
func (r *Router) traced(ctx context.Context, snap Snapshot, pending store.PendingEvent) store.Decision {
	if r.o.Tracer == nil {
		return r.decide(ctx, snap, pending)
	}
	ctx, span := r.o.Tracer.Start(tracing.Continue(ctx, pending.Trace), "route event", trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	d := r.decide(ctx, snap, pending)
	if !span.IsRecording() {
		return d
	}
	ruleNames := make([]string, 0, len(d.Transfers))
	for _, t := range d.Transfers {
		ruleNames = append(ruleNames, t.Rule)
	}
	span.SetAttributes(
		tracing.Portal(pending.Portal), tracing.Event(pending.ID), attribute.String("event_id", pending.EventID),
		attribute.String("trigger", pending.Trigger), attribute.Int("attempt", pending.Attempts+1),
		attribute.String("status", string(d.State)), attribute.StringSlice("rule", ruleNames), attribute.String("reason", d.Reason),
	)
	if d.State == event.EventFailed || d.State == event.EventPending {
		span.SetStatus(codes.Error, d.Reason)
	}
	return d
}
