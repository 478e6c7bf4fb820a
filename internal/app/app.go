package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"docspace-router/internal/admin"
	"docspace-router/internal/admin/names"
	"docspace-router/internal/admin/ui"
	"docspace-router/internal/backfill"
	"docspace-router/internal/catchup"
	"docspace-router/internal/config"
	"docspace-router/internal/dispatch"
	"docspace-router/internal/docspace"
	"docspace-router/internal/guard"
	"docspace-router/internal/ingest"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
	"docspace-router/internal/webhook"
)

// App is the gateway. It runs once.
type App struct {
	o          Options
	log        *slog.Logger
	limited    *slog.Logger // of parts that fail over and over while something is away, or at the will of whoever sends
	registry   *prometheus.Registry
	store      *store.Store
	live       *config.Live
	jobs       *jobs
	ingest     *ingest.Handler
	routing    *routing.Router
	dispatch   *dispatch.Dispatcher
	catchUp    *catchup.Catcher
	watch      *webhook.Watch
	backfills  *backfill.Service
	names      *names.Book
	ui         *ui.UI
	public     *http.Server
	admin      *http.Server
	publicAt   net.Listener
	adminAt    net.Listener
	current    atomic.Pointer[version]
	apiMetrics *docspace.Metrics
	stopping   chan struct{}
}

// New builds the gateway and listens, but answers nothing before Run. It fails when the rules
// file is bad and no good version of it is known, when the database cannot be opened, or when
// an address is taken.
func New(ctx context.Context, o Options) (app *App, err error) {
	if problems := o.Check(); len(problems) > 0 {
		return nil, problems
	}
	o.setDefaults()
	a := &App{o: o, log: o.Logger.With("component", "app"), registry: prometheus.NewRegistry(), stopping: make(chan struct{})}
	a.limited = slog.New(withoutRepeats(o.Logger.Handler(),
		"portal", "reason", "event", "rule", "lane", "transfer_id", "operation_id", "parent", "job", "args", "panic", "page"))
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newBuildInfo(o.Version))
	a.apiMetrics = docspace.NewMetrics(a.registry)

	if a.store, err = store.Open(ctx, store.Options{URL: o.Database}); err != nil {
		return nil, err
	}
	if a.live, err = config.NewLive(ctx, config.LiveOptions{
		Options:    config.Options{Path: o.Rules, LookupEnv: o.LookupEnv, AllowUnsigned: o.AllowUnsigned},
		Apply:      a.apply,
		LastGood:   lastGood{a.store},
		Interval:   o.Pace.Reload,
		Logger:     o.Logger,
		Registerer: a.registry,
	}); err != nil {
		return nil, err
	}
	if err := a.apply(ctx, a.live.Current()); err != nil {
		return nil, err
	}
	portals := func() []string { return a.current.Load().names() }
	a.registry.MustRegister(newStateCollector(a.store, portals, a.limited.With("component", "app")), newPortalCollector(a))
	if err := a.build(ctx); err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	if a.publicAt, err = listen.Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, OptionErrors{{"Listen", fmt.Errorf("listen for webhooks: %w", err)}}
	}
	if a.adminAt, err = listen.Listen(ctx, "tcp", o.AdminListen); err != nil {
		return nil, OptionErrors{{"AdminListen", fmt.Errorf("listen for administrators: %w", err)}}
	}
	return a, nil
}

