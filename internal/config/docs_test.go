package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

var codeSpan = regexp.MustCompile("`([^`]+)`")

// documented lists the code in the first column of the table below a heading.
func documented(t *testing.T, text, heading string) []string {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var out []string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		for _, m := range codeSpan.FindAllStringSubmatch(first, -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// The reference names every key the loader knows, and no other.
func TestTheReferenceNamesEveryKey(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for heading, keys := range map[string]schema{
		"### Keys of the file":            topKeys,
		"### Keys of a portal":            portalKeys,
		"### Keys of limits":              limitKeys,
		"### Keys of defaults":            defaultKeys,
		"### Keys of a rule":              ruleKeys,
		"### Keys of source":              sourceKeys,
		"### Keys of a pair":              pairKeys,
		"### Keys of destination":         destinationKeys,
		"### Keys of a file of tests":     testKeys,
		"### Keys of a room in tests":     roomKeys,
		"### Keys of a test":              caseKeys,
		"### Keys of given":               givenKeys,
		"### Keys of a file in tests":     givenFileKeys,
		"### Keys of a transfer in tests": expectedKeys,
	} {
		got := slices.Sorted(slices.Values(documented(t, text, heading)))
		if diff := cmp.Diff(slices.Sorted(slices.Values(keys)), got); diff != "" {
			t.Errorf("%s (-loader +reference):\n%s", heading, diff)
		}
	}
	triggers := append(event.RoutableTriggers(), "file.*", "folder.*", "form.*")
	got := slices.Sorted(slices.Values(documented(t, text, "## Triggers")))
	if diff := cmp.Diff(slices.Sorted(slices.Values(triggers)), got); diff != "" {
		t.Errorf("triggers (-loader +reference):\n%s", diff)
	}
	if diff := cmp.Diff(conflicts, documented(t, text, "### Entries of the same title")); diff != "" {
		t.Errorf("conflict policies (-loader +reference):\n%s", diff)
	}
}

// The examples of the reference are valid: whole files as they stand, the rest within one.
func TestTheReferencesExamplesAreValid(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	const rule = "rules: [{name: a, triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 2}}]\n"
	n := 0
	for i, block := range strings.Split(string(raw), "```") {
		body, isYAML := strings.CutPrefix(block, "yaml\n")
		if i%2 == 0 || !isYAML {
			continue
		}
		n++
		var err error
		switch {
		case strings.Contains(body, "\ntests:"):
			_, err = ParseTests("tests.yaml", []byte(body))
		case strings.HasPrefix(body, "version:"):
			_, err = Parse("rules.yaml", []byte(body), Options{WithoutSecrets: true})
		case strings.HasPrefix(body, "when:"):
			indented := "    " + strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ") + "\n"
			_, err = Parse("rules.yaml", []byte("version: 1\nrules:\n  - name: a\n    triggers: [file.uploaded]\n    source: {room: 1}\n"+
				"    action: copy\n    destination: {folder: 2}\n"+indented), Options{WithoutSecrets: true})
		default:
			_, err = Parse("rules.yaml", []byte("version: 1\n"+body+rule), Options{WithoutSecrets: true})
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, body)
		}
	}
	if n < 5 {
		t.Errorf("only %d examples", n)
	}
}
