package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// corpus is the environment of the files in testdata.
func corpus() func(string) (string, bool) {
	one := onePortal()
	return func(name string) (string, bool) {
		switch name {
		case "KEY", "HOOK":
			return "canary-" + name, true
		}
		return one(name)
	}
}

var placed = regexp.MustCompile(`^[a-z0-9-]+\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S`)

// Every file in testdata/bad has its problems beside it. Run with -update after a change, and
// read what changed.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, text, Options{Path: path, LookupEnv: corpus()})
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("Parse: %v", err)
			}
			got := problems.Error() + "\n"
			for line := range strings.Lines(got) {
				if !placed.MatchString(line) {
					t.Errorf("no place in %q", line)
				}
			}
			if strings.Contains(got, "canary") {
				t.Errorf("a secret shows in\n%s", got)
			}
			asGolden(t, path, got)
		})
	}
}

// asGolden compares what a file of the corpus leads to with what is written beside it.
func asGolden(t *testing.T, path, got string) {
	t.Helper()
	golden := strings.TrimSuffix(path, ".yaml") + ".golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// Every file in testdata/warn is valid and has its warnings beside it.
func TestWarnings(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/warn/*.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(name, text, Options{Path: path, LookupEnv: corpus()})
			if err != nil {
				t.Fatal(err)
			}
			got := c.Warnings.Error() + "\n"
			for line := range strings.Lines(got) {
				if !placed.MatchString(line) {
					t.Errorf("no place in %q", line)
				}
			}
			asGolden(t, path, got)
		})
	}
}

// summary is what a test compares of a Config; secrets are revealed.
type summary struct {
	Portals  []portalSummary
	Rules    []rules.Info
	Warnings string
}

type portalSummary struct {
	Name, URL, Key string
	Hooks          []string
	Limits         Limits
	At             string
}

func summarize(c *Config) summary {
	s := summary{Rules: c.Rules.Rules(), Warnings: c.Warnings.Error()}
	for _, p := range c.Portals {
		ps := portalSummary{Name: p.Name, URL: p.URL, Key: p.APIKey.Reveal(), Limits: p.Limits, At: p.At.String()}
		for _, h := range p.WebhookSecrets {
			ps.Hooks = append(ps.Hooks, h.Reveal())
		}
		s.Portals = append(s.Portals, ps)
	}
	return s
}

func TestGoodFiles(t *testing.T) {
	t.Parallel()
	fileTriggers := event.ExpandTrigger("file.*")
	upload := []string{"file.uploaded"}
	defaultPortal := portalSummary{
		Name: "default", URL: "https://acme.onlyoffice.com", Key: "sk-canary-key",
		Hooks: []string{"canary-webhook"}, Limits: Limits{1500, 15, 10_000}, At: "simple.yaml:1:1",
	}
	for name, want := range map[string]summary{
		"simple": {
			Portals: []portalSummary{defaultPortal},
			Rules: []rules.Info{{Number: 1, Spec: rules.Spec{
				Name: "a", Origin: "simple.yaml:3:5", Portals: []string{"default"}, Triggers: upload,
				Routes: []rules.Route{{Source: "1", SourceKind: "room", Subfolders: true, Destination: "2"}},
				Action: event.Copy, Conflict: event.Duplicate,
			}}},
		},
		"everything": {
			Portals: []portalSummary{
				{
					Name: "zeta", URL: "http://zeta.example.com:8092", Key: "canary-KEY",
					Hooks: []string{"canary-HOOK", "file-secret", "literal"}, Limits: Limits{1, 2, 3}, At: "everything.yaml:4:3",
				},
				{
					Name: "acme", URL: "https://acme.onlyoffice.com", Key: "file-secret",
					Hooks: []string{"canary-HOOK"}, Limits: Limits{1500, 15, 7}, At: "everything.yaml:12:3",
				},
			},
			Rules: []rules.Info{
				{Number: 1, Spec: rules.Spec{
					Name: "full", Description: "All there is", Origin: "everything.yaml:19:5", Disabled: true, Portals: []string{"zeta"},
					Triggers: append([]string{"file.uploaded"}, "file.created", "file.updated", "file.restored", "file.copied", "file.moved"),
					Routes: []rules.Route{
						{Source: "771", SourceKind: "folder", Destination: "drive-12-|1AbC"},
						{Source: "sbox-9-x", SourceKind: "folder", Destination: "drive-12-|1AbC"},
					},
					When: "file.size > 1\n", Action: event.Move, Conflict: event.Overwrite, Stop: true, Fallback: true,
				}},
				{Number: 2, Spec: rules.Spec{
					Name: "pairs", Origin: "everything.yaml:36:5", Portals: []string{"acme"}, Triggers: []string{"folder.created"},
					Routes: []rules.Route{
						{Source: "1", Subfolders: true, Destination: "2"},
						{Source: "3", Subfolders: true, Destination: "2"},
					},
					When: "true", Action: event.Copy, Conflict: event.Skip,
				}},
			},
			Warnings: "everything.yaml:4:3: portals.zeta: no enabled rule is for the portal zeta\n" +
				"everything.yaml:10:9: portals.zeta.webhook_secrets[2]: the secret is written into the rules file, write {env: NAME} or {file: PATH}",
		},
		"aliases": {
			Portals: []portalSummary{func() portalSummary { p := defaultPortal; p.At = "aliases.yaml:1:1"; return p }()},
			Rules: []rules.Info{
				{Number: 1, Spec: rules.Spec{
					Name: "a", Origin: "aliases.yaml:3:5", Portals: []string{"default"}, Triggers: fileTriggers,
					Routes: []rules.Route{{Source: "1", SourceKind: "room", Subfolders: true, Destination: "2"}},
					When:   `file.extension == "pdf"`, Action: event.Copy, Conflict: event.Duplicate,
				}},
				{Number: 2, Spec: rules.Spec{
					Name: "b", Origin: "aliases.yaml:11:5", Portals: []string{"default"}, Triggers: fileTriggers,
					Routes: []rules.Route{{Source: "7", SourceKind: "room", Subfolders: true, Destination: "2"}},
					When:   `file.extension == "pdf"`, Action: event.Move, Conflict: event.Duplicate,
				}},
				{Number: 3, Spec: rules.Spec{
					Name: "c", Origin: "aliases.yaml:15:5", Portals: []string{"default"}, Triggers: upload,
					Routes: []rules.Route{{Source: "1", SourceKind: "room", Subfolders: true, Destination: "9"}},
					When:   `file.extension == "pdf"`, Action: event.Copy, Conflict: event.Duplicate,
				}},
			},
		},
		"language": {
			Portals: []portalSummary{
				{Name: "acme", URL: "https://acme.onlyoffice.com", Key: "canary-KEY", Hooks: []string{"canary-HOOK"}, Limits: DefaultLimits(), At: "language.yaml:4:3"},
				{Name: "beta", URL: "https://acme.onlyoffice.com", Key: "canary-KEY", Hooks: []string{"canary-HOOK"}, Limits: DefaultLimits(), At: "language.yaml:5:3"},
			},
			Rules: []rules.Info{
				{Number: 1, Spec: rules.Spec{
					Name: "tags", Origin: "language.yaml:12:5", Portals: []string{"acme"}, Triggers: upload,
					Routes: []rules.Route{
						{Pattern: "client", SourceKind: "room_tag", Subfolders: true, Destination: "2"},
						{Pattern: "vip", SourceKind: "room_tag", Subfolders: true, Destination: "2"},
					},
					Path: `room.title + "/" + event.created_on.Format("2006-01")`, Action: event.Copy, Conflict: event.Duplicate,
				}},
				{Number: 2, Spec: rules.Spec{
					Name: "titles", Origin: "language.yaml:17:5", Portals: []string{"acme", "beta"}, Triggers: []string{"file.copied"},
					Routes: []rules.Route{{Pattern: "Client *", SourceKind: "room_title", Destination: "9"}},
					Action: event.Copy, Conflict: event.Duplicate, OwnEvents: true,
				}},
				{Number: 3, Spec: rules.Spec{
					Name: "pairs", Origin: "language.yaml:22:5", Portals: []string{"beta"}, Triggers: upload,
					Routes: []rules.Route{{Source: "1", Subfolders: true, Destination: "drive-12-|1AbC"}},
					Action: event.Copy, Conflict: event.Duplicate,
				}},
				{Number: 4, Spec: rules.Spec{
					Name: "forms", Origin: "language.yaml:25:5", Portals: []string{"acme"}, Triggers: []string{"form.submit"},
					Routes: []rules.Route{{Source: "7", SourceKind: "folder", Subfolders: true, Destination: "9"}},
					Action: event.Copy, Conflict: event.Duplicate,
				}},
			},
			Warnings: "language.yaml:10:25: defaults.destination.folder: ids belong to one portal, and this rule is for 2: " +
				"on the others the destination 9 is something else, or nothing, write one rule for each portal",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata/good", name+".yaml")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(name+".yaml", text, Options{Path: path, LookupEnv: corpus()})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, summarize(c)); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]File{newFile(name+".yaml", text)}, c.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// The files people copy from must load without a problem or a warning.
func TestShippedFiles(t *testing.T) {
	t.Parallel()
	everything := func(name string) (string, bool) {
		if name == HostVariable {
			return "https://acme.onlyoffice.com", true
		}
		return "value", true
	}
	paths, err := filepath.Glob("../../deploy/*/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(paths, "../../rules.example.yaml") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(Options{Path: name, LookupEnv: everything})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Error(c.Warnings)
			}
		})
	}
}
