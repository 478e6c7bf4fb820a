package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// maxRoutes bounds the sources and pairs of a whole file, which aliases could multiply.
const maxRoutes = 500_000

var (
	ruleKeys = schema{
		known: []string{
			"name", "description", "enabled", "portal", "triggers", "source", "when", "action",
			"destination", "pairs", "conflict", "stop", "fallback",
		},
		later: []string{"own_events"},
	}
	sourceKeys      = schema{known: []string{"room", "folder", "subfolders"}, later: []string{"room_tag", "room_title"}}
	destinationKeys = schema{known: []string{"folder"}, later: []string{"path"}}
	pairKeys        = schema{known: []string{"source", "destination"}}

	actions   = []string{string(event.Copy), string(event.Move)}
	conflicts = []string{string(event.Duplicate), string(event.Skip), string(event.Overwrite)}
)

// rulesReader turns the rules block into specs.
type rulesReader struct {
	*document
	portals []string // nil: the portals block is too broken to tell
	noBlock bool     // there is no portals block
	names   map[string]Position
	routes  int

	specs []rules.Spec
	whens []*yaml.Node // where the expression of each spec is written; nil without one
	paths []string
}

func (rd *rulesReader) read(n *yaml.Node) {
	items, ok := rd.list(n, "rules", "")
	if !ok {
		return
	}
	rd.specs = make([]rules.Spec, 0, len(items))
	for i, item := range items {
		rd.rule(item, index("rules", i))
	}
}

func (rd *rulesReader) rule(n *yaml.Node, path string) {
	f, ok := rd.mapping(n, path, ruleKeys)
	if !ok {
		return
	}
	at := rd.at(n)
	s := rules.Spec{
		Origin:   fmt.Sprintf("%s:%d:%d", at.File, at.Line, at.Column),
		Action:   event.Copy,
		Conflict: event.Duplicate,
	}
	rd.name(f, &s)
	if n := f.get("description"); n != nil {
		s.Description, _ = rd.str(n, f.sub("description"))
	}
	if n := f.get("enabled"); n != nil {
		enabled, ok := rd.boolean(n, f.sub("enabled"))
		s.Disabled = ok && !enabled
	}
	if n := f.get("stop"); n != nil {
		s.Stop, _ = rd.boolean(n, f.sub("stop"))
	}
	if n := f.get("fallback"); n != nil {
		s.Fallback, _ = rd.boolean(n, f.sub("fallback"))
	}
	rd.portal(f, &s)
	if n := f.need("triggers", "as in triggers: [file.uploaded]"); n != nil {
		s.Triggers = rd.triggers(n, f.sub("triggers"))
	}
	if n := f.need("action", "write copy or move"); n != nil {
		s.Action = event.Action(rd.oneOf(n, f.sub("action"), "action", actions))
	}
	if n := f.get("conflict"); n != nil {
		s.Conflict = event.Conflict(rd.oneOf(n, f.sub("conflict"), "conflict policy", conflicts))
	}
	rd.places(f, &s)
	when := f.get("when")
	if when != nil {
		s.When = rd.expression(when, f.sub("when"))
	}
	rd.specs = append(rd.specs, s)
	rd.whens = append(rd.whens, when)
	rd.paths = append(rd.paths, path)
}

func (rd *rulesReader) name(f fields, s *rules.Spec) {
	n := f.need("name", "give the rule a name, unique in the file")
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
		rd.add(n, path, "", "the name %s is taken by the rule in line %d", name, first.Line)
		return
	}
	rd.names[name] = rd.at(n)
}

