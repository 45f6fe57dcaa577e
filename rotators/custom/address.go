package custom

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"lockstep"
)

// The kinds of addresses that a webhook may be allowed beside public ones.
const (
	AllowLoopback = "loopback"
	AllowPrivate  = "private"
)

// reach says which addresses a webhook may be called at.
type reach struct {
	allowed []string
	// onlyLoopback is for calls without TLS.
	onlyLoopback bool
}

// errAddress: the address is one that must not be called.
var errAddress = errors.New("address not allowed")

// control is a net.Dialer's: it sees the address after names were resolved,
// right before the connection, so that no name server can change its mind in
// between.
func (r reach) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is no address: %w", errAddress, address, lockstep.ErrInvalid)
	}
	return r.check(at.Addr())
}

func (r reach) check(addr netip.Addr) error {
	kind := kindOf(addr)
	switch {
	case kind == never:
		return fmt.Errorf("%w: %s is link-local, a metadata service, or no host's address", errAddress, addr)
	case r.onlyLoopback && kind != AllowLoopback:
		return fmt.Errorf("%w: %s, in clear; use https", errAddress, addr)
	case kind != public && !slices.Contains(r.allowed, kind):
		return fmt.Errorf("%w: %s is a %s address", errAddress, addr, kind)
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
