// Package schedule says when a Rotation is due. It is pure: no clock, no I/O,
// no state; the same question always gets the same answer, so every scheduler
// of a cluster, a preview and a test agree on each fire.
//
// A [Spec] is what a user sets and the store keeps; [Parse] checks it and
// makes a [Schedule], which answers [Schedule.Next]. Three kinds exist:
//
//   - a grid: rate(4 hours), @every 10s. Fires stand at Anchor + k × interval,
//     whatever was asked before, so nothing drifts;
//   - AfterDays: counted from the last rotation, which the caller puts into
//     Anchor at each finish;
//   - a calendar: AWS's six-field cron(…) with ? L W #, five-field cron and
//     descriptors such as @daily (read by robfig/cron). It is evaluated on the
//     wall clock of the Spec's time zone. A wall time that a clock change
//     skips fires once, at the first instant after the gap; one that happens
//     twice fires once, the first time.
//
// Three times belong to a fire. Its nominal time is the grid's or calendar's
// own; there the window opens. The fire itself comes up to Jitter later, by a
// hash of the Secret's key and the nominal time, so that 10,000 Secrets due at
// midnight spread themselves and each node computes the same spread. The
// window closes after Window, and never later than the next nominal time.
//
// A [Calendar] holds what else restricts a Rotation: further windows and
// freezes of the Secret, its target or its tags. [Schedule.Due] puts all of it
// together: what becomes of a fire, missed or not, given the catch-up policy
// and the deadline, which outranks every window but no freeze.
//
// Not promised: gaps around a clock change. A calendar's shortest gap is
// measured on the wall clock, so on such a day two fires may be closer
// together (or farther apart) than MinInterval says.
package schedule
