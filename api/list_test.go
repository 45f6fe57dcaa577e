package api_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

func filterBy(key types.FilterNameStringType, values ...string) types.Filter {
	return types.Filter{Key: key, Values: values}
}

func (r *rig) names(in sm.ListSecretsInput) []string {
	r.t.Helper()
	out, err := r.client.ListSecrets(r.t.Context(), &in)
	must(r.t, err)
	got := []string{}
	for _, e := range out.SecretList {
		got = append(got, *e.Name)
	}
	return got
}

func TestListSecrets(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	for _, name := range []string{"c", "a", "b"} {
		r.create(name, "v")
	}
	r.create("gone", "v")
	must2(r.client.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("gone")}))(t)
	must2(r.client.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: aws.String("c"), Description: aws.String("x")}))(t)

	for name, c := range map[string]struct {
		in   sm.ListSecretsInput
		want []string
	}{
		"R: by creation, without the marked ones": {sm.ListSecretsInput{}, []string{"c", "a", "b"}},
		"descending":                    {sm.ListSecretsInput{SortOrder: types.SortOrderTypeDesc}, []string{"b", "a", "c"}},
		"R: with the marked ones":       {sm.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}, []string{"c", "a", "b", "gone"}},
		"by name":                       {sm.ListSecretsInput{SortBy: types.SortByTypeName}, []string{"a", "b", "c"}},
		"by name, descending":           {sm.ListSecretsInput{SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeDesc}, []string{"c", "b", "a"}},
		"by change":                     {sm.ListSecretsInput{SortBy: types.SortByTypeLastChangedDate}, []string{"a", "b", "c"}},
		"by creation, in so many words": {sm.ListSecretsInput{SortBy: types.SortByTypeCreatedDate}, []string{"c", "a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.names(c.in); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	t.Run("an entry has SecretVersionsToStages", func(t *testing.T) {
		out, err := r.client.ListSecrets(ctx, &sm.ListSecretsInput{MaxResults: aws.Int32(1)})
		must(t, err)
		if e := out.SecretList[0]; len(e.SecretVersionsToStages) != 1 || e.ARN == nil || *e.Description != "x" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("another region has none", func(t *testing.T) {
		keysAre(t, r.raw("ListSecrets", `{"Filters":[{"Key":"name","Values":["zzz"]}]}`), "SecretList")
		out, err := r.clientFor("eu-west-1").ListSecrets(ctx, &sm.ListSecretsInput{})
		must(t, err)
		if len(out.SecretList) != 0 {
			t.Errorf("got %d", len(out.SecretList))
		}
	})
}

func TestListPages(t *testing.T) {
	r := start(t)
	for _, by := range []types.SortByType{"", types.SortByTypeName, types.SortByTypeLastChangedDate, types.SortByTypeLastAccessedDate} {
		for _, order := range []types.SortOrderType{"", types.SortOrderTypeDesc} {
			t.Run(fmt.Sprintf("%s %s: each once, though others come in between", by, order), func(t *testing.T) {
				prefix := "p" + string(by) + string(order) + "/"
				for i := range 7 {
					r.create(fmt.Sprintf("%s%02d", prefix, i*2), "v")
				}
				in := sm.ListSecretsInput{MaxResults: aws.Int32(3), SortBy: by, SortOrder: order, Filters: []types.Filter{filterBy("name", prefix)}}
				seen := map[string]int{}
				for page := 0; ; page++ {
					out, err := r.client.ListSecrets(t.Context(), &in)
					must(t, err)
					for _, e := range out.SecretList {
						seen[*e.Name]++
					}
					r.create(fmt.Sprintf("%s%02d", prefix, page*2+1), "v")
					if in.NextToken = out.NextToken; in.NextToken == nil || page > 10 {
						break
					}
				}
				for i := range 7 {
					if n := seen[fmt.Sprintf("%s%02d", prefix, i*2)]; n != 1 {
						t.Errorf("%02d seen %d times", i*2, n)
					}
				}
			})
		}
	}
	t.Run("a token belongs to its question", func(t *testing.T) {
		out, err := r.client.ListSecrets(t.Context(), &sm.ListSecretsInput{MaxResults: aws.Int32(1)})
		must(t, err)
		_, err = r.client.ListSecrets(t.Context(), &sm.ListSecretsInput{NextToken: out.NextToken, SortBy: types.SortByTypeName})
		refused(t, err, "InvalidNextTokenException", "")
		_, err = r.clientFor("eu-west-1").ListSecrets(t.Context(), &sm.ListSecretsInput{NextToken: out.NextToken})
		refused(t, err, "InvalidNextTokenException", "")
	})
	t.Run("no token when the page is exactly full", func(t *testing.T) {
		r.create("only", "v")
		keysAre(t, r.raw("ListSecrets", `{"MaxResults":1,"Filters":[{"Key":"name","Values":["only"]}]}`), "SecretList")
	})
}

func TestFilters(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	for _, s := range []struct {
		name, description string
		tags              []types.Tag
	}{
		{"/slash/one", "a secret", []types.Tag{{Key: aws.String("env"), Value: aws.String("prod")}}},
		{"testing1", "an secret", []types.Tag{{Key: aws.String("env"), Value: aws.String("dev")}}},
		{"testing2", "asecret", nil},
		{"AppBeta", "thesecret", []types.Tag{{Key: aws.String("team-blue"), Value: aws.String("x")}}},
		{"plain", "", nil},
	} {
		must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &s.name, Description: &s.description, Tags: s.tags}))(t)
	}
	for name, c := range map[string]struct {
		filters []types.Filter
		want    []string
	}{
		"R: name is a prefix":              {[]types.Filter{filterBy("name", "testing")}, []string{"testing1", "testing2"}},
		"R: name with a slash":             {[]types.Filter{filterBy("name", "/")}, []string{"/slash/one"}},
		"R: name is case-sensitive":        {[]types.Filter{filterBy("name", "Testing")}, nil},
		"R: name has no words":             {[]types.Filter{filterBy("name", "testing1 one")}, nil},
		"R: values are ORed":               {[]types.Filter{filterBy("name", "testing1", "plain")}, []string{"testing1", "plain"}},
		"R: filters are ANDed":             {[]types.Filter{filterBy("name", "testing"), filterBy("tag-key", "env")}, []string{"testing1"}},
		"R: filters of one key are ANDed":  {[]types.Filter{filterBy("name", "testing"), filterBy("name", "!testing1")}, []string{"testing2"}},
		"R: negation":                      {[]types.Filter{filterBy("name", "!testing")}, []string{"/slash/one", "AppBeta", "plain"}},
		"R: one, or not two":               {[]types.Filter{filterBy("name", "testing1", "!testing")}, []string{"/slash/one", "testing1", "AppBeta", "plain"}},
		"R: tag-key":                       {[]types.Filter{filterBy("tag-key", "e")}, []string{"/slash/one", "testing1"}},
		"R: tag-value":                     {[]types.Filter{filterBy("tag-value", "pro")}, []string{"/slash/one"}},
		"R: description by words":          {[]types.Filter{filterBy("description", "a secret")}, []string{"/slash/one", "testing1"}},
		"R: description, any case":         {[]types.Filter{filterBy("description", "SECRET")}, []string{"/slash/one", "testing1"}},
		"m: no description, never matches": {[]types.Filter{filterBy("description", "!secret")}, []string{"testing2", "AppBeta"}},
		"R: all over names":                {[]types.Filter{filterBy("all", "beta")}, []string{"AppBeta"}},
		"R: all over tags":                 {[]types.Filter{filterBy("all", "blue")}, []string{"AppBeta"}},
		"R: all over descriptions":         {[]types.Filter{filterBy("all", "an sec")}, []string{"testing1"}},
		"R: all: only a special character": {[]types.Filter{filterBy("all", "/")}, nil},
		"m: owning-service":                {[]types.Filter{filterBy("owning-service", "rds")}, nil},
		"m: primary-region":                {[]types.Filter{filterBy("primary-region", "us")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.names(sm.ListSecretsInput{Filters: c.filters}); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ filter, code, message string }{
		"no key":       {`{"Values":["a"]}`, "InvalidParameterException", "Invalid filter key"},
		"no values":    {`{"Key":"name"}`, "InvalidParameterException", "Invalid filter values for key: name"},
		"empty values": {`{"Key":"name","Values":[]}`, "InvalidParameterException", "Invalid filter values for key: name"},
		"unknown key": {`{"Key":"size","Values":["a"]}`, "ValidationException",
			"1 validation error detected: Value 'size' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: [all, name, tag-key, description, tag-value, primary-region, owning-service]"},
		"eleven values": {`{"Key":"name","Values":["1","2","3","4","5","6","7","8","9","10","11"]}`, "ValidationException", ""},
		"bad character": {`{"Key":"name","Values":["a*"]}`, "ValidationException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, r.raw("ListSecrets", `{"Filters":[`+c.filter+`]}`), c.code, c.message)
		})
	}
}

