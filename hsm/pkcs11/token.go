//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"
	"github.com/thales-e-security/pool"

	"lockstep"
	"lockstep/hsm/internal/sealed"
)

// token is one connection to the HSM with both keys found. This file alone
// knows crypto11.
type token struct {
	context *crypto11.Context
	cipher  tokenCipher
	signer  crypto11.Signer
	public  *ecdsa.PublicKey
}

// connect logs in and finds the keys, or makes them. Errors: lockstep.ErrDenied
// if the token refuses the PIN, lockstep.ErrSealed if it cannot be reached, and
// those of findKeys.
func connect(cfg Config) (*token, error) {
	t, made, err := login(cfg)
	if err != nil || !made {
		return t, err
	}
	// A token may say that it has a key and not have kept it, as SoftHSM2 does on
	// a full disk. What is sealed with that would be lost at the next start. So a
	// new key is used as a later process will find it: by another connection.
	kept, err := t.sealSample()
	if err := errors.Join(err, t.context.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", notKept, err, lockstep.ErrSealed)
	}
	cfg.Generate = false
	t, _, err = login(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", notKept, err, lockstep.ErrSealed)
	}
	if err := t.openSample(kept); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w: %w", notKept, err, lockstep.ErrSealed), t.context.Close())
	}
	return t, nil
}

// sample is what a new key seals, for the next connection to open.
const sample = "is it kept?"

func (t *token) sealSample() ([]byte, error) {
	nonce := make([]byte, sealed.NonceSize)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	ciphertext, err := t.cipher.Seal(nonce, []byte(sample), nil)
	return append(nonce, ciphertext...), err
}

// openSample opens it, and signs something.
func (t *token) openSample(s []byte) error {
	got, err := t.cipher.Open(s[:sealed.NonceSize], s[sealed.NonceSize:], nil)
	if err == nil && string(got) != sample {
		err = errors.New("the wrapping key is another one")
	}
	if err != nil {
		return fmt.Errorf("open with the new key: %w", err)
	}
	digest := sha256.Sum256(s)
	signature, err := t.sign(s)
	if err == nil && !ecdsa.VerifyASN1(t.public, digest[:], signature) {
		err = errors.New("the signing key is another one")
	}
	if err != nil {
		return fmt.Errorf("sign with the new key: %w", err)
	}
	return nil
}

// login is one connection with both keys; made tells whether they are new.
func login(cfg Config) (t *token, made bool, err error) {
	context, err := crypto11.Configure(&crypto11.Config{
		Path: cfg.Module, TokenLabel: cfg.TokenLabel, Pin: cfg.PIN,
		MaxSessions: cfg.MaxSessions, PoolWaitTimeout: cfg.PoolWait, GCMIVLength: sealed.NonceSize,
	})
	if err != nil {
		return nil, false, connectError(cfg, err)
	}
	t = &token{context: context}
	if made, err = t.findKeys(cfg); err != nil {
		return nil, false, errors.Join(err, context.Close())
	}
	return t, made, nil
}

func connectError(cfg Config, err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		switch code {
		case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
			return fmt.Errorf("token %q refuses the PIN (%w); correct it and start again, it is not tried a second time: %w", cfg.TokenLabel, err, lockstep.ErrDenied)
		case pkcs11.CKR_PIN_LOCKED:
			return fmt.Errorf("token %q is locked after too many wrong PINs (%w); its security officer has to reset the PIN: %w", cfg.TokenLabel, err, lockstep.ErrDenied)
		}
	}
	return fmt.Errorf("token %q cannot be reached through %s (%w); check that the HSM is up and the label is right: %w", cfg.TokenLabel, cfg.Module, err, lockstep.ErrSealed)
}

// findKeys finds both keys by label, or makes them, which it tells. Errors:
// lockstep.ErrNotFound if there are none and they may not be made;
// lockstep.ErrInvalid if what is there is not one proper pair.
func (t *token) findKeys(cfg Config) (made bool, err error) {
	label := []byte(cfg.Label)
	wrapping, err := t.context.FindKeys(nil, label)
	if err != nil {
		return false, fmt.Errorf("find wrapping key: %w: %w", err, lockstep.ErrSealed)
	}
	signing, err := t.context.FindKeyPairs(nil, label)
	if err != nil {
		return false, fmt.Errorf("find signing key: %w: %w", err, lockstep.ErrSealed)
	}
	switch {
	case len(wrapping) == 1 && len(signing) == 1:
		return false, t.use(wrapping[0], signing[0])
	case len(wrapping) > 1 || len(signing) > 1:
		return false, fmt.Errorf("token %q holds %d wrapping and %d signing keys labelled %q; exactly one of each is needed: rename or delete those that are not the root key: %w",
			cfg.TokenLabel, len(wrapping), len(signing), cfg.Label, lockstep.ErrInvalid)
	case len(wrapping) != len(signing):
		return false, fmt.Errorf("token %q holds only half of root key %q (%d wrapping, %d signing keys); restore the token from its backup, or, if no store has used it yet, delete that half: %w",
			cfg.TokenLabel, cfg.Label, len(wrapping), len(signing), lockstep.ErrInvalid)
	case !cfg.Generate:
		return false, fmt.Errorf("token %q holds no root key %q; restore it from its backup, or let a new one be made for a new store: %w",
			cfg.TokenLabel, cfg.Label, lockstep.ErrNotFound)
	}
	return true, t.generate(label)
}

// notKept says what to do about a token that does not take a new key.
const notKept = "the token did not keep a new root key, as one does that is full or read-only; nothing was sealed with it: make room, delete what is left of it by its label, and try again"

