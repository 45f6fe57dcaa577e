package mysql

import (
	"encoding/hex"
	"testing"
)

func TestNativeHash(t *testing.T) {
	// SELECT PASSWORD('x1') on MariaDB 10.11.
	if got := nativeHash("x1"); got != "*6891F9D51EB5A38D1BB310DDBC6379A189A4F575" {
		t.Error(got)
	}
}

// The salt and digest of the password "hashcat" that hashcat publishes for its
// mode 7401, caching_sha2_password.
func TestSHA2Digest(t *testing.T) {
	salt, err := hex.DecodeString("F9CC98CE08892924F50A213B6BC571A2C11778C5")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString("625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F")
	if err != nil {
		t.Fatal(err)
	}
	if got := sha2Digest([]byte("hashcat"), salt); got != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
