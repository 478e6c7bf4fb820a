package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"docspace-router/internal/config"
	"docspace-router/internal/dispatch"
	"docspace-router/internal/docspace"
	"docspace-router/internal/ingest"
	"docspace-router/internal/routing"
	"docspace-router/internal/store"
	"docspace-router/internal/tracing"
)

// version is one complete version of the configuration with the clients of its portals. It
// never changes; a reload replaces it whole.
type version struct {
	config  *config.Config
	portals map[string]*portal
}

func (v *version) names() []string { return slices.Collect(maps.Keys(v.portals)) }

type portal struct {
	config config.Portal
	client *docspace.Client
	ingest ingest.Portal
}

// apply makes a loaded configuration the current one. Clients of portals that did not change
// are kept, with their limits' state.
func (a *App) apply(ctx context.Context, next *config.Config) error {
	old := a.current.Load()
	v := &version{config: next, portals: make(map[string]*portal, len(next.Portals))}
	for _, p := range next.Portals {
		built, err := a.buildPortal(p, old)
		if err != nil {
			return err
		}
		v.portals[p.Name] = built
	}
	if old != nil {
		if err := a.jobs.serve(v.names()); err != nil {
			return err
		}
	}
	a.current.Store(v)
	a.warnOfForgery(next)
	if old != nil {
		for name, p := range old.portals {
			if kept := v.portals[name]; kept == nil || kept.client != p.client {
				p.client.Close()
			}
		}
		a.routing.Forget()
		a.watch.Look()
		a.catchUp.Look() // a portal may be new, or a key may read the log by now
		a.routing.KeepRules(next.Rules)
		a.dispatch.KeepRules(next.Rules)
		// What has waited for long may have waited for this.
		if err := a.jobs.sweep(ctx); err != nil {
			a.log.Warn("pending events not looked for", "err", err)
		}
	}
	return nil
}

// warnOfForgery names the portals whose deliveries are not signed, at every start and reload: whoever
// allowed that for a trial may have forgotten.
func (a *App) warnOfForgery(c *config.Config) {
	for _, p := range c.Portals {
		if len(p.WebhookSecrets) == 0 {
			a.log.Warn("anybody can forge deliveries of a portal without a webhook secret", "portal", p.Name)
		}
	}
}

func (a *App) buildPortal(p config.Portal, old *version) (*portal, error) {
	built := &portal{config: p, ingest: ingest.Portal{Name: p.Name}}
	for _, s := range p.WebhookSecrets {
		built.ingest.Secrets = append(built.ingest.Secrets, s.Reveal())
	}
	if old != nil {
		if was := old.portals[p.Name]; was != nil && was.config.URL == p.URL && was.config.Limits == p.Limits &&
			was.config.APIKey.Reveal() == p.APIKey.Reveal() {
			built.client = was.client
			return built, nil
		}
	}
	client, err := docspace.New(docspace.Options{
		Portal:    p.Name,
		URL:       p.URL,
		APIKey:    p.APIKey.Reveal,
		Limits:    docspace.Limits{RequestsPerMinute: p.Limits.RequestsPerMinute, ConcurrentWrites: p.Limits.ConcurrentWrites},
		Pause:     a.o.Pace.PortalPause,
		OnHealth:  a.tellHealth(p.Name),
		Metrics:   a.apiMetrics,
		Tracer:    tracing.Tracer(a.o.Tracing),
		UserAgent: "docspace-router/" + a.o.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: portal %s: %w", p.At, p.Name, err)
	}
	built.client = client
	return built, nil
}

// ingestPortal is the portal of a webhook's path; the empty name means the only one.
func (a *App) ingestPortal(name string) (ingest.Portal, bool) {
	v := a.current.Load()
	if name == "" {
		if len(v.config.Portals) != 1 {
			return ingest.Portal{}, false
		}
		name = v.config.Portals[0].Name
	}
	p, ok := v.portals[name]
	if !ok {
		return ingest.Portal{}, false
	}
	return p.ingest, true
}

func (a *App) routingSnapshot() routing.Snapshot { return a.current.Load().snapshot() }

// snapshot is the part of the version that routing needs.
func (v *version) snapshot() routing.Snapshot {
	return routing.Snapshot{Rules: v.config.Rules, Portal: func(name string) (routing.Portal, bool) {
		p, ok := v.portals[name]
		if !ok {
			return nil, false
		}
		return p.client, true
	}}
}

func (a *App) dispatchPortal(name string) (dispatch.Portal, bool) {
	p, ok := a.current.Load().portals[name]
	if !ok {
		return nil, false
	}
	return p.client, true
}

// budget is a portal's allowance of writes; a portal that has left the rules file has none to
// count.
func (a *App) budget(name string) store.Budget {
	p, ok := a.current.Load().portals[name]
	if !ok {
		return store.Budget{}
	}
	return store.Budget{WritesPerDay: p.config.Limits.WritesPerDay}
}

// lastGood keeps the last good rules file in the database.
type lastGood struct{ store *store.Store }

func (l lastGood) Load(ctx context.Context) ([]config.File, error) {
	files, err := l.store.RuleFiles(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]config.File, 0, len(files))
	for _, f := range files {
		out = append(out, config.File{Name: f.Name, Hash: f.Hash, Text: f.Text})
	}
	return out, nil
}

func (l lastGood) Save(ctx context.Context, cause string, files []config.File) error {
	out := make([]store.RuleFile, 0, len(files))
	for _, f := range files {
		out = append(out, store.RuleFile{Name: f.Name, Hash: f.Hash, Text: f.Text})
	}
	return l.store.SaveRules(ctx, config.Hash(files), cause, slices.Clip(out))
}
