package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockstep"
	"lockstep/api"
	"lockstep/audit"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/store"
	"lockstep/workers"
)

// AuditConfig says how the audit log is kept. The zero value keeps it in the
// data directory, for ever.
type AuditConfig struct {
	// Off keeps none.
	Off bool
	// Dir is where it is kept; default "audit" in the data directory.
	Dir string
	// Keep is how long files are kept; 0: for ever.
	Keep time.Duration
	// Sinks are further places: "stdout", "syslog", "syslog+udp://HOST:PORT",
	// "syslog+tcp://HOST:PORT", "jetstream".
	Sinks []string
	// Stdout is where the sink of that name writes. Required if it is used.
	Stdout io.Writer
}

func (c AuditConfig) check() error {
	if c.Keep < 0 {
		return invalid("--audit-keep %s: a duration, or 0 for ever", c.Keep)
	}
	if c.Off && len(c.Sinks) > 0 {
		return invalid("--audit-sink has nothing to copy with --audit off")
	}
	for _, s := range c.Sinks {
		kind, rest, hasAddress := strings.Cut(s, "://")
		switch {
		case !hasAddress && (s == "stdout" || s == "syslog" || s == "jetstream"):
		case (kind == "syslog+udp" || kind == "syslog+tcp") && checkAddress("--audit-sink", rest) == nil:
		default:
			return invalid("--audit-sink %q: stdout, syslog, syslog+udp://HOST:PORT, syslog+tcp://HOST:PORT or jetstream", s)
		}
	}
	return nil
}

// wants tells whether one of the sinks is of that name.
func (c AuditConfig) wants(sink string) bool {
	for _, s := range c.Sinks {
		if s == sink {
			return true
		}
	}
	return false
}

// auditing is the audit log of a node and what feeds it.
type auditing struct {
	log     *audit.Log
	forward *audit.Forwarder
}

// openAudit opens the audit log. Nothing is done before it can be recorded.
func (n *Node) openAudit(ctx context.Context) error {
	if n.cfg.Audit.Off {
		n.log.Warn("no audit log is kept (--audit off)")
		return nil
	}
	if n.keys == nil {
		return nil // a node that only starts or relays work: it does none, and cannot sign
	}
	if n.cfg.Audit.Dir == "" && n.cfg.DataDir == "" {
		return invalid("--audit-dir is required without a --data-dir")
	}
	log, err := audit.Open(ctx, audit.Config{
		Dir: n.cfg.AuditDir(), Node: n.auditName(), MACKey: n.keys.Derive(auditMAC), Signers: &auditSigners{node: n},
		Heads: auditHeads{n.store}, Keep: n.cfg.Audit.Keep, Logger: n.log.With("part", "audit"),
	})
	if err != nil {
		return err
	}
	n.audit = auditing{log: log}
	return log.Append(ctx, n.lifecycle("StartServer"))
}

// auditName names this node's chain: the same over restarts, which the number of
// a process is not.
func (n *Node) auditName() string {
	if n.cfg.DataDir == "" && n.cfg.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		return audit.NodeName(host)
	}
	return audit.NodeName(n.name())
}

// auditMAC is the purpose of the key of the entries' macs.
const auditMAC = "audit log"

func (n *Node) lifecycle(name string) audit.Record {
	return audit.Record{Name: name, Identity: server(), Region: string(n.cfg.Regions[0]), Detail: audit.Detail{Reason: "lockstep " + n.cfg.Version}}
}

// server is Lockstep itself as the one who did something.
func server() audit.Identity { return audit.Identity{Type: "AWSService", Name: "lockstep"} }

// forwardAudit begins to copy the log to its sinks.
func (n *Node) forwardAudit(context.Context) error {
	if n.audit.log == nil {
		return nil
	}
	var sinks []audit.Sink
	for _, s := range n.cfg.Audit.Sinks {
		network, address, _ := strings.Cut(strings.TrimPrefix(s, "syslog+"), "://")
		switch {
		case s == "stdout":
			if n.cfg.Audit.Stdout == nil {
				return invalid("the audit sink stdout has no writer")
			}
			sinks = append(sinks, audit.NewWriterSink("stdout", n.cfg.Audit.Stdout))
		case s == "jetstream":
			sinks = append(sinks, audit.NewStreamSink(n.auditName(), auditStream{n.bus}))
		case s == "syslog":
			sinks = append(sinks, audit.NewSyslogSink("", ""))
		default:
			sinks = append(sinks, audit.NewSyslogSink(network, address))
		}
	}
	n.audit.forward = audit.Forward(n.life, n.audit.log, sinks...)
	return nil
}

// closeAudit records the end, and lets the sinks have it.
func (n *Node) closeAudit() error {
	if n.audit.log == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.life), drainTimeout)
	defer cancel()
	err := n.audit.log.Append(ctx, n.lifecycle("StopServer"))
	if n.audit.forward != nil {
		n.audit.forward.Stop() // what it did not copy yet, the next start does
	}
	return errors.Join(err, n.audit.log.Close(ctx))
}

// recorder is the log for the API; nil if none is kept.
func (n *Node) recorder() api.Recorder {
	if n.audit.log == nil {
		return nil
	}
	return n.audit.log
}

// steps is the log for the workers; nil if none is kept.
func (n *Node) steps() workers.Recorder {
	if n.audit.log == nil {
		return nil
	}
	return stepRecorder{n.audit.log}
}

// deliveries is the log for the relay; nil if none is kept.
func (n *Node) deliveries() events.Recorder {
	if n.audit.log == nil {
		return nil
	}
	return deliveryRecorder{n}
}

