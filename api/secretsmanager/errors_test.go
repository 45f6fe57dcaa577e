package secretsmanager

import (
	"errors"
	"fmt"
	"testing"

	"lockstep"
	"lockstep/api/awsjson"
)

func TestErrorTable(t *testing.T) {
	const get, put, tag = "GetSecretValue", "PutSecretValue", "TagResource"
	for _, c := range []struct {
		err    error
		action string
		code   string // empty: a failure of the server, told to nobody
	}{
		{lockstep.Refuse(lockstep.ErrNotFound, "T."), get, "ResourceNotFoundException"},
		{lockstep.Refuse(lockstep.ErrExists, "T."), put, "ResourceExistsException"},
		{lockstep.Refuse(lockstep.ErrVersionClaimed, "T."), put, "ResourceExistsException"},
		{lockstep.Refuse(lockstep.ErrState, "T."), put, "InvalidRequestException"},
		{lockstep.Refuse(lockstep.ErrInvalid, "T."), put, "InvalidParameterException"},
		{lockstep.Refuse(lockstep.ErrDenied, "T."), get, "AccessDeniedException"},
		{lockstep.Refuse(lockstep.ErrUnknownRotator, "T."), put, "InvalidParameterException"},
		{fmt.Errorf("open: %w", lockstep.ErrSealed), get, "DecryptionFailure"},
		{fmt.Errorf("seal: %w", lockstep.ErrSealed), put, "EncryptionFailure"},
		{fmt.Errorf("open: %w", lockstep.ErrDecrypt), get, "DecryptionFailure"},
		{fmt.Errorf("read master key: %w", lockstep.ErrNotFound), put, "EncryptionFailure"},
		{fmt.Errorf("master key is Disabled: %w", lockstep.ErrState), get, "DecryptionFailure"},
		{&lockstep.StageHeldError{}, tag, "InvalidParameterException"},
		{fmt.Errorf("wrong: %w", lockstep.ErrInvalid), put, "InvalidParameterException"},
		{fmt.Errorf("row: %w", lockstep.ErrNotFound), tag, ""},
		{fmt.Errorf("store: %w", lockstep.ErrBusy), get, ""},
		{fmt.Errorf("store: %w", lockstep.ErrConflict), put, ""},
		{fmt.Errorf("run: %w", lockstep.ErrFenced), put, ""},
		{errors.New("anything"), get, ""},
	} {
		got := answer(c.err, c.action)
		var told *awsjson.Error
		if !errors.As(got, &told) {
			if c.code != "" {
				t.Errorf("%s: %v: told to nobody, want %s", c.action, c.err, c.code)
			}
			continue
		}
		if told.Code != c.code || told.HTTPStatus() != 400 {
			t.Errorf("%s: %v: got %d %s, want %q", c.action, c.err, told.HTTPStatus(), told.Code, c.code)
		}
		var refusal *lockstep.Refusal
		if errors.As(c.err, &refusal) && told.Message != "T." {
			t.Errorf("%v: text %q", c.err, told.Message)
		}
	}
}
