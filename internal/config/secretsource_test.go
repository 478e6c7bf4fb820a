package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSecretsThatAreYetToBeMade reads a file whose webhook secrets are not there yet, as webhook
// register does and nobody else may.
func TestSecretsThatAreYetToBeMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": " \n", "full": "Str0ng-Secret\n", "key": "sk-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "rules.yaml")
	text := `version: 1
portals:
  acme:
    url: https://acme.example.com
    api_key: {file: key}
    webhook_secrets: [{file: missing}, {file: empty}, {file: full}, {env: UNSET}, {env: SET}]
rules: [{name: a, triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 2}}]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Path: path, LookupEnv: func(name string) (string, bool) { return "Set-Secret-1", name == "SET" }}
	if _, err := Load(o); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("strictly: %v, want three problems", err)
	}
	o.NewWebhookSecrets = true
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, s := range c.Portals[0].WebhookSecrets {
		values = append(values, s.Reveal())
	}
	if diff := cmp.Diff([]string{"", "", "Str0ng-Secret", "", "Set-Secret-1"}, values); diff != "" {
		t.Error(diff)
	}
	want := []SecretSource{
		{File: filepath.Join(dir, "missing")}, {File: filepath.Join(dir, "empty")}, {File: filepath.Join(dir, "full")},
		{Variable: "UNSET"}, {Variable: "SET"},
	}
	if diff := cmp.Diff(want, c.Portals[0].WebhookSecretSources); diff != "" {
		t.Error(diff)
	}
	// The key must be there all the same, and so must what is no webhook's secret.
	if err := os.Remove(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "key does not exist") {
		t.Errorf("without the key: %v", err)
	}
}
