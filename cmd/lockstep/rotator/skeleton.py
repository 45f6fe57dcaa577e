"""A rotator in Python, for `lockstep rotator run-lambda rotator.handler`.

It has the shape of an AWS Lambda rotation function and runs there too. Fill in
set_secret and test_secret; each step may be called again after any failure.

To see it work before that, give it a secret like
{"engine": "example", "file": "/tmp/target", "password": "start"}: the target is
that file then, which holds a hash of the password that it accepts.
"""

import hashlib
import json

import boto3


def handler(event, context):
    secrets = boto3.client("secretsmanager")
    arn, token = event["SecretId"], event["ClientRequestToken"]
    steps = {
        "createSecret": create_secret,
        "setSecret": set_secret,
        "testSecret": test_secret,
        "finishSecret": finish_secret,
    }
    steps[event["Step"]](secrets, arn, token)


def read(secrets, arn, stage, token=None):
    wanted = {"SecretId": arn, "VersionStage": stage}
    if token:
        wanted["VersionId"] = token
    return json.loads(secrets.get_secret_value(**wanted)["SecretString"])


def create_secret(secrets, arn, token):
    try:
        read(secrets, arn, "AWSPENDING", token)
        return  # an earlier call has put it
    except secrets.exceptions.ResourceNotFoundException:
        pass
    value = read(secrets, arn, "AWSCURRENT")
    value["password"] = secrets.get_random_password(PasswordLength=32, ExcludePunctuation=True)["RandomPassword"]
    secrets.put_secret_value(
        SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(value), VersionStages=["AWSPENDING"]
    )


def hashed(value):
    return hashlib.sha256(value["password"].encode()).hexdigest()


def set_secret(secrets, arn, token):
    pending = read(secrets, arn, "AWSPENDING", token)
    current = read(secrets, arn, "AWSCURRENT")
    if current.get("engine") == "example":
        with open(current["file"], "w") as target:
            target.write(hashed(pending))
        return
    # Log in with pending: if that works, an earlier call has set it.
    # Else log in with current, and make the target accept pending["password"].
    raise NotImplementedError("set_secret")


def test_secret(secrets, arn, token):
    pending = read(secrets, arn, "AWSPENDING", token)
    if pending.get("engine") == "example":
        with open(pending["file"]) as target:
            if target.read().strip() != hashed(pending):
                raise ValueError("the target does not accept the pending password")
        return
    # Log in with pending as an application would; raise if that fails.
    raise NotImplementedError("test_secret")


def finish_secret(secrets, arn, token):
    stages = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
    if current != token:
        secrets.update_secret_version_stage(
            SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
