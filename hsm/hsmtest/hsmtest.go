// Package hsmtest is the conformance suite of root key drivers: what every
// hsm.Key does, whatever keeps it.
package hsmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lockstep"
	"lockstep/hsm"
)

// Open returns the driver under test, opened. Within one test each call opens
// the same root key anew. The suite closes what it opened.
type Open func(t *testing.T) hsm.Key

// Run tests the driver. newOpen is called once for each test and sets up a
// fresh root key; the function it returns opens that key.
func Run(t *testing.T, newOpen func(t *testing.T) Open) {
	tests := map[string]func(*testing.T, Open){
		"round trip":                         roundTrip,
		"lengths":                            lengths,
		"each wrap differs":                  eachDiffers,
		"other associated data is refused":   otherAssociated,
		"each changed byte is refused":       changedBytes,
		"each truncation is refused":         truncations,
		"reopened, it unwraps and is itself": reopened,
		"signatures":                         signatures,
		"concurrent use":                     concurrent,
		"cancelled context":                  cancelled,
		"closed":                             closed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, newOpen(t)) })
	}
	t.Run("another root key is refused", func(t *testing.T) { otherKey(t, newOpen(t), newOpen(t)) })
}

func open(t *testing.T, o Open) hsm.Key {
	t.Helper()
	k := o(t)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return k
}

func wrap(t *testing.T, k hsm.Key, plaintext, associated []byte) []byte {
	t.Helper()
	wrapped, err := k.Wrap(t.Context(), plaintext, associated)
	if err != nil {
		t.Fatalf("wrap %d bytes: %v", len(plaintext), err)
	}
	return wrapped
}

func mustUnwrap(t *testing.T, k hsm.Key, wrapped, associated, want []byte) {
	t.Helper()
	got, err := k.Unwrap(t.Context(), wrapped, associated)
	if err != nil {
		t.Fatalf("unwrap: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("unwrap gave other bytes than were wrapped")
	}
}

func mustRefuse(t *testing.T, k hsm.Key, wrapped, associated []byte, what string) {
	t.Helper()
	got, err := k.Unwrap(t.Context(), wrapped, associated)
	if !errors.Is(err, lockstep.ErrDecrypt) || errors.Is(err, lockstep.ErrSealed) || got != nil {
		t.Errorf("%s: unwrap gave %d bytes and error %v, want none and ErrDecrypt", what, len(got), err)
	}
}

var (
	secret     = []byte("thirty-two bytes of a master key")
	associated = []byte("key/alias-default/version-1")
)

func roundTrip(t *testing.T, o Open) {
	k := open(t, o)
	if err := k.Health(t.Context()); err != nil {
		t.Fatalf("health: %v", err)
	}
	wrapped := wrap(t, k, secret, associated)
	if bytes.Contains(wrapped, secret) {
		t.Error("the plaintext stands in what was wrapped")
	}
	mustUnwrap(t, k, wrapped, associated, secret)
	mustUnwrap(t, k, wrap(t, k, secret, nil), []byte{}, secret)
}

func lengths(t *testing.T, o Open) {
	k := open(t, o)
	for _, n := range []int{1, 15, 16, 17, 31, 32, 4096, hsm.MaxPlaintext} {
		plaintext := bytes.Repeat([]byte{0xa5}, n)
		mustUnwrap(t, k, wrap(t, k, plaintext, associated), associated, plaintext)
	}
	for _, n := range []int{0, hsm.MaxPlaintext + 1} {
		if _, err := k.Wrap(t.Context(), make([]byte, n), associated); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("wrap %d bytes: %v, want ErrInvalid", n, err)
		}
	}
	big := bytes.Repeat([]byte("associated"), 1000)
	mustUnwrap(t, k, wrap(t, k, secret, big), big, secret)
}

func eachDiffers(t *testing.T, o Open) {
	k := open(t, o)
	seen := map[string]bool{}
	for range 100 {
		wrapped := string(wrap(t, k, secret, associated))
		if seen[wrapped] {
			t.Fatal("two wraps gave the same bytes: the nonce was used twice")
		}
		seen[wrapped] = true
	}
}

func otherAssociated(t *testing.T, o Open) {
	k := open(t, o)
	wrapped := wrap(t, k, secret, associated)
	mustRefuse(t, k, wrapped, nil, "no associated data")
	mustRefuse(t, k, wrapped, associated[1:], "its first byte missing")
	mustRefuse(t, k, wrapped, append(bytes.Clone(associated), 0), "a zero byte more")
	mustRefuse(t, k, wrap(t, k, secret, nil), associated, "some where none was bound")
}

