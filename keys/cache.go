package keys

import "time"

// maxCached bounds the master keys in memory; beyond it, all are dropped, which
// costs one trip to the root key each.
const maxCached = 4096

// cached is a key whose row was read lately; nil if there is none.
func (s *Service) cached(name string) *masterKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	mk := s.cache[name]
	if mk == nil || s.now().Sub(mk.checked) > s.cacheFor {
		return nil
	}
	return mk
}

// stale are the versions in clear of a key, however old; nil if there are none.
func (s *Service) stale(id string) map[int]clearVersion {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mk := s.cache[id]; mk != nil {
		return mk.versions
	}
	return nil
}

func (s *Service) remember(name string, mk *masterKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= maxCached {
		clear(s.cache)
	}
	s.cache[name] = mk
	s.cache[mk.id] = mk
}

// expire makes the next use of a key, under whatever name, read its row again.
func (s *Service) expire(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, mk := range s.cache {
		if mk.id == id {
			old := *mk
			old.checked = time.Time{}
			s.cache[name] = &old
		}
	}
}

// forget drops a key with its material.
func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, mk := range s.cache {
		if mk.id == id {
			delete(s.cache, name)
		}
	}
}
