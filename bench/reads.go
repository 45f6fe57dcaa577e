package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"lockstep/internal/node"
)

// measureReads measures GetSecretValue over connections that stay open.
func measureReads(ctx context.Context, b *bench, out io.Writer) error {
	if err := b.prepare(ctx, 0, time.Hour); err != nil {
		return err
	}
	server, err := b.start(ctx, 16)
	if err != nil {
		return err
	}
	defer server.Stop()
	numbers := []int{16, 64}
	rates, times := make(map[int][]float64), make(map[int][]float64)
	for range b.rounds {
		for _, n := range numbers {
			got, took, err := b.profiledReads(ctx, server, n)
			if err != nil {
				return err
			}
			rates[n], times[n] = append(rates[n], got.perSecond), append(times[n], took...)
		}
	}
	fmt.Fprintln(out, "\nGetSecretValue, HTTPS keep-alive, Signature Version 4 (clients on the same CPUs)")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "connections\treads/s\tp50 ms\tp99 ms\t")
	for _, n := range numbers {
		fmt.Fprintf(t, "%d\t%.0f\t%.2f\t%.2f\t\n", n, median(rates[n]), quantile(times[n], 0.5), quantile(times[n], 0.99))
	}
	return t.Flush()
}

// httpClient trusts the bench's server.
func (b *bench) httpClient(connections int) (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(b.dir, "data", "ca.pem")) // #nosec G703 -- a file of the benchmark itself
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
	}}, nil
}

// reader reads one secret again and again over one connection.
type reader struct {
	http   *http.Client
	url    string
	signer *v4.Signer
	creds  aws.Credentials
	body   []byte
	hash   string
	// header is good for the second that it was signed in, since a signature
	// knows no more.
	header http.Header
	second int64
	took   []float64
}

func (b *bench) newReader(n *node.Node, i int) (*reader, error) {
	creds, err := b.awsCredentials()
	if err != nil {
		return nil, err
	}
	h, err := b.httpClient(1)
	if err != nil {
		return nil, err
	}
	body := []byte(`{"SecretId":"` + secretName(i%secretCount) + `"}`)
	sum := sha256.Sum256(body)
	return &reader{
		http: h, url: n.URL() + "/", signer: v4.NewSigner(), creds: creds, body: body, hash: hex.EncodeToString(sum[:]),
	}, nil
}

func (r *reader) once(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	if now := time.Now(); now.Unix() != r.second {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
		if err := r.signer.SignHTTP(ctx, r.creds, req, r.hash, "secretsmanager", region, now); err != nil {
			return err
		}
		r.header, r.second = req.Header.Clone(), now.Unix()
	}
	req.Header = r.header.Clone()
	start := time.Now()
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("SecretString")) {
		return fmt.Errorf("GetSecretValue answers %s (%w)", resp.Status, err)
	}
	r.took = append(r.took, milliseconds(time.Since(start)))
	return nil
}

// profiledReads is reads, with a profile if one was asked for.
func (b *bench) profiledReads(ctx context.Context, server *node.Node, n int) (pace, []float64, error) {
	stop, err := b.startProfile()
	if err != nil {
		return pace{}, nil, err
	}
	got, took, err := b.reads(ctx, server, n)
	return got, took, errors.Join(err, stop())
}

// reads is how many reads a second n connections make, and how long each took
// in milliseconds.
func (b *bench) reads(ctx context.Context, server *node.Node, n int) (pace, []float64, error) {
	all := make([]*reader, n)
	for i := range all {
		var err error
		if all[i], err = b.newReader(server, i); err != nil {
			return pace{}, nil, err
		}
		defer all[i].http.CloseIdleConnections()
	}
	var done atomic.Int64
	var stopping atomic.Bool
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for _, r := range all {
		wg.Go(func() {
			for !stopping.Load() {
				if err := r.once(ctx); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	got, err := b.pace(ctx, done.Load)
	stopping.Store(true)
	wg.Wait()
	close(errs)
	for failed := range errs {
		return pace{}, nil, failed
	}
	var took []float64
	for _, r := range all {
		took = append(took, r.took...)
	}
	return got, took, err
}
