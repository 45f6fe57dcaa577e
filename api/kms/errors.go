package kms

import (
	"errors"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keys"
)

// The codes that the API's model declares.
const (
	codeAccessDenied      = "AccessDeniedException"
	codeExists            = "AlreadyExistsException"
	codeDisabled          = "DisabledException"
	codeIncorrectKey      = "IncorrectKeyException"
	codeInvalidAlias      = "InvalidAliasNameException"
	codeInvalidARN        = "InvalidArnException"
	codeInvalidCiphertext = "InvalidCiphertextException"
	codeInvalidMarker     = "InvalidMarkerException"
	codeInvalidState      = "KMSInvalidStateException"
	codeLimitExceeded     = "LimitExceededException"
	codeMalformedPolicy   = "MalformedPolicyDocumentException"
	codeNotFound          = "NotFoundException"
	codeTag               = "TagException"
	codeUnavailable       = "DependencyTimeoutException"
	codeUnsupported       = "UnsupportedOperationException"
)

// answer turns an error into what the client is told. Errors that are not the
// client's stay as they are: whoever answers logs them.
func answer(err error) error {
	var done *awsjson.Error
	if errors.As(err, &done) {
		return done
	}
	for _, row := range []struct {
		kind error
		code string
	}{
		{keys.ErrDisabled, codeDisabled},
		{keys.ErrAliasName, codeInvalidAlias},
		{keys.ErrIncorrectKey, codeIncorrectKey},
		{lockstep.ErrDecrypt, codeInvalidCiphertext},
		{lockstep.ErrSealed, codeUnavailable},
		{lockstep.ErrNotFound, codeNotFound},
		{lockstep.ErrExists, codeExists},
		{lockstep.ErrDenied, codeAccessDenied},
		{lockstep.ErrState, codeInvalidState},
		{lockstep.ErrLimit, codeLimitExceeded},
		{lockstep.ErrInvalid, codeInvalidARN},
	} {
		if errors.Is(err, row.kind) {
			return told(row.code, err)
		}
	}
	return err
}

// told words an error of a known kind. Of a ciphertext that does not open
// nothing is told, since what is wrong with it may be a secret.
func told(code string, err error) error {
	var refusal *lockstep.Refusal
	switch {
	case code == codeInvalidCiphertext:
		return &awsjson.Error{Code: code}
	case code == codeIncorrectKey:
		return awsjson.Errorf(code, "The key ID in the request does not identify a CMK that can perform this operation.")
	case code == codeUnavailable:
		return &awsjson.Error{Code: code, Status: 500, Message: "The root key can't be reached; try again later.", Cause: err}
	case errors.As(err, &refusal):
		return awsjson.Errorf(code, "%s", refusal.Message)
	default:
		return awsjson.Errorf(code, "%s", err.Error())
	}
}
