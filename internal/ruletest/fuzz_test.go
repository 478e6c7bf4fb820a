package ruletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"docspace-router/internal/config"
)

// Whatever a file of tests holds, it is refused with a place or each of its tests has a result.
func FuzzRun(f *testing.F) {
	for _, pattern := range []string{"../config/testdata/*tests/*.yaml", "../../examples/cookbook/*/rules_test.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	c, err := config.Parse("rules.yaml", []byte(rulesText), config.Options{WithoutSecrets: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "body") {
			t.Skip("reads files")
		}
		tests, err := config.ParseTests("rules_test.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "rules_test.yaml:") {
				t.Errorf("no place in %q", err)
			}
			return
		}
		results := Run(t.Context(), c, tests)
		if len(results) != len(tests.Cases) || len(results) == 0 {
			t.Errorf("%d results of %d tests", len(results), len(tests.Cases))
		}
		for i := range results {
			// The verdict must not depend on what ran before.
			if again := run(t.Context(), c, tests, &tests.Cases[i]); again.Passed() != results[i].Passed() || again.Trouble != results[i].Trouble {
				t.Errorf("once %+v, then %+v", results[i], again)
			}
		}
	})
}
