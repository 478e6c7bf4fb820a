package config

import (
	"cmp"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/rules"
)

// reading is one attempt to make a Config of some files. What is wrong is kept apart by file,
// so that in a directory each file stands for itself.
type reading struct {
	options Options
	isDir   bool
	trusted map[string]bool
	noBlock bool        // there is no portals block
	docs    []*document // in name order
	common  *document   // what is wrong with no file in particular
	config  *Config     // of use only without problems
}

// parseFiles reads rules files that belong together. In a directory several may hold portals
// and rules; of two that claim the same name the one is at fault that is not among the trusted.
func parseFiles(files []File, o Options, isDir bool, trusted map[string]bool) *reading {
	r := newReading(files, o, isDir, trusted)
	order := make([]int, len(files))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(boolToInt(!trusted[files[a].Name]), boolToInt(!trusted[files[b].Name]))
	})
	r.read(order)
	for _, d := range append(r.docs, r.common) {
		d.problems.sort()
		d.problems = slices.Compact(d.problems) // what many rules inherit is wrong once
		d.warnings.sort()
		r.config.Warnings = append(r.config.Warnings, slices.Compact(d.warnings)...)
	}
	return r
}

func newReading(files []File, o Options, isDir bool, trusted map[string]bool) *reading {
	r := &reading{options: o, isDir: isDir, trusted: trusted, config: &Config{Files: files}}
	for _, f := range files {
		d := &document{name: r.pathOf(f.Name), text: string(f.Text), options: o, dir: filepath.Dir(o.Path), unreadable: f.Unreadable}
		if isDir {
			d.dir = o.Path
		}
		r.docs = append(r.docs, d)
	}
	r.common = &document{name: r.docs[0].name, options: o}
	return r
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pathOf is how problems name a file.
func (r *reading) pathOf(name string) string {
	if r.isDir {
		return filepath.Join(r.options.Path, name)
	}
	return cmp.Or(r.options.shown, r.options.Path)
}

// problems are all there are, or nil.
func (r *reading) problems() Problems {
	var all Problems
	for _, d := range r.docs {
		all = append(all, d.problems...)
	}
	return append(all, r.common.problems...)
}

// secretFiles are those the texts refer to, readable or not, so that a missing one can be
// waited for.
func (r *reading) secretFiles() []secretFile {
	var all []secretFile
	for _, d := range r.docs {
		all = append(all, d.secretFiles...)
	}
	return all
}

var topKeys = schema{"version", "portals", "defaults", "rules"}

// read reads the documents in an order of trust and puts the rules in name order.
func (r *reading) read(order []int) {
	tops := make([]fields, len(r.docs))
	shared := &known{names: map[string]Position{}}
	r.readPortals(order, tops, shared)
	readers := make([]*rulesReader, len(r.docs))
	for _, i := range order {
		if tops[i].byName != nil {
			readers[i] = r.docs[i].rules(tops[i], shared, r.isDir)
		}
	}
	var specs []rules.Spec
	var places []written
	anyRules := false
	for i, rd := range readers {
		if rd != nil {
			specs, places = append(specs, rd.specs...), append(places, rd.places...)
		}
		anyRules = anyRules || tops[i].byName == nil || tops[i].has("rules")
	}
	if r.isDir && !anyRules {
		r.common.add(start, "", "add a file with a list of rules", "no file of the directory has rules")
	}
	r.compile(specs, places)
}

// readPortals reads the tops of the documents and the portals of all of them.
func (r *reading) readPortals(order []int, tops []fields, shared *known) {
	at := map[string]Position{}
	blocks, unclear := 0, false
	for _, i := range order {
		d := r.docs[i]
		top := d.root()
		if top == nil {
			unclear, d.mayName = true, true
			continue
		}
		f, ok := d.mapping(top, "", topKeys)
		if !ok {
			unclear, d.mayName = true, true
			continue
		}
		tops[i] = f
		if n := f.need("version", "write version: 1"); n != nil {
			if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Value != "1" {
				d.add(n, "version", "", "must be 1, the only version there is")
			}
		}
		if !f.has("portals") {
			continue
		}
		blocks++
		n := f.get("portals")
		if n == nil || n.Kind != yaml.MappingNode {
			unclear, d.mayName = true, true
		}
		if n != nil {
			r.addPortals(d, n, at)
		}
	}
	slices.SortStableFunc(r.config.Portals, func(a, b Portal) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	switch {
	case unclear:
	case blocks == 0:
		r.config.Portals = r.common.defaultPortal()
		shared.allPortals, shared.noBlock, r.noBlock = []string{DefaultPortal}, true, true
	default:
		for _, d := range r.docs {
			shared.allPortals = append(shared.allPortals, d.portalNames...)
		}
	}
}

// addPortals adds a document's portals to those of the others.
func (r *reading) addPortals(d *document, n *yaml.Node, at map[string]Position) {
	for _, p := range d.portals(n) {
		if first, taken := at[p.Name]; taken {
			d.problems = append(d.problems, Problem{
				File: p.At.File, Line: p.At.Line, Column: p.At.Column, Path: "portals." + p.Name,
				Message: "the portal " + p.Name + " is described in " + first.String() + " already",
			})
			continue
		}
		at[p.Name] = p.At
		r.config.Portals = append(r.config.Portals, p)
	}
	// A mistake in a portal should not make every rule of it look wrong.
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := resolve(n.Content[i]); key.Kind == yaml.ScalarNode && !isMerge(key) {
			d.portalNames = append(d.portalNames, key.Value)
		}
	}
}

// rules reads a document's defaults and rules. In a directory a file may have portals only.
func (d *document) rules(f fields, shared *known, isDir bool) *rulesReader {
	rd := &rulesReader{document: d, known: shared}
	if n := f.get("defaults"); n != nil {
		rd.defaults, _ = d.mapping(n, "defaults", defaultKeys)
	}
	if isDir && f.has("portals") && !f.has("rules") {
		return rd
	}
	if n := f.need("rules", "add a list of rules"); n != nil {
		rd.read(n)
	}
	return rd
}

// compile builds the table and puts what is wrong with the specs where it is written.
func (r *reading) compile(specs []rules.Spec, places []written) {
	table, errs := rules.Compile(specs)
	for _, e := range errs {
		w := r.blamed(e, places)
		w.doc.problems = append(w.doc.problems, place(e, w))
	}
	if table == nil {
		return
	}
	r.config.Rules = table
	if r.options.Locations {
		r.config.Locations = locationsOf(places)
	}
	for _, e := range table.Warnings() {
		w := &places[e.Rule]
		w.doc.warnings = append(w.doc.warnings, place(e, w))
	}
	if !r.noBlock {
		r.unusedPortals(specs)
	}
}

// blamed chooses the rule that a problem of several is put to: one of a file that has changed.
func (r *reading) blamed(e rules.SpecError, places []written) *written {
	w := &places[e.Rule]
	for i := len(e.With) - 1; i >= 0 && r.trusts(w.doc); i-- {
		w = &places[e.With[i]]
	}
	if r.trusts(w.doc) {
		return &places[e.Rule]
	}
	return w
}

func (r *reading) trusts(d *document) bool {
	i := slices.Index(r.docs, d)
	return r.trusted[r.config.Files[i].Name]
}

// unusedPortals warns of portals that no rule is for.
func (r *reading) unusedPortals(specs []rules.Spec) {
	used := map[string]bool{}
	for i := range specs {
		if !specs[i].Disabled {
			for _, name := range specs[i].Portals {
				used[name] = true
			}
		}
	}
	for _, p := range r.config.Portals {
		for _, d := range r.docs {
			if d.name == p.At.File && !used[p.Name] {
				d.warn(&yaml.Node{Line: p.At.Line, Column: p.At.Column}, "portals."+p.Name, "", "no enabled rule is for the portal %s", p.Name)
			}
		}
	}
}

// place turns a SpecError into a problem at the place it is about.
func place(e rules.SpecError, w *written) Problem {
	n, path := w.in(e)
	if e.Line > 0 {
		line, column := w.doc.inScalar(n, e.Line, e.Column)
		n = &yaml.Node{Line: line, Column: column}
	}
	return w.doc.problem(n, path, e.Hint, "%s", e.Message)
}
