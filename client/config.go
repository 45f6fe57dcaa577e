package client

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"lockstep"
	"lockstep/client/internal/wire"
)

// DefaultPollInterval is how often a Secret is read without an event.
const DefaultPollInterval = time.Minute

// Config says which server, and who asks. The zero Config takes everything
// from the environment, as `lockstep env` prints it.
type Config struct {
	// Endpoint is the server's URL; empty: $AWS_ENDPOINT_URL_SECRETS_MANAGER.
	// Plain http is taken for loopback addresses alone.
	Endpoint string
	// NATSURL is where events are heard; empty: $LOCKSTEP_NATS_URL, else the
	// server is asked. TLS is always used.
	NATSURL string
	// Region of the secrets; empty: the AWS SDK's ($AWS_REGION, profile), else
	// us-east-1.
	Region string
	// Credentials sign requests and login tokens; nil: the AWS SDK's chain.
	Credentials aws.CredentialsProvider
	// CAFile is a PEM file with the authorities to trust, and no others; empty:
	// $AWS_CA_BUNDLE, else the system's.
	CAFile string
	// TLS, if set, is used instead of CAFile.
	TLS *tls.Config
	// HTTPClient, if set, carries the requests; TLS and CAFile then count for
	// NATS alone.
	HTTPClient *http.Client
	// Name is the application's, shown to operators of NATS; may be empty.
	Name string
	// PollInterval is how often a Secret is read while no event can be heard;
	// 0: DefaultPollInterval. While events are heard it is read ten times more
	// rarely, in case one was lost.
	PollInterval time.Duration
	// Logger hears of what is overcome by itself; nil: nobody.
	Logger *slog.Logger
}

func (c Config) check() error {
	if c.PollInterval < 0 {
		return fmt.Errorf("negative poll interval: %w", lockstep.ErrInvalid)
	}
	return nil
}

func (c Config) wire() wire.Config {
	return wire.Config{
		Endpoint: c.Endpoint, Region: c.Region, Credentials: c.Credentials, CAFile: c.CAFile,
		TLS: c.TLS, HTTPClient: c.HTTPClient, Logger: c.Logger,
	}
}
