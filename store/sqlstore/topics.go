package sqlstore

import (
	"strings"
	"sync"

	"lockstep/store"
)

// topics lists every topic; the position is its bit in a topicSet.
var topics = [...]store.Topic{store.TopicSchedule, store.TopicOutbox, store.TopicRuns, store.TopicReplicas}

// topicSet is a set of topics.
type topicSet uint8

func (s *topicSet) add(topic store.Topic) {
	for i, t := range topics {
		if t == topic {
			*s |= 1 << i
		}
	}
}

// String is each topic with a space before it.
func (s topicSet) String() string {
	var out strings.Builder
	for _, t := range s.list() {
		out.WriteString(" " + string(t))
	}
	return out.String()
}

func (s topicSet) list() []store.Topic {
	var out []store.Topic
	for i, t := range topics {
		if s&(1<<i) != 0 {
			out = append(out, t)
		}
	}
	return out
}

// topicsOf is the reverse of String. What a newer node calls by a name that is
// not known here is passed over.
func topicsOf(text string) (s topicSet) {
	for topic := range strings.FieldsSeq(text) {
		s.add(store.Topic(topic))
	}
	return s
}

const allTopics topicSet = 1<<len(topics) - 1

// hub hands signals to the subscribers of this process. The zero value is
// ready.
type hub struct {
	mu   sync.Mutex
	subs map[store.Topic]map[chan struct{}]struct{}
}

func (h *hub) subscribe(topic store.Topic) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[store.Topic]map[chan struct{}]struct{})
	}
	if h.subs[topic] == nil {
		h.subs[topic] = make(map[chan struct{}]struct{})
	}
	h.subs[topic][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs[topic], ch)
	}
}

// signal leaves one token with each subscriber that has none.
func (h *hub) signal(set topicSet) {
	if set == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range set.list() {
		for ch := range h.subs[topic] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}
