package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/rules"
)

// maxVisits bounds how many values a document may expand to through its aliases.
const maxVisits = 2_000_000

// document is one YAML file being read. It is decoded node by node rather than into structs,
// because only the nodes know where everything is written, and because a decoder would alter
// what it does not understand: 0x10 or 1_000 would silently become another id.
type document struct {
	name        string
	dir         string // what paths of secret files are relative to
	text        string
	unreadable  string // why there is no text
	lines       []string
	options     Options
	problems    Problems
	warnings    Problems
	secretFiles []secretFile
	portalNames []string // those with problems included
	mayName     bool     // it may name portals that are not among portalNames
	visits      int
}

// add reports a problem at a node.
func (d *document) add(at *yaml.Node, path, hint, format string, args ...any) {
	d.problems = append(d.problems, d.problem(at, path, hint, format, args...))
}

func (d *document) warn(at *yaml.Node, path, hint, format string, args ...any) {
	d.warnings = append(d.warnings, d.problem(at, path, hint, format, args...))
}

func (d *document) problem(at *yaml.Node, path, hint, format string, args ...any) Problem {
	return Problem{
		File: d.name, Line: max(1, at.Line), Column: max(1, at.Column),
		Path: path, Message: fmt.Sprintf(format, args...), Hint: hint,
	}
}

func (d *document) at(n *yaml.Node) Position {
	return Position{File: d.name, Line: max(1, n.Line), Column: max(1, n.Column)}
}

// start is a stand-in for the document's first character.
var start = &yaml.Node{Line: 1, Column: 1}

// root parses the text into the top node, or reports why it cannot.
func (d *document) root() (top *yaml.Node) {
	// yaml.v3 has been known to panic on malformed input.
	defer func() {
		if r := recover(); r != nil {
			d.add(start, "", "", "this is not YAML")
			top = nil
		}
	}()
	if d.unreadable != "" {
		d.add(start, "", "", "the file %s", d.unreadable)
		return nil
	}
	d.text = strings.TrimPrefix(d.text, "\uFEFF")
	if line, column, what := unprintable(d.text); what != "" {
		d.add(&yaml.Node{Line: line, Column: column}, "", "", "%s is not allowed in YAML", what)
		return nil
	}
	decoder := yaml.NewDecoder(strings.NewReader(d.text))
	var first, second yaml.Node
	if err := decoder.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			d.add(start, "", "start with version: 1", "the file is empty")
		} else {
			d.syntax(err)
		}
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.add(&second, "", "keep one, remove the --- between them", "the file holds several YAML documents")
		return nil
	case !errors.Is(err, io.EOF):
		d.syntax(err)
		return nil
	}
	if len(first.Content) == 0 || isNull(first.Content[0]) {
		d.add(start, "", "start with version: 1", "the file is empty")
		return nil
	}
	return resolve(first.Content[0])
}

// unprintable finds the first character that YAML does not allow.
func unprintable(text string) (line, column int, what string) {
	line, column = 1, 1
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return line, column, "a byte that is not UTF-8"
			}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85:
			return line, column, fmt.Sprintf("the control character U+%04X", r)
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return 0, 0, ""
}

var yamlError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax reports an error of the YAML parser. That one names a line at best, and often the one
// where the surrounding block began.
func (d *document) syntax(err error) {
	m := yamlError.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	lines := d.rawLines()
	line, _ := strconv.Atoi(m[1])
	if n := d.firstBadLine(m[2]); n > 0 {
		line = n
	}
	line = min(max(line, 1), len(lines))
	message, hint := plainSyntax(m[2], lines[line-1])
	indent := lines[line-1][:len(lines[line-1])-len(strings.TrimLeft(lines[line-1], " \t"))]
	column := len(indent) + 1
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		hint, column = "indent with spaces, YAML does not allow tabs", tab+1
	}
	d.add(&yaml.Node{Line: line, Column: column}, "", hint, "this is not YAML: %s", message)
}

// bang matches a value that starts with an exclamation mark.
var bang = regexp.MustCompile(`[:-] +!`)

