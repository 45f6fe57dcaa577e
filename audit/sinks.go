package audit

import (
	"context"
	"fmt"
	"io"
	"log/syslog"
	"strconv"
)

// writerSink writes lines to a stream.
type writerSink struct {
	name string
	w    io.Writer
}

// NewWriterSink is a Sink that writes each entry as a line, to standard output
// for example.
func NewWriterSink(name string, w io.Writer) Sink { return &writerSink{name: name, w: w} }

func (s *writerSink) Name() string { return s.name }

func (s *writerSink) Deliver(_ context.Context, lines []Line) error {
	for _, l := range lines {
		if _, err := s.w.Write(append(l.Text, '\n')); err != nil {
			return fmt.Errorf("write audit entry to %s: %w", s.name, err)
		}
	}
	return nil
}

// syslogSink writes to the system's log.
type syslogSink struct {
	network, address string
	w                *syslog.Writer
}

// NewSyslogSink is a Sink that writes to syslog, facility auth, priority info.
// With an empty network it is the machine's own; else "udp" or "tcp", and the
// address of another's. It connects with the first entry.
func NewSyslogSink(network, address string) Sink {
	return &syslogSink{network: network, address: address}
}

func (s *syslogSink) Name() string { return "syslog" }

func (s *syslogSink) Deliver(_ context.Context, lines []Line) error {
	if s.w == nil {
		w, err := syslog.Dial(s.network, s.address, syslog.LOG_INFO|syslog.LOG_AUTH, "lockstep-audit")
		if err != nil {
			return fmt.Errorf("connect to syslog: %w", err)
		}
		s.w = w
	}
	for _, l := range lines {
		if err := s.w.Info(string(l.Text)); err != nil {
			_ = s.w.Close() // it is connected anew
			s.w = nil
			return fmt.Errorf("write to syslog: %w", err)
		}
	}
	return nil
}

// Publisher is a stream that takes messages; bus.Bus is one by an adapter.
type Publisher interface {
	// PublishAudit publishes messages in order; nil once the stream has all. One
	// that it has already, by its id, is no error.
	PublishAudit(ctx context.Context, messages []Message) error
}

// Message is an entry for a stream.
type Message struct {
	// ID is the node's name and the entry's number.
	ID string
	// Node, Source and Name make its subject; Source and Name are empty for an
	// entry that is no record.
	Node, Source, Name string
	Body               []byte
}

type streamSink struct {
	node string
	to   Publisher
}

// NewStreamSink is a Sink that publishes to a stream.
func NewStreamSink(node string, to Publisher) Sink { return &streamSink{node: node, to: to} }

func (s *streamSink) Name() string { return "jetstream" }

func (s *streamSink) Deliver(ctx context.Context, lines []Line) error {
	messages := make([]Message, 0, len(lines))
	for _, l := range lines {
		m := Message{ID: s.node + "-" + strconv.FormatUint(l.Seq, 10), Node: s.node, Body: l.Text}
		if r, ok := ReadRecord(l.Text); ok {
			m.Source, m.Name = r.Source, r.Name
		}
		messages = append(messages, m)
	}
	return s.to.PublishAudit(ctx, messages)
}
