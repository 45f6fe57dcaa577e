package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// measureRotations interleaves the raw limit and the server, at each number of
// workers.
func measureRotations(ctx context.Context, b *bench, out io.Writer) error {
	workers, err := numbers(b.workers)
	if err != nil {
		return err
	}
	all := make(map[int]*compared)
	for range b.rounds {
		for _, w := range workers {
			r, err := b.raw(ctx, w)
			if err != nil {
				return fmt.Errorf("raw limit: %w", err)
			}
			if err := b.prepare(ctx, secretCount, offered(r)); err != nil {
				return err
			}
			o, err := b.rotations(ctx, w)
			if err != nil {
				return err
			}
			if all[w] == nil {
				all[w] = &compared{}
			}
			all[w].add(r, o)
		}
	}
	kind := "verifier made beforehand"
	if b.clear {
		kind = "clear password"
	}
	fmt.Fprintf(out, "\nRotations of a PostgreSQL credential, all four steps (raw: ALTER ROLE, %s, and a login)\n", kind)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workers\traw/s\tlockstep/s\tratio\tlowest, highest round\town CPU ms: raw\tlockstep\tPostgreSQL's: raw\tlockstep\t")
	for _, w := range workers {
		c := all[w]
		fmt.Fprintf(t, "%d\t%.1f\t%.1f\t%.2f\t%.2f, %.2f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", w, median(c.raw), median(c.ours),
			median(c.ratio), quantile(c.ratio, 0), quantile(c.ratio, 1),
			median(c.rawCPU), median(c.ourCPU), median(c.rawTarget), median(c.ourTarget))
	}
	return t.Flush()
}

// numbers reads a list with commas.
func numbers(list string) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > secretCount {
			return nil, fmt.Errorf("%q is no number of workers up to %d", text, secretCount)
		}
		out = append(out, n)
	}
	return out, nil
}

// compared is what the rounds gave at one number of workers.
type compared struct{ raw, ours, ratio, rawCPU, ourCPU, rawTarget, ourTarget []float64 }

func (c *compared) add(raw, ours pace) {
	c.raw, c.ours = append(c.raw, raw.perSecond), append(c.ours, ours.perSecond)
	c.rawCPU, c.ourCPU = append(c.rawCPU, raw.cpu), append(c.ourCPU, ours.cpu)
	c.rawTarget, c.ourTarget = append(c.rawTarget, raw.target), append(c.ourTarget, ours.target)
	c.ratio = append(c.ratio, ours.perSecond/raw.perSecond)
}

// offered is the interval at which all secrets together are due a little more
// often than the raw limit of that moment could serve, so that no worker waits
// for work. Much more would measure something else: what it costs to pass over
// secrets that are due while they rotate.
func offered(limit pace) time.Duration {
	const over = 1.1
	every := time.Duration(secretCount / (over * limit.perSecond) * float64(time.Second)).Round(time.Millisecond)
	return max(every, minInterval)
}

// prepare starts a server once to set the schedules.
func (b *bench) prepare(ctx context.Context, n int, every time.Duration) error {
	server, err := b.start(ctx, 16)
	if err != nil {
		return err
	}
	defer server.Stop()
	api, err := b.api(server)
	if err != nil {
		return err
	}
	return b.schedule(ctx, api, n, every)
}

// rotations is how many rotations a second a server with so many workers
// makes, counted at the commit of finish.
func (b *bench) rotations(ctx context.Context, workers int) (got pace, err error) {
	server, err := b.start(ctx, workers)
	if err != nil {
		return got, err
	}
	defer server.Stop()
	// Until each worker has made some, connections and caches are being filled.
	for before := b.commits.count(); b.commits.count() < before+int64(3*workers); {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return got, err
		}
	}
	stopProfile, err := b.startProfile()
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	return b.pace(ctx, b.commits.count)
}

// startProfile begins to profile, if asked to: one file for each call, since a
// profile cannot go on in the next round.
func (b *bench) startProfile() (stop func() error, err error) {
	if b.profile == "" {
		return func() error { return nil }, nil
	}
	b.profiles++
	f, err := os.Create(fmt.Sprintf("%s.%d", b.profile, b.profiles)) // #nosec G703 -- a file of the benchmark itself
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}
