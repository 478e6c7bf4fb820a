package ingest

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/event"
	"docspace-router/internal/tracing"
)

// span begins the trace of a delivery and returns what ends its first span. Anybody may send a
// traceparent with a delivery, a proxy before the gateway above all: it is linked to and not obeyed,
// because it would decide what is traced here.
func (h *Handler) span(r *http.Request, portal string) (context.Context, func(code int, body reply)) {
	ctx := r.Context()
	if h.tracer == nil {
		return ctx, func(int, reply) {}
	}
	outside := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	ctx, span := h.tracer.Start(ctx, "POST /webhook/{portal}", trace.WithSpanKind(trace.SpanKindServer), trace.WithNewRoot(),
		tracing.Links(trace.SpanContextFromContext(outside)), trace.WithAttributes(tracing.Portal(portal)))
	return ctx, func(code int, body reply) {
		span.SetAttributes(attribute.Int("http.response.status_code", code), attribute.Bool("duplicate", body.Duplicate),
			attribute.String("ignored", body.Ignored))
		if code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, body.Error)
		}
		span.End()
	}
}

// describe says on the delivery's span what it is about.
func (h *Handler) describe(ctx context.Context, ev event.Event) {
	if h.tracer == nil {
		return
	}
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("event_id", ev.ID), attribute.String("trigger", ev.Trigger))
}

// span begins the span of a group commit, which is linked to the spans of the deliveries in it. A
// group of which no delivery is traced has none.
func (c *committer) span(ctx context.Context, group []waiter) (context.Context, trace.Span) {
	if c.tracer == nil {
		return ctx, trace.SpanFromContext(context.Background())
	}
	var deliveries []trace.SpanContext
	for _, w := range group {
		if w.span.IsSampled() {
			deliveries = append(deliveries, w.span)
		}
	}
	if len(deliveries) == 0 {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return c.tracer.Start(ctx, "group commit", tracing.Links(deliveries...), trace.WithAttributes(attribute.Int("deliveries", len(group))))
}
