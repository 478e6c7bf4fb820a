package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"docspace-router/internal/event"
)

// never says how a comparison that cannot hold fails, by its operator.
var never = map[string]string{
	"==": "is never", "!=": "is never", "in": "is never",
	"contains": "never contains", "startsWith": "never starts with", "endsWith": "never ends with",
}

// vainComparison reports texts that a value never equals or holds, in the ways people write them.
func (c *names) vainComparison(n *ast.BinaryNode) {
	if never[n.Operator] == "" {
		return
	}
	c.vainTexts(n.Operator, n.Left, n.Right)
	if n.Operator == "==" || n.Operator == "!=" {
		c.vainTexts(n.Operator, n.Right, n.Left)
	}
}

func (c *names) vainTexts(operator string, value, other ast.Node) {
	texts := []ast.Node{other}
	if list, ok := other.(*ast.ArrayNode); ok {
		texts = list.Nodes
	}
	for _, node := range texts {
		text, ok := node.(*ast.StringNode)
		if !ok {
			continue
		}
		if call, ok := value.(*ast.BuiltinNode); ok {
			c.vainCase(operator, call.Name, text)
		} else if name, ok := c.variableName(value); ok {
			c.vainText(operator, name, text)
		}
	}
}

func (c *names) doubt(text *ast.StringNode, hint, format string, args ...any) *finding {
	c.doubts = append(c.doubts, finding{at: text.Location().From, message: fmt.Sprintf(format, args...), hint: hint})
	return &c.doubts[len(c.doubts)-1]
}

func (c *names) vainText(operator, name string, text *ast.StringNode) {
	v, equals := text.Value, never[operator] == "is never"
	switch {
	case name == "room.type" && equals && !slices.Contains(RoomTypes(), v):
		c.doubt(text, "known are "+strings.Join(RoomTypes(), ", "), "no room has the type %q", v)
	case name == "trigger" && equals && !slices.Contains(event.RoutableTriggers(), v):
		hint := ""
		if near := Nearest(v, event.RoutableTriggers()); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.doubt(text, hint, "there is no trigger %q", v)
	case name == "portal" && equals:
		c.doubt(text, "", "the rule is not for a portal %q", v).portal = v
	case name == "file.extension" && strings.HasPrefix(v, "."):
		hint := ""
		if bare := strings.TrimLeft(v, "."); bare != "" {
			hint = fmt.Sprintf("write %q", strings.ToLower(bare))
		}
		c.doubt(text, hint, "file.extension has no dot, so it %s %q", never[operator], v)
	case name == "file.extension" && v != strings.ToLower(v):
		c.doubt(text, fmt.Sprintf("write %q", strings.ToLower(v)), "file.extension is in lower case, so it %s %q", never[operator], v)
	}
}

// vainCase reports a text in the other case than the function makes.
func (c *names) vainCase(operator, function string, text *ast.StringNode) {
	var made, word string
	switch function {
	case "lower":
		made, word = strings.ToLower(text.Value), "lower"
	case "upper":
		made, word = strings.ToUpper(text.Value), "upper"
	default:
		return
	}
	if made != text.Value {
		c.doubt(text, fmt.Sprintf("write %q", made), "what %s makes is in %s case, so it %s %q", function, word, never[operator], text.Value)
	}
}

// variableName returns a variable as it is written, such as trigger or file.created_by.id.
func (c *names) variableName(n ast.Node) (string, bool) {
	if root, ok := n.(*ast.IdentifierNode); ok {
		return root.Value, !c.locals[root.Value]
	}
	return c.fullName(n)
}
