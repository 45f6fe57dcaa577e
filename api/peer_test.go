package api

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"
)

func TestPeer(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		name, remote string
		tls          bool
		forwarded    []string
		proto        []string
		want         string
		secure       bool
	}{
		{"no proxy", "192.0.2.1:5", true, nil, nil, "192.0.2.1", true},
		{"a stranger's word", "192.0.2.1:5", false, []string{"198.51.100.1"}, []string{"https"}, "192.0.2.1", false},
		{"a proxy's word", "10.1.1.1:5", false, []string{"198.51.100.1"}, []string{"https"}, "198.51.100.1", true},
		{"a proxy that speaks plainly", "10.1.1.1:5", true, []string{"198.51.100.1"}, []string{"http"}, "198.51.100.1", false},
		{"a proxy that says nothing", "10.1.1.1:5", true, nil, nil, "10.1.1.1", true},
		{"what the client wrote before", "10.1.1.1:5", true, []string{"127.0.0.1, 198.51.100.1"}, nil, "198.51.100.1", true},
		{"two headers, two proxies", "10.1.1.1:5", true, []string{"127.0.0.1", "198.51.100.1, 10.2.2.2"}, nil, "198.51.100.1", true},
		{"no address", "10.1.1.1:5", true, []string{"198.51.100.1, unknown"}, nil, "10.1.1.1", true},
		{"IPv6", "[::1]:5", true, []string{"2001:db8::1"}, nil, "2001:db8::1", true},
		{"IPv4 in IPv6", "[::ffff:10.1.1.1]:5", true, []string{"198.51.100.1"}, nil, "198.51.100.1", true},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded, "X-Forwarded-Proto": c.proto}}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := peerOf(r, proxies); got.address.String() != c.want || got.secure != c.secure {
			t.Errorf("%s: %s %v, want %s %v", c.name, got.address, got.secure, c.want, c.secure)
		}
	}
}
