package config

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// variables is a LookupEnv of fixed content.
func variables(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// onePortal describes the portal of a file without a portals block.
func onePortal() func(string) (string, bool) {
	return variables(
		HostVariable, "https://acme.onlyoffice.com/",
		KeyVariable, "sk-canary-key",
		WebhookSecretVariable, "canary-webhook",
		"EMPTY", "",
	)
}