func (rd *rulesReader) portal(f fields, s *rules.Spec) {
	path := f.sub("portal")
	n := f.get("portal")
	if n == nil {
		switch {
		case len(rd.portals) == 1:
			s.Portal = rd.portals[0]
		case len(rd.portals) > 1 && !f.has("portal"):
			rd.add(f.node, f.path, "name one of "+strings.Join(rd.portals, ", "), "portal is missing and there are several portals")
		}
		return
	}
	if n.Kind == yaml.SequenceNode {
		rd.add(n, path, "", "a list of portals is not supported by this version yet")
		return
	}
	name, ok := rd.str(n, path)
	if !ok {
		return
	}
	s.Portal = name
	switch {
	case strings.ContainsAny(name, "*?"):
		rd.add(n, path, "", "a wildcard for portals is not supported by this version yet")
	case rd.portals == nil || slices.Contains(rd.portals, name):
	case rd.noBlock:
		rd.add(n, path, "leave portal out, or add a portals block",
			"unknown portal %s: without a portals block there is only the portal %s", name, DefaultPortal)
	default:
		rd.add(n, path, didYouMean(name, rd.portals), "unknown portal %s", name)
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

func (rd *rulesReader) triggers(n *yaml.Node, path string) []string {
	items, ok := rd.list(n, path, "write [file.uploaded]")
	if !ok {
		return nil
	}
	var out []string
	for i, item := range items {
		where := index(path, i)
		name, ok := rd.str(item, where)
		if !ok {
			continue
		}
		concrete := event.ExpandTrigger(name)
		if concrete == nil {
			rd.badTrigger(item, where, name)
			continue
		}
		for _, t := range concrete {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// badTrigger says why a trigger will not do.
func (rd *rulesReader) badTrigger(n *yaml.Node, path, name string) {
	family, verb, _ := strings.Cut(name, ".")
	isKnown := slices.Contains(event.Triggers(), name) ||
		verb == "*" && slices.ContainsFunc(event.Triggers(), func(t string) bool { return strings.HasPrefix(t, family+".") })
	switch {
	case isKnown && (family == "user" || family == "group"):
		rd.add(n, path, "", "%s is about no file or folder, there is nothing to copy or move", name)
	case isKnown && (family == "room" || family == "agent"):
		rd.add(n, path, "", "%s is about a whole room, which is not copied or moved", name)
	case isKnown && verb == "downloaded":
		rd.add(n, path, "", "%s changes nothing, there is nothing new to copy or move", name)
	case isKnown:
		rd.add(n, path, "", "after %s nothing is left to copy or move", name)
	case name == "*":
		rd.add(n, path, "write [file.*, folder.*]", "* alone is no trigger")
	default:
		known := append(event.RoutableTriggers(), "file.*", "folder.*", "form.*")
		hint := didYouMean(name, known)
		if hint == "" {
			hint = "triggers are such as file.uploaded or folder.*"
		}
		rd.add(n, path, hint, "unknown trigger %s", name)
	}
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
func (rd *rulesReader) expression(n *yaml.Node, path string) string {
	if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!str" || n.ShortTag() == "!!bool") {
		if strings.TrimSpace(n.Value) == "" {
			rd.add(n, path, "leave it out to match always", "the expression is empty")
			return ""
		}
		return n.Value
	}
	rd.add(n, path, "", "must be an expression, not %s", kindOf(n))
	return ""
}

// places reads where a rule takes entries from and where it puts them.
func (rd *rulesReader) places(f fields, s *rules.Spec) {
	if pairs := f.get("pairs"); pairs != nil {
		for _, other := range []string{"source", "destination"} {
			if at, ok := f.byName[other]; ok {
				rd.add(at.key, f.sub(other), "keep one of the two", "pairs stands in place of %s", other)
			}
		}
		s.Routes = rd.pairs(pairs, f.sub("pairs"))
		return
	}
	if f.has("pairs") {
		return
	}
	const hint = "give a source and a destination, or pairs"
	var destination event.ID
	if n := f.need("destination", hint); n != nil {
		if d, ok := rd.mapping(n, f.sub("destination"), destinationKeys); ok {
			if n := d.need("folder", "give the id of a folder or room"); n != nil {
				destination, _ = rd.id(n, d.sub("folder"))
			}
		}
	}
	if n := f.need("source", hint); n != nil {
		s.Routes = rd.sources(n, f.sub("source"), destination)
	}
}

func (rd *rulesReader) sources(n *yaml.Node, path string, destination event.ID) []rules.Route {
	f, ok := rd.mapping(n, path, sourceKeys)
	if !ok {
		return nil
	}
	subfolders := true
	if n := f.get("subfolders"); n != nil {
		if v, ok := rd.boolean(n, f.sub("subfolders")); ok {
			subfolders = v
		}
	}
	room, folder := f.get("room"), f.get("folder")
	kind, ids := rules.RoomSource, room
	switch {
	case room != nil && folder != nil:
		rd.add(f.byName["folder"].key, f.sub("folder"), "keep one, or split the rule in two", "source names a room and a folder")
		return nil
	case folder != nil:
		kind, ids = rules.FolderSource, folder
	case room == nil:
		if !f.has("room") && !f.has("folder") && !f.has("room_tag") && !f.has("room_title") {
			rd.add(f.node, path, "", "source names no room or folder")
		}
		return nil
	}
	where := f.sub(string(kind))
	nodes := []*yaml.Node{ids}
	if ids.Kind == yaml.SequenceNode {
		if nodes, ok = rd.list(ids, where, ""); !ok {
			return nil
		}
	}
	routes := make([]rules.Route, 0, len(nodes))
	seen := make(map[event.ID]*yaml.Node, len(nodes))
	for i, n := range nodes {
		at := where
		if ids.Kind == yaml.SequenceNode {
			at = index(where, i)
		}
		id, ok := rd.id(n, at)
		if !ok || !rd.countRoute(n, at) {
			continue
		}
		if first := seen[id]; first != nil {
			rd.add(n, at, "", "%s is listed twice, first in line %d", id, first.Line)
			continue
		}
		seen[id] = n
		routes = append(routes, rules.Route{Source: id, SourceKind: kind, Subfolders: subfolders, Destination: destination})
	}
	return routes
}

func (rd *rulesReader) pairs(n *yaml.Node, path string) []rules.Route {
	items, ok := rd.list(n, path, "write - {source: 1, destination: 2}")
	if !ok {
		return nil
	}
	type pair struct{ source, destination event.ID }
	routes := make([]rules.Route, 0, len(items))
	seen := make(map[pair]*yaml.Node, len(items))
	for i, item := range items {
		where := index(path, i)
		if !rd.countRoute(item, where) {
			return nil
		}
		f, ok := rd.mapping(item, where, pairKeys)
		if !ok {
			continue
		}
		var p pair
		for _, end := range []struct {
			name string
			into *event.ID
		}{{"source", &p.source}, {"destination", &p.destination}} {
			if n := f.need(end.name, "a pair is {source: 1, destination: 2}"); n != nil {
				*end.into, _ = rd.id(n, f.sub(end.name))
			}
		}
		if p.source == "" || p.destination == "" {
			continue
		}
		if first := seen[p]; first != nil {
			rd.add(item, where, "", "the pair %s to %s is listed twice, first in line %d", p.source, p.destination, first.Line)
			continue
		}
		seen[p] = item
		routes = append(routes, rules.Route{Source: p.source, Subfolders: true, Destination: p.destination})
	}
	return routes
}

// countRoute reports, once, when the file has more routes than it may.
func (rd *rulesReader) countRoute(n *yaml.Node, path string) bool {
	rd.routes++
	if rd.routes == maxRoutes+1 {
		rd.add(n, path, "", "the file names more than %d sources", maxRoutes)
	}
	return rd.routes <= maxRoutes
}

var plainNumber = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// id reads the id of a room or folder and keeps its characters. DocSpace's own ids are
// numbers; those of connected storage are text with a number in it, such as drive-12-|1AbC.
func (d *document) id(n *yaml.Node, path string) (event.ID, bool) {
	if n.Kind != yaml.ScalarNode {
		d.add(n, path, "", "must be an id, not %s", kindOf(n))
		return "", false
	}
	v := n.Value
	switch n.ShortTag() {
	case "!!str":
		switch {
		case v == "":
			d.add(n, path, "", "the id is empty")
		case strings.ContainsFunc(v, isControlOrSpace) || !strings.ContainsAny(v, "0123456789"):
			d.add(n, path, "an id is a number, or text such as drive-12 for connected storage", "%q is not an id", v)
		default:
			return event.ID(v), true
		}
	case "!!int", "!!float":
		if plainNumber.MatchString(v) {
			return event.ID(v), true
		}
		d.add(n, path, "an id is a whole number in plain digits", "%s is not an id", v)
	default:
		d.add(n, path, "an id is a whole number in plain digits, or text in quotes", "must be an id, not %s", kindOf(n))
	}
	return "", false
}
