#!/bin/sh
# A rotator as a shell script: it is started once for each step of a rotation,
# with the event and its credentials on standard input. It needs jq and the AWS
# CLI. Fill in setSecret and testSecret; each step may be called again after any
# failure. Nothing secret goes into an argument: values travel by files and
# standard input.
#
# To see it work before that, give it a secret like
# {"engine": "example", "file": "/tmp/target", "password": "start"}: the target is
# that file then, which holds a hash of the password that it accepts.
set -eu
umask 077

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/event"
field() { jq -r "$1 // empty" "$work/event"; }

# say ends the step; the last line of standard output is the answer.
say() { printf '{"errorMessage":"%s"}\n' "$1"; exit 1; }

AWS_ACCESS_KEY_ID=$(field .Credentials.AccessKeyId)
AWS_SECRET_ACCESS_KEY=$(field .Credentials.SecretAccessKey)
AWS_SESSION_TOKEN=$(field .Credentials.SessionToken)
AWS_ENDPOINT_URL_SECRETS_MANAGER=$(field .Credentials.Endpoint)
AWS_REGION=$(field .Credentials.Region)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ENDPOINT_URL_SECRETS_MANAGER AWS_REGION
if [ -n "$(field .Credentials.CABundle)" ]; then
	field .Credentials.CABundle >"$work/ca.pem"
	export AWS_CA_BUNDLE="$work/ca.pem"
fi
secret=$(field .SecretId) token=$(field .ClientRequestToken)
secrets() { aws --endpoint-url "$AWS_ENDPOINT_URL_SECRETS_MANAGER" --region "$AWS_REGION" secretsmanager "$@"; }
pending() { secrets get-secret-value --secret-id "$secret" --version-id "$token" --version-stage AWSPENDING --query SecretString --output text; }
hashed() { jq -j .password "$1" | sha256sum | cut -d' ' -f1; }
example() { [ "$(jq -r '.engine // empty' "$work/pending")" = example ]; }
current() { secrets get-secret-value --secret-id "$secret" --query SecretString --output text; }

case $(field .Step) in
createSecret)
	if pending >"$work/pending" 2>/dev/null; then exit 0; fi # put by an earlier call
	secrets get-random-password --password-length 32 --exclude-punctuation >"$work/password"
	current >"$work/current"
	jq -c --slurpfile new "$work/password" '.password = $new[0].RandomPassword' "$work/current" >"$work/pending"
	secrets put-secret-value --secret-id "$secret" --client-request-token "$token" \
		--secret-string "file://$work/pending" --version-stages AWSPENDING >/dev/null
	;;
setSecret)
	pending >"$work/pending"
	current >"$work/current"
	if example; then
		hashed "$work/pending" >"$(jq -r .file "$work/pending")"
		exit 0
	fi
	# Log in with pending: if that works, an earlier call has set it.
	# Else log in with current, and make the target accept pending's password.
	say "setSecret is to be written"
	;;
testSecret)
	pending >"$work/pending"
	if example; then
		[ "$(cat "$(jq -r .file "$work/pending")")" = "$(hashed "$work/pending")" ] || say "the target does not accept the pending password"
		exit 0
	fi
	# Log in with pending as an application would.
	say "testSecret is to be written"
	;;
finishSecret) ;; # Lockstep moves AWSCURRENT
*) say "unknown step" ;;
esac
