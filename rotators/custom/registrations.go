package custom

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/store"
)

// The bounds of one call.
const (
	DefaultTimeout = time.Minute
	MaxTimeout     = 15 * time.Minute // Lambda's
)

const (
	maxCommand = 4096
	maxURL     = 2048
	maxCA      = 256 << 10
	keyBytes   = 32
	// named is how many Secrets the refusal of a removal names.
	named = 3
)

// Sealer seals signing keys; keys.Service is one.
type Sealer interface {
	Seal(ctx context.Context, owner store.Owner, keyID string, v lockstep.Value, to keys.Binding) (*lockstep.Sealed, error)
	Open(ctx context.Context, s *lockstep.Sealed, to keys.Binding) (lockstep.Value, error)
}

// Config is what Registrations needs.
type Config struct {
	// Store and Sealer are required.
	Store  store.Store
	Sealer Sealer
	// Home is the region whose default master key seals signing keys.
	Home lockstep.Region
	// Native lists the names that are taken by rotators of Lockstep's own.
	Native func() []string
	// NATS carries calls to services; nil: there are none.
	NATS func() Requester
	// Exec says how subprocesses are dealt with; the zero value refuses them.
	Exec ExecPolicy
	// Now is the clock of signatures; nil means time.Now.
	Now func() time.Time
}

// ExecPolicy says whether this process runs commands that were registered.
type ExecPolicy string

// The policies. A command runs as the worker's user, with all that it may.
const (
	ExecRefused ExecPolicy = ""
	ExecAllowed ExecPolicy = "allowed"
)

// Registrations keeps the custom rotators. It is safe for concurrent use.
type Registrations struct{ config Config }

// New makes Registrations. Errors: ErrInvalid if something is missing.
func New(c Config) (*Registrations, error) {
	if c.Store == nil || c.Sealer == nil || c.Home == "" {
		return nil, fmt.Errorf("custom rotators config: Store, Sealer and Home are required: %w", lockstep.ErrInvalid)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Native == nil {
		c.Native = func() []string { return nil }
	}
	return &Registrations{c}, nil
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

// Register stores a rotator; Key and Created are filled in. For a webhook it
// returns the key that signs its calls, which cannot be had again.
// Errors: Refusals of kind ErrInvalid, ErrExists, ErrState (commands are not
// allowed here); ErrSealed, ErrBusy.
func (g *Registrations) Register(ctx context.Context, r store.Rotator) (*store.Rotator, lockstep.Value, error) {
	if err := g.check(&r); err != nil {
		return nil, lockstep.Value{}, err
	}
	var key lockstep.Value
	if r.Kind == store.RotatorWebhook {
		raw := make([]byte, keyBytes)
		if _, err := rand.Read(raw); err != nil {
			return nil, key, fmt.Errorf("draw signing key: %w", err)
		}
		key = lockstep.StringValue(keyPrefix + base64.StdEncoding.EncodeToString(raw))
		var err error
		owner := store.Owner{Account: r.Account, Region: g.config.Home}
		if r.Key, err = g.config.Sealer.Seal(ctx, owner, "", key, binding(&r)); err != nil {
			return nil, key, fmt.Errorf("seal signing key: %w", err)
		}
	}
	err := g.config.Store.Update(ctx, func(tx store.Tx) error {
		r.Created = tx.Now()
		return tx.InsertRotator(&r)
	})
	if errors.Is(err, lockstep.ErrExists) {
		err = taken(r.Name)
	}
	return &r, key, err
}

func taken(name string) error {
	return lockstep.Refuse(lockstep.ErrExists, "There is a rotator %s already. Remove it first, or choose another name.", name)
}

func binding(r *store.Rotator) keys.Binding {
	return keys.Binding{ARN: "rotator/" + string(r.Account) + "/" + r.Name, Version: "signing-key"}
}

// check completes a registration and refuses what cannot work.
func (g *Registrations) check(r *store.Rotator) error {
	if !nameForm.MatchString(r.Name) {
		return lockstep.Refuse(lockstep.ErrInvalid, "%q can't be a rotator's name: use 2 to 63 lower-case letters, digits and dashes, a letter first.", r.Name)
	}
	if slices.Contains(g.config.Native(), r.Name) {
		return taken(r.Name)
	}
	if r.Kind == store.RotatorRecipe {
		return checkRecipe(r)
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.Timeout < time.Second || r.Timeout > MaxTimeout {
		return lockstep.Refuse(lockstep.ErrInvalid, "A rotator's timeout is from 1s to %s.", MaxTimeout)
	}
	if r.Kind != store.RotatorWebhook && (r.CA != "" || len(r.Addresses) > 0) {
		return lockstep.Refuse(lockstep.ErrInvalid, "Authorities and addresses belong to a webhook or a recipe.")
	}
	switch r.Kind {
	case store.RotatorWebhook:
		return checkWebhook(r)
	case store.RotatorExec:
		return g.checkExec(r)
	case store.RotatorNATS:
		if r.Target != "" {
			return lockstep.Refuse(lockstep.ErrInvalid, "A NATS service has no target: it listens to %s.", lockstep.RotatorSubject(r.Name, "*"))
		}
		return nil
	}
	return lockstep.Refuse(lockstep.ErrInvalid, "%q is no kind of rotator: there are recipe, webhook, exec and nats-service.", string(r.Kind))
}

func checkWebhook(r *store.Rotator) error {
	if err := egress.CheckKinds(r.Addresses); err != nil {
		return err
	}
	if len(r.Target) > maxURL {
		return lockstep.Refuse(lockstep.ErrInvalid, "A webhook's URL has at most %d bytes.", maxURL)
	}
	u, _, err := checkURL(r.Target, r.Addresses)
	if err != nil {
		return err
	}
	if u.Scheme == "http" && !slices.Contains(r.Addresses, egress.AllowLoopback) {
		return lockstep.Refuse(lockstep.ErrInvalid,
			"A webhook in plain http is for loopback alone, since credentials go there: use https://, or allow loopback (--allow-loopback).")
	}
	return checkCA(r)
}

func checkCA(r *store.Rotator) error {
	if r.CA != "" && (len(r.CA) > maxCA || !x509.NewCertPool().AppendCertsFromPEM([]byte(r.CA))) {
		return lockstep.Refuse(lockstep.ErrInvalid, "The rotator's authorities hold no certificate in PEM form, or too many.")
	}
	return nil
}

func (g *Registrations) checkExec(r *store.Rotator) error {
	if g.config.Exec != ExecAllowed {
		return lockstep.Refuse(lockstep.ErrState, "This server does not run commands; it has to be started with --allow-exec-rotators.")
	}
	if strings.TrimSpace(r.Target) == "" || len(r.Target) > maxCommand || strings.ContainsRune(r.Target, 0) {
		return lockstep.Refuse(lockstep.ErrInvalid, "A command has 1 to %d bytes.", maxCommand)
	}
	return nil
}

// Rotators lists an account's, by name.
func (g *Registrations) Rotators(ctx context.Context, q store.NameQuery) (list []*store.Rotator, err error) {
	err = g.config.Store.View(ctx, func(tx store.ReadTx) error {
		list, err = tx.Rotators(q)
		return err
	})
	return list, err
}

// Rotator reads one. Errors: a Refusal of kind ErrNotFound.
func (g *Registrations) Rotator(ctx context.Context, account lockstep.AccountID, name string) (r *store.Rotator, err error) {
	err = g.config.Store.View(ctx, func(tx store.ReadTx) error {
		r, err = find(tx, account, name)
		return err
	})
	return r, err
}

func find(tx store.ReadTx, account lockstep.AccountID, name string) (*store.Rotator, error) {
	r, err := tx.Rotator(name)
	if errors.Is(err, lockstep.ErrNotFound) || err == nil && r.Account != account {
		return nil, lockstep.Refuse(lockstep.ErrNotFound, "There is no registered rotator %s.", name)
	}
	return r, err
}

// Remove forgets a rotator that no Secret uses. Errors: Refusals of kind
// ErrNotFound, and ErrState naming Secrets that use it.
func (g *Registrations) Remove(ctx context.Context, account lockstep.AccountID, name string) error {
	return g.config.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := find(tx, account, name); err != nil {
			return err
		}
		users, err := tx.RotatorUsers(account, name, named+1)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return inUse(name, users)
		}
		return tx.DeleteRotator(name)
	})
}

