package httptoken

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const (
	// backdated is how far before now a token says it was made, for a provider
	// whose clock is behind.
	backdated = time.Minute
	// minRSABits is the shortest key that signs.
	minRSABits = 2048
)

// claims are those of a token that an application signs for itself.
type claims struct {
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	Issuer   string `json:"iss"`
}

// jwtRS256 signs a token with an RSA key in PEM form (PKCS #1 or PKCS #8). No
// error shows any of the key.
func jwtRS256(s *scope, a []string) (string, error) {
	key, err := rsaKey(a[1])
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims{IssuedAt: s.now.Add(-backdated).Unix(), Expires: s.in(a[2]).Unix(), Issuer: a[0]})
	if err != nil {
		return "", fmt.Errorf("write claims: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", errors.New("the key cannot sign")
	}
	return signed + "." + encode(signature), nil
}

func rsaKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the key is not in PEM form")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		other, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the key is no private key in PKCS #1 or PKCS #8 form")
		}
		var ok bool
		if key, ok = other.(*rsa.PrivateKey); !ok {
			return nil, errors.New("the key is not an RSA key")
		}
	}
	if key.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("the key has fewer than %d bits", minRSABits)
	}
	return key, nil
}
