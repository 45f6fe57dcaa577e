package sigv4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// DefaultMaxBody is the largest body taken when no other limit is set: a
// Value of 64 KiB in base64 with all that may stand around it.
const DefaultMaxBody = 256 << 10

// ReadBody reads the whole body, at most limit bytes (0: DefaultMaxBody), and
// puts it back for the handler. A body that announces more than the limit is
// refused before a byte of it is read. Errors: *Error with reason TooLarge or
// Truncated; else the transport's.
//
// [Rules.Read] calls it; calls that carry no signature (a web identity token,
// for instance) use it by themselves, so that one limit holds everywhere.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = DefaultMaxBody
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, checkLength(r, 0)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err := bodyError(r.Context(), err); err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge(limit)
	}
	if err := checkLength(r, n); err != nil {
		return nil, err
	}
	body := buf.Bytes()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

func bodyError(ctx context.Context, err error) error {
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooBig):
		return tooLarge(tooBig.Limit)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(Truncated, "The request body ended before the number of bytes its Content-Length announces.")
	case ctx.Err() != nil:
		return fmt.Errorf("reading the request body: %w", ctx.Err())
	default:
		return fmt.Errorf("reading the request body: %w", err)
	}
}

func checkLength(r *http.Request, got int64) error {
	if r.ContentLength < 0 || r.ContentLength == got {
		return nil
	}
	return refuse(Truncated, "The request body does not have the number of bytes its Content-Length announces.")
}

func tooLarge(limit int64) *Error {
	return refuse(TooLarge, fmt.Sprintf("The request body is larger than %d bytes.", limit))
}
