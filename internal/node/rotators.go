package node

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"lockstep/internal/fault"
	"lockstep/rotators/generic"
	"lockstep/rotators/redis"
)

// registerValues registers the rotators that keep no sessions: there is nothing
// to close at the end.
func (n *Node) registerValues() error {
	goredis.SetLogger(silent{})
	byValue, err := redis.New(redis.Config{})
	if err != nil {
		return err
	}
	plain, err := generic.New(generic.Config{})
	if err != nil {
		return err
	}
	for name, r := range fault.Rotators() {
		err = errors.Join(err, n.registry.Register(name, fault.Rotator(r)))
	}
	return errors.Join(
		err,
		n.registry.Register(redis.Name, fault.Rotator(byValue)),
		n.registry.Register(generic.Name, plain), // it makes no call that could fail
	)
}

// silent keeps go-redis from printing to standard error what its errors say too.
type silent struct{}

// Printf does nothing.
func (silent) Printf(context.Context, string, ...any) {}
