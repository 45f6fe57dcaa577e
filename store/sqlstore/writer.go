package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"lockstep"
	"lockstep/store"
)

const (
	// maxBatch bounds the Updates that share one commit, and so how long the
	// first of them waits for the others.
	maxBatch = 128
	// maxQueue bounds the Updates that wait; more are told ErrBusy at once.
	maxQueue = 8192
)

// writer is the goroutine that owns the connection that writes. It hands the
// connection to one waiting Update after the other: their functions run on
// their callers' goroutines, so that a panic or runtime.Goexit there ends the
// caller and not the writer.
type writer struct {
	conn  *sqliteConn
	hub   *hub
	queue chan *ticket
	ended chan struct{}

	mu     sync.RWMutex
	closed bool
}

// ticket is an Update in the queue.
type ticket struct {
	// turn hands it the connection; gone is closed if it left before.
	turn chan *sqliteConn
	gone chan struct{}
	// done hands the connection back; result is sent after the commit.
	done   chan work
	result chan error
}

// work is what an Update did in its turn.
type work struct {
	keep    bool
	touched topicSet
}

func startWriter(conn *sqliteConn, h *hub) *writer {
	w := &writer{conn: conn, hub: h, queue: make(chan *ticket, maxQueue), ended: make(chan struct{})}
	go w.loop()
	return w
}

// stop lets the queue run out and waits for the last commit.
func (w *writer) stop() {
	w.mu.Lock()
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.ended
}

// update queues fn and runs it in its turn.
func (w *writer) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	k := &ticket{
		turn: make(chan *sqliteConn), gone: make(chan struct{}),
		done: make(chan work, 1), result: make(chan error, 1),
	}
	if err := w.enqueue(k); err != nil {
		return err
	}
	select {
	case conn := <-k.turn:
		err := k.run(newTx(ctx, conn.bind(ctx)), fn)
		// Also an error waits for the commit: it may rest on what an Update
		// before it in the batch wrote.
		if failed := <-k.result; failed != nil {
			return failed
		}
		return err
	case failed := <-k.result:
		// The transaction was lost before its turn.
		return failed
	case <-ctx.Done():
		close(k.gone)
		return fmt.Errorf("wait for the writer: %w", ctx.Err())
	}
}

func (w *writer) enqueue(k *ticket) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- k:
		return nil
	default:
		return fmt.Errorf("update: %d updates wait already: %w", maxQueue, lockstep.ErrBusy)
	}
}

// run runs fn and hands the connection back, whichever way fn ends.
func (k *ticket) run(t *tx, fn func(store.Tx) error) (err error) {
	var done work
	defer func() { k.done <- done }()
	if err = fn(t); err == nil {
		err = t.verdict()
	}
	done = work{keep: err == nil, touched: t.touched}
	return err
}

func (w *writer) loop() {
	defer close(w.ended)
	for first := range w.queue {
		w.batch(first)
	}
}

// batch runs first and what waits behind it in one transaction.
func (w *writer) batch(first *ticket) {
	ran := []*ticket{first}
	var touched topicSet
	err := place("begin transaction", w.conn.control("BEGIN IMMEDIATE"))
	if err == nil {
		touched, err = w.lead(first)
	}
	for err == nil {
		k := w.next(len(ran))
		if k == nil {
			break
		}
		ran = append(ran, k)
		var set topicSet
		set, err = w.serve(k)
		touched |= set
	}
	if err == nil {
		err = place("commit", w.conn.control("COMMIT"))
	}
	if err != nil {
		// SQLite may have rolled back by itself (disk full); then this says so,
		// which is no news.
		_ = w.conn.control("ROLLBACK")
		touched = 0
	}
	for _, k := range ran {
		k.result <- busy(err)
	}
	w.hub.signal(touched)
}

// next takes the next waiting ticket, if any and if the batch is not full.
func (w *writer) next(taken int) *ticket {
	if taken >= maxBatch {
		return nil
	}
	select {
	case k := <-w.queue:
		return k
	default:
		return nil
	}
}

// lead gives the first ticket of a transaction its turn. It needs no savepoint,
// and SQLite no journal for one: what undoes it is to begin again. An error
// means that the transaction as a whole is lost.
func (w *writer) lead(k *ticket) (topicSet, error) {
	done := w.hand(k)
	if done.keep {
		return done.touched, nil
	}
	if err := w.conn.control("ROLLBACK"); err != nil {
		return 0, place("undo update", err)
	}
	return 0, place("begin transaction again", w.conn.control("BEGIN IMMEDIATE"))
}

// serve gives a later ticket its turn, inside a savepoint. An error means that
// the transaction as a whole is lost.
func (w *writer) serve(k *ticket) (topicSet, error) {
	if err := w.conn.control("SAVEPOINT turn"); err != nil {
		return 0, place("begin update", err)
	}
	done := w.hand(k)
	if done.keep {
		return done.touched, place("keep update", w.conn.control("RELEASE turn"))
	}
	if err := w.conn.control("ROLLBACK TO turn"); err != nil {
		return 0, place("undo update", err)
	}
	return 0, place("undo update", w.conn.control("RELEASE turn"))
}

// hand hands a ticket the connection and waits until it comes back; the zero
// work if nobody waits for it any more.
func (w *writer) hand(k *ticket) work {
	select {
	case k.turn <- w.conn:
		return <-k.done
	case <-k.gone:
		return work{}
	}
}

// busy makes sure that what the whole batch hears is an ErrBusy: none of its
// functions is to blame.
func busy(err error) error {
	if err == nil || errors.Is(err, lockstep.ErrBusy) {
		return err
	}
	return fmt.Errorf("%w: %w", lockstep.ErrBusy, err)
}
