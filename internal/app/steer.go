package app

import (
	"context"
	"net/url"
	"slices"

	"docspace-router/internal/admin"
	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/rules"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// newActions makes what people can do with transfers, events and pauses.
func (a *App) newActions() (*steer.Actions, error) {
	return steer.New(steer.Options{
		Store:   a.store,
		Wake:    a.jobs.wake,
		Enqueue: a.jobs.enqueueRoute,
		Known:   a.known,
		Logger:  a.o.Logger,
	})
}

// known reports whether the rules in use have a rule or portal of a name.
func (a *App) known(scope store.PauseScope, name string) bool {
	v := a.current.Load()
	if scope == store.PausePortal {
		return v.portals[name] != nil
	}
	return slices.ContainsFunc(v.config.Rules.Rules(), func(r rules.Info) bool { return r.Name == name })
}

// ruleList describes the rules in use.
func (a *App) ruleList() []admin.Rule {
	infos := a.current.Load().config.Rules.Rules()
	out := make([]admin.Rule, len(infos))
	for i, r := range infos {
		out[i] = admin.Rule{
			Name: r.Name, Description: r.Description, Number: r.Number, Enabled: !r.Disabled, Portals: r.Portals,
			Triggers: r.Triggers, Action: r.Action, Condition: r.When, Sources: []string{}, Destinations: []string{},
		}
		for _, route := range r.Routes {
			source := string(route.Source)
			if route.Pattern != "" {
				source = string(route.SourceKind) + " " + route.Pattern
			}
			if !slices.Contains(out[i].Sources, source) {
				out[i].Sources = append(out[i].Sources, source)
			}
			if to := string(route.Destination); !slices.Contains(out[i].Destinations, to) {
				out[i].Destinations = append(out[i].Destinations, to)
			}
		}
	}
	return out
}

// portalURL is a portal's address without what somebody may have written into it to log in with.
func (a *App) portalURL(name string) string {
	p := a.current.Load().portals[name]
	if p == nil {
		return ""
	}
	return withoutLogin(p.config)
}

func withoutLogin(p config.Portal) string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// portalStatus says how each portal does, as this process has found it.
func (a *App) portalStatus(ctx context.Context) ([]admin.PortalStatus, error) {
	v := a.current.Load()
	waiting, err := a.store.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]admin.PortalStatus, 0, len(v.portals))
	for _, name := range slices.Sorted(slices.Values(v.names())) {
		p := v.portals[name]
		health := p.client.Health()
		s := admin.PortalStatus{Name: name, URL: withoutLogin(p.config), State: admin.PortalUp, Reason: health.Reason}
		if !health.Since.IsZero() {
			s.Since = &health.Since
		}
		limit := p.config.Limits.WritesPerDay
		usage, err := a.store.Usage(ctx, name, store.Budget{WritesPerDay: limit})
		if err != nil {
			return nil, err
		}
		s.Budget = admin.PortalBudget{PerDay: limit, Used: usage.WritesToday, Left: usage.Tokens}
		for _, b := range waiting {
			if b.Portal != name {
				continue
			}
			s.Waiting += b.Transfers
			if s.OldestAt == nil || b.Oldest.Before(*s.OldestAt) {
				s.OldestAt = &b.Oldest
			}
		}
		switch {
		case health.Down:
			s.State = admin.PortalDown
		case !usage.PausedUntil.IsZero():
			s.State, s.Reason, s.Until = admin.PortalLimited, usage.Reason, &usage.PausedUntil
		}
		s.Webhook = a.webhookStatus(name)
		if looks := a.catchUps(name); len(looks) > 0 && a.o.CatchUpWindow > 0 {
			s.CatchUp = &looks[0]
		}
		out = append(out, s)
	}
	return out, nil
}

// webhookStatus says how the gateway's webhook on a portal stands; nil when it is not watched.
func (a *App) webhookStatus(portal string) *admin.WebhookStatus {
	if !a.o.WatchWebhooks {
		return nil
	}
	s, _ := a.watch.Status(portal)
	out := &admin.WebhookStatus{OK: s.OK(), ID: s.Webhook.ID, Summary: s.String()}
	if !s.CheckedAt.IsZero() {
		out.CheckedAt = &s.CheckedAt
	}
	return out
}

// tellHealth logs when a portal goes down and when it is back.
func (a *App) tellHealth(name string) func(docspace.Health) {
	return func(h docspace.Health) {
		switch {
		case h.Refused:
			a.log.Error("portal is down", "portal", name, "reason", h.Reason)
		case h.Down:
			a.log.Warn("portal is down", "portal", name, "reason", h.Reason)
		default:
			a.log.Info("portal is back", "portal", name)
		}
	}
}
