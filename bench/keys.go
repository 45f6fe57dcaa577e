package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"lockstep"
	"lockstep/audit"
	"lockstep/internal/node"
	"lockstep/internal/rootkey"
	"lockstep/internal/softhsm"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// rewrapped is how many data keys are re-wrapped, and verified how many audit
// records.
const (
	rewrapped = 100_000
	verified  = 200_000
)

// measureKeys measures reads with the root key in a file and in an HSM, in turns;
// the re-wrapping of data keys; the verification of an audit log.
func measureKeys(ctx context.Context, b *bench, out io.Writer) error {
	dir, err := os.MkdirTemp("", "lockstep-bench-keys-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // #nosec G703 -- a file of the benchmark itself
	if err := b.measureRoots(ctx, dir, out); err != nil {
		return err
	}
	if err := measureRewrap(ctx, dir, out); err != nil {
		return err
	}
	return measureVerify(ctx, dir, out)
}

// keySide is a server with its root key in one place.
type keySide struct {
	name  string
	bench bench
	root  string
	rates map[int][]float64
	times map[int][]float64
	cpu   map[int][]float64
}

// measureRoots measures reads with both root keys.
func (b *bench) measureRoots(ctx context.Context, dir string, out io.Writer) error {
	tokens := filepath.Join(dir, "hsm")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		return err
	}
	token, err := softhsm.Make(ctx, tokens)
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(token.Env, "=")
	if err := os.Setenv(name, value); err != nil {
		return err
	}
	sides := []*keySide{b.keySide("file", filepath.Join(dir, "of-file"), ""), b.keySide("SoftHSM2", filepath.Join(dir, "of-hsm"), token.Line("root"))}
	numbers := []int{16, 64}
	for round := range b.rounds {
		order := slices.Clone(sides)
		if round%2 == 1 { // who comes second may find the machine in another mood
			slices.Reverse(order)
		}
		for _, side := range order {
			if err := side.round(ctx, numbers); err != nil {
				return fmt.Errorf("with the root key in %s: %w", side.name, err)
			}
		}
	}
	fmt.Fprintln(out, "\nGetSecretValue by the place of the root key (audit log on)")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "connections\troot key\treads/s\tp50 ms\tp99 ms\tless reads/s\tCPU ms/read\t")
	for _, n := range numbers {
		for _, side := range sides {
			fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.1f %%\t%.3f\t\n", n, side.name, median(side.rates[n]),
				quantile(side.times[n], 0.5), quantile(side.times[n], 0.99), 100*lost(sides[0].rates[n], side.rates[n]), median(side.cpu[n]))
		}
	}
	return t.Flush()
}

func (b *bench) keySide(name, dir, root string) *keySide {
	own := *b
	own.dir, own.ready = dir, false
	return &keySide{name: name, bench: own, root: root, rates: make(map[int][]float64), times: make(map[int][]float64), cpu: make(map[int][]float64)}
}

// round starts the server, measures it and stops it.
func (s *keySide) round(ctx context.Context, numbers []int) error {
	server, err := node.Start(ctx, node.Config{
		DataDir: filepath.Join(s.bench.dir, "data"), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", RootKey: s.root,
		MinInterval: minInterval, Version: "bench", Logger: s.bench.commits.logger(),
	})
	if err != nil {
		return err
	}
	defer server.Stop()
	if !s.bench.ready {
		api, err := s.bench.api(server)
		if err != nil {
			return err
		}
		for i := range secretCount {
			if err := s.bench.plainSecret(ctx, api, i); err != nil {
				return err
			}
		}
		s.bench.ready = true
	}
	for _, n := range numbers {
		got, took, err := s.bench.profiledReads(ctx, server, n)
		if err != nil {
			return err
		}
		s.rates[n], s.times[n], s.cpu[n] = append(s.rates[n], got.perSecond), append(s.times[n], took...), append(s.cpu[n], got.cpu)
	}
	return nil
}

