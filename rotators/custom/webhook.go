package custom

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/rotators"
)

// keyPrefix begins a signing key in its text form, as Standard Webhooks has it.
const keyPrefix = "whsec_"

// webhook is a function behind a URL. It is called by a POST that is signed as
// Standard Webhooks says: the headers webhook-id, webhook-timestamp and
// webhook-signature, the last being "v1," and the base64 of the HMAC-SHA256 of
// "<id>.<timestamp>.<body>". Any 2xx is "done".
type webhook struct {
	url     *url.URL
	roots   *x509.CertPool
	reach   egress.Reach
	key     []byte
	timeout time.Duration
	now     func() time.Time
}

// checkURL reads the URL of a webhook. Errors: Refusals of kind ErrInvalid.
func checkURL(text string, allowed []string) (*url.URL, egress.Reach, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, egress.Reach{}, lockstep.Refuse(lockstep.ErrInvalid, "The webhook's URL can't be read; use https://HOST/PATH.")
	}
	r := egress.Reach{Allowed: allowed, OnlyLoopback: u.Scheme == "http"}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, r, lockstep.Refuse(lockstep.ErrInvalid, "A webhook's URL begins with https://; the credentials of each call go there.")
	case u.User != nil, u.Fragment != "":
		return nil, r, lockstep.Refuse(lockstep.ErrInvalid, "A webhook's URL has neither a login nor a fragment; calls are signed.")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err == nil {
		if err := r.Check(addr); err != nil {
			return nil, r, lockstep.Refuse(lockstep.ErrInvalid, "The webhook can't be called: %s. Loopback and private addresses have to be allowed (--allow-loopback, --allow-private).", err)
		}
	}
	return u, r, nil
}

// Timeout implements rotators.Function.
func (w *webhook) Timeout() time.Duration { return w.timeout }

// Invoke implements rotators.Function.
func (w *webhook) Invoke(ctx context.Context, c rotators.Call) error {
	raw, err := body(c)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(raw))
	if err != nil {
		return forbidden(errors.New("the webhook's URL can't be called"), "register it again")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "lockstep")
	w.sign(req.Header, c.ID, raw)
	client := w.client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return w.unanswered(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return w.unanswered(ctx, err)
	case len(answer) > maxAnswer:
		return failed(fmt.Errorf("the webhook answered %s with more than %d bytes", resp.Status, maxAnswer))
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return &lockstep.TargetError{Err: fmt.Errorf("the webhook answered %d, a redirect, which is not followed", resp.StatusCode),
			Hint: "register the URL that the redirect leads to"}
	}
	return answered("the webhook answered "+strconv.Itoa(resp.StatusCode), readSaid(answer))
}

// sign adds the signature's headers.
func (w *webhook) sign(h http.Header, id string, body []byte) {
	at := strconv.FormatInt(w.now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// client is made for one call: no connection outlives it, no proxy of the
// environment and no redirect leads it elsewhere.
func (w *webhook) client() *http.Client {
	return egress.ClientOf(w.reach.Transport(w.roots, w.timeout))
}

// unanswered reads the error of a call without a whole answer. The URL stays
// out of it.
func (w *webhook) unanswered(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, egress.ErrAddress):
		return forbidden(fmt.Errorf("call the webhook: %w", err), "register it with --allow-loopback or --allow-private if it is meant to be there")
	case errors.As(err, &cert):
		return notReached(fmt.Errorf("call the webhook: %w", err))
	case errors.As(err, &op) && op.Op == "dial":
		return notReached(fmt.Errorf("call the webhook: %w", err))
	case ctx.Err() != nil:
		return failed(fmt.Errorf("the webhook did not answer within %s", w.timeout))
	}
	return failed(fmt.Errorf("call the webhook: %w", err))
}

// readKey is the signing key of its text form.
func readKey(text lockstep.Value) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text.Reveal(), keyPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		return nil, fmt.Errorf("the signing key is not in the form %s…: %w", keyPrefix, lockstep.ErrInvalid)
	}
	return key, nil
}
