package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/keys"
	"lockstep/store"
)

// kms is the SDK's client of the keys API.
func (r *rig) kms() *kms.Client {
	return kms.New(kms.Options{
		BaseEndpoint: aws.String(r.url), Region: region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(r.creds.AccessKeyID, r.creds.SecretKey.Reveal(), ""),
	})
}

func (r *rig) newKey(in kms.CreateKeyInput) *types.KeyMetadata {
	r.t.Helper()
	out, err := r.kms().CreateKey(r.t.Context(), &in)
	must(r.t, err)
	return out.KeyMetadata
}

// rawKMS sends a signed request with exactly this body.
func (r *rig) rawKMS(action, body string) answer {
	r.t.Helper()
	return r.send("POST", "/", "kms", body, http.Header{"X-Amz-Target": {"TrentService." + action}, "Content-Type": {"application/x-amz-json-1.1"}})
}

// code is the AWS code of an error; empty for none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) {
		t.Fatal(err)
	}
	return api.ErrorCode()
}

func TestKMSLifecycle(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	k := r.newKey(kms.CreateKeyInput{Description: aws.String("orders"), Tags: []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("blue")}}})
	if *k.Arn != "arn:aws:kms:us-east-1:000000000000:key/"+*k.KeyId || k.KeyState != types.KeyStateEnabled || !k.Enabled ||
		k.KeyManager != types.KeyManagerTypeCustomer || k.KeySpec != types.KeySpecSymmetricDefault || *k.Description != "orders" {
		t.Errorf("%+v", k)
	}
	wantError(t, r.rawKMS("CreateKey", `{"KeySpec":"RSA_2048"}`), "UnsupportedOperationException", "")
	state := func() types.KeyState {
		t.Helper()
		out, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: k.Arn})
		must(t, err)
		return out.KeyMetadata.KeyState
	}
	must2(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: k.KeyId}))(t)
	if state() != types.KeyStateDisabled {
		t.Error("not disabled")
	}
	_, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	refused(t, err, "DisabledException", *k.Arn+" is disabled.")
	must2(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: k.KeyId}))(t)
	_, err = c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(6)})
	refused(t, err, "ValidationException", "")
	gone, err := c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)})
	must(t, err)
	if gone.KeyState != types.KeyStatePendingDeletion || *gone.PendingWindowInDays != 7 || *gone.KeyId != *k.Arn {
		t.Errorf("%+v", gone)
	}
	_, err = c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: k.KeyId})
	refused(t, err, "KMSInvalidStateException", *k.Arn+" is pending deletion.")
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	refused(t, err, "KMSInvalidStateException", "")
	must2(c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: k.KeyId}))(t)
	if state() != types.KeyStateDisabled {
		t.Error("not disabled after the deletion was cancelled")
	}
	_, err = c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: k.KeyId})
	refused(t, err, "KMSInvalidStateException", "")
	_, err = c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("1234abcd-0000-0000-0000-000000000000")})
	refused(t, err, "NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/1234abcd-0000-0000-0000-000000000000' does not exist")

	tags, err := c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: k.KeyId})
	must(t, err)
	if len(tags.Tags) != 1 || *tags.Tags[0].TagValue != "blue" {
		t.Errorf("%+v", tags.Tags)
	}
	must2(c.TagResource(ctx, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}}))(t)
	must2(c.UntagResource(ctx, &kms.UntagResourceInput{KeyId: k.KeyId, TagKeys: []string{"team"}}))(t)
	if a := r.rawKMS("ListResourceTags", `{"KeyId":"`+*k.KeyId+`"}`); a.body != `{"Tags":[{"TagKey":"a","TagValue":"b"}],"Truncated":false}` {
		t.Error(a.body)
	}
}

