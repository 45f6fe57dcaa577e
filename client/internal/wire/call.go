package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// The services that requests are signed for.
const (
	ServiceSecrets  = "secretsmanager"
	ServiceLockstep = "lockstep"
)

const (
	// maxAttempts bounds the tries of one call: about three seconds.
	maxAttempts = 7
	firstPause  = 50 * time.Millisecond
	lastPause   = 2 * time.Second
	// attemptTimeout bounds one try, unless the Request says otherwise.
	attemptTimeout = 15 * time.Second
	maxAnswer      = 32 << 20
	// tolerated is how far the clocks may differ before ours is corrected; the
	// server allows five minutes.
	tolerated = 2 * time.Minute
)

// Request is one call. It must be safe to repeat.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	// Service is what the signature is for.
	Service string
	// Target is X-Amz-Target on the AWS protocol; empty on /v1.
	Target string
	// Body is JSON; nil for none.
	Body []byte
	// Wait is how long the server may hold the answer back on purpose.
	Wait time.Duration
}

// Do makes the call and decodes the answer into out, unless out is nil.
// Errors: *Error if the server refused; else the transport's, after the last
// try, or ctx's.
func (e *Endpoint) Do(ctx context.Context, r Request, out any) error {
	for attempt := 1; ; attempt++ {
		err := e.attempt(ctx, r, out)
		if err == nil || ctx.Err() != nil || attempt == maxAttempts || !e.worthRetry(err) {
			return err
		}
		if Pause(ctx, Backoff(attempt)) != nil {
			return err
		}
	}
}

// Backoff is how long to wait after so many failed tries: exponential, with
// full jitter, so that many clients do not come back at once.
func Backoff(attempt int) time.Duration {
	limit := min(lastPause, firstPause<<min(attempt, 10))
	return limit/4 + rand.N(limit) // #nosec G404 -- jitter is no secret
}

// Pause waits. Errors: ctx's if it ended first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// corrected says that the clock was wrong and is now right.
type corrected struct{ error }

func (c corrected) Unwrap() error { return c.error }

func (e *Endpoint) worthRetry(err error) bool {
	var refused *Error
	var untrusted *tls.CertificateVerificationError
	var clock corrected
	switch {
	case errors.As(err, &clock):
		return true
	case errors.As(err, &refused):
		return refused.temporary()
	case errors.As(err, &untrusted):
		return false
	}
	var transport *url.Error
	return errors.As(err, &transport) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (e *Endpoint) attempt(ctx context.Context, r Request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout+r.Wait)
	defer cancel()
	req, err := e.build(ctx, r)
	if err != nil {
		return err
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", e.base.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w: %w", err, io.ErrUnexpectedEOF)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return e.refused(resp, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// Stream makes the call once and copies the answer. Errors: *Error if the server
// refused; else the transport's, out's, or ctx's; what was copied then is not
// all.
func (e *Endpoint) Stream(ctx context.Context, r Request, out io.Writer) error {
	req, err := e.build(ctx, r)
	if err != nil {
		return err
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", e.base.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		return e.refused(resp, body)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// build makes a signed request.
func (e *Endpoint) build(ctx context.Context, r Request) (*http.Request, error) {
	u := *e.base
	u.Path, u.RawQuery = r.Path, r.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	switch {
	case r.Target != "":
		req.Header.Set("X-Amz-Target", r.Target)
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	case r.Body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	creds, err := e.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(r.Body)
	err = e.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), r.Service, e.region, e.Now())
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return req, nil
}

// refused reads a refusal, and corrects our clock if that may be the cause.
func (e *Endpoint) refused(resp *http.Response, body []byte) error {
	told := readError(resp, body)
	if !told.aboutTime() {
		return told
	}
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return told
	}
	if off := theirs.Sub(e.Now()); off.Abs() > tolerated {
		e.skew.Add(int64(off))
		e.log.Warn("clock differs from the server's; corrected", "by", off.Round(time.Second))
		return corrected{told}
	}
	return told
}
