package auth

import (
	"slices"
	"strings"

	"lockstep"
	"lockstep/auth/policy"
)

// maxSubjects bounds the subjects of one connection.
const maxSubjects = 200

// secretPart begins the last part of a Secret's ARN.
const secretPart = "secret:"

// suffixLength is that of the random characters at the end of an ARN.
const suffixLength = 6

// subjectsOf says which events a principal may hear of. The root user hears
// those of its account, in every region. Others hear of the Secrets that their
// policies let them read or describe, as far as that can be told from names
// alone and said in NATS's wildcards, which stand for whole parts of a name:
//
//	secret:*              all
//	secret:prod/db/*      what lies under prod/db
//	secret:prod/db/app*   prod/db/app, and what lies under it
//	secret:prod/db/app-*, secret:prod/db/app-??????, a whole ARN
//	                      prod/db/app
//
// Whatever depends on conditions, tags, or a Deny that may touch the same
// names, gives no subject; neither do resource policies. A whole ARN stands for
// the name in it: a Secret that takes the name after the first is gone is heard
// too, until the policy changes. Events hold no values.
func subjectsOf(p Principal) []string {
	base := lockstep.EventSubjectPrefix + "." + string(p.Account) + "."
	if p.IsRoot() {
		return []string{base + ">"}
	}
	if p.Access == nil {
		return nil
	}
	reaches := policy.ReachOf(
		policy.Request{Principal: p.evaluated(), Resource: "arn:aws:secretsmanager:::secret:", Context: tagContext(p.Access.Tags)},
		p.Access.set(), []string{"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"})
	var out []string
	for _, r := range reaches {
		region := r.Region
		if region == "" {
			region = "*"
		}
		for _, rest := range endings(r) {
			out = append(out, base+region+"."+rest)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxSubjects)]
}

func tagContext(tags []lockstep.Tag) policy.Context {
	var c policy.Context
	setTags(&c, "aws:PrincipalTag/", tags)
	return c
}

// endings are the subjects of a Reach, after the region.
func endings(r policy.Reach) []string {
	const anyType = "*.*."
	name, secret := strings.CutPrefix(r.Prefix, secretPart)
	switch {
	case !secret && !r.Exact && strings.HasPrefix(secretPart, r.Prefix), secret && !r.Exact && name == "":
		return []string{">"}
	case !secret:
		return nil
	case r.Exact:
		if name, ok := exactName(name, r.Any); ok {
			return []string{anyType + lockstep.SecretKey(name)}
		}
		return nil
	case strings.HasSuffix(name, "/"):
		return []string{anyType + lockstep.SecretKey(strings.TrimSuffix(name, "/")) + ".>"}
	case strings.HasSuffix(name, "-") && name != "-":
		return []string{anyType + lockstep.SecretKey(strings.TrimSuffix(name, "-"))}
	}
	return []string{anyType + lockstep.SecretKey(name), anyType + lockstep.SecretKey(name) + ".>"}
}

// exactName takes the random characters off: they are given, or free.
func exactName(resource string, free int) (string, bool) {
	if free > suffixLength {
		return "", false
	}
	at := len(resource) + free - suffixLength - 1
	if at < 1 || at >= len(resource) || resource[at] != '-' {
		return "", false
	}
	return resource[:at], true
}
