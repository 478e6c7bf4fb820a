package app

import (
	"fmt"
	"io"
	"time"

	"docspace-router/internal/webhook"
)

// buildWatch makes the part that looks after the gateway's webhooks.
func (a *App) buildWatch() (err error) {
	a.watch, err = webhook.New(webhook.Options{
		Store:       a.store,
		Portals:     a.watchedPortals,
		WrongSecret: a.wrongSecret,
		Repair:      a.o.ManageWebhook,
		Every:       a.o.Pace.Watch,
		Logger:      a.o.Logger,
		Registerer:  a.registry,
	})
	return err
}

// wrongSecret says what the catch-up last found about the secret that a portal's webhook signs with.
func (a *App) wrongSecret(portal string) (wrong bool, at time.Time) {
	s, _ := a.catchUp.Status(portal)
	if s.Trouble != "" {
		return s.WrongSecret, time.Time{}
	}
	return s.WrongSecret, s.Ended
}

func (a *App) watchedPortals() []webhook.Portal {
	v := a.current.Load()
	out := make([]webhook.Portal, 0, len(v.portals))
	for name, p := range v.portals {
		watched := webhook.Portal{Client: p.client, Wish: a.wish(name)}
		if len(p.ingest.Secrets) > 0 {
			watched.Secret = p.ingest.Secrets[0]
		}
		out = append(out, watched)
	}
	return out
}

// webhooksCheck writes a line for each portal. None of it makes the gateway unready: it serves what
// comes, and nobody else would get it.
func (a *App) webhooksCheck(w io.Writer) {
	if !a.o.WatchWebhooks {
		return
	}
	for _, p := range a.current.Load().config.Portals {
		s, known := a.watch.Status(p.Name)
		asOf := ""
		if known {
			asOf = " (as of " + s.CheckedAt.UTC().Format(time.TimeOnly) + " UTC)"
		}
		fmt.Fprintf(w, "webhook of %s: %s%s\n", p.Name, s, asOf)
	}
}
