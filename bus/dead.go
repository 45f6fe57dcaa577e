package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

// DeadJobs lists up to limit of the Jobs in LOCKSTEP_DEAD, newest first, with
// numbers below before; zero for the newest.
func (b *Bus) DeadJobs(ctx context.Context, before uint64, limit int) ([]lockstep.DeadJob, error) {
	s, err := b.js.Stream(ctx, StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // made anew by whoever writes to it
	}
	if err != nil {
		return nil, fmt.Errorf("read dead jobs: %w", err)
	}
	state := s.CachedInfo().State
	seq := state.LastSeq
	if before > 0 && before <= seq {
		seq = before - 1
	}
	var out []lockstep.DeadJob
	for ; seq >= max(state.FirstSeq, 1) && len(out) < limit; seq-- {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read dead job %d: %w", seq, err)
		}
		out = append(out, lockstep.DeadJob{
			Seq: m.Sequence, At: m.Time.UTC(), Subject: m.Header.Get(HeaderSubject),
			Reason: m.Header.Get(HeaderReason), Bytes: len(m.Data),
		})
	}
	return out, nil
}
