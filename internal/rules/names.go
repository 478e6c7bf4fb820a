package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"docspace-router/internal/event"
)

// functions lists what an expression may call besides expr's built-ins.
var functions = []string{"glob"}

// finding is a mistake at a place in an expression, counted in runes from its start.
type finding struct {
	at            int
	message, hint string
	portal        string // it is none in a rule for this portal
}

// entryKinds says which kinds of entry the triggers of a rule bring.
type entryKinds struct{ files, folders bool }

func kindsOf(triggers []string) entryKinds {
	var k entryKinds
	for _, t := range triggers {
		if event.KindOf(t) == event.Folder {
			k.folders = true
		} else {
			k.files = true
		}
	}
	return k
}

// names checks every name in a parsed expression and collects the facts it rests on. It runs
// before expr's own type check because that one stops at the first unknown name, without a
// suggestion and in the words of Go's types.
type names struct {
	kinds  entryKinds
	locals map[string]bool // made by let, anywhere; expr's check knows their scope
	used   fact
	found  []finding
	doubts []finding // legal, and never true
}

// checkNames returns the facts an expression rests on, comparisons that can never hold, and the
// mistakes in its names.
func checkNames(root ast.Node, kinds entryKinds) (used fact, doubts, found []finding) {
	c := &names{kinds: kinds}
	c.declare(root)
	c.walk(root)
	slices.SortStableFunc(c.found, func(a, b finding) int { return a.at - b.at })
	return c.used, c.doubts, c.found
}

// factsOf returns the facts a part of a checked expression rests on.
func factsOf(part ast.Node) fact {
	used, _, _ := checkNames(part, entryKinds{})
	return used
}

func (c *names) declare(n ast.Node) {
	if v, ok := n.(*ast.VariableDeclaratorNode); ok {
		if c.locals == nil {
			c.locals = map[string]bool{}
		}
		c.locals[v.Name] = true
	}
	for _, child := range children(n) {
		c.declare(child)
	}
}

func (c *names) report(at ast.Node, hint, format string, args ...any) {
	c.found = append(c.found, finding{at: at.Location().From, message: fmt.Sprintf(format, args...), hint: hint})
}

func (c *names) walk(n ast.Node) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		c.variable(n)
		return
	case *ast.MemberNode:
		if c.path(n) {
			return
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			c.callee(callee)
			for _, arg := range n.Arguments {
				c.walk(arg)
			}
			return
		}
	case *ast.BinaryNode:
		c.idAgainstNumber(n)
		c.listAsText(n)
		c.vainComparison(n)
	}
	for _, child := range children(n) {
		c.walk(child)
	}
}

// variable checks a name that stands alone, so that everything below it is used.
func (c *names) variable(n *ast.IdentifierNode) {
	if c.locals[n.Value] {
		return
	}
	if used, ok := branches[n.Value]; ok {
		c.used |= used
		c.entryVariable(n)
		return
	}
	if used, ok := leaves[n.Value]; ok {
		c.used |= used
		return
	}
	if _, ok := builtin.Index[n.Value]; ok || slices.Contains(functions, n.Value) {
		c.report(n, fmt.Sprintf("call it: %s(…)", n.Value), "%s is a function", n.Value)
		return
	}
	if field := c.fieldNamed(n.Value); field != "" {
		c.report(n, "did you mean "+field+"?", "unknown name %s", n.Value)
		return
	}
	if Nearest(n.Value, c.variables()) == "" && !strings.HasPrefix(n.Value, "$") {
		c.report(n, fmt.Sprintf("if it is a text, put it in quotes: %q", n.Value), "unknown name %s", n.Value)
		return
	}
	c.unknown(n, n.Value, c.variables())
}

// fieldNamed returns the one variable that has a field of this name, as file.size for size.
func (c *names) fieldNamed(field string) string {
	var found []string
	for _, root := range c.variables() {
		if _, ok := leaves[root+"."+field]; ok {
			found = append(found, root+"."+field)
		}
	}
	slices.Sort(found)
	if len(found) == 0 {
		return ""
	}
	return found[0] // of several, event.id and file.id say, file and folder come before room
}

// path checks a chain of fields such as file.created_by.email. It reports false for member
// accesses that do not start at a variable of ours.
func (c *names) path(n *ast.MemberNode) bool {
	root, steps := unwind(n)
	if root == nil || c.locals[root.Value] {
		return false
	}
	if _, ok := branches[root.Value]; !ok {
		return false
	}
	if !c.entryVariable(root) {
		return true
	}
	at := root.Value
	for _, step := range steps {
		field, ok := step.Property.(*ast.StringNode)
		if !ok {
			// file[x]: any field may be meant. expr's check decides whether that is allowed.
			c.used |= branches[at]
			c.walk(step.Property)
			return true
		}
		next := at + "." + field.Value
		if used, ok := leaves[next]; ok {
			c.used |= used
			return true
		}
		if _, ok := branches[next]; !ok {
			c.unknown(field, field.Value, fieldsOf(at))
			return true
		}
		at = next
	}
	c.used |= branches[at]
	return true
}

// unwind takes a chain of member accesses apart, from the variable it starts at. The variable
// is nil where the chain starts at something else.
func unwind(n *ast.MemberNode) (*ast.IdentifierNode, []*ast.MemberNode) {
	var steps []*ast.MemberNode
	var at ast.Node = n
	for {
		switch v := at.(type) {
		case *ast.MemberNode:
			steps = append(steps, v)
			at = v.Node
		case *ast.ChainNode:
			at = v.Node
		case *ast.IdentifierNode:
			slices.Reverse(steps)
			return v, steps
		default:
			return nil, nil
		}
	}
}

