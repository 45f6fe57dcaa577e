package storetest

import (
	"testing"

	"lockstep"
	"lockstep/store"
)

var identityTests = map[string]func(*testing.T, *fixture){
	"users and keys":          identityKeys,
	"groups and members":      identityGroups,
	"roles":                   identityRoles,
	"policies":                identityPolicies,
	"what goes with a user":   identityDeletedUser,
	"what goes with others":   identityDeletedOthers,
	"lists by name, in pages": identityLists,
}

const (
	annARN  = "arn:aws:iam::000000000000:user/ann"
	opsARN  = "arn:aws:iam::000000000000:group/ops"
	roleARN = "arn:aws:iam::000000000000:role/app"
	readARN = "arn:aws:iam::000000000000:policy/read"
)

var someTags = []lockstep.Tag{{Key: "team", Value: "a"}}

func (f *fixture) ann(t *testing.T) *store.User {
	u := &store.User{ARN: annARN, Account: account, Name: "ann", Tags: someTags, Boundary: "b", Created: f.now(t)}
	f.update(t, func(tx store.Tx) error { return tx.InsertUser(u) })
	return u
}

func (f *fixture) ops(t *testing.T) *store.Group {
	g := &store.Group{ARN: opsARN, Account: account, Name: "ops", Created: f.now(t)}
	f.update(t, func(tx store.Tx) error { return tx.InsertGroup(g) })
	return g
}

func (f *fixture) app(t *testing.T) *store.Role {
	r := &store.Role{ARN: roleARN, Account: account, Name: "app", Description: "d", Trust: "{}", Tags: someTags, Boundary: "b", Created: f.now(t)}
	f.update(t, func(tx store.Tx) error { return tx.InsertRole(r) })
	return r
}

func (f *fixture) policy(t *testing.T, arn string) *store.Policy {
	at := f.now(t)
	p := &store.Policy{ARN: arn, Account: account, Name: arn[len("arn:aws:iam::000000000000:policy/"):], Description: "d", Document: "{}", Created: at, Changed: at}
	f.update(t, func(tx store.Tx) error { return tx.InsertPolicy(p) })
	return p
}

func identityKeys(t *testing.T, f *fixture) {
	user := func(tx store.ReadTx) (*store.User, error) { return tx.User(annARN) }
	k := &store.AccessKey{ID: "AKIA1", UserARN: annARN, Secret: sealed("key"), Active: true, Created: f.now(t)}
	noZeroField(t, *k)
	key := func(tx store.ReadTx) (*store.AccessKey, error) { return tx.AccessKey(k.ID) }
	insertKey := func(tx store.Tx) error { return tx.InsertAccessKey(k) }
	missing(t, f, user)
	missing(t, f, key)
	f.refuse(t, lockstep.ErrNotFound, insertKey)
	u := f.ann(t)
	noZeroField(t, *u)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertUser(u) })
	f.update(t, insertKey)
	f.refuse(t, lockstep.ErrExists, insertKey)
	same(t, read(t, f, user), u)
	same(t, read(t, f, key), k)
	same(t, read(t, f, func(tx store.ReadTx) ([]*store.AccessKey, error) { return tx.AccessKeys(annARN) }), []*store.AccessKey{k})
	k.Active = false
	f.update(t, func(tx store.Tx) error { return tx.SaveAccessKey(k) })
	same(t, read(t, f, key), k)
	u.Tags, u.Boundary = nil, ""
	f.update(t, func(tx store.Tx) error { return tx.SaveUser(u) })
	same(t, read(t, f, user), u)
	remove := func(tx store.Tx) error { return tx.DeleteAccessKey(k.ID) }
	f.update(t, remove)
	f.refuse(t, lockstep.ErrNotFound, remove)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveAccessKey(k) })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveUser(&store.User{ARN: "absent"}) })
}

