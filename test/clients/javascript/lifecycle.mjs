// One secret's whole life through the AWS SDK for JavaScript. It finds the
// server by the environment alone. Arguments: the value of a database secret
// that the server can rotate. Exits with an error at the first difference.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import * as sm from "@aws-sdk/client-secrets-manager";

const client = new sm.SecretsManagerClient({});
const SecretId = "js/lifecycle";
const tokens = [1, 2, 3].map((n) => `${n}`.repeat(32));

const send = (Command, input = {}) => client.send(new Command({ SecretId, ...input }));

// refused expects an error of this class of the SDK (or, where AWS does not
// declare it, of this name).
async function refused(kind, Command, input) {
  await assert.rejects(send(Command, input), (err) => {
    const name = typeof kind === "string" ? kind : kind.name;
    assert.equal(err.name, name, `${Command.name}: ${err.name}: ${err.message}`);
    if (typeof kind !== "string") assert.ok(err instanceof kind, `${err.name} is not of its class`);
    assert.ok(err.message.length > 0 && err.message !== "UnknownError", "an error without words");
    assert.equal(err.$metadata.httpStatusCode, 400);
    return true;
  });
}

async function eventually(what, ok) {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50)) {
    if (await ok()) return;
  }
  assert.fail(`${what}: not within a minute`);
}

// Create, read, write.
const made = await client.send(
  new sm.CreateSecretCommand({
    Name: SecretId, SecretString: "one", ClientRequestToken: tokens[0],
    Description: "of JavaScript", Tags: [{ Key: "team", Value: "blue" }],
  }),
);
assert.match(made.ARN, /^arn:aws:secretsmanager:us-east-1:\d{12}:secret:js\/lifecycle-[A-Za-z0-9]{6}$/);
assert.equal(made.VersionId, tokens[0]);
await refused(sm.ResourceExistsException, sm.CreateSecretCommand, { Name: SecretId, SecretString: "other" });

let got = await send(sm.GetSecretValueCommand);
assert.deepEqual([got.SecretString, got.VersionStages, got.SecretBinary], ["one", ["AWSCURRENT"], undefined]);
assert.ok(got.CreatedDate instanceof Date && Math.abs(Date.now() - got.CreatedDate) < 60_000);

const put = await send(sm.PutSecretValueCommand, { SecretBinary: new Uint8Array([0, 1, 255]), ClientRequestToken: tokens[1] });
assert.deepEqual(put.VersionStages, ["AWSCURRENT"]);
got = await send(sm.GetSecretValueCommand);
assert.deepEqual([...got.SecretBinary], [0, 1, 255]);
got = await send(sm.GetSecretValueCommand, { VersionStage: "AWSPREVIOUS" });
assert.equal(got.SecretString, "one");

const updated = await send(sm.UpdateSecretCommand, { Description: "changed" });
assert.equal(updated.VersionId, undefined);
const wide = "žluťoučký 🐎 \u0000\n\"";
await send(sm.UpdateSecretCommand, { SecretString: wide, ClientRequestToken: tokens[2] });
got = await send(sm.GetSecretValueCommand);
assert.equal(got.SecretString, wide);

await refused(sm.ResourceNotFoundException, sm.GetSecretValueCommand, { SecretId: "js/nosuch" });
await refused(sm.ResourceNotFoundException, sm.GetSecretValueCommand, { VersionStage: "nosuch" });
await refused(sm.InvalidRequestException, sm.GetSecretValueCommand, { VersionId: tokens[0], VersionStage: "AWSCURRENT" });
await refused(sm.InvalidParameterException, sm.PutSecretValueCommand, { SecretString: "a", SecretBinary: new Uint8Array([1]) });
await refused("ValidationException", sm.DescribeSecretCommand, { SecretId: "in valid" });

// Describe, list, versions and labels.
let described = await send(sm.DescribeSecretCommand);
assert.equal(described.Description, "changed");
assert.deepEqual(described.Tags, [{ Key: "team", Value: "blue" }]);
assert.deepEqual(described.VersionIdsToStages, { [tokens[2]]: ["AWSCURRENT"], [tokens[1]]: ["AWSPREVIOUS"] });
assert.equal(described.LastAccessedDate.getTime() % 86_400_000, 0);

for (const name of ["js/a", "js/b"]) await client.send(new sm.CreateSecretCommand({ Name: name, SecretString: name }));
const listed = [];
for await (const page of sm.paginateListSecrets({ client, pageSize: 2 }, { Filters: [{ Key: "name", Values: ["js/"] }], SortBy: "name" })) {
  listed.push(...page.SecretList.map((s) => s.Name));
}
assert.deepEqual(listed, ["js/a", "js/b", SecretId]);
await refused(sm.InvalidNextTokenException, sm.ListSecretsCommand, { NextToken: "made-up" });
await refused(sm.InvalidParameterException, sm.ListSecretsCommand, { Filters: [{ Key: "name", Values: [] }] });

