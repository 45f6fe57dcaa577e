//go:build cgo

package pkcs11

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockstep"
	"lockstep/hsm"
	"lockstep/hsm/internal/sealed"
)

const kind = "pkcs11"

// key is a root key on a token that may come and go.
type key struct {
	cfg    Config
	id     string
	public *ecdsa.PublicKey
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the supervisor has ended
	lost   chan *token   // connections that turned out to be dead

	mu      sync.Mutex
	live    *token        // nil while the token is away
	cause   error         // why it is away
	attempt chan struct{} // closed at the end of the supervisor's next attempt
	closed  bool
}

// Open connects to the token and returns its root key. Errors:
// lockstep.ErrInvalid for a Config or keys that cannot work,
// lockstep.ErrDenied if the token refuses the PIN, lockstep.ErrSealed if it
// cannot be reached, lockstep.ErrNotFound if it holds no root key and
// Config.Generate is false; the context's error.
func Open(ctx context.Context, cfg Config) (hsm.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open PKCS#11 root key: %w", err)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open PKCS#11 root key: %w", err)
	}
	t, err := connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("open PKCS#11 root key: %w", err)
	}
	id, err := hsm.KeyID(kind, t.public)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	cfg.Generate = false // what is lost later must come back, not be replaced
	k := &key{
		cfg: cfg, id: id, public: t.public, live: t,
		stop: make(chan struct{}), done: make(chan struct{}), lost: make(chan *token),
		attempt: make(chan struct{}),
	}
	go k.supervise()
	return k, nil
}

func (k *key) ID() string { return k.id }

func (k *key) Public() *ecdsa.PublicKey { return k.public }

func (k *key) Wrap(ctx context.Context, plaintext, associated []byte) (wrapped []byte, err error) {
	err = k.with(ctx, func(t *token) error {
		wrapped, err = sealed.Seal(t.cipher, k.id, plaintext, associated)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	return wrapped, nil
}

func (k *key) Unwrap(ctx context.Context, wrapped, associated []byte) (plaintext []byte, err error) {
	err = k.with(ctx, func(t *token) error {
		plaintext, err = sealed.Open(t.cipher, k.id, wrapped, associated)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("unwrap: %w", err)
	}
	return plaintext, nil
}

func (k *key) Sign(ctx context.Context, message []byte) (signature []byte, err error) {
	err = k.with(ctx, func(t *token) error {
		signature, err = t.sign(message)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

func (k *key) Health(ctx context.Context) error {
	if err := k.with(ctx, (*token).probe); err != nil {
		return fmt.Errorf("check root key: %w", err)
	}
	return nil
}

// Close ends the supervisor and the connection. It waits for calls under way.
func (k *key) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		<-k.done
		return nil
	}
	k.closed = true
	t := k.live
	k.live, k.cause = nil, errors.New("the root key was closed")
	close(k.stop)
	k.mu.Unlock()
	<-k.done
	if t == nil {
		return nil
	}
	return t.close()
}

// with calls f with the live token. A call that fails on a dead connection is
// repeated once after the supervisor's next attempt.
func (k *key) with(ctx context.Context, f func(*token) error) error {
	t, err := k.token(ctx)
	if err != nil {
		return err
	}
	verdict := k.try(t, f)
	if verdict == nil || !errors.Is(verdict, errLost) {
		return verdict
	}
	if err := k.report(ctx, t); err != nil {
		return err
	}
	if t, err = k.token(ctx); err != nil {
		return err
	}
	return k.try(t, f)
}

// errLost marks a failure of the connection itself. It is an ErrSealed.
var errLost = fmt.Errorf("connection to the token lost: %w", lockstep.ErrSealed)

// try calls f and finds out what a failure means. crypto11 hides error codes;
// so if the token works before and after a refusal, the input is at fault, and
// if it does not, the connection is.
func (k *key) try(t *token, f func(*token) error) error {
	var err error
	for range 2 {
		err = f(t)
		switch {
		case err == nil || errors.Is(err, lockstep.ErrInvalid) || errors.Is(err, lockstep.ErrDecrypt):
			return err
		case isBusy(err):
			return fmt.Errorf("no session with the token was free in %v: %w", k.cfg.PoolWait, lockstep.ErrBusy)
		}
		if probe := t.probe(); isBusy(probe) {
			return fmt.Errorf("no session with the token was free in %v: %w", k.cfg.PoolWait, lockstep.ErrBusy)
		} else if probe != nil {
			return fmt.Errorf("%w (%w)", errLost, probe)
		}
	}
	if errors.Is(err, sealed.ErrOpen) {
		return lockstep.ErrDecrypt
	}
	return fmt.Errorf("the token refuses: %w: %w", err, lockstep.ErrSealed)
}

// token returns the live connection.
func (k *key) token(ctx context.Context) (*token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live == nil {
		return nil, fmt.Errorf("%w: %w", k.cause, lockstep.ErrSealed)
	}
	return k.live, nil
}

// report hands a dead connection to the supervisor, once, and waits for the
// end of its first attempt.
func (k *key) report(ctx context.Context, dead *token) error {
	k.mu.Lock()
	first := k.live == dead
	if first {
		k.live, k.cause = nil, errLost
	}
	replaced := k.live != nil
	attempt := k.attempt
	k.mu.Unlock()
	if replaced {
		return nil
	}
	if first {
		select {
		case k.lost <- dead:
		case <-k.stop:
			// The supervisor is gone, so the connection is closed here.
			return errors.Join(errLost, dead.close())
		}
	}
	select {
	case <-attempt:
		return nil
	case <-k.stop:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// supervise replaces dead connections until Close.
func (k *key) supervise() {
	defer close(k.done)
	for {
		select {
		case <-k.stop:
			return
		case dead := <-k.lost:
			k.rebuild(dead)
		}
	}
}

// rebuild closes the dead connection, which unloads the module's stale state,
// and tries for a new one until it has it, the PIN is refused, or Close.
func (k *key) rebuild(dead *token) {
	closeErr := dead.close()
	wait := k.cfg.RetryAfter
	for {
		t, err := k.reconnect()
		if k.settle(t, errors.Join(err, closeErr)) {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-k.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, maxRetryAfter)
	}
}

// reconnect connects and makes sure that it is the same root key.
func (k *key) reconnect() (*token, error) {
	t, err := connect(k.cfg)
	if err != nil {
		return nil, err
	}
	if !t.public.Equal(k.public) {
		return nil, errors.Join(fmt.Errorf("token %q came back with another root key; restore the right one: %w", k.cfg.TokenLabel, lockstep.ErrInvalid), t.close())
	}
	return t, nil
}

// settle publishes an attempt's result and tells whether it was the last.
func (k *key) settle(t *token, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.attempt)
	k.attempt = make(chan struct{})
	if k.closed {
		// Close found no connection to close.
		if t != nil {
			k.cause = errors.Join(k.cause, t.close())
		}
		return true
	}
	k.live, k.cause = t, err
	return t != nil || errors.Is(err, lockstep.ErrDenied)
}
