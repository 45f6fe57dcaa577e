"""Keys by boto3: a key's whole life, and what applications do with it."""
import os

import boto3
from botocore.exceptions import ClientError

kms = boto3.client("kms", endpoint_url=os.environ["AWS_ENDPOINT_URL_KMS"])


def refused(code, call, **args):
    try:
        call(**args)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e)
        return
    raise AssertionError(f"{code} was expected")


key = kms.create_key(Description="boto", Tags=[{"TagKey": "team", "TagValue": "blue"}])["KeyMetadata"]
assert key["KeyState"] == "Enabled" and key["KeySpec"] == "SYMMETRIC_DEFAULT", key
assert key["CreationDate"].year > 2000
kms.create_alias(AliasName="alias/boto", TargetKeyId=key["KeyId"])
assert "alias/boto" in [a["AliasName"] for p in kms.get_paginator("list_aliases").paginate() for a in p["Aliases"]]

context = {"app": "boto"}
blob = kms.encrypt(KeyId="alias/boto", Plaintext=b"hello", EncryptionContext=context)["CiphertextBlob"]
opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
assert opened["Plaintext"] == b"hello" and opened["KeyId"] == key["Arn"], opened
for wrong in [{}, {"app": "Boto"}, {"App": "boto"}, {"app": "boto", "more": ""}]:
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=wrong)
for foreign in [b"x", bytes.fromhex("0102030078"), blob[:-1], blob + b"x", blob[:60] + bytes([blob[60] ^ 1]) + blob[61:]]:
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=foreign, EncryptionContext=context)
other = kms.create_key()["KeyMetadata"]
refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other["KeyId"])
refused("IncorrectKeyException", kms.re_encrypt, CiphertextBlob=blob, SourceEncryptionContext=context, SourceKeyId=other["KeyId"], DestinationKeyId=key["KeyId"])

data = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"] and len(data["Plaintext"]) == 32
assert "Plaintext" not in kms.generate_data_key_without_plaintext(KeyId=key["Arn"], NumberOfBytes=16)
assert len(kms.generate_random(NumberOfBytes=8)["Plaintext"]) == 8

kms.enable_key_rotation(KeyId=key["KeyId"])
assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is True
assert '"kms:*"' in kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
kms.disable_key(KeyId=key["KeyId"])
refused("DisabledException", kms.encrypt, KeyId="alias/boto", Plaintext=b"x")
kms.enable_key(KeyId=key["KeyId"])
assert kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)["DeletionDate"].year > 2000
refused("KMSInvalidStateException", kms.encrypt, KeyId="alias/boto", Plaintext=b"x")
kms.cancel_key_deletion(KeyId=key["KeyId"])
refused("NotFoundException", kms.describe_key, KeyId="alias/none")
refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key["KeyId"], PolicyName="default", Policy="{")
nobody = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:user/nobody"},"Action":"kms:*","Resource":"*"}]}'
before = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key["KeyId"], PolicyName="default", Policy=nobody % key["AWSAccountId"])
assert kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"] == before
kms.delete_alias(AliasName="alias/boto")
