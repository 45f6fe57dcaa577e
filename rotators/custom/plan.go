package custom

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// planTime bounds how long a dry run looks for a function.
const planTime = 10 * time.Second

// A dry run of a function calls none of its code: what that would do is its own
// affair. It says who would be called, where, and whether that can be reached.
var (
	_ rotators.FunctionPlanner = (*webhook)(nil)
	_ rotators.FunctionPlanner = (*subprocess)(nil)
	_ rotators.FunctionPlanner = (*service)(nil)
)

func unreachable(what error, hint string) rotators.Plan {
	return rotators.Plan{Problems: []rotators.Problem{{Step: lockstep.StepCreate, Problem: what.Error(), Hint: hint}}}
}

// PlanCall implements rotators.FunctionPlanner: it connects as a call would, and
// sends nothing.
func (w *webhook) PlanCall(ctx context.Context) rotators.Plan {
	shown := *w.url
	shown.RawQuery, shown.Fragment = "", "" // it may carry what is nobody's business
	action := fmt.Sprintf("POST each step to the webhook %s, signed, with %s for its answer", shown.String(), w.timeout)
	plan := rotators.Plan{}
	if err := w.connect(ctx); err != nil {
		te := lockstep.AsTargetError(err)
		plan = unreachable(te, te.Hint)
	} else {
		action += "; it can be reached"
	}
	plan.Actions = []string{action}
	return plan
}

// connect dials the webhook under the rules of a call, and with https has its
// certificate checked.
func (w *webhook) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(w.timeout, planTime))
	defer cancel()
	dialer := &net.Dialer{Control: w.reach.Control}
	dial, port := dialer.DialContext, "80"
	if w.url.Scheme == "https" {
		secure := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12}}
		dial, port = secure.DialContext, "443"
	}
	if p := w.url.Port(); p != "" {
		port = p
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(w.url.Hostname(), port))
	if err != nil {
		return w.unanswered(ctx, &url.Error{Err: err})
	}
	return conn.Close()
}

// PlanCall implements rotators.FunctionPlanner: it looks whether the program that
// the command begins with is there.
func (s *subprocess) PlanCall(ctx context.Context) rotators.Plan {
	action := fmt.Sprintf("run a command on the worker for each step, with %s for it", s.timeout)
	program := programOf(s.command)
	if program == "" {
		return rotators.Plan{Actions: []string{action + "; which program it begins with cannot be told"}}
	}
	action += ": " + program
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	look := exec.CommandContext(ctx, "/bin/sh", "-c", `command -v -- "$1"`, "sh", program) // #nosec G204 -- it is looked for, not run
	look.Env = environment()
	plan := rotators.Plan{}
	if err := look.Run(); err != nil {
		plan = unreachable(fmt.Errorf("the worker has no program %s", program), "install it on each worker, or register its whole path")
	} else {
		action += " is there"
	}
	plan.Actions = []string{action}
	return plan
}

// programOf is the program that a command for a shell begins with, after what it
// sets for it; empty if only a shell could tell.
func programOf(command string) string {
	for rest := strings.TrimSpace(command); rest != ""; {
		word, after, ok := firstWord(rest)
		if !ok {
			return ""
		}
		if name, _, sets := strings.Cut(word, "="); !sets || strings.ContainsRune(name, '/') {
			return word
		}
		rest = after
	}
	return ""
}

// firstWord takes the first word of a command apart as a shell does, as far as
// that needs no shell.
func firstWord(text string) (word, rest string, ok bool) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && !strings.ContainsRune("\"$`\\", rune(c)):
			b.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && c == '\\' && i+1 < len(text):
			if !strings.ContainsRune("\"$`\\", rune(text[i+1])) {
				b.WriteByte(c)
			}
			i++
			b.WriteByte(text[i])
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), strings.TrimSpace(text[i:]), true
		case strings.ContainsRune("$`\\()<>|&;*?[]{}!~#\n", rune(c)):
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", quote == 0
}

// PlanCall implements rotators.FunctionPlanner. Whether somebody listens is known
// where the bus can tell without a message: a message would be a call.
func (s *service) PlanCall(context.Context) rotators.Plan {
	subject := lockstep.RotatorSubject(s.name, "*")
	action := fmt.Sprintf("ask the service at %s for each step, with %s for its answer", subject, s.timeout)
	listeners, ok := s.nats.(Listeners)
	if !ok {
		return rotators.Plan{Actions: []string{action}}
	}
	plan := rotators.Plan{}
	switch n, err := listeners.Listeners(lockstep.RotatorSubject(s.name, string(rotators.FunctionCreate))); {
	case errors.Is(err, lockstep.ErrNotFound):
		action += "; whether it listens is not known here"
	case err != nil:
		plan = unreachable(fmt.Errorf("look for the service: %w", err), "")
	case n == 0:
		plan = unreachable(fmt.Errorf("nobody listens to %s", subject), "start the service; it logs in with lockstep:ServeRotator")
	default:
		action += "; it listens"
	}
	plan.Actions = []string{action}
	return plan
}

// Listeners is what a Requester may know beside.
type Listeners interface {
	// Listeners counts who listens to a subject. ErrNotFound if that is known to
	// another server alone.
	Listeners(subject string) (int, error)
}
