package rules

import (
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// why describes the part of a condition that did not hold: its text, and the values it saw.
func (ev *evaluation) why(c *condition, index int) (text, values string) {
	// Compiling rewrote the parts, so the source is read once more.
	tree, err := parser.ParseWithConfig(c.source, conf.New(env{}))
	if err != nil {
		return c.source, ""
	}
	parts := conjuncts(tree.Node)
	if index >= len(parts) {
		return c.source, ""
	}
	part := parts[index]
	if ev.prepare(factsOf(part)) == nil {
		values = ev.values(part)
	}
	return part.String(), values
}

// values writes the variables a part refers to, each once, in the order they occur.
func (ev *evaluation) values(part ast.Node) string {
	var seen []string
	add := func(path []string) {
		name, v, ok := ev.lookUp(path)
		if !ok {
			return
		}
		if s := name + " = " + show(v); !slices.Contains(seen, s) {
			seen = append(seen, s)
		}
	}
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		switch n := n.(type) {
		case *ast.IdentifierNode:
			add([]string{n.Value})
			return
		case *ast.MemberNode:
			root, steps := unwind(n)
			if root == nil {
				break
			}
			path := []string{root.Value}
			for _, step := range steps {
				field, ok := step.Property.(*ast.StringNode)
				if !ok {
					walk(step.Property)
					break
				}
				path = append(path, field.Value)
			}
			add(path)
			return
		}
		for _, child := range children(n) {
			walk(child)
		}
	}
	walk(part)
	return strings.Join(seen, ", ")
}

// lookUp finds the value of a chain of names. Where the chain goes on beyond a variable, as
// in event.created_on.Year, the variable's own value is found; below payload and webhook the
// chain is followed to its end.
func (ev *evaluation) lookUp(path []string) (name string, value any, ok bool) {
	for n := 1; n <= len(path); n++ {
		name = strings.Join(path[:n], ".")
		uses, isLeaf := leaves[name]
		if !isLeaf {
			continue
		}
		if uses&ev.lacks != 0 || slices.Contains([]string{"KB", "MB", "GB"}, name) {
			return name, nil, false
		}
		value = field(reflect.ValueOf(*ev.env), path[:n])
		for ; n < len(path); n++ {
			object, isObject := value.(map[string]any)
			if !isObject {
				break
			}
			value = object[path[n]]
		}
		return strings.Join(path[:n], "."), value, true
	}
	return "", nil, false
}

// field follows names through structs by the tags that expr uses.
func field(v reflect.Value, path []string) any {
	for _, name := range path {
		t, found := v.Type(), false
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("expr") == name {
				v, found = v.Field(i), true
				break
			}
		}
		if !found {
			return nil
		}
	}
	return v.Interface()
}
