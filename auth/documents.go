package auth

import (
	"sync"

	"lockstep/auth/policy"
)

// maxDocuments bounds the policies held in memory; with the largest documents
// they are some forty megabytes.
const maxDocuments = 1024

// documents remembers policies that were read, by kind and text. A nil one
// remembers nothing. When it is full it forgets all: that costs one reading
// each, and needs no order to be kept.
type documents struct {
	mu    sync.RWMutex
	known map[document]*policy.Policy
}

type document struct {
	kind policy.Kind
	text string
}

func newDocuments() *documents { return &documents{known: make(map[document]*policy.Policy)} }

func (d *documents) read(text string, kind policy.Kind) (*policy.Policy, error) {
	if d == nil {
		return policy.Parse(text, kind)
	}
	key := document{kind, text}
	d.mu.RLock()
	p := d.known[key]
	d.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := policy.Parse(text, kind)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxDocuments {
		clear(d.known)
	}
	d.known[key] = p
	return p, nil
}
