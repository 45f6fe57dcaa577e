"""Rotates the password of a PostgreSQL user on AWS Lambda.

The secret holds engine, host, port, dbname, username and password; with a
masterarn, the master user of that secret changes the password, else the user
does so itself. This file knows nothing of Lockstep.
"""

import json
import logging
import os

import boto3
import psycopg2
from psycopg2 import sql

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    client = boto3.client("secretsmanager", endpoint_url=os.environ["SECRETS_MANAGER_ENDPOINT"])
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]

    described = client.describe_secret(SecretId=arn)
    if not described.get("RotationEnabled"):
        raise ValueError("rotation is not enabled for %s" % arn)
    versions = described["VersionIdsToStages"]
    if token not in versions:
        raise ValueError("version %s has no stage in %s" % (token, arn))
    if "AWSCURRENT" in versions[token]:
        logger.info("version %s is AWSCURRENT already", token)
        return
    if "AWSPENDING" not in versions[token]:
        raise ValueError("version %s is not AWSPENDING in %s" % (token, arn))

    print("step %s, %d ms left" % (step, context.get_remaining_time_in_millis()))
    if step == "createSecret":
        create_secret(client, arn, token)
    elif step == "setSecret":
        set_secret(client, arn, token)
    elif step == "testSecret":
        test_secret(client, arn, token)
    elif step == "finishSecret":
        finish_secret(client, arn, token)
    else:
        raise ValueError("unknown step %s" % step)


def create_secret(client, arn, token):
    value = get_value(client, arn, "AWSCURRENT")
    try:
        get_value(client, arn, "AWSPENDING", token)
    except client.exceptions.ResourceNotFoundException:
        excluded = os.environ.get("EXCLUDE_CHARACTERS", "/@\"'\\")
        value["password"] = client.get_random_password(ExcludeCharacters=excluded)["RandomPassword"]
        client.put_secret_value(
            SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(value), VersionStages=["AWSPENDING"]
        )


def set_secret(client, arn, token):
    pending = get_value(client, arn, "AWSPENDING", token)
    if log_in(pending) is not None:
        return
    current = get_value(client, arn, "AWSCURRENT")
    login = current
    if "masterarn" in current:
        login = get_value(client, current["masterarn"], "AWSCURRENT")
    connection = log_in(login)
    if connection is None:
        raise ValueError("cannot log in as %s" % login["username"])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("ALTER ROLE {} WITH PASSWORD %s").format(sql.Identifier(pending["username"])), [pending["password"]]
        )


def test_secret(client, arn, token):
    connection = log_in(get_value(client, arn, "AWSPENDING", token))
    if connection is None:
        raise ValueError("the pending password does not log in")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT now()")


def finish_secret(client, arn, token):
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = None
    for version, stages in versions.items():
        if "AWSCURRENT" in stages:
            if version == token:
                return
            current = version
            break
    client.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )
    client.update_secret_version_stage(SecretId=arn, VersionStage="AWSPENDING", RemoveFromVersionId=token)


def get_value(client, arn, stage, token=None):
    wanted = {"SecretId": arn, "VersionStage": stage}
    if token is not None:
        wanted["VersionId"] = token
    value = json.loads(client.get_secret_value(**wanted)["SecretString"])
    for field in ("host", "username", "password"):
        if field not in value:
            raise KeyError("the secret has no %s" % field)
    return value


def log_in(value):
    try:
        return psycopg2.connect(
            host=value["host"], port=value["port"], user=value["username"], password=value["password"],
            dbname=value.get("dbname", "postgres"), connect_timeout=5,
        )
    except psycopg2.OperationalError:
        return None
