"""Runs one call of an AWS Lambda rotation function: the event and its
credentials come on standard input, and nothing else is needed of AWS. The
function is imported as Lambda imports it and is not changed."""

import importlib
import json
import os
import sys
import tempfile
import time


class Context:
    """What Lambda tells a function about itself, as far as it is true here."""

    function_version = "$LATEST"
    memory_limit_in_mb = "0"

    def __init__(self, name, arn, request_id, deadline):
        self.function_name = name
        self.invoked_function_arn = arn
        self.aws_request_id = request_id
        self.log_group_name = self.log_stream_name = name
        self._deadline = deadline

    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.time()) * 1000))


def configure(credentials, ca_file):
    """Tells the SDK, in this process alone, where to call and as whom."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        del os.environ[name]
    endpoint, region = credentials["Endpoint"], credentials["Region"]
    os.environ.update(
        AWS_ACCESS_KEY_ID=credentials["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=credentials["SecretAccessKey"],
        AWS_SESSION_TOKEN=credentials["SessionToken"],
        AWS_REGION=region,
        AWS_DEFAULT_REGION=region,
        AWS_ENDPOINT_URL_SECRETS_MANAGER=endpoint,
        SECRETS_MANAGER_ENDPOINT=endpoint,
        AWS_EC2_METADATA_DISABLED="true",
    )
    if credentials.get("CABundle"):
        ca_file.write(credentials["CABundle"])
        ca_file.flush()
        os.environ["AWS_CA_BUNDLE"] = ca_file.name


def direct(endpoint):
    """Leads clients that name no endpoint to the right one: SDKs before 1.28 do
    not read AWS_ENDPOINT_URL_SECRETS_MANAGER."""
    import boto3

    make = boto3.session.Session.client

    def client(self, service_name, *args, **options):
        if service_name == "secretsmanager" and len(args) < 5 and not options.get("endpoint_url"):
            options["endpoint_url"] = endpoint
        return make(self, service_name, *args, **options)

    boto3.session.Session.client = client


def deadline(credentials):
    import calendar

    return calendar.timegm(time.strptime(credentials["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))


def main():
    spec, folder = sys.argv[1], sys.argv[2]
    # Whatever the function prints is not an answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    event = json.load(sys.stdin)
    credentials = event.pop("Credentials")
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as ca_file:
        try:
            configure(credentials, ca_file)
            direct(credentials["Endpoint"])
            sys.path.insert(0, folder)
            module, _, name = spec.rpartition(".")
            handler = getattr(importlib.import_module(module.replace("/", ".")), name)
            context = Context(spec, spec, event["ClientRequestToken"], deadline(credentials))
            handler(event, context)
        except BaseException as error:  # also SystemExit: Lambda calls both a failure
            json.dump({"errorType": type(error).__name__, "errorMessage": str(error) or "no message"}, answer)
            answer.write("\n")
            answer.flush()
            raise SystemExit(1)
    answer.write("{}\n")


main()
