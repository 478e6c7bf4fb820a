package config

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// maxRoutes bounds the sources and pairs of all files, which aliases could multiply.
const maxRoutes = 500_000

var (
	sourceKeys      = schema{"room", "folder", "room_tag", "room_title", "subfolders"}
	destinationKeys = schema{"folder", "path"}
	pairKeys        = schema{"source", "destination"}

	sourceKinds = []rules.SourceKind{rules.RoomSource, rules.FolderSource, rules.TagSource, rules.TitleSource}
)

// routesOf reads where a rule takes entries from and where it puts them.
func (rd *rulesReader) routesOf(f fields, s *rules.Spec, w *written) {
	if pairs := f.get("pairs"); pairs != nil {
		for _, other := range []string{"source", "destination"} {
			if at, ok := f.byName[other]; ok {
				rd.add(at.key, f.sub(other), "keep one of the two", "pairs stands in place of %s", other)
			}
		}
		s.Routes, w.routes = rd.pairs(pairs, f.sub("pairs"), w)
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
				w.target = n
				w.keep(&w.destinationPlaces, n, d.sub("folder"))
			}
			if n := d.get("path"); n != nil {
				s.Path = rd.expression(n, d.sub("path"), "leave it out to use the folder itself")
				w.below = n
				w.keep(&w.pathPlaces, n, d.sub("path"))
			}
		}
	}
	if n := f.need("source", hint); n != nil {
		s.Routes, w.routes = rd.sources(n, f.sub("source"), destination, w)
	}
}

func (rd *rulesReader) sources(n *yaml.Node, path string, destination event.ID, w *written) ([]rules.Route, []*yaml.Node) {
	f, ok := rd.mapping(n, path, sourceKeys)
	if !ok {
		return nil, nil
	}
	subfolders := true
	if n := f.get("subfolders"); n != nil {
		if v, ok := rd.boolean(n, f.sub("subfolders")); ok {
			subfolders = v
		}
	}
	kind, given := rd.sourceKind(f)
	if !given || f.get(string(kind)) == nil {
		return nil, nil
	}
	value, where := f.get(string(kind)), f.sub(string(kind))
	nodes := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		if nodes, ok = rd.list(value, where, ""); !ok {
			return nil, nil
		}
	}
	routes := make([]rules.Route, 0, len(nodes))
	at := make([]*yaml.Node, 0, len(nodes))
	seen := make(map[string]*yaml.Node, len(nodes))
	for i, n := range nodes {
		place := where
		if value.Kind == yaml.SequenceNode {
			place = index(where, i)
		}
		r := rules.Route{SourceKind: kind, Subfolders: subfolders, Destination: destination}
		if kind == rules.TagSource || kind == rules.TitleSource {
			r.Pattern, ok = rd.pattern(n, place, kind)
		} else {
			r.Source, ok = rd.id(n, place)
		}
		if !ok || !rd.countRoute(n, place) {
			continue
		}
		key := string(r.Source) + strings.ToLower(r.Pattern) // case does not matter in tags and titles
		if first := seen[key]; first != nil {
			rd.add(n, place, "", "%s is listed twice, first in line %d", n.Value, first.Line)
			continue
		}
		seen[key] = n
		routes, at = append(routes, r), append(at, n)
		w.keep(&w.sourcePlaces, n, place)
	}
	return routes, at
}

// sourceKind finds the one key that says what the source is.
func (rd *rulesReader) sourceKind(f fields) (kind rules.SourceKind, ok bool) {
	for _, k := range sourceKinds {
		switch {
		case !f.has(string(k)):
		case ok:
			at := f.byName[string(k)].key
			rd.add(at, f.sub(string(k)), "keep one, or split the rule in two", "source names a %s and a %s", kind, k)
			return "", false
		default:
			kind, ok = k, true
		}
	}
	if !ok {
		rd.add(f.node, f.path, "write room, folder, room_tag or room_title", "source names no room or folder")
	}
	return kind, ok
}

// pattern reads a tag, or the pattern of a title.
func (rd *rulesReader) pattern(n *yaml.Node, path string, kind rules.SourceKind) (string, bool) {
	what := "title"
	if kind == rules.TagSource {
		what = "tag"
	}
	s, ok := rd.str(n, path)
	switch {
	case !ok:
		return "", false
	case strings.TrimSpace(s) == "":
		rd.add(n, path, "", "the %s is empty", what)
		return "", false
	case strings.TrimSpace(s) != s:
		rd.add(n, path, "", "the %s begins or ends with a space, which none has on the portal", what)
		return "", false
	case len(s) > maxPattern:
		rd.add(n, path, "", "the %s is longer than %d bytes", what, maxPattern)
		return "", false
	case kind == rules.TagSource && strings.ContainsAny(s, "*?"):
		rd.add(n, path, "write the whole tag; only room_title takes * and ?", "a tag is no pattern")
		return "", false
	}
	return s, true
}

// maxPattern is longer than any tag or title on a portal.
const maxPattern = 1000

func (rd *rulesReader) pairs(n *yaml.Node, path string, w *written) ([]rules.Route, []*yaml.Node) {
	items, ok := rd.list(n, path, "write - {source: 1, destination: 2}")
	if !ok {
		return nil, nil
	}
	type pair struct{ source, destination event.ID }
	routes := make([]rules.Route, 0, len(items))
	at := make([]*yaml.Node, 0, len(items))
	seen := make(map[pair]*yaml.Node, len(items))
	for i, item := range items {
		where := index(path, i)
		if !rd.countRoute(item, where) {
			return nil, nil
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
		at = append(at, item)
		w.keep(&w.sourcePlaces, f.get("source"), f.sub("source"))
		w.keep(&w.destinationPlaces, f.get("destination"), f.sub("destination"))
	}
	return routes, at
}

// countRoute reports, once, when the file has more routes than it may.
func (rd *rulesReader) countRoute(n *yaml.Node, path string) bool {
	rd.routes++
	if rd.routes == maxRoutes+1 {
		rd.add(n, path, "", "the rules name more than %d sources", maxRoutes)
	}
	return rd.routes <= maxRoutes
}

// idInAddress finds the id in the address of a room or folder.
var idInAddress = regexp.MustCompile(`[/=][1-9][0-9]+([/?&]|$)`)

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
		case strings.Contains(v, "://"):
			hint := "the id is the number in it"
			if number := idInAddress.FindString(v); number != "" {
				hint = "write " + strings.Trim(number, "/?=&")
			}
			d.add(n, path, hint, "an address is not an id")
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
