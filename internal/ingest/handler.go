package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// MaxBody is the largest delivery taken, in bytes.
const MaxBody = 2 << 20

// Portal is what ingest must know of a portal.
type Portal struct {
	Name string
	// Secrets are those any one of which may have signed a delivery. Without secrets
	// deliveries are taken unsigned: the configuration allows that only on request.
	Secrets []string
}

// Options configures a Handler. Store, Enqueue and Portals are required.
type Options struct {
	Store   Store
	Enqueue Enqueue
	// Portals returns the portal of that name in the configuration of this moment; the empty
	// name means the only portal.
	Portals func(name string) (Portal, bool)
	// Stored, if any, is told the id of the webhook of each delivery that was stored.
	Stored func(portal, webhook string)
	// Refused, if any, is told of each delivery that was refused for its signature. Anybody can
	// send such a thing: it proves nothing.
	Refused    func(portal string)
	Timeout    time.Duration // for one group commit; default 10 s
	Logger     *slog.Logger  // default slog.Default
	Registerer prometheus.Registerer
	Tracer     trace.Tracer     // nil: no traces
	Now        func() time.Time // default time.Now
}

// Handler serves the webhook endpoint.
type Handler struct {
	portals   func(string) (Portal, bool)
	stored    func(portal, webhook string)
	refused   func(portal string)
	committer *committer
	metrics   *metrics
	log       *slog.Logger
	tracer    trace.Tracer
	now       func() time.Time
}