// entryVariable reports a use of file or folder in a rule whose triggers do not bring one.
func (c *names) entryVariable(n *ast.IdentifierNode) bool {
	switch {
	case (n.Value == "file" || n.Value == "folder") && c.kinds.folders && c.kinds.files:
		c.report(n, "split the rule in two, one for file.* and one for folder.*",
			"%s is not there for every trigger of this rule, which has triggers of files and of folders", n.Value)
	case n.Value == "file" && c.kinds.folders:
		c.report(n, "use folder", "file is not there for folder triggers")
	case n.Value == "folder" && c.kinds.files:
		c.report(n, "use file; the folder it lies in is file.folder_id", "folder is not there for file triggers")
	default:
		return true
	}
	return false
}

func (c *names) callee(n *ast.IdentifierNode) {
	if c.locals[n.Value] || slices.Contains(functions, n.Value) {
		return
	}
	_, isLeaf := leaves[n.Value]
	_, isBranch := branches[n.Value]
	if isLeaf || isBranch {
		c.report(n, fmt.Sprintf("write %s without ()", n.Value), "%s is a value, not a function", n.Value)
		return
	}
	hint := ""
	if near := Nearest(n.Value, append(slices.Clone(functions), builtin.Names...)); near != "" {
		hint = "did you mean " + near + "?"
	}
	c.report(n, hint, "unknown function %s", n.Value)
}

func (c *names) unknown(at ast.Node, name string, known []string) {
	hint := ""
	if near := Nearest(name, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	c.report(at, hint, "unknown name %s", name)
}

// variables lists the names an expression of this rule may start with.
func (c *names) variables() []string {
	var out []string
	for _, group := range []map[string]fact{leaves, branches} {
		for name := range group {
			hidden := name == "file" && c.kinds.folders || name == "folder" && c.kinds.files
			if !strings.Contains(name, ".") && !hidden {
				out = append(out, name)
			}
		}
	}
	for name := range c.locals {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// fieldsOf lists the fields directly below a branch.
func fieldsOf(branch string) []string {
	var out []string
	for _, group := range []map[string]fact{leaves, branches} {
		for name := range group {
			if field, ok := strings.CutPrefix(name, branch+"."); ok && !strings.Contains(field, ".") {
				out = append(out, field)
			}
		}
	}
	slices.Sort(out)
	return out
}

// idAgainstNumber reports ids compared with numbers. Ids are text in expressions, so the
// comparison could never hold; expr catches some of these, in words that do not help.
func (c *names) idAgainstNumber(n *ast.BinaryNode) {
	switch n.Operator {
	case "==", "!=", "in":
	default:
		return
	}
	for _, side := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
		id, ok := c.idPath(side[0])
		if !ok {
			continue
		}
		others := []ast.Node{side[1]}
		if list, ok := side[1].(*ast.ArrayNode); ok {
			others = list.Nodes
		}
		for _, other := range others {
			if number, ok := other.(*ast.IntegerNode); ok {
				c.report(number, fmt.Sprintf("write %q with quotes", strconv.Itoa(number.Value)),
					"%s is text and never equals a number", id)
			}
		}
	}
}

// listAsText reports tags that are looked for as if the list were a text.
func (c *names) listAsText(n *ast.BinaryNode) {
	if n.Operator != "contains" && n.Operator != "==" {
		return
	}
	name, ok := c.fullName(n.Left)
	text, isText := n.Right.(*ast.StringNode)
	if ok && name == "room.tags" && isText {
		c.report(n, fmt.Sprintf("write %q in room.tags", text.Value), "room.tags is a list")
	}
}

// idPath returns the name of an id variable.
func (c *names) idPath(n ast.Node) (string, bool) {
	name, ok := c.fullName(n)
	_, known := leaves[name]
	return name, ok && known && (strings.HasSuffix(name, ".id") || strings.HasSuffix(name, "_id"))
}

// fullName returns a chain of fields as it is written, such as file.created_by.id.
func (c *names) fullName(n ast.Node) (string, bool) {
	member, ok := n.(*ast.MemberNode)
	if !ok {
		return "", false
	}
	root, steps := unwind(member)
	if root == nil || c.locals[root.Value] {
		return "", false
	}
	name := root.Value
	for _, step := range steps {
		field, ok := step.Property.(*ast.StringNode)
		if !ok {
			return "", false
		}
		name += "." + field.Value
	}
	return name, true
}

// children lists the nodes directly below n.
func children(n ast.Node) []ast.Node {
	var out []ast.Node
	add := func(nodes ...ast.Node) {
		for _, child := range nodes {
			if child != nil {
				out = append(out, child)
			}
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		add(n.Node)
	case *ast.BinaryNode:
		add(n.Left, n.Right)
	case *ast.ChainNode:
		add(n.Node)
	case *ast.MemberNode:
		add(n.Node, n.Property)
	case *ast.SliceNode:
		add(n.Node, n.From, n.To)
	case *ast.CallNode:
		add(n.Callee)
		add(n.Arguments...)
	case *ast.BuiltinNode:
		add(n.Arguments...)
	case *ast.PredicateNode:
		add(n.Node)
	case *ast.ConditionalNode:
		add(n.Cond, n.Exp1, n.Exp2)
	case *ast.VariableDeclaratorNode:
		add(n.Value, n.Expr)
	case *ast.SequenceNode:
		add(n.Nodes...)
	case *ast.ArrayNode:
		add(n.Nodes...)
	case *ast.MapNode:
		add(n.Pairs...)
	case *ast.PairNode:
		add(n.Key, n.Value)
	}
	return out
}
