package config

import (
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// secretKeys are the keys of a portal whose values are secrets where they are not references.
var secretKeys = []string{"api_key", "webhook_secrets"}

// commented finds a secret in a line that is commented out.
var commented = regexp.MustCompile(`(#.*\b(?:api_key|webhook_secrets?)\s*:\s*)[^{\s].*$`)

// Masked is the text of a rules file for people to look at: what stands there as a secret is
// replaced, references to variables and files stay. A text that cannot be read for certain is
// not shown at all: then ok is false.
func Masked(f File) (text string, ok bool) {
	var top yaml.Node
	if !parses(f.Text, &top) {
		return "", false
	}
	var secrets []*yaml.Node
	for _, key := range secretKeys {
		findSecrets(&top, key, &secrets)
	}
	lines := strings.Split(strings.TrimPrefix(string(f.Text), "\uFEFF"), "\n")
	// The last first, so that the places of those before stay right.
	slices.SortFunc(secrets, func(a, b *yaml.Node) int {
		if a.Line != b.Line {
			return b.Line - a.Line
		}
		return b.Column - a.Column
	})
	secrets = slices.Compact(secrets)
	for _, n := range secrets {
		lines = mask(lines, n)
	}
	for i, line := range lines {
		lines[i] = commented.ReplaceAllString(line, "${1}"+hidden)
	}
	text = strings.Join(lines, "\n")
	// Whatever was written in a way that the above does not foresee, or stands elsewhere as well.
	for _, n := range secrets {
		for _, form := range append(strings.Split(n.Value, "\n"), n.Value) {
			if form = strings.TrimSpace(form); len(form) >= 4 {
				text = strings.ReplaceAll(text, form, hidden)
			}
		}
	}
	return text, true
}

func parses(text []byte, into *yaml.Node) (ok bool) {
	// yaml.v3 has been known to panic on malformed input.
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return yaml.Unmarshal(text, into) == nil
}

// findSecrets collects the scalars below every occurrence of a key, wherever it stands: a rules
// file with the key in the wrong place was refused, but its text may be kept all the same.
func findSecrets(n *yaml.Node, key string, into *[]*yaml.Node) {
	if n.Kind == yaml.AliasNode {
		return // what it stands for is met where it is written
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == key {
			literals(child, into, 0)
			continue
		}
		findSecrets(child, key, into)
	}
}

// literals collects the scalars below a secret's node but those of {env: NAME} and {file: PATH}.
func literals(n *yaml.Node, into *[]*yaml.Node, depth int) {
	switch {
	case depth > 8:
	case n.Kind == yaml.AliasNode:
		literals(n.Alias, into, depth+1)
	case n.Kind == yaml.ScalarNode:
		*into = append(*into, n)
	default:
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && (i%2 == 0 || n.Content[i-1].Value == "env" || n.Content[i-1].Value == "file") {
				continue
			}
			literals(child, into, depth+1)
		}
	}
}

// mask replaces a scalar in the lines of its file.
func mask(lines []string, n *yaml.Node) []string {
	at := n.Line - 1
	if at < 0 || at >= len(lines) {
		return lines
	}
	line := []rune(lines[at])
	from := min(max(n.Column-1, 0), len(line))
	last, rest := at, ""
	switch tail := string(line[from:]); {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		// Its text is on the lines below that are indented further than the line it begins on.
		for last+1 < len(lines) && (strings.TrimSpace(lines[last+1]) == "" || indent(lines[last+1]) > indent(lines[at])) {
			last++
		}
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		last, rest = afterQuoted(lines, at, from)
	default:
		rest = afterPlain(tail)
	}
	out := append(slices.Clone(lines[:at]), string(line[:from])+hidden+rest)
	return append(out, lines[last+1:]...)
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " -")) }

// afterPlain is what follows a scalar without quotes: a comment, or the rest of a list in brackets.
func afterPlain(tail string) string {
	for i, r := range tail {
		switch {
		case strings.ContainsRune(",]}", r):
			return tail[i:]
		case r == '#' && i > 0 && tail[i-1] == ' ':
			return tail[i-1:]
		}
	}
	return ""
}

// afterQuoted finds the line on which a quoted scalar ends, and what follows it there.
func afterQuoted(lines []string, at, from int) (last int, rest string) {
	quote, escaped := rune(0), false
	for last = at; last < len(lines); last++ {
		line := []rune(lines[last])
		i := 0
		if last == at {
			i = from
		}
		for ; i < len(line); i++ {
			switch {
			case quote == 0:
				if line[i] == '"' || line[i] == '\'' { // before it there may be a tag or an anchor
					quote = line[i]
				}
			case escaped:
				escaped = false
			case quote == '"' && line[i] == '\\':
				escaped = true
			case line[i] == quote && quote == '\'' && i+1 < len(line) && line[i+1] == '\'':
				i++
			case line[i] == quote:
				return last, string(line[i+1:])
			}
		}
	}
	return len(lines) - 1, ""
}
