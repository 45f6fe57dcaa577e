package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"lockstep"
	"lockstep/client"
	"lockstep/internal/node"
)

// watching is a subscriber at work.
type watching struct {
	client *client.Client
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// watch subscribes and calls seen for each event, with the time of its receipt.
func (b *bench) watch(ctx context.Context, n *node.Node, name string, seen func(lockstep.Event, time.Time)) (*watching, error) {
	c, err := b.client(ctx, n, name)
	if err != nil {
		return nil, err
	}
	w := &watching{client: c}
	ctx, w.end = context.WithCancel(ctx)
	watcher, err := c.Watch(ctx, client.WatchConfig{Types: []lockstep.EventType{lockstep.EventVersionCurrent}})
	if err != nil {
		w.end()
		c.Close()
		return nil, err
	}
	w.wg.Go(func() {
		for {
			e, err := watcher.Next(ctx)
			at := time.Now()
			var gap *client.GapError
			if errors.As(err, &gap) {
				continue
			}
			if err != nil {
				return
			}
			seen(e, at)
		}
	})
	return w, nil
}

func (w *watching) stop() {
	w.end()
	w.wg.Wait()
	w.client.Close()
}
