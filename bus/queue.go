package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

const (
	// maxInFlight bounds the Jobs of one pool that are delivered and not yet
	// acknowledged, over all workers.
	maxInFlight = 2000
	// pullExpiry is how long one request for Jobs stands; the heartbeat is how
	// soon a consumer that is gone is noticed.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
)

// JobQueue delivers the Jobs of one pool. All processes of a pool share them.
type JobQueue struct {
	bus      *Bus
	pool     string
	prefetch int
	// turn is held by the one caller that waits for the next Job.
	turn chan struct{}

	mu      sync.Mutex
	it      jetstream.MessagesContext // nil: to be opened
	stopped bool
}

// Jobs opens the queue of a pool, whose durable consumer is made if need be.
// At most prefetch Jobs (at least 1) wait in this process for someone to call
// Next; their AckWait already runs.
// Errors: ErrInvalid for a pool that is not 1 to 64 letters, digits, "_", "-".
func (b *Bus) Jobs(ctx context.Context, pool string, prefetch int) (*JobQueue, error) {
	if !tokenPattern.MatchString(pool) || prefetch < 1 {
		return nil, fmt.Errorf("open job queue %q: %w", pool, lockstep.ErrInvalid)
	}
	q := &JobQueue{bus: b, pool: pool, prefetch: prefetch, turn: make(chan struct{}, 1)}
	if _, err := q.iterator(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

// Next waits for a Job. If the queue's consumer is gone (NATS was wiped) a call
// that waits for more than four seconds notices it and returns an error, and
// the next call makes it anew: back off and call again.
// Errors: the context's; ErrState after Stop.
func (q *JobQueue) Next(ctx context.Context) (*Delivery, error) {
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	it, err := q.iterator(ctx)
	if err != nil {
		return nil, err
	}
	m, err := it.Next(jetstream.NextContext(ctx))
	switch {
	case err == nil:
		return q.delivery(m)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	q.drop(it)
	return nil, fmt.Errorf("take job from pool %s: %w", q.pool, err)
}

// Stop ends the delivery. Jobs that wait in this process are given back at
// once; those that were returned by Next stay with their holders.
func (q *JobQueue) Stop() {
	q.mu.Lock()
	it := q.it
	q.it, q.stopped = nil, true
	q.mu.Unlock()
	if it == nil {
		return
	}
	it.Drain()
	q.turn <- struct{}{} // a waiting Next returns, for the iterator is closed
	defer func() { <-q.turn }()
	for {
		m, err := it.Next(jetstream.NextMaxWait(time.Second))
		if err != nil {
			it.Stop()
			return
		}
		_ = m.Nak() // if it fails, AckWait does the same, later
	}
}

// iterator returns the open iterator or opens one.
func (q *JobQueue) iterator(ctx context.Context) (jetstream.MessagesContext, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return nil, fmt.Errorf("job queue of pool %s is stopped: %w", q.pool, lockstep.ErrState)
	}
	if q.it != nil {
		return q.it, nil
	}
	cfg := jetstream.ConsumerConfig{
		Durable: consumerName(q.pool), FilterSubject: fmt.Sprintf("%s.*.*.%s.>", lockstep.JobSubjectPrefix, q.pool),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.bus.cfg.AckWait,
		MaxDeliver: -1, MaxAckPending: maxInFlight,
	}
	cons, err := q.bus.js.CreateOrUpdateConsumer(ctx, StreamJobs, cfg)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := q.bus.ensureStreams(ctx); err != nil {
			return nil, err
		}
		cons, err = q.bus.js.CreateOrUpdateConsumer(ctx, StreamJobs, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open job queue of pool %s: %w", q.pool, err)
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(q.prefetch), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, fmt.Errorf("open job queue of pool %s: %w", q.pool, err)
	}
	q.it = it
	return it, nil
}

// drop forgets an iterator that failed.
func (q *JobQueue) drop(it jetstream.MessagesContext) {
	it.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.it == it {
		q.it = nil
	}
}

func (q *JobQueue) delivery(m jetstream.Msg) (*Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read job of pool %s: %w", q.pool, err)
	}
	return &Delivery{bus: q.bus, msg: m, streamSeq: meta.Sequence.Stream, deliveries: meta.NumDelivered}, nil
}

// Delivery is one Job in a worker's hands. It is settled by one of Ack, Nak
// and Dead; otherwise it is delivered again when AckWait has passed since the
// last InProgress.
type Delivery struct {
	bus        *Bus
	msg        jetstream.Msg
	streamSeq  uint64
	deliveries uint64
}

// Body is the message as it was published; see DecodeJob.
func (d *Delivery) Body() []byte { return d.msg.Data() }

// Subject is the Job's subject.
func (d *Delivery) Subject() string { return d.msg.Subject() }

// Redelivered counts the deliveries before this one. It is for logs: attempts
// are counted in the store.
func (d *Delivery) Redelivered() int { return int(d.deliveries) - 1 } // #nosec G115 -- a count of deliveries fits

// Ack removes the Job from the queue and waits until the server confirms it.
// After an error the Job may come again.
func (d *Delivery) Ack(ctx context.Context) error {
	if err := d.msg.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledge job: %w", err)
	}
	return nil
}

// Nak gives the Job back, to be delivered again after delay.
func (d *Delivery) Nak(delay time.Duration) error {
	if err := d.msg.NakWithDelay(delay); err != nil {
		return fmt.Errorf("give job back: %w", err)
	}
	return nil
}

// InProgress starts AckWait anew; call it every third of AckWait.
func (d *Delivery) InProgress() error {
	if err := d.msg.InProgress(); err != nil {
		return fmt.Errorf("extend job: %w", err)
	}
	return nil
}

// Dead puts a copy of the Job into LOCKSTEP_DEAD with the reason, which must
// hold no value, and removes the Job from the queue. After an error the Job
// comes again; the copy is not made twice.
func (d *Delivery) Dead(ctx context.Context, reason string) error {
	copied := &nats.Msg{
		Subject: DeadSubjectPrefix + d.Subject()[len(lockstep.JobSubjectPrefix):],
		Data:    d.Body(),
		Header:  nats.Header{HeaderReason: {oneLine(reason)}, HeaderSubject: {d.Subject()}},
	}
	id := fmt.Sprintf("dead-%d", d.streamSeq)
	if _, err := d.bus.js.PublishMsg(ctx, copied, jetstream.WithMsgID(id), jetstream.WithExpectStream(StreamDead)); err != nil {
		return fmt.Errorf("keep dead job: %w", err)
	}
	// An acknowledgement, not a Term: the server confirms it, so that the
	// subject is free when this returns.
	return d.Ack(ctx)
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c < ' ' {
			out[i] = ' '
		}
	}
	return string(out[:min(len(out), 1000)])
}
