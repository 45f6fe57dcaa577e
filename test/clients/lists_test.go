package clients

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// list is all pages' names.
func (r *rig) list(in sm.ListSecretsInput) []string {
	r.t.Helper()
	names := []string{}
	pages := sm.NewListSecretsPaginator(r.client, &in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(r.t.Context())
		r.must(err)
		for _, e := range out.SecretList {
			names = append(names, *e.Name)
		}
	}
	return names
}

func (r *rig) lists(in sm.ListSecretsInput, want ...string) {
	r.t.Helper()
	if got := r.list(in); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		r.t.Errorf("got %q, want %q", got, want)
	}
}

func filtered(filters ...types.Filter) sm.ListSecretsInput {
	return sm.ListSecretsInput{Filters: filters}
}

func TestListing(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, name := range []string{"c", "a", "b", "gone"} {
		r.createAs(sm.CreateSecretInput{Name: &name, SecretString: v})
	}
	r.mustDo(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: aws.String("c"), Description: v}))
	r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: gone}))
	r.run([]row{
		{"R8 marked secrets only with IncludePlannedDeletion", func(r *rig) {
			r.lists(sm.ListSecretsInput{}, "c", "a", "b")
			r.lists(sm.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}, "c", "a", "b", "gone")
		}},
		{"R8 by creation, ascending, by default; SortBy and SortOrder", func(r *rig) {
			r.lists(sm.ListSecretsInput{SortOrder: types.SortOrderTypeDesc}, "b", "a", "c")
			r.lists(sm.ListSecretsInput{SortBy: types.SortByTypeName}, "a", "b", "c")
			r.lists(sm.ListSecretsInput{SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeDesc}, "c", "b", "a")
			r.lists(sm.ListSecretsInput{SortBy: types.SortByTypeLastChangedDate}, "a", "b", "c")
			r.lists(sm.ListSecretsInput{SortBy: types.SortByTypeCreatedDate}, "c", "a", "b")
		}},
		{"M8 NextToken only if more follow", func(r *rig) {
			out, err := r.client.ListSecrets(r.t.Context(), &sm.ListSecretsInput{MaxResults: aws.Int32(3)})
			r.must(err)
			if len(out.SecretList) != 3 || out.NextToken != nil {
				r.t.Errorf("%d, token %v", len(out.SecretList), out.NextToken)
			}
		}},
		{"M8 a token of another question is refused", func(r *rig) {
			out, err := r.client.ListSecrets(r.t.Context(), &sm.ListSecretsInput{MaxResults: aws.Int32(1)})
			r.must(err)
			r.refuses(do((*sm.Client).ListSecrets, sm.ListSecretsInput{NextToken: out.NextToken, SortBy: types.SortByTypeName}), invalidNextToken, "")
			r.refuses(do((*sm.Client).ListSecretVersionIds, sm.ListSecretVersionIdsInput{SecretId: aws.String("a"), NextToken: out.NextToken}), invalidNextToken, "")
		}},
		{"M2 an entry has SecretVersionsToStages", func(r *rig) {
			out, err := r.client.ListSecrets(r.t.Context(), &sm.ListSecretsInput{MaxResults: aws.Int32(1)})
			r.must(err)
			if e := out.SecretList[0]; len(e.SecretVersionsToStages) != 1 || *e.Description != "v" || e.CreatedDate == nil {
				r.t.Errorf("%+v", e)
			}
		}},
	})
}

