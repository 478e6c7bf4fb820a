package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"docspace-router/internal/docspace"
)

// Client is the part of a portal's API that webhooks are managed by.
type Client interface {
	Webhooks(ctx context.Context) ([]docspace.Webhook, error)
	WebhookTriggers(ctx context.Context) ([]docspace.Trigger, error)
	CreateWebhook(ctx context.Context, w docspace.Webhook, secret string) (docspace.Webhook, error)
	UpdateWebhook(ctx context.Context, w docspace.Webhook, secret string) (docspace.Webhook, error)
	EnableWebhook(ctx context.Context, w docspace.Webhook, on bool) (docspace.Webhook, error)
	DeleteWebhook(ctx context.Context, id int64) error
}

// Kind says what is wrong with a webhook.
type Kind string

// The kinds of problem.
const (
	Missing   Kind = "missing"          // there is none
	Disabled  Kind = "disabled"         // it is switched off
	Elsewhere Kind = "elsewhere"        // it points to another address
	Triggers  Kind = "missing_triggers" // it leaves out what rules need
	Several   Kind = "several"          // more than one points here
	Unknown   Kind = "unknown_triggers" // the portal does not know what rules need
	Secret    Kind = "wrong_secret"     // it signs with a secret that is not in use
)

// Kinds lists every kind of problem.
func Kinds() []Kind { return []Kind{Missing, Disabled, Elsewhere, Triggers, Several, Unknown, Secret} }

// Problem is something wrong with the gateway's webhook.
type Problem struct {
	Kind Kind
	Text string
}

// unnoted is what a portal does while nobody is subscribed.
const unnoted = "meanwhile the portal notes no events, not even in its log: backfill what was uploaded"

// State is the gateway's webhook as it is, compared with what it should be.
type State struct {
	Wish     Wish
	Own      []docspace.Webhook // the first is the one to go by
	Problems []Problem
	// Mask are the triggers the rules need, as the portal counts them; Surplus are those the webhook
	// has beyond them.
	Mask    int64
	Surplus []string
}

