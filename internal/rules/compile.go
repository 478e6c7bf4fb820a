package rules

import (
	"docspace-router/internal/event"
)

// Table is a set of compiled rules, indexed so that an event meets only rules that could
// match it. It never changes.
type Table struct {
	rules    []rule
	buckets  map[place]*bucket
	warnings []SpecError
}

type rule struct {
	spec      Spec
	condition *condition // nil holds always
	path      *part      // nil: no folders below the destination
}

// place is what an event's rules are first looked up by.
type place struct{ portal, trigger string }

// ref is one route of one rule.
type ref struct{ rule, route int32 }

// Compile builds a table, or reports everything that is wrong with the specs. It trusts
// their shape: names are unique, triggers concrete, routes complete.
func Compile(specs []Spec) (*Table, []SpecError) {
	t := &Table{rules: make([]rule, len(specs)), buckets: map[place]*bucket{}}
	all := newExpressions()
	var errs []SpecError
	for i, spec := range specs {
		r, kinds := &t.rules[i], kindsOf(spec.Triggers)
		r.spec = spec
		report := func(field, text string, found []finding) {
			for _, f := range found {
				line, column := lineColumn(text, f.at)
				errs = append(errs, SpecError{
					Rule: i, Name: spec.Name, Field: field,
					Line: line, Column: column, Message: f.message, Hint: f.hint,
				})
			}
		}
		var found []finding
		if spec.When != "" {
			r.condition, found = all.condition(spec.When, kinds)
			report("when", spec.When, found)
		}
		if spec.Path != "" {
			r.path, found = all.path(spec.Path, kinds)
			report("path", spec.Path, found)
		}
	}
	errs = append(errs, findLoops(t.rules)...)
	if len(errs) > 0 {
		return nil, errs
	}
	t.fill()
	t.warnings = reviewRules(t.rules)
	return t, nil
}

// Warnings are what is legal and suspicious about the rules.
func (t *Table) Warnings() []SpecError { return t.warnings }

func (t *Table) fill() {
	for i := range t.rules {
		spec := &t.rules[i].spec
		if spec.Disabled {
			continue
		}
		for _, portal := range spec.Portals {
			for _, trigger := range spec.Triggers {
				at := place{portal, trigger}
				b := t.buckets[at]
				if b == nil {
					b = newBucket()
					t.buckets[at] = b
				}
				b.add(int32(i), &t.rules[i])
			}
		}
	}
	for _, b := range t.buckets {
		b.titles.sort()
	}
}

func (t *Table) isDeep(r ref) bool { return t.route(r).Subfolders }

func (t *Table) route(r ref) *Route { return &t.rules[r.rule].spec.Routes[r.route] }

// Rules describes every rule in file order.
func (t *Table) Rules() []Info {
	infos := make([]Info, len(t.rules))
	for i := range t.rules {
		infos[i] = Info{Spec: t.rules[i].spec, Number: i + 1}
	}
	return infos
}

// Len is the number of rules, disabled ones included.
func (t *Table) Len() int { return len(t.rules) }

// Wants reports whether any enabled rule is about the trigger on the portal.
func (t *Table) Wants(portal, trigger string) bool {
	return t.buckets[place{portal, trigger}] != nil
}

// WantsOwn reports whether any enabled rule is about the trigger on the portal even when the
// gateway's own work fired it.
func (t *Table) WantsOwn(portal, trigger string) bool {
	b := t.buckets[place{portal, trigger}]
	return b != nil && b.own
}

// bucket holds the enabled rules of one portal and trigger.
type bucket struct {
	routes map[event.ID][]ref // by the id of their source
	tags   map[string][]ref   // by the tag of their rooms, in lower case
	titles titleIndex         // by the title of their rooms
	own    bool               // whether a rule is about the gateway's own work

	// above are rules that what lies above an entry's folder could bring into play: those with
	// subfolders, and those that ask for a kind of room. tagged are those that the tags of the
	// room could.
	above, tagged prospects
}

func newBucket() *bucket {
	return &bucket{routes: map[event.ID][]ref{}}
}

func (b *bucket) add(number int32, r *rule) {
	b.own = b.own || r.spec.OwnEvents
	for j := range r.spec.Routes {
		route, at := &r.spec.Routes[j], ref{number, int32(j)}
		switch route.SourceKind {
		case TagSource:
			if b.tags == nil {
				b.tags = map[string][]ref{}
			}
			tag := foldTag(route.Pattern)
			b.tags[tag] = append(b.tags[tag], at)
			b.tagged.add(number, r)
		case TitleSource:
			b.titles.add(route.Pattern, at)
		default:
			b.routes[route.Source] = append(b.routes[route.Source], at)
		}
		if route.Subfolders || route.byRoom() {
			b.above.add(number, r)
		}
	}
}

// prospects stand for rules that a fact still unknown could bring into play, so that it is only
// asked for when one of them could match after all. Rules of one condition stand together:
// ten thousand rules seldom have many.
type prospects struct {
	list  []prospect
	index map[prospectKey]int
}

type prospectKey struct {
	condition     *condition // nil holds always
	fallback, own bool
}

type prospect struct {
	prospectKey
	first  int32 // in file order
	routes int   // how many of their routes there are
}

// maxProspects bounds how many conditions are evaluated to spare a look-up. The rules beyond it
// count as rules that could match.
const maxProspects = 64

func (r *rule) prospectKey() prospectKey {
	return prospectKey{r.condition, r.spec.Fallback, r.spec.OwnEvents}
}

func (p *prospects) add(number int32, r *rule) {
	i := p.find(r.prospectKey())
	if i < 0 {
		key := r.prospectKey()
		if len(p.list) >= maxProspects {
			key.condition = nil
		}
		if p.index == nil {
			p.index = map[prospectKey]int{}
		}
		i = len(p.list)
		p.list = append(p.list, prospect{prospectKey: key, first: number})
		p.index[key] = i
	}
	p.list[i].routes++
}

// find returns the place of the prospect that a rule stands with, or -1.
func (p *prospects) find(key prospectKey) int {
	if i, ok := p.index[key]; ok {
		return i
	}
	if len(p.list) >= maxProspects {
		key.condition = nil
		if i, ok := p.index[key]; ok {
			return i
		}
	}
	return -1
}
