package client_test

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// answer makes an HTTP answer.
func answer(r *http.Request, status int, at time.Time, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Date": {at.UTC().Format(http.TimeFormat)}},
	}
}
