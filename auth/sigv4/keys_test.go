package sigv4_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/auth/sigv4"
)

// derived is a lookup that keeps no session keys: it knows them by the token.
type derived struct{ keyring }

func (d derived) SessionKey(_ context.Context, id, tok string) (sigv4.Credential[string], error) {
	name, ok := strings.CutPrefix(tok, "session-of-")
	if !ok {
		return sigv4.Credential[string]{}, lockstep.ErrNotFound
	}
	return sigv4.Credential[string]{SecretKey: lockstep.StringValue("key of " + name), Principal: name, Expires: now.Add(time.Hour)}, nil
}

func TestSessionsWithoutStorage(t *testing.T) {
	v := verifier(t, func(c *sigv4.Config[string]) { c.Keys = derived{keys()} })
	id, err := v.Verify(sign(t, getSecret(), getBody, as{id: "ASIAX", secret: "key of bob", token: "session-of-bob"}))
	if err != nil || id.Principal != "bob" {
		t.Errorf("got %+v, %v", id, err)
	}
	_, err = v.Verify(sign(t, getSecret(), getBody, as{id: "ASIAX", secret: "key of eve", token: "session-of-bob"}))
	wantRefusal(t, err, "InvalidSignatureException", "")
	_, err = v.Verify(sign(t, getSecret(), getBody, as{id: "ASIAX", secret: "key of bob", token: "forged"}))
	wantRefusal(t, err, "UnrecognizedClientException", "")
	// Long-term keys still come through the other way.
	if _, err := v.Verify(sign(t, getSecret(), getBody, as{})); err != nil {
		t.Error(err)
	}
}

func TestSessionIdNeverGoesWithoutToken(t *testing.T) {
	ring := keys()
	ring["ASIALOST"] = sigv4.Credential[string]{SecretKey: lockstep.StringValue(secretKey)}
	v := verifier(t, func(c *sigv4.Config[string]) { c.Keys = ring })
	_, err := v.Verify(sign(t, getSecret(), getBody, as{id: "ASIALOST"}))
	wantRefusal(t, err, "UnrecognizedClientException", "")
}

func TestEmptySecretVerifiesNothing(t *testing.T) {
	ring := keyring{longKey: {}}
	v := verifier(t, func(c *sigv4.Config[string]) { c.Keys = ring })
	for _, secret := range []string{"x", "no such key, but the same work for it."} {
		_, err := v.Verify(sign(t, getSecret(), getBody, as{secret: secret}))
		wantRefusal(t, err, "UnrecognizedClientException", "")
	}
}

func TestChangedSecretIsNoticed(t *testing.T) {
	ring := keys()
	v := verifier(t, func(c *sigv4.Config[string]) { c.Keys = ring })
	old := func() error { _, err := v.Verify(sign(t, getSecret(), getBody, as{})); return err }
	if err := old(); err != nil {
		t.Fatal(err)
	}
	ring[longKey] = sigv4.Credential[string]{SecretKey: lockstep.StringValue("new secret")}
	wantRefusal(t, old(), "InvalidSignatureException", "")
	if _, err := v.Verify(sign(t, getSecret(), getBody, as{secret: "new secret"})); err != nil {
		t.Error(err)
	}
	delete(ring, longKey)
	v.Purge(longKey)
	wantRefusal(t, old(), "UnrecognizedClientException", "")
}

func TestConcurrentVerifying(t *testing.T) {
	v := verifier(t, func(c *sigv4.Config[string]) { c.CachedKeys = 2 })
	var wg sync.WaitGroup
	for i := range 8 {
		r := sign(t, getSecret(), getBody, as{region: fmt.Sprintf("eu-west-%d", i)})
		wg.Go(func() {
			for range 50 {
				again := r.Clone(context.Background())
				again.Body = getSecret().Body
				if _, err := v.Verify(again); err != nil {
					t.Error(err)
				}
				v.Purge(longKey)
			}
		})
	}
	wg.Wait()
}
