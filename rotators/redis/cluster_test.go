package redis

import (
	"strings"
	"testing"
)

const nodesText = `07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,hostname4 slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 connected
67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:30002@31002,,shard-id=69bc master - 0 1426238316232 2 connected 5461-10922
292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f [::1]:30003@31003 master,fail - 0 1426238318243 3 connected 10923-16383 [93->-292f]
e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca :30001@31001 myself,master - 0 0 1 connected 0-5000 5002
824fe116063bc5fcf9f4ffd895bc17aee7731ac3 :0@0 master,noaddr - 0 0 6 disconnected
`

func TestParseMembers(t *testing.T) {
	list, err := parseMembers(nodesText, "seed:30001")
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	if list[0].addr != "hostname4:30004" || list[0].primary != "seed:30001" || list[1].addr != "127.0.0.1:30002" ||
		list[2].addr != "[::1]:30003" || len(list[2].slots) != 1 || len(list[3].slots) != 2 || list[3].primary != "" {
		t.Errorf("%+v", list)
	}
	for _, bad := range []string{"a b c", "id nohost master - 0 0 1 connected", "id :7@8 master - 0 0 1 connected"} {
		if _, err := parseMembers(bad, "seed:1"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestSlots: CLUSTER KEYSLOT of these says so.
func TestSlots(t *testing.T) {
	for tag, want := range map[string]uint16{"123456789": 12739, "foo": 12182, "": 0} {
		if got := slotOf(tag); got != want {
			t.Errorf("%q: %d, want %d", tag, got, want)
		}
	}
}

func FuzzParseMembers(f *testing.F) {
	f.Add(nodesText)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseMembers(text, "seed:1")
		if err != nil {
			return
		}
		for _, m := range list {
			if !strings.Contains(m.addr, ":") {
				t.Errorf("address %q", m.addr)
			}
			for _, s := range m.slots {
				if s.from > s.to || s.to >= slotCount {
					t.Errorf("slots %v", s)
				}
			}
		}
	})
}
