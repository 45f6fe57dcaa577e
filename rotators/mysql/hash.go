package mysql

import (
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- what mysql_native_password is made of; not our choice
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// nativeHash is what mysql_native_password stores: SHA1(SHA1(password)).
func nativeHash(password string) string {
	once := sha1.Sum([]byte(password)) // #nosec G401 -- as above
	twice := sha1.Sum(once[:])         // #nosec G401 -- as above
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

// The figures of caching_sha2_password. Each login that the server has not
// cached pays the rounds.
const (
	sha2Rounds = 5000
	sha2Salt   = 20
	// crypt64 is the alphabet of crypt(3), in its order.
	crypt64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// sha2Hash is what caching_sha2_password stores, with a new salt each time. The
// salt is made of letters and digits, so that the whole is a plain text.
func sha2Hash(password string) string {
	salt := make([]byte, sha2Salt)
	// It never fails: it ends the process instead.
	_, _ = rand.Read(salt)
	for i := range salt {
		salt[i] = crypt64[salt[i]%64]
	}
	return "$A$005$" + string(salt) + sha2Digest([]byte(password), salt)
}

// sha2Digest is SHA-256-crypt (Drepper) with 5000 rounds and, unlike crypt(3),
// a salt of up to 20 bytes.
func sha2Digest(password, salt []byte) string {
	b := sha256.New()
	b.Write(password)
	b.Write(salt)
	b.Write(password)
	inner := b.Sum(nil)

	a := sha256.New()
	a.Write(password)
	a.Write(salt)
	a.Write(stretch(inner, len(password)))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			a.Write(inner)
		} else {
			a.Write(password)
		}
	}
	sum := a.Sum(nil)

	p := sha256.New()
	for range password {
		p.Write(password)
	}
	longPassword := stretch(p.Sum(nil), len(password))
	s := sha256.New()
	for range 16 + int(sum[0]) {
		s.Write(salt)
	}
	longSalt := stretch(s.Sum(nil), len(salt))

	for i := range sha2Rounds {
		c := sha256.New()
		first, last := sum, longPassword
		if i%2 == 1 {
			first, last = longPassword, sum
		}
		c.Write(first)
		if i%3 != 0 {
			c.Write(longSalt)
		}
		if i%7 != 0 {
			c.Write(longPassword)
		}
		c.Write(last)
		sum = c.Sum(nil)
	}
	return encodeSHA2(sum)
}

// stretch repeats a sum up to n bytes.
func stretch(sum []byte, n int) []byte {
	out := make([]byte, 0, n+len(sum))
	for len(out) < n {
		out = append(out, sum...)
	}
	return out[:n]
}

// encodeSHA2 writes a sum in the order that crypt(3) has for SHA-256.
func encodeSHA2(sum []byte) string {
	out := make([]byte, 0, 43)
	put := func(w uint, n int) {
		for range n {
			out = append(out, crypt64[w&63])
			w >>= 6
		}
	}
	a, b, c := 0, 10, 20
	for range 10 {
		put(uint(sum[a])<<16|uint(sum[b])<<8|uint(sum[c]), 4)
		a, b, c = (c+1)%30, (a+1)%30, (b+1)%30
	}
	put(uint(sum[31])<<8|uint(sum[30]), 3)
	return string(out)
}
