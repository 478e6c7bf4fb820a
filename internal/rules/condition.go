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
}

type part struct {
	program *vm.Program
	uses    fact
}

// conditions compiles expressions. Rules often repeat one, so equal ones are compiled once.
type conditions struct {
	config *conf.Config // for parsing and checking
	output *conf.Config // for code: without expr's own cast, which hides the value it refuses
	cache  map[conditionKey]*condition
}

type conditionKey struct {
	source string
	kinds  entryKinds
}

func newConditions() *conditions {
	config := conf.New(env{})
	config.Expect = reflect.Bool
	config.ExpectAny = true // payload's values have no type until run time
	config.MaxNodes = maxNodes
	config.Functions["glob"] = &builtin.Function{
		Name:  "glob",
		Func:  globFunction,
		Types: []reflect.Type{reflect.TypeFor[func(string, string) bool]()},
	}
	output := *config
	output.Expect = reflect.Invalid
	return &conditions{config: config, output: &output, cache: map[conditionKey]*condition{}}
}

// compile returns the condition, or what is wrong with it.
func (cs *conditions) compile(source string, kinds entryKinds) (*condition, []finding) {
	key := conditionKey{source, kinds}
	if c, ok := cs.cache[key]; ok {
		return c, nil
	}
	c, found := cs.compileNew(source, kinds)
	if len(found) == 0 {
		cs.cache[key] = c
	}
	return c, found
}

func (cs *conditions) compileNew(source string, kinds entryKinds) (c *condition, found []finding) {
	// A bug in the expression compiler must refuse one expression, not stop the gateway.
	defer func() {
		if r := recover(); r != nil {
			c, found = nil, []finding{{message: fmt.Sprintf("the expression cannot be compiled: %v", r)}}
		}
	}()
	if len(source) > maxExpression {
		return nil, []finding{{message: fmt.Sprintf("the expression is longer than %d bytes", maxExpression)}}
	}
	if strings.TrimSpace(source) == "" {
		return nil, []finding{{message: "the expression is empty", hint: "leave it out to match always"}}
	}
	tree, err := parser.ParseWithConfig(source, cs.config)
	if err != nil {
		return nil, []finding{toFinding(err, source)}
	}
	if _, found := checkNames(tree.Node, kinds); len(found) > 0 {
		return nil, found
	}
	c = &condition{source: source}
	for _, node := range conjuncts(tree.Node) {
		uses := factsOf(node)
		start := leftmost(node)
		limitLoops(node)
		tree := &parser.Tree{Node: node, Source: tree.Source}
		program, err := cs.finish(tree)
		if err != nil {
			f := toFinding(err, source)
			if f.at < 0 {
				f.at = start
			}
			found = append(found, f)
			continue
		}
		c.parts = append(c.parts, part{program, uses})
	}
	if len(found) > 0 {
		return nil, found
	}
	return c, nil
}

// finish does for one part what expr.Compile does after parsing.
func (cs *conditions) finish(tree *parser.Tree) (*vm.Program, error) {
	if _, err := checker.Check(tree, cs.config); err != nil {
		return nil, err
	}
	if err := optimizer.Optimize(&tree.Node, cs.config); err != nil {
		return nil, err
	}
	return compiler.Compile(tree, cs.output)
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
	return finding{at: fe.From, message: plainTypes(fe.Message)}
}

// plainTypes puts our words in place of Go's in a message of expr.
func plainTypes(message string) string {
	return strings.TrimSpace(typeWords.Replace(tokenWords.ReplaceAllString(message, "$1")))
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
	"time.Time", "time",
	"time.Duration", "duration",
	"token EOF", "end",
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

// errSteps ends an evaluation whose loops take too long.
var errSteps = errors.New("the expression takes too long")

// evaluation holds what several conditions of one event share: the variables, made when the
// first condition needs them, and the machine that runs them.
type evaluation struct {
	facts   *Facts
	lacks   fact
	env     *env
	steps   int
	machine vm.VM
	decoded fact // which of payload and webhook were tried
	failed  map[fact]error
}

func newEvaluation(f *Facts) *evaluation {
	return &evaluation{facts: f, lacks: missing(f)}
}

// verdict is what a part or a whole condition came to.
type verdict int

const (
	no verdict = iota
	yes
	unknown // it rests on facts that are missing
	broken  // it failed
)

// part evaluates one part.
func (ev *evaluation) part(p part) (verdict, error) {
	if lacks := p.uses & ev.lacks; lacks != 0 {
		return unknown, fmt.Errorf("%s not known", lacks.describe())
	}
	if err := ev.prepare(p.uses); err != nil {
		return broken, err
	}
	ev.steps = 0
	ev.machine.MemoryBudget = maxMemory
	out, err := ev.machine.Run(p.program, ev.env)
	if err != nil {
		return broken, runError(err)
	}
	switch out {
	case true:
		return yes, nil
	case false:
		return no, nil
	}
	return broken, fmt.Errorf("the result is %s, not true or false", show(out))
}

// condition evaluates the parts in order up to the first that does not hold, as && does, and
// returns that one's index.
func (ev *evaluation) condition(c *condition) (verdict, int, error) {
	for i, p := range c.parts {
		if v, err := ev.part(p); v != yes {
			return v, i, err
		}
	}
	return yes, len(c.parts), nil
}

// prospect says whether the condition can still hold, looking past parts that rest on missing
// facts, and which facts those are.
func (ev *evaluation) prospect(c *condition) (verdict, fact) {
	result, lacks := yes, fact(0)
	for _, p := range c.parts {
		switch v, _ := ev.part(p); v {
		case no, broken:
			return no, 0
		case unknown:
			result = unknown
			lacks |= p.uses & ev.lacks
		}
	}
	return result, lacks
}

func (ev *evaluation) prepare(uses fact) error {
	if ev.env == nil {
		ev.env = newEnv(ev.facts)
		ev.env.Step = func() bool {
			if ev.steps++; ev.steps > maxSteps {
				panic(errSteps)
			}
			return true
		}
	}
	for _, object := range []fact{factPayload, factWebhook} {
		if uses&object == 0 {
			continue
		}
		if ev.decoded&object == 0 {
			ev.decode(object)
		}
		if err := ev.failed[object]; err != nil {
			return err
		}
	}
	return nil
}

func (ev *evaluation) decode(object fact) {
	ev.decoded |= object
	name, raw, into := "payload", ev.facts.Event.Payload, &ev.env.Payload
	if object == factWebhook {
		name, raw, into = "webhook", ev.facts.Event.Webhook, &ev.env.Webhook
	}
	m, err := decodeObject(raw)
	if err != nil {
		if ev.failed == nil {
			ev.failed = map[fact]error{}
		}
		ev.failed[object] = fmt.Errorf("%s: %w", name, err)
		return
	}
	*into = m
}

// runError keeps the message of a failed evaluation and drops the drawn-out snippet.
func runError(err error) error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return err
	}
	if errors.Is(fe, errSteps) {
		return errSteps
	}
	return errors.New(plainTypes(fe.Message))
}