// plainSyntax puts an error of the YAML parser in words for people, where it is one that
// conditions and secrets lead to.
func plainSyntax(message, line string) (plain, hint string) {
	switch {
	case strings.HasPrefix(message, "unknown anchor "):
		// The name is left out: it may be a secret without its quotes.
		return "an alias refers to an anchor that is not there", "put text that starts with * in quotes"
	case message == "found unexpected end of stream":
		return "a quote is not closed", ""
	case message == "mapping values are not allowed in this context" && strings.Count(line, ": ") > 1:
		return `": " inside a text without quotes`, "put the whole text in quotes, or below a |"
	case bang.MatchString(line):
		return message, "YAML takes a ! at the start of a value for itself: write not, or put it in quotes"
	}
	return message, ""
}

// firstBadLine finds a line up to which the text has no such error and with which it has, or 0.
func (d *document) firstBadLine(message string) int {
	const largest = 1 << 20 // every step parses the text again
	if len(d.text) > largest {
		return 0
	}
	lines := d.rawLines()
	fails := func(n int) bool {
		decoder := yaml.NewDecoder(strings.NewReader(strings.Join(lines[:n], "\n") + "\n"))
		for {
			var ignored yaml.Node
			err := decoder.Decode(&ignored)
			if err != nil {
				return strings.HasSuffix(err.Error(), message)
			}
		}
	}
	if !fails(len(lines)) {
		return 0
	}
	return sort.Search(len(lines), func(n int) bool { return fails(n) })
}

func (d *document) rawLines() []string {
	if d.lines == nil {
		d.lines = splitLines(d.text)
	}
	return d.lines
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for range 8 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// isMerge reports whether a key is <<. The check by its characters comes first because it is
// cheap and settles nearly all keys.
func isMerge(key *yaml.Node) bool {
	return (key.Value == "<<" || key.Tag == "!!merge") && key.ShortTag() == "!!merge"
}

// kindOf says what a node is, for people. It never shows the value.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "something else"
}

// visit counts n more values and reports false when the document has expanded too far.
func (d *document) visit(at *yaml.Node, n int) bool {
	before := d.visits
	d.visits += n
	if d.visits <= maxVisits {
		return true
	}
	if before <= maxVisits {
		d.add(at, "", "repeat less through aliases", "the file expands to more than %d values", maxVisits)
	}
	return false
}

// field is one key of a mapping and its value, aliases resolved.
type field struct {
	key   *yaml.Node
	value *yaml.Node // nil when there is none of use, which has been reported
	in    *yaml.Node // the mapping the key is written in: this one, or one merged into it
	path  string     // where it is written when that is elsewhere, as in defaults.portal
}

// fields are the keys of a mapping.
type fields struct {
	doc    *document
	node   *yaml.Node
	path   string
	byName map[string]field
}

// schema names the keys a mapping may have.
type schema []string

// mapping reads a mapping and reports everything that is wrong with its keys.
func (d *document) mapping(n *yaml.Node, path string, s schema) (fields, bool) {
	f, ok := d.anyMapping(n, path)
	if !ok {
		return f, false
	}
	meant := map[string]field{}
	for name, at := range f.byName {
		where := join(path, name)
		switch {
		case slices.Contains(s, name):
			if !isNull(at.value) {
				continue
			}
			d.add(at.key, where, "", "%s is empty", name)
		default:
			hint := ""
			if near := rules.Nearest(name, s); near != "" {
				hint = "did you mean " + near + "?"
				meant[near] = field{key: at.key}
			}
			d.add(at.key, where, hint, "unknown key %s", name)
		}
		at.value = nil
		f.byName[name] = at
	}
	// A misspelt key counts as the one that was meant, so that one mistake is one problem.
	for name, at := range meant {
		if !f.has(name) {
			f.byName[name] = at
		}
	}
	return f, true
}

// anyMapping reads a mapping whose keys are names of the writer's choosing.
func (d *document) anyMapping(n *yaml.Node, path string) (fields, bool) {
	f := fields{doc: d, node: n, path: path}
	if n.Kind != yaml.MappingNode {
		d.add(n, path, "", "must be a mapping of keys to values, not %s", kindOf(n))
		return f, false
	}
	if !d.visit(n, len(n.Content)/2) {
		return f, false
	}
	f.byName = make(map[string]field, len(n.Content)/2)
	d.collect(n, path, f.byName, 0)
	return f, true
}

