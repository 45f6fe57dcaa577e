package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

// The headers of messages that Lockstep sends.
const (
	// HeaderSubject is the subject that a replayed Event or a dead Job was
	// published on.
	HeaderSubject = "Lockstep-Subject"
	// HeaderSequence is the stream sequence of a replayed Event.
	HeaderSequence = "Lockstep-Sequence"
	// HeaderReason says why a Job is dead.
	HeaderReason = "Lockstep-Reason"
	// HeaderEnd marks the last message of a replay; its body is a ReplayEnd.
	HeaderEnd = "Lockstep-End"
)

const (
	replayQueue = "lockstep-replay"
	// maxReplays bounds those that are answered at once; others wait.
	maxReplays = 16
	// replayTimeout bounds one replay.
	replayTimeout = 30 * time.Second
	replayBatch   = 256
	maxReplayBody = 1 << 10
)

// ReplayRequest is the body of a request to ReplaySubject.
type ReplayRequest struct {
	// After is the stream sequence up to which the client has seen everything;
	// 0 asks for the present state: the last Event of each subject.
	After uint64 `json:"after"`
	// Stream is the ReplayEnd.Stream that After belongs to. If the stream is
	// another one by now, the present state is sent.
	Stream string `json:"stream,omitempty"`
}

// ReplayEnd is the body of the message that ends a replay.
type ReplayEnd struct {
	// Last is what to send as After next time.
	Last uint64 `json:"last"`
	// Stream names the stream that Last belongs to.
	Stream string `json:"stream"`
	// Present is true if what was sent is the present state, not all that
	// happened since After: there may be a gap.
	Present bool `json:"present"`
	// Error is set if the replay is not complete: ask again.
	Error string `json:"error,omitempty"`
}

// replayService sends applications the Events that they missed.
type replayService struct {
	bus    *Bus
	sub    *nats.Subscription
	slots  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startReplays(b *Bus) (*replayService, error) {
	s := &replayService{bus: b, slots: make(chan struct{}, maxReplays)}
	s.ctx, s.cancel = context.WithCancel(b.life)
	var err error
	s.sub, err = b.nc.QueueSubscribe(replayPrefix+".*.>", replayQueue, s.receive)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("listen for replay requests: %w", err)
	}
	return s, nil
}

func (s *replayService) stop() {
	s.cancel()
	_ = s.sub.Unsubscribe() // fails only if the connection is gone already
	s.wg.Wait()
}

// receive checks what the server cannot: that the answer goes to the inbox of
// the one who asks. The subject itself was checked against the grant.
func (s *replayService) receive(m *nats.Msg) {
	rest := strings.TrimPrefix(m.Subject, replayPrefix+".")
	id, filter, ok := strings.Cut(rest, ".")
	if !ok || !eventPattern(filter) || !strings.HasPrefix(m.Reply, InboxPrefix(id)+".") {
		return
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(s.ctx, replayTimeout)
		defer cancel()
		end, err := s.answer(ctx, m, filter)
		if err != nil {
			s.bus.log.Warn("replay failed", "subject", filter, "error", err)
			end.Error = "replay failed, ask again"
		}
		if err := s.finish(m.Reply, end); err != nil {
			s.bus.log.Warn("replay not ended", "subject", filter, "error", err)
		}
	})
}

func (s *replayService) finish(reply string, end ReplayEnd) error {
	body, err := json.Marshal(end)
	if err != nil {
		return err
	}
	return s.bus.nc.PublishMsg(&nats.Msg{Subject: reply, Data: body, Header: nats.Header{HeaderEnd: {"1"}}})
}

func (s *replayService) answer(ctx context.Context, m *nats.Msg, filter string) (ReplayEnd, error) {
	var req ReplayRequest
	if len(m.Data) > maxReplayBody {
		return ReplayEnd{}, fmt.Errorf("request of %d bytes: %w", len(m.Data), lockstep.ErrInvalid)
	}
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &req); err != nil {
			return ReplayEnd{}, fmt.Errorf("read request: %w", err)
		}
	}
	state, err := s.bus.EventStream(ctx)
	if err != nil {
		return ReplayEnd{}, err
	}
	end := ReplayEnd{Last: state.LastSeq, Stream: strconv.FormatInt(state.Created.UnixNano(), 36)}
	known := req.After > 0 && req.Stream == end.Stream && req.After <= state.LastSeq
	// What was discarded from the middle cannot be seen here: a subscriber
	// finds such a gap by the Events' own sequence.
	end.Present = !known || req.After+1 < state.FirstSeq
	from := req.After + 1
	if end.Present {
		from = 0
	}
	return end, s.send(ctx, m.Reply, replayConsumer(filter, from))
}

// replayConsumer reads from a stream sequence on; from 0, the last message of
// each subject.
func replayConsumer(filter string, from uint64) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: replayTimeout, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}
	if from > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	return cfg
}

// send copies what a consumer holds to the reply subject.
func (s *replayService) send(ctx context.Context, reply string, cfg jetstream.ConsumerConfig) error {
	cons, err := s.bus.js.CreateConsumer(ctx, StreamEvents, cfg)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	info := cons.CachedInfo()
	defer func() {
		// A consumer that stays goes by its InactiveThreshold.
		_ = s.bus.js.DeleteConsumer(ctx, StreamEvents, info.Name)
	}()
	for left := int(info.NumPending); left > 0; { // #nosec G115 -- a count of messages fits
		n, err := s.copyBatch(cons, reply, min(left, replayBatch))
		if err != nil {
			return err
		}
		if n == 0 {
			return nil // the rest was discarded meanwhile
		}
		left -= n
	}
	return ctx.Err()
}

func (s *replayService) copyBatch(cons jetstream.Consumer, reply string, size int) (int, error) {
	batch, err := cons.Fetch(size, jetstream.FetchMaxWait(2*time.Second))
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	n := 0
	var errs []error
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n++
		errs = append(errs, s.bus.nc.PublishMsg(&nats.Msg{Subject: reply, Data: m.Data(), Header: nats.Header{
			HeaderSubject: {m.Subject()}, HeaderSequence: {strconv.FormatUint(meta.Sequence.Stream, 10)},
		}}))
	}
	return n, errors.Join(append(errs, batch.Error())...)
}