func TestKMSLists(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	var ids []string
	for range 5 {
		ids = append(ids, *r.newKey(kms.CreateKeyInput{}).KeyId)
	}
	slices.Sort(ids)
	var got []string
	pages := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		must(t, err)
		for _, k := range p.Keys {
			got = append(got, *k.KeyId)
		}
	}
	// The default key, which sealed the root user's access key, is among them.
	if got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(ids, id) }); !slices.Equal(got, ids) {
		t.Errorf("keys %v, want %v", got, ids)
	}
	alias := func(name, id string) error {
		_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &id})
		return err
	}
	must(t, alias("alias/zoo", ids[0]))
	must(t, alias("alias/app/db", ids[0]))
	refused(t, alias("alias/zoo", ids[1]), "AlreadyExistsException", "An alias with the name arn:aws:kms:us-east-1:000000000000:alias/zoo already exists")
	refused(t, alias("zoo", ids[1]), "InvalidAliasNameException", "")
	refused(t, alias("alias/aws/mine", ids[1]), "InvalidAliasNameException", "")
	refused(t, alias("alias/x", "alias/zoo"), "NotFoundException", "")
	refused(t, alias("alias/x", "nosuch"), "NotFoundException", "")
	names := func(in kms.ListAliasesInput) (out []string) {
		t.Helper()
		pages := kms.NewListAliasesPaginator(c, &in)
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			must(t, err)
			for _, a := range p.Aliases {
				out = append(out, *a.AliasName)
			}
		}
		return out
	}
	for _, limit := range []int32{1, 2, 50} {
		if got := names(kms.ListAliasesInput{Limit: &limit}); !slices.Equal(got, []string{"alias/app/db", "alias/aws/secretsmanager", "alias/zoo"}) {
			t.Errorf("by %d: %v", limit, got)
		}
	}
	must2(c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: aws.String("alias/zoo"), TargetKeyId: &ids[1]}))(t)
	if got := names(kms.ListAliasesInput{KeyId: &ids[1]}); !slices.Equal(got, []string{"alias/zoo"}) {
		t.Errorf("%v", got)
	}
	must2(c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: aws.String("alias/zoo")}))(t)
	_, err := c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: aws.String("alias/zoo")})
	refused(t, err, "NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/zoo is not found.")
	wantError(t, r.rawKMS("ListKeys", `{"Marker":"%%"}`), "InvalidMarkerException", "")
}

func TestKMSCrypto(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	k, other := r.newKey(kms.CreateKeyInput{}), r.newKey(kms.CreateKeyInput{})
	must2(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/app"), TargetKeyId: k.KeyId}))(t)
	context := map[string]string{"table": "orders", "row": "7"}
	sealed, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String("alias/app"), Plaintext: []byte(marker), EncryptionContext: context})
	must(t, err)
	if *sealed.KeyId != *k.Arn || bytes.Contains(sealed.CiphertextBlob, []byte(marker)) {
		t.Errorf("%+v", sealed)
	}
	open := func(edit func(*kms.DecryptInput)) (string, error) {
		in := kms.DecryptInput{CiphertextBlob: slices.Clone(sealed.CiphertextBlob), EncryptionContext: context}
		edit(&in)
		out, err := c.Decrypt(ctx, &in)
		if err != nil {
			return "", err
		}
		return string(out.Plaintext), nil
	}
	for name, edit := range map[string]func(*kms.DecryptInput){
		"without a key": func(*kms.DecryptInput) {}, "by id": func(in *kms.DecryptInput) { in.KeyId = k.KeyId },
		"by ARN": func(in *kms.DecryptInput) { in.KeyId = k.Arn }, "by alias": func(in *kms.DecryptInput) { in.KeyId = aws.String("alias/app") },
	} {
		if got, err := open(edit); err != nil || got != marker {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, row := range map[string]struct {
		edit func(*kms.DecryptInput)
		code string
	}{
		"another context":         {func(in *kms.DecryptInput) { in.EncryptionContext = map[string]string{"table": "orders", "row": "8"} }, "InvalidCiphertextException"},
		"no context":              {func(in *kms.DecryptInput) { in.EncryptionContext = nil }, "InvalidCiphertextException"},
		"a foreign blob":          {func(in *kms.DecryptInput) { in.CiphertextBlob = []byte("AQICAHh") }, "InvalidCiphertextException"},
		"another key":             {func(in *kms.DecryptInput) { in.KeyId = other.KeyId }, "IncorrectKeyException"},
		"a key that is not there": {func(in *kms.DecryptInput) { in.KeyId = aws.String("nosuch") }, "NotFoundException"},
	} {
		_, err := open(row.edit)
		if got := code(t, err); got != row.code {
			t.Errorf("%s: %s, want %s", name, got, row.code)
		}
	}
	for i := range sealed.CiphertextBlob {
		if _, err := open(func(in *kms.DecryptInput) { in.CiphertextBlob[i] ^= 1 }); code(t, err) == "" {
			t.Fatalf("byte %d flipped, and it opened", i)
		}
	}

	moved, err := c.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: context, DestinationKeyId: other.KeyId})
	must(t, err)
	if *moved.SourceKeyId != *k.Arn || *moved.KeyId != *other.Arn {
		t.Errorf("%+v", moved)
	}
	if got, err := open(func(in *kms.DecryptInput) { in.CiphertextBlob, in.EncryptionContext = moved.CiphertextBlob, nil }); err != nil || got != marker {
		t.Errorf("moved: %q, %v", got, err)
	}

	// What was encrypted before a rotation stays readable after it.
	for range 2 {
		must2(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}))(t)
	}
	if got, err := open(func(*kms.DecryptInput) {}); err != nil || got != marker {
		t.Errorf("after rotations: %q, %v", got, err)
	}
	rotations, err := c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: k.KeyId})
	must(t, err)
	if len(rotations.Rotations) != 2 {
		t.Errorf("%d rotations", len(rotations.Rotations))
	}

	dk, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256, EncryptionContext: context})
	must(t, err)
	if got, err := open(func(in *kms.DecryptInput) { in.CiphertextBlob = dk.CiphertextBlob }); err != nil || got != string(dk.Plaintext) || len(got) != 32 {
		t.Errorf("data key: %v", err)
	}
	if a := r.rawKMS("GenerateDataKeyWithoutPlaintext", `{"KeyId":"alias/app","NumberOfBytes":64}`); a.status != 200 || strings.Contains(a.body, "Plaintext") {
		t.Error(a.body)
	}
	wantError(t, r.rawKMS("GenerateDataKey", `{"KeyId":"alias/app"}`), "ValidationException", "")
	random, err := c.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(24)})
	must(t, err)
	if len(random.Plaintext) != 24 {
		t.Errorf("%d bytes", len(random.Plaintext))
	}
	wantError(t, r.rawKMS("Encrypt", `{"KeyId":"alias/app","Plaintext":"`+strings.Repeat("AAAA", 1400)+`"}`), "ValidationException", "")
	wantError(t, r.rawKMS("Encrypt", `{"KeyId":"alias/app","Plaintext":"AAAA","EncryptionContext":{"a":"1","a":"2"}}`), "SerializationException", "")
	if strings.Contains(r.log.String(), marker) {
		t.Error("the log holds a plaintext")
	}
}

