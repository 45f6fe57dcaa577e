package node

import (
	"slices"
	"strings"
)

// Role is a part of the work that a node takes on.
type Role string

// The roles. Any number of nodes may have each.
const (
	// RoleAPI answers requests and lets subscribers in. It needs the root key
	// and the certificate authority.
	RoleAPI Role = "api"
	// RoleScheduler starts what is due. It opens no value.
	RoleScheduler Role = "scheduler"
	// RoleWorker carries runs, and reaches the targets. It needs the root key.
	RoleWorker Role = "worker"
	// RoleRelay brings jobs and events from the store to NATS; one node at a
	// time does so, and another takes over when it is gone. It opens no value.
	RoleRelay Role = "relay"
)

// AllRoles lists them.
func AllRoles() []Role { return []Role{RoleAPI, RoleScheduler, RoleWorker, RoleRelay} }

func (c Config) has(r Role) bool { return slices.Contains(c.Roles, r) }

// opensValues tells whether the node needs the root key.
func (c Config) opensValues() bool { return c.has(RoleAPI) || c.has(RoleWorker) }

// ownStore tells whether the store is a file that no other process uses.
func (c Config) ownStore() bool { return c.Store == "" || strings.HasPrefix(c.Store, "sqlite:") }

// NeedsDataDir tells whether the node keeps anything in a directory of its own:
// the embedded store or NATS, a root key without a path, or what an API node
// hands out (credentials, its addresses).
func (c Config) NeedsDataDir() bool {
	if len(c.Roles) == 0 {
		c.Roles = AllRoles()
	}
	return c.has(RoleAPI) || c.ownStore() || c.NATSURL == "" || (c.has(RoleWorker) && c.RootKey == "")
}

func (c Config) checkRoles() error {
	all := AllRoles()
	for _, r := range c.Roles {
		if !slices.Contains(all, r) {
			return invalid("--roles: %q is none of api, scheduler, worker, relay", string(r))
		}
	}
	for _, r := range all {
		if c.has(r) {
			continue
		}
		// Nobody else could do this part.
		if c.ownStore() || c.NATSURL == "" {
			return invalid("--roles without %q leaves that to other nodes, which need the same --store postgres://… and --nats-url", string(r))
		}
	}
	return nil
}
