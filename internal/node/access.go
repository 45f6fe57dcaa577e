package node

import (
	"context"

	"lockstep"
	"lockstep/api"
	"lockstep/api/kms"
	"lockstep/api/sts"
	"lockstep/auth"
	"lockstep/auth/sigv4"
	"lockstep/bus"
)

// access is who there is and what they may, as this node knows it.
type access struct {
	policies   *auth.Policies
	directory  *auth.Directory
	identities *auth.Identities
	sessions   *auth.Sessions
}

func (n *Node) openAccess(context.Context) error {
	if !n.cfg.opensValues() {
		return nil
	}
	policies := auth.NewPolicies(auth.PoliciesConfig{Store: n.store})
	sessions, err := auth.NewSessions(auth.SessionsConfig{Key: n.keys.Derive("sessions"), Policies: policies})
	if err != nil {
		return err
	}
	n.access = &access{
		policies: policies, sessions: sessions,
		directory: auth.NewDirectory(auth.DirectoryConfig{Store: n.store, Sealer: n.keys, Policies: policies, Sessions: sessions}),
	}
	n.access.identities, err = auth.NewIdentities(auth.IdentitiesConfig{Store: n.store, Sealer: n.keys, Changed: n.accessChanged})
	return err
}

// accessChanged makes a change take effect on this node at once. Subscribers'
// permissions are fixed when their connection begins, so theirs end; their
// clients connect again by themselves.
func (n *Node) accessChanged(users []string) {
	n.access.policies.Forget()
	n.access.directory.Forget()
	for _, u := range users {
		if _, err := n.bus.Disconnect(u); err != nil {
			n.log.Warn("subscriber not disconnected after a change of what it may see", "user", u, "error", err)
		}
	}
}

// logins lets NATS clients in by their login tokens.
func (n *Node) logins() (*logins, error) {
	verifier, err := n.verifier()
	if err != nil {
		return nil, err
	}
	authorizer, err := auth.NewLoginAuthorizer(verifier, lockstep.LoginAudience, nil)
	if err != nil {
		return nil, err
	}
	return &logins{authorizer, n}, nil
}

// logins fits auth's answer to what the bus asks.
type logins struct {
	authorizer *auth.LoginAuthorizer
	node       *Node
}

// Authorize is bus.Authorizer's.
func (l *logins) Authorize(ctx context.Context, token string) (bus.Grant, error) {
	login, err := l.authorizer.Login(ctx, token)
	grant := bus.Grant{User: login.User, Subscribe: login.Subscribe, Expires: login.Expires}
	if err == nil {
		grant.Serve, err = l.node.servable(ctx, login)
	}
	if err := l.node.recordLogin(ctx, grant, err); err != nil {
		return bus.Grant{}, err
	}
	return grant, nil
}

func (n *Node) verifier() (*sigv4.Verifier[auth.Principal], error) {
	regions := make([]string, 0, len(n.cfg.Regions))
	for _, r := range n.cfg.Regions {
		regions = append(regions, string(r))
	}
	return sigv4.New(sigv4.Config[auth.Principal]{
		Keys:     n.access.directory,
		Services: []string{"secretsmanager", kms.Scope, sts.Scope, api.ScopeLockstep},
		Regions:  regions,
	})
}
