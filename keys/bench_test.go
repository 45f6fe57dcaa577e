package keys_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/rootkey"
	"lockstep/internal/softhsm"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// benchRoots are the root keys that are measured side by side.
func benchRoots(b *testing.B) map[string]string {
	token := softhsm.New(b)
	name, value, _ := strings.Cut(token.Env, "=")
	b.Setenv(name, value)
	return map[string]string{"file": "file:" + filepath.Join(b.TempDir(), "root.key"), "softhsm": token.Line("root")}
}

func benchService(b *testing.B, line string) (store.Store, *keys.Service) {
	b.Helper()
	s, err := sqlstore.Open(b.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "keys.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	root, err := rootkey.Make(b.Context(), line)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = root.Close() })
	k, err := keys.New(b.Context(), keys.Config{Store: s, Root: root})
	if err != nil {
		b.Fatal(err)
	}
	return s, k
}

// BenchmarkReadValue is what GetSecretValue does: a row of the store, and the
// opening of it. The HSM is not on its way.
func BenchmarkReadValue(b *testing.B) {
	for name, line := range benchRoots(b) {
		b.Run(name, func(b *testing.B) {
			s, k := benchService(b, line)
			id, at := benchVersions(b, s, k, "", 1)
			for b.Loop() {
				var v *lockstep.Version
				err := s.View(b.Context(), func(tx store.ReadTx) error {
					var err error
					v, err = tx.Version(id, "v-0")
					return err
				})
				if err == nil {
					_, err = k.Open(b.Context(), v.Sealed, keys.Binding{ARN: at, Version: "v-0"})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRewrap rotates a key over 20,000 data keys.
func BenchmarkRewrap(b *testing.B) {
	const n = 20_000
	s, k := benchService(b, "file:"+filepath.Join(b.TempDir(), "root.key"))
	mk, err := k.Create(b.Context(), keys.CreateInput{Owner: home})
	if err != nil {
		b.Fatal(err)
	}
	benchVersions(b, s, k, mk.ID, n)
	total := 0
	for b.Loop() {
		if _, err := k.Rotate(b.Context(), keys.Ref{Owner: home, ID: mk.ID}); err != nil {
			b.Fatal(err)
		}
		done, err := k.Rewrap(b.Context(), mk.ID)
		if err != nil || done != n {
			b.Fatalf("%d, %v", done, err)
		}
		total += done
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "keys/s")
}

func benchVersions(b *testing.B, s store.Store, k *keys.Service, keyID string, n int) (id lockstep.SecretID, arn string) {
	b.Helper()
	arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:many-AbCdEf"
	err := s.Update(b.Context(), func(tx store.Tx) error {
		sec := &lockstep.Secret{Account: home.Account, Region: home.Region, Name: "many", ARN: lockstep.ARN(arn), Created: tx.Now(), Changed: tx.Now()}
		if err := tx.InsertSecret(sec); err != nil {
			return err
		}
		id = sec.ID
		return nil
	})
	for from := 0; err == nil && from < n; from += 1000 {
		list := make([]*lockstep.Version, 0, 1000)
		for i := from; err == nil && i < min(n, from+1000); i++ {
			v := &lockstep.Version{Secret: id, ID: lockstep.VersionID(fmt.Sprintf("v-%d", i))}
			v.Sealed, err = k.Seal(b.Context(), home, keyID, lockstep.StringValue("value"), keys.Binding{ARN: arn, Version: string(v.ID)})
			list = append(list, v)
		}
		if err != nil {
			break
		}
		err = s.Update(b.Context(), func(tx store.Tx) error {
			for _, v := range list {
				v.Created = tx.Now()
				if err := tx.InsertVersion(v); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	return id, arn
}
