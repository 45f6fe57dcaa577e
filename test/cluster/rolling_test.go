package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/internal/servertest"
)

// requests asks the API all the time, each request once: nothing is repeated
// by the SDK, so that nothing which fails is hidden.
type requests struct {
	done   atomic.Int64
	failed atomic.Int64
	last   atomic.Pointer[string]
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

func startRequests(t *testing.T, r *rig) *requests {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	q := &requests{stop: cancel}
	c := secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: &r.balancer.url, Credentials: r.keys, RetryMaxAttempts: 1,
	})
	for i := range 4 {
		q.wg.Go(func() {
			for ctx.Err() == nil {
				q.one(context.WithoutCancel(ctx), c, r.names[i%len(r.names)])
			}
		})
	}
	t.Cleanup(q.end)
	return q
}

// one reads a secret and writes another, with a pause.
func (q *requests) one(ctx context.Context, c *secretsmanager.Client, name string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	q.note(err)
	token, err := lockstep.NewVersionID()
	if err == nil {
		_, err = c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("made/" + string(token)), SecretString: aws.String("x")})
	}
	q.note(err)
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

func (q *requests) note(err error) {
	q.done.Add(1)
	if err != nil {
		q.failed.Add(1)
		text := time.Now().UTC().Format("15:04:05.000 ") + err.Error()
		q.last.Store(&text)
	}
}

func (q *requests) end() {
	q.stop()
	q.wg.Wait()
}

// rollingRestart restarts every node, one after the other, under load: no
// request fails, and no run is lost.
func rollingRestart(t *testing.T, r *rig) {
	t.Helper()
	load := startRequests(t, r)
	for _, p := range r.Nodes() {
		restart(t, p)
	}
	load.end()
	t.Logf("%d requests, %d failed", load.done.Load(), load.failed.Load())
	if n := load.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the last by: %s", n, load.done.Load(), *load.last.Load())
	}
	if load.done.Load() < 100 {
		t.Errorf("only %d requests", load.done.Load())
	}
}

// restart drains a process and starts it again.
func restart(t *testing.T, p *servertest.Process) {
	t.Helper()
	if code := p.Stop(); code != 0 {
		t.Fatalf("%s: SIGTERM: exit %d", p.Name, code)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(fmt.Errorf("after SIGTERM: %w", err))
	}
}
