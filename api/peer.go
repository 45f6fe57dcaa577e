package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is where a request comes from, as far as it can be believed.
type peer struct {
	address netip.Addr
	secure  bool
}

// peerOf is the connection's other end, unless that is a trusted proxy: then
// it is what the proxy says. Of the addresses in X-Forwarded-For the last that
// is no trusted proxy counts; those before it anybody could have written.
func peerOf(r *http.Request, trusted []netip.Prefix) peer {
	p := peer{address: sourceOf(r), secure: r.TLS != nil}
	isTrusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(t netip.Prefix) bool { return t.Contains(a) })
	}
	if !p.address.IsValid() || !isTrusted(p.address) {
		return p
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) == 1 {
		p.secure = strings.EqualFold(proto[0], "https")
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return p
		}
		p.address = a.Unmap()
		if !isTrusted(p.address) {
			return p
		}
	}
	return p
}

func sourceOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}
