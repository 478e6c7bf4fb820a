package rules

import (
	"slices"

	"docspace-router/internal/event"
)

// Table is a set of compiled rules, indexed so that an event meets only rules that could
// match it. It never changes.
type Table struct {
	rules   []rule
	buckets map[place]*bucket
}

type rule struct {
	spec      Spec
	condition *condition // nil holds always
}

// place is what an event's rules are first looked up by.
type place struct{ portal, trigger string }

// bucket holds the enabled rules of one portal and trigger.
type bucket struct {
	routes map[event.ID][]ref
	// deep counts the sources that take entries of subfolders as well. Only for them does
	// it matter what lies above an entry's folder.
	deep int
}

// ref is one route of one rule.
type ref struct{ rule, route int32 }

// Compile builds a table, or reports everything that is wrong with the specs. It trusts
// their shape: names are unique, triggers concrete, routes complete.
func Compile(specs []Spec) (*Table, []SpecError) {
	t := &Table{rules: make([]rule, len(specs)), buckets: map[place]*bucket{}}
	conditions := newConditions()
	var errs []SpecError
	for i, spec := range specs {
		t.rules[i].spec = spec
		if spec.When == "" {
			continue
		}
		c, found := conditions.compile(spec.When, kindsOf(spec.Triggers))
		t.rules[i].condition = c
		for _, f := range found {
			line, column := lineColumn(spec.When, f.at)
			errs = append(errs, SpecError{
				Rule: i, Name: spec.Name, Field: "when",
				Line: line, Column: column, Message: f.message, Hint: f.hint,
			})
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	t.fill()
	return t, nil
}

func (t *Table) fill() {
	for i := range t.rules {
		spec := &t.rules[i].spec
		if spec.Disabled {
			continue
		}
		for _, trigger := range spec.Triggers {
			at := place{spec.Portal, trigger}
			b := t.buckets[at]
			if b == nil {
				b = &bucket{routes: map[event.ID][]ref{}}
				t.buckets[at] = b
			}
			for j, route := range spec.Routes {
				b.routes[route.Source] = append(b.routes[route.Source], ref{int32(i), int32(j)})
			}
		}
	}
	for _, b := range t.buckets {
		for _, refs := range b.routes {
			if slices.ContainsFunc(refs, t.isDeep) {
				b.deep++
			}
		}
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
