package secretsmanager

import (
	"context"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keeper"
	"lockstep/store"
)

type listInput struct {
	IncludePlannedDeletion *bool    `json:"IncludePlannedDeletion"`
	MaxResults             *int64   `json:"MaxResults"`
	NextToken              *string  `json:"NextToken"`
	Filters                []filter `json:"Filters"`
	SortOrder              *string  `json:"SortOrder"`
	SortBy                 *string  `json:"SortBy"`
}

func (in *listInput) Check() error {
	var c checks
	c.maxResults(in.MaxResults, maxPage)
	c.nextToken(in.NextToken)
	checkFilters(&c, in.Filters)
	c.Enum(awsjson.Field{Path: "sortOrder", Value: in.SortOrder}, "asc", "desc")
	c.Enum(awsjson.Field{Path: "sortBy", Value: in.SortBy}, "created-date", "last-accessed-date", "last-changed-date", "name")
	if err := c.Err(); err != nil {
		return err
	}
	return completeFilters(in.Filters)
}

func (in *listInput) sort() store.SecretSort {
	switch text(in.SortBy) {
	case "last-accessed-date":
		return store.SortAccessed
	case "last-changed-date":
		return store.SortChanged
	case "name":
		return store.SortName
	default:
		return store.SortCreated
	}
}

type listEntry struct {
	description
	SecretVersionsToStages map[string][]string `json:"SecretVersionsToStages,omitempty"`
}

type listOutput struct {
	SecretList []listEntry `json:"SecretList"`
	NextToken  string      `json:"NextToken,omitempty"`
}

func (s *Service) list(ctx context.Context, r *request, in *listInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	found, next, err := s.find(ctx, r, search{
		filters: in.Filters, token: in.NextToken, limit: pageSize(in.MaxResults, maxPage),
		query: store.SecretQuery{
			Owner: r.Caller.Owner(), Sort: in.sort(), Descending: text(in.SortOrder) == "desc",
			IncludeDeleted: is(in.IncludePlannedDeletion),
		},
	})
	if err != nil {
		return nil, err
	}
	out := listOutput{SecretList: []listEntry{}, NextToken: next}
	for _, d := range found {
		out.SecretList = append(out.SecretList, listEntry{describeSecret(d.Secret), stagesByVersion(d.Stages)})
	}
	return out, nil
}

// search is one page of Secrets that meet the filters.
type search struct {
	filters []filter
	token   *string
	limit   int
	query   store.SecretQuery
}

// find reads one page, and the token of the next if something follows.
func (s *Service) find(ctx context.Context, r *request, q search) ([]keeper.Description, string, error) {
	spelled, err := filterText(q.filters)
	if err != nil {
		return nil, "", err
	}
	scope := scopeOf(r, string(q.query.Sort), boolText(q.query.Descending), boolText(q.query.IncludeDeleted), spelled)
	if q.token != nil {
		last, err := s.pages.open(*q.token, scope)
		if err != nil {
			return nil, "", err
		}
		q.query.After = last.secret(q.query.Sort)
	}
	wanted := conditions(q.filters)
	if hopeless(wanted) {
		return nil, "", nil
	}
	q.query.Limit, q.query.Terms = q.limit, termsOf(wanted)
	if q.query.Sort == store.SortName {
		q.query.NamePrefix = namePrefix(wanted)
	}
	page, err := s.keeper.List(ctx, keeper.ListInput{Query: q.query, Keep: func(s *lockstep.Secret) bool { return matches(s, wanted) }})
	if err != nil || !page.More {
		return page.Secrets, "", err
	}
	next, err := s.pages.seal(secretCursor(page.Secrets[len(page.Secrets)-1].Secret, q.query.Sort), scope)
	return page.Secrets, next, err
}
