package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

// stallWait is how long a publish waits for room among those that are not yet
// acknowledged.
const stallWait = 5 * time.Second

// Message is something to publish.
type Message struct {
	// ID is the Nats-Msg-Id: within two minutes a stream takes it once.
	ID      string
	Subject string
	// Body is JSON.
	Body []byte
}

// PublishJob puts one Job into the queue and waits until the stream has it.
// Errors: ErrBusy if a Job with that subject is queued or in flight, or the
// stream is full; any other error means that it may or may not be there, and
// that it is to be published again with the same ID.
func (b *Bus) PublishJob(ctx context.Context, m Message) error {
	return b.PublishJobs(ctx, []Message{m})[0]
}

// PublishJobs publishes Jobs without waiting for each, and returns one result
// for each, as PublishJob would.
func (b *Bus) PublishJobs(ctx context.Context, ms []Message) []error {
	return b.publish(ctx, StreamJobs, ms)
}

// PublishEvents publishes Events in the order given, without waiting for each,
// and returns one result for each: nil once the stream has the message (also
// if it had it before). After any error the message may or may not be there.
func (b *Bus) PublishEvents(ctx context.Context, ms []Message) []error {
	return b.publish(ctx, StreamEvents, ms)
}

func (b *Bus) publish(ctx context.Context, stream string, ms []Message) []error {
	errs := make([]error, len(ms))
	b.mu.Lock()
	restarted := b.restarted
	b.mu.Unlock()
	acks := make([]jetstream.PubAckFuture, len(ms))
	for i, m := range ms {
		if err := ctx.Err(); err != nil {
			errs[i] = fmt.Errorf("publish %s: %w", m.ID, err)
			continue
		}
		acks[i], errs[i] = b.js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Data: m.Body},
			jetstream.WithMsgID(m.ID), jetstream.WithExpectStream(stream), jetstream.WithStallWait(stallWait))
		errs[i] = publishError(m.ID, errs[i])
	}
	gone := false
	for i, ack := range acks {
		if ack != nil {
			errs[i] = awaitAck(ctx, ms[i].ID, ack, restarted)
		}
		gone = gone || errors.Is(errs[i], jetstream.ErrNoStreamResponse)
	}
	if gone {
		b.restoreStreams(ctx)
	}
	return errs
}

// restoreStreams makes anew what was deleted while the process runs. The
// caller publishes again.
func (b *Bus) restoreStreams(ctx context.Context) {
	if err := b.ensureStreams(ctx); err != nil {
		b.log.Warn("streams are away", "error", err)
	}
}

func awaitAck(ctx context.Context, id string, ack jetstream.PubAckFuture, restarted <-chan struct{}) error {
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return publishError(id, err)
	case <-restarted:
		return fmt.Errorf("publish %s: %w", id, errRestarted)
	case <-ctx.Done():
		return fmt.Errorf("publish %s: %w", id, ctx.Err())
	}
}

// publishError turns the stream's refusal into ErrBusy.
func publishError(id string, err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeRefused {
		return fmt.Errorf("publish %s: %w: %w", id, err, lockstep.ErrBusy)
	}
	return fmt.Errorf("publish %s: %w", id, err)
}

// HasJob tells whether the queue holds a Job with this subject, waiting or in
// flight. If its pool's consumer has passed the Job over, it sees to it that the
// Job is delivered after all.
func (b *Bus) HasJob(ctx context.Context, subject string) (bool, error) {
	m, err := b.last(ctx, StreamJobs, subject)
	if err == nil && m != nil {
		err = b.deliverPassedOver(ctx, m)
	}
	if err != nil {
		return false, fmt.Errorf("look for job %s: %w", subject, err)
	}
	return m != nil, nil
}

// deliverPassedOver removes a consumer that takes the message for settled
// although the queue still holds it. A NATS server that is killed may lose the
// removal of an acknowledged Job after the consumer's state reached the disk: the
// Job is back, nobody delivers it, and it keeps its subject. A queue makes its
// consumer anew as soon as it is gone, and the new one delivers everything that
// the stream holds.
//
// A Job whose acknowledgement is just being carried out looks the same for a
// moment. Removing the consumer then costs no more than the delivery of Jobs
// that are in hand, which find their slot taken.
func (b *Bus) deliverPassedOver(ctx context.Context, m *jetstream.RawStreamMsg) error {
	name := consumerName(poolOf(m.Subject))
	cons, err := b.handle(StreamJobs).Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read consumer %s: %w", name, err)
	}
	if cons.CachedInfo().AckFloor.Stream < m.Sequence {
		return nil
	}
	if again, err := b.last(ctx, StreamJobs, m.Subject); err != nil || again == nil || again.Sequence != m.Sequence {
		return err
	}
	b.log.Warn("a consumer passed a job over; it is made anew", "consumer", name, "subject", m.Subject,
		"sequence", m.Sequence, "acknowledged", cons.CachedInfo().AckFloor.Stream)
	err = b.handle(StreamJobs).DeleteConsumer(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("make consumer %s anew: %w", name, err)
	}
	return nil
}

// consumerName is the durable consumer of a pool.
func consumerName(pool string) string { return "pool-" + pool }

// poolOf is the pool in a Job's subject; empty if it has none.
func poolOf(subject string) string {
	rest, _ := strings.CutPrefix(subject, lockstep.JobSubjectPrefix+".")
	if tokens := strings.SplitN(rest, ".", 4); len(tokens) == 4 {
		return tokens[2]
	}
	return ""
}

// LastEvent reads the newest Event that the stream holds of a subject; nil if
// there is none. The subject may have wildcards.
func (b *Bus) LastEvent(ctx context.Context, subject string) (*lockstep.Event, error) {
	m, err := b.last(ctx, StreamEvents, subject)
	if err != nil {
		return nil, fmt.Errorf("read last event of %s: %w", subject, err)
	}
	if m == nil {
		return nil, nil
	}
	var e lockstep.Event
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return nil, fmt.Errorf("read last event of %s: %w", subject, err)
	}
	return &e, nil
}

// last reads the newest message of a subject. With replicas the answer may
// come from one that is a little behind.
func (b *Bus) last(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := b.handle(stream).GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, b.ensureStreams(ctx)
	}
	return m, err
}
