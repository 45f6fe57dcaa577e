package audit

import (
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/hsm"
)

// Head states how far a chain was, signed by the root key. It stands in the
// chain as a checkpoint, and the newest one also outside of it.
type Head struct {
	// Node names the chain.
	Node string `json:"node"`
	// Seq and Hash are an entry's.
	Seq  uint64 `json:"seq"`
	Hash []byte `json:"hash"`
	// Time is when it was signed.
	Time time.Time `json:"time"`
	// Root is the id of the root key that signed.
	Root string `json:"root"`
	// Signature is over all of the above; see hsm.Verify.
	Signature []byte `json:"signature"`
}

// The purposes of a signature, so that one is never taken for another.
const (
	forHead   = "lockstep audit head v1"
	forAnchor = "lockstep audit anchor v1"
)

func (h Head) message(purpose string) []byte {
	return []byte(strings.Join([]string{
		purpose, h.Node, strconv.FormatUint(h.Seq, 10), hex.EncodeToString(h.Hash),
		h.Time.UTC().Format(time.RFC3339Nano), h.Root,
	}, "\n"))
}

// Signer signs under the root key; an hsm.Key is one.
type Signer interface {
	// ID names the key.
	ID() string
	// Sign signs a message; see hsm.Signer.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Signers gives the root key of the moment, so that a move to another one takes
// effect with the next signature and not with the next start. The Log asks from
// one goroutine at a time.
type Signers interface {
	// Signer is the key that signs now; those who verify know its public half
	// before it is given out.
	Signer(ctx context.Context) (Signer, error)
}

// Always is one key for ever.
func Always(s Signer) Signers { return always{s} }

type always struct{ signer Signer }

// Signer is Signers'.
func (a always) Signer(context.Context) (Signer, error) { return a.signer, nil }

// Heads keeps the newest Head of each chain outside of the log's directory.
type Heads interface {
	// Load returns the newest; lockstep.ErrNotFound if there is none yet.
	Load(ctx context.Context, node string) (Head, error)
	// Save keeps h, unless one with a higher Seq is kept already.
	Save(ctx context.Context, h Head) error
}

func sign(ctx context.Context, of Signers, purpose string, h Head) (Head, error) {
	s, err := of.Signer(ctx)
	if err != nil {
		return Head{}, fmt.Errorf("find the key that signs audit heads: %w", err)
	}
	// Microseconds are what every store keeps.
	h.Root, h.Time = s.ID(), h.Time.UTC().Truncate(time.Microsecond)
	signature, err := s.Sign(ctx, h.message(purpose))
	if err != nil {
		return Head{}, fmt.Errorf("sign audit head: %w", err)
	}
	h.Signature = signature
	return h, nil
}

// PublicKeys are the public halves of the root keys that may have signed, by
// their ids.
type PublicKeys map[string]*ecdsa.PublicKey

// check tells whether the signature is one of a known root key.
func (k PublicKeys) check(purpose string, h Head) error {
	public, known := k[h.Root]
	if !known {
		return fmt.Errorf("the root key %q that signed it is not known: %w", cut(h.Root, maxText), lockstep.ErrDecrypt)
	}
	return hsm.Verify(public, h.message(purpose), h.Signature)
}
