package keys

import (
	"fmt"
	"regexp"
	"strings"

	"lockstep"
	"lockstep/store"
)

const (
	aliasPrefix = "alias/"
	// DefaultAlias is the alias of the key that seals what names no key.
	DefaultAlias = "alias/aws/secretsmanager"
	// reservedAliases belong to services.
	reservedAliases = "alias/aws/"
)

// name is a reference to a key, taken apart: an id or an alias; neither means
// the default key.
type name struct{ id, alias string }

func (n name) isDefault() bool { return n.id == "" && (n.alias == "" || n.alias == DefaultAlias) }

// ARN is the ARN of a key.
func ARN(k *store.MasterKey) string { return arnOf(k.Owner(), "key/"+k.ID) }

// AliasARN is the ARN of an alias.
func AliasARN(owner store.Owner, alias string) string { return arnOf(owner, alias) }

func arnOf(owner store.Owner, resource string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:%s", owner.Region, owner.Account, resource)
}

// parseName reads an id, an ARN, an alias or an alias's ARN. ErrNotFound for
// one that is another owner's; ErrInvalid for an ARN of something else.
func parseName(owner store.Owner, ref string) (name, error) {
	if strings.HasPrefix(ref, "arn:") {
		parts := strings.SplitN(ref, ":", 6)
		if len(parts) != 6 || parts[2] != "kms" {
			return name{}, fmt.Errorf("key %q: an ARN of a key is arn:aws:kms:REGION:ACCOUNT:key/ID: %w", ref, lockstep.ErrInvalid)
		}
		if arnOf(owner, parts[5]) != ref {
			return name{}, fmt.Errorf("key %s: %w", ref, lockstep.ErrNotFound)
		}
		id, isKey := strings.CutPrefix(parts[5], "key/")
		switch {
		case isKey && id != "":
			return name{id: id}, nil
		case len(parts[5]) > len(aliasPrefix) && strings.HasPrefix(parts[5], aliasPrefix):
			return name{alias: parts[5]}, nil
		}
		return name{}, fmt.Errorf("key %q: it names neither a key nor an alias: %w", ref, lockstep.ErrInvalid)
	}
	if strings.HasPrefix(ref, aliasPrefix) {
		return name{alias: ref}, nil
	}
	return name{id: ref}, nil
}

var aliasForm = regexp.MustCompile(`^alias/[A-Za-z0-9/_-]+$`)

// maxAlias is the length of an alias, with its prefix.
const maxAlias = 256

// ErrAliasName marks a name that no alias may have. It is an ErrInvalid.
var ErrAliasName = fmt.Errorf("not a name for an alias: %w", lockstep.ErrInvalid)

// checkAlias refuses what no user's alias is called.
func checkAlias(alias string) error {
	switch {
	case !aliasForm.MatchString(alias) || len(alias) > maxAlias:
		return lockstep.Refuse(ErrAliasName, "Alias must start with the prefix \"alias/\", followed by letters, digits, slashes, underscores and dashes, %d characters in all.", maxAlias)
	case strings.HasPrefix(alias, reservedAliases):
		return lockstep.Refuse(ErrAliasName, "Alias names that begin with %s are reserved.", reservedAliases)
	}
	return nil
}
