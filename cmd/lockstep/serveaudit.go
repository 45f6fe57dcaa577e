package main

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"lockstep/internal/node"
)

// auditFlags are the flags of serve about the audit log.
func (s *settings) auditFlags(f *pflag.FlagSet) {
	f.StringVar(&s.Audit, "audit", "on", "on, or off to keep no audit log")
	f.StringVar(&s.AuditDir, "audit-dir", "", "directory of the audit log (default audit in the data directory)")
	f.StringVar(&s.AuditKeep, "audit-keep", "0", "how long audit files are kept, for example 9600h; 0 keeps them for ever")
	f.StringSliceVar(&s.AuditSinks, "audit-sink", nil, "copy the audit log there too: stdout, syslog, syslog+tcp://HOST:PORT, jetstream")
}

// auditConfig reads them. Errors are usage errors.
func (s *settings) auditConfig(stdout io.Writer) (node.AuditConfig, error) {
	cfg := node.AuditConfig{Dir: s.AuditDir, Sinks: s.AuditSinks, Stdout: stdout}
	switch s.Audit {
	case "on", "":
	case "off":
		cfg.Off = true
	default:
		return cfg, usagef("--audit %q: on or off", s.Audit)
	}
	keep, err := time.ParseDuration(s.AuditKeep)
	if err != nil {
		return cfg, usagef("--audit-keep %q: a duration such as 9600h, or 0", s.AuditKeep)
	}
	cfg.Keep = keep
	return cfg, nil
}