func TestKMSRotationStatus(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	k := r.newKey(kms.CreateKeyInput{})
	status := func() *kms.GetKeyRotationStatusOutput {
		t.Helper()
		out, err := c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId})
		must(t, err)
		return out
	}
	if status().KeyRotationEnabled {
		t.Error("on from the start")
	}
	must2(c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(90)}))(t)
	if s := status(); !s.KeyRotationEnabled || *s.RotationPeriodInDays != 90 || s.NextRotationDate == nil {
		t.Errorf("%+v", s)
	}
	must2(c.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: k.KeyId}))(t)
	if status().KeyRotationEnabled {
		t.Error("still on")
	}
	_, err := c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(89)})
	refused(t, err, "ValidationException", "")
}

func TestKMSPolicies(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	k := r.newKey(kms.CreateKeyInput{})
	put := func(document string, bypass bool) error {
		_, err := c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &document, BypassPolicyLockoutSafetyCheck: bypass})
		return err
	}
	const (
		head   = `{"Version":"2012-10-17","Statement":[`
		root   = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}`
		lockup = head + `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:DescribeKey","Resource":"*"}]}`
	)
	refused(t, put("{", false), "MalformedPolicyDocumentException", "")
	refused(t, put(lockup, false), "MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	_, err := c.CreateKey(ctx, &kms.CreateKeyInput{Policy: aws.String(lockup)})
	refused(t, err, "MalformedPolicyDocumentException", "")

	u := r.asUser("app")
	use := func() string {
		t.Helper()
		_, err := u.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"app": "a"}})
		return code(t, err)
	}
	if got := use(); got != "AccessDeniedException" {
		t.Errorf("a user without policies: %s", got)
	}
	must(t, put(head+root+`,{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/app"},"Action":"kms:Encrypt","Resource":"*",
		"Condition":{"StringEquals":{"kms:EncryptionContext:app":"a"}}}]}`, false))
	if got := use(); got != "" {
		t.Errorf("allowed by the key policy: %s", got)
	}
	_, err = u.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"app": "b"}})
	refused(t, err, "AccessDeniedException", "")
	for _, name := range []string{*k.KeyId, "nosuch"} { // told apart by nothing
		_, err = u.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
		refused(t, err, "AccessDeniedException", "")
	}
	must(t, put(lockup, true)) // whoever says so may lock himself out
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	refused(t, err, "AccessDeniedException", "")
	refused(t, put(head+root+`]}`, false), "AccessDeniedException", "")

	// The secrets service's own key is for that service.
	own, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/secretsmanager")})
	must(t, err)
	if own.KeyMetadata.KeyManager != types.KeyManagerTypeAws {
		t.Errorf("%+v", own.KeyMetadata)
	}
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: own.KeyMetadata.KeyId, Plaintext: []byte("x")})
	refused(t, err, "AccessDeniedException", "")
	_, err = c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: own.KeyMetadata.KeyId})
	refused(t, err, "AccessDeniedException", "")
}

