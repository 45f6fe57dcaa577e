package keeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"lockstep"
	"lockstep/store"
)

// masterARN is what a value names as the Secret whose credential changes it at
// the target: AWS's field, an ARN or a name; empty if it names none.
func masterARN(v lockstep.Value) string {
	const field = "masterarn"
	if !bytes.Contains(bytes.ToLower(v.Bytes()), []byte(field)) {
		return "" // most values have none, and need not be read as JSON
	}
	var named struct {
		MasterARN string `json:"masterarn"`
	}
	if json.Unmarshal(v.Bytes(), &named) != nil {
		return ""
	}
	return named.MasterARN
}

// maxAdminRef is the length of the longest ARN that a Secret can have, and more.
const maxAdminRef = 1024

// NamedAdmin is what a value names as its masterarn, in the form that is kept in
// clear beside the Version (Secret.AdminRef).
func NamedAdmin(v lockstep.Value) string {
	ref := masterARN(v)
	if len(ref) > maxAdminRef {
		return lockstep.NoSecretName
	}
	if !adminForm.MatchString(ref) {
		return lockstep.NoSecretName
	}
	return ref
}

// adminForm is a name's, or an ARN's with one.
var adminForm = regexp.MustCompile(`^(arn(:[a-z0-9-]*){4}:secret:)?[A-Za-z0-9/_+=.@!-]*$`)

// FindAdmin finds the Secret that s names by a masterarn: in the region of an
// ARN, or else in its own; always in its own account. ErrNotFound.
func FindAdmin(tx store.ReadTx, s *lockstep.Secret, ref string) (*lockstep.Secret, error) {
	owner := ownerOf(s)
	if arn, ok := lockstep.ParseSecretARN(ref); ok {
		owner.Region = arn.Region
	}
	return tx.FindSecret(owner, ref)
}

// maxAdmins bounds how far up admins are followed.
const maxAdmins = 100

// checkAdmins refuses a reference by which a Secret would be managed by itself,
// over however many others: each Run would wait for the other's end. Only what
// rotates counts.
func checkAdmins(tx store.ReadTx, s *lockstep.Secret, ref string) error {
	names := []string{s.Name}
	for at := s; ref != "" && len(names) <= maxAdmins; ref = at.AdminRef {
		admin, err := FindAdmin(tx, at, ref)
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow masterarn: %w", err)
		}
		names = append(names, admin.Name)
		if admin.ID == s.ID {
			return lockstep.Refuse(lockstep.ErrState,
				"Secret %s can't be rotated with this value: its masterarn leads back to itself (%s), so that each rotation would wait for the other. Name another admin secret, or none.",
				s.Name, strings.Join(names, " is managed by "))
		}
		if !admin.RotationEnabled() {
			return nil
		}
		at = admin
	}
	return nil
}

// NameAdmin notes what AWSCURRENT of a Secret names as its masterarn, when its
// rotation is set. Errors: a Refusal of kind ErrState if that leads back to the
// Secret itself.
func NameAdmin(tx store.ReadTx, s *lockstep.Secret, ref string) error {
	if err := checkAdmins(tx, s, ref); err != nil {
		return err
	}
	s.AdminRef = ref
	return nil
}
