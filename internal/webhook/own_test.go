package webhook_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"docspace-router/internal/docspace"
	"docspace-router/internal/webhook"
)

func TestOwn(t *testing.T) {
	t.Parallel()
	wish := webhook.NewWish("acme", "https://Router.example.com:443/", true, nil)
	for name, tt := range map[string]struct {
		hook docspace.Webhook
		seen []string
		own  bool
	}{
		"the portal's address":          {docspace.Webhook{URL: "https://router.example.com/webhook/acme"}, nil, true},
		"the only portal's address":     {docspace.Webhook{URL: "https://router.example.com/webhook/"}, nil, true},
		"another portal's":              {docspace.Webhook{URL: "https://router.example.com/webhook/other"}, nil, false},
		"another port":                  {docspace.Webhook{URL: "https://router.example.com:8443/webhook/acme"}, nil, false},
		"another scheme":                {docspace.Webhook{URL: "http://router.example.com/webhook/acme"}, nil, false},
		"our name at another address":   {docspace.Webhook{URL: "https://x.example.com/", Name: wish.Name}, nil, true},
		"one that has delivered before": {docspace.Webhook{ID: 7, URL: "https://x.example.com/"}, []string{"7"}, true},
		"somebody else's":               {docspace.Webhook{ID: 7, URL: "https://x.example.com/", Name: "docspace-router"}, []string{"8"}, false},
	} {
		if got := len(wish.Own([]docspace.Webhook{tt.hook}, tt.seen)) == 1; got != tt.own {
			t.Errorf("%s: own is %v", name, got)
		}
	}
}

func TestNamesFit(t *testing.T) {
	t.Parallel()
	a := webhook.NewWish(strings.Repeat("a", 100), public, false, nil).Name
	b := webhook.NewWish(strings.Repeat("a", 99)+"b", public, false, nil).Name
	if utf8.RuneCountInString(a) > 50 || a == b || !strings.HasPrefix(a, "docspace-router ") {
		t.Errorf("names %q and %q", a, b)
	}
}

func TestPublicURLs(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"https://router.example.com": true, "http://10.0.0.1:3000": true, "https://example.com/router/": true,
		"router.example.com": false, "https://": false, "ftp://x": false, "https://u:p@x": false, "https://x?y": false,
		"https://router.example.com/webhook": false, "https://router.example.com/webhook/acme": false,
	} {
		if err := webhook.CheckPublicURL(address); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := webhook.NewSecret()
		if err := webhook.CheckSecret(s); err != nil || seen[s] || strings.ToLower(s) == s || strings.ToUpper(s) == s ||
			!strings.ContainsAny(s, "0123456789") || !strings.Contains(s, "-") || strings.ContainsAny(s, " $'\"\\#:") {
			t.Fatalf("%q: %v", s, err)
		}
		seen[s] = true
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", 31), "with space", "ümlaut-secret"} {
		err := webhook.CheckSecret(bad)
		if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
