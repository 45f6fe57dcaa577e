package secretsmanager

import (
	"context"
	"regexp"
	"slices"
	"strconv"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keeper"
)

// replicaRegion is a replica as a client asks for it.
type replicaRegion struct {
	Region   *string `json:"Region"`
	KMSKeyID *string `json:"KmsKeyId"`
}

// replicaStatus is a replica as a client is told of it.
type replicaStatus struct {
	Region           string       `json:"Region"`
	KMSKeyID         string       `json:"KmsKeyId,omitempty"`
	Status           string       `json:"Status"`
	StatusMessage    string       `json:"StatusMessage,omitempty"`
	LastAccessedDate awsjson.Time `json:"LastAccessedDate,omitzero"`
}

func replicasOf(d keeper.Description) []replicaStatus {
	var out []replicaStatus
	for _, r := range d.Replicas {
		out = append(out, replicaStatus{
			Region: string(r.Region), KMSKeyID: r.KMSKeyID, Status: r.Status, StatusMessage: r.Message,
			LastAccessedDate: awsjson.Time{Time: r.Accessed},
		})
	}
	return out
}

// The limits of region names.
var (
	regionForm   = regexp.MustCompile(`^([a-z]+-)+\d+$`)
	lengthRegion = awsjson.Length{Min: 1, Max: 128}
)

// maxReplicas bounds one request; no installation serves as many regions.
const maxReplicas = 100

func (c *checks) region(path string, name *string) {
	f := awsjson.Field{Path: path, Value: name}
	c.Length(f, lengthRegion)
	c.Pattern(f, regionForm)
}

func (c *checks) replicas(regions []replicaRegion) {
	if regions != nil {
		c.Count("addReplicaRegions", len(regions), awsjson.Length{Min: 1, Max: maxReplicas})
	}
	for i, r := range regions {
		path := "addReplicaRegions." + strconv.Itoa(i+1) + ".member."
		c.region(path+"region", r.Region)
		c.text(path+"kmsKeyId", r.KMSKeyID, lengthKMSKeyID)
	}
}

// replicas checks the regions asked for against those served.
func (s *Service) replicas(home lockstep.Region, regions []replicaRegion, force *bool) (keeper.ReplicateInput, error) {
	in := keeper.ReplicateInput{Force: is(force)}
	for _, r := range regions {
		region := lockstep.Region(text(r.Region))
		switch {
		case region == home:
			return in, invalidParameter("Invalid replica region.")
		case !slices.Contains(s.regions, region):
			return in, invalidParameter("Invalid replica region. This server serves: %s.", regionList(s.regions))
		case slices.ContainsFunc(in.Add, func(o keeper.ReplicaSpec) bool { return o.Region == region }):
			return in, invalidParameter("The replica region %s stands twice in the request.", region)
		}
		in.Add = append(in.Add, keeper.ReplicaSpec{Region: region, KMSKeyID: text(keyOf(r.KMSKeyID))})
	}
	return in, nil
}

func regionList(regions []lockstep.Region) string {
	out := ""
	for i, r := range regions {
		if i > 0 {
			out += ", "
		}
		out += string(r)
	}
	return out
}

type replicateInput struct {
	SecretID *string         `json:"SecretId"`
	Regions  []replicaRegion `json:"AddReplicaRegions"`
	Force    *bool           `json:"ForceOverwriteReplicaSecret"`
}

func (in *replicateInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if in.Regions == nil {
		c.Required(awsjson.Field{Path: "addReplicaRegions"})
	}
	c.replicas(in.Regions)
	return c.done(in.SecretID)
}

type replicationOutput struct {
	ARN               string          `json:"ARN"`
	ReplicationStatus []replicaStatus `json:"ReplicationStatus"`
}

func replicationOf(d keeper.Description) replicationOutput {
	out := replicationOutput{ARN: string(d.Secret.ARN), ReplicationStatus: replicasOf(d)}
	if out.ReplicationStatus == nil {
		out.ReplicationStatus = []replicaStatus{}
	}
	return out
}

func (s *Service) replicate(ctx context.Context, r *request, in *replicateInput) (any, error) {
	ref := s.ref(ctx, r, in.SecretID)
	// Who may not, or asks about a replica, learns that first.
	d, err := s.keeper.Describe(ctx, ref)
	if err != nil {
		return nil, err
	}
	home := d.Secret.Region
	if d.Secret.IsReplica() {
		home = "" // keeper refuses
	}
	add, err := s.replicas(home, in.Regions, in.Force)
	if err != nil && home != "" {
		return nil, err
	}
	if d, err = s.keeper.AddReplicas(ctx, ref, add); err != nil {
		return nil, err
	}
	return replicationOf(d), nil
}

type removeRegionsInput struct {
	SecretID *string  `json:"SecretId"`
	Regions  []string `json:"RemoveReplicaRegions"`
}

func (in *removeRegionsInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if in.Regions == nil {
		c.Required(awsjson.Field{Path: "removeReplicaRegions"})
	} else {
		c.Count("removeReplicaRegions", len(in.Regions), awsjson.Length{Min: 1, Max: maxReplicas})
	}
	for i := range in.Regions {
		c.region("removeReplicaRegions."+strconv.Itoa(i+1)+".member", &in.Regions[i])
	}
	return c.done(in.SecretID)
}

func (s *Service) removeRegions(ctx context.Context, r *request, in *removeRegionsInput) (any, error) {
	regions := make([]lockstep.Region, 0, len(in.Regions))
	for _, name := range in.Regions {
		regions = append(regions, lockstep.Region(name))
	}
	d, err := s.keeper.RemoveReplicas(ctx, s.ref(ctx, r, in.SecretID), regions)
	if err != nil {
		return nil, err
	}
	return replicationOf(d), nil
}

type stopReplicationInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *stopReplicationInput) Check() error { return checkOnlyID(in.SecretID) }

type stopReplicationOutput struct {
	ARN string `json:"ARN"`
}

func (s *Service) stopReplication(ctx context.Context, r *request, in *stopReplicationInput) (any, error) {
	d, err := s.keeper.Promote(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	return stopReplicationOutput{string(d.Secret.ARN)}, nil
}
