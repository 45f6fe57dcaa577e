package runs

import (
	"slices"
	"time"

	"lockstep"
)

// RotateInput is RotateSecret: it may set the Rotation, and it may start a
// Run. Fields that are nil leave the stored Rotation as it is.
type RotateInput struct {
	// Token is the id of the pending Version.
	Token lockstep.VersionID
	// RotatorARN is RotationLambdaARN: a plain name, or an ARN whose last part
	// is the name.
	RotatorARN *string
	Schedule   *lockstep.Schedule
	// Rules are AWS's RotationRules: as Schedule, but of a schedule that is set
	// they replace expression, days and duration alone; its time zone, jitter
	// and catch-up, of which AWS knows nothing, stay.
	Rules      *lockstep.Schedule
	Retirement *lockstep.Retirement
	// Passwords is the Secret's own policy for new values, as a whole.
	Passwords *lockstep.PasswordPolicy
	// Trigger is why the Run is started; empty means TriggerManual. An emergency
	// goes before all others and passes every Hold.
	Trigger lockstep.Trigger
	// VerifyEvery is how often AWSCURRENT is tried at the target.
	VerifyEvery *time.Duration
	// TestOnly is RotateImmediately=false: the schedule is set, AWSCURRENT is
	// tested, and nothing changes.
	TestOnly bool
}

// RotateOutput is what RotateSecret came to. Version is the pending one.
type RotateOutput struct {
	Secret  *lockstep.Secret
	Version lockstep.VersionID
	Run     lockstep.RunID
}

// History is a Run with its Steps. In a list, Steps is empty, but Failed is the
// last Step that failed.
type History struct {
	Run    *lockstep.Run
	Secret *lockstep.Secret
	Steps  []lockstep.StepRecord
	Failed lockstep.StepRecord
}

// FailedStep is the Step of a Run without success that failed last; empty if
// none did.
func (h History) FailedStep() lockstep.Step {
	if h.Run.State == lockstep.RunSucceeded {
		return ""
	}
	for _, s := range slices.Backward(h.Steps) {
		if s.Error != "" {
			return s.Step
		}
	}
	return h.Failed.Step
}

// Waiting says why a Run cannot go on yet and when to look again.
type Waiting struct {
	Reason string
	Until  time.Time
}

func (w *Waiting) Error() string { return "run waits: " + w.Reason }