func inUse(name string, users []lockstep.ARN) error {
	var list []string
	for _, u := range users[:min(len(users), named)] {
		list = append(list, string(u))
	}
	more := ""
	if len(users) > named {
		more = " and others"
	}
	return lockstep.Refuse(lockstep.ErrState,
		"Rotator %s is used by %s%s. Give these another one first, or delete them.", name, strings.Join(list, ", "), more)
}

// Function finds what an account has registered under a name. Errors:
// ErrUnknownRotator; ErrInvalid if it cannot be called from here; ErrSealed,
// ErrBusy.
func (g *Registrations) Function(ctx context.Context, account lockstep.AccountID, name string) (rotators.Function, error) {
	r, err := g.Rotator(ctx, account, name)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, fmt.Errorf("%w %q", lockstep.ErrUnknownRotator, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read rotator %s: %w", name, err)
	}
	switch r.Kind {
	case store.RotatorWebhook:
		return g.webhook(ctx, r)
	case store.RotatorExec:
		if g.config.Exec != ExecAllowed {
			return nil, fmt.Errorf("rotator %s is a command, and this worker runs none (--allow-exec-rotators): %w", name, lockstep.ErrInvalid)
		}
		return &subprocess{command: r.Target, timeout: r.Timeout}, nil
	case store.RotatorNATS:
		if g.config.NATS == nil {
			return nil, fmt.Errorf("rotator %s is a service on NATS, to which this worker has no connection: %w", name, lockstep.ErrInvalid)
		}
		return &service{name: name, nats: g.config.NATS(), timeout: r.Timeout}, nil
	}
	return nil, fmt.Errorf("rotator %s is of kind %q, which this version does not know: %w", name, r.Kind, lockstep.ErrInvalid)
}

func (g *Registrations) webhook(ctx context.Context, r *store.Rotator) (*webhook, error) {
	u, reach, err := checkURL(r.Target, r.Addresses)
	if err != nil {
		return nil, err
	}
	text, err := g.config.Sealer.Open(ctx, r.Key, binding(r))
	if err != nil {
		return nil, fmt.Errorf("open signing key of rotator %s: %w", r.Name, err)
	}
	w := &webhook{url: u, reach: reach, timeout: r.Timeout, now: g.config.Now}
	if w.key, err = readKey(text); err != nil {
		return nil, err
	}
	if r.CA != "" {
		w.roots = rootsOf(r.CA)
	}
	return w, nil
}

func rootsOf(pem string) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(pem))
	return roots
}