// New returns a Handler. Deliveries wait until Run runs.
func New(o Options) (*Handler, error) {
	if o.Store == nil || o.Enqueue == nil || o.Portals == nil {
		return nil, errors.New("ingest: Store, Enqueue and Portals are required")
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Stored == nil {
		o.Stored = func(string, string) {}
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	m := newMetrics(o.Registerer)
	return &Handler{
		portals: o.Portals,
		stored:  o.Stored,
		refused: o.Refused,
		committer: &committer{
			store: o.Store, enqueue: o.Enqueue, timeout: o.Timeout, maxGroup: 256, metrics: m, tracer: o.Tracer,
			waiting: make(chan waiter, 1024), stopped: make(chan struct{}),
		},
		metrics: m,
		log:     o.Logger.With("component", "ingest"),
		tracer:  o.Tracer,
		now:     o.Now,
	}, nil
}

// Run commits deliveries until ctx ends. It is to be ended after the HTTP server, so that no
// delivery is left waiting.
func (h *Handler) Run(ctx context.Context) error {
	h.committer.run(ctx)
	return nil
}

// Register adds the endpoint's routes.
func (h *Handler) Register(r *mux.Router) {
	for _, path := range []string{"/webhook", "/webhook/", "/webhook/{portal}", "/webhook/{portal}/"} {
		// DocSpace checks the URL with an unsigned HEAD before it creates a webhook.
		r.HandleFunc(path, h.probe).Methods(http.MethodHead, http.MethodGet)
		r.HandleFunc(path, h.receive).Methods(http.MethodPost)
	}
}

func (h *Handler) probe(w http.ResponseWriter, r *http.Request) {
	if _, ok := h.portals(mux.Vars(r)["portal"]); !ok {
		h.unknownPortal(w, r)
		return
	}
	answer(w, http.StatusOK, reply{Status: "ok"})
}

// reply is the body of an answer. DocSpace keeps it in a column of 64 KiB, so it stays tiny.
type reply struct {
	Status    string `json:"status"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Ignored   string `json:"ignored,omitempty"`
	Error     string `json:"error,omitempty"`
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) {
	started := h.now()
	portal, ok := h.portals(mux.Vars(r)["portal"])
	if !ok {
		h.metrics.requests.WithLabelValues("", strconv.Itoa(http.StatusNotFound)).Inc()
		h.unknownPortal(w, r)
		return
	}
	ctx, end := h.span(r, portal.Name)
	code, body := h.take(ctx, r, portal, started)
	end(code, body)
	h.metrics.requests.WithLabelValues(portal.Name, strconv.Itoa(code)).Inc()
	h.metrics.seconds.WithLabelValues(portal.Name).Observe(h.now().Sub(started).Seconds())
	answer(w, code, body)
}

// take reads, checks and stores one delivery and says how it is answered.
func (h *Handler) take(ctx context.Context, r *http.Request, portal Portal, received time.Time) (code int, body reply) {
	raw, err := readBody(r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		h.log.Warn("delivery refused", "portal", portal.Name, "reason", "the body is too large: DocSpace sends none like it, somebody else has found the address",
			"limit_bytes", MaxBody, "remote", r.RemoteAddr)
		return http.StatusRequestEntityTooLarge, refusal("the body is larger than 2 MiB")
	case err != nil:
		h.log.Warn("delivery refused", "portal", portal.Name, "reason", "the body could not be read", "remote", r.RemoteAddr, "err", err)
		return http.StatusBadRequest, refusal("the body could not be read")
	}
	if len(portal.Secrets) > 0 && !event.Verify(raw, r.Header.Get(event.SignatureHeader), portal.Secrets...) {
		h.log.Warn("delivery refused", "portal", portal.Name, "remote", r.RemoteAddr, "reason",
			"the signature is missing or wrong: where the portal's webhook has another secret, which /readyz tells, make it one of webhook_secrets; else somebody else has found the address")
		h.refused(portal.Name)
		return http.StatusUnauthorized, refusal("the signature is missing or wrong")
	}

	ev, err := event.Parse(raw)
	var noEntry *event.NoEntryError
	switch {
	case errors.As(err, &noEntry):
		h.metrics.ignored.WithLabelValues(portal.Name, noEntry.Code).Inc()
		level := slog.LevelDebug
		if noEntry.TooLong {
			level = slog.LevelWarn
		}
		h.log.Log(ctx, level, "delivery ignored", "portal", portal.Name, "reason", noEntry.Reason)
		return http.StatusOK, reply{Status: "ok", Ignored: noEntry.Reason}
	case err != nil:
		h.log.Warn("delivery refused", "portal", portal.Name, "reason", "the body is not JSON", "remote", r.RemoteAddr, "err", err)
		return http.StatusBadRequest, refusal(err.Error())
	}

	h.describe(ctx, ev)
	duplicate, err := h.committer.commit(ctx, store.NewEvent{
		Portal: portal.Name, Event: ev, ReceivedAt: received, Body: raw, Trace: tracing.Note(ctx),
	})
	if err != nil {
		h.log.Error("delivery not stored", "portal", portal.Name, "event_id", ev.ID, "trigger", ev.Trigger, "err", err)
		return http.StatusServiceUnavailable, refusal("the delivery could not be stored; send it again")
	}
	h.stored(portal.Name, ev.WebhookID)
	if duplicate {
		h.metrics.duplicates.WithLabelValues(portal.Name).Inc()
	} else {
		h.metrics.events.WithLabelValues(portal.Name, boundedTrigger(ev.Trigger)).Inc()
	}
	h.log.Debug("delivery stored", "portal", portal.Name, "event_id", ev.ID, "trigger", ev.Trigger, "duplicate", duplicate)
	return http.StatusOK, reply{Status: "ok", Duplicate: duplicate}
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, &http.MaxBytesError{Limit: MaxBody}
	}
	// Nobody has proved anything yet: a sender that announces much gets a small buffer, which
	// grows with what really comes.
	const small = 16 << 10
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0)+bytes.MinRead, small)))
	_, err := body.ReadFrom(http.MaxBytesReader(nil, r.Body, MaxBody))
	return body.Bytes(), err
}

func (h *Handler) unknownPortal(w http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["portal"]
	if name == "" {
		h.log.Warn("delivery refused", "reason", "there are several portals: let the webhook's address end in /webhook/{portal}", "path", r.URL.Path, "remote", r.RemoteAddr)
		answer(w, http.StatusNotFound, refusal("there are several portals: use /webhook/{portal}"))
		return
	}
	h.log.Warn("delivery refused", "reason", "there is no portal of that name in the rules file", "path", r.URL.Path, "remote", r.RemoteAddr)
	answer(w, http.StatusNotFound, refusal("there is no portal of that name"))
}

func refusal(text string) reply { return reply{Status: "refused", Error: text} }

func answer(w http.ResponseWriter, code int, body reply) {
	raw, err := json.Marshal(body)
	if err != nil { // four plain fields cannot fail to marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The sender may have gone away; the delivery is stored all the same.
	_, _ = w.Write(append(raw, '\n'))
}
