package secretsmanager

import (
	"context"
)

// noReplication is the answer to whatever asks for replicas.
func noReplication() error {
	return invalidRequest("Replication to other regions is not available on this server.")
}

type replicateInput struct {
	SecretID *string         `json:"SecretId"`
	Regions  []replicaRegion `json:"AddReplicaRegions"`
	Force    *bool           `json:"ForceOverwriteReplicaSecret"`
}

func (in *replicateInput) check() error { return checkOnlyID(in.SecretID) }

func (s *Service) replicate(ctx context.Context, r *request, in *replicateInput) (any, error) {
	return nil, s.refuseReplication(ctx, r, in.SecretID)
}

type removeRegionsInput struct {
	SecretID *string  `json:"SecretId"`
	Regions  []string `json:"RemoveReplicaRegions"`
}

func (in *removeRegionsInput) check() error { return checkOnlyID(in.SecretID) }

func (s *Service) removeRegions(ctx context.Context, r *request, in *removeRegionsInput) (any, error) {
	return nil, s.refuseReplication(ctx, r, in.SecretID)
}

type stopReplicationInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *stopReplicationInput) check() error { return checkOnlyID(in.SecretID) }

func (s *Service) stopReplication(ctx context.Context, r *request, in *stopReplicationInput) (any, error) {
	return nil, s.refuseReplication(ctx, r, in.SecretID)
}

// refuseReplication refuses, but who may not touch the Secret, or names none,
// learns only that.
func (s *Service) refuseReplication(ctx context.Context, r *request, id *string) error {
	if _, err := s.keeper.Describe(ctx, s.ref(ctx, r, id)); err != nil {
		return err
	}
	return noReplication()
}
