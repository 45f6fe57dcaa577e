package keys_test

import (
	"errors"
	"testing"

	"lockstep"
	"lockstep/keys"
)

// TestRotationResumes breaks a rotation and its re-wrapping at each of their
// writes: everything stays readable, and the next start comes to the end.
func TestRotationResumes(t *testing.T) {
	for n := 1; ; n++ {
		st, root := sqlite(t), newRoot(t)
		b := &breaking{Store: st}
		k := newService(t, b, root)
		mk, err := k.Create(t.Context(), keys.CreateInput{Owner: home})
		if err != nil {
			t.Fatal(err)
		}
		id, arn := addSecrets(t, st, k, mk.ID, 3)
		ref := keys.Ref{Owner: home, ID: mk.ID}
		b.left = n
		_, err = k.Rotate(t.Context(), ref)
		if err == nil {
			err = k.Maintain(t.Context())
		}
		whole := err == nil
		if !whole && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		again := newService(t, st, root)
		for _, service := range []*keys.Service{k, again} {
			for _, v := range versions(t, st, id) {
				got, err := service.Open(t.Context(), v.Sealed, keys.Binding{ARN: string(arn), Version: string(v.ID)})
				if err != nil || got.Reveal() != string(v.ID) {
					t.Fatalf("broken at write %d: %s: %v", n, v.ID, err)
				}
			}
		}
		if err := again.Maintain(t.Context()); err != nil {
			t.Fatalf("broken at write %d: %v", n, err)
		}
		now, err := again.Find(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions(t, st, id) {
			if v.Sealed.KeyVersion != len(now.Versions) {
				t.Errorf("broken at write %d: %s is left under version %d", n, v.ID, v.Sealed.KeyVersion)
			}
			if got, err := again.Open(t.Context(), v.Sealed, keys.Binding{ARN: string(arn), Version: string(v.ID)}); err != nil || !got.Equal(lockstep.StringValue(string(v.ID))) {
				t.Errorf("broken at write %d: %s: %v", n, v.ID, err)
			}
		}
		if whole {
			break
		}
	}
}
