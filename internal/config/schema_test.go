package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// beyondSchema lists the bad files that a schema lets pass, each with what it cannot know.
var beyondSchema = map[string]string{
	"bad/expression-folded.yaml":    whatExpressionsMean,
	"bad/expression-names.yaml":     whatExpressionsMean,
	"bad/expression-parse.yaml":     whatExpressionsMean,
	"bad/expression-types.yaml":     whatExpressionsMean,
	"bad/expression-unicode.yaml":   whatExpressionsMean,
	"bad/expressions-block.yaml":    whatExpressionsMean,
	"bad/expressions-quoted.yaml":   whatExpressionsMean,
	"bad/mixed-kinds.yaml":          whatExpressionsMean,
	"bad/path-missing-slash.yaml":   whatExpressionsMean,
	"bad/path-names.yaml":           whatExpressionsMean,
	"bad/path-syntax.yaml":          whatExpressionsMean,
	"bad/loop-by-path.yaml":         whatRulesDoTogether,
	"bad/loop-of-folders.yaml":      whatRulesDoTogether,
	"bad/loop-of-pairs.yaml":        whatRulesDoTogether,
	"bad/loop-of-three.yaml":        whatRulesDoTogether,
	"bad/loop-of-two.yaml":          whatRulesDoTogether,
	"bad/defaults-portal.yaml":      whichNamesThereAre,
	"bad/portal-without-block.yaml": whichNamesThereAre,
	"bad/several-documents.yaml":    whatTheTextIs,
	"badtests/twice.yaml":           whatTheTextIs,
}

// What a schema cannot know.
const (
	whatExpressionsMean = "to a schema an expression is text"
	whatRulesDoTogether = "a schema looks at one rule at a time"
	whichNamesThereAre  = "a schema does not know which portals and rooms there are, or that a name is taken"
	whatTheTextIs       = "a schema sees values, not that a key was written twice or that there are two documents"
)

func compileSchema(t *testing.T, text string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asEditor turns YAML into the JSON values that an editor checks: by the rules of YAML 1.2, where
// a date is text.
func asEditor(text []byte) (any, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return editorValue(doc.Content[0], 0)
}

func editorValue(n *yaml.Node, depth int) (any, error) {
	if depth > 100 {
		return nil, fmt.Errorf("line %d: nested too deeply", n.Line)
	}
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := resolve(n.Content[i]), n.Content[i+1]
			if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
				return nil, fmt.Errorf("line %d: not a key of JSON", key.Line)
			}
			v, err := editorValue(value, depth+1)
			if err != nil {
				return nil, err
			}
			if !isMerge(key) {
				m[key.Value] = v
				continue
			}
			parts, isList := v.([]any)
			if !isList {
				parts = []any{v}
			}
			for _, part := range parts {
				merged, ok := part.(map[string]any)
				if !ok {
					return nil, fmt.Errorf("line %d: << of no mapping", key.Line)
				}
				for k, v := range merged {
					if _, own := m[k]; !own {
						m[k] = v
					}
				}
			}
		}
		return m, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			v, err := editorValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
		if f, ok := v.(float64); ok {
			return json.Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
		}
		return v, nil
	}
	return n.Value, nil
}

// What the loader refuses the schema refuses, and what the one accepts the other does, but for
// what a schema cannot say.
func TestSchemasAgreeWithTheLoader(t *testing.T) {
	t.Parallel()
	rulesFile, testsFile := compileSchema(t, rulesSchema), compileSchema(t, testsSchema)
	kinds := []struct {
		schema *jsonschema.Schema
		files  []string
		bad    bool
	}{
		{rulesFile, []string{"testdata/bad/*.yaml"}, true},
		{rulesFile, []string{"testdata/good/*.yaml", "testdata/warn/*.yaml", "../../rules.example.yaml", "../../deploy/*/rules.yaml", "../../examples/cookbook/*/rules.yaml"}, false},
		{testsFile, []string{"testdata/badtests/*.yaml"}, true},
		{testsFile, []string{"testdata/goodtests/*.yaml", "../../examples/cookbook/*/rules_test.yaml"}, false},
	}
	unused := map[string]bool{}
	for name := range beyondSchema {
		unused[name] = true
	}
	for _, kind := range kinds {
		for _, pattern := range kind.files {
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
			}
			for _, path := range paths {
				name := strings.TrimPrefix(path, "testdata/")
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				v, err := asEditor(text)
				if err == nil {
					err = kind.schema.Validate(v)
				}
				reason, beyond := beyondSchema[name]
				delete(unused, name)
				switch {
				case !kind.bad && err != nil:
					t.Errorf("%s: the schema refuses what the loader takes: %v", name, err)
				case kind.bad && err == nil && !beyond:
					t.Errorf("%s: the schema takes what the loader refuses", name)
				case kind.bad && err != nil && beyond:
					t.Errorf("%s: the schema does refuse it (%v), though it is said to be beyond it: %s", name, err, reason)
				}
			}
		}
	}
	for name := range unused {
		t.Errorf("there is no file %s", name)
	}
}

