package kms

import (
	"context"
	"time"

	"lockstep/api/awsjson"
	"lockstep/keys"
	"lockstep/store"
)

func (s *Service) enableKey(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	return nil, s.keys.Enable(ctx, s.ref(ctx, r, *in.KeyID))
}

func (s *Service) disableKey(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	return nil, s.keys.Disable(ctx, s.ref(ctx, r, *in.KeyID))
}

type deletionInput struct {
	KeyID *string `json:"KeyId"`
	Days  *int64  `json:"PendingWindowInDays"`
}

func (in *deletionInput) Check() error {
	var c checks
	c.id(in.KeyID)
	c.Range("pendingWindowInDays", in.Days, keys.MinDeletionDays, keys.MaxDeletionDays)
	return c.Err()
}

type deletionOutput struct {
	KeyID    string       `json:"KeyId"`
	Deletion awsjson.Time `json:"DeletionDate"`
	State    string       `json:"KeyState"`
	Days     int          `json:"PendingWindowInDays"`
}

func (s *Service) scheduleDeletion(ctx context.Context, r *request, in *deletionInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	days := keys.MaxDeletionDays
	if in.Days != nil {
		days = int(*in.Days)
	}
	k, err := s.keys.ScheduleDeletion(ctx, s.ref(ctx, r, *in.KeyID), days)
	if err != nil {
		return nil, err
	}
	return deletionOutput{keys.ARN(k), wire(k.DeleteAt), string(k.State), days}, nil
}

type namedOutput struct {
	KeyID string `json:"KeyId"`
}

func (s *Service) cancelDeletion(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.CancelDeletion(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	return namedOutput{keys.ARN(k)}, nil
}

type rotationInput struct {
	KeyID *string `json:"KeyId"`
	Days  *int64  `json:"RotationPeriodInDays"`
}

func (in *rotationInput) Check() error {
	var c checks
	c.id(in.KeyID)
	c.Range("rotationPeriodInDays", in.Days, keys.MinRotationDays, keys.MaxRotationDays)
	return c.Err()
}

func (s *Service) enableRotation(ctx context.Context, r *request, in *rotationInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	days := keys.DefaultRotationDays
	if in.Days != nil {
		days = int(*in.Days)
	}
	return nil, s.keys.SetRotation(ctx, s.ref(ctx, r, *in.KeyID), days)
}

func (s *Service) disableRotation(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	return nil, s.keys.StopRotation(ctx, s.ref(ctx, r, *in.KeyID))
}

type rotationStatusOutput struct {
	Enabled bool         `json:"KeyRotationEnabled"`
	KeyID   string       `json:"KeyId"`
	Days    int          `json:"RotationPeriodInDays,omitempty"`
	Next    awsjson.Time `json:"NextRotationDate,omitzero"`
}

func (s *Service) rotationStatus(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	return rotationStatusOutput{Enabled: k.RotationDays > 0, KeyID: keys.ARN(k), Days: k.RotationDays, Next: wire(k.NextRotation)}, nil
}

func (s *Service) rotate(ctx context.Context, r *request, in *keyInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.Rotate(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	return namedOutput{keys.ARN(k)}, nil
}

type listRotationsInput struct {
	KeyID  *string `json:"KeyId"`
	Limit  *int64  `json:"Limit"`
	Marker *string `json:"Marker"`
}

func (in *listRotationsInput) Check() error {
	var c checks
	c.id(in.KeyID)
	c.page(in.Limit, in.Marker)
	return c.Err()
}

type rotationEntry struct {
	KeyID string       `json:"KeyId"`
	Date  awsjson.Time `json:"RotationDate"`
}

type listRotationsOutput struct {
	Rotations []rotationEntry `json:"Rotations"`
	listed
}

func (s *Service) listRotations(ctx context.Context, r *request, in *listRotationsInput) (any, error) {
	if err := onlyKey(*in.KeyID); err != nil {
		return nil, err
	}
	k, err := s.keys.Find(ctx, s.ref(ctx, r, *in.KeyID))
	if err != nil {
		return nil, err
	}
	p, err := pageOf(in.Limit, in.Marker, 100)
	if err != nil {
		return nil, err
	}
	var later []store.KeyVersion
	for _, v := range k.Versions[min(1, len(k.Versions)):] {
		if stamp(v) > p.after {
			later = append(later, v)
		}
	}
	later, end := cut(later, p, stamp)
	out := listRotationsOutput{Rotations: []rotationEntry{}, listed: end}
	for _, v := range later {
		out.Rotations = append(out.Rotations, rotationEntry{keys.ARN(k), wire(v.Created)})
	}
	return out, nil
}

// stamp names a version in a marker.
func stamp(v store.KeyVersion) string { return v.Created.UTC().Format(time.RFC3339Nano) }
