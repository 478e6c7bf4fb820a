package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestTracingIsAskedForByVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		variables map[string]string
		want      bool
		err       string
	}{
		{name: "nothing said"},
		{name: "an endpoint", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, want: true},
		{name: "an endpoint for traces", variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://otel.example.com/v1/traces"}, want: true},
		{name: "the default endpoint", variables: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, want: true},
		{name: "none", variables: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}},
		{name: "switched off", variables: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}},
		{name: "another exporter", variables: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, err: `variable OTEL_TRACES_EXPORTER: "zipkin" is not one of otlp, none`},
		{name: "another protocol", variables: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, err: `"grpc" is not supported`},
		{name: "no address", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, err: "want an address such as"},
		{name: "a password in the address", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:canary@127.0.0.1:4318"}, err: "use OTEL_EXPORTER_OTLP_HEADERS"},
		{name: "headers without values", variables: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "canary"}, err: "want NAME=VALUE pairs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := environment{lookup: func(name string) (string, bool) { v, ok := tt.variables[name]; return v, ok }}
			got, err := tracingWanted(env)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("wanted: %t %v, want %t %q", got, err, tt.want, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if tt.want {
				return
			}
			provider, _, _ := newTracing(t.Context(), env, slog.New(slog.DiscardHandler))
			if provider != nil {
				t.Error("there are traces all the same")
			}
		})
	}
}
