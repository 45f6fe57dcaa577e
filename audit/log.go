package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lockstep"
)

// The defaults of a Config.
const (
	DefaultMaxFile    = 64 << 20
	DefaultMaxAge     = 24 * time.Hour
	DefaultCheckpoint = time.Second
)

const (
	// maxWaiting bounds the bytes that wait for the next write.
	maxWaiting = 32 << 20
	// retryEvery is how often a log that cannot be written is tried again.
	retryEvery = 250 * time.Millisecond
	// headTimeout bounds the signing and keeping of a head.
	headTimeout = 30 * time.Second
	// pruneEvery is how often old files are looked for.
	pruneEvery = time.Minute
)

// Config says where a Log is and how it is kept.
type Config struct {
	// Dir holds a folder for each node; it is made if it is not there. Required.
	Dir string
	// Node names the chain: this server among those of the installation, the
	// same over restarts; see NodeName. Required.
	Node string
	// MACKey is the key of the entries' macs, of 32 bytes. Required.
	MACKey []byte
	// Signers sign checkpoints. Required.
	Signers Signers
	// Heads keeps the newest head. Required.
	Heads Heads
	// MaxFile is the size, and MaxAge the age, at which a new file is begun;
	// zero means the defaults, 64 MiB and a day.
	MaxFile int64
	MaxAge  time.Duration
	// Keep is how long a file is kept after its end; zero means for ever.
	Keep time.Duration
	// Checkpoint is the interval of signed checkpoints; zero means a second.
	Checkpoint time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears of trouble; nil means silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.MaxFile == 0 {
		c.MaxFile = DefaultMaxFile
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.Checkpoint == 0 {
		c.Checkpoint = DefaultCheckpoint
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Dir == "" || c.Signers == nil || c.Heads == nil || len(c.MACKey) != 32:
		return c, fmt.Errorf("audit config: Dir, Signers, Heads and a MACKey of 32 bytes are required: %w", lockstep.ErrInvalid)
	case !nodeName.MatchString(c.Node):
		return c, fmt.Errorf("audit config: %q cannot name a node: %w", c.Node, lockstep.ErrInvalid)
	case c.MaxFile < 0 || c.MaxAge < 0 || c.Keep < 0 || c.Checkpoint < 0:
		return c, fmt.Errorf("audit config: sizes and durations must not be negative: %w", lockstep.ErrInvalid)
	}
	return c, nil
}

// Log is the chain of this node, open for writing. It is safe for concurrent
// use.
type Log struct {
	cfg   Config
	chain *chain // used by the writer alone
	wake  chan struct{}
	// stop ends the writer and halt the checkpointer; both then close theirs.
	stop, ended  chan struct{}
	halt, signed chan struct{}

	mu              sync.Mutex
	next            *batch
	closing, closed bool
	// broken is why nothing can be written now.
	broken error
	since  time.Time
	// refused counts the calls that were refused since then.
	refused uint64
	// late holds the bodies that could not be written, up to maxWaiting bytes.
	late     [][]byte
	lateSize int
	// tail is the end of what is durable; records counts the entries in it that
	// are no checkpoints, since the Log was opened.
	tail    tail
	records uint64
	// grown is closed and made anew with each durable write.
	grown chan struct{}
	// pruned is when old files were last looked for.
	pruned time.Time
}

// tail is the end of a chain.
type tail struct {
	seq  uint64
	hash digest
}

// batch is what waits for one write.
type batch struct {
	bodies  [][]byte
	size    int
	records uint64
	done    chan struct{}
	err     error
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Open opens the chain of a node, or begins it. What a crash left torn is set
// aside, and the Log says so in its first record; other damage is recorded and
// left as it is. Errors: lockstep.ErrInvalid for a Config that cannot work,
// lockstep.ErrBusy if another process writes this chain; the file system's.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c, notes, err := openChain(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	l := &Log{
		cfg: cfg, chain: c, next: newBatch(), wake: make(chan struct{}, 1), grown: make(chan struct{}),
		stop: make(chan struct{}), ended: make(chan struct{}),
		halt: make(chan struct{}), signed: make(chan struct{}), tail: c.tail,
	}
	go l.write()
	if len(notes) > 0 {
		if err := l.Append(ctx, notes...); err != nil {
			return nil, errors.Join(fmt.Errorf("open audit log: %w", err), l.end())
		}
	}
	go l.checkpoints(context.WithoutCancel(ctx))
	return l, nil
}

