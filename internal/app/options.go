package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"docspace-router/internal/store"
	"docspace-router/internal/webhook"
)

// Options configures the gateway. Rules, Listen, AdminListen and Database are required.
type Options struct {
	Rules         string // path of the rules file
	Listen        string // address of the webhook endpoint, such as ":3000"
	AdminListen   string // address of the admin listener
	AdminToken    string // required for an AdminListen that is not loopback
	Database      string // sqlite://FILE or postgres://…
	Retention     time.Duration
	AllowUnsigned bool
	TLSCert       string // certificate and key files of the webhook endpoint; empty: plain HTTP
	TLSKey        string
	// PublicURL is the address under which portals reach the webhook endpoint, without /webhook.
	// Empty: not known.
	PublicURL string
	// CatchUpWindow is how far back the portals' webhook logs are read for what was missed. 0: they
	// are read only when somebody asks.
	CatchUpWindow time.Duration
	// WatchWebhooks has the gateway's webhooks checked now and then; ManageWebhook also has them
	// mended, where PublicURL is known.
	WatchWebhooks, ManageWebhook bool
	LookupEnv                    func(string) (string, bool)
	Version                      string
	StopWithin                   time.Duration // how long running calls may take to end at a stop; default 20 s
	Logger                       *slog.Logger
	Tracing                      trace.TracerProvider // where spans go; nil: there are none

	// Pace holds the waiting times of the parts; zero fields mean their defaults. Tests and
	// the demo shorten them.
	Pace Pace
}

// Pace is how fast the parts of the gateway work.
type Pace struct {
	Reload      time.Duration // how often the rules file's content is checked
	PortalPause time.Duration // how long a portal that is down is left alone
	Poll        time.Duration // how often a running operation is looked at
	SettleAfter time.Duration // how long a lost operation, or folder, may go on unseen
	RetryFirst  time.Duration // the first retry of a transfer or a look-up
	Sweep       time.Duration // how often lanes with due work are looked for
	DeadAfter   time.Duration // how long a replica may be silent before its jobs are taken from it
	CatchUp     time.Duration // how often the portals' webhook logs are read
	Watch       time.Duration // how often the gateway's webhooks are checked
	Fresh       time.Duration // how old an event must be to be taken from a log
}

// OptionErrors are options that will not do.
type OptionErrors []OptionError

// OptionError is one of them.
type OptionError struct {
	Option string // the name of the field of Options
	Err    error
}

// Error implements error.
func (e OptionErrors) Error() string {
	lines := make([]string, len(e))
	for i, problem := range e {
		lines[i] = problem.Option + ": " + problem.Err.Error()
	}
	return strings.Join(lines, "\n")
}

// Check says which options cannot be right, whatever the state of the database, the rules and the
// network. It opens nothing but the certificate.
func (o *Options) Check() OptionErrors {
	var errs OptionErrors
	refuse := func(option string, err error) {
		if err != nil {
			errs = append(errs, OptionError{option, err})
		}
	}
	if o.Rules == "" {
		refuse("Rules", errors.New("empty: want the rules file or its directory"))
	}
	refuse("Listen", checkAddress(o.Listen, ":3000"))
	if err := checkAddress(o.AdminListen, "127.0.0.1:3001"); err != nil {
		refuse("AdminListen", err)
	} else if o.AdminToken == "" && !isLoopback(o.AdminListen) {
		refuse("AdminListen", fmt.Errorf("the admin listener on %s could be reached from other machines: give it a token, or listen on 127.0.0.1", o.AdminListen))
	}
	if o.PublicURL != "" {
		if err := webhook.CheckPublicURL(o.PublicURL); err != nil {
			refuse("PublicURL", fmt.Errorf("%q: %w", o.PublicURL, err))
		}
	}
	if o.ManageWebhook && o.PublicURL == "" {
		refuse("ManageWebhook", errors.New("managing a webhook takes the address under which portals reach the gateway: give it with --public-url"))
	}
	refuse("Database", store.CheckURL(o.Database))
	switch {
	case o.TLSCert == "" && o.TLSKey == "":
	case o.TLSKey == "":
		refuse("TLSKey", errors.New("missing: a TLS certificate needs its key"))
	case o.TLSCert == "":
		refuse("TLSCert", errors.New("missing: a TLS key needs its certificate"))
	default:
		_, err := o.certificate()
		refuse("TLSCert", err)
	}
	return errs
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.StopWithin == 0 {
		o.StopWithin = 20 * time.Second
	}
	if o.Retention == 0 {
		o.Retention = 30 * 24 * time.Hour
	}
}

func (o *Options) certificate() (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return certificate, fmt.Errorf("certificate %s with key %s: %w", o.TLSCert, o.TLSKey, err)
	}
	return certificate, nil
}

func checkAddress(address, example string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil && port != "" {
		if _, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not an address to listen on: want HOST:PORT or :PORT, such as %s", address, example)
}

// isLoopback reports whether nobody but this machine can reach an address to listen on.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
