package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

func newSchedule(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "schedule", Short: "Set and show when a secret rotates", RunE: needSubcommand}
	cmd.AddCommand(newScheduleSet(t), newScheduleShow(t), newSchedulePreview(t), newScheduleLoad(t))
	return cmd
}

// scheduleFlags are the flags of schedule set.
type scheduleFlags struct {
	rotator     string
	schedule    admin.Schedule
	retire      string
	passwords   lockstep.PasswordPolicy
	retireDelay time.Duration
	jitter      time.Duration
	maxAge      string
	verifyEvery string
}

func newScheduleSet(t *target) *cobra.Command {
	var f scheduleFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Turn rotation on or change it; nothing rotates before its time",
		Long: `Turn rotation on, or change its rotator, schedule or retirement. Nothing changes
at the target now: the first rotation comes when it is due, or with
"lockstep rotate NAME". What is not given stays as it is.

  lockstep schedule set prod/db --rotator postgres-alternating --expression 'rate(30 days)'
  lockstep schedule set prod/db --expression '0 3 * * 0' --time-zone Europe/Berlin --window 2h
  lockstep schedule set prod/db --retire delay --retire-delay 1h
  lockstep schedule set prod/db --password-length 40 --exclude-punctuation

The flags of the password policy replace the stored one together;
--password-length 0 alone goes back to the rotator's own.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			change, err := f.change(cmd)
			if err != nil {
				return err
			}
			r, err := c.SetRotation(cmd.Context(), args[0], change)
			if err != nil {
				return err
			}
			return t.show(cmd, r, func(w io.Writer) { rotationTable(w, r) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.rotator, "rotator", "", "name of the rotator, for example postgres-alternating")
	flags.StringVar(&f.schedule.Expression, "expression", "", "rate(…), cron(…), five-field cron, @daily or @every")
	flags.Int64Var(&f.schedule.AfterDays, "after-days", 0, "rotate this many days after the last rotation")
	flags.StringVar(&f.schedule.Duration, "window", "", "length of the window, in hours: 2h")
	flags.StringVar(&f.schedule.TimeZone, "time-zone", "", "IANA zone of the expression (default UTC)")
	flags.StringVar(&f.maxAge, "max-age", "", "how old a credential may become, for example 90d or 36h; outranks the window")
	flags.StringVar(&f.schedule.CatchUp, "catch-up", "", "what to do with a missed fire: now, next-window or skip (default now)")
	flags.StringVar(&f.verifyEvery, "verify-every", "", "how often AWSCURRENT is tried at the target: 6h, or off (default once a day)")
	flags.DurationVar(&f.jitter, "jitter", 0, "spread the rotations of many secrets over this time")
	flags.StringVar(&f.retire, "retire", "", "when the old credential goes: next-run, delay or manual")
	flags.IntVar(&f.passwords.Length, "password-length", 0, "characters of a new password; 0 for the rotator's own length, usually 32")
	flags.StringVar(&f.passwords.ExcludeCharacters, "exclude-characters", "", "characters that no new password has")
	flags.BoolVar(&f.passwords.ExcludeUppercase, "exclude-uppercase", false, "no capital letters in new passwords")
	flags.BoolVar(&f.passwords.ExcludeLowercase, "exclude-lowercase", false, "no small letters in new passwords")
	flags.BoolVar(&f.passwords.ExcludeNumbers, "exclude-numbers", false, "no digits in new passwords")
	flags.BoolVar(&f.passwords.ExcludePunctuation, "exclude-punctuation", false, "no punctuation marks in new passwords")
	flags.DurationVar(&f.retireDelay, "retire-delay", 0, "how long after the rotation, with --retire delay")
	return cmd
}

// change is what the given flags ask for.
func (f *scheduleFlags) change(cmd *cobra.Command) (admin.RotationChange, error) {
	var change admin.RotationChange
	if f.rotator != "" {
		change.Rotator = &f.rotator
	}
	if f.jitter > 0 {
		f.schedule.Jitter = f.jitter.String()
	}
	var err error
	if f.schedule.MaxAge, err = daysOrDuration("max-age", f.maxAge); err != nil {
		return change, err
	}
	if f.verifyEvery != "" {
		change.VerifyEvery = &f.verifyEvery
	}
	if f.passwords != (lockstep.PasswordPolicy{}) || cmd.Flags().Changed("password-length") {
		change.Passwords = &f.passwords
	}
	if f.schedule != (admin.Schedule{}) {
		change.Schedule = &f.schedule
	}
	if f.retireDelay > 0 && f.retire == "" {
		f.retire = string(lockstep.RetireDelay)
	}
	if f.retire != "" {
		change.Retirement = &admin.Retirement{After: lockstep.RetireAfter(f.retire)}
		if f.retireDelay > 0 {
			change.Retirement.Delay = f.retireDelay.String()
		}
	}
	if change == (admin.RotationChange{}) {
		return change, usagef("nothing to set; see %s --help", cmd.CommandPath())
	}
	return change, nil
}

// daysOrDuration reads "90d" as well as Go's durations.
func daysOrDuration(flag, given string) (string, error) {
	number, isDays := strings.CutSuffix(given, "d")
	if !isDays {
		return given, nil
	}
	days, err := strconv.Atoi(number)
	if err != nil || days < 1 {
		return "", usagef("--%s %q: write it as 90d or 36h", flag, given)
	}
	return (time.Duration(days) * 24 * time.Hour).String(), nil
}

func newScheduleShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show when a secret rotates, and what becomes of the old credential",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			r, err := c.Rotation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, r, func(w io.Writer) { rotationTable(w, r) })
		},
	}
}

func rotationTable(w io.Writer, r admin.Rotation) {
	row(w, "secret", r.Secret.Name)
	rotator := firstOf(r.Rotator, "-")
	if !r.Enabled {
		rotator += " (off)"
	}
	row(w, "rotator", rotator)
	if s := r.Schedule; s != nil {
		row(w, "schedule", scheduleWords(*s))
	}
	if r.Retirement != nil {
		row(w, "old credential", retirementWords(*r.Retirement))
	}
	if r.Passwords != nil {
		row(w, "new passwords", passwordWords(*r.Passwords))
	}
	if r.VerifyEvery != "" {
		row(w, "verified", map[bool]string{true: "never", false: "every " + r.VerifyEvery}[r.VerifyEvery == "off"])
	}
	row(w, "last rotated", when(r.LastRotated))
	row(w, "next rotation", when(r.NextRotation))
}

func scheduleWords(s admin.Schedule) string {
	words := s.Expression
	if s.AfterDays > 0 {
		words = (time.Duration(s.AfterDays) * 24 * time.Hour).String() + " after the last rotation"
	}
	if words == "" {
		return "only when asked"
	}
	if s.TimeZone != "" {
		words += " " + s.TimeZone
	}
	if s.Duration != "" {
		words += ", window " + s.Duration
	}
	if s.MaxAge != "" {
		words += ", at most " + s.MaxAge + " old"
	}
	if s.CatchUp != "" {
		words += ", catch-up " + s.CatchUp
	}
	if s.Jitter != "" {
		words += ", jitter " + s.Jitter
	}
	return words
}

func retirementWords(r admin.Retirement) string {
	switch r.After {
	case lockstep.RetireDelay:
		return "removed " + r.Delay + " after a rotation"
	case lockstep.RetireManual:
		return "removed when a person says so"
	}
	return "lives until the next rotation takes its place"
}

func passwordWords(p lockstep.PasswordPolicy) string {
	var words []string
	if p.Length > 0 {
		words = append(words, strconv.Itoa(p.Length)+" characters")
	}
	for _, class := range []struct {
		excluded bool
		name     string
	}{{p.ExcludeUppercase, "capital letters"}, {p.ExcludeLowercase, "small letters"}, {p.ExcludeNumbers, "digits"}, {p.ExcludePunctuation, "punctuation"}} {
		if class.excluded {
			words = append(words, "no "+class.name)
		}
	}
	if p.ExcludeCharacters != "" {
		words = append(words, "none of "+p.ExcludeCharacters)
	}
	return strings.Join(words, ", ")
}
