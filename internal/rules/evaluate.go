package rules

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

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

// run computes the value of one part; the verdict is yes where there is one.
func (ev *evaluation) run(p part) (any, verdict, error) {
	if lacks := p.uses & ev.lacks; lacks != 0 {
		return nil, unknown, fmt.Errorf("%s not known", lacks.describe())
	}
	if err := ev.prepare(p.uses); err != nil {
		return nil, broken, err
	}
	ev.steps = 0
	ev.machine.MemoryBudget = maxMemory
	out, err := ev.machine.Run(p.program, ev.env)
	if err != nil {
		return nil, broken, runError(err)
	}
	return out, yes, nil
}

// part evaluates one part of a condition.
func (ev *evaluation) part(p part) (verdict, error) {
	out, v, err := ev.run(p)
	if err != nil {
		return v, err
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
// returns that one's index. A part that is not known does not end it: where a later one is
// false, nobody need know.
func (ev *evaluation) condition(c *condition) (verdict, int, error) {
	open, why := -1, error(nil)
	for i, p := range c.parts {
		switch v, err := ev.part(p); {
		case v == unknown && open < 0:
			open, why = i, err
		case v == no, v == broken:
			return v, i, err
		}
	}
	if open >= 0 {
		return unknown, open, why
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
