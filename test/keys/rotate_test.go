package keys

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/client/admin"
	"lockstep/internal/servertest"
)

// TestKeyRotationSurvivesKill kills the server while data keys are re-wrapped,
// again and again: every value stays readable, and the server comes to the end
// of it by itself.
func TestKeyRotationSurvivesKill(t *testing.T) {
	const n = 160
	s := servertest.Start(t, servertest.Options{})
	names := make([]string, n)
	client := s.Secrets(t)
	var workers sync.WaitGroup
	for from := range 8 {
		workers.Go(func() {
			for i := from; i < n; i += 8 {
				names[i] = fmt.Sprintf("many/%d", i)
				_, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &names[i], SecretString: &names[i]})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	o := client.Options()
	master := kms.New(kms.Options{Region: o.Region, Credentials: o.Credentials, HTTPClient: o.HTTPClient, BaseEndpoint: &s.Endpoint})
	key := keyUse(t, s).ID
	for i := range 3 {
		// Each time a little later, so that it is met at different places.
		_, err := master.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &key})
		must(t, err)
		<-time.After(time.Duration(5*i) * time.Millisecond)
		s.Kill()
		must(t, s.Restart(t.Context()))
		for part := range slices.Chunk(names, 20) {
			out, err := client.BatchGetSecretValue(t.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: part})
			must(t, err)
			if len(out.SecretValues) != len(part) {
				t.Fatalf("%d of %d are readable: %v", len(out.SecretValues), len(part), out.Errors)
			}
			for _, v := range out.SecretValues {
				if aws.ToString(v.SecretString) != aws.ToString(v.Name) {
					t.Errorf("%s is %q", *v.Name, *v.SecretString)
				}
			}
		}
	}
	eventually(t, "all data keys are wrapped by the newest version", func() bool {
		use := keyUse(t, s)
		return use.Stale == 0 && use.DataKeys >= n && len(use.Versions) == 4
	})
}

// keyUse is what hangs on the key of the secrets that name none.
func keyUse(t *testing.T, s *servertest.Server) admin.KeyUse {
	t.Helper()
	use, err := s.Admin(t).KeyUse(t.Context(), "alias/aws/secretsmanager")
	must(t, err)
	return use
}