// Append writes records and returns when they are durable. Errors:
// lockstep.ErrBusy if the log cannot be written: do not answer what the records
// are about. They are kept, within bounds, and written once that is possible,
// since what they tell has happened. If ctx ends first, its error; the records
// are written all the same.
func (l *Log) Append(ctx context.Context, records ...Record) error {
	wait, err := l.Submit(records...)
	if err != nil {
		return err
	}
	return wait(ctx)
}

// Submit puts records into the next write, in order, and returns a function
// that waits until they are durable. Errors: as Append's.
func (l *Log) Submit(records ...Record) (wait func(context.Context) error, err error) {
	bodies := make([][]byte, len(records))
	for i, r := range records {
		if bodies[i], err = r.encode(l.cfg.Node, l.cfg.Now()); err != nil {
			return nil, err
		}
	}
	b, err := l.enqueue(bodies, uint64(len(bodies)))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		select {
		case <-b.done:
			return b.err
		case <-ctx.Done():
			return fmt.Errorf("wait for the audit log: %w", ctx.Err())
		}
	}, nil
}

// Ready returns nil if the log can be written as far as is known, else an error
// that matches lockstep.ErrBusy. Ask it before doing what cannot be undone.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open()
}

// Durable is the number of the last entry that is on the disk, and a channel
// that is closed when there are more.
func (l *Log) Durable() (uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.seq, l.grown
}

// open tells whether records are taken; l.mu is held.
func (l *Log) open() error {
	switch {
	case l.closed:
		return fmt.Errorf("the audit log is closed: %w", lockstep.ErrBusy)
	case l.broken != nil:
		l.refused++
		return fmt.Errorf("the audit log cannot be written: %w: %w", lockstep.ErrBusy, l.broken)
	case l.next.size > maxWaiting:
		return fmt.Errorf("too many records wait for the audit log: %w", lockstep.ErrBusy)
	}
	return nil
}

func (l *Log) enqueue(bodies [][]byte, records uint64) (*batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, body := range bodies {
		size += len(body)
	}
	if err := l.open(); err != nil {
		if l.broken != nil && l.lateSize+size <= maxWaiting {
			l.late = append(l.late, bodies...)
			l.lateSize += size
		}
		return nil, err
	}
	b := l.next
	b.bodies = append(b.bodies, bodies...)
	b.records += records
	b.size += size
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return b, nil
}

// write is the writer: it takes what waits, writes it with one fsync, and wakes
// who waited.
func (l *Log) write() {
	defer close(l.ended)
	for {
		retry := l.retryTimer()
		select {
		case <-l.wake:
		case <-retry:
		case <-l.stop:
			l.flush()
			return
		}
		l.flush()
	}
}

func (l *Log) retryTimer() <-chan time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		return nil
	}
	return time.After(retryEvery)
}

func (l *Log) flush() {
	l.mu.Lock()
	b := l.next
	l.next = newBatch()
	broken := l.broken != nil
	l.mu.Unlock()
	if broken {
		if !l.mend() {
			l.refuse(b)
			return
		}
	}
	if len(b.bodies) == 0 {
		close(b.done)
		return
	}
	err := l.chain.commit(b.bodies)
	if err != nil {
		l.fail(b, err)
		return
	}
	l.advanced(b.records)
	close(b.done)
}

// refuse turns away what came in while the log could not be written; it keeps
// the bodies like those of a failed write.
func (l *Log) refuse(b *batch) {
	l.mu.Lock()
	b.err = fmt.Errorf("the audit log cannot be written: %w: %w", lockstep.ErrBusy, l.broken)
	l.late = append(l.late, b.bodies...)
	l.lateSize += b.size
	l.mu.Unlock()
	close(b.done)
}

