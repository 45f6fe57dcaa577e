package cluster

import (
	"testing"

	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// TestSeveralNodes: two schedulers and four workers share the work; any of them
// may die, and each may be restarted, and nobody notices.
func TestSeveralNodes(t *testing.T) {
	r := newRig(t, pgtest.Shared(t), size{apis: 2, schedulers: 2, workers: 4, apps: 4})
	r.rotateMore(t, "the first rotation", 1)
	t.Run("rolling restart", func(t *testing.T) { rollingRestart(t, r) })
	t.Run("killed", func(t *testing.T) {
		dead := []*servertest.Process{r.NATS[0], r.Schedulers[0], r.Workers[0]}
		for _, p := range dead {
			p.Kill()
		}
		r.rotateMore(t, "a rotation without those that were killed", 1)
		for _, p := range dead {
			if err := p.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.Workers[1].Kill()
		r.Schedulers[1].Kill()
		r.rotateMore(t, "a rotation by those that came back", 1)
	})
	r.settle(t)
	r.verify(t)
}