// node finds a part of a schema by its path.
func node(t *testing.T, text, path string) map[string]any {
	t.Helper()
	var at map[string]any
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		t.Fatal(err)
	}
	for step := range strings.SplitSeq(path, "/") {
		if step == "" {
			continue
		}
		next, ok := at[step].(map[string]any)
		if !ok {
			t.Fatalf("there is no %s in %s", step, path)
		}
		at = next
	}
	return at
}

func TestSchemasHaveTheLoadersKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, path string
		keys       schema
	}{
		{rulesSchema, "", topKeys},
		{rulesSchema, "properties/defaults", defaultKeys},
		{rulesSchema, "$defs/rule", ruleKeys},
		{rulesSchema, "$defs/source", sourceKeys},
		{rulesSchema, "$defs/destination", destinationKeys},
		{rulesSchema, "$defs/rule/properties/pairs/items", pairKeys},
		{rulesSchema, "$defs/portal", portalKeys},
		{rulesSchema, "$defs/portal/properties/limits", limitKeys},
		{testsSchema, "", testKeys},
		{testsSchema, "$defs/room", roomKeys},
		{testsSchema, "properties/tests/items", caseKeys},
		{testsSchema, "$defs/file", givenFileKeys},
		{testsSchema, "$defs/transfer", expectedKeys},
	} {
		at := node(t, tt.text, tt.path)
		properties, _ := at["properties"].(map[string]any)
		var got []string
		for name := range properties {
			got = append(got, name)
		}
		want := slices.Sorted(slices.Values(tt.keys))
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-loader +schema):\n%s", tt.path, diff)
		}
		if at["additionalProperties"] != false {
			t.Errorf("%s takes unknown keys", tt.path)
		}
	}
	var given []string
	for _, def := range []string{"given", "givenBody"} {
		for name := range node(t, testsSchema, "$defs/"+def+"/properties") {
			given = append(given, name)
		}
	}
	slices.Sort(given)
	if diff := cmp.Diff(slices.Sorted(slices.Values(givenKeys)), slices.Compact(given)); diff != "" {
		t.Errorf("given (-loader +schema):\n%s", diff)
	}

	words := func(text, path string) (out []string) {
		for _, v := range node(t, text, path)["enum"].([]any) {
			out = append(out, v.(string))
		}
		return out
	}
	for path, want := range map[string][]string{
		"$defs/triggers/items": append(event.RoutableTriggers(), "file.*", "folder.*", "form.*"),
		"$defs/action":         actions,
		"$defs/conflict":       conflicts,
	} {
		if diff := cmp.Diff(want, words(rulesSchema, path)); diff != "" {
			t.Errorf("%s (-loader +schema):\n%s", path, diff)
		}
	}
	for path, want := range map[string][]string{
		"$defs/given/properties/trigger":     event.RoutableTriggers(),
		"$defs/transfer/properties/action":   actions,
		"$defs/transfer/properties/conflict": conflicts,
		"$defs/room/properties/type":         rules.RoomTypes(),
	} {
		if diff := cmp.Diff(want, words(testsSchema, path)); diff != "" {
			t.Errorf("%s (-loader +schema):\n%s", path, diff)
		}
	}
}

// An editor shows the description of a key.
func TestEveryKeyOfTheSchemasIsDescribed(t *testing.T) {
	t.Parallel()
	for title, text := range map[string]string{"rules": rulesSchema, "tests": testsSchema} {
		root := node(t, text, "")
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch v := v.(type) {
			case []any:
				for i, item := range v {
					walk(path+"/"+strconv.Itoa(i), item)
				}
			case map[string]any:
				properties, _ := v["properties"].(map[string]any)
				// A condition's properties only say what it is about.
				if v["additionalProperties"] == false {
					for name, p := range properties {
						p := p.(map[string]any)
						own, _ := p["description"].(string)
						ref, _ := p["$ref"].(string)
						if def, ok := root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any); ok && own == "" {
							own, _ = def["description"].(string)
						}
						if own == "" && !strings.Contains(path, "/secret/") {
							t.Errorf("%s: %s/%s has no description", title, path, name)
						}
					}
				}
				for name, item := range v {
					walk(path+"/"+name, item)
				}
			}
		}
		walk("", root)
	}
}