const batch = await client.send(new sm.BatchGetSecretValueCommand({ SecretIdList: ["js/b", "js/nosuch", "js/a"] }));
assert.deepEqual(batch.SecretValues.map((s) => s.SecretString), ["js/b", "js/a"]);
assert.deepEqual(batch.Errors.map((e) => [e.SecretId, e.ErrorCode]), [["js/nosuch", "ResourceNotFoundException"]]);

let versions = await send(sm.ListSecretVersionIdsCommand);
assert.equal(versions.Versions.length, 2);
versions = await send(sm.ListSecretVersionIdsCommand, { IncludeDeprecated: true });
assert.deepEqual(versions.Versions.find((v) => v.VersionId === tokens[0]).VersionStages, undefined);

await send(sm.UpdateSecretVersionStageCommand, { VersionStage: "AWSCURRENT", RemoveFromVersionId: tokens[2], MoveToVersionId: tokens[1] });
got = await send(sm.GetSecretValueCommand);
assert.equal(got.VersionId, tokens[1]);
await refused(sm.InvalidParameterException, sm.UpdateSecretVersionStageCommand, { VersionStage: "AWSCURRENT", MoveToVersionId: tokens[2] });

// Tags, policies, passwords.
await send(sm.TagResourceCommand, { Tags: [{ Key: "tier", Value: "" }] });
await send(sm.UntagResourceCommand, { TagKeys: ["team", "missing"] });
described = await send(sm.DescribeSecretCommand);
assert.deepEqual(described.Tags, [{ Key: "tier", Value: "" }]);

const statement = { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${made.ARN.split(":")[4]}:root` }, Action: "secretsmanager:GetSecretValue", Resource: "*" };
const policy = JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
const broad = JSON.stringify({ Version: "2012-10-17", Statement: [{ ...statement, Principal: "*" }] });
assert.equal((await send(sm.ValidateResourcePolicyCommand, { ResourcePolicy: policy })).PolicyValidationPassed, true);
await send(sm.PutResourcePolicyCommand, { ResourcePolicy: policy });
assert.equal((await send(sm.GetResourcePolicyCommand)).ResourcePolicy, policy);
await refused(sm.PublicPolicyException, sm.PutResourcePolicyCommand, { ResourcePolicy: broad, BlockPublicPolicy: true });
await refused(sm.MalformedPolicyDocumentException, sm.PutResourcePolicyCommand, { ResourcePolicy: "{" });
await send(sm.DeleteResourcePolicyCommand);
assert.equal((await send(sm.GetResourcePolicyCommand)).ResourcePolicy, undefined);

const { RandomPassword } = await client.send(new sm.GetRandomPasswordCommand({ PasswordLength: 20, ExcludePunctuation: true }));
assert.match(RandomPassword, /^[A-Za-z0-9]{20}$/);
await refused(sm.InvalidParameterException, sm.GetRandomPasswordCommand, { PasswordLength: 3 });

// Rotation of a real database.
const db = { SecretId: "js/db" };
await client.send(new sm.CreateSecretCommand({ Name: db.SecretId, SecretString: process.argv[2] }));
await refused(sm.InvalidRequestException, sm.RotateSecretCommand, db);
const rotation = await send(sm.RotateSecretCommand, { ...db, RotationLambdaARN: "postgres", RotationRules: { ScheduleExpression: "rate(10 days)", Duration: "3h" } });
await eventually("the rotation", async () => (await send(sm.GetSecretValueCommand, db)).VersionId === rotation.VersionId);
described = await send(sm.DescribeSecretCommand, db);
assert.equal(described.RotationEnabled, true);
assert.deepEqual(described.RotationRules, { ScheduleExpression: "rate(10 days)", Duration: "3h" });
assert.ok(described.LastRotatedDate instanceof Date && described.NextRotationDate > described.LastRotatedDate);
await send(sm.CancelRotateSecretCommand, db);
described = await send(sm.DescribeSecretCommand, db);
assert.deepEqual([described.RotationEnabled, described.NextRotationDate], [false, undefined]);
await refused(sm.InvalidRequestException, sm.CancelRotateSecretCommand, db);

// Deletion.
const deleted = await send(sm.DeleteSecretCommand, { RecoveryWindowInDays: 7 });
assert.ok(Math.abs(deleted.DeletionDate - Date.now() - 7 * 86_400_000) < 60_000);
await refused(sm.InvalidRequestException, sm.GetSecretValueCommand);
await send(sm.RestoreSecretCommand);
assert.equal((await send(sm.GetSecretValueCommand)).VersionId, tokens[1]);
await refused(sm.InvalidParameterException, sm.DeleteSecretCommand, { RecoveryWindowInDays: 6 });
await send(sm.DeleteSecretCommand, { ForceDeleteWithoutRecovery: true });
await refused(sm.ResourceNotFoundException, sm.DescribeSecretCommand);
