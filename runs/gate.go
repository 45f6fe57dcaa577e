package runs

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/schedule"
	"lockstep/store"
)

// Limits is how many Runs may be under way at once. A Run that finds no place
// waits as a row, without a Job, and goes when one is free: what a person calls
// an emergency first, then what people started, then what was due; among those
// of one kind the earliest deadline, then who came first.
type Limits struct {
	// Total bounds them all; zero means 1000.
	Total int
	// PerRotator bounds those of one rotator; zero means no bound.
	PerRotator int
	// PerTarget bounds those at one target address; zero means 64.
	PerTarget int
}

func (l Limits) withDefaults() Limits {
	if l.Total <= 0 {
		l.Total = 1000
	}
	if l.PerTarget <= 0 {
		l.PerTarget = 64
	}
	return l
}

// gate decides in one transaction which Runs may be under way. What it read is
// kept for the transaction's length.
type gate struct {
	service *Service
	tx      store.Tx
	// generation is that of the Holds, once the admission is locked.
	generation int64
	// queue makes every Run wait, so that all are put in order first.
	queue bool
	tally *tally
	held  map[store.Owner][]*lockstep.Hold
}

func (s *Service) gate(tx store.Tx) *gate {
	return &gate{service: s, tx: tx, held: make(map[store.Owner][]*lockstep.Hold)}
}

// lock makes this transaction the only one that gives places away.
func (g *gate) lock() (err error) {
	if g.generation != 0 {
		return nil
	}
	if g.generation, err = g.tx.LockAdmission(); err != nil {
		return fmt.Errorf("lock admission: %w", err)
	}
	g.forget()
	return nil
}

// tryLock is lock without waiting for others: a caller that has a Secret locked
// must not wait for one who has the admission and wants that Secret.
func (g *gate) tryLock() (ok bool, err error) {
	if g.generation != 0 {
		return true, nil
	}
	if g.generation, ok, err = g.tx.TryLockAdmission(); err != nil {
		return false, fmt.Errorf("lock admission: %w", err)
	}
	g.forget()
	return ok, nil
}

// forget drops what was read before the lock.
func (g *gate) forget() {
	g.tally = nil
	clear(g.held)
}

// tally counts the places that are taken.
type tally struct {
	limits  Limits
	total   int
	rotator map[string]int
	target  map[lockstep.TargetKey]int
	waiting bool
	// looks are those among the places that Looks have.
	looks          int
	looksByRotator map[string]int
	looksByTarget  map[lockstep.TargetKey]int
}

func (g *gate) count() (*tally, error) {
	if g.tally != nil {
		return g.tally, nil
	}
	used, err := g.tx.Usage()
	if err != nil {
		return nil, fmt.Errorf("count places: %w", err)
	}
	t := &tally{
		limits: g.service.limits, rotator: make(map[string]int), target: make(map[lockstep.TargetKey]int),
		looksByRotator: make(map[string]int), looksByTarget: make(map[lockstep.TargetKey]int),
	}
	for _, u := range used {
		t.add(u.Rotator, u.Target, u.Places+u.Looks)
		t.addLooks(u.Rotator, u.Target, u.Looks)
	}
	if t.waiting, err = g.tx.Waiting(); err != nil {
		return nil, fmt.Errorf("look for runs that wait: %w", err)
	}
	g.tally = t
	return t, nil
}

func (t *tally) add(rotator string, target lockstep.TargetKey, n int) {
	t.total += n
	t.rotator[rotator] += n
	if target != "" {
		t.target[target] += n
	}
}

// full says which limit leaves no place; empty if there is one.
func (t *tally) full(p store.Place) string {
	l := t.limits
	switch {
	case t.total >= l.Total:
		return fmt.Sprintf("%d runs are under way", t.total)
	case p.Target != "" && t.target[p.Target] >= l.PerTarget:
		return fmt.Sprintf("%d runs are at this target", t.target[p.Target])
	case l.PerRotator > 0 && t.rotator[p.Rotator] >= l.PerRotator:
		return fmt.Sprintf("%d runs of rotator %s are under way", t.rotator[p.Rotator], p.Rotator)
	}
	return ""
}

// fullList is what has no place left for anybody.
func (t *tally) fullList() store.FullList {
	var out store.FullList
	for target, n := range t.target {
		if n >= t.limits.PerTarget {
			out.Targets = append(out.Targets, target)
		}
	}
	for rotator, n := range t.rotator {
		if t.limits.PerRotator > 0 && n >= t.limits.PerRotator {
			out.Rotators = append(out.Rotators, rotator)
		}
	}
	return out
}

// enter gives a Run a place, and with it a Job, or lets it wait. The caller
// saves the Run.
func (g *gate) enter(b *ledger.Book, run *lockstep.Run) error {
	w := store.Wait{Place: placeOf(b.Secret, run), Rank: rank(run.Trigger), Due: ageLimit(b.Secret)}
	h, err := g.holdNow(b, run)
	if err != nil {
		return err
	}
	if h != nil {
		return g.keepBack(b, run, w, h)
	}
	why, err := g.noPlace(w.Place)
	if err != nil {
		return err
	}
	if why != "" {
		run.Reason = "waits for a place: " + why
		if err := g.tx.SaveWait(w); err != nil {
			return fmt.Errorf("let the run wait: %w", err)
		}
		return nil
	}
	return g.admit(b, run, w.Place)
}