// fail marks the log as broken and keeps what could not be written.
func (l *Log) fail(b *batch, err error) {
	l.cfg.Logger.Error("the audit log cannot be written; requests are refused until it can", "error", err)
	l.mu.Lock()
	l.broken, l.since, l.refused = err, l.cfg.Now(), 0
	l.mu.Unlock()
	l.refuse(b)
}

// mend tries to write again: first what could not be written, and a record of
// the outage.
func (l *Log) mend() bool {
	l.mu.Lock()
	late := l.late
	note := Record{
		Time: l.since, Name: "ResumeAuditLog", Identity: Identity{Type: "AWSService"},
		Detail: Detail{Count: l.refused, Reason: fmt.Sprintf("the log could not be written; %d late records follow, %d calls were refused", len(late), l.refused)},
	}
	l.mu.Unlock()
	body, err := note.encode(l.cfg.Node, l.cfg.Now())
	if err == nil {
		err = l.chain.reopen()
	}
	if err == nil {
		err = l.chain.commit(append([][]byte{body}, late...))
	}
	if err != nil {
		return false
	}
	l.cfg.Logger.Info("the audit log can be written again", "late", len(late))
	l.mu.Lock()
	if more := l.late[len(late):]; len(more) > 0 { // they came while it was mended
		l.next.bodies = append(more, l.next.bodies...)
		l.next.records += uint64(len(more))
	}
	l.broken, l.late, l.lateSize = nil, nil, 0
	l.mu.Unlock()
	l.advanced(uint64(len(late)) + 1)
	return true
}

// advanced publishes the new end of the chain.
func (l *Log) advanced(records uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.chain.tail
	l.records += records
	close(l.grown)
	l.grown = make(chan struct{})
}

// checkpoints signs the chain's end at intervals, and prunes.
func (l *Log) checkpoints(ctx context.Context) {
	defer close(l.signed)
	tick := time.NewTicker(l.cfg.Checkpoint)
	defer tick.Stop()
	var done uint64
	for {
		select {
		case <-l.halt:
			return
		case <-tick.C:
		}
		done = l.checkpoint(ctx, done)
		l.pruneNow(ctx)
	}
}

// checkpoint signs the end if there are records after the done that were
// signed, and returns how many are.
func (l *Log) checkpoint(ctx context.Context, done uint64) uint64 {
	l.mu.Lock()
	end, records, away := l.tail, l.records, l.broken != nil
	l.mu.Unlock()
	if records == done || away {
		return done
	}
	if err := l.signEnd(ctx, end); err != nil {
		l.cfg.Logger.Warn("audit log not signed; it is tried again", "error", err)
		return done
	}
	return records
}

func (l *Log) signEnd(ctx context.Context, end tail) error {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	head, err := sign(ctx, l.cfg.Signers, forHead, Head{Node: l.cfg.Node, Seq: end.seq, Hash: end.hash[:], Time: l.cfg.Now().UTC()})
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Head Head `json:"checkpoint"`
	}{head})
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	b, err := l.enqueue([][]byte{body[1:]}, 0)
	if err != nil {
		return err
	}
	<-b.done
	if err := l.cfg.Heads.Save(ctx, head); err != nil {
		return fmt.Errorf("keep audit head: %w", err)
	}
	return b.err
}

// Close writes what waits, signs the end, and closes the files. Later calls
// fail; a second Close does nothing.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		<-l.ended
		return nil
	}
	close(l.halt)
	<-l.signed
	err := l.Append(ctx) // nothing, after all that waits
	l.mu.Lock()
	end := l.tail
	l.mu.Unlock()
	if err == nil && end.seq > 0 {
		err = l.signEnd(ctx, end)
	}
	return errors.Join(err, l.end())
}

// end stops the writer, once it has written what waits, and closes the files.
func (l *Log) end() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	<-l.ended
	return l.chain.close()
}
