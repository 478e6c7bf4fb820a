package preflight

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/rules"
)

const (
	// soon is when a key that will expire is worth a word: long enough to be read and acted upon.
	soon = 14 * 24 * time.Hour
	// skewed is a difference of clocks that shows in paths and conditions that use the time.
	skewed = time.Minute
)

// limits compares the limits that are set with those of an unchanged DocSpace.
func (c *check) limits() {
	l, standard := c.config.Limits, config.DefaultLimits()
	for _, limit := range []struct {
		name          string
		set, standard int
	}{
		{"requests_per_minute", l.RequestsPerMinute, standard.RequestsPerMinute},
		{"concurrent_writes", l.ConcurrentWrites, standard.ConcurrentWrites},
		{"writes_per_day", l.WritesPerDay, standard.WritesPerDay},
	} {
		if limit.set > limit.standard {
			c.atPortal(Warning, "lower it, unless the portal's own limits were raised",
				"limits.%s is %d, and DocSpace allows %d", limit.name, limit.set, limit.standard)
		}
	}
}

func (c *check) reach(ctx context.Context) bool {
	err := c.portal.Reach(ctx)
	var status *docspace.StatusError
	var garbled *docspace.GarbledError
	switch {
	case err == nil:
		return true
	case errors.As(err, &garbled), errors.As(err, &status) && status.StatusCode < 500 && status.StatusCode != http.StatusTooManyRequests:
		c.atPortal(Error, "is the address right, and is nothing before the portal that answers in its place?",
			"%s does not answer like DocSpace: %v", c.config.URL, err)
	default:
		c.atPortal(Error, "is the address right, and may this machine connect to it?", "the portal %s cannot be reached: %v", c.config.URL, err)
	}
	return false
}

// key checks the API key, and that it stays valid for a while.
func (c *check) key(ctx context.Context) bool {
	key, err := c.portal.Key(ctx)
	var status *docspace.StatusError
	if errors.As(err, &status) && docspace.IsCredentials(err) {
		switch status.StatusCode {
		case http.StatusUnauthorized:
			c.atPortal(Error, "create one as the gateway's account, under Developer Tools, API keys",
				"the API key is refused: it is unknown, expired or switched off, or its account is")
			return false
		case http.StatusPaymentRequired:
			c.atPortal(Error, "", "the portal is not paid for, and answers nobody")
			return false
		case http.StatusNotFound:
			c.atPortal(Error, "", "the portal is suspended, or its API is not at %s", c.config.URL)
			return false
		}
	}
	now := c.options.Now()
	switch {
	case err != nil:
		c.atPortal(Error, "", "the API key could not be checked: %v", err)
		return false
	case !key.IsActive:
		c.atPortal(Error, "switch it on, under Developer Tools, API keys", "the API key %q is switched off", key.Name)
	case key.ExpiresAt.IsZero():
	case !key.ExpiresAt.After(now):
		c.atPortal(Error, "create another one", "the API key %q expired on %s", key.Name, key.ExpiresAt.Format(time.DateOnly))
	case key.ExpiresAt.Sub(now) < soon:
		c.atPortal(Warning, "create another one in time", "the API key %q expires on %s", key.Name, key.ExpiresAt.Format(time.DateOnly))
	}
	c.scopes = key.Permissions
	c.needScopes()
	return true
}

// allowed reports whether the key's scopes cover an area. Webhook administration has none of its
// own and is the area "".
func (c *check) allowed(area, right string) bool {
	if len(c.scopes) == 0 || slices.Contains(c.scopes, "*") {
		return true
	}
	return slices.ContainsFunc(c.scopes, func(scope string) bool {
		of, has, _ := strings.Cut(scope, ":")
		return (of == "*" || area != "" && of == area) && (has == right || has == "write")
	})
}

// needScopes reports the scopes that the rules in use need and the key lacks. The remedy names all that a
// key should have, the webhook's included, so that one new key is enough.
func (c *check) needScopes() {
	var all, tagged, mailed []string
	for _, r := range c.rules {
		if r.Disabled {
			continue
		}
		all = append(all, r.Name)
		if r.asks.Has(rules.NeedRoomTags) {
			tagged = append(tagged, r.Name)
		}
		if r.asks.Has(rules.NeedAuthor) {
			mailed = append(mailed, r.Name)
		}
	}
	whole := "files:write, rooms:read, accounts.self:read and *:write"
	if len(mailed) > 0 {
		whole = "files:write, rooms:read, accounts.self:read, accounts:read and *:write"
	}
	for _, need := range []struct {
		area, right string
		by          []string
		why         string
	}{
		{"files", "write", all, "to copy, to move and to look"},
		{"accounts.self", "read", all, "to tell the gateway's own work from that of people"},
		{"rooms", "read", tagged, "to read the tags of rooms"},
		{"accounts", "read", mailed, "to read e-mail addresses"},
	} {
		if len(need.by) > 0 && !c.allowed(need.area, need.right) {
			c.atPortal(Error, "create a key with "+whole+": the scopes of a key cannot be changed later",
				"the API key lacks the scope %s:%s, which %s needed %s", need.area, need.right, byRules(need.by, len(all)), need.why)
		}
	}
}

// byRules names some rules in a sentence.
func byRules(names []string, of int) string {
	const most = 3
	switch {
	case len(names) == of:
		return "is"
	case len(names) == 1:
		return "for the rule " + names[0] + " is"
	case len(names) > most:
		return "for the rules " + strings.Join(names[:most], ", ") + " and others is"
	}
	return "for the rules " + strings.Join(names, ", ") + " is"
}

func (c *check) clock(ctx context.Context) {
	ahead, err := c.portal.Clock(ctx)
	if err != nil || ahead.Abs() < skewed {
		return
	}
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	c.atPortal(Warning, "set the clock of the machine that is wrong: paths and conditions that use the time suffer",
		"the portal's clock is %v %s this machine's", ahead.Abs().Round(10*time.Second), direction)
}

// account looks at whose rights the gateway has.
func (c *check) account(ctx context.Context) error {
	if !c.allowed("accounts.self", "read") {
		c.note("the account is not known")
		return nil
	}
	self, err := c.portal.Self(ctx)
	if err != nil {
		return err
	}
	c.status.Account = cmp.Or(self.DisplayName, self.Email, self.ID)
	c.admin = self.IsAdmin || self.IsOwner
	if self.IsOwner {
		c.atPortal(Warning, "give the gateway an account of its own, and create the key as that one",
			"the API key belongs to %s, who owns the portal: what a person copies or moves with the gateway's account is taken for the gateway's own work and not routed, and both share limits and results",
			c.status.Account)
	}
	return nil
}
