package egress

import "testing"

func TestAddresses(t *testing.T) {
	for _, row := range []struct{ address, kind string }{
		{"93.184.216.34:443", public}, {"[2606:2800:220:1::1]:443", public},
		{"127.0.0.1:1", AllowLoopback}, {"127.9.9.9:1", AllowLoopback}, {"[::1]:1", AllowLoopback}, {"[::ffff:127.0.0.1]:1", AllowLoopback},
		{"[64:ff9b::7f00:1]:1", AllowLoopback}, {"[2002:7f00:1::]:1", AllowLoopback},
		{"10.1.2.3:1", AllowPrivate}, {"192.168.1.1:1", AllowPrivate}, {"172.16.0.1:1", AllowPrivate}, {"100.64.0.1:1", AllowPrivate}, {"[fd12::1]:1", AllowPrivate},
		{"169.254.169.254:80", never}, {"[fe80::1%eth0]:80", never}, {"[::ffff:169.254.169.254]:80", never}, {"[64:ff9b::a9fe:a9fe]:80", never},
		{"[fd00:ec2::254]:80", never}, {"100.100.100.200:80", never}, {"0.0.0.0:80", never}, {"[::]:80", never}, {"224.0.0.1:80", never}, {"255.255.255.255:80", never},
	} {
		for _, allowed := range [][]string{nil, {AllowLoopback}, {AllowPrivate}, {AllowLoopback, AllowPrivate}} {
			want := row.kind == public
			for _, a := range allowed {
				want = want || a == row.kind
			}
			if err := (Reach{Allowed: allowed}).Control("tcp", row.address, nil); (err == nil) != want {
				t.Errorf("%s with %v: %v", row.address, allowed, err)
			}
		}
		if err := (Reach{Allowed: []string{AllowLoopback, AllowPrivate}, OnlyLoopback: true}).Control("tcp", row.address, nil); (err == nil) != (row.kind == AllowLoopback) {
			t.Errorf("%s in clear: %v", row.address, err)
		}
	}
}
