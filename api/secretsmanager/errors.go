package secretsmanager

import (
	"errors"

	"lockstep"
	"lockstep/api/awsjson"
)

// The codes that the API's model declares.
const (
	codeAccessDenied     = "AccessDeniedException"
	codeDecryption       = "DecryptionFailure"
	codeEncryption       = "EncryptionFailure"
	codeExists           = "ResourceExistsException"
	codeInvalidNextToken = "InvalidNextTokenException"
	codeInvalidParameter = "InvalidParameterException"
	codeInvalidRequest   = "InvalidRequestException"
	codeMalformedPolicy  = "MalformedPolicyDocumentException"
	codeLimitExceeded    = "LimitExceededException"
	codeNotFound         = "ResourceNotFoundException"
	codePublicPolicy     = "PublicPolicyException"
)

// codeOf is the table from the domain's errors to AWS's codes.
func codeOf(err error) (string, bool) {
	for _, row := range []struct {
		kind error
		code string
	}{
		{lockstep.ErrNotFound, codeNotFound},
		{lockstep.ErrVersionClaimed, codeExists},
		{lockstep.ErrExists, codeExists},
		{lockstep.ErrDenied, codeAccessDenied},
		{lockstep.ErrState, codeInvalidRequest},
		{lockstep.ErrInvalid, codeInvalidParameter},
		{lockstep.ErrLimit, codeLimitExceeded},
		{lockstep.ErrUnknownRotator, codeInvalidParameter},
	} {
		if errors.Is(err, row.kind) {
			return row.code, true
		}
	}
	return "", false
}

// answer turns an error into what the client is told. Errors that are not the
// client's stay as they are: whoever answers logs them.
func answer(err error, action string) error {
	var done *awsjson.Error
	if errors.As(err, &done) {
		return done
	}
	if errors.Is(err, lockstep.ErrSealed) || errors.Is(err, lockstep.ErrDecrypt) {
		return cryptoFailure(action, err)
	}
	var refusal *lockstep.Refusal
	var held *lockstep.StageHeldError
	code, known := codeOf(err)
	switch {
	case !known:
		return err
	case errors.As(err, &refusal):
		return awsjson.Errorf(code, "%s", refusal.Message)
	case errors.As(err, &held):
		return awsjson.Errorf(code, "%s", held.Error())
	case code == codeInvalidParameter:
		// The rules of the domain speak for themselves: a schedule's error
		// names its field and an example that works.
		return awsjson.Errorf(code, "%s", err.Error())
	case code == codeNotFound || code == codeInvalidRequest:
		// Whatever else is not found or not in a fit state is told by a
		// Refusal; what is left is the master key of a value.
		return cryptoFailure(action, err)
	default:
		return err
	}
}

// cryptoFailure says that the key, not the request, is at fault. Calls that
// read cannot decrypt, calls that write cannot encrypt; others have no key.
func cryptoFailure(action string, cause error) error {
	switch action {
	case "CreateSecret", "PutSecretValue", "UpdateSecret":
		return &awsjson.Error{Code: codeEncryption, Cause: cause,
			Message: "Secrets Manager can't encrypt the protected secret text using the provided KMS key. " +
				"Check that the KMS key is available, enabled, and not in an invalid state."}
	case "GetSecretValue":
		return &awsjson.Error{Code: codeDecryption, Cause: cause,
			Message: "Secrets Manager can't decrypt the protected secret text using the provided KMS key."}
	default:
		return cause
	}
}

func invalidParameter(format string, args ...any) error {
	return awsjson.Errorf(codeInvalidParameter, format, args...)
}

func invalidRequest(format string, args ...any) error {
	return awsjson.Errorf(codeInvalidRequest, format, args...)
}
