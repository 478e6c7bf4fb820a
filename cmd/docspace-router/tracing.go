package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracingWanted reports whether the variables that OpenTelemetry has laid down ask for traces. Where
// nobody says a word of it there are none.
func tracingWanted(env environment) (bool, error) {
	get := func(name string) string {
		value, _ := env.lookup(name)
		return strings.TrimSpace(value)
	}
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := get("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf("variable OTEL_TRACES_EXPORTER: %q is not one of otlp, none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := get(name); protocol != "" && protocol != "http/protobuf" {
			return false, fmt.Errorf("variable %s: %q is not supported: want http/protobuf, which collectors take on port 4318", name, protocol)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if endpoint := get(name); endpoint != "" {
			if err := checkEndpoint(endpoint); err != nil {
				return false, fmt.Errorf("variable %s: %w", name, err)
			}
		}
	}
	for _, name := range headerVariables {
		if _, err := headerValues(get(name)); err != nil {
			return false, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	return true, nil
}

// checkEndpoint refuses what the exporter would pass over in silence. Its errors do not quote the
// address, which may hold a password.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("want an address such as http://127.0.0.1:4318")
	case u.User != nil:
		return errors.New("a user or password in the address is not sent: use OTEL_EXPORTER_OTLP_HEADERS")
	}
	return nil
}

var headerVariables = []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"}

// headerValues are the values of a list of headers, which are mostly keys of somebody's service.
func headerValues(list string) (values []string, err error) {
	for part := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		_, value, ok := strings.Cut(part, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return nil, errors.New("want NAME=VALUE pairs with commas between them, values percent-encoded")
		}
		values = append(values, decoded)
	}
	return values, nil
}

// redactor withholds the values of the headers from errors, which may quote the collector's answer.
func redactor(env environment) func(error) string {
	var secrets []string
	for _, name := range headerVariables {
		list, _ := env.lookup(name)
		values, _ := headerValues(list) // checked before
		secrets = append(secrets, values...)
	}
	return func(err error) string {
		text := err.Error()
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "<secret>")
			}
		}
		return text
	}
}

// newTracing makes what spans are sent with, as OTEL_… variables say, or nil when they do not ask for
// traces. flush sends what is left and ends it.
func newTracing(ctx context.Context, env environment, log *slog.Logger) (_ trace.TracerProvider, flush func(), err error) {
	wanted, err := tracingWanted(env)
	if err != nil || !wanted {
		return nil, func() {}, unreadable(err)
	}
	log = log.With("component", "tracing")
	redact := redactor(env)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces not sent", "err", redact(err))
	}))
	// What it has to say of variables quotes them; they have been checked.
	otel.SetLogger(logr.Discard())
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, unreadable(fmt.Errorf("OTEL_… variables: %s", redact(err)))
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "docspace-router"), attribute.String("service.version", buildVersion())),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, nil, unreadable(fmt.Errorf("OTEL_… variables: %s", redact(err)))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("last traces not sent", "err", redact(err))
		}
	}, nil
}
