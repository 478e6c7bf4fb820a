package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	c, err := Parse("rules.yaml", []byte(minimal("a")), Options{LookupEnv: onePortal()})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Portals[0].APIKey.Reveal(); got != "sk-canary-key" {
		t.Fatalf("the canary was not loaded: %q", got)
	}
	var out bytes.Buffer
	for _, v := range []any{c.Portals[0].APIKey, &c.Portals[0].APIKey, c.Portals, *c, c.Portals[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		fmt.Fprintln(&out, string(b), err)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	b, err := yaml.Marshal(c.Portals)
	fmt.Fprintln(&out, string(b), err)
	for _, canary := range []string{"canary", fmt.Sprintf("%x", "canary")} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%q shows in\n%s", canary, out.String())
		}
	}
	if !strings.Contains(out.String(), hidden) {
		t.Error("no placeholder was written")
	}
	if got := (Secret{}).Reveal(); got != "" {
		t.Errorf("the zero secret reveals %q", got)
	}
}

func TestPortalFromTheEnvironment(t *testing.T) {
	t.Parallel()
	const at = "rules.yaml:1:1: "
	const hint = ", set it, or describe the portal in a portals block"
	for name, c := range map[string]struct {
		env      func(string) (string, bool)
		unsigned bool
		want     string
	}{
		"everything is set": {env: onePortal()},
		"nothing is set": {
			want: at + "there is no portals block and the variable DOCSPACE_API_HOST is not set" + hint + "\n" +
				at + "there is no portals block and the variable DOCSPACE_API_KEY is not set" + hint + "\n" +
				at + "there is no portals block and the variable DOCSPACE_WEBHOOK_SECRET is not set" + hint,
		},
		"a variable is empty": {
			env:  variables(HostVariable, "https://a.example.com", KeyVariable, " ", WebhookSecretVariable, "w"),
			want: at + "there is no portals block and the variable DOCSPACE_API_KEY is empty" + hint,
		},
		"the host is no address": {
			env:  variables(HostVariable, "acme.onlyoffice.com", KeyVariable, "k", WebhookSecretVariable, "w"),
			want: at + "DOCSPACE_API_HOST: the address does not start with https:// or http://, set DOCSPACE_API_HOST to scheme and host, as in https://acme.onlyoffice.com",
		},
		"a secret holds a line break": {
			env:  variables(HostVariable, "https://a.example.com", KeyVariable, "k\nanary", WebhookSecretVariable, "w"),
			want: at + "the variable DOCSPACE_API_KEY holds a line break or another control character",
		},
		"the webhook secret may be missing when unsigned is allowed": {
			env: variables(HostVariable, "https://a.example.com", KeyVariable, "k"), unsigned: true,
		},
		"but not empty": {
			env: variables(HostVariable, "https://a.example.com", KeyVariable, "k", WebhookSecretVariable, ""), unsigned: true,
			want: at + "there is no portals block and the variable DOCSPACE_WEBHOOK_SECRET is empty" + hint,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("rules.yaml", []byte(minimal("a")), Options{LookupEnv: c.env, AllowUnsigned: c.unsigned})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnsignedPortalsAreAcceptedOnRequest(t *testing.T) {
	t.Parallel()
	text := "portals: {acme: {url: 'https://a.example.com', api_key: {env: KEY}%s}}\n" + minimal("a")
	for _, secrets := range []string{"", ", webhook_secrets: []"} {
		text := []byte(fmt.Sprintf(text, secrets))
		if _, err := Parse("rules.yaml", text, Options{LookupEnv: corpus()}); err == nil {
			t.Errorf("%q was accepted", secrets)
		}
		c, err := Parse("rules.yaml", text, Options{LookupEnv: corpus(), AllowUnsigned: true})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(c.Portals[0].WebhookSecrets); n != 0 {
			t.Errorf("%d secrets", n)
		}
	}
}

// Where only the rules are looked at, as in a team's own checks, no secret has to be there. What
// is written about secrets is checked all the same.
func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	portal := "portals: {acme: {url: 'https://a.example.com', api_key: {env: %s}, webhook_secrets: [{file: nowhere}]}}\n" + minimal("a")
	for name, text := range map[string]string{"default": minimal("a"), "acme": fmt.Sprintf(portal, "NOWHERE")} {
		c, err := Parse("rules.yaml", []byte(text), Options{WithoutSecrets: true})
		if err != nil {
			t.Errorf("portal %s: %v", name, err)
			continue
		}
		if p := c.Portals[0]; p.Name != name || p.APIKey.Reveal() != "" {
			t.Errorf("portal %+v, want %s without a key", p, name)
		}
	}
	if _, err := Parse("rules.yaml", []byte(fmt.Sprintf(portal, "no name")), Options{WithoutSecrets: true}); err == nil ||
		!strings.Contains(err.Error(), "this is not the name of a variable") {
		t.Errorf("a bad name of a variable: %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	parse := func(text string) *Config {
		c, err := Parse("dir/rules.yaml", []byte(text), Options{LookupEnv: onePortal()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, again, b := parse(minimal("a")), parse(minimal("a")), parse(minimal("b"))
	if a.Hash() != again.Hash() || a.Hash() == b.Hash() || len(a.Hash()) != 64 {
		t.Errorf("hashes %s %s %s", a.Hash(), again.Hash(), b.Hash())
	}
	if p, ok := a.Portal("default"); !ok || p.URL != "https://acme.onlyoffice.com" {
		t.Errorf("Portal = %v, %v", p, ok)
	}
	if _, ok := a.Portal("none"); ok {
		t.Error("an unknown portal was found")
	}
	if a.Files[0].Name != "rules.yaml" {
		t.Errorf("file %s", a.Files[0].Name)
	}
	cause := errors.New("cause")
	if err := (&FileError{Path: "p", Text: "t", Err: cause}); !errors.Is(err, cause) {
		t.Error("FileError hides its cause")
	}
}

// minimal is a rules file with one rule.
func minimal(name string) string {
	return "version: 1\nrules:\n  - {name: " + name +
		", triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 2}}\n"
}
