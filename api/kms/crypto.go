package kms

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/keys"
	"lockstep/store"
)

// cryptoKeys are the condition keys of a use of a key.
func cryptoKeys(id string, given map[string]string) []auth.Key {
	out := contextKeys(given)
	if strings.HasPrefix(id, "alias/") {
		out = append(out, auth.Key{Name: "kms:RequestAlias", Values: []string{id}})
	}
	return out
}

type encryptInput struct {
	KeyID     *string           `json:"KeyId"`
	Plaintext []byte            `json:"Plaintext"`
	Context   map[string]string `json:"EncryptionContext"`
	Algorithm *string           `json:"EncryptionAlgorithm"`
	DryRun    *bool             `json:"DryRun"`
}

func (in *encryptInput) Check() error {
	var c checks
	c.id(in.KeyID)
	c.blob("plaintext", in.Plaintext, lengthPlaintext)
	c.context("encryptionContext", in.Context)
	c.Enum(awsjson.Field{Path: "encryptionAlgorithm", Value: in.Algorithm}, specSymmetric)
	return c.Err()
}

type encryptOutput struct {
	Ciphertext []byte `json:"CiphertextBlob"`
	KeyID      string `json:"KeyId"`
	Algorithm  string `json:"EncryptionAlgorithm"`
}

func (s *Service) encrypt(ctx context.Context, r *request, in *encryptInput) (any, error) {
	defer clear(in.Plaintext)
	r.keys = cryptoKeys(*in.KeyID, in.Context)
	k, blob, err := s.keys.Encrypt(ctx, s.ref(ctx, r, *in.KeyID), in.Plaintext, in.Context)
	if err != nil {
		return nil, err
	}
	if is(in.DryRun) {
		return nil, dryRun()
	}
	return encryptOutput{blob, keys.ARN(k), specSymmetric}, nil
}

// dryRun is AWS's answer to a request that would have succeeded.
func dryRun() error {
	return &awsjson.Error{Code: "DryRunOperationException", Status: 412, Message: "The request would have succeeded, but the DryRun option is set."}
}

type decryptInput struct {
	Ciphertext []byte            `json:"CiphertextBlob"`
	KeyID      *string           `json:"KeyId"`
	Context    map[string]string `json:"EncryptionContext"`
	Algorithm  *string           `json:"EncryptionAlgorithm"`
	DryRun     *bool             `json:"DryRun"`
}

func (in *decryptInput) Check() error {
	var c checks
	c.blob("ciphertextBlob", in.Ciphertext, lengthCiphertext)
	c.optionalID("keyId", in.KeyID)
	c.context("encryptionContext", in.Context)
	c.Enum(awsjson.Field{Path: "encryptionAlgorithm", Value: in.Algorithm}, specSymmetric)
	return c.Err()
}

type decryptOutput struct {
	KeyID     string `json:"KeyId"`
	Plaintext []byte `json:"Plaintext"`
	Algorithm string `json:"EncryptionAlgorithm"`
}

func (s *Service) decrypt(ctx context.Context, r *request, in *decryptInput) (any, error) {
	r.keys = cryptoKeys(text(in.KeyID), in.Context)
	k, plaintext, err := s.openBlob(ctx, r, text(in.KeyID), in.Ciphertext, in.Context)
	if err != nil {
		return nil, err
	}
	if is(in.DryRun) {
		clear(plaintext)
		return nil, dryRun()
	}
	return decryptOutput{keys.ARN(k), plaintext, specSymmetric}, nil
}

// openBlob decrypts; id may be empty, since the ciphertext names its key.
func (s *Service) openBlob(ctx context.Context, r *request, id string, blob []byte, c map[string]string) (*store.MasterKey, []byte, error) {
	inside, err := keys.KeyOf(blob)
	if err != nil {
		return nil, nil, err
	}
	ref := s.ref(ctx, r, inside)
	ref.ID = id
	return s.keys.Decrypt(ctx, ref, blob, c)
}

type reEncryptInput struct {
	Ciphertext  []byte            `json:"CiphertextBlob"`
	FromKey     *string           `json:"SourceKeyId"`
	FromContext map[string]string `json:"SourceEncryptionContext"`
	ToKey       *string           `json:"DestinationKeyId"`
	ToContext   map[string]string `json:"DestinationEncryptionContext"`
	FromAlgo    *string           `json:"SourceEncryptionAlgorithm"`
	ToAlgo      *string           `json:"DestinationEncryptionAlgorithm"`
}

