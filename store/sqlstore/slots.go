package sqlstore

import (
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

func scanSlot(r row) (lockstep.Slot, error) {
	var s lockstep.Slot
	err := r.Scan(&s.Secret, &s.Fence, &s.Holder, timeInto{&s.Expires}, &s.Beat)
	return s, err
}

func scanLease(r row) (lockstep.Lease, error) {
	var l lockstep.Lease
	err := r.Scan(&l.Secret, &l.Fence, &l.Holder, timeInto{&l.Expires})
	return l, err
}

const leaseColumns = `secret, fence, holder, expires`

// Slot implements store.RunReader.
func (t *tx) Slot(secret lockstep.SecretID) (lockstep.Slot, error) {
	s, err := one(t.session, scanSlot, `SELECT secret, fence, holder, expires, beat FROM slots WHERE secret = $1`, secret)
	return s, place(fmt.Sprintf("read slot of secret %d", secret), err)
}

// ClaimSlot implements store.SlotWriter. ErrNotFound if there is no such
// Secret.
func (t *tx) ClaimSlot(secret lockstep.SecretID, holder string, length time.Duration) (lockstep.Lease, error) {
	doing := fmt.Sprintf("claim slot of secret %d", secret)
	if holder == "" {
		return lockstep.Lease{}, fmt.Errorf("%s: no holder: %w", doing, lockstep.ErrInvalid)
	}
	l, err := one(t.session, scanLease, `UPDATE slots SET fence = fence + 1, holder = $2, expires = @now + $3, beat = beat + 1
		WHERE secret = $1 AND (holder = '' OR expires <= @now) RETURNING `+leaseColumns,
		secret, holder, length.Microseconds())
	if errors.Is(err, lockstep.ErrNotFound) {
		err = t.heldOrMissing(secret)
	}
	return t.took(l, doing, err)
}

// heldOrMissing is the reason for which a claim met no row.
func (t *tx) heldOrMissing(secret lockstep.SecretID) error {
	s, err := t.Slot(secret)
	if err != nil {
		return err
	}
	return fmt.Errorf("held by %s: %w", s.Holder, lockstep.ErrBusy)
}

// took notes that this transaction holds the row lock of a slot.
func (t *tx) took(l lockstep.Lease, doing string, err error) (lockstep.Lease, error) {
	if err != nil {
		return lockstep.Lease{}, place(doing, err)
	}
	if t.guarded == nil {
		t.guarded = make(map[lockstep.SecretID]lockstep.Lease)
	}
	t.guarded[l.Secret] = l
	return l, nil
}

// BreakSlot implements store.SlotWriter. ErrNotFound if there is no such
// Secret.
func (t *tx) BreakSlot(seen lockstep.Slot, holder string, length time.Duration) (lockstep.Lease, error) {
	doing := fmt.Sprintf("break slot of secret %d", seen.Secret)
	if holder == "" {
		return lockstep.Lease{}, fmt.Errorf("%s: no holder: %w", doing, lockstep.ErrInvalid)
	}
	l, err := one(t.session, scanLease, `UPDATE slots SET fence = fence + 1, holder = $2, expires = @now + $3, beat = beat + 1
		WHERE secret = $1 AND fence = $4 AND beat = $5 RETURNING `+leaseColumns,
		seen.Secret, holder, length.Microseconds(), seen.Fence, seen.Beat)
	if errors.Is(err, lockstep.ErrNotFound) {
		err = t.heldOrMissing(seen.Secret)
	}
	return t.took(l, doing, err)
}

// holds is the condition under which a lease still holds; every write of a
// holder carries it.
const holds = ` WHERE secret = $1 AND fence = $2 AND holder = $3 AND expires > @now`

// ExtendSlot implements store.SlotWriter.
func (t *tx) ExtendSlot(l lockstep.Lease, length time.Duration) (lockstep.Lease, error) {
	ext, err := one(t.session, scanLease, `UPDATE slots SET beat = beat + 1,
		expires = CASE WHEN expires < @now + $4 THEN @now + $4 ELSE expires END`+holds+` RETURNING `+leaseColumns,
		l.Secret, l.Fence, l.Holder, length.Microseconds())
	return t.took(ext, fmt.Sprintf("extend slot of secret %d", l.Secret), fenced(err))
}

func fenced(err error) error {
	if errors.Is(err, lockstep.ErrNotFound) {
		return lockstep.ErrFenced
	}
	return err
}

// GuardSlot implements store.SlotWriter.
func (t *tx) GuardSlot(l lockstep.Lease) error {
	held, err := one(t.session, scanLease, `SELECT `+leaseColumns+` FROM slots`+holds+` @lock`, l.Secret, l.Fence, l.Holder)
	_, err = t.took(held, fmt.Sprintf("guard slot of secret %d", l.Secret), fenced(err))
	return err
}

// LockHeld implements store.SlotWriter.
func (t *tx) LockHeld(l lockstep.Lease) (*lockstep.Secret, error) {
	doing := fmt.Sprintf("lock secret %d", l.Secret)
	s, err := one(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets JOIN slots l ON l.secret = secrets.id
		WHERE secrets.id = $1 AND l.fence = $2 AND l.holder = $3 AND l.expires > @now @lock`, l.Secret, l.Fence, l.Holder)
	if errors.Is(err, lockstep.ErrNotFound) {
		if _, err := t.LockSecret(l.Secret); err != nil {
			return nil, err
		}
		err = lockstep.ErrFenced
	}
	if err != nil {
		return nil, place(doing, err)
	}
	t.locked(s)
	_, err = t.took(l, doing, nil)
	return s, err
}

// guard is GuardSlot unless this transaction has the row lock already.
func (t *tx) guard(l lockstep.Lease) error {
	if g, ok := t.guarded[l.Secret]; ok && g.Fence == l.Fence && g.Holder == l.Holder {
		return nil
	}
	return t.GuardSlot(l)
}

// RaiseFence implements store.SlotWriter.
func (t *tx) RaiseFence(l lockstep.Lease, min uint64) (lockstep.Lease, error) {
	raised, err := one(t.session, scanLease, `UPDATE slots SET fence = CASE WHEN fence < $4 THEN $4 ELSE fence END`+
		holds+` RETURNING `+leaseColumns, l.Secret, l.Fence, l.Holder, min)
	return t.took(raised, fmt.Sprintf("raise fence of secret %d", l.Secret), fenced(err))
}

// ReleaseSlot implements store.SlotWriter. The scheduler is woken if something
// waited for the slot.
func (t *tx) ReleaseSlot(l lockstep.Lease) error {
	doing := fmt.Sprintf("release slot of secret %d", l.Secret)
	type waiting struct{ schedule, job bool }
	waits, err := one(t.session, func(r row) (waiting, error) {
		var w waiting
		return w, r.Scan(&w.schedule, &w.job)
	}, `UPDATE slots SET holder = '', expires = 0, beat = beat + 1
		WHERE secret = $1 AND fence = $2 AND holder = $3
		RETURNING EXISTS (SELECT 1 FROM versions v WHERE v.secret = $1 AND v.retire_due IS NOT NULL)
			OR EXISTS (SELECT 1 FROM secrets s WHERE s.id = $1 AND s.unverified),
		EXISTS (SELECT 1 FROM jobs j WHERE j.secret = $1 AND j.awaits_slot)`, l.Secret, l.Fence, l.Holder)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err != nil {
		return place(doing, err)
	}
	delete(t.guarded, l.Secret)
	if waits.schedule {
		t.touch(store.TopicSchedule)
	}
	if waits.job {
		t.touch(store.TopicOutbox)
		_, err = t.exec(`UPDATE jobs SET due_at = 0, awaits_slot = FALSE WHERE secret = $1 AND awaits_slot`, l.Secret)
	}
	return place(doing, err)
}
