package ui

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/sync/errgroup"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/backfill"
	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/guard"
	"docspace-router/internal/rules"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

//go:embed assets templates
var files embed.FS

// Options configures the pages. All fields but Backfills, Token, Stopping
// and Logger are required.
type Options struct {
	Store   *store.Store
	Actions *steer.Actions // what people can do
	Rules   func() Rules
	Portals func() []Portal
	Reload  func(ctx context.Context) error // loads the rules file; the error names every problem

	Backfills Backfills // nil: none are shown

	// Explain says what the rules in use make of an event of a portal. The empty name means the
	// only portal.
	Explain func(ctx context.Context, portal string, ev event.Event) (explain.Explanation, error)
	// Try does the same with one rule's condition replaced. The error is rules.SpecError when the
	// condition is wrong.
	Try func(ctx context.Context, t Trial) (explain.Explanation, error)
	// Link is where a person opens an entry of a portal, or empty when the portal is not known.
	Link  func(portal string, kind event.Kind, id event.ID) string
	Names *names.Book // what rooms and folders are called

	Token    string // what people sign in with; empty: nobody needs to
	Version  string
	Stopping <-chan struct{} // ends the pages' event streams when it is closed; nil: never
	Logger   *slog.Logger    // nil: no logging
}

// Rules is the version of the rules in use.
type Rules struct {
	Path     string
	Status   config.Status
	Table    *rules.Table
	Warnings config.Problems
}

// Portal is a portal of the rules in use.
type Portal struct {
	Name         string
	URL          string
	WritesPerDay int
	Health       docspace.Health
	Webhook      Webhook
}

// Webhook is how the gateway's own webhook on a portal stands, and the reading of its log.
type Webhook struct {
	Watched bool // whether anybody looks
	OK      bool
	Summary string // in words, with what is wrong
	CatchUp string // what is being taken in from the log, or why it cannot be read; empty: all is well
}

// Trial is a delivery and a rule's condition to be tried on it.
type Trial struct {
	Portal string // empty: the only one
	Event  event.Event
	Rule   string // whose condition is replaced; empty: none
	When   string
}

// UI serves the pages.
type UI struct {
	o         Options
	log       *slog.Logger
	pages     map[string]*template.Template
	session   session
	tasks     *tasks
	pulse     cached[string]
	counts    cached[store.Counts]
	flow      flow
	backfills cached[[]backfill.Status]
	now       func() time.Time
}

// New returns the pages.
func New(o Options) (*UI, error) {
	if o.Store == nil || o.Actions == nil || o.Rules == nil || o.Portals == nil || o.Reload == nil || o.Explain == nil || o.Try == nil || o.Link == nil || o.Names == nil {
		return nil, errors.New("ui: Store, Actions, Rules, Portals, Reload, Explain, Try, Link and Names are required")
	}
	u := &UI{o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)).With("component", "ui"), session: newSession(o.Token), tasks: newTasks(o.Actions, o.Store), pages: map[string]*template.Template{}, now: time.Now}
	shared, err := template.New("").Funcs(u.functions()).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	paths, err := fs.Glob(files, "templates/pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	for _, path := range paths {
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(files, path)
		}
		if err != nil {
			return nil, fmt.Errorf("ui: %w", err)
		}
		u.pages[strings.TrimSuffix(strings.TrimPrefix(path, "templates/pages/"), ".html")] = page
	}
	return u, nil
}

// Run keeps the last hour counted, and does what takes long, until ctx ends.
func (u *UI) Run(ctx context.Context) error {
	var parts errgroup.Group
	for name, run := range map[string]func(context.Context) error{"last hour": u.keepFlow, "tasks": u.tasks.run} {
		parts.Go(func() error {
			return guard.Keep(ctx, u.log, name, func() error { return run(ctx) })
		})
	}
	return parts.Wait()
}