// measureRewrap rotates a master key over many data keys.
func measureRewrap(ctx context.Context, dir string, out io.Writer) (err error) {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "keys.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	root, err := rootkey.Make(ctx, "file:"+filepath.Join(dir, "rewrap.key"))
	if err != nil {
		return err
	}
	k, err := keys.New(ctx, keys.Config{Store: s, Root: root})
	if err != nil {
		return errors.Join(err, root.Close())
	}
	owner := store.Owner{Account: "000000000000", Region: region}
	mk, err := k.Create(ctx, keys.CreateInput{Owner: owner})
	if err != nil {
		return err
	}
	for from := 0; from < rewrapped; from += seedBatch {
		if err := sealMany(ctx, s, k, sealing{owner: owner, key: mk.ID, from: from}); err != nil {
			return err
		}
	}
	if _, err := k.Rotate(ctx, keys.Ref{Owner: owner, ID: mk.ID}); err != nil {
		return err
	}
	begin := time.Now()
	done, err := k.Rewrap(ctx, mk.ID)
	took := time.Since(begin)
	if err != nil || done != rewrapped {
		return fmt.Errorf("%d of %d data keys re-wrapped: %w", done, rewrapped, err)
	}
	_, err = fmt.Fprintf(out, "\nRe-wrapping of %d data keys: %s, %.0f a second\n", done, took.Round(time.Millisecond), float64(done)/took.Seconds())
	return err
}

// sealing is one batch of Secrets with a value each.
type sealing struct {
	owner store.Owner
	key   string
	from  int
}

func sealMany(ctx context.Context, s store.Store, k *keys.Service, of sealing) error {
	sealed := make([]*lockstep.Sealed, seedBatch)
	arns := make([]lockstep.ARN, seedBatch)
	for i := range sealed {
		var err error
		arns[i], err = lockstep.NewSecretARN(of.owner.Region, of.owner.Account, fmt.Sprintf("many/%d", of.from+i))
		if err == nil {
			sealed[i], err = k.Seal(ctx, of.owner, of.key, lockstep.StringValue("a password of some length"), keys.Binding{ARN: string(arns[i]), Version: "v"})
		}
		if err != nil {
			return err
		}
	}
	return s.Update(ctx, func(tx store.Tx) error {
		for i := range sealed {
			secret := &lockstep.Secret{
				Account: of.owner.Account, Region: of.owner.Region, Name: fmt.Sprintf("many/%d", of.from+i), ARN: arns[i],
				Created: tx.Now(), Changed: tx.Now(),
			}
			if err := tx.InsertSecret(secret); err != nil {
				return err
			}
			if err := tx.InsertVersion(&lockstep.Version{Secret: secret.ID, ID: "v", Sealed: sealed[i], Created: tx.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// headless keeps no head.
type headless struct{}

func (headless) Load(context.Context, string) (audit.Head, error) {
	return audit.Head{}, lockstep.ErrNotFound
}
func (headless) Save(context.Context, audit.Head) error { return nil }

// measureVerify verifies a log: macs, hashes and signatures.
func measureVerify(ctx context.Context, dir string, out io.Writer) error {
	root, err := rootkey.Make(ctx, "file:"+filepath.Join(dir, "verify.key"))
	if err != nil {
		return err
	}
	defer root.Close()
	at, mac := filepath.Join(dir, "verified"), make([]byte, 32)
	l, err := audit.Open(ctx, audit.Config{Dir: at, Node: "bench", MACKey: mac, Signers: audit.Always(root), Heads: headless{}})
	if err != nil {
		return err
	}
	batch := make([]audit.Record, seedBatch)
	for n := 0; n < verified; n += len(batch) {
		for i := range batch {
			batch[i] = readRecord(n + i)
		}
		if err := l.Append(ctx, batch...); err != nil {
			return errors.Join(err, l.Close(ctx))
		}
	}
	if err := l.Close(ctx); err != nil {
		return err
	}
	begin := time.Now()
	report, err := audit.Verify([]string{at}, audit.Trust{MACKey: mac, Public: audit.PublicKeys{root.ID(): root.Public()}})
	took := time.Since(begin)
	if err != nil || !report.OK() || report.Chains[0].Entries < verified {
		return fmt.Errorf("the log does not verify: %v: %w", report.Findings, err)
	}
	_, err = fmt.Fprintf(out, "Verification of %d audit records: %s, %.0f a second\n", verified, took.Round(time.Millisecond), verified/took.Seconds())
	return err
}

// readRecord is the record of a read, as the API makes it.
func readRecord(n int) audit.Record {
	return audit.Record{
		Source: "secretsmanager.amazonaws.com", Name: "GetSecretValue", Type: audit.TypeAPICall, ReadOnly: true,
		Identity: audit.Identity{Type: "IAMUser", ARN: "arn:aws:iam::000000000000:user/app", Name: "app", Account: "000000000000"},
		Address:  "127.0.0.1", Region: region, RequestID: fmt.Sprintf("request-%d", n),
		Resources: []audit.Resource{{ARN: fmt.Sprintf("arn:aws:secretsmanager:us-east-1:000000000000:secret:db/%d-AbCdEf", n%1000), VersionID: fmt.Sprintf("version-%d", n)}},
	}
}