// TestPages: each secret once, though others come and go between the pages.
func TestPages(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, sort := range []types.SortByType{types.SortByTypeCreatedDate, types.SortByTypeName, types.SortByTypeLastChangedDate, types.SortByTypeLastAccessedDate} {
		for _, order := range []types.SortOrderType{types.SortOrderTypeAsc, types.SortOrderTypeDesc} {
			r.run([]row{{fmt.Sprintf("by %s %s", sort, order), func(r *rig) { r.pages(sort, order) }}})
		}
	}
	r.run([]row{{"of versions", func(r *rig) {
		s := r.three()
		in := sm.ListSecretVersionIdsInput{SecretId: s.name, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(2)}
		first, err := r.client.ListSecretVersionIds(r.t.Context(), &in)
		r.must(err)
		r.put(s, "4", tok4, "mine")
		in.NextToken = first.NextToken
		rest, err := r.client.ListSecretVersionIds(r.t.Context(), &in)
		r.must(err)
		var ids []string
		for _, one := range append(first.Versions, rest.Versions...) {
			ids = append(ids, *one.VersionId)
		}
		if !slices.Equal(ids, []string{tok1, tok2, tok3, tok4}) || rest.NextToken != nil {
			r.t.Errorf("%v", ids)
		}
	}}})
}