// generate makes both keys. The signing key comes first: without a wrapping
// key nothing can have been wrapped yet, so a crash between the two loses
// nothing, and the next start names the half that is there. If the token takes
// one and not the other, it keeps neither.
func (t *token) generate(label []byte) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("draw key id: %w", err)
	}
	var sets [3]crypto11.AttributeSet // public, private, secret
	for i := range sets {
		set, err := crypto11.NewAttributeSetWithIDAndLabel(id, label)
		if err != nil {
			return fmt.Errorf("describe root key: %w", err)
		}
		sets[i] = set
	}
	for _, attribute := range []crypto11.AttributeType{crypto11.CkaWrap, crypto11.CkaUnwrap} {
		if err := sets[2].Set(attribute, false); err != nil {
			return fmt.Errorf("describe root key: %w", err)
		}
	}
	if err := errors.Join(sets[1].Set(crypto11.CkaPrivate, true), sets[2].Set(crypto11.CkaPrivate, true)); err != nil {
		return fmt.Errorf("describe root key: %w", err)
	}
	signing, err := t.context.GenerateECDSAKeyPairWithAttributes(sets[0], sets[1], elliptic.P256())
	if err != nil {
		return fmt.Errorf("generate signing key: %w; %s: %w", err, notKept, lockstep.ErrSealed)
	}
	wrapping, err := t.context.GenerateSecretKeyWithAttributes(sets[2], 256, crypto11.CipherAES)
	if err != nil {
		err = errors.Join(err, signing.Delete())
		return fmt.Errorf("generate wrapping key: %w; %s: %w", err, notKept, lockstep.ErrSealed)
	}
	return t.use(wrapping, signing)
}

// use checks what the keys are and takes them.
func (t *token) use(wrapping *crypto11.SecretKey, signing crypto11.Signer) error {
	public, ok := signing.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return fmt.Errorf("the signing key is not ECDSA on P-256: %w", lockstep.ErrInvalid)
	}
	if wrapping.Cipher != crypto11.CipherAES {
		return fmt.Errorf("the wrapping key is not AES: %w", lockstep.ErrInvalid)
	}
	for _, key := range []any{wrapping, signing} {
		if err := t.checkKept(key); err != nil {
			return err
		}
	}
	length, err := t.context.GetAttribute(wrapping, crypto11.CkaValueLen)
	if err != nil {
		return fmt.Errorf("read length of wrapping key: %w: %w", err, lockstep.ErrSealed)
	}
	// The attribute is a CK_ULONG in the machine's byte order; 32 and zeros
	// read the same from either end.
	if bytes.Count(length.Value, []byte{32}) != 1 || bytes.Count(length.Value, []byte{0}) != len(length.Value)-1 {
		return fmt.Errorf("the wrapping key does not have 256 bits: %w", lockstep.ErrInvalid)
	}
	aead, err := wrapping.NewGCM()
	if err != nil {
		return fmt.Errorf("use wrapping key: %w: %w", err, lockstep.ErrInvalid)
	}
	t.cipher, t.signer, t.public = tokenCipher{aead}, signing, public
	return nil
}

// checkKept refuses a key that could leave the token.
func (t *token) checkKept(key any) error {
	attributes, err := t.context.GetAttributes(key, []crypto11.AttributeType{crypto11.CkaExtractable, crypto11.CkaSensitive})
	if err != nil {
		return fmt.Errorf("read attributes of root key: %w: %w", err, lockstep.ErrSealed)
	}
	extractable, sensitive := attributes[crypto11.CkaExtractable], attributes[crypto11.CkaSensitive]
	if isTrue(extractable) || !isTrue(sensitive) {
		return fmt.Errorf("the root key can be extracted from the token; make it anew, sensitive and not extractable: %w", lockstep.ErrInvalid)
	}
	return nil
}

func isTrue(a *crypto11.Attribute) bool { return a != nil && len(a.Value) > 0 && a.Value[0] != 0 }

// sign signs a message's SHA-256 digest.
func (t *token) sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return t.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// probe tells whether the wrapping key works at all. crypto11 hides the
// token's error codes, so this is how a ciphertext that does not authenticate
// is told from a token that is away.
func (t *token) probe() error {
	nonce := make([]byte, sealed.NonceSize)
	if _, err := rand.Read(nonce); err != nil {
		return fmt.Errorf("draw nonce: %w", err)
	}
	want := []byte("is it there?")
	ciphertext, err := t.cipher.Seal(nonce, want, nonce)
	if err != nil {
		return err
	}
	got, err := t.cipher.Open(nonce, ciphertext, nonce)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the token opens something else than it sealed")
	}
	return err
}

func (t *token) close() error { return t.context.Close() }

// isBusy tells whether err means that no session was free in time.
func isBusy(err error) bool { return errors.Is(err, pool.ErrTimeout) }

// tokenCipher is the wrapping key as a sealed.Cipher.
type tokenCipher struct{ aead cipher.AEAD }

// Seal turns the panic by which crypto11 reports each of the token's errors
// back into an error. Other panics stay what they are.
func (c tokenCipher) Seal(nonce, plaintext, associated []byte) (ciphertext []byte, err error) {
	defer func() {
		reason := recover()
		failure, ok := reason.(error)
		var fault runtime.Error
		if reason != nil && (!ok || errors.As(failure, &fault)) {
			panic(reason)
		}
		err = failure
	}()
	return c.aead.Seal(nil, nonce, plaintext, associated), nil
}

// Open fails for a ciphertext that does not authenticate and for a token that
// is away alike; see probe.
func (c tokenCipher) Open(nonce, ciphertext, associated []byte) ([]byte, error) {
	return c.aead.Open(nil, nonce, ciphertext, associated)
}