// Compare says how the webhooks of a portal stand.
func (w Wish) Compare(all []docspace.Webhook, seen []string, triggers []docspace.Trigger) State {
	s := State{Wish: w, Own: w.Own(all, seen)}
	problem := func(k Kind, format string, args ...any) {
		s.Problems = append(s.Problems, Problem{k, fmt.Sprintf(format, args...)})
	}
	var unknown []string
	for _, name := range w.Triggers {
		if bit := bitOf(triggers, name); bit != 0 {
			s.Mask |= bit
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		problem(Unknown, "the portal does not know the trigger %s: rules get no such events from it", strings.Join(unknown, ", "))
	}
	if len(s.Own) == 0 {
		if len(w.Triggers) > 0 {
			problem(Missing, "the gateway has no webhook, and docspace-router webhook register makes one; %s", unnoted)
		}
		return s
	}
	own := s.Own[0]
	if !own.Enabled {
		why := ""
		if own.LastFailureText != "" {
			why = fmt.Sprintf(" (last failure: %s)", own.LastFailureText)
		}
		problem(Disabled, "webhook %d is disabled%s; %s", own.ID, why, unnoted)
	}
	if len(w.Addresses) > 0 && !w.PointsHere(own) {
		problem(Elsewhere, "webhook %d points to %s instead of %s; its log tells what was sent there, and catching up takes it in", own.ID, shown(own.URL), w.Addresses[0])
	}
	if own.Triggers != 0 {
		if lacks := namesOf(triggers, s.Mask&^own.Triggers); len(lacks) > 0 {
			problem(Triggers, "webhook %d does not subscribe to %s, which rules need; meanwhile the portal notes no such events", own.ID, strings.Join(lacks, ", "))
		}
	}
	s.Surplus = s.surplus(own, triggers)
	if n := s.pointing(); n > 1 {
		problem(Several, "%d webhooks point here, so that each event comes %d times: delete all but webhook %d", n, n, own.ID)
	}
	return s
}

func (s State) surplus(own docspace.Webhook, triggers []docspace.Trigger) []string {
	if own.Triggers == 0 && s.Mask != 0 {
		return []string{"all others"}
	}
	return namesOf(triggers, own.Triggers&^s.Mask)
}

// pointing counts the enabled webhooks that send everything here.
func (s State) pointing() (n int) {
	for _, h := range s.Own {
		if h.Enabled && h.TargetID == "" && s.Wish.PointsHere(h) {
			n++
		}
	}
	return n
}

// shown is an address without what may be secret in it.
func shown(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

func bitOf(triggers []docspace.Trigger, name string) int64 {
	for _, t := range triggers {
		if t.Name == name {
			return t.Bit
		}
	}
	return 0
}

// Names are the triggers of a mask by name; "*" stands for all.
func Names(triggers []docspace.Trigger, mask int64) []string {
	if mask == 0 {
		return []string{"*"}
	}
	return namesOf(triggers, mask)
}

func namesOf(triggers []docspace.Trigger, mask int64) []string {
	var names []string
	for _, t := range triggers {
		if t.Bit != 0 && t.Bit&mask == t.Bit {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Plan is what is to be done on a portal.
type Plan struct {
	Old, New docspace.Webhook // Old.ID is 0 when a webhook is to be created
	Changes  []string         // what differs; none: nothing is to be done
}

// ErrNoTriggers says that no rule needs a webhook. One without triggers would subscribe to all.
var ErrNoTriggers = errors.New("no enabled rule of this portal needs a webhook")

// Plan says what has to change for the webhook to be what it should be. Of several, all but the
// first are left alone.
func (s State) Plan() (Plan, error) {
	if len(s.Wish.Addresses) == 0 {
		return Plan{}, errors.New("it is not known under which address the portal reaches the gateway: give it with --public-url")
	}
	if s.Mask == 0 {
		return Plan{}, ErrNoTriggers
	}
	want := docspace.Webhook{Name: s.Wish.Name, URL: s.Wish.Addresses[0], Enabled: true, Triggers: s.Mask}
	want.SSL = isHTTPS(want.URL)
	for _, own := range s.Own {
		if !s.Wish.mayChange(own) {
			continue
		}
		changed := own
		changed.Enabled, changed.Triggers = true, s.Mask
		if !s.Wish.PointsHere(own) {
			changed.URL = want.URL
		}
		changed.SSL = isHTTPS(changed.URL)
		return Plan{own, changed, s.changes(own, changed)}, nil
	}
	return Plan{New: want, Changes: []string{"create it, for " + want.URL}}, nil
}

func (s State) changes(old, want docspace.Webhook) (changes []string) {
	if !old.Enabled {
		changes = append(changes, "enable it")
	}
	if old.URL != want.URL {
		changes = append(changes, fmt.Sprintf("point it to %s instead of %s", want.URL, shown(old.URL)))
	}
	if old.SSL != want.SSL {
		changes = append(changes, map[bool]string{
			true: "have the portal check the certificate", false: "do not ask for https, which the address is not",
		}[want.SSL])
	}
	if old.Triggers != want.Triggers {
		for _, p := range s.Problems {
			if p.Kind == Triggers {
				changes = append(changes, "subscribe to what rules need")
			}
		}
		if len(s.Surplus) > 0 {
			changes = append(changes, "unsubscribe from "+strings.Join(s.Surplus, ", "))
		}
	}
	return changes
}

func isHTTPS(address string) bool { return strings.HasPrefix(strings.ToLower(address), "https:") }

// Do carries the plan out. secret is for a webhook that is created; for one that is changed it
// may be empty, which leaves the present one.
func (p Plan) Do(ctx context.Context, c Client, secret string) (docspace.Webhook, error) {
	if p.Old.ID == 0 {
		return c.CreateWebhook(ctx, p.New, secret)
	}
	enabled := p.Old
	enabled.Enabled = true
	if enabled == p.New && secret == "" {
		return c.EnableWebhook(ctx, p.New, true)
	}
	return c.UpdateWebhook(ctx, p.New, secret)
}