func changedBytes(t *testing.T, o Open) {
	k := open(t, o)
	wrapped := wrap(t, k, secret, associated)
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1 << (i % 8)
		mustRefuse(t, k, changed, associated, fmt.Sprintf("byte %d changed", i))
	}
	mustUnwrap(t, k, wrapped, associated, secret)
}

func truncations(t *testing.T, o Open) {
	k := open(t, o)
	wrapped := wrap(t, k, secret, associated)
	for n := range wrapped {
		mustRefuse(t, k, wrapped[:n], associated, fmt.Sprintf("cut to %d bytes", n))
	}
	mustRefuse(t, k, append(bytes.Clone(wrapped), 0), associated, "a byte more")
	mustRefuse(t, k, make([]byte, 2*hsm.MaxPlaintext), associated, "zeros")
	mustUnwrap(t, k, wrapped, associated, secret)
}

func otherKey(t *testing.T, one, two Open) {
	a, b := open(t, one), open(t, two)
	if a.ID() == b.ID() {
		t.Errorf("two root keys share the id %s", a.ID())
	}
	mustRefuse(t, b, wrap(t, a, secret, associated), associated, "wrapped by another key")
	signature, err := a.Sign(t.Context(), secret)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if hsm.Verify(b.Public(), secret, signature) == nil {
		t.Error("another key's signature was accepted")
	}
}

func reopened(t *testing.T, o Open) {
	first := open(t, o)
	id, public := first.ID(), first.Public()
	wrapped := wrap(t, first, secret, associated)
	if err := first.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	second := open(t, o)
	if second.ID() != id {
		t.Errorf("the id was %s and is %s after opening again", id, second.ID())
	}
	if !second.Public().Equal(public) {
		t.Error("the public key is another after opening again")
	}
	mustUnwrap(t, second, wrapped, associated, secret)
}

func signatures(t *testing.T, o Open) {
	k := open(t, o)
	for _, message := range [][]byte{nil, []byte("checkpoint 1"), bytes.Repeat([]byte{1}, 100_000)} {
		signature, err := k.Sign(t.Context(), message)
		if err != nil {
			t.Fatalf("sign %d bytes: %v", len(message), err)
		}
		if err := hsm.Verify(k.Public(), message, signature); err != nil {
			t.Errorf("signature of %d bytes: %v", len(message), err)
		}
		if err := hsm.Verify(k.Public(), append(bytes.Clone(message), 0), signature); !errors.Is(err, lockstep.ErrDecrypt) {
			t.Errorf("signature of other bytes: %v, want ErrDecrypt", err)
		}
	}
}

func concurrent(t *testing.T, o Open) {
	k := open(t, o)
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			for range 20 {
				if err := useOnce(t.Context(), k, []byte(fmt.Sprintf("value of worker %d", n))); err != nil {
					t.Errorf("worker %d: %v", n, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func useOnce(ctx context.Context, k hsm.Key, value []byte) error {
	wrapped, err := k.Wrap(ctx, value, associated)
	if err != nil {
		return err
	}
	got, err := k.Unwrap(ctx, wrapped, associated)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, value) {
		return errors.New("unwrap gave another's bytes")
	}
	signature, err := k.Sign(ctx, value)
	if err != nil {
		return err
	}
	return hsm.Verify(k.Public(), value, signature)
}

func cancelled(t *testing.T, o Open) {
	k := open(t, o)
	wrapped := wrap(t, k, secret, associated)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for call, err := range calls(ctx, k, wrapped) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", call, err)
		}
	}
	mustUnwrap(t, k, wrapped, associated, secret)
}

func closed(t *testing.T, o Open) {
	k := open(t, o)
	wrapped := wrap(t, k, secret, associated)
	for n := range 2 {
		if err := k.Close(); err != nil {
			t.Errorf("close %d: %v", n+1, err)
		}
	}
	for call, err := range calls(t.Context(), k, wrapped) {
		if !errors.Is(err, lockstep.ErrSealed) {
			t.Errorf("%s after close: %v, want ErrSealed", call, err)
		}
	}
	if k.ID() == "" || k.Public() == nil {
		t.Error("id or public key is gone after close")
	}
}

func calls(ctx context.Context, k hsm.Key, wrapped []byte) map[string]error {
	_, wrapErr := k.Wrap(ctx, secret, associated)
	_, unwrapErr := k.Unwrap(ctx, wrapped, associated)
	_, signErr := k.Sign(ctx, secret)
	return map[string]error{"wrap": wrapErr, "unwrap": unwrapErr, "sign": signErr, "health": k.Health(ctx)}
}
