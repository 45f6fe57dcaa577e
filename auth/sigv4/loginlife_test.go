package sigv4

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"lockstep"
)

type oneKey struct{}

func (oneKey) SecretKey(context.Context, string) (Credential[string], error) {
	return Credential[string]{SecretKey: lockstep.StringValue("s")}, nil
}

// TestLoginLifeIsBounded: whoever holds a key can sign any claims, but not make
// a token that outlives MaxLoginTTL.
func TestLoginLifeIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v, err := New(Config[string]{Keys: oneKey{}, Services: []string{"secretsmanager"}, Rules: Rules{Now: func() time.Time { return now }}})
	if err != nil {
		t.Fatal(err)
	}
	key := deriveKey([]byte("s"), loginScope(now, "eu-west-1"))
	for life, want := range map[int64]bool{-1: false, 0: false, 1: true, 300: true, 301: false, 86400: false} {
		claims := fmt.Sprintf(`{"akid":"AKIA","region":"eu-west-1","aud":"a","iat":%d,"exp":%d,"nonce":"n"}`, now.Unix(), now.Unix()+life)
		text := base64.RawURLEncoding.EncodeToString([]byte(claims))
		mac := sumHMAC(key[:], loginDomain+text)
		_, err := v.VerifyLoginToken(t.Context(), loginPrefix+text+"."+base64.RawURLEncoding.EncodeToString(mac[:]), "a")
		if (err == nil) != want {
			t.Errorf("life of %d s: %v", life, err)
		}
	}
}

func TestRegionForm(t *testing.T) {
	for region, want := range map[string]bool{
		"us-east-1": true, "us-gov-west-1": true, "eusc-de-east-1": true, "local-1": true,
		"": false, "1": false, "us": false, "us-east": false, "-1": false, "us--1": false, "us-east-": false,
		"US-east-1": false, "us-east-1a": false, "us/east-1": false, "us-east-1\n": false,
		"a-" + fmt.Sprintf("%063d", 1): false,
	} {
		if got := isRegion(region); got != want {
			t.Errorf("%q: got %v", region, got)
		}
	}
}
