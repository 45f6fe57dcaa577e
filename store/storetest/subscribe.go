package storetest

import (
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var subscribeTests = map[string]func(*testing.T, *fixture){
	"each topic":             subscribeTopics,
	"signals are merged":     subscribeMerged,
	"nothing before success": subscribeFailed,
}

// quiet fails the test if a signal waits. A commit signals before it returns,
// so there is nothing to wait for.
func quiet(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
		t.Error("a signal without a reason")
	default:
	}
}

func subscribeTopics(t *testing.T, f *fixture) {
	at := f.now(t)
	s := f.secret(t, "name", due(at.Add(time.Hour)))
	r := f.run(t, s.ID, "run-1")
	v := f.version(t, s.ID, "v1")
	save := func(edit func()) func(store.Tx) error {
		return func(tx store.Tx) error {
			locked, err := tx.LockSecret(s.ID)
			if err != nil {
				return err
			}
			*s = *locked
			edit()
			return tx.SaveSecret(s)
		}
	}
	lease := lockstep.Lease{}
	topics := []store.Topic{store.TopicSchedule, store.TopicOutbox, store.TopicRuns}
	for _, c := range []struct {
		what string
		want store.Topic
		do   func(store.Tx) error
	}{
		{"a secret is due earlier", store.TopicSchedule, save(func() { s.NextRotation = at.Add(time.Minute) })},
		{"a secret is due later", "", save(func() { s.NextRotation = at.Add(time.Hour) })},
		{"a secret is unverified", store.TopicSchedule, save(func() { s.Unverified = true })},
		{"a secret is verified", "", save(func() { s.Unverified = false })},
		{"a retirement is due", store.TopicSchedule, func(tx store.Tx) error {
			v.Retirement = lockstep.RetirementDue
			return tx.SaveVersion(v)
		}},
		{"the slot is claimed", "", func(tx store.Tx) (err error) {
			lease, err = tx.ClaimSlot(s.ID, "w1", time.Hour)
			return err
		}},
		{"the slot is free for the retirement", store.TopicSchedule, func(tx store.Tx) error { return tx.ReleaseSlot(lease) }},
		{"a retirement is done", "", func(tx store.Tx) error {
			v.Retirement = lockstep.RetirementRetired
			return tx.SaveVersion(v)
		}},
		{"a run changes", store.TopicRuns, func(tx store.Tx) error { return tx.SaveRun(r, nil) }},
		{"a job is added", store.TopicOutbox, func(tx store.Tx) error {
			return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: s.ID})
		}},
		{"an event is added", store.TopicOutbox, func(tx store.Tx) error { return tx.AddEvent(event(t, s, lockstep.EventRunFailed)) }},
		{"nothing of these", "", setting("x")},
	} {
		t.Run(c.what, func(t *testing.T) {
			chans := map[store.Topic]<-chan struct{}{}
			for _, topic := range topics {
				ch, cancel := f.Subscribe(topic)
				defer cancel()
				chans[topic] = ch
			}
			f.update(t, c.do)
			for _, topic := range topics {
				if topic == c.want {
					signalled(t, chans[topic])
				} else {
					quiet(t, chans[topic])
				}
			}
		})
	}
}

func subscribeMerged(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	ch, cancel := f.Subscribe(store.TopicOutbox)
	second, cancelSecond := f.Subscribe(store.TopicOutbox)
	for range 3 {
		f.update(t, func(tx store.Tx) error { return tx.AddEvent(event(t, s, lockstep.EventRunFailed)) })
	}
	signalled(t, ch)
	quiet(t, ch)
	signalled(t, second)
	cancelSecond()
	cancelSecond()
	f.update(t, func(tx store.Tx) error { return tx.AddEvent(event(t, s, lockstep.EventRunFailed)) })
	signalled(t, ch)
	quiet(t, second)
	cancel()
}

func subscribeFailed(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	ch, cancel := f.Subscribe(store.TopicOutbox)
	defer cancel()
	f.refuse(t, errMine, func(tx store.Tx) error {
		return errors.Join(tx.AddEvent(event(t, s, lockstep.EventRunFailed)), errMine)
	})
	quiet(t, ch)
}
