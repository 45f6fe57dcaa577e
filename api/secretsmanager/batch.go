package secretsmanager

import (
	"context"
	"errors"
	"strconv"

	"lockstep/api/awsjson"
	"lockstep/keeper"
	"lockstep/store"
)

type batchInput struct {
	SecretIDList []string `json:"SecretIdList"`
	Filters      []filter `json:"Filters"`
	MaxResults   *int64   `json:"MaxResults"`
	NextToken    *string  `json:"NextToken"`
}

func (in *batchInput) Check() error {
	var c checks
	if in.SecretIDList != nil {
		c.Count("secretIdList", len(in.SecretIDList), awsjson.Length{Min: 1, Max: maxBatch})
	}
	for i := range in.SecretIDList {
		c.text("secretIdList."+strconv.Itoa(i+1)+".member", &in.SecretIDList[i], lengthSecretID)
	}
	checkFilters(&c, in.Filters)
	c.maxResults(in.MaxResults, maxBatch)
	c.nextToken(in.NextToken)
	if err := c.Err(); err != nil {
		return err
	}
	switch byList, byFilter := len(in.SecretIDList) > 0, len(in.Filters) > 0; {
	case !byFilter && in.MaxResults != nil:
		return invalidParameter("'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.")
	case byList == byFilter:
		return invalidParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	}
	return completeFilters(in.Filters)
}

type batchError struct {
	SecretID  string `json:"SecretId"`
	ErrorCode string `json:"ErrorCode"`
	Message   string `json:"Message"`
}

type batchOutput struct {
	SecretValues []getOutput  `json:"SecretValues"`
	Errors       []batchError `json:"Errors"`
	NextToken    string       `json:"NextToken,omitempty"`
}

func (s *Service) batchGet(ctx context.Context, r *request, in *batchInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 {
		// To choose by filter is to list.
		list := &request{Call: r.Call}
		list.Action = "ListSecrets"
		if err := s.mayOn(ctx, list, "*"); err != nil {
			return nil, err
		}
	}
	ids := in.SecretIDList
	out := batchOutput{SecretValues: []getOutput{}, Errors: []batchError{}}
	if len(in.Filters) > 0 {
		found, next, err := s.find(ctx, r, search{
			filters: in.Filters, token: in.NextToken, limit: pageSize(in.MaxResults, maxBatch),
			query: store.SecretQuery{Owner: r.Caller.Owner()},
		})
		if err != nil {
			return nil, err
		}
		out.NextToken = next
		for _, d := range found {
			ids = append(ids, string(d.Secret.ARN))
		}
	}
	for _, id := range ids {
		if err := s.batchOne(ctx, r, id, &out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// batchOne adds one value, or the error that GetSecretValue would give. It
// fails only where the server does.
func (s *Service) batchOne(ctx context.Context, r *request, id string, out *batchOutput) error {
	const action = "GetSecretValue"
	one := &request{Call: r.Call, asked: id, keys: (&getInput{}).keys()}
	one.Action = action
	err := checkSecretID(&id)
	if err == nil {
		var got keeper.GetOutput
		got, err = s.keeper.Get(ctx, s.refFor(ctx, one, id, action), keeper.GetInput{})
		if err == nil {
			r.Caller.Trail.Touch(got.Secret.ARN, got.Version)
			out.SecretValues = append(out.SecretValues, reveal(got))
			return nil
		}
	}
	told := answer(s.veil(ctx, one, err), action)
	var item *awsjson.Error
	if !errors.As(told, &item) {
		return told
	}
	out.Errors = append(out.Errors, batchError{SecretID: id, ErrorCode: item.Code, Message: item.Message})
	return nil
}
