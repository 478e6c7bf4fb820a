package config

import (
	"gopkg.in/yaml.v3"

	"docspace-router/internal/rules"
)

// parse reads a rules file. Beside the Config or the problems it returns the secret files the
// text refers to, readable or not, so that a missing one can be waited for.
func parse(name string, text []byte, o Options) (*Config, []secretFile, Problems) {
	d := &document{name: name, text: string(text), options: o}
	c := d.config()
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.secretFiles, d.problems
	}
	d.warnings.sort()
	c.Files = []File{newFile(name, text)}
	c.Warnings = d.warnings
	return c, d.secretFiles, nil
}

var topKeys = schema{known: []string{"version", "portals", "rules"}}

// config reads the whole document. The result is of use only when no problem was found.
func (d *document) config() *Config {
	top := d.root()
	if top == nil {
		return nil
	}
	f, ok := d.mapping(top, "", topKeys)
	if !ok {
		return nil
	}
	if n := f.need("version", "write version: 1"); n != nil {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Value != "1" {
			d.add(n, "version", "", "must be 1, the only version there is")
		}
	}
	c := &Config{}
	rd := rulesReader{document: d, names: map[string]Position{}}
	if n := f.get("portals"); n != nil {
		c.Portals = d.portals(n)
		if n.Kind == yaml.MappingNode {
			rd.portals = portalNames(n)
		}
	} else if !f.has("portals") {
		c.Portals = d.defaultPortal()
		rd.portals = []string{DefaultPortal}
		rd.noBlock = true
	}
	if n := f.need("rules", "add a list of rules"); n != nil {
		rd.read(n)
	}
	c.Rules = rd.compile()
	return c
}

// portalNames lists the portals a rule may name, those with problems included: a mistake in
// a portal should not make every rule of it look wrong.
func portalNames(n *yaml.Node) []string {
	var names []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := resolve(n.Content[i]); key.Kind == yaml.ScalarNode && !isMerge(key) {
			names = append(names, key.Value)
		}
	}
	return names
}

// compile builds the table and puts the mistakes in expressions where they are written.
func (rd *rulesReader) compile() *rules.Table {
	table, errs := rules.Compile(rd.specs)
	for _, e := range errs {
		n := rd.whens[e.Rule]
		line, column := rd.inScalar(n, e.Line, e.Column)
		rd.add(&yaml.Node{Line: line, Column: column}, rd.paths[e.Rule]+"."+e.Field, e.Hint, "%s", e.Message)
	}
	return table
}