// TestSecretsUnderAKey: a secret names its key by id, ARN or alias; the key's
// state decides over its reading, and the keys are re-wrapped under it.
func TestSecretsUnderAKey(t *testing.T) {
	r := start(t)
	c, ctx := r.kms(), t.Context()
	k := r.newKey(kms.CreateKeyInput{})
	must2(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/app"), TargetKeyId: k.KeyId}))(t)
	aliasARN := "arn:aws:kms:us-east-1:000000000000:alias/app"
	for name, id := range map[string]*string{"id": k.KeyId, "arn": k.Arn, "alias": aws.String("alias/app"), "alias-arn": &aliasARN} {
		must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretString: aws.String("v-" + name), KmsKeyId: id}))(t)
	}
	for _, id := range []string{"nosuch", "alias/nosuch", "arn:aws:kms:us-east-1:111111111111:key/" + *k.KeyId} {
		_, err := r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("x"), SecretString: aws.String("v"), KmsKeyId: &id})
		if got := code(t, err); got == "" {
			t.Errorf("a secret under key %s was made", id)
		}
	}
	var use struct{ Secrets, DataKeys, Stale int }
	see := func() {
		t.Helper()
		a := r.v1("GET", "/v1/key-use?key=alias/app", "")
		mustJSON(t, a.body, &use)
	}
	if see(); use.Secrets != 4 || use.DataKeys != 4 || use.Stale != 0 {
		t.Errorf("%+v", use)
	}
	must2(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}))(t)
	if see(); use.Stale != 4 {
		t.Errorf("%+v", use)
	}
	must(t, r.keys.Maintain(ctx))
	if see(); use.Stale != 0 || use.DataKeys != 4 {
		t.Errorf("%+v", use)
	}
	get := func() (string, error) {
		out, err := r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("alias")})
		if err != nil {
			return "", err
		}
		return *out.SecretString, nil
	}
	if got, err := get(); err != nil || got != "v-alias" {
		t.Errorf("after the rotation: %q, %v", got, err)
	}
	must2(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: k.KeyId}))(t)
	_, err := get()
	refused(t, err, "DecryptionFailure", "")
	_, err = r.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("alias"), SecretString: aws.String("new")})
	refused(t, err, "EncryptionFailure", "")
	must2(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: k.KeyId}))(t)
	if got, err := get(); err != nil || got != "v-alias" {
		t.Errorf("enabled again: %q, %v", got, err)
	}
	// When its time has come, the key goes, and what is under it with it.
	must2(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId}))(t)
	must(t, r.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.LockMasterKey(*k.KeyId)
		if err != nil {
			return err
		}
		row.DeleteAt = tx.Now().Add(-1)
		return tx.SaveMasterKey(row)
	}))
	must(t, r.keys.Maintain(ctx))
	_, err = get()
	refused(t, err, "DecryptionFailure", "")
	_, err = c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: k.KeyId})
	refused(t, err, "NotFoundException", "")
	if _, err := r.keys.Open(ctx, &lockstep.Sealed{KeyID: *k.KeyId, KeyVersion: 1}, place()); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("its material is still in memory: %v", err)
	}
}

// TestKeysThroughSecrets: who may read a secret under a user's key must be
// allowed by the key as well, through the secrets service or at all.
func TestKeysThroughSecrets(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	u := r.asUser("app")
	const app = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/app"},`
	const root = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}`
	k := r.newKey(kms.CreateKeyInput{})
	must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), KmsKeyId: k.KeyId}))(t)
	must2(r.client.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: aws.String("s"),
		ResourcePolicy: aws.String(`{"Version":"2012-10-17","Statement":[` + app + `"Action":"secretsmanager:*","Resource":"*"}]}`)}))(t)
	policy := func(statement string) {
		t.Helper()
		must2(r.kms().PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: aws.String(`{"Version":"2012-10-17","Statement":[` + root + statement + `]}`)}))(t)
	}
	try := func() (get, put string) {
		_, err := u.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s")})
		_, err2 := u.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("v")})
		return code(t, err), code(t, err2)
	}
	const denied = "AccessDeniedException"
	for _, c := range []struct{ name, statement, get, put string }{
		{"nothing for the user", "", denied, denied},
		{"to decrypt, through the service", "," + app + `"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"secretsmanager.us-east-1.amazonaws.com"}}}`, "", denied},
		{"through another service", "," + app + `"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`, denied, denied},
		{"for that secret", "," + app + `"Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:SecretARN":"*:secret:s-??????"}}}`, "", ""},
		{"for another secret", "," + app + `"Action":"kms:*","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:SecretARN":"*:secret:t-??????"}}}`, denied, denied},
	} {
		policy(c.statement)
		if get, put := try(); get != c.get || put != c.put {
			t.Errorf("%s: get %q, put %q; want %q and %q", c.name, get, put, c.get, c.put)
		}
	}
}

func place() keys.Binding { return keys.Binding{} }

func mustJSON(t *testing.T, body string, into any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(body), into))
}
