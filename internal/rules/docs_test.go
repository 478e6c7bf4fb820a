package rules

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/builtin"
	"github.com/google/go-cmp/cmp"
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
		if first, _, isRow := strings.Cut(line, " | "); isRow && strings.HasPrefix(line, "| `") {
			for _, m := range codeSpan.FindAllStringSubmatch(first, -1) {
				out = append(out, m[1])
			}
		}
	}
	slices.Sort(out)
	return out
}

// The reference names everything an expression may say, and nothing else.
func TestTheReferenceNamesEveryVariableAndFunction(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var variables []string
	for name := range leaves {
		variables = append(variables, name)
	}
	slices.Sort(variables)
	if diff := cmp.Diff(variables, documented(t, string(raw), "### Variables")); diff != "" {
		t.Errorf("variables (-known +reference):\n%s", diff)
	}
	all := append(slices.Clone(functions), builtin.Names...)
	all = slices.DeleteFunc(all, func(name string) bool {
		_, hidden := leaves[name] // a variable of the same name
		return hidden
	})
	slices.Sort(all)
	if diff := cmp.Diff(all, documented(t, string(raw), "### Functions")); diff != "" {
		t.Errorf("functions (-known +reference):\n%s", diff)
	}
	for _, name := range RoomTypes() {
		if !strings.Contains(string(raw), "`"+name+"`") {
			t.Errorf("the reference does not name the type of room %s", name)
		}
	}
}
