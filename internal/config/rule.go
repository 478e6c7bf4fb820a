package config

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

var (
	ruleKeys = schema{
		"name", "description", "enabled", "portal", "triggers", "source", "when", "action",
		"destination", "pairs", "conflict", "stop", "fallback", "own_events",
	}
	// defaultKeys are what rules of one file may share: all but what makes a rule itself.
	defaultKeys = schema{
		"enabled", "portal", "triggers", "source", "when", "action", "destination", "conflict",
		"stop", "fallback", "own_events",
	}

	actions   = []string{string(event.Copy), string(event.Move)}
	conflicts = []string{string(event.Duplicate), string(event.Skip), string(event.Overwrite)}
)

// known is what the rules of all files share.
type known struct {
	allPortals []string // nil: a portals block is too broken to tell
	noBlock    bool     // there is no portals block
	names      map[string]Position
	routes     int
}

// rulesReader turns the rules block of one file into specs.
type rulesReader struct {
	*document
	*known
	defaults fields

	specs  []rules.Spec
	places []written
}

// written is where the parts of a rule are written, so that what is wrong with a spec can be
// put there.
type written struct {
	doc    *document
	path   string // of the rule, as in rules[3]
	rule   *yaml.Node
	fields fields
	routes []*yaml.Node // where each route is named: a source, or a pair
	target *yaml.Node   // destination.folder
	below  *yaml.Node   // destination.path

	sourcePlaces, destinationPlaces, pathPlaces []Location // only with Options.Locations
}

// in finds what a SpecError is about, and its path.
func (w *written) in(e rules.SpecError) (*yaml.Node, string) {
	destination := w.fields.sub("destination")
	switch {
	case e.Field == "path" && w.below != nil:
		return w.below, join(destination, "path")
	case e.Field == "destination" && w.target != nil:
		return w.target, join(destination, "folder")
	case (e.Field == "source" || e.Field == "destination") && e.Route < len(w.routes):
		return w.routes[e.Route], w.fields.sub(cmp.Or(w.has("pairs"), "source"))
	}
	if at := w.fields.byName[e.Field]; at.value != nil {
		return at.value, w.fields.sub(e.Field)
	}
	return w.rule, w.path
}

// has returns the name of a key that is there, or "".
func (w *written) has(name string) string {
	if w.fields.has(name) {
		return name
	}
	return ""
}

func (rd *rulesReader) read(n *yaml.Node) {
	items, ok := rd.list(n, "rules", "")
	if !ok {
		return
	}
	rd.specs = make([]rules.Spec, 0, len(items))
	rd.places = make([]written, 0, len(items))
	for i, item := range items {
		rd.rule(item, index("rules", i))
	}
}

func (rd *rulesReader) rule(n *yaml.Node, path string) {
	f, ok := rd.mapping(n, path, ruleKeys)
	if !ok {
		return
	}
	rd.applyDefaults(f)
	at := rd.at(n)
	s := rules.Spec{
		Origin:   at.String(),
		Action:   event.Copy,
		Conflict: event.Duplicate,
	}
	w := written{doc: rd.document, path: path, rule: n, fields: f}
	rd.name(f, &s)
	if n := f.get("description"); n != nil {
		s.Description, _ = rd.str(n, f.sub("description"))
	}
	enabled := true
	for name, into := range map[string]*bool{
		"enabled": &enabled, "stop": &s.Stop, "fallback": &s.Fallback, "own_events": &s.OwnEvents,
	} {
		if n := f.get(name); n != nil {
			if v, ok := rd.boolean(n, f.sub(name)); ok {
				*into = v
			}
		}
	}
	s.Disabled = !enabled
	s.Portals = rd.portal(f)
	if n := f.need("triggers", "as in triggers: [file.uploaded]"); n != nil {
		s.Triggers = rd.triggers(n, f.sub("triggers"))
	}
	if n := f.need("action", "write copy or move"); n != nil {
		s.Action = event.Action(rd.oneOf(n, f.sub("action"), "action", actions))
	}
	if n := f.get("conflict"); n != nil {
		s.Conflict = event.Conflict(rd.oneOf(n, f.sub("conflict"), "conflict policy", conflicts))
	}
	rd.routesOf(f, &s, &w)
	if n := f.get("when"); n != nil {
		s.When = rd.expression(n, f.sub("when"), "leave it out to match always")
	}
	rd.specs = append(rd.specs, s)
	rd.places = append(rd.places, w)
}