// build makes the parts of an event's way, joined by the job queue.
func (a *App) build(ctx context.Context) (err error) {
	if a.jobs, err = newJobs(ctx, a.store, a.o.Pace.DeadAfter, a.limited); err != nil {
		return err
	}
	if a.routing, err = routing.New(routing.Options{
		Store:       a.store,
		Snapshot:    a.routingSnapshot,
		CompleteJob: a.jobs.completeRoute,
		Wake:        a.jobs.wake,
		Sweep:       a.jobs.sweep,
		Budget:      a.budget,
		SettleAfter: a.o.Pace.SettleAfter,
		RetryFirst:  a.o.Pace.RetryFirst,
		Logger:      a.limited,
		Registerer:  a.registry,
		Tracer:      tracing.Tracer(a.o.Tracing),
	}); err != nil {
		return err
	}
	if a.dispatch, err = dispatch.New(dispatch.Options{
		Store:       a.store,
		Portal:      a.dispatchPortal,
		Budget:      a.budget,
		CompleteJob: a.jobs.completeLane,
		Wake:        a.jobs.wake,
		Stopping:    a.stopping,
		PollEvery:   a.o.Pace.Poll,
		SettleAfter: a.o.Pace.SettleAfter,
		PortalPause: a.o.Pace.PortalPause,
		HoldFirst:   a.o.Pace.PortalPause,
		RetryFirst:  a.o.Pace.RetryFirst,
		SweepEvery:  a.o.Pace.Sweep,
		Logger:      a.limited,
		Registerer:  a.registry,
		Tracer:      tracing.Tracer(a.o.Tracing),
	}); err != nil {
		return err
	}
	a.routing.KeepRules(a.current.Load().config.Rules)
	a.dispatch.KeepRules(a.current.Load().config.Rules)
	if err := a.jobs.register(a.routing, a.dispatch); err != nil {
		return err
	}
	if err := a.buildBackfills(); err != nil {
		return err
	}
	if err := a.serveAtStart(ctx); err != nil {
		return err
	}
	if a.ingest, err = ingest.New(ingest.Options{
		Store:      a.store,
		Enqueue:    a.jobs.enqueueRoute,
		Portals:    a.ingestPortal,
		Stored:     func(portal, webhook string) { a.watch.Delivered(portal, webhook) },
		Refused:    func(portal string) { a.watch.Refused(portal) },
		Logger:     a.limited,
		Registerer: a.registry,
		Tracer:     tracing.Tracer(a.o.Tracing),
	}); err != nil {
		return err
	}
	if err := a.buildCatchUp(); err != nil {
		return err
	}
	if err := a.buildWatch(); err != nil {
		return err
	}
	actions, err := a.newActions()
	if err != nil {
		return err
	}
	a.names = names.New(names.Options{
		Title: a.folderTitle, Sources: a.store.Sources,
		Rules: func() *rules.Table { return a.current.Load().config.Rules },
	})
	if a.ui, err = a.newUI(actions); err != nil {
		return err
	}
	adminHandler, err := admin.New(admin.Options{
		Store:     a.store,
		Reload:    func(ctx context.Context) error { return a.live.Reload(ctx, "admin API") },
		Rules:     a.rulesStatus,
		Ready:     a.readiness(true),
		Explain:   a.explain,
		Actions:   actions,
		RuleList:  a.ruleList,
		Portals:   a.portalStatus,
		PortalURL: a.portalURL,
		Rooms:     a.names.FindSoon,
		Name:      a.names.Of,
		CatchUp:   admin.CatchUpOptions{Ask: a.askCatchUp, Status: a.catchUps},
		Backfill:  a.backfills,
		UI:        a.ui,
		Logger:    a.limited,
		Gatherer:  a.registry,
		Token:     a.o.AdminToken,
		Version:   a.o.Version,
	})
	if err != nil {
		return err
	}
	a.public = newServer(a.publicHandler(), a.limited)
	if a.o.TLSCert != "" {
		// Read before anything is promised, and not again when it serves.
		certificate, err := a.o.certificate()
		if err != nil {
			return OptionErrors{{"TLSCert", err}}
		}
		a.public.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	a.admin = newServer(adminHandler, a.limited)
	a.admin.WriteTimeout = 0 // profiles take as long as they are asked for
	return nil
}

// publicHandler serves the webhook endpoint and the probes. It never redirects: DocSpace does
// not follow.
func (a *App) publicHandler() http.Handler {
	r := mux.NewRouter().SkipClean(true)
	a.ingest.Register(r)
	r.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	}).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/readyz", a.readiness(false)).Methods(http.MethodGet, http.MethodHead)
	return r
}

// newServer sets the limits that keep slow or hostile clients from holding connections.
func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(serverLog{logger.With("component", "http")}, "", 0),
	}
}

// serverLog writes what an HTTP server has to say. It says it in one text, of which panics are ours and
// the rest is mostly the doing of whoever connects. The reason keeps their noise from hiding what concerns
// everybody, such as that no more connections can be accepted.
type serverLog struct{ log *slog.Logger }

