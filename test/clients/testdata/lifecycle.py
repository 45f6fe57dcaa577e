"""One secret's whole life through boto3, with errors by their classes.

The server is told by the environment and, since older releases of boto3 do not
read the service's own endpoint variable, by endpoint_url. Argument: the value
of a database secret that the server can rotate. Exits with an error at the
first difference.
"""

import datetime
import json
import os
import re
import sys
import time

import boto3
from botocore.exceptions import ClientError

sm = boto3.client("secretsmanager", endpoint_url=os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"])
ID = "py/lifecycle"
TOKENS = [str(n) * 32 for n in (1, 2, 3)]


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def keys(answer, *want):
    same(sorted(set(answer) - {"ResponseMetadata"}), sorted(want))


def refused(kind, call, **args):
    """Expects an error of a class of sm.exceptions, or of a code."""
    try:
        answer = call(**args)
    except ClientError as err:
        code = kind if isinstance(kind, str) else kind.__name__
        same(err.response["Error"]["Code"], code)
        assert isinstance(kind, str) or isinstance(err, kind), f"{err!r} is not of its class"
        assert err.response["Error"]["Message"], "an error without words"
        same(err.response["ResponseMetadata"]["HTTPStatusCode"], 400)
        return err.response["Error"]["Message"]
    raise AssertionError(f"not refused: {answer}")


def eventually(what, ok):
    end = time.monotonic() + 60
    while not ok():
        assert time.monotonic() < end, f"{what}: not within a minute"
        time.sleep(0.05)


X = sm.exceptions

# Create, read, write.
made = sm.create_secret(Name=ID, SecretString="one", ClientRequestToken=TOKENS[0], Description="of Python",
                        Tags=[{"Key": "team", "Value": "blue"}])
keys(made, "ARN", "Name", "VersionId")
assert re.fullmatch(r"arn:aws:secretsmanager:us-east-1:\d{12}:secret:py/lifecycle-[A-Za-z0-9]{6}", made["ARN"])
refused(X.ResourceExistsException, sm.create_secret, Name=ID, SecretString="other")

got = sm.get_secret_value(SecretId=ID)
keys(got, "ARN", "Name", "VersionId", "SecretString", "VersionStages", "CreatedDate")
same((got["SecretString"], got["VersionStages"], got["VersionId"]), ("one", ["AWSCURRENT"], TOKENS[0]))
assert isinstance(got["CreatedDate"], datetime.datetime)

put = sm.put_secret_value(SecretId=ID, SecretBinary=b"\x00\x01\xff", ClientRequestToken=TOKENS[1])
keys(put, "ARN", "Name", "VersionId", "VersionStages")
same(sm.get_secret_value(SecretId=ID)["SecretBinary"], b"\x00\x01\xff")
same(sm.get_secret_value(SecretId=ID, VersionStage="AWSPREVIOUS")["SecretString"], "one")

keys(sm.update_secret(SecretId=ID, Description="changed"), "ARN", "Name")
WIDE = "žluťoučký 🐎 \x00\n\""
keys(sm.update_secret(SecretId=made["ARN"], SecretString=WIDE, ClientRequestToken=TOKENS[2]), "ARN", "Name", "VersionId")
same(sm.get_secret_value(SecretId=made["ARN"][:-7])["SecretString"], WIDE)

same(refused(X.ResourceNotFoundException, sm.get_secret_value, SecretId="py/nosuch"),
     "Secrets Manager can't find the specified secret.")
refused(X.ResourceNotFoundException, sm.get_secret_value, SecretId=ID, VersionStage="nosuch")
refused(X.InvalidRequestException, sm.get_secret_value, SecretId=ID, VersionId=TOKENS[0], VersionStage="AWSCURRENT")
refused(X.InvalidParameterException, sm.put_secret_value, SecretId=ID, SecretString="a", SecretBinary=b"b")
refused(X.EncryptionFailure, sm.create_secret, Name="py/keyless", SecretString="a", KmsKeyId="alias/nosuch")
refused("ValidationException", sm.describe_secret, SecretId="in valid")

# Describe, list, versions and labels.
described = sm.describe_secret(SecretId=ID)
same(described["Tags"], [{"Key": "team", "Value": "blue"}])
same(described["VersionIdsToStages"], {TOKENS[2]: ["AWSCURRENT"], TOKENS[1]: ["AWSPREVIOUS"]})
same(described["LastAccessedDate"].timestamp() % 86400, 0)

for name in ("py/a", "py/b"):
    sm.create_secret(Name=name, SecretString=name)
pages = sm.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": ["py/"]}], PaginationConfig={"PageSize": 2})
same([s["Name"] for page in pages for s in page["SecretList"]], [ID, "py/a", "py/b"])
refused(X.InvalidNextTokenException, sm.list_secrets, NextToken="made-up")
refused("ValidationException", sm.list_secrets, Filters=[{"Key": "size", "Values": ["a"]}])

same(len(sm.list_secret_version_ids(SecretId=ID)["Versions"]), 2)
versions = sm.list_secret_version_ids(SecretId=ID, IncludeDeprecated=True)["Versions"]
same(["VersionStages" in v for v in versions if v["VersionId"] == TOKENS[0]], [False])
keys(sm.update_secret_version_stage(SecretId=ID, VersionStage="AWSCURRENT", RemoveFromVersionId=TOKENS[2], MoveToVersionId=TOKENS[1]), "ARN", "Name")
same(sm.get_secret_value(SecretId=ID)["VersionId"], TOKENS[1])
refused(X.InvalidParameterException, sm.update_secret_version_stage, SecretId=ID, VersionStage="AWSCURRENT", MoveToVersionId=TOKENS[2])

# Tags, policies, passwords.
keys(sm.tag_resource(SecretId=ID, Tags=[{"Key": "tier", "Value": ""}]))
keys(sm.untag_resource(SecretId=ID, TagKeys=["team", "tier", "missing"]))
same(sm.describe_secret(SecretId=ID)["Tags"], [])

statement = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::%s:root" % made["ARN"].split(":")[4]},
             "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
broad = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Principal": "*"}]})
same(sm.validate_resource_policy(ResourcePolicy=policy)["PolicyValidationPassed"], True)
keys(sm.get_resource_policy(SecretId=ID), "ARN", "Name")
keys(sm.put_resource_policy(SecretId=ID, ResourcePolicy=policy), "ARN", "Name")
same(sm.get_resource_policy(SecretId=ID)["ResourcePolicy"], policy)
refused(X.PublicPolicyException, sm.put_resource_policy, SecretId=ID, ResourcePolicy=broad, BlockPublicPolicy=True)
refused(X.MalformedPolicyDocumentException, sm.put_resource_policy, SecretId=ID, ResourcePolicy="{")
keys(sm.delete_resource_policy(SecretId=ID), "ARN", "Name")

password = sm.get_random_password(PasswordLength=20, ExcludePunctuation=True)["RandomPassword"]
assert re.fullmatch("[A-Za-z0-9]{20}", password), password
refused(X.InvalidParameterException, sm.get_random_password, PasswordLength=3)

# Rotation of a real database.
DB = "py/db"
sm.create_secret(Name=DB, SecretString=sys.argv[1])
refused(X.InvalidRequestException, sm.rotate_secret, SecretId=DB)
refused("AccessDeniedException", sm.rotate_secret, SecretId=DB, RotationLambdaARN="arn:aws:lambda:us-east-1:000000000000:function:nosuch")
rotation = sm.rotate_secret(SecretId=DB, RotationLambdaARN="postgres", RotationRules={"AutomaticallyAfterDays": 10})
keys(rotation, "ARN", "Name", "VersionId")
eventually("the rotation", lambda: sm.get_secret_value(SecretId=DB)["VersionId"] == rotation["VersionId"])
described = sm.describe_secret(SecretId=DB)
same((described["RotationEnabled"], described["RotationRules"]), (True, {"AutomaticallyAfterDays": 10}))
assert isinstance(described["LastRotatedDate"], datetime.datetime)  # NextRotationDate is newer than Debian 12's boto3
sm.cancel_rotate_secret(SecretId=DB)
same(sm.describe_secret(SecretId=DB)["RotationEnabled"], False)
refused(X.InvalidRequestException, sm.cancel_rotate_secret, SecretId=DB)

# Deletion.
deleted = sm.delete_secret(SecretId=ID, RecoveryWindowInDays=7)
keys(deleted, "ARN", "Name", "DeletionDate")
assert abs(deleted["DeletionDate"].timestamp() - time.time() - 7 * 86400) < 60
refused(X.InvalidRequestException, sm.get_secret_value, SecretId=ID)
refused(X.InvalidRequestException, sm.create_secret, Name=ID)
same(sm.list_secrets(Filters=[{"Key": "name", "Values": [ID]}])["SecretList"], [])
sm.restore_secret(SecretId=ID)
same(sm.get_secret_value(SecretId=ID)["VersionId"], TOKENS[1])
refused(X.InvalidParameterException, sm.delete_secret, SecretId=ID, RecoveryWindowInDays=6)
sm.delete_secret(SecretId=ID, ForceDeleteWithoutRecovery=True)
refused(X.ResourceNotFoundException, sm.describe_secret, SecretId=ID)
