package redis

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"lockstep/rotators"
)

// member is a node as CLUSTER NODES names it.
type member struct {
	id, addr string
	primary  string // the address of its primary; empty for a primary
	slots    []slotRange
}

// slotRange is a part of a cluster's key space, both ends included.
type slotRange struct{ from, to uint16 }

// members asks a node for its cluster; none if it is not part of one.
func (n *node) members(ctx context.Context) ([]member, error) {
	text, err := n.conn.Do(ctx, "CLUSTER", "NODES").Text()
	if code(err) == codeError {
		return nil, nil // "cluster support disabled"
	}
	if err != nil {
		return nil, askFault("ask "+n.addr+" for the cluster's nodes", n.as, err)
	}
	list, err := parseMembers(text, n.addr)
	if err != nil {
		return nil, rotators.Transient("ask %s for the cluster's nodes: %w", n.addr, err)
	}
	return list, nil
}

// parseMembers reads CLUSTER NODES as the node at self tells it: one line a
// node, "id address flags primary ping pong epoch link slot…".
func parseMembers(text, self string) ([]member, error) {
	var list []member
	primaries := make(map[string]string) // id of a replica → id of its primary
	addresses := make(map[string]string)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) < 8 {
			return nil, fmt.Errorf("a line has %d words", len(words))
		}
		flags := strings.Split(words[2], ",")
		if slices.Contains(flags, "noaddr") || slices.Contains(flags, "handshake") {
			continue // nobody can reach it, and it serves nothing
		}
		m := member{id: words[0], addr: self}
		if !slices.Contains(flags, "myself") {
			var err error
			if m.addr, err = memberAddress(words[1]); err != nil {
				return nil, err
			}
		}
		if words[3] != "-" {
			primaries[m.id] = words[3]
		}
		for _, w := range words[8:] {
			if r, ok := parseSlots(w); ok {
				m.slots = append(m.slots, r)
			}
		}
		addresses[m.id] = m.addr
		list = append(list, m)
	}
	for i, m := range list {
		list[i].primary = addresses[primaries[m.id]]
	}
	return list, nil
}

// memberAddress reads "ip:port@busport[,hostname]"; the hostname, where there
// is one, is what its certificate names.
func memberAddress(word string) (string, error) {
	word, names, _ := strings.Cut(word, ",")
	word, _, _ = strings.Cut(word, "@")
	at := strings.LastIndexByte(word, ':')
	if at < 0 {
		return "", fmt.Errorf("an address has no port")
	}
	host, port := strings.Trim(word[:at], "[]"), word[at+1:]
	if name, _, _ := strings.Cut(names, ","); name != "" && !strings.Contains(name, "=") {
		host = name
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return "", fmt.Errorf("an address has no host or port")
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// parseSlots reads "5" or "0-5460"; a slot on its way ("[93->-…]") is none.
func parseSlots(word string) (slotRange, bool) {
	from, to, isRange := strings.Cut(word, "-")
	if !isRange {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || a > b || b >= slotCount {
		return slotRange{}, false
	}
	return slotRange{uint16(a), uint16(b)}, true
}

const slotCount = 16384

// slotOf is the cluster's slot of a hash tag: CRC-16 (XMODEM) modulo 16384.
func slotOf(tag string) uint16 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return crc % slotCount
}

// tag is what stands in the braces of the guard's keys: on a cluster, the
// lowest number whose slot the node serves, so that the keys of one change are
// in one slot of that node.
func (n *node) tag() (string, error) {
	of := n.primary
	if !of.clustered {
		return "0", nil
	}
	for i := range 100 * slotCount {
		t := strconv.Itoa(i)
		s := slotOf(t)
		for _, r := range of.slots {
			if s >= r.from && s <= r.to {
				return t, nil
			}
		}
	}
	te := rotators.Transient("the node %s serves no slots of the cluster, so no key can guard the change", of.addr)
	te.Hint = "give it slots, or take it out of the cluster with CLUSTER FORGET"
	return "", te
}