// Write implements io.Writer.
func (s serverLog) Write(text []byte) (int, error) {
	err := strings.TrimSpace(string(text))
	if _, what, panicked := strings.Cut(err, ": panic serving "); panicked {
		what, _, _ = strings.Cut(what, "\n")
		_, what, _ = strings.Cut(what, ": ") // the client's address
		s.log.Error("request panicked", "panic", what, "err", err)
	} else {
		reason, _, _ := strings.Cut(err, " from ") // the client's address
		reason, _, _ = strings.Cut(reason, "; ")   // how long until it tries again
		s.log.Warn("HTTP server warning", "reason", reason, "err", err)
	}
	return len(text), nil
}

// Addr is the address of the webhook endpoint.
func (a *App) Addr() string { return a.publicAt.Addr().String() }

// AdminAddr is the address of the admin listener.
func (a *App) AdminAddr() string { return a.adminAt.Addr().String() }

// Reload loads the rules file now.
func (a *App) Reload(ctx context.Context, cause string) error {
	return a.live.Reload(ctx, cause)
}

// Run works until ctx ends, and then stops in the order in which work flows: no new
// deliveries, the commits that have begun, the calls to portals that run, the rest. It
// returns nil after a stop that was asked for.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	// Each part is ended by the one before it in the flow, not by ctx itself.
	background := context.WithoutCancel(ctx)
	commits, endCommits := context.WithCancel(background)
	defer endCommits()
	upkeep, endUpkeep := context.WithCancel(background)
	defer endUpkeep()

	alive, endAlive := context.WithCancel(background)
	defer endAlive()

	if err := a.backfills.Resume(background); err != nil {
		return err
	}
	if err := a.jobs.client.Start(background); err != nil {
		return fmt.Errorf("start the job queue: %w", err)
	}
	failed := make(chan error, 16)
	var parts errgroup.Group
	start := func(name string, run func() error) {
		parts.Go(func() error {
			err := run()
			if err != nil && !errors.Is(err, http.ErrServerClosed) {
				err = fmt.Errorf("%s: %w", name, err)
				failed <- err
				return err
			}
			return nil
		})
	}
	// What panics in one of these is a mistake of ours, and no reason to stop taking deliveries.
	keep := func(ctx context.Context, name string, run func(context.Context) error) {
		start(name, func() error {
			return guard.Keep(ctx, a.log, name, func() error { return run(ctx) })
		})
	}
	start("ingest", func() error { return a.ingest.Run(commits) })
	keep(upkeep, "rules", a.live.Run)
	keep(upkeep, "routing", a.routing.Run)
	keep(upkeep, "names", a.names.Run)
	keep(upkeep, "pages", a.ui.Run)
	keep(upkeep, "dispatch", a.dispatch.Run)
	if a.store.Kind() == store.PostgreSQL {
		keep(alive, "replicas", a.jobs.keepAlive)
	}
	if a.o.WatchWebhooks {
		keep(upkeep, "webhook watch", a.watch.Run)
	}
	keep(upkeep, "catch-up", a.catchUp.Run)
	keep(upkeep, "retention", a.retain)
	start("webhook listener", func() error { return a.servePublic() })
	start("admin listener", func() error { return a.admin.Serve(a.adminAt) })
	a.log.Info("gateway started", "version", a.o.Version, "database", a.store.Kind(), "listen", a.Addr(), "admin_listen", a.AdminAddr())

	var cause error
	select {
	case <-ctx.Done():
		a.log.Info("gateway stops")
	case cause = <-failed:
		a.log.Error("gateway stops", "err", cause)
	}

	deadline, cancel := context.WithTimeout(background, a.o.StopWithin)
	defer cancel()
	errs := []error{cause, a.public.Shutdown(deadline)}
	endCommits()
	endUpkeep()
	close(a.stopping)
	errs = append(errs, a.jobs.stop(deadline), a.admin.Shutdown(deadline))
	endAlive() // not before the last job has ended: until then it is this process's
	if err := parts.Wait(); cause == nil {
		errs = append(errs, err)
	}
	a.log.Info("gateway stopped")
	return errors.Join(errs...)
}

func (a *App) servePublic() error {
	if a.o.TLSCert != "" {
		return a.public.ServeTLS(a.publicAt, "", "")
	}
	return a.public.Serve(a.publicAt)
}

// close releases what New acquired, last first.
func (a *App) close() {
	for _, l := range []net.Listener{a.adminAt, a.publicAt} {
		if l != nil {
			_ = l.Close() // a served listener is closed already
		}
	}
	if v := a.current.Load(); v != nil {
		for _, p := range v.portals {
			p.client.Close()
		}
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.log.Error("database not closed", "err", err)
		}
	}
}
