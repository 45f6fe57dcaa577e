package kms

import (
	"context"

	"lockstep"
	"lockstep/auth"
	"lockstep/keeper"
	"lockstep/store"
)

// Via tells whether the secrets service may use a key on behalf of its caller.
// Policies see kms:ViaService, and the secret and its version as the encryption
// context, as with AWS. The default key serves everyone who may reach the
// secret. Errors: a Refusal of kind ErrDenied; those of sealing under the key.
func (s *Service) Via(ctx context.Context, c auth.Caller, use keeper.KeyUse) error {
	owner := c.Owner()
	if arn, ok := lockstep.ParseSecretARN(string(use.ARN)); ok {
		owner = store.Owner{Account: arn.Account, Region: arn.Region} // a secret of another account is under a key of that one
	}
	k, err := s.keys.Known(ctx, owner, use.Key)
	if err != nil {
		return err // as the use of the key would end
	}
	if k.Purpose != "" {
		return nil
	}
	given := map[string]string{"SecretARN": string(use.ARN)}
	if use.Version != "" {
		given["SecretVersionId"] = string(use.Version)
	}
	keys := append(contextKeys(given), auth.Key{Name: "kms:ViaService", Values: []string{"secretsmanager." + string(c.Region) + ".amazonaws.com"}})
	if err := s.guard.Authorize(ctx, s.question(c, Scope+":"+string(use.Action), k, keys)); err != nil {
		return lockstep.Refuse(lockstep.ErrDenied, "Access to KMS is not allowed: %s", err)
	}
	return nil
}
