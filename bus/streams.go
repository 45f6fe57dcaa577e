package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

// The streams.
const (
	StreamJobs   = "LOCKSTEP_JOBS"
	StreamEvents = "LOCKSTEP_EVENTS"
	StreamDead   = "LOCKSTEP_DEAD"
	StreamAudit  = "LOCKSTEP_AUDIT"
)

// DeadSubjectPrefix stands in a dead Job's subject where JobSubjectPrefix
// stood.
const DeadSubjectPrefix = "lockstep.dead"

const (
	// duplicateWindow is how long a stream remembers message ids.
	duplicateWindow = 2 * time.Minute
	// keepEvents is how long Events and dead Jobs stay.
	keepEvents = 30 * 24 * time.Hour
	// eventsPerSubject bounds what one Secret and type can take.
	eventsPerSubject = 256
	// codeRefused is JetStream's code for a message that the stream's rules
	// keep out: its subject is taken, or the stream is full.
	codeRefused jetstream.ErrorCode = 10077
	// codeNoStore is its code for a stream whose place on the disk cannot be
	// made: of one that was just deleted, the server still removes the old one.
	codeNoStore jetstream.ErrorCode = 10049
	// storeTries and storePause are how often and how soon that is tried again.
	storeTries = 20
	storePause = 100 * time.Millisecond
)

func streamNames() []string { return []string{StreamJobs, StreamEvents, StreamDead} }

// ensureStreams makes the streams or brings them up to date; several nodes may
// do so at once.
func (b *Bus) ensureStreams(ctx context.Context) error {
	for _, sc := range b.streamConfigs() {
		s, err := b.ensureStream(ctx, sc)
		if err != nil {
			return fmt.Errorf("set up stream %s: %w", sc.Name, err)
		}
		b.mu.Lock()
		b.streams[sc.Name] = s
		b.mu.Unlock()
	}
	return nil
}

func (b *Bus) ensureStream(ctx context.Context, sc jetstream.StreamConfig) (jetstream.Stream, error) {
	for try := 1; ; try++ {
		s, err := b.js.CreateOrUpdateStream(ctx, sc)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != codeNoStore || try == storeTries || !pause(ctx, storePause) {
			return s, err
		}
	}
}

// forgetDeliveries makes the Job queue's consumers anew. The embedded server
// serves this process alone, so whatever was delivered before belongs to
// workers that are gone: their Jobs come again at once, and find in the store
// whether there is work left. So do Jobs whose removal a SIGKILL undid, which the
// consumers that were would never deliver (see deliverPassedOver).
func (b *Bus) forgetDeliveries(ctx context.Context) error {
	jobs := b.handle(StreamJobs)
	names := jobs.ConsumerNames(ctx)
	var known []string
	for name := range names.Name() {
		known = append(known, name)
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", StreamJobs, err)
	}
	for _, name := range known {
		if err := jobs.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("make consumer %s anew: %w", name, err)
		}
	}
	return nil
}

// handle returns the stream that ensureStreams found.
func (b *Bus) handle(name string) jetstream.Stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams[name]
}

func (b *Bus) streamConfigs() []jetstream.StreamConfig {
	base := jetstream.StreamConfig{Storage: jetstream.FileStorage, Replicas: b.cfg.Replicas, Duplicates: duplicateWindow}
	jobs, events, dead := base, base, base

	jobs.Name, jobs.Description = StreamJobs, "Jobs for Lockstep's workers: at most one a subject"
	jobs.Subjects = []string{lockstep.JobSubjectPrefix + ".>"}
	jobs.Retention = jetstream.WorkQueuePolicy
	jobs.MaxMsgsPerSubject, jobs.Discard, jobs.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
	jobs.MaxBytes = b.cfg.MaxStore / 8

	events.Name, events.Description = StreamEvents, "what happened to secrets; never a value"
	events.Subjects = []string{lockstep.EventSubjectPrefix + ".>"}
	events.Retention, events.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	events.MaxMsgsPerSubject, events.MaxAge, events.MaxBytes = eventsPerSubject, keepEvents, b.cfg.MaxStore/4*3

	dead.Name, dead.Description = StreamDead, "Jobs that nobody could carry out, with the reason"
	dead.Subjects = []string{DeadSubjectPrefix + ".>"}
	dead.Retention, dead.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	dead.MaxAge, dead.MaxBytes = keepEvents, b.cfg.MaxStore/16

	all := []jetstream.StreamConfig{jobs, events, dead}
	if b.cfg.Audit {
		audit := base
		audit.Name, audit.Description = StreamAudit, "a copy of the audit log, for whoever collects it"
		audit.Subjects = []string{AuditSubjectPrefix + ".>"}
		audit.Retention, audit.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
		audit.MaxAge, audit.MaxBytes = keepEvents, b.cfg.MaxStore/16
		all = append(all, audit)
	}
	return all
}

// StreamState is how far the event stream is.
type StreamState struct {
	// Created tells a stream from another of the same name: it changes when
	// the stream was wiped and made anew.
	Created time.Time
	// FirstSeq and LastSeq are the stream's own sequence numbers; both zero
	// if it never held anything.
	FirstSeq, LastSeq uint64
}

// EventStream tells how far the event stream is, and makes the streams anew if
// they are gone.
func (b *Bus) EventStream(ctx context.Context) (StreamState, error) {
	s, err := b.js.Stream(ctx, StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := b.ensureStreams(ctx); err != nil {
			return StreamState{}, err
		}
		s, err = b.js.Stream(ctx, StreamEvents)
	}
	if err != nil {
		return StreamState{}, fmt.Errorf("read event stream: %w", err)
	}
	info := s.CachedInfo()
	return StreamState{Created: info.Created, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq}, nil
}
