package config

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// Whatever style a scalar is written in, each of its characters is found where it stands.
func TestInScalarFindsEveryCharacter(t *testing.T) {
	t.Parallel()
	values := []string{
		"file.title",
		"a && b || c",
		"first\nsecond\n  third\n\n\nlast\n",
		"it's \"quoted\" \\ and 'again'\n\ttab é ü 😀 end",
		"  leading\nlines\n",
		strings.Repeat("word and ", 40) + "end",
		"x: y # no comment",
		"\u00a0a\u2028b\u0085c\u0001d",
		"&a !b *c",
	}
	styles := map[string]yaml.Style{
		"plain": 0, "single": yaml.SingleQuotedStyle, "double": yaml.DoubleQuotedStyle,
		"literal": yaml.LiteralStyle, "folded": yaml.FoldedStyle, "tagged": yaml.TaggedStyle | yaml.DoubleQuotedStyle,
	}
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, value := range values {
				node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: style, Anchor: "a"}
				text, err := yaml.Marshal(map[string]any{"outer": map[string]*yaml.Node{"key": node}})
				if err != nil {
					t.Fatal(err)
				}
				checkScalar(t, string(text))
			}
		})
	}
}

func checkScalar(t *testing.T, text string) {
	t.Helper()
	var top yaml.Node
	if err := yaml.Unmarshal([]byte(text), &top); err != nil {
		t.Fatal(err)
	}
	node := top.Content[0].Content[1].Content[1]
	// yaml.v3 does not always read back what it folded; what it reads is what counts.
	value := node.Value
	d := &document{text: text}
	lines := d.rawLines()
	line, column := 1, 1
	for _, r := range value {
		// Other characters may be written as escapes, whose start is the place.
		if r >= 'a' && r <= 'z' {
			l, c := d.inScalar(node, line, column)
			if l < 1 || l > len(lines) || c > len([]rune(lines[l-1])) || []rune(lines[l-1])[c-1] != r {
				t.Errorf("%q at %d:%d of the value is not at %d:%d of\n%s", r, line, column, l, c, text)
				return
			}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
}

func TestInScalarOutsideTheValueIsStillInTheFile(t *testing.T) {
	t.Parallel()
	d := &document{text: "key: ab"}
	var top yaml.Node
	if err := yaml.Unmarshal([]byte(d.text), &top); err != nil {
		t.Fatal(err)
	}
	node := top.Content[0].Content[1]
	for _, c := range []struct{ line, column, wantLine, wantColumn int }{
		{1, 1, 1, 6}, {1, 3, 1, 8}, {9, 9, 1, 8}, {0, 0, 1, 6},
	} {
		if l, col := d.inScalar(node, c.line, c.column); l != c.wantLine || col != c.wantColumn {
			t.Errorf("inScalar(%d, %d) = %d:%d", c.line, c.column, l, col)
		}
	}
	if l, c := d.inScalar(nil, 1, 1); l != 1 || c != 1 {
		t.Errorf("without a node: %d:%d", l, c)
	}
}
