package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"lockstep"
	"lockstep/internal/node"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// listed is how many Secrets the lists are taken from; seedBatch of them are
// written by one transaction.
const (
	listed    = 100_000
	seedBatch = 1000
)

// measureLists measures the first page of ListSecrets among many Secrets.
func measureLists(ctx context.Context, b *bench, out io.Writer) (err error) {
	own := *b
	if own.dir, err = os.MkdirTemp("", "lockstep-bench-lists-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own.dir)) }() // #nosec G703 -- a file of the benchmark itself
	seeding := time.Now()
	if err := seedSecrets(ctx, filepath.Join(own.dir, "data")); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nListSecrets among %d secrets, first page of 100 (stored in %s)\n", listed, time.Since(seeding).Round(time.Second))
	server, err := own.start(ctx, 1)
	if err != nil {
		return err
	}
	defer server.Stop()
	return own.lists(ctx, server, out)
}

// seedSecrets fills a store as it stands before a server's first start.
func seedSecrets(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "lockstep.db")})
	if err != nil {
		return err
	}
	for i := 0; i < listed; i += seedBatch {
		err := s.Update(ctx, func(tx store.Tx) error {
			for j := range seedBatch {
				if err := seedSecret(tx, i+j); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return s.Close()
}

func seedSecret(tx store.Tx, i int) error {
	name := fmt.Sprintf("team%d/app%d/db-%06d", i%50, i%1000, i)
	arn, err := lockstep.NewSecretARN(region, "000000000000", name)
	if err != nil {
		return err
	}
	stage := "prod"
	if i >= listed/2 {
		stage = "late" // the younger half: the worst case for the oldest first
	}
	return tx.InsertSecret(&lockstep.Secret{
		Account: "000000000000", Region: region, Name: name, ARN: arn, Created: tx.Now(), Changed: tx.Now(),
		Description: "password of a database",
		Tags:        []lockstep.Tag{{Key: "stage", Value: stage}, {Key: "team", Value: fmt.Sprintf("t%d", i%50)}},
	})
}

// listCase is one list.
type listCase struct {
	what    string
	filters []types.Filter
}

func listCases() []listCase {
	by := func(key types.FilterNameStringType, values ...string) types.Filter {
		return types.Filter{Key: key, Values: values}
	}
	return []listCase{
		{"no filter", nil},
		{"name: matches nothing", []types.Filter{by("name", "nosuch")}},
		{"name: matches one", []types.Filter{by("name", "team7/app7/db-000007")}},
		{"name: every 50th", []types.Filter{by("name", "team7/")}},
		{"tag value: matches nothing", []types.Filter{by("tag-value", "nosuch")}},
		{"tag value: every 50th", []types.Filter{by("tag-value", "t7")}},
		{"tag value: the younger half", []types.Filter{by("tag-value", "late")}},
		{"tag value: every 50th of the younger half", []types.Filter{by("tag-value", "late"), by("tag-value", "t7")}},
		{"tag key: all", []types.Filter{by("tag-key", "stage")}},
		{"all: matches nothing", []types.Filter{by("all", "nosuch")}},
		{"all: one word that everything has", []types.Filter{by("all", "passw")}},
		{"description: matches nothing", []types.Filter{by("description", "nosuch")}},
	}
}

func (b *bench) lists(ctx context.Context, server *node.Node, out io.Writer) error {
	api, err := b.api(server)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "filter\tfound\tp50 ms\tp99 ms\t")
	for _, c := range listCases() {
		var took []float64
		found := 0
		for deadline := time.Now().Add(b.window); time.Now().Before(deadline) || len(took) == 0; {
			begin := time.Now()
			got, err := api.ListSecrets(ctx, &secretsmanager.ListSecretsInput{Filters: c.filters, MaxResults: aws.Int32(100)})
			if err != nil {
				return fmt.Errorf("list by %s: %w", c.what, err)
			}
			took, found = append(took, milliseconds(time.Since(begin))), len(got.SecretList)
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t\n", c.what, found, quantile(took, 0.5), quantile(took, 0.99))
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "heap in use after it: %d MiB\n", mem.HeapInuse>>20)
	return err
}
