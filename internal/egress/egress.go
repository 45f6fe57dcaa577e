// Package egress bounds which addresses the server calls on behalf of somebody
// who may name a URL but is not trusted with the network that the server
// stands in: webhooks, and the APIs of recipes. A name is judged by the address
// that it was resolved to, right before the connection, so that no name server
// can change its mind in between. Public addresses are free; loopback and
// private ones have to be allowed by kind; link-local ones, metadata services
// and what is no host's address are never called.
//
// [Reach.Transport] is the one way out: it follows no proxy of the environment,
// keeps no connection, verifies certificates, and takes headers of a bounded
// size. [ClientOf] follows no redirect.
package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"lockstep"
)

// The kinds of addresses that may be allowed beside public ones.
const (
	AllowLoopback = "loopback"
	AllowPrivate  = "private"
)

// Reach says which addresses may be called. The zero value allows public ones.
type Reach struct {
	// Allowed are kinds of addresses beside public ones.
	Allowed []string
	// OnlyLoopback is for calls without TLS.
	OnlyLoopback bool
}

// ErrAddress: the address is one that must not be called. Nothing was sent.
var ErrAddress = errors.New("address not allowed")

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

// Transport makes the way out for one call or a few: no connection outlives the
// request that it was made for. Roots nil means the system's authorities;
// dialing gives up after timeout.
func (r Reach) Transport(roots *x509.CertPool, timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout, Control: r.Control}
	return &http.Transport{
		DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

// ClientOf is a client over a transport that follows no redirect: it returns
// the answer that redirects.
func ClientOf(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// CheckKinds sees that all kinds are known. Errors: a Refusal of kind
// ErrInvalid.
func CheckKinds(kinds []string) error {
	for _, a := range kinds {
		if a != AllowLoopback && a != AllowPrivate {
			return lockstep.Refuse(lockstep.ErrInvalid, "%q is no kind of address: there are loopback and private.", a)
		}
	}
	return nil
}

// Control is a net.Dialer's. Errors: ErrAddress.
func (r Reach) Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is no address: %w", ErrAddress, address, lockstep.ErrInvalid)
	}
	return r.Check(at.Addr())
}

// Check judges one address. Errors: ErrAddress, with the reason.
func (r Reach) Check(addr netip.Addr) error {
	kind := kindOf(addr)
	switch {
	case kind == never:
		return fmt.Errorf("%w: %s is link-local, a metadata service, or no host's address", ErrAddress, addr)
	case r.OnlyLoopback && kind != AllowLoopback:
		return fmt.Errorf("%w: %s, in clear; use https", ErrAddress, addr)
	case kind != public && !slices.Contains(r.Allowed, kind):
		return fmt.Errorf("%w: %s is a %s address", ErrAddress, addr, kind)
	}
	return nil
}

const (
	public = "public"
	never  = "never"
)

// Networks with a meaning of their own. IPv6 ones that carry an IPv4 address
// are judged by that.
var (
	metadata = []netip.Prefix{
		netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
		netip.MustParsePrefix("fd00:ec2::/32"), netip.MustParsePrefix("168.63.129.16/32"),
	}
	private = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("64:ff9b:1::/48"),
	}
	noHost = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
	}
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4  = netip.MustParsePrefix("2002::/16")
	teredo  = netip.MustParsePrefix("2001::/32")
	loopOne = netip.MustParseAddr("::1")
)

func kindOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	in := func(nets []netip.Prefix) bool {
		return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(addr) })
	}
	switch {
	case addr == loopOne:
		return AllowLoopback
	case nat64.Contains(addr):
		raw := addr.As16()
		return kindOf(netip.AddrFrom4([4]byte(raw[12:16])))
	case sixTo4.Contains(addr):
		raw := addr.As16()
		return kindOf(netip.AddrFrom4([4]byte(raw[2:6])))
	case !addr.IsValid(), addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr.IsUnspecified(),
		teredo.Contains(addr), in(metadata), in(noHost):
		return never
	case addr.IsLoopback():
		return AllowLoopback
	case addr.IsPrivate(), in(private):
		return AllowPrivate
	}
	return public
}
