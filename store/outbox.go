package store

import (
	"time"

	"lockstep"
)

// JobKind is what a Job asks a worker to do.
type JobKind string

// The kinds of Job.
const (
	JobRun    JobKind = "run"
	JobRetire JobKind = "retire"
	JobVerify JobKind = "verify"
	JobPlan   JobKind = "plan"
	JobLook   JobKind = "look"
	JobSweep  JobKind = "sweep"
	// JobSessions asks who uses a Secret's credentials; its Plan is the question.
	JobSessions JobKind = "sessions"
)

// Job is a queue message in the outbox, waiting to be published.
type Job struct {
	// Row is the outbox row's number, set by AddJob.
	Row  int64
	Kind JobKind
	// Secret, Account, Region and Name address it.
	Secret  lockstep.SecretID
	Account lockstep.AccountID
	Region  lockstep.Region
	Name    string
	// Run, Version or Plan is what the Job is about, by Kind; Plan is the
	// Inspection of a look.
	Run     lockstep.RunID
	Version lockstep.VersionID
	Plan    string
	// Seq numbers the publications for the same Run; with Run it makes the
	// message id.
	Seq int
	// DueAt is when it may be published; zero for at once.
	DueAt time.Time
	// AwaitsSlot makes it due as soon as the Secret's slot is released, if that is
	// before DueAt.
	AwaitsSlot bool
}

// OutboxReader reads what waits to be published.
type OutboxReader interface {
	// Jobs lists up to limit Jobs that are due by the store's clock, in the
	// order of DueAt and row.
	Jobs(limit int) ([]Job, error)
	// NextJob is the earliest DueAt of a Job that is not yet due; zero if
	// there is none.
	NextJob() (time.Time, error)
	// UnsentEvents lists up to limit Events that are not marked sent, in the
	// order they were written; per Secret in sequence.
	UnsentEvents(limit int) ([]lockstep.Event, error)
	// Events lists up to limit Events of one Secret with a sequence above
	// after, in order, sent or not.
	Events(secret lockstep.SecretID, after uint64, limit int) ([]lockstep.Event, error)
	// EventTail lists up to limit of the newest Events of the whole store,
	// oldest of them first: relay compares them with what the stream holds.
	EventTail(limit int) ([]lockstep.Event, error)
}

// OutboxWriter adds and completes.
type OutboxWriter interface {
	// AddJob adds a Job and sets its Row. A Job of the same kind for the same
	// Secret that still waits is replaced: one message a subject is enough.
	AddJob(j *Job) error
	// DropJobs removes the waiting Jobs of one kind of a Secret.
	DropJobs(secret lockstep.SecretID, kind JobKind) error
	// JobsSent removes the rows once the stream has the messages. One that is
	// gone already is passed over.
	JobsSent(rows []int64) error
	// DelayJob moves DueAt: the subject was busy.
	DelayJob(row int64, until time.Time) error
	// AddEvent stores an Event and sets its Seq to the Secret's next and its
	// Time to now if zero. The Secret must be locked.
	AddEvent(e *lockstep.Event) error
	// EventsSent marks Events as sent, by id.
	EventsSent(ids []string) error
	// EventsUnsent marks Events as not sent, by id: the stream lost them.
	EventsUnsent(ids []string) error
	// DeleteEventsBefore forgets sent Events older than t, at most limit, but
	// never the last of a Secret that exists. It returns how many.
	DeleteEventsBefore(t time.Time, limit int) (int, error)
}
