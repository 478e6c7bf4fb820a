package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"
)

// beyondWords matches problems that a schema cannot see.
var beyondWords = regexp.MustCompile(`unknown portal|portal is missing|rules is missing|is not described|` +
	`\.(when|path): (unknown name|unexpected)`)

// Every value of files that are good is made wrong in many ways, and left out. The schema must
// notice whenever the loader does, and only then.
func TestSchemasAgreeOnEverySmallMistake(t *testing.T) {
	t.Parallel()
	load := func(text []byte) error {
		_, err := Parse("rules.yaml", text, Options{WithoutSecrets: true})
		return err
	}
	loadTests := func(text []byte) error {
		_, err := ParseTests("rules_test.yaml", text)
		return err
	}
	for _, kind := range []struct {
		schema string
		load   func([]byte) error
		files  []string
	}{
		{rulesSchema, load, []string{"testdata/good/everything.yaml", "../../examples/cookbook/[bcs]*/rules.yaml"}},
		{testsSchema, loadTests, []string{"testdata/goodtests/*.yaml", "../../examples/cookbook/clients-by-month/rules_test.yaml"}},
	} {
		s := compileSchema(t, kind.schema)
		for _, pattern := range kind.files {
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatalf("%s: %v", pattern, err)
			}
			for _, path := range paths {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				n := mutate(t, text, func(what string, mutant []byte) {
					loaded := kind.load(mutant)
					v, err := asEditor(mutant)
					if err == nil {
						err = s.Validate(v)
					}
					switch {
					case loaded == nil && err != nil:
						t.Errorf("%s, %s: the schema refuses what the loader takes: %v", path, what, err)
					case loaded != nil && err == nil && !beyondWords.MatchString(loaded.Error()):
						t.Errorf("%s, %s: the schema takes what the loader refuses: %v", path, what, loaded)
					}
				})
				if n < 50 {
					t.Errorf("%s: only %d mutants", path, n)
				}
			}
		}
	}
}

// mutate calls try with the text changed in one place at a time, and returns how often.
func mutate(t *testing.T, text []byte, try func(what string, mutant []byte)) (n int) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	show := func(what string) {
		mutant, err := yaml.Marshal(&doc)
		if err != nil {
			t.Fatal(err)
		}
		n++
		try(what, mutant)
	}
	scalar := func(tag, value string) yaml.Node {
		return yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
	}
	values := []yaml.Node{
		scalar("!!null", "null"), scalar("!!str", ""), scalar("!!str", "word"), scalar("!!str", "two words"), scalar("!!int", "5"),
		scalar("!!int", "-1"), scalar("!!float", "1.5"), scalar("!!bool", "true"),
		{Kind: yaml.SequenceNode}, {Kind: yaml.MappingNode},
		{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!int", Value: "7"}}},
	}
	var walk func(at *yaml.Node, path string)
	walk = func(at *yaml.Node, path string) {
		was := *at
		for _, v := range values {
			*at = v
			show(fmt.Sprintf("%s: %s %q", path, v.Tag, v.Value))
		}
		*at = was
		switch at.Kind {
		case yaml.MappingNode:
			key, value := scalar("!!str", "odd"), scalar("!!int", "1")
			at.Content = append(was.Content[:len(was.Content):len(was.Content)], &key, &value)
			show(path + ": an odd key")
			for i := 0; i < len(was.Content); i += 2 {
				at.Content = append(was.Content[:i:i], was.Content[i+2:]...)
				show(path + ": without " + was.Content[i].Value)
			}
			*at = was
			for i := 0; i < len(was.Content); i += 2 {
				walk(was.Content[i+1], path+"."+was.Content[i].Value)
			}
		case yaml.SequenceNode:
			for i := range was.Content {
				walk(was.Content[i], fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
	walk(doc.Content[0], "")
	return n
}
