package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"docspace-router/internal/docspace"
)

// CheckPublicURL says what is wrong with an address under which portals reach the gateway.
func CheckPublicURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("want an address that starts with https:// or http://, such as https://router.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("want an address without user, query or fragment, such as https://router.example.com")
	case slices.Contains(strings.Split(u.Path, "/"), "webhook"):
		return errors.New("leave out /webhook and what follows: it is added for each portal")
	}
	return nil
}

// Wish is what the webhook on a portal should be.
type Wish struct {
	Portal string
	// Addresses are those by which the portal's deliveries reach the gateway, the one to register
	// first. None: they are not known, and only what is known from deliveries is the gateway's.
	Addresses []string
	Name      string
	Triggers  []string // what enabled rules are about
}

// NewWish describes the webhook of a portal of the rules file. public is the gateway's address,
// which may be empty; only says that there is no other portal.
func NewWish(portal, public string, only bool, triggers []string) Wish {
	w := Wish{Portal: portal, Triggers: triggers}
	if public == "" {
		return w
	}
	base := strings.TrimRight(public, "/") + "/webhook"
	w.Addresses = []string{base + "/" + portal}
	if only {
		w.Addresses = append(w.Addresses, base)
	}
	w.Name = nameOf(portal, public)
	return w
}

// nameOf is the name that the gateway gives its webhook. It tells the webhooks of several gateways
// apart, such as a trial one's, so that none takes another's for its own.
func nameOf(portal, public string) string {
	const longest = 50 // what DocSpace takes
	host := ""
	if u, err := url.Parse(public); err == nil {
		host = u.Host
	}
	name := "docspace-router " + portal + " at " + host
	if len(name) > longest {
		sum := sha256.Sum256([]byte(name))
		name = name[:longest-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return name
}

// NamedAsOwn reports whether a webhook bears the name that a gateway at its address would give it: all
// that can be told where the gateway's own address is not known.
func (w Wish) NamedAsOwn(h docspace.Webhook) bool {
	base := strings.TrimSuffix(strings.TrimRight(h.URL, "/"), "/"+w.Portal)
	public, ok := strings.CutSuffix(base, "/webhook")
	return ok && h.Name == nameOf(w.Portal, public)
}

// PointsHere reports whether a webhook's address is one of the gateway's, where these are known.
func (w Wish) PointsHere(h docspace.Webhook) bool {
	return slices.ContainsFunc(w.Addresses, func(a string) bool { return sameAddress(a, h.URL) })
}

// Own picks the gateway's webhooks out of those of a portal, the one to go by first: those that
// point here, those of the gateway's name, and those whose deliveries were stored (seen), wherever
// they point now.
func (w Wish) Own(all []docspace.Webhook, seen []string) []docspace.Webhook {
	rank := func(h docspace.Webhook) int {
		switch {
		case w.PointsHere(h) && h.TargetID == "":
			return 1
		case w.Name != "" && h.Name == w.Name:
			return 2
		case slices.Contains(seen, strconv.FormatInt(h.ID, 10)):
			return 3
		case w.PointsHere(h):
			return 4 // only events of one entry, but ours
		}
		return 0
	}
	own := slices.DeleteFunc(slices.Clone(all), func(h docspace.Webhook) bool { return rank(h) == 0 })
	slices.SortFunc(own, func(a, b docspace.Webhook) int {
		enabled := func(h docspace.Webhook) int {
			if h.Enabled {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(enabled(a), enabled(b)), cmp.Compare(a.ID, b.ID))
	})
	return own
}

// mayChange reports whether a webhook is the gateway's to change: one that only sent here once may
// by now be somebody else's.
func (w Wish) mayChange(h docspace.Webhook) bool {
	return h.TargetID == "" && (w.PointsHere(h) || w.Name != "" && h.Name == w.Name)
}

// sameAddress compares addresses as the portal's HTTP client would see them.
func sameAddress(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	if errX != nil || errY != nil {
		return a == b
	}
	return strings.EqualFold(x.Scheme, y.Scheme) && strings.EqualFold(x.Hostname(), y.Hostname()) && portOf(x) == portOf(y) &&
		strings.TrimRight(x.EscapedPath(), "/") == strings.TrimRight(y.EscapedPath(), "/") && x.RawQuery == y.RawQuery
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
}