func identityGroups(t *testing.T, f *fixture) {
	group := func(tx store.ReadTx) (*store.Group, error) { return tx.Group(opsARN) }
	add := func(tx store.Tx) error { return tx.AddMember(opsARN, annARN) }
	missing(t, f, group)
	f.refuse(t, lockstep.ErrNotFound, add)
	g := f.ops(t)
	noZeroField(t, *g)
	same(t, read(t, f, group), g)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertGroup(g) })
	f.refuse(t, lockstep.ErrNotFound, add)
	f.ann(t)
	f.update(t, add)
	f.update(t, add)
	same(t, read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.Members(opsARN) }), []string{annARN})
	same(t, read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.GroupsOf(annARN) }), []string{opsARN})
	remove := func(tx store.Tx) error { return tx.RemoveMember(opsARN, annARN) }
	f.update(t, remove)
	f.refuse(t, lockstep.ErrNotFound, remove)
}

func identityRoles(t *testing.T, f *fixture) {
	role := func(tx store.ReadTx) (*store.Role, error) { return tx.Role(roleARN) }
	missing(t, f, role)
	r := f.app(t)
	noZeroField(t, *r)
	same(t, read(t, f, role), r)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertRole(r) })
	r.Description, r.Trust, r.Tags, r.Boundary = "new", "[]", nil, ""
	f.update(t, func(tx store.Tx) error { return tx.SaveRole(r) })
	same(t, read(t, f, role), r)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveRole(&store.Role{ARN: "absent"}) })
}

func identityPolicies(t *testing.T, f *fixture) {
	policy := func(tx store.ReadTx) (*store.Policy, error) { return tx.Policy(readARN) }
	attach := func(tx store.Tx) error { return tx.Attach(annARN, readARN) }
	missing(t, f, policy)
	f.refuse(t, lockstep.ErrNotFound, attach)
	p := f.policy(t, readARN)
	noZeroField(t, *p)
	same(t, read(t, f, policy), p)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertPolicy(p) })
	for holder, insert := range map[string]func(){
		annARN: func() { f.ann(t) }, opsARN: func() { f.ops(t) }, roleARN: func() { f.app(t) },
	} {
		on := func(tx store.Tx) error { return tx.Attach(holder, readARN) }
		f.refuse(t, lockstep.ErrNotFound, on)
		insert()
		f.update(t, on)
		f.update(t, on)
		same(t, read(t, f, func(tx store.ReadTx) ([]*store.Policy, error) { return tx.Attached(holder) }), []*store.Policy{p})
	}
	holders := func(tx store.ReadTx) ([]string, error) { return tx.Holders(readARN) }
	same(t, read(t, f, holders), []string{opsARN, roleARN, annARN})
	p.Description, p.Document, p.Changed = "new", "[]", p.Changed.Add(1000)
	f.update(t, func(tx store.Tx) error { return tx.SavePolicy(p) })
	same(t, read(t, f, policy), p)
	remove := func(tx store.Tx) error { return tx.DeletePolicy(readARN) }
	for _, holder := range []string{annARN, opsARN, roleARN} {
		f.refuse(t, lockstep.ErrState, remove)
		detach := func(tx store.Tx) error { return tx.Detach(holder, readARN) }
		f.update(t, detach)
		f.refuse(t, lockstep.ErrNotFound, detach)
	}
	boundary := &store.User{ARN: annARN, Boundary: readARN}
	f.update(t, func(tx store.Tx) error { return tx.SaveUser(boundary) })
	f.refuse(t, lockstep.ErrState, remove)
	boundary.Boundary = ""
	f.update(t, func(tx store.Tx) error { return tx.SaveUser(boundary) })
	f.update(t, remove)
	f.refuse(t, lockstep.ErrNotFound, remove)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SavePolicy(p) })
}

