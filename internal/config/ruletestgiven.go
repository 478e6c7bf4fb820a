package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
)

// given reads the event of a test.
func (rd *testsReader) given(n *yaml.Node, path string, g *Given) {
	f, ok := rd.mapping(n, path, givenKeys)
	if !ok {
		return
	}
	*g = Given{Portal: rd.portal, ID: defaultID, Version: 1, When: defaultTime, At: rd.at(n)}
	if n := f.get("portal"); n != nil {
		g.Portal, _ = rd.someText(n, f.sub("portal"))
	}
	if n := f.get("by"); n != nil {
		g.By = rd.person(n, f.sub("by"))
	}
	if n := f.get("at"); n != nil {
		g.When = rd.when(n, f.sub("at"))
	}
	if n := f.get("body"); n != nil {
		g.Body, _ = rd.someText(n, f.sub("body"))
	}
	if f.has("body") {
		rd.besideBody(f, g)
		return
	}
	rd.entry(f, g)
	rd.trigger(f, g)
	if n := f.need("in", "give the id of the room or folder it lies in"); n != nil {
		rd.in(n, f.sub("in"), g)
	}
}

// besideBody reads what may be told about the event of a delivery's body: what the portal
// would be asked.
func (rd *testsReader) besideBody(f fields, g *Given) {
	for _, name := range []string{"trigger", "in", "folder", "at"} {
		if at, ok := f.byName[name]; ok {
			rd.add(at.key, f.sub(name), "", "the body says that already")
		}
	}
	n := f.get("file")
	if n == nil {
		return
	}
	file, ok := rd.mapping(n, f.sub("file"), givenFileKeys)
	if !ok {
		return
	}
	for _, name := range []string{"id", "title"} {
		if at, ok := file.byName[name]; ok {
			rd.add(at.key, file.sub(name), "", "the body says that already")
		}
	}
	rd.details(file, g)
}

// entry reads the file or folder that an event is about.
func (rd *testsReader) entry(f fields, g *Given) {
	g.Kind = event.File
	n, keys := f.get("file"), givenFileKeys
	switch {
	case f.has("file") && f.has("folder"):
		rd.add(f.byName["folder"].key, f.sub("folder"), "keep one of the two", "an event is about a file or a folder, not both")
		return
	case f.has("folder"):
		g.Kind = event.Folder
		n, keys = f.get("folder"), givenEntryKeys
	case !f.has("file"):
		rd.add(f.node, f.path, "write file: with its title", "the event is about no file, folder or body")
		return
	}
	if n == nil {
		return
	}
	path := f.sub(string(g.Kind))
	if n.Kind == yaml.ScalarNode {
		g.Title, _ = rd.someText(n, path)
		return
	}
	entry, ok := rd.mapping(n, path, keys)
	if !ok {
		return
	}
	if n := entry.need("title", ""); n != nil {
		g.Title, _ = rd.someText(n, entry.sub("title"))
	}
	if n := entry.get("id"); n != nil {
		g.ID, _ = rd.id(n, entry.sub("id"))
	}
	rd.details(entry, g)
}

// details reads what the portal knows of a file and a delivery may not say.
func (rd *testsReader) details(f fields, g *Given) {
	if n := f.get("size"); n != nil {
		if size, ok := rd.size(n, f.sub("size")); ok {
			g.Size = &size
		}
	}
	if n := f.get("version"); n != nil {
		g.Version, _ = rd.number(n, f.sub("version"))
	}
	if n := f.get("comment"); n != nil {
		g.Comment, _ = rd.str(n, f.sub("comment"))
	}
	if n := f.get("is_form"); n != nil {
		g.IsForm, _ = rd.boolean(n, f.sub("is_form"))
	}
}

// trigger reads what happened; without it, a file was uploaded or a folder created.
func (rd *testsReader) trigger(f fields, g *Given) {
	g.Trigger = "file.uploaded"
	if g.Kind == event.Folder {
		g.Trigger = "folder.created"
	}
	n := f.get("trigger")
	if n == nil {
		return
	}
	path := f.sub("trigger")
	name, ok := rd.str(n, path)
	if !ok {
		return
	}
	g.Trigger = name
	switch known := event.RoutableTriggers(); {
	case !slices.Contains(known, name):
		rd.add(n, path, didYouMean(name, known), "%s is no trigger of a rule", name)
	case event.KindOf(name) != g.Kind && (f.has("file") || f.has("folder")):
		rd.add(n, path, "", "%s is not about a %s", name, g.Kind)
	}
}

// in finds where the entry lies.
func (rd *testsReader) in(n *yaml.Node, path string, g *Given) {
	id, ok := rd.id(n, path)
	if !ok {
		return
	}
	if g.In = rd.tests.Places[id]; g.In == nil {
		rd.add(n, path, "add it to rooms, with its title", "the room or folder %s is not described", id)
	}
}

// person reads who did something: the gateway, an e-mail address, or all there is.
func (rd *testsReader) person(n *yaml.Node, path string) *Person {
	p := &Person{}
	if n.Kind == yaml.ScalarNode {
		s, ok := rd.someText(n, path)
		switch {
		case !ok:
		case s == gatewayName:
			p.Gateway = true
		case !strings.Contains(s, "@"):
			rd.add(n, path, "write an e-mail address, {display_name: …}, or "+gatewayName, "%q is not an e-mail address", s)
		}
		p.Email, p.DisplayName = s, s
		return p
	}
	f, ok := rd.mapping(n, path, personKeys)
	if !ok {
		return p
	}
	if len(f.byName) == 0 {
		rd.add(n, path, "", "nobody is named")
	}
	for name, into := range map[string]*string{"id": &p.ID, "email": &p.Email, "display_name": &p.DisplayName} {
		if n := f.get(name); n != nil {
			*into, _ = rd.someText(n, f.sub(name))
		}
	}
	return p
}