// applyDefaults gives a rule what it leaves to the file's defaults. Pairs stand in place of a
// source and a destination.
func (rd *rulesReader) applyDefaults(f fields) {
	shared := rd.defaults
	if f.has("pairs") && (shared.has("source") || shared.has("destination")) {
		shared.byName = make(map[string]field, len(rd.defaults.byName))
		for name, at := range rd.defaults.byName {
			if name != "source" && name != "destination" {
				shared.byName[name] = at
			}
		}
	}
	f.inherit(shared)
}

func (rd *rulesReader) name(f fields, s *rules.Spec) {
	n := f.need("name", "give the rule a name that no other has")
	if n == nil {
		return
	}
	path := f.sub("name")
	name, ok := rd.str(n, path)
	if !ok {
		return
	}
	s.Name = name
	rd.checkName(n, path, name)
	if first, taken := rd.names[name]; taken {
		rd.add(n, path, "", "the name %s is taken by the rule in %s", name, first.seenFrom(rd.document.name))
		return
	}
	rd.names[name] = rd.at(n)
}

// portal reads which portals a rule is for: one, a list, or * for all.
func (rd *rulesReader) portal(f fields) []string {
	path := f.sub("portal")
	n := f.get("portal")
	if n == nil {
		switch {
		case len(rd.allPortals) == 1:
			return rd.allPortals
		case len(rd.allPortals) > 1 && !f.has("portal"):
			rd.add(f.node, f.path, "name one of "+list(rd.allPortals)+`, or "*" for all`, "portal is missing and there are several portals")
		}
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		name, ok := rd.str(n, path)
		if !ok {
			return nil
		}
		if name == "*" {
			return rd.allPortals
		}
		rd.checkPortal(n, path, name)
		return []string{name}
	}
	items, ok := rd.list(n, path, "")
	if !ok {
		return nil
	}
	var names []string
	for i, item := range items {
		where := index(path, i)
		name, ok := rd.str(item, where)
		switch {
		case !ok:
		case slices.Contains(names, name):
			rd.add(item, where, "", "%s is listed twice", name)
		case name == "*":
			rd.add(item, where, `write portal: "*"`, "* in a list stands for nothing")
		default:
			rd.checkPortal(item, where, name)
			names = append(names, name)
		}
	}
	return names
}

func (rd *rulesReader) checkPortal(n *yaml.Node, path, name string) {
	switch {
	case rd.allPortals == nil || slices.Contains(rd.allPortals, name):
	case strings.ContainsAny(name, "*?"):
		rd.add(n, path, `write "*" for all portals, or list them`, "%s is no portal", name)
	case rd.noBlock:
		rd.add(n, path, "leave portal out, or add a portals block",
			"unknown portal %s: without a portals block there is only the portal %s", name, DefaultPortal)
	default:
		rd.add(n, path, didYouMean(name, rd.allPortals), "unknown portal %s", name)
	}
}

func didYouMean(name string, known []string) string {
	if near := rules.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) <= 5 {
		return "known are " + strings.Join(known, ", ")
	}
	return ""
}

// list writes names for people, not all when there are many.
func list(names []string) string {
	const most = 10
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " …"
	}
	return strings.Join(names, ", ")
}

// oneOf reads a word out of a few.
func (d *document) oneOf(n *yaml.Node, path, what string, words []string) string {
	s, ok := d.str(n, path)
	if !ok {
		return ""
	}
	if !slices.Contains(words, s) {
		d.add(n, path, didYouMean(s, words), "unknown %s %q", what, s)
	}
	return s
}

// expression reads the text of an expression; `when: true` needs no quotes.
func (rd *rulesReader) expression(n *yaml.Node, path, without string) string {
	negated, bang := strings.CutPrefix(n.Tag, "!")
	if rd.lostBang(n) {
		negated, bang = n.Value, true
	}
	switch {
	case bang && !strings.HasPrefix(negated, "!"):
		rd.add(n, path, "write not "+negated+", or put it in quotes", "YAML takes a ! at the start of a value for itself")
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && n.ShortTag() != "!!bool":
		rd.add(n, path, "", "must be an expression, not %s", kindOf(n))
	case strings.TrimSpace(n.Value) == "":
		rd.add(n, path, without, "the expression is empty")
	default:
		return n.Value
	}
	return ""
}

// lostBang reports whether a ! stands before a scalar by itself. It is no part of the value, which
// would mean the opposite without it, and the node does not tell of it.
func (d *document) lostBang(n *yaml.Node) bool {
	c := &cursor{lines: d.rawLines(), line: n.Line, column: n.Column}
	if r, ok := c.peek(); !ok || r != '!' {
		return false
	}
	c.next()
	r, ok := c.peek()
	return ok && unicode.IsSpace(r)
}
