package rules

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

const (
	// maxExpression bounds the length of an expression in bytes. expr's parser recurses with
	// every bracket, so that a long enough row of them would exhaust the stack.
	maxExpression = 32 << 10
	// maxNodes bounds the size of a parsed expression.
	maxNodes = 10_000
	// maxSteps bounds the turns of all loops of one evaluation, so that nested loops over a
	// large payload cannot hold up routing.
	maxSteps = 200_000
	// maxMemory is expr's budget for lists and maps made by one evaluation, in elements.
	maxMemory = 1_000_000
)

// condition is a compiled `when`. It holds when all its parts hold, in order: the operands of
// the && that the expression consists of. Keeping them apart lets a part decide before the
// facts of another are fetched, and lets Explain name the one that failed.
type condition struct {
	source string
	parts  []part
	doubts []finding // what is legal and can never hold
}

type part struct {
	program *vm.Program
	uses    fact
}

// expressions compiles what rules say in expr. Rules often repeat an expression, so equal ones
// are compiled once.
type expressions struct {
	conditions, texts dialect
	cache             map[expressionKey]*condition
	paths             map[expressionKey]*part
}

// dialect is how expressions of one type are compiled.
type dialect struct {
	config  *conf.Config // for parsing and checking
	output  *conf.Config // for code: without expr's own cast, which hides the value it refuses
	without string       // what a rule without the expression does
}

type expressionKey struct {
	source string
	kinds  entryKinds
}

func newExpressions() *expressions {
	return &expressions{
		conditions: newDialect(reflect.Bool, "match always"), texts: newDialect(reflect.String, "use the folder itself"),
		cache: map[expressionKey]*condition{}, paths: map[expressionKey]*part{},
	}
}

func newDialect(result reflect.Kind, without string) dialect {
	config := conf.New(env{})
	config.Expect = result
	config.ExpectAny = true // payload's values have no type until run time
	config.MaxNodes = maxNodes
	config.Functions["glob"] = &builtin.Function{
		Name:  "glob",
		Func:  globFunction,
		Types: []reflect.Type{reflect.TypeFor[func(string, string) bool]()},
	}
	output := *config
	output.Expect = reflect.Invalid
	return dialect{config: config, output: &output, without: without}
}

// condition returns a compiled `when`, or what is wrong with it.
func (es *expressions) condition(source string, kinds entryKinds) (*condition, []finding) {
	key := expressionKey{source, kinds}
	if c, ok := es.cache[key]; ok {
		return c, nil
	}
	parts, doubts, found := es.conditions.compile(source, kinds, conjuncts)
	if len(found) > 0 {
		return nil, found
	}
	c := &condition{source: source, parts: parts, doubts: doubts}
	es.cache[key] = c
	return c, nil
}

// path returns a compiled `destination.path`, or what is wrong with it.
func (es *expressions) path(source string, kinds entryKinds) (*part, []finding) {
	key := expressionKey{source, kinds}
	if p, ok := es.paths[key]; ok {
		return p, nil
	}
	parts, _, found := es.texts.compile(source, kinds, func(n ast.Node) []ast.Node { return []ast.Node{n} })
	if len(found) > 0 {
		return nil, found
	}
	es.paths[key] = &parts[0]
	return &parts[0], nil
}

// compile compiles an expression in the parts that it is split into.
func (d dialect) compile(source string, kinds entryKinds, split func(ast.Node) []ast.Node) (parts []part, doubts, found []finding) {
	// A bug in the expression compiler must refuse one expression, not stop the gateway.
	defer func() {
		if r := recover(); r != nil {
			parts, doubts, found = nil, nil, []finding{{message: fmt.Sprintf("the expression cannot be compiled: %v", r)}}
		}
	}()
	if len(source) > maxExpression {
		return nil, nil, []finding{{message: fmt.Sprintf("the expression is longer than %d bytes", maxExpression)}}
	}
	if strings.TrimSpace(source) == "" {
		return nil, nil, []finding{{message: "the expression is empty", hint: "leave it out to " + d.without}}
	}
	tree, err := parser.ParseWithConfig(source, d.config)
	if err != nil {
		return nil, nil, []finding{toFinding(err, source)}
	}
	_, doubts, found = checkNames(tree.Node, kinds)
	if len(found) > 0 {
		return nil, nil, found
	}
	for _, node := range split(tree.Node) {
		uses := factsOf(node)
		start := leftmost(node)
		limitLoops(node)
		tree := &parser.Tree{Node: node, Source: tree.Source}
		program, err := d.finish(tree)
		if err != nil {
			f := toFinding(err, source)
			if f.at < 0 {
				f.at = start
			}
			found = append(found, f)
			continue
		}
		if constant, ok := tree.Node.(*ast.BoolNode); ok && !constant.Value {
			doubts = append(doubts, finding{at: start, message: "the condition never holds", hint: "to switch the rule off, write enabled: false"})
		}
		parts = append(parts, part{program, uses})
	}
	if len(found) > 0 {
		return nil, nil, found
	}
	return parts, doubts, nil
}

