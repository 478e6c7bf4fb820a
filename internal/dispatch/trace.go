package dispatch

import (
	"context"

	attr "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// trace begins the span of one run of an operation: sending it, following it, or finding out what
// became of it. A batch mixes many events, so that it has no trace of its own: it lies in that of
// its oldest transfer, and is linked to those of the others.
func (d *Dispatcher) trace(ctx context.Context, op *store.Operation) (context.Context, trace.Span) {
	if d.o.Tracer == nil || len(op.Transfers) == 0 {
		return ctx, trace.SpanFromContext(context.Background())
	}
	origins, err := d.o.Store.Origins(ctx, op.Transfers)
	if err != nil {
		d.log.Warn("operation not traced", "portal", op.Portal, "operation_id", op.ID, "err", err)
	}
	var others []trace.SpanContext
	for _, t := range op.Transfers[1:] {
		others = append(others, tracing.Noted(origins[t.EventID].Trace))
	}
	return d.o.Tracer.Start(tracing.Continue(ctx, origins[op.Transfers[0].EventID].Trace), "operation", tracing.Links(others...),
		trace.WithAttributes(tracing.Portal(op.Portal), tracing.Operation(op.ID), attr.String("lane", op.Lane),
			attr.String("state", string(op.State)), attr.Int("transfers", len(op.Transfers))))
}

// traceOutcome writes what an operation made of a transfer as a span of the trace that its event's
// delivery began, from the claim to this moment, linked to the operation.
func (d *Dispatcher) traceOutcome(ctx context.Context, op *store.Operation, t store.Transfer, o store.Outcome, origin store.Origin) {
	if origin.Trace == "" || d.o.Tracer == nil {
		return
	}
	// A run that goes on with an operation began later than the claim.
	_, span := d.o.Tracer.Start(tracing.Continue(ctx, origin.Trace), "transfer", trace.WithTimestamp(op.StartedAt),
		tracing.Links(trace.SpanContextFromContext(ctx)), trace.WithAttributes(
			tracing.Portal(op.Portal), tracing.Event(t.EventID), attr.Int64("transfer_id", t.ID), tracing.Operation(op.ID),
			attr.String("rule", t.Rule), attr.String("action", string(t.Action)), attr.Int("attempt", t.Attempts+1),
			attr.String("outcome", string(o.State)), attr.String("reason", o.Reason),
		))
	if o.State == event.Failed || o.State == event.Queued {
		span.SetStatus(codes.Error, o.Reason)
	}
	span.End()
}

// verify begins the span of looking at the portal for what an operation did.
func (d *Dispatcher) verify(ctx context.Context, transfers []store.Transfer) (context.Context, trace.Span) {
	if d.o.Tracer == nil {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return d.o.Tracer.Start(ctx, "verify", trace.WithAttributes(attr.Int("transfers", len(transfers))))
}
