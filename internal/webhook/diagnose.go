package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"docspace-router/internal/docspace"
)

// forbidden are the networks that DocSpace sends no webhook into, unless a self-hosted portal's
// setting webhooks:blacklist says otherwise.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("::/128"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

// Diagnose says why a portal refused a webhook. The portal's own words are in its owner's language
// and seldom say which of many limits it was, so the likely ones are tried from here.
func Diagnose(ctx context.Context, w docspace.Webhook, secret string, refusal error) error {
	var status *docspace.StatusError
	if !errors.As(refusal, &status) || status.StatusCode != http.StatusBadRequest && status.StatusCode != http.StatusInternalServerError {
		return refusal
	}
	var reasons []string
	add := func(err error) {
		if err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if secret != "" {
		add(CheckSecret(secret))
		add(checkPolicy(secret))
	}
	if w.SSL && !isHTTPS(w.URL) {
		add(errors.New("it demands https, which its address is not"))
	}
	add(checkHost(ctx, w.URL))
	add(probe(ctx, w.URL))
	if len(reasons) == 0 {
		reasons = []string{"from here the address answers as it should. Does it from the portal's network as well, with a certificate that the portal trusts?"}
	}
	return fmt.Errorf("%w; %s", refusal, strings.Join(reasons, "; "))
}

// checkPolicy says what a portal's password policy, which counts for secrets too, may ask for.
func checkPolicy(secret string) error {
	var lacks []string
	if !strings.ContainsFunc(secret, unicode.IsUpper) {
		lacks = append(lacks, "an upper-case letter")
	}
	if !strings.ContainsFunc(secret, unicode.IsDigit) {
		lacks = append(lacks, "a digit")
	}
	if !strings.ContainsFunc(secret, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		lacks = append(lacks, "a special character")
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("the portal's password policy may ask the secret for %s, which it has not", strings.Join(lacks, " and "))
}

// checkHost says whether DocSpace would send nothing to the address for where it is.
func checkHost(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("the address is malformed")
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return fmt.Errorf("the name %s cannot be resolved from here", u.Hostname())
	}
	for _, ip := range ips {
		for _, network := range forbidden {
			if network.Contains(ip.Unmap()) {
				where := "is in"
				if ip.Unmap().String() != u.Hostname() {
					where = fmt.Sprintf("is at %s, in", ip.Unmap())
				}
				return fmt.Errorf("%s %s a network that DocSpace sends no webhooks into: use a public address or, on a self-hosted portal, change webhooks:blacklist in its settings", u.Hostname(), where)
			}
		}
	}
	return nil
}

// probe asks as the portal does: with HEAD, following no redirect.
func probe(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return errors.New("the address is malformed")
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if err != nil {
		return fmt.Errorf("HEAD %s fails from here, too: %w. Is serve running, and does the proxy before it pass /webhook on?", shown(address), err)
	}
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("HEAD %s is redirected (%s), and DocSpace follows no redirects: give the address it is redirected to", shown(address), resp.Status)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("HEAD %s is answered %s, and DocSpace wants 200. Is serve running with these rules, and does the proxy before it pass /webhook on?", shown(address), resp.Status)
	}
	return nil
}