// collect gathers the keys of a mapping, its own first, then those merged in with <<.
func (d *document) collect(n *yaml.Node, path string, into map[string]field, depth int) {
	merges := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		if isMerge(key) {
			merges = true
			continue
		}
		key = resolve(key)
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
			d.add(key, path, "", "a key must be text, not %s", kindOf(key))
			continue
		}
		switch earlier, ok := into[key.Value]; {
		case !ok:
			into[key.Value] = field{key: key, value: value, in: n}
		case earlier.in == n && earlier.key != key:
			d.add(key, join(path, key.Value), "", "%s is given twice, first in line %d", key.Value, earlier.key.Line)
		}
	}
	for i := 0; merges && i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			d.merge(n.Content[i+1], path, into, depth+1)
		}
	}
}

func (d *document) merge(n *yaml.Node, path string, into map[string]field, depth int) {
	const maxDepth = 8 // a mapping can be made to merge itself
	n = resolve(n)
	switch {
	case depth > maxDepth:
		d.add(n, path, "", "<< is nested too deeply")
	case n.Kind == yaml.MappingNode:
		if d.visit(n, len(n.Content)/2) {
			d.collect(n, path, into, depth)
		}
	case n.Kind == yaml.SequenceNode && d.visit(n, len(n.Content)):
		for _, item := range n.Content {
			if item = resolve(item); item.Kind != yaml.MappingNode {
				d.add(item, path, "", "<< takes mappings, not %s", kindOf(item))
				continue
			}
			d.merge(item, path, into, depth+1)
		}
	default:
		d.add(n, path, "", "<< takes a mapping, not %s", kindOf(n))
	}
}

// get returns the value of a key, or nil when it is absent or empty.
func (f fields) get(name string) *yaml.Node { return f.byName[name].value }

// need returns the value of a key and reports when it is absent.
func (f fields) need(name, hint string) *yaml.Node {
	if n := f.get(name); n != nil {
		return n
	}
	if !f.has(name) {
		f.doc.add(f.node, f.path, hint, "%s is missing", name)
	}
	return nil
}

// has reports whether the key is there, even without a value of use.
func (f fields) has(name string) bool {
	_, ok := f.byName[name]
	return ok
}

// sub is the path of a key below this mapping.
func (f fields) sub(name string) string {
	if path := f.byName[name].path; path != "" {
		return path
	}
	return join(f.path, name)
}

// inherit takes over those keys of defaults that are not there.
func (f fields) inherit(defaults fields) {
	for name, at := range defaults.byName {
		if !f.has(name) {
			at.path = defaults.sub(name)
			f.byName[name] = at
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// list returns the items of a list that must hold something.
func (d *document) list(n *yaml.Node, path, hint string) ([]*yaml.Node, bool) {
	switch {
	case n.Kind != yaml.SequenceNode:
		d.add(n, path, hint, "must be a list, not %s", kindOf(n))
		return nil, false
	case len(n.Content) == 0:
		d.add(n, path, "", "the list is empty")
		return nil, false
	case !d.visit(n, len(n.Content)):
		return nil, false
	}
	items := make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		items[i] = resolve(n.Content[i])
	}
	return items, true
}

// str reads text.
func (d *document) str(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return n.Value, true
	}
	hint := ""
	if n.Kind == yaml.ScalarNode {
		hint = "put it in quotes"
	}
	d.add(n, path, hint, "must be text, not %s", kindOf(n))
	return "", false
}

// boolean reads true or false.
func (d *document) boolean(n *yaml.Node, path string) (value, ok bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return strings.EqualFold(n.Value, "true"), true
	}
	d.add(n, path, "write true or false", "must be true or false, not %s", kindOf(n))
	return false, false
}

// number reads a whole number above 0.
func (d *document) number(n *yaml.Node, path string) (int, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		if v, err := strconv.Atoi(n.Value); err == nil && v > 0 && v <= 1_000_000_000 {
			return v, true
		}
	}
	d.add(n, path, "", "must be a whole number above 0")
	return 0, false
}