// noPlace says why there is no place now; empty if there is one, which nobody
// else can take before this transaction ends. Nobody overtakes those that wait,
// nor who is giving places away at this moment.
func (g *gate) noPlace(p store.Place) (string, error) {
	alone, err := g.tryLock()
	if err != nil {
		return "", err
	}
	if !alone {
		return "others come first", nil
	}
	t, err := g.count()
	if err != nil {
		return "", err
	}
	if g.queue || t.waiting {
		return "others come first", nil
	}
	return t.full(p), nil
}

// admit gives a Run its place and publishes its Job.
func (g *gate) admit(b *ledger.Book, run *lockstep.Run, p store.Place) error {
	if err := g.tx.TakePlace(p); err != nil {
		return fmt.Errorf("take a place: %w", err)
	}
	g.tally.add(p.Rotator, p.Target, 1)
	return b.PublishRun(run, time.Time{})
}

// keepBack lets a Run wait for the end of a Hold, and says so once.
func (g *gate) keepBack(b *ledger.Book, run *lockstep.Run, w store.Wait, h *holding) error {
	w.Held, w.Until = g.generation, h.until
	if err := g.tx.SaveWait(w); err != nil {
		return fmt.Errorf("let the run wait: %w", err)
	}
	if run.Reason == h.reason {
		return nil
	}
	run.Reason = h.reason
	return b.Emit(lockstep.EventRunWaiting, lockstep.EventData{
		VersionID: run.Version, Run: run.ID, Trigger: run.Trigger, State: run.State, Reason: run.Reason,
	})
}

func placeOf(s *lockstep.Secret, run *lockstep.Run) store.Place {
	return store.Place{Run: run.ID, Secret: s.ID, Rotator: rotationOf(s).Rotator, Target: s.Target}
}

func rank(t lockstep.Trigger) int {
	switch t {
	case lockstep.TriggerEmergency:
		return 0
	case lockstep.TriggerManual, lockstep.TriggerTwice, lockstep.TriggerCut:
		return 1
	}
	return 2
}

// holding is what keeps a Secret's Runs back now.
type holding struct {
	reason string
	// until is when it ends by itself; zero if nobody knows.
	until time.Time
}

// holdNow is what keeps a Run from starting now; nil if nothing does. An answer
// that is not nil was found with the admission locked, so that no Hold's end is
// missed.
func (g *gate) holdNow(b *ledger.Book, run *lockstep.Run) (*holding, error) {
	if run.Trigger == lockstep.TriggerEmergency || run.TestOnly {
		return nil, nil
	}
	h, err := g.holding(b)
	if h == nil || err != nil || g.generation != 0 {
		return h, err
	}
	if err := g.lock(); err != nil {
		return nil, err
	}
	return g.holding(b)
}

func (g *gate) holding(b *ledger.Book) (*holding, error) {
	c, err := g.calendar(b.Secret)
	if c == nil || err != nil {
		return nil, err
	}
	f, frozen := c.Frozen(b.Now)
	if !frozen {
		return nil, nil
	}
	h := &holding{reason: "held by " + f.Reason}
	if at, ok := c.NextAllowed(b.Now); ok {
		h.until = at
		h.reason += " until " + at.UTC().Format(time.RFC3339)
	}
	return h, nil
}

// holds are those that cover a Secret.
func (g *gate) holds(s *lockstep.Secret) ([]*lockstep.Hold, error) {
	owner := store.Owner{Account: s.Account, Region: s.Region}
	list, known := g.held[owner]
	if !known {
		var err error
		if list, err = g.tx.Holds(owner); err != nil {
			return nil, fmt.Errorf("read holds: %w", err)
		}
		g.held[owner] = list
	}
	var out []*lockstep.Hold
	for _, h := range list {
		if h.Covers(s) {
			out = append(out, h)
		}
	}
	return out, nil
}

// calendar is what the Holds on a Secret forbid; nil if there are none.
func (g *gate) calendar(s *lockstep.Secret) (*schedule.Calendar, error) {
	holds, err := g.holds(s)
	if len(holds) == 0 || err != nil {
		return nil, err
	}
	return calendarOf(holds)
}

func calendarOf(holds []*lockstep.Hold) (*schedule.Calendar, error) {
	var limits schedule.Limits
	for _, h := range holds {
		limits.Freezes = append(limits.Freezes, freezeOf(h))
	}
	return schedule.NewCalendar(limits)
}

// freezeOf is a Hold in the schedule's words.
func freezeOf(h *lockstep.Hold) schedule.Freeze {
	f := schedule.Freeze{Reason: string(h.Kind) + " " + h.Name, From: h.From, To: h.To}
	if h.Reason != "" {
		f.Reason += " (" + h.Reason + ")"
	}
	if h.Recurring.Expression != "" {
		f.Recurring = &schedule.Period{
			Expression: h.Recurring.Expression, TimeZone: h.Recurring.TimeZone, For: h.Recurring.For, Anchor: h.Created,
		}
	}
	return f
}
