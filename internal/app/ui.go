package app

import (
	"context"
	"fmt"
	"time"

	"docspace-router/internal/admin"
	"docspace-router/internal/admin/ui"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
	"docspace-router/internal/steer"
)

// newUI makes the administrators' pages.
func (a *App) newUI(actions *steer.Actions) (*ui.UI, error) {
	// Somebody who edits a condition asks the same of the portal with every word they write.
	tries := routing.NewLocator(time.Minute, nil)
	return ui.New(ui.Options{
		Store:   a.store,
		Actions: actions,
		Rules:   a.uiRules,
		Portals: a.uiPortals,
		Reload:  func(ctx context.Context) error { return a.live.Reload(ctx, "UI") },
		Explain: a.explain,
		Try:     func(ctx context.Context, t ui.Trial) (explain.Explanation, error) { return a.try(ctx, tries, t) },
		Link: func(portal string, kind event.Kind, id event.ID) string {
			return admin.EntryLink(a.portalURL(portal), kind, id)
		},
		Backfills: a.backfills,
		Names:     a.names,
		Token:     a.o.AdminToken,
		Version:   a.o.Version,
		Stopping:  a.stopping,
		Logger:    a.limited,
	})
}

func (a *App) uiRules() ui.Rules {
	c := a.current.Load().config
	return ui.Rules{Path: a.o.Rules, Status: a.live.Status(), Table: c.Rules, Warnings: c.Warnings}
}

func (a *App) uiPortals() []ui.Portal {
	v := a.current.Load()
	out := make([]ui.Portal, 0, len(v.config.Portals))
	for _, p := range v.config.Portals {
		out = append(out, ui.Portal{
			Name: p.Name, URL: withoutLogin(p), WritesPerDay: p.Limits.WritesPerDay,
			Health: v.portals[p.Name].client.Health(), Webhook: a.uiWebhook(p.Name),
		})
	}
	return out
}

func (a *App) uiWebhook(portal string) (w ui.Webhook) {
	if s := a.webhookStatus(portal); s != nil {
		w.Watched, w.OK, w.Summary = true, s.OK, s.Summary
	}
	switch s, _ := a.catchUp.Status(portal); {
	case s.Trouble != "":
		w.CatchUp = "What was missed cannot be found out: " + s.Trouble
	case s.WrongSecret:
		w.CatchUp = "The webhook signs with a secret that the rules file does not list, so deliveries are refused."
	case s.Running && s.Taken > 0:
		w.CatchUp = fmt.Sprintf("Taking in what was missed: %d of the %d events found so far.", s.Taken, s.Found)
	}
	return w
}

// folderTitle asks a portal what a room or folder is called: nothing, where it is gone or not the
// account's to see.
func (a *App) folderTitle(ctx context.Context, portal string, id event.ID) (string, error) {
	p, ok := a.current.Load().portals[portal]
	if !ok {
		return "", fmt.Errorf("%w: %s", admin.ErrUnknownPortal, portal)
	}
	f, err := p.client.Folder(ctx, id)
	if docspace.IsGone(err) || docspace.IsForbidden(err) {
		return "", nil
	}
	return f.Title, err
}

// try explains a delivery with one rule's condition replaced.
func (a *App) try(ctx context.Context, locator *routing.Locator, t ui.Trial) (explain.Explanation, error) {
	v := a.current.Load()
	table := v.config.Rules
	if t.Rule != "" {
		infos := table.Rules()
		specs := make([]rules.Spec, len(infos))
		for i, info := range infos {
			specs[i] = info.Spec
			if info.Name == t.Rule {
				specs[i].When = t.When
			}
		}
		next, errs := rules.Compile(specs)
		if len(errs) > 0 {
			return explain.Explanation{}, errs[0]
		}
		table = next
	}
	return a.explainBy(ctx, v, table, locator, t.Portal, t.Event)
}