// Register adds the pages to the admin listener.
func (u *UI) Register(r *mux.Router) {
	page := func(path string, h func(http.ResponseWriter, *http.Request) error) {
		r.Handle(path, u.handler(path, h)).Methods(http.MethodGet, http.MethodHead)
	}
	act := func(path string, h func(http.ResponseWriter, *http.Request) error) {
		r.Handle(path, u.handler(path, h)).Methods(http.MethodPost)
	}
	page("/", u.overview)
	page("/rules", u.rules)
	page("/transfers", u.transfers)
	page("/transfers/{id:[0-9]+}", u.transfer)
	page("/tasks/{id:[0-9]+}", u.task)
	page("/events", u.events)
	page("/events/{id:[0-9]+}", u.event)
	page("/playground", u.playground)
	act("/playground", u.playground)
	page("/rules-file", u.rulesFile)
	act("/rules-file/reload", u.reload)
	act("/transfers/{action:retry|cancel}", u.actOnMany)
	act("/transfers/{id:[0-9]+}/{action:retry|cancel}", u.actOnOne)
	act("/events/{id:[0-9]+}/replay", u.replay)
	act("/backfills/{id:[0-9]+}/cancel", u.cancelBackfill)
	act("/pause", u.pause)
	act("/resume", u.resume)
	page("/sign-in", u.signInPage)
	act("/sign-in", u.signIn)
	act("/sign-out", u.signOut)
	r.HandleFunc("/live", u.live).Methods(http.MethodGet)
	r.PathPrefix("/assets/").Handler(http.HandlerFunc(u.asset)).Methods(http.MethodGet, http.MethodHead)
}

// statusError is an error that people are to blame for, or at least to be told of.
type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return e.text }

// maxForm is the largest form that is read: a delivery and a condition fit.
const maxForm = 4 << 20

// handler gives an answer to what the function of a page, which is named by its path, could not do.
func (u *UI) handler(page string, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := h(w, r)
		if err == nil || r.Context().Err() != nil {
			return
		}
		var known statusError
		err = problemOf(err)
		switch {
		case errors.As(err, &known):
		case errors.Is(err, store.ErrNotFound):
			known = statusError{http.StatusNotFound, "There is nothing with this id. It may have been deleted when its retention time was over."}
		default:
			u.log.Error("page not served", "page", page, "path", r.URL.Path, "err", err)
			known = statusError{http.StatusInternalServerError, err.Error()}
		}
		if err := u.render(w, r, known.code, "error", view{Title: http.StatusText(known.code), Body: known.text}); err != nil {
			u.log.Error("page not served", "page", page, "path", r.URL.Path, "err", err)
		}
	})
}

// secure keeps everything that is not the gateway's own out of a page.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// view is what every page is made of.
type view struct {
	Title   string
	Nav     string // the entry of the navigation that the page belongs to
	Live    bool   // the page follows what happens
	Body    any
	Self    string // the page's own address
	Pulse   string // what has happened when the page was made
	Version string
	Token   bool // people sign in, and out
	Errors  int  // of the rules file
	Signed  bool
	Notice  string // what an action that led here has done
	Now     time.Time
}

func (u *UI) render(w http.ResponseWriter, r *http.Request, code int, name string, v view) error {
	v.Self, v.Version, v.Token, v.Now = r.URL.RequestURI(), u.o.Version, u.o.Token != "", u.now()
	v.Signed = u.SignedIn(r)
	if v.Signed {
		if v.Live && v.Pulse == "" {
			v.Pulse = u.beat(r.Context())
		}
		v.Errors = len(errorLines(u.o.Rules().Status.LastError))
		v.Notice = takeNotice(w, r)
	}
	var page bytes.Buffer
	if err := u.pages[name].ExecuteTemplate(&page, "layout.html", v); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(page.Bytes())
	return nil
}

// asset serves an embedded file. Their names hold their versions where they are others' work; our
// own change with the program, whose version is part of their address.
func (u *UI) asset(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.URL.RawQuery != "" || strings.Contains(r.URL.Path, ".min.js") {
		w.Header().Set("Cache-Control", "public, max-age=86400")
	}
	http.ServeFileFS(w, r, files, strings.TrimPrefix(r.URL.Path, "/"))
}

// errorLines are the problems of a rules file, one each.
func errorLines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