type stepRecorder struct{ *audit.Log }

// RecordStep is workers.Recorder's.
func (r stepRecorder) RecordStep(s workers.StepRecord) (func(context.Context) error, error) {
	name := strings.ToUpper(string(s.Step[:1])) + string(s.Step[1:]) + "Step"
	return r.Submit(audit.Record{
		Name: name, Identity: server(), Region: string(s.Secret.Region), ErrorCode: s.Code, ReadOnly: s.Step == lockstep.StepTest,
		Resources: []audit.Resource{{ARN: string(s.Secret.ARN), VersionID: string(s.Version)}},
		Detail: audit.Detail{
			Run: string(s.Run), Step: string(s.Step), Attempt: s.Attempt, Trigger: string(s.Trigger), Outcome: s.Outcome,
		},
	})
}

type deliveryRecorder struct{ n *Node }

// DeliveryFailed is events.Recorder's. The Events come again whether or not
// this could be recorded.
func (r deliveryRecorder) DeliveryFailed(failed []lockstep.Event) {
	record := audit.Record{
		Name: "DeliverEvents", Identity: server(), ErrorCode: "DeliveryFailed",
		Detail: audit.Detail{Count: uint64(len(failed)), Reason: "the stream did not take them; they are published again"},
	}
	for _, e := range failed {
		record.Resources = append(record.Resources, audit.Resource{ARN: string(e.ARN)})
	}
	if _, err := r.n.audit.log.Submit(record); err != nil {
		r.n.log.Warn("failed delivery not recorded yet", "error", err)
	}
}

// recordLogin records that a subscriber came, or was refused. Without a record
// nobody comes in.
func (n *Node) recordLogin(ctx context.Context, grant bus.Grant, refused error) error {
	if n.audit.log == nil {
		return refused
	}
	record := audit.Record{
		Name: "Subscribe", Type: audit.TypeLogin, ReadOnly: true,
		Identity: audit.Identity{Type: "IAMUser", ARN: grant.User},
		Detail:   audit.Detail{Count: uint64(len(grant.Subscribe))},
	}
	switch {
	case refused != nil:
		record.ErrorCode, record.Identity = "LoginRefused", audit.Identity{}
	case strings.HasSuffix(grant.User, ":root"):
		record.Identity.Type = "Root"
	}
	return errors.Join(refused, n.audit.log.Append(ctx, record))
}

// auditStream fits the bus to what the sink publishes to.
type auditStream struct{ bus *bus.Bus }

// PublishAudit is audit.Publisher's.
func (s auditStream) PublishAudit(ctx context.Context, messages []audit.Message) error {
	out := make([]bus.Message, 0, len(messages))
	for _, m := range messages {
		out = append(out, bus.Message{ID: m.ID, Subject: bus.AuditSubject(m.Node, m.Source, m.Name), Body: m.Body})
	}
	return errors.Join(s.bus.PublishAudit(ctx, out)...)
}

// auditHeads keeps heads in the store.
type auditHeads struct{ store store.Store }

// Load is audit.Heads'.
func (h auditHeads) Load(ctx context.Context, node string) (head audit.Head, err error) {
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		row, err := tx.AuditHead(node)
		if err == nil {
			head = headOf(*row)
		}
		return err
	})
	return head, err
}

// Save is audit.Heads'.
func (h auditHeads) Save(ctx context.Context, head audit.Head) error {
	return h.store.Update(ctx, func(tx store.Tx) error {
		return tx.SaveAuditHead(&store.AuditHead{
			Node: head.Node, Seq: head.Seq, Hash: head.Hash, Time: head.Time, RootID: head.Root, Signature: head.Signature,
		})
	})
}

func headOf(row store.AuditHead) audit.Head {
	return audit.Head{Node: row.Node, Seq: row.Seq, Hash: row.Hash, Time: row.Time, Root: row.RootID, Signature: row.Signature}
}

// auditSigners signs the log by the root key that wraps at present: after a move
// the former one may be away for good.
type auditSigners struct {
	node *Node
	// kept is the id of the key whose public half is known to be in the store.
	kept string
}

// Signer is audit.Signers'.
func (s *auditSigners) Signer(ctx context.Context) (audit.Signer, error) {
	root, ok := s.node.keys.Root().(publicSigner)
	if !ok {
		return nil, fmt.Errorf("root key %s cannot sign: %w", s.node.keys.Root().ID(), lockstep.ErrInvalid)
	}
	if root.ID() == s.kept {
		return root, nil
	}
	if err := keepAuditKey(ctx, s.node.store, root); err != nil {
		return nil, err
	}
	s.kept = root.ID()
	return root, nil
}

// publicSigner is what of a root key signs the log and verifies it.
type publicSigner interface {
	audit.Signer
	Public() *ecdsa.PublicKey
}

// keepAuditKey keeps the public half of the root key, which verifies what it
// signs, also once another root key took its place.
func keepAuditKey(ctx context.Context, s store.Store, root publicSigner) error {
	public, err := x509.MarshalPKIXPublicKey(root.Public())
	if err != nil {
		return fmt.Errorf("encode the root key's public half: %w", err)
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		return tx.SaveAuditKey(&store.AuditKey{RootID: root.ID(), Public: public, Since: tx.Now()})
	})
	if err != nil {
		return fmt.Errorf("keep the root key's public half: %w", err)
	}
	return nil
}

// AuditDir is where a node with this Config keeps its audit log.
func (c Config) AuditDir() string {
	if c.Audit.Dir != "" {
		return c.Audit.Dir
	}
	return filepath.Join(c.DataDir, "audit")
}
