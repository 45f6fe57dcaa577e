package bus

import (
	"context"
	"regexp"
	"strings"
)

// AuditSubjectPrefix begins the subjects of the audit stream:
// lockstep.audit.<node>.<source>.<event>.
const AuditSubjectPrefix = "lockstep.audit"

// notToken is what a part of a subject cannot hold.
var notToken = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// AuditSubject is where an entry of an audit log is published. Source is cut at
// its first dot; an entry that is no record has neither source nor event.
func AuditSubject(node, source, event string) string {
	source, _, _ = strings.Cut(source, ".")
	parts := []string{AuditSubjectPrefix}
	for _, part := range []string{node, source, event} {
		part = notToken.ReplaceAllString(part, "-")
		if part == "" {
			part = "-"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ".")
}

// PublishAudit publishes entries of an audit log in order, and returns one
// result for each, as PublishEvents does.
func (b *Bus) PublishAudit(ctx context.Context, ms []Message) []error {
	return b.publish(ctx, StreamAudit, ms)
}
