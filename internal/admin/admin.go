package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"docspace-router/internal/admin/names"
	"docspace-router/internal/admin/ui"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// Options configures the admin listener. All but UI, Token and Version are required.
type Options struct {
	Store  *store.Store
	Reload func(ctx context.Context) error // loads the rules file; the error names every problem
	Rules  func() RulesStatus
	Ready  http.HandlerFunc // says in detail what the gateway needs and whether it has it
	// Explain says what the rules in use make of an event of a portal; an empty name means the
	// only portal. It asks the portal for what the rules need. The error is ErrUnknownPortal
	// when there is no such portal, and else the portal's.
	Explain func(ctx context.Context, portal string, ev event.Event) (explain.Explanation, error)
	// Actions is what people can do.
	Actions *steer.Actions
	// RuleList describes the rules in use, in their order, without what the database knows of them.
	RuleList func() []Rule
	// Portals describes the portals in use, by name.
	Portals func(ctx context.Context) ([]PortalStatus, error)
	// PortalURL is the address of a portal in use, without credentials; empty when there is none.
	PortalURL func(name string) string
	// Rooms finds the rooms and folders of a portal, or of all for "", that a text means.
	Rooms func(ctx context.Context, portal, text string) (names.Found, error)
	// Name is what a room or folder of a portal is called; "" while that is not known.
	Name     func(portal string, id event.ID) string
	CatchUp  CatchUpOptions // optional
	Backfill Backfills      // nil: backfills cannot be asked for
	Gatherer prometheus.Gatherer
	UI       *ui.UI // the pages; nil: none
	Logger   *slog.Logger
	Token    string // a bearer token every request must carry; empty: none
	Version  string
}

// RulesStatus describes the rules in use and the last attempt to load the file.
type RulesStatus struct {
	Path     string    `json:"path" doc:"the rules file"`
	Hash     string    `json:"hash" doc:"SHA-256 of the version in use"`
	LoadedAt time.Time `json:"loaded_at" doc:"when the version in use was loaded"`
	Rules    int       `json:"rules" doc:"rules in the version in use"`
	LastGood bool      `json:"last_good" doc:"whether the last good version is in use because the file has errors"`
	Errors   []string  `json:"errors,omitempty" doc:"what is wrong with the file as it is now; empty when the version in use is that of the file"`
}

type api struct{ Options }

// New returns the admin listener's handler.
func New(o Options) (http.Handler, error) {
	if o.Store == nil || o.Reload == nil || o.Rules == nil || o.Ready == nil || o.Explain == nil || o.Gatherer == nil ||
		o.Actions == nil || o.RuleList == nil || o.Portals == nil || o.PortalURL == nil || o.Rooms == nil || o.Name == nil || o.Logger == nil {
		return nil, errors.New("admin: Store, Reload, Rules, Ready, Explain, Gatherer, Actions, RuleList, Portals, PortalURL, Rooms, Name and Logger are required")
	}
	a := api{o}
	r := mux.NewRouter()
	r.Handle("/metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{})).Methods(http.MethodGet)
	r.HandleFunc("/readyz", o.Ready).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/-/reload", a.reload).Methods(http.MethodPost)
	r.HandleFunc("/debug/pprof/cmdline", programName)
	r.HandleFunc("/debug/pprof/profile", pprof.Profile)
	r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	r.HandleFunc("/debug/pprof/trace", pprof.Trace)
	r.PathPrefix("/debug/pprof/").HandlerFunc(pprof.Index)

	c := huma.DefaultConfig("docspace-router admin API", o.Version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "/api/v1/schemas" // the library's description races with itself
	routes := humamux.New(r, c)
	huma.Get(routes, "/api/v1/status", a.status, summary("Says how the gateway does: the rules in use, the portals, and how much there is in each state"))
	huma.Get(routes, "/api/v1/events", a.events, summary("Lists events, the newest first"))
	huma.Get(routes, "/api/v1/transfers", a.transfers, summary("Lists transfers, the newest first"))
	a.registerExplain(routes)
	a.registerCatchUp(routes)
	a.registerStories(routes)
	a.registerActions(routes)
	a.registerBackfills(routes)
	r.HandleFunc("/api/v1/openapi.json", description(routes.OpenAPI())).Methods(http.MethodGet)
	if o.UI != nil {
		o.UI.Register(r)
	}

	// A page of another site must not be able to make an administrator's browser act.
	return a.authorized(http.NewCrossOriginProtection().Handler(r)), nil
}

// description answers with what the API consists of.
func description(of *huma.OpenAPI) http.HandlerFunc {
	text := sync.OnceValues(of.MarshalJSON)
	return func(w http.ResponseWriter, _ *http.Request) {
		raw, err := text()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(raw)
	}
}

// programName stands in for the arguments the program was started with, which pprof would show: the
// admin token and the database's password may be among them.
func programName(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(os.Args[0]))
}

// authorized asks for the bearer token where there is one, or for pages the session of somebody who
// has signed in with it.
func (a api) authorized(next http.Handler) http.Handler {
	if a.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.UI != nil && a.UI.Opens(r) {
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(a.Token)) != 1 {
			if a.UI != nil && a.UI.AskToSignIn(w, r) {
				return
			}
			a.Logger.Warn("admin request refused", "component", "admin", "reason", "the admin token is missing or wrong", "remote", r.RemoteAddr)
			w.Header().Set("WWW-Authenticate", `Bearer realm="docspace-router"`)
			http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reload loads the rules file and answers with every problem it has.
func (a api) reload(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.Reload(r.Context()); err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(err.Error() + "\n"))
		return
	}
	_, _ = w.Write([]byte("reloaded\n"))
}
