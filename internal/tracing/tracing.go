// Package tracing carries a trace over the gaps in an event's way: the database and the job queue
// between a delivery, its routing and its transfers. Where spans begin and end is the affair of the
// parts; where they are sent to, that of the command.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the name of the gateway's tracer.
const Scope = "docspace-router"

// Tracer returns the provider's tracer. Without a provider there is none: the parts then leave out
// all that has to do with spans, which would cost a little even where nobody sees them.
func Tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer(Scope)
}

const header = "traceparent"

// Note writes down the span that ctx is in, as a traceparent of the W3C; "" when it is not sampled,
// so that nothing is kept of what nobody will see.
func Note(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}

// Continue returns a context whose spans are children of the noted one. Of an empty or unreadable
// note nothing comes.
func Continue(ctx context.Context, note string) context.Context {
	if note == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{header: note})
}

// Noted is the span of a note, to link to.
func Noted(note string) trace.SpanContext {
	return trace.SpanContextFromContext(Continue(context.Background(), note))
}

// Links are links to the spans there are.
func Links(spans ...trace.SpanContext) trace.SpanStartOption {
	var links []trace.Link
	for _, s := range spans {
		if s.IsValid() {
			links = append(links, trace.Link{SpanContext: s})
		}
	}
	return trace.WithLinks(links...)
}

// End ends a span, with the error that what it stands for ended with.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Attributes of the project's own, named like the keys of its logs.

// Portal names the portal.
func Portal(name string) attribute.KeyValue { return attribute.String("portal", name) }

// Event is the gateway's id of an event.
func Event(id int64) attribute.KeyValue { return attribute.Int64("event", id) }

// Operation is the gateway's id of an operation.
func Operation(id int64) attribute.KeyValue { return attribute.Int64("operation_id", id) }
