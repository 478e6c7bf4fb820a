package app

import (
	"fmt"
	"strings"
	"time"

	"docspace-router/internal/admin"
	"docspace-router/internal/catchup"
	"docspace-router/internal/docspace"
	"docspace-router/internal/webhook"
)

// buildCatchUp makes the part that reads the portals' logs of what was missed.
func (a *App) buildCatchUp() (err error) {
	a.catchUp, err = catchup.New(catchup.Options{
		Store:      a.store,
		Portals:    a.catchUpPortals,
		Own:        a.ownWebhooks,
		Take:       a.ingest.Take,
		Window:     a.o.CatchUpWindow,
		Retention:  a.o.Retention,
		Every:      a.o.Pace.CatchUp,
		Fresh:      a.o.Pace.Fresh,
		Logger:     a.o.Logger,
		Registerer: a.registry,
	})
	return err
}

func (a *App) catchUpPortals() []catchup.Portal {
	v := a.current.Load()
	out := make([]catchup.Portal, 0, len(v.portals))
	for name, p := range v.portals {
		out = append(out, catchup.Portal{
			Name: name, Client: p.client, Secrets: p.ingest.Secrets,
			// A fifth of the portal's limit.
			Pause: 5 * time.Minute / time.Duration(max(1, p.config.Limits.RequestsPerMinute)),
		})
	}
	return out
}

// wish is what the webhook on a portal should be, by the rules in use.
func (a *App) wish(portal string) webhook.Wish {
	v := a.current.Load()
	return webhook.NewWish(portal, a.o.PublicURL, len(v.config.Portals) == 1, v.config.Rules.Triggers(portal))
}

func (a *App) ownWebhooks(portal string, all []docspace.Webhook, seen []string) []docspace.Webhook {
	return a.wish(portal).Own(all, seen)
}

// askCatchUp has the logs of a portal, or of all for "", looked into, and says what it answers to.
func (a *App) askCatchUp(portal string, since time.Time) ([]admin.CatchUp, error) {
	v := a.current.Load()
	if portal != "" && v.portals[portal] == nil {
		return nil, admin.ErrUnknownPortal
	}
	if earliest := a.catchUp.Earliest(); !since.IsZero() && since.Before(earliest) {
		return nil, fmt.Errorf("events are kept for %s, and what was stored and deleted since cannot be told from what was missed: ask for what came after %s",
			strings.TrimSuffix(a.o.Retention.String(), "0m0s"), earliest.UTC().Format(time.RFC3339))
	}
	for name := range v.portals {
		if portal == "" || portal == name {
			a.catchUp.Ask(name, since)
		}
	}
	return a.catchUps(portal), nil
}

// catchUps says how the catch-up of a portal, or of each for "", stands.
func (a *App) catchUps(portal string) []admin.CatchUp {
	var out []admin.CatchUp
	for _, p := range a.current.Load().config.Portals {
		if portal != "" && portal != p.Name {
			continue
		}
		s, _ := a.catchUp.Status(p.Name)
		c := admin.CatchUp{
			Portal: p.Name, Running: s.Running, Webhooks: s.Webhooks, Rows: s.Read, Missing: s.Found, Taken: s.Taken,
			Trouble: s.Trouble, WrongSecret: s.WrongSecret, Asked: s.Asked, Answered: s.Answered,
		}
		if !s.Started.IsZero() {
			c.StartedAt = &s.Started
		}
		if !s.Ended.IsZero() {
			c.EndedAt = &s.Ended
		}
		out = append(out, c)
	}
	return out
}