func TestBatchGetSecretValue(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	for _, name := range []string{"b1", "b2", "b3"} {
		r.create(name, "value of "+name)
	}
	must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("b-empty")}))(t)
	t.Run("R: by list: the order of the list, errors beside", func(t *testing.T) {
		out, err := r.client.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"b3", "nosuch", "b1", "b-empty", "in valid"}})
		must(t, err)
		if len(out.SecretValues) != 2 || *out.SecretValues[0].SecretString != "value of b3" || *out.SecretValues[1].Name != "b1" {
			t.Errorf("values %+v", out.SecretValues)
		}
		var got []string
		for _, e := range out.Errors {
			got = append(got, *e.SecretId+": "+*e.ErrorCode+": "+*e.Message)
		}
		want := []string{
			"nosuch: ResourceNotFoundException: Secrets Manager can't find the specified secret.",
			"b-empty: ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
			"in valid: ValidationException: Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("by filter, in pages", func(t *testing.T) {
		in := sm.BatchGetSecretValueInput{Filters: []types.Filter{filterBy("name", "b1", "b2", "b3")}, MaxResults: aws.Int32(2)}
		first, err := r.client.BatchGetSecretValue(ctx, &in)
		must(t, err)
		in.NextToken = first.NextToken
		rest, err := r.client.BatchGetSecretValue(ctx, &in)
		must(t, err)
		if len(first.SecretValues) != 2 || len(rest.SecretValues) != 1 || rest.NextToken != nil {
			t.Errorf("first %d, rest %d", len(first.SecretValues), len(rest.SecretValues))
		}
	})
	for body, message := range map[string]string{
		`{}`: "Either 'SecretIdList' or 'Filters' must be provided, but not both.",
		`{"SecretIdList":["a"],"Filters":[{"Key":"name","Values":["a"]}]}`: "Either 'SecretIdList' or 'Filters' must be provided, but not both.",
		`{"SecretIdList":["a"],"MaxResults":1}`:                            "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
	} {
		t.Run("m: "+body, func(t *testing.T) {
			wantError(t, r.raw("BatchGetSecretValue", body), "InvalidParameterException", message)
		})
	}
}
