package rotators

import (
	"fmt"

	"lockstep"
)

// Plan is a Planner's answer.
type Plan struct {
	// Actions is what a Run would do, in order, in words for a person.
	Actions []string
	// Problems is what would make it fail.
	Problems []Problem
}

// Problem is one thing that would make a Run fail.
type Problem struct {
	Step    lockstep.Step
	Problem string
	Hint    string
}

// Will adds an action.
func (p *Plan) Will(format string, args ...any) {
	p.Actions = append(p.Actions, fmt.Sprintf(format, args...))
}

// Trouble adds a problem; one without words is none.
func (p *Plan) Trouble(step lockstep.Step, problem, hint string) {
	if problem != "" {
		p.Problems = append(p.Problems, Problem{Step: step, Problem: problem, Hint: hint})
	}
}

// Fails adds an error, if there is one, as a problem of the step.
func (p *Plan) Fails(step lockstep.Step, err error) {
	if err != nil {
		te := lockstep.AsTargetError(err)
		p.Trouble(step, te.Error(), te.Hint)
	}
}

// ProbesInWords ends a sentence about a login with the probes that follow it.
func ProbesInWords(count int) string {
	switch count {
	case 0:
		return ""
	case 1:
		return " and run 1 probe"
	}
	return fmt.Sprintf(" and run %d probes", count)
}
