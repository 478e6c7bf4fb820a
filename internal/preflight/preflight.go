package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// Portal is the part of a portal that is asked.
type Portal interface {
	Reach(ctx context.Context) error
	Key(ctx context.Context) (docspace.Key, error)
	Self(ctx context.Context) (docspace.User, error)
	Clock(ctx context.Context) (time.Duration, error)
	Rooms(ctx context.Context) ([]docspace.Folder, error)
	FolderPath(ctx context.Context, id event.ID) ([]docspace.Folder, error)
	Folder(ctx context.Context, id event.ID) (docspace.Folder, error)
	File(ctx context.Context, id event.ID) (docspace.File, error)
	Subfolders(ctx context.Context, id event.ID) ([]docspace.Folder, error)
	Webhooks(ctx context.Context) ([]docspace.Webhook, error)
	WebhookTriggers(ctx context.Context) ([]docspace.Trigger, error)
}

// Options are what a check needs. Config and Open are required.
type Options struct {
	Config *config.Config // with Locations

	// Open returns the portal to be asked. Its client stays the caller's.
	Open func(config.Portal) (Portal, error)

	// PublicURL is where the portals reach the gateway, as in https://router.example.com. Without
	// it a webhook counts as the gateway's by the path of its address.
	PublicURL string

	// Progress is told how many ids of how many have been looked up, never by two calls at a time;
	// nil: nobody is.
	Progress func(done, of int)

	Now func() time.Time // default time.Now
}

// Severity says whether the gateway can work with what was found.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that is wrong, or worth a look.
type Finding struct {
	Severity Severity
	Portal   string
	Rule     string // the rule it concerns; empty where it is the portal as a whole
	config.Problem
}

// Status is what was learned of a portal besides findings.
type Status struct {
	Portal  string
	Asked   bool     // it was reached, and the key works
	Account string   // whose rights the gateway has
	Notes   []string // what could not be checked, and why

	// Titles are those of the rooms and folders that the rules name, where they could be read.
	Titles map[event.ID]string
}

// Report is what a check found: findings in the order of the files, portals in that of the config.
type Report struct {
	Findings []Finding
	Portals  []Status
}

// Failed reports whether any finding is an error.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
}

// Of returns the findings about a portal.
func (r Report) Of(portal string) (errors, warnings int) {
	for _, f := range r.Findings {
		switch {
		case f.Portal != portal:
		case f.Severity == Error:
			errors++
		default:
			warnings++
		}
	}
	return errors, warnings
}

// Run checks every portal. Its error is about the check itself: options that are missing, or a
// context that ended.
func Run(ctx context.Context, o Options) (Report, error) {
	switch {
	case o.Config == nil || o.Open == nil:
		return Report{}, errors.New("preflight: Config and Open are required")
	case len(o.Config.Locations) != o.Config.Rules.Len():
		return Report{}, errors.New("preflight: Config has no Locations")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	checks := make([]*check, len(o.Config.Portals))
	var g errgroup.Group
	g.SetLimit(parallel)
	shown := &progress{show: o.Progress}
	for i, p := range o.Config.Portals {
		c := newCheck(o, p)
		c.progress = shown
		checks[i] = c
		g.Go(func() error {
			c.run(ctx)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return Report{}, err
	}
	var r Report
	for _, c := range checks {
		r.Findings = append(r.Findings, c.findings...)
		r.Portals = append(r.Portals, c.status)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r, nil
}

// parallel is how many portals are checked, and of one portal how many requests sent, at once. The
// client keeps the portal's limits besides.
const parallel = 8

// check is the check of one portal.
type check struct {
	options  Options
	config   config.Portal
	portal   Portal
	rules    []ruleHere
	scopes   []string
	admin    bool // whether the account administers the portal
	places   map[event.ID]*spot
	rooms    []docspace.Folder // those that the account sees
	progress *progress
	status   Status
	findings []Finding
	seen     map[Finding]bool
}

// progress adds up the progress of all portals.
type progress struct {
	show func(done, of int)

	mu       sync.Mutex // guards what follows
	done, of int
}

func (p *progress) add(done, of int) {
	if p.show == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += done
	p.of += of
	p.show(p.done, p.of)
}

// ruleHere is a rule for the portal. Disabled ones are looked up, for their titles, and not judged.
type ruleHere struct {
	rules.Info
	config.RuleLocations
	asks rules.Need
}

func newCheck(o Options, p config.Portal) *check {
	c := &check{
		options: o, config: p, places: map[event.ID]*spot{}, seen: map[Finding]bool{},
		status: Status{Portal: p.Name, Titles: map[event.ID]string{}},
	}
	for i, info := range o.Config.Rules.Rules() {
		if slices.Contains(info.Portals, p.Name) {
			c.rules = append(c.rules, ruleHere{info, o.Config.Locations[i], o.Config.Rules.Asks(i)})
		}
	}
	return c
}

// run goes on for as long as the portal answers: what was found before stays.
func (c *check) run(ctx context.Context) {
	c.limits()
	var err error
	if c.portal, err = c.options.Open(c.config); err != nil {
		c.atPortal(Error, "", "the portal cannot be asked: %v", err)
		return
	}
	if !c.reach(ctx) || !c.key(ctx) {
		return
	}
	c.status.Asked = true
	c.clock(ctx)
	for _, part := range []struct {
		what  string
		check func(context.Context) error
	}{
		{"the account", c.account},
		{"the ids in the rules", c.lookUp},
		{"the list of rooms", c.lookUpRooms},
		{"the webhooks", c.webhook},
	} {
		err := part.check(ctx)
		switch {
		case err == nil:
		case lost(ctx, err):
			c.atPortal(Error, "check again", "the portal stopped answering while it was asked for %s, and the rest was left out: %v", part.what, err)
			c.judge()
			return
		default:
			c.atPortal(Error, "", "the portal could not be asked for %s: %v", part.what, err)
		}
	}
	c.judge()
}

// lost reports whether there is no point in asking for anything else.
func lost(ctx context.Context, err error) bool {
	_, busy := docspace.IsRateLimited(err)
	return ctx.Err() != nil || busy || docspace.IsPortalDown(err)
}

// add reports a finding about a rule, or about the portal as a whole when that is nil; once,
// however many rules share the place it is about.
func (c *check) add(severity Severity, r *ruleHere, at config.Location, hint, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r != nil && len(r.Portals) > 1 {
		message = "on portal " + c.config.Name + " " + message
	}
	f := Finding{severity, c.config.Name, "", at.Problem(message, hint)}
	if c.seen[f] {
		return
	}
	c.seen[f] = true
	if r != nil {
		f.Rule = r.Name
	}
	c.findings = append(c.findings, f)
}

// atPortal reports what concerns the portal as a whole.
func (c *check) atPortal(severity Severity, hint, format string, args ...any) {
	at := config.Location{Position: c.config.At}
	if c.config.Name != config.DefaultPortal || at.Line > 1 {
		at.Path = "portals." + c.config.Name
	}
	c.add(severity, nil, at, hint, format, args...)
}

func (c *check) note(format string, args ...any) {
	c.status.Notes = append(c.status.Notes, fmt.Sprintf(format, args...))
}
