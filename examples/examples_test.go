// Package examples_test holds the cookbook's page against the recipes.
package examples_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/config"
	"docspace-router/internal/ruletest"
)

var update = flag.Bool("update", false, "write the recipes into docs/cookbook.md")

// Every recipe is a rules file without a mistake or a warning, and does what its tests say.
func TestRecipesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	recipes, err := filepath.Glob("cookbook/*/rules.yaml")
	if err != nil || len(recipes) < 12 {
		t.Fatalf("%d recipes, %v", len(recipes), err)
	}
	for _, path := range recipes {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Options{Path: path, WithoutSecrets: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Error(c.Warnings)
			}
			tests, err := config.LoadTests(filepath.Join(filepath.Dir(path), "rules_test.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			led := map[string]bool{}
			for _, r := range ruletest.Run(t.Context(), c, tests) {
				if !r.Passed() {
					t.Errorf("%s: %s: %+v", r.Case.At, r.Case.Name, r)
				}
				for _, e := range r.Case.Expect {
					led[e.Rule] = true
				}
			}
			// A test that names a rule is how its reader learns what the rule is for.
			for _, rule := range c.Rules.Rules() {
				if !led[rule.Name] && c.Rules.Len() > 1 {
					t.Errorf("no test names the rule %s", rule.Name)
				}
			}
		})
	}
}

var block = regexp.MustCompile("(?s)<!-- examples/([a-z0-9/_.-]+) -->\n```yaml\n(.*?)```\n")

// The cookbook shows every recipe as it is. Run with -update after a change of a recipe.
func TestTheCookbookShowsTheRecipes(t *testing.T) {
	t.Parallel()
	const page = "../docs/cookbook.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		text = block.ReplaceAllFunc(text, func(found []byte) []byte {
			name := string(block.FindSubmatch(found)[1])
			recipe, err := os.ReadFile(name)
			if err != nil {
				t.Error(err)
			}
			return []byte("<!-- examples/" + name + " -->\n```yaml\n" + string(recipe) + "```\n")
		})
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var shown []string
	for _, found := range block.FindAllSubmatch(text, -1) {
		name := string(found[1])
		shown = append(shown, name)
		recipe, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(recipe), string(found[2])); diff != "" {
			t.Errorf("%s (-recipe +cookbook):\n%s", name, diff)
		}
	}
	all, err := filepath.Glob("cookbook/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(shown)
	slices.Sort(all)
	if diff := cmp.Diff(all, shown); diff != "" {
		t.Errorf("recipes (-there are +shown):\n%s", diff)
	}
}
