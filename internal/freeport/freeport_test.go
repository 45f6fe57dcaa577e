package freeport

import (
	"errors"
	"net"
	"strconv"
	"testing"
)

func TestTake(t *testing.T) {
	seen := make(map[int]bool)
	for range 50 {
		port, err := Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < first || port >= first+count {
			t.Fatalf("port %d came after %v", port, seen)
		}
		seen[port] = true
	}
}

func TestClaim(t *testing.T) {
	dir := t.TempDir()
	port, err := Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := claim(t.Context(), dir, port); err != nil {
		t.Fatalf("a port that nobody holds: %v", err)
	}
	if err := claim(t.Context(), dir, port); !errors.Is(err, errTaken) {
		t.Errorf("a port that is held: %v", err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatalf("a port that was claimed is free for its owner: %v", err)
	}
	defer func() { _ = l.Close() }()
	if err := claim(t.Context(), t.TempDir(), port); !errors.Is(err, errTaken) {
		t.Errorf("a port on which somebody listens: %v", err)
	}
}
