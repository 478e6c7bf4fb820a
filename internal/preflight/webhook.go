package preflight

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"docspace-router/internal/docspace"
	"docspace-router/internal/webhook"
)

// webhook checks that the portal tells the gateway of what the rules wait for, where the key may
// know: webhook administration has no scope of its own.
func (c *check) webhook(ctx context.Context) error {
	if !slices.ContainsFunc(c.rules, func(r ruleHere) bool { return !r.Disabled }) {
		return nil
	}
	if !c.allowed("", "read") {
		c.note("the webhook is not checked: the key has no *:read")
		return nil
	}
	hooks, err := c.portal.Webhooks(ctx)
	if docspace.IsForbidden(err) {
		c.note("the webhook is not checked: only administrators of this portal may see webhooks")
		return nil
	}
	if err != nil {
		return err
	}
	var ours []docspace.Webhook
	for _, h := range hooks {
		if c.leadsHere(h) {
			ours = append(ours, h)
		}
	}
	switch {
	case len(ours) == 0 && !c.admin:
		c.note("the webhook is not checked: the account is no administrator, and sees only webhooks of its own")
		return nil
	case len(ours) == 0:
		c.atPortal(Error, "make it with docspace-router webhook register", "no webhook leads to the gateway: none has the address %s", c.address())
		return nil
	}
	return c.hooks(ctx, ours)
}

// hooks checks the webhooks that lead here. One that works is enough.
func (c *check) hooks(ctx context.Context, ours []docspace.Webhook) error {
	on := slices.DeleteFunc(slices.Clone(ours), func(h docspace.Webhook) bool { return !h.Enabled || h.TargetID != "" })
	if len(on) == 0 {
		h := ours[0]
		if !h.Enabled {
			because := ""
			if h.LastFailureText != "" {
				because = ": " + strings.TrimSuffix(h.LastFailureText, ".")
			}
			c.atPortal(Error, "enable it with docspace-router webhook register, or under Developer Tools, Webhooks; DocSpace disables a webhook that failed", "the webhook %q is disabled%s", h.Name, because)
		} else {
			c.atPortal(Error, "remove its target, under Developer Tools, Webhooks",
				"the webhook %q tells only of the entry %s itself, and not of what lies in it", h.Name, h.TargetID)
		}
		return nil
	}
	for _, h := range on {
		switch {
		case h.Unauthorized():
			c.atPortal(Error, "set its secret, under Developer Tools, Webhooks, to the first of webhook_secrets, or add the one it has to these",
				"the webhook %q probably signs with another secret than webhook_secrets lists: its last delivery was refused with 401", h.Name)
		case h.LastFailure.After(h.LastSuccess):
			c.atPortal(Warning, "look at its history, under Developer Tools, Webhooks",
				"the last delivery of the webhook %q failed: %s", h.Name, strings.TrimSuffix(h.LastFailureText, "."))
		}
	}
	triggers, err := c.portal.WebhookTriggers(ctx)
	if err != nil {
		return err
	}
	bits := map[string]int64{}
	for _, t := range triggers {
		bits[t.Name] = t.Bit
	}
	for i := range c.rules {
		r := &c.rules[i]
		if r.Disabled {
			continue
		}
		var missing []string
		for _, t := range r.Triggers {
			told := slices.ContainsFunc(on, func(h docspace.Webhook) bool { return h.Triggers == 0 || h.Triggers&bits[t] != 0 })
			if !told {
				missing = append(missing, t)
			}
		}
		if len(missing) > 0 {
			c.add(Error, r, r.Rule, "add what is missing with docspace-router webhook register, or under Developer Tools, Webhooks",
				"the webhook %q does not tell of %s", on[0].Name, strings.Join(missing, ", "))
		}
	}
	return nil
}

// wish is the webhook that the gateway would have. What it is called and triggered by is no matter here.
func (c *check) wish() webhook.Wish {
	return webhook.NewWish(c.config.Name, c.options.PublicURL, c.single(), nil)
}

func (c *check) single() bool { return len(c.options.Config.Portals) == 1 }

// leadsHere reports whether a webhook's address is the gateway's. Without a public address its
// path decides: another receiver is unlikely to have the portal's name in it, but it may.
func (c *check) leadsHere(h docspace.Webhook) bool {
	if c.options.PublicURL != "" {
		return c.wish().PointsHere(h)
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return false
	}
	path := strings.TrimSuffix(u.Path, "/")
	return strings.HasSuffix(path, "/webhook/"+c.config.Name) || c.single() && strings.HasSuffix(path, "/webhook")
}

// address says what the webhook's address would be.
func (c *check) address() string {
	if known := c.wish().Addresses; len(known) > 0 {
		return known[0]
	}
	return "https://…/webhook/" + c.config.Name
}
