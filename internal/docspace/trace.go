package docspace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// span begins the span of one request, without the wait for its turn, and returns what ends it. It
// says which call it was and how it ended, never the URL or the body; and the portal is told nothing
// of the trace.
func (c *Client) span(ctx context.Context, r request) (context.Context, func(code string, err error)) {
	if c.tracer == nil {
		return ctx, func(string, error) {}
	}
	ctx, span := c.tracer.Start(ctx, "DocSpace "+r.call, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(code string, err error) {
		if span.IsRecording() {
			span.SetAttributes(attribute.String("portal", c.portal), attribute.String("call", r.call),
				attribute.String("http.request.method", r.method), attribute.String("code", code))
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
			}
		}
		span.End()
	}
}