func (r *rig) pages(sort types.SortByType, order types.SortOrderType) {
	prefix := fmt.Sprintf("%s/%s/", sort, order)
	create := func(i int) {
		r.createAs(sm.CreateSecretInput{Name: aws.String(fmt.Sprintf("%s%02d", prefix, i)), SecretString: v})
	}
	for i := range 7 {
		create(2 * i)
	}
	in := filtered(by("name", prefix))
	in.MaxResults, in.SortBy, in.SortOrder = aws.Int32(3), sort, order
	pages := sm.NewListSecretsPaginator(r.client, &in)
	seen := map[string]int{}
	for n := 0; pages.HasMorePages() && n < 10; n++ {
		out, err := pages.NextPage(r.t.Context())
		r.must(err)
		for _, e := range out.SecretList {
			seen[*e.Name]++
		}
		create(2*n + 1)
		if n == 0 { // the one that the next page starts after
			r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: out.SecretList[2].Name, ForceDeleteWithoutRecovery: aws.Bool(true)}))
		}
	}
	for i := range 7 {
		if name := fmt.Sprintf("%s%02d", prefix, 2*i); seen[name] != 1 {
			r.t.Errorf("%s was shown %d times", name, seen[name])
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	r := start(t)
	tag := func(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
	for _, s := range []struct {
		name, description string
		tags              []types.Tag
	}{
		{"/slash/one", "a secret", tag("env", "prod")},
		{"testing1", "an secret", tag("env", "dev")},
		{"testing2", "asecret", nil},
		{"AppBeta", "thesecret", tag("team-blue", "x")},
		{"COMPANYthings", "", nil},
		{"prod-db/main", "COMPANY wide", tag("Owner", "Jane")},
	} {
		in := sm.CreateSecretInput{Name: &s.name, Tags: s.tags}
		if s.description != "" {
			in.Description = &s.description
		}
		r.createAs(in)
	}
	r.run(filterRows)
}

var filterRows = []row{
	{"R8 several filters: all must hold, also of one key; several values: any", func(r *rig) {
		r.lists(filtered(by("name", "testing"), by("tag-key", "env")), "testing1")
		r.lists(filtered(by("name", "testing"), by("name", "testing2")), "testing2")
		r.lists(filtered(by("name", "testing"), by("name", "!testing1")), "testing2")
		r.lists(filtered(by("name", "testing2", "/slash")), "/slash/one", "testing2")
	}},
	{"R8 ! negates its value alone: one, or not two", func(r *rig) {
		r.lists(filtered(by("name", "!testing")), "/slash/one", "AppBeta", "COMPANYthings", "prod-db/main")
		r.lists(filtered(by("name", "testing1", "!testing")), "/slash/one", "testing1", "AppBeta", "COMPANYthings", "prod-db/main")
		r.lists(filtered(by("tag-key", "!env")), "testing2", "AppBeta", "COMPANYthings", "prod-db/main")
	}},
	{"R8 name, tag-key, tag-value: a prefix, case counts", func(r *rig) {
		r.lists(filtered(by("name", "/")), "/slash/one")
		r.lists(filtered(by("name", "testing1 one")))
		r.lists(filtered(by("name", "Testing")))
		r.lists(filtered(by("name", "esting")))
		r.lists(filtered(by("tag-key", "e")), "/slash/one", "testing1")
		r.lists(filtered(by("tag-key", "E")))
		r.lists(filtered(by("tag-value", "pro")), "/slash/one")
		r.lists(filtered(by("tag-value", "jane")))
	}},
	{"R8 description: prefixes of words, any case", func(r *rig) {
		r.lists(filtered(by("description", "a secret")), "/slash/one", "testing1")
		r.lists(filtered(by("description", "SECRET")), "/slash/one", "testing1")
		r.lists(filtered(by("description", "secret an")), "testing1")
	}},
	{"R8 all: prefixes of words, any case, in one of name, description, tag keys and values", func(r *rig) {
		r.lists(filtered(by("all", "SLASH one")), "/slash/one")
		r.lists(filtered(by("all", "an sec")), "testing1")
		r.lists(filtered(by("all", "own")), "prod-db/main")
		r.lists(filtered(by("all", "jane")), "prod-db/main")
		r.lists(filtered(by("all", "jane wide"))) // in two attributes
		r.lists(filtered(by("all", "!secret")), "testing2", "AppBeta", "COMPANYthings", "prod-db/main")
	}},
	{"R8 words end at spaces, at one kind of special character, and before a capital with a small letter", func(r *rig) {
		r.lists(filtered(by("all", "beta")), "AppBeta")
		r.lists(filtered(by("all", "blue")), "AppBeta")
		r.lists(filtered(by("all", "ythings")), "COMPANYthings")
		r.lists(filtered(by("all", "things")))
		r.lists(filtered(by("all", "company")), "prod-db/main")
		r.lists(filtered(by("all", "main")))
		r.lists(filtered(by("all", "/")))
		r.lists(filtered(by("all", "-")))
	}},
	{"m8 no description never matches, negated or not", func(r *rig) {
		r.lists(filtered(by("description", "!secret")), "testing2", "AppBeta", "prod-db/main")
	}},
	{"m8 owning-service and primary-region: none of these secrets", func(r *rig) {
		r.lists(filtered(by("owning-service", "rds")))
		r.lists(filtered(by("primary-region", "us")))
	}},
}

func TestBatch(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, name := range []string{"b1", "b2", "b3"} {
		r.createAs(sm.CreateSecretInput{Name: &name, SecretString: aws.String("value of " + name)})
	}
	r.createAs(sm.CreateSecretInput{Name: aws.String("b-empty")})
	r.createAs(sm.CreateSecretInput{Name: gone, SecretString: v})
	r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: gone}))
	r.run([]row{
		{"R8 batch: values in the order of the list, failures as GetSecretValue would tell them", func(r *rig) {
			out, err := r.client.BatchGetSecretValue(r.t.Context(), &sm.BatchGetSecretValueInput{SecretIdList: []string{"b3", "nosuch", "b1", "b-empty", "gone"}})
			r.must(err)
			var got []string
			for _, s := range out.SecretValues {
				got = append(got, *s.Name+" = "+*s.SecretString)
			}
			for _, e := range out.Errors {
				got = append(got, *e.SecretId+": "+*e.ErrorCode+": "+*e.Message)
			}
			want := []string{"b3 = value of b3", "b1 = value of b1",
				"nosuch: ResourceNotFoundException: " + saysNoSecret,
				"b-empty: ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
				"gone: InvalidRequestException: " + saysMarked}
			if !slices.Equal(got, want) {
				r.t.Errorf("got %q\nwant %q", got, want)
			}
		}},
		{"M8 batch by filters, in pages", func(r *rig) {
			pages := sm.NewBatchGetSecretValuePaginator(r.client, &sm.BatchGetSecretValueInput{Filters: []types.Filter{by("name", "b1", "b2", "b3")}, MaxResults: aws.Int32(2)})
			var got []string
			for pages.HasMorePages() {
				out, err := pages.NextPage(r.t.Context())
				r.must(err)
				for _, s := range out.SecretValues {
					got = append(got, *s.SecretString)
				}
			}
			if !slices.Equal(got, []string{"value of b1", "value of b2", "value of b3"}) {
				r.t.Errorf("%q", got)
			}
		}},
	})
}
