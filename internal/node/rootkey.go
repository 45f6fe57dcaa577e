package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/hsm"
	"lockstep/internal/rootkey"
	"lockstep/keys"
)

// openKeys opens the root key, or makes one if nothing was ever sealed here.
func (n *Node) openKeys(ctx context.Context) error {
	if !n.cfg.opensValues() {
		return nil
	}
	var spec rootkey.Spec
	var root hsm.Key
	err := n.withStore(ctx, func(ctx context.Context) (err error) {
		if spec, err = n.rootSpec(ctx); err == nil {
			root, err = n.openRoot(ctx, spec)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("open root key: %w", err)
	}
	n.root = n.metrics.Key(root)
	return n.withStore(ctx, func(ctx context.Context) (err error) {
		n.keys, err = keys.New(ctx, keys.Config{
			Store: n.store, Root: n.root, RootLine: spec.String(), Roots: opener{}, HoldFor: n.cfg.RootKeyAway,
		})
		return err
	})
}

// keepInterval is how often a node looks for what is due about keys.
const keepInterval = 5 * time.Second

// startKeeping does what is due about keys until the node stops: a node that
// opens values does so, whether it schedules or not.
func (n *Node) startKeeping(context.Context) error {
	if n.keys == nil {
		return nil
	}
	n.keeping.Go(func() {
		tick := time.NewTicker(keepInterval)
		defer tick.Stop()
		for {
			if err := n.keys.Maintain(n.life); err != nil && n.life.Err() == nil {
				n.log.WarnContext(n.life, "keys are not all as they should be; it is tried again", "error", err)
			}
			select {
			case <-n.life.Done():
				return
			case <-tick.C:
			}
		}
	})
	return nil
}

// rootSpec is what the Config names, else what the store remembers, else the
// file in the data directory.
func (n *Node) rootSpec(ctx context.Context) (rootkey.Spec, error) {
	if n.cfg.RootKey != "" {
		return rootkey.Parse(n.cfg.RootKey)
	}
	known, err := keys.ReadRoot(ctx, n.store)
	if err == nil && known.Current.Line != "" {
		return rootkey.Parse(known.Current.Line)
	}
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return rootkey.Spec{}, fmt.Errorf("look for the root key's name: %w", err)
	}
	return rootkey.Parse("file:" + n.path("root.key"))
}

// openRoot opens a root key. It makes one for a new store alone: another one
// could open nothing of what is there.
func (n *Node) openRoot(ctx context.Context, spec rootkey.Spec) (hsm.Key, error) {
	used, err := keys.Initialised(ctx, n.store)
	if err != nil {
		return nil, err
	}
	if !used {
		return spec.Make(ctx)
	}
	root, err := spec.Open(ctx)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, fmt.Errorf("the root key %s is missing, but the store has values that were sealed under it; put it back from your backup: %w", spec, err)
	}
	return root, err
}

// opener opens root keys for package keys.
type opener struct{}

// Open is keys.Opener's.
func (opener) Open(ctx context.Context, line string) (keys.OpenedRoot, error) {
	k, err := rootkey.Open(ctx, line)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Make is keys.Opener's.
func (opener) Make(ctx context.Context, line string) (keys.OpenedRoot, error) {
	k, err := rootkey.Make(ctx, line)
	if err != nil {
		return nil, err
	}
	return k, nil
}
