package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/app"
)

func newServe(env environment) *cobra.Command {
	var rules rulesFlags
	level, format := oneOf("info", "debug", "info", "warn", "error"), oneOf("text", "text", "json")
	retention := period(30 * 24 * time.Hour)
	catchUp := periodOrOff(3 * 24 * time.Hour)
	o := app.Options{LookupEnv: env.lookup, Version: buildVersion(), WatchWebhooks: true}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Runs the gateway",
		Long: `serve takes deliveries on /webhook/{portal} (or /webhook, when there is one portal)
and routes them by the rules file, which it reloads when the file changes, on SIGHUP
and on POST /-/reload on the admin listener. The rules file says which portals there
are; without a portals block, DOCSPACE_API_HOST, DOCSPACE_API_KEY and
DOCSPACE_WEBHOOK_SECRET describe the one there is.

SIGTERM and SIGINT stop it after running calls have ended; a second one stops it at
once. Nothing that was accepted is lost either way.

The variable in brackets stands in for a flag that is not given. Traces are sent where
OTEL_EXPORTER_OTLP_ENDPOINT says, as OTLP over HTTP; the other OTEL_… variables of
OpenTelemetry hold as well. Without them there are no traces.

Exit status: 0 stopped as asked, 1 it could not start or go on, 2 wrong usage or a
rules file that cannot be read.`,
		Example: `  docspace-router serve --rules rules.yaml
  ROUTER_LISTEN=:8080 docspace-router serve --database sqlite:///var/lib/docspace-router/router.db`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd, env); err != nil {
				return err
			}
			o.Rules, o.AllowUnsigned = rules.path, rules.allowUnsigned
			o.Retention, o.CatchUpWindow = time.Duration(retention), time.Duration(catchUp)
			o.Logger = newLogger(env.stderr, level.value, format.value)
			if problems := o.Check(); len(problems) > 0 {
				return unreadable(byFlag(cmd, env, problems))
			}
			tracing, flush, err := newTracing(cmd.Context(), env, o.Logger)
			if err != nil {
				return err
			}
			defer flush()
			o.Tracing = tracing
			err = serve(cmd.Context(), o)
			var problems app.OptionErrors
			if errors.As(err, &problems) {
				err = findings(byFlag(cmd, env, problems))
			}
			return err
		},
	}
	rules.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", ":3000", "`address` of the webhook endpoint")
	f.StringVar(&o.TLSCert, "tls-cert", "", "certificate `file` of the webhook endpoint; without one it speaks plain HTTP, for use behind TLS termination")
	f.StringVar(&o.TLSKey, "tls-key", "", "key `file` of the certificate")
	f.StringVar(&o.AdminListen, "admin-listen", "127.0.0.1:3001", "`address` of the admin listener")
	f.StringVar(&o.AdminToken, "admin-token", "", "bearer `token` of the admin listener; required when it is not on loopback; the variable keeps it out of the process list")
	f.StringVar(&o.Database, "database", "sqlite://docspace-router.db", "the database `URL`: sqlite://FILE, whose file is made when it is missing, its folder not; or postgres://USER:PASSWORD@HOST/NAME, better in the variable, which keeps the password out of the process list")
	f.Var(&retention, "retention", "how long decided events and ended transfers are kept")
	f.StringVar(&o.PublicURL, "public-url", "", "the `URL` under which portals reach the webhook endpoint, without /webhook, such as https://router.example.com; by it the gateway knows its own webhook")
	f.BoolVar(&o.ManageWebhook, "manage-webhook", false, "keep the gateway's webhook on each portal as the rules need it: create, enable, point and subscribe it; without, what is wrong is only reported")
	f.Var(&catchUp, "catch-up-window", "how far back the portals' webhook logs are read for deliveries that were missed; or off")
	f.Var(&level, "log-level", "what is logged")
	f.Var(&format, "log-format", "how it is logged, on standard error")
	f.SortFlags = false
	withVariables(cmd)
	f.Var(paceFlag{&o.Pace}, "pace", "waiting times of the parts, for runs against a simulated portal")
	if err := f.MarkHidden("pace"); err != nil {
		panic(err) // the flag was defined in the line above
	}
	return cmd
}

func serve(ctx context.Context, o app.Options) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	// After the first signal the default is back: a second one ends the process at once.
	context.AfterFunc(ctx, stop)

	// Caught from the first moment on: one that comes early reloads, rather than ends, the gateway.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	gateway, err := app.New(ctx, o)
	if err != nil {
		return findings(err)
	}
	ended := make(chan struct{})
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for {
			select {
			case <-hangup:
				// A failure is logged where it is found, and the old rules stay.
				_ = gateway.Reload(ctx, "SIGHUP")
			case <-ended:
				return
			}
		}
	}()
	err = gateway.Run(ctx)
	close(ended)
	<-reloads
	return findings(err)
}

// optionFlags are the flags that options of the gateway come from.
var optionFlags = map[string]string{
	"Rules": "rules", "Listen": "listen", "TLSCert": "tls-cert", "TLSKey": "tls-key",
	"AdminListen": "admin-listen", "Database": "database", "PublicURL": "public-url", "ManageWebhook": "manage-webhook",
}

// byFlag names what will not do as it was written: by the flag or its variable.
func byFlag(cmd *cobra.Command, env environment, problems app.OptionErrors) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = fmt.Errorf("%s: %w", writtenAs(cmd.Flags().Lookup(optionFlags[p.Option]), env), p.Err)
	}
	return errors.Join(errs...)
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[level]}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