// finish does for one part what expr.Compile does after parsing.
func (d dialect) finish(tree *parser.Tree) (*vm.Program, error) {
	if _, err := checker.Check(tree, d.config); err != nil {
		return nil, err
	}
	if err := optimizer.Optimize(&tree.Node, d.config); err != nil {
		return nil, err
	}
	return compiler.Compile(tree, d.output)
}

// conjuncts takes a && b && c apart.
func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// leftmost is where the text of a node starts; a node's own location may be an operator's.
func leftmost(n ast.Node) int {
	at := n.Location().From
	for _, child := range children(n) {
		at = min(at, leftmost(child))
	}
	return at
}

// limitLoops makes every turn of every loop below n call __step first.
func limitLoops(n ast.Node) {
	for _, child := range children(n) {
		limitLoops(child)
	}
	p, ok := n.(*ast.PredicateNode)
	if !ok {
		return
	}
	at := p.Node.Location()
	step := &ast.CallNode{Callee: &ast.IdentifierNode{Value: "__step"}}
	step.SetLocation(at)
	step.Callee.SetLocation(at)
	body := &ast.SequenceNode{Nodes: []ast.Node{step, p.Node}}
	body.SetLocation(at)
	p.Node = body
}

// toFinding turns an error of expr into one of ours; at is -1 when the error has no place.
func toFinding(err error, source string) finding {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return finding{at: -1, message: plainTypes(err.Error())}
	}
	return advise(finding{at: fe.From, message: plainTypes(fe.Message)}, source)
}

// plainTypes puts our words in place of Go's in a message of expr.
func plainTypes(message string) string {
	message = strings.TrimSpace(typeWords.Replace(tokenWords.ReplaceAllString(message, "$1")))
	return typeNames.ReplaceAllStringFunc(message, func(part string) string {
		words := strings.Fields(part)
		for i, w := range words {
			bare := strings.TrimRight(w, ")")
			if plain, ok := plainType[bare]; ok {
				words[i] = plain + w[len(bare):]
			}
		}
		return strings.Join(words, " ")
	})
}

// typeNames matches where a message names types.
var typeNames = regexp.MustCompile(`this is \S+$|mismatched types \S+ and \S+`)

var plainType = map[string]string{
	"string": "text", "int": "a number", "float64": "a number", "bool": "true or false", "[]string": "a list", "time": "a time",
}

// tokenWords matches a token as expr's parser names it, such as Operator("&&").
var tokenWords = regexp.MustCompile(`\b(?:Identifier|Number|String|Bytes|Operator|Bracket)\((".*")\)`)

var typeWords = strings.NewReplacer(
	"rules.eventVars", "event",
	"rules.fileVars", "file",
	"rules.folderVars", "folder",
	"rules.roomVars", "room",
	"rules.userVars", "created_by",
	"map[string]interface {}", "object",
	"map[string]any", "object",
	"expected bool, but got", "a condition must be true or false, but this is",
	"expected string, but got", "a path must be text, but this is",
	"time.Time", "time",
	"time.Duration", "duration",
	"unexpected token EOF", "the expression ends too early",
	"unexpected token", "unexpected",
)

// lineColumn turns a rune offset into a line and column, both from 1.
func lineColumn(source string, at int) (line, column int) {
	line, column = 1, 1
	for _, r := range source {
		if at <= 0 {
			break
		}
		at--
		if r == '\n' {
			line++
			column = 1
		} else {
			column++
		}
	}
	return line, column
}