// identityDeletedUser: a later user of the same name gets nothing of the
// former.
func identityDeletedUser(t *testing.T, f *fixture) {
	u := f.ann(t)
	f.ops(t)
	f.policy(t, readARN)
	f.update(t, func(tx store.Tx) error {
		if err := tx.AddMember(opsARN, annARN); err != nil {
			return err
		}
		if err := tx.Attach(annARN, readARN); err != nil {
			return err
		}
		return tx.InsertAccessKey(&store.AccessKey{ID: "AKIA1", UserARN: annARN, Secret: sealed("k"), Created: u.Created})
	})
	remove := func(tx store.Tx) error { return tx.DeleteUser(annARN) }
	f.update(t, remove)
	f.refuse(t, lockstep.ErrNotFound, remove)
	missing(t, f, func(tx store.ReadTx) (*store.AccessKey, error) { return tx.AccessKey("AKIA1") })
	f.ann(t)
	same(t, len(read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.GroupsOf(annARN) })), 0)
	same(t, len(read(t, f, func(tx store.ReadTx) ([]*store.Policy, error) { return tx.Attached(annARN) })), 0)
}

func identityDeletedOthers(t *testing.T, f *fixture) {
	f.ann(t)
	f.ops(t)
	f.app(t)
	f.policy(t, readARN)
	f.update(t, func(tx store.Tx) error {
		if err := tx.AddMember(opsARN, annARN); err != nil {
			return err
		}
		if err := tx.Attach(opsARN, readARN); err != nil {
			return err
		}
		return tx.Attach(roleARN, readARN)
	})
	for _, remove := range []func(store.Tx) error{
		func(tx store.Tx) error { return tx.DeleteGroup(opsARN) },
		func(tx store.Tx) error { return tx.DeleteRole(roleARN) },
	} {
		f.update(t, remove)
		f.refuse(t, lockstep.ErrNotFound, remove)
	}
	same(t, len(read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.Holders(readARN) })), 0)
	same(t, len(read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.GroupsOf(annARN) })), 0)
}

func identityLists(t *testing.T, f *fixture) {
	// Upper case sorts before lower case, as bytes do, on every database.
	for _, name := range []string{"b", "B", "a"} {
		f.update(t, func(tx store.Tx) error {
			if err := tx.InsertUser(&store.User{ARN: "u" + name, Account: account, Name: name, Created: tx.Now()}); err != nil {
				return err
			}
			if err := tx.InsertGroup(&store.Group{ARN: "g" + name, Account: account, Name: name, Created: tx.Now()}); err != nil {
				return err
			}
			if err := tx.InsertRole(&store.Role{ARN: "r" + name, Account: account, Name: name, Created: tx.Now()}); err != nil {
				return err
			}
			return tx.InsertPolicy(&store.Policy{ARN: "p" + name, Account: account, Name: name, Created: tx.Now(), Changed: tx.Now()})
		})
	}
	f.view(t, func(tx store.ReadTx) error {
		first, rest := store.NameQuery{Account: account, Limit: 2}, store.NameQuery{Account: account, After: "a", Limit: 2}
		users1, err1 := tx.Users(first)
		users2, err2 := tx.Users(rest)
		groups1, err3 := tx.Groups(first)
		groups2, err4 := tx.Groups(rest)
		roles1, err5 := tx.Roles(first)
		roles2, err6 := tx.Roles(rest)
		policies1, err7 := tx.Policies(first)
		policies2, err8 := tx.Policies(rest)
		for _, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
			if err != nil {
				return err
			}
		}
		name := func(u *store.User) string { return u.Name }
		same(t, eachName(append(users1, users2...), name), []string{"B", "a", "b"})
		same(t, eachName(append(groups1, groups2...), func(g *store.Group) string { return g.Name }), []string{"B", "a", "b"})
		same(t, eachName(append(roles1, roles2...), func(r *store.Role) string { return r.Name }), []string{"B", "a", "b"})
		same(t, eachName(append(policies1, policies2...), func(p *store.Policy) string { return p.Name }), []string{"B", "a", "b"})
		other, err := tx.Users(store.NameQuery{Account: "111111111111", Limit: 2})
		same(t, len(other), 0)
		return err
	})
}

func eachName[T any](list []T, name func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, name(v))
	}
	return out
}