func (in *reEncryptInput) Check() error {
	var c checks
	c.blob("ciphertextBlob", in.Ciphertext, lengthCiphertext)
	c.optionalID("sourceKeyId", in.FromKey)
	c.Required(awsjson.Field{Path: "destinationKeyId", Value: in.ToKey})
	c.optionalID("destinationKeyId", in.ToKey)
	c.context("sourceEncryptionContext", in.FromContext)
	c.context("destinationEncryptionContext", in.ToContext)
	c.Enum(awsjson.Field{Path: "sourceEncryptionAlgorithm", Value: in.FromAlgo}, specSymmetric)
	c.Enum(awsjson.Field{Path: "destinationEncryptionAlgorithm", Value: in.ToAlgo}, specSymmetric)
	return c.Err()
}

type reEncryptOutput struct {
	Ciphertext []byte `json:"CiphertextBlob"`
	FromKey    string `json:"SourceKeyId"`
	KeyID      string `json:"KeyId"`
	FromAlgo   string `json:"SourceEncryptionAlgorithm"`
	ToAlgo     string `json:"DestinationEncryptionAlgorithm"`
}

// reEncrypt asks two questions under names of their own: may the one key be
// left, and the other be used.
func (s *Service) reEncrypt(ctx context.Context, r *request, in *reEncryptInput) (any, error) {
	r.asks, r.keys = "ReEncryptFrom", cryptoKeys(text(in.FromKey), in.FromContext)
	from, plaintext, err := s.openBlob(ctx, r, text(in.FromKey), in.Ciphertext, in.FromContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	r.asks, r.keys = "ReEncryptTo", cryptoKeys(*in.ToKey, in.ToContext)
	to, blob, err := s.keys.Encrypt(ctx, s.ref(ctx, r, *in.ToKey), plaintext, in.ToContext)
	if err != nil {
		return nil, err
	}
	return reEncryptOutput{blob, keys.ARN(from), keys.ARN(to), specSymmetric, specSymmetric}, nil
}

type dataKeyInput struct {
	KeyID   *string           `json:"KeyId"`
	Context map[string]string `json:"EncryptionContext"`
	Bytes   *int64            `json:"NumberOfBytes"`
	Spec    *string           `json:"KeySpec"`
	DryRun  *bool             `json:"DryRun"`
}

func (in *dataKeyInput) Check() error {
	var c checks
	c.id(in.KeyID)
	c.context("encryptionContext", in.Context)
	c.Range("numberOfBytes", in.Bytes, 1, 1024)
	c.Enum(awsjson.Field{Path: "keySpec", Value: in.Spec}, "AES_256", "AES_128")
	if err := c.Err(); err != nil {
		return err
	}
	if (in.Bytes == nil) == (in.Spec == nil) {
		return awsjson.Errorf(awsjson.CodeValidation, "Please specify either number of bytes or key spec.")
	}
	return nil
}

func (in *dataKeyInput) size() int64 {
	switch {
	case in.Bytes != nil:
		return *in.Bytes
	case *in.Spec == "AES_128":
		return 16
	default:
		return 32
	}
}

type dataKeyOutput struct {
	Ciphertext []byte `json:"CiphertextBlob"`
	Plaintext  []byte `json:"Plaintext,omitempty"`
	KeyID      string `json:"KeyId"`
}

func (s *Service) generateDataKey(ctx context.Context, r *request, in *dataKeyInput) (any, error) {
	out, err := s.newDataKey(ctx, r, in)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) generateWrappedKey(ctx context.Context, r *request, in *dataKeyInput) (any, error) {
	out, err := s.newDataKey(ctx, r, in)
	if err != nil {
		return nil, err
	}
	clear(out.Plaintext)
	out.Plaintext = nil
	return out, nil
}

func (s *Service) newDataKey(ctx context.Context, r *request, in *dataKeyInput) (dataKeyOutput, error) {
	plaintext, err := random(in.size())
	if err != nil {
		return dataKeyOutput{}, err
	}
	r.keys = cryptoKeys(*in.KeyID, in.Context)
	k, blob, err := s.keys.Encrypt(ctx, s.ref(ctx, r, *in.KeyID), plaintext, in.Context)
	if err != nil {
		return dataKeyOutput{}, err
	}
	if is(in.DryRun) {
		clear(plaintext)
		return dataKeyOutput{}, dryRun()
	}
	return dataKeyOutput{blob, plaintext, keys.ARN(k)}, nil
}

func random(n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw random bytes: %w", err)
	}
	return b, nil
}

type randomInput struct {
	Bytes *int64 `json:"NumberOfBytes"`
}

func (in *randomInput) Check() error {
	var c checks
	c.Range("numberOfBytes", in.Bytes, 1, 1024)
	if err := c.Err(); err != nil {
		return err
	}
	if in.Bytes == nil {
		return awsjson.Errorf(awsjson.CodeValidation, "NumberOfBytes is required.")
	}
	return nil
}

type randomOutput struct {
	Plaintext []byte `json:"Plaintext"`
}

func (s *Service) generateRandom(ctx context.Context, r *request, in *randomInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	b, err := random(*in.Bytes)
	if err != nil {
		return nil, err
	}
	return randomOutput{b}, nil
}
