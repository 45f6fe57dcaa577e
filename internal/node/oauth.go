package node

import (
	"errors"

	"lockstep/rotators/oauth2"
)

// registerOAuth registers the rotators of what authorization servers issue. They
// keep no sessions.
func (n *Node) registerOAuth() error {
	cfg := oauth2.Config{Addresses: n.cfg.Egress}
	credentials, err := oauth2.NewClientCredentials(cfg)
	if err != nil {
		return err
	}
	refresh, err := oauth2.NewRefresh(cfg)
	if err != nil {
		return err
	}
	secret, err := oauth2.NewClientSecret(cfg)
	if err != nil {
		return err
	}
	client, err := oauth2.NewNewClient(cfg)
	if err != nil {
		return err
	}
	return errors.Join(
		n.registry.Register(oauth2.NameClientCredentials, credentials),
		n.registry.Register(oauth2.NameRefresh, refresh),
		n.registry.Register(oauth2.NameClientSecret, secret),
		n.registry.Register(oauth2.NameNewClient, client),
	)
}
