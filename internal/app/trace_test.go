package app_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"docspace-router/internal/portalsim"
)

// recordSpans makes the gateway's next runs write their spans into memory.
func (w *world) recordSpans() *tracetest.SpanRecorder {
	w.t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	w.t.Cleanup(func() { _ = provider.Shutdown(w.t.Context()) })
	w.options.Tracing = provider
	return spans
}

// spanNamed waits for an ended span of that name.
func (w *world) spanNamed(spans *tracetest.SpanRecorder, name string) (found sdktrace.ReadOnlySpan) {
	w.t.Helper()
	w.eventually("the span "+name, func() bool {
		for _, s := range spans.Ended() {
			if s.Name() == name {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func attributesOf(s sdktrace.ReadOnlySpan) map[string]attribute.Value {
	out := map[string]attribute.Value{}
	for _, a := range s.Attributes() {
		out[string(a.Key)] = a.Value
	}
	return out
}

// TestATraceFollowsAnEvent uploads one file and finds what became of it in one trace, from the
// request to the outcome, although the gateway was restarted in between.
func TestATraceFollowsAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	spans := w.recordSpans()
	w.writeRules(rule("uploads", w.room, w.dest, "when: file.size > 0"))
	w.run()
	w.addWebhook()
	// Until the restart the portal answers nothing, so that the event stays undecided.
	mend := w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable})
	w.portal.Upload(w.room, "traced.pdf", 1, w.client)
	w.spanNamed(spans, "route event")
	w.restart()
	mend()
	w.wantTitles(w.dest, "traced.pdf")

	request := w.spanNamed(spans, "POST /webhook/{portal}")
	commit := w.spanNamed(spans, "group commit")
	outcome := w.spanNamed(spans, "transfer")
	w.halt()
	id := request.SpanContext().TraceID()
	var names []string
	for _, s := range spans.Ended() {
		if s.SpanContext().TraceID() == id {
			names = append(names, s.Name())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, want := range []string{"POST /webhook/{portal}", "route event", "DocSpace file", "operation", "DocSpace copy", "transfer"} {
		if !slices.Contains(names, want) {
			t.Errorf("the event's trace lacks %q; it has %q", want, names)
		}
	}
	if outcome.Parent().SpanID() != request.SpanContext().SpanID() || !outcome.Parent().IsRemote() {
		t.Errorf("the outcome is no child of the request: %v", outcome.Parent())
	}
	if got := attributesOf(outcome)["outcome"].AsString(); got != "done" {
		t.Errorf("the outcome is %q", got)
	}
	if len(outcome.Links()) != 1 || outcome.Links()[0].SpanContext.TraceID() != id {
		t.Errorf("the outcome is not linked to its operation: %v", outcome.Links())
	}
	if len(commit.Links()) != 1 || !commit.Links()[0].SpanContext.Equal(request.SpanContext()) {
		t.Errorf("the group commit is not linked to the request: %v", commit.Links())
	}
	if len(request.Links()) != 1 || !request.Links()[0].SpanContext.Equal(commit.SpanContext()) {
		t.Errorf("the request is not linked to the group commit: %v", request.Links())
	}
}

// TestABatchIsLinkedToItsEvents copies several files in one call. Each has its outcome in a trace of
// its own, and the operation names them all.
func TestABatchIsLinkedToItsEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector this proves nothing: files share an operation only when they come faster than it is sent")
	}
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	spans := w.recordSpans()
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	w.addWebhook()
	mend := w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable, Method: http.MethodPut})
	for _, title := range []string{"a.pdf", "b.pdf", "c.pdf"} {
		w.portal.Upload(w.room, title, 1, w.client)
	}
	w.eventually("all three wait", func() bool { return w.status().Transfers["queued"] == 3 })
	mend()
	w.wantTitles(w.dest, "a.pdf", "b.pdf", "c.pdf")
	w.halt()

	traces := map[string]bool{}
	linked := map[string]bool{}
	most := 0 // links of one operation
	for _, s := range spans.Ended() {
		switch s.Name() {
		case "transfer":
			if attributesOf(s)["outcome"].AsString() == "done" {
				traces[s.SpanContext().TraceID().String()] = true
			}
		case "operation":
			linked[s.SpanContext().TraceID().String()] = true
			most = max(most, len(s.Links()))
			for _, l := range s.Links() {
				linked[l.SpanContext.TraceID().String()] = true
			}
		}
	}
	if most == 0 {
		t.Error("no operation carried more than one file: nothing is proved")
	}
	if len(traces) != 3 {
		t.Errorf("three files ended in %d traces", len(traces))
	}
	if diff := cmp.Diff(traces, linked); diff != "" {
		t.Errorf("the traces of the outcomes and of the operations differ:\n%s", diff)
	}
}
