package policy_test

import (
	"testing"

	"lockstep/auth/policy"
)

// conditionCases: whether a condition holds in a context. Principal of all is
// the user alice.
const conditionCases = `
	# String operators: equality with case, without, and with wildcards.
	yes | {"StringEquals":{"aws:k":"x"}}                       | aws:k=x
	yes | {"StringEquals":{"AWS:K":"x"}}                       | aws:k=x
	yes | {"StringEquals":{"aws:k":"x"}}                       | AWS:k=x
	yes | {"StringEquals":{"aws:k":["w","x"]}}                 | aws:k=x
	yes | {"StringEquals":{"aws:k":""}}                        | aws:k=
	yes | {"StringEquals":{"aws:k":"a*"}}                      | aws:k=a*
	yes | {"StringEquals":{"aws:k":5}}                         | aws:k=5
	yes | {"StringEquals":{"aws:k":true}}                      | aws:k=true
	no  | {"StringEquals":{"aws:k":"x"}}                       | aws:k=X
	no  | {"StringEquals":{"aws:k":"x"}}                       | aws:k=xy
	no  | {"StringEquals":{"aws:k":"a*"}}                      | aws:k=ab
	no  | {"StringEquals":{"aws:k":["w","v"]}}                 | aws:k=x
	no  | {"StringEquals":{"aws:k":"x"}}                       | -
	no  | {"StringEquals":{"aws:k":"x"}}                       | aws:l=x
	yes | {"StringNotEquals":{"aws:k":"x"}}                    | aws:k=y
	yes | {"StringNotEquals":{"aws:k":"x"}}                    | aws:k=X
	yes | {"StringNotEquals":{"aws:k":["x","w"]}}              | aws:k=y
	yes | {"StringNotEquals":{"aws:k":"x"}}                    | -
	no  | {"StringNotEquals":{"aws:k":"x"}}                    | aws:k=x
	no  | {"StringNotEquals":{"aws:k":["x","w"]}}              | aws:k=w
	yes | {"StringEqualsIgnoreCase":{"aws:k":"Prod"}}          | aws:k=PROD
	no  | {"StringEqualsIgnoreCase":{"aws:k":"Prod"}}          | aws:k=dev
	no  | {"StringEqualsIgnoreCase":{"aws:k":"Prod"}}          | -
	yes | {"StringNotEqualsIgnoreCase":{"aws:k":"Prod"}}       | aws:k=dev
	no  | {"StringNotEqualsIgnoreCase":{"aws:k":"Prod"}}       | aws:k=pROD
	yes | {"StringNotEqualsIgnoreCase":{"aws:k":"Prod"}}       | -
	yes | {"StringLike":{"aws:k":"pro*"}}                      | aws:k=prod
	yes | {"StringLike":{"aws:k":"*"}}                         | aws:k=
	yes | {"StringLike":{"aws:k":"p?od"}}                      | aws:k=prod
	yes | {"StringLike":{"aws:k":"*o*d"}}                      | aws:k=prod
	yes | {"StringLike":{"aws:k":"?"}}                         | aws:k=é
	yes | {"StringLike":{"aws:k":"*a*b*c"}}                    | aws:k=xaxbxxbxc
	no  | {"StringLike":{"aws:k":"*a*b*c"}}                    | aws:k=xaxbxxbxcx
	no  | {"StringLike":{"aws:k":"pro"}}                       | aws:k=prod
	no  | {"StringLike":{"aws:k":"PRO*"}}                      | aws:k=prod
	no  | {"StringLike":{"aws:k":"??"}}                        | aws:k=é
	no  | {"StringLike":{"aws:k":"*"}}                         | -
	yes | {"StringNotLike":{"aws:k":"pro*"}}                   | aws:k=dev
	no  | {"StringNotLike":{"aws:k":"pro*"}}                   | aws:k=prod
	yes | {"StringNotLike":{"aws:k":"*"}}                      | -
	no  | {"StringNotLike":{"aws:k":["d*","p*"]}}              | aws:k=prod

	# Numbers.
	yes | {"NumericEquals":{"aws:n":"10"}}                     | aws:n=10
	yes | {"NumericEquals":{"aws:n":10}}                       | aws:n=10.0
	no  | {"NumericEquals":{"aws:n":"10"}}                     | aws:n=11
	no  | {"NumericEquals":{"aws:n":"10"}}                     | aws:n=ten
	no  | {"NumericEquals":{"aws:n":"10"}}                     | -
	yes | {"NumericNotEquals":{"aws:n":"10"}}                  | aws:n=11
	no  | {"NumericNotEquals":{"aws:n":"10"}}                  | aws:n=10
	yes | {"NumericNotEquals":{"aws:n":"10"}}                  | -
	yes | {"NumericLessThan":{"aws:n":"10"}}                   | aws:n=9.5
	no  | {"NumericLessThan":{"aws:n":"10"}}                   | aws:n=10
	yes | {"NumericLessThan":{"aws:n":"10"}}                   | aws:n=-3
	yes | {"NumericLessThanEquals":{"aws:n":"10"}}             | aws:n=10
	no  | {"NumericLessThanEquals":{"aws:n":"10"}}             | aws:n=10.1
	yes | {"NumericGreaterThan":{"aws:n":"10"}}                | aws:n=100
	no  | {"NumericGreaterThan":{"aws:n":"10"}}                | aws:n=10
	no  | {"NumericGreaterThan":{"aws:n":"10"}}                | aws:n=9
	yes | {"NumericGreaterThanEquals":{"aws:n":"10"}}          | aws:n=10
	no  | {"NumericGreaterThanEquals":{"aws:n":"10"}}          | aws:n=9
	no  | {"NumericGreaterThanEquals":{"aws:n":"10"}}          | aws:n=x
	no  | {"NumericLessThan":{"aws:n":"10"}}                   | -
	yes | {"NumericLessThanIfExists":{"aws:n":"10"}}           | -
	yes | {"NumericEquals":{"aws:n":[7,30]}}                   | aws:n=30

	# Dates, in ISO 8601 and in epoch seconds.
	yes | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}       | aws:CurrentTime=2026-01-01T00:00:01Z
	no  | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}       | aws:CurrentTime=2026-01-01T00:00:00Z
	yes | {"DateGreaterThanEquals":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}} | aws:CurrentTime=2026-01-01T00:00:00Z
	yes | {"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}          | aws:CurrentTime=2025-12-31T23:59:59Z
	no  | {"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}          | aws:CurrentTime=2026-06-01T00:00:00Z
	yes | {"DateLessThanEquals":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}    | aws:CurrentTime=2026-01-01T00:00:00Z
	yes | {"DateEquals":{"aws:CurrentTime":"2026-01-01T01:00:00+01:00"}}       | aws:CurrentTime=2026-01-01T00:00:00Z
	yes | {"DateEquals":{"aws:CurrentTime":"2026-01-01"}}                      | aws:CurrentTime=2026-01-01T00:00:00Z
	yes | {"DateEquals":{"aws:EpochTime":"1767225600"}}                        | aws:EpochTime=2026-01-01T00:00:00Z
	yes | {"DateLessThan":{"aws:EpochTime":1767225601}}                        | aws:EpochTime=1767225600
	yes | {"DateNotEquals":{"aws:CurrentTime":"2026-01-01"}}                   | aws:CurrentTime=2026-01-02T00:00:00Z
	no  | {"DateNotEquals":{"aws:CurrentTime":"2026-01-01"}}                   | aws:CurrentTime=2026-01-01T00:00:00Z
	no  | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}}                 | aws:CurrentTime=soon
	no  | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}}                 | -
	yes | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"DateLessThan":{"aws:CurrentTime":"2026-02-01"}} | aws:CurrentTime=2026-01-15T08:00:00Z
	no  | {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"DateLessThan":{"aws:CurrentTime":"2026-02-01"}} | aws:CurrentTime=2026-02-15T08:00:00Z

	# Booleans.
	yes | {"Bool":{"aws:SecureTransport":"true"}}              | aws:SecureTransport=true
	yes | {"Bool":{"aws:SecureTransport":true}}                | aws:SecureTransport=true
	yes | {"Bool":{"aws:SecureTransport":"TRUE"}}              | aws:SecureTransport=True
	yes | {"Bool":{"aws:SecureTransport":"false"}}             | aws:SecureTransport=false
	no  | {"Bool":{"aws:SecureTransport":"true"}}              | aws:SecureTransport=false
	no  | {"Bool":{"aws:SecureTransport":"false"}}             | aws:SecureTransport=true
	no  | {"Bool":{"aws:SecureTransport":"false"}}             | aws:SecureTransport=0
	no  | {"Bool":{"aws:SecureTransport":"false"}}             | -
	yes | {"BoolIfExists":{"aws:SecureTransport":"true"}}      | -
	no  | {"BoolIfExists":{"aws:SecureTransport":"true"}}      | aws:SecureTransport=false

	# Binary: compared as bytes.
	yes | {"BinaryEquals":{"aws:b":"QmluYXJ5"}}                | aws:b=QmluYXJ5
	no  | {"BinaryEquals":{"aws:b":"QmluYXJ5"}}                | aws:b=QmluYXJ6
	no  | {"BinaryEquals":{"aws:b":"QmluYXJ5"}}                | aws:b=Binary
	no  | {"BinaryEquals":{"aws:b":"QmluYXJ5"}}                | -

	# IP addresses and networks.
	yes | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | aws:SourceIp=203.0.113.77
	yes | {"IpAddress":{"aws:SourceIp":"203.0.113.9/24"}}      | aws:SourceIp=203.0.113.77
	yes | {"IpAddress":{"aws:SourceIp":"203.0.113.77"}}        | aws:SourceIp=203.0.113.77
	yes | {"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}           | aws:SourceIp=203.0.113.77
	yes | {"IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]}} | aws:SourceIp=203.0.113.77
	yes | {"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}       | aws:SourceIp=2001:db8:1::7
	yes | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | aws:SourceIp=::ffff:203.0.113.77
	no  | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | aws:SourceIp=203.0.114.1
	no  | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | aws:SourceIp=2001:db8::1
	no  | {"IpAddress":{"aws:SourceIp":"::/0"}}                | aws:SourceIp=203.0.113.77
	no  | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | aws:SourceIp=localhost
	no  | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}      | -
	yes | {"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}   | aws:SourceIp=198.51.100.1
	no  | {"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}   | aws:SourceIp=203.0.113.1
	no  | {"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.0/24"]}} | aws:SourceIp=10.1.1.1
	yes | {"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}   | -

	# ARNs: part by part; ArnEquals is ArnLike.
	yes | {"ArnEquals":{"aws:SourceArn":"arn:aws:sns:eu-west-1:111122223333:topic"}} | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	yes | {"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}        | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	yes | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:to?ic"}}                 | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	yes | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}                     | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic:sub
	yes | {"ArnLike":{"aws:SourceArn":["arn:aws:sqs:*:*:*","arn:aws:sns:*:*:*"]}} | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	no  | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:444455556666:*"}}          | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	no  | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:eu*3333:topic:*:*"}}         | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	no  | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}                     | aws:SourceArn=topic
	no  | {"ArnLike":{"aws:SourceArn":"arn:*:*:*:*:*"}}                         | aws:SourceArn=arn
	no  | {"ArnLike":{"aws:SourceArn":"arn:*:*:*:*:*"}}                         | aws:SourceArn=arn:aws:sns:eu-west-1
	no  | {"ArnLike":{"aws:SourceArn":"arn:*:*:*:*:*"}}                         | aws:SourceArn=
	yes | {"ArnLike":{"aws:SourceArn":"arn:*:*:*:*:*"}}                         | aws:SourceArn=arn:::::
	no  | {"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}                     | -
	yes | {"ArnNotEquals":{"aws:SourceArn":"arn:aws:sns:*:444455556666:*"}}     | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	no  | {"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}       | aws:SourceArn=arn:aws:sns:eu-west-1:111122223333:topic
	yes | {"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}}       | -
	yes | {"ArnLikeIfExists":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}             | -

	# Null asks whether a key is there.
	yes | {"Null":{"aws:k":"true"}}                            | -
	yes | {"Null":{"aws:k":true}}                              | aws:l=x
	no  | {"Null":{"aws:k":"true"}}                            | aws:k=x
	yes | {"Null":{"aws:k":"false"}}                           | aws:k=x
	yes | {"Null":{"aws:k":"false"}}                           | aws:k=
	no  | {"Null":{"aws:k":"false"}}                           | -
	yes | {"Null":{"aws:k":["true","false"]}}                  | -

	# IfExists: an absent key is no hindrance, a present one is compared.
	yes | {"StringEqualsIfExists":{"aws:k":"x"}}               | -
	yes | {"StringEqualsIfExists":{"aws:k":"x"}}               | aws:k=x
	no  | {"StringEqualsIfExists":{"aws:k":"x"}}               | aws:k=y
	yes | {"StringNotEqualsIfExists":{"aws:k":"x"}}            | -
	no  | {"StringNotEqualsIfExists":{"aws:k":"x"}}            | aws:k=x
	yes | {"StringLikeIfExists":{"aws:k":"x*"}}                | -
	yes | {"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}}  | -
	no  | {"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}}  | aws:SourceIp=11.0.0.1

	# ForAllValues: each of the request's values is among the policy's.
	yes | {"ForAllValues:StringEquals":{"aws:TagKeys":["a","b","c"]}}  | aws:TagKeys=a,b
	yes | {"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}      | aws:TagKeys=a
	no  | {"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}      | aws:TagKeys=a,z
	yes | {"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}      | -
	yes | {"ForAllValues:StringLike":{"aws:TagKeys":"team-*"}}         | aws:TagKeys=team-a,team-b
	no  | {"ForAllValues:StringLike":{"aws:TagKeys":"team-*"}}         | aws:TagKeys=team-a,cost
	yes | {"ForAllValues:StringNotEquals":{"aws:TagKeys":["x","y"]}}   | aws:TagKeys=a,b
	no  | {"ForAllValues:StringNotEquals":{"aws:TagKeys":["x","y"]}}   | aws:TagKeys=a,x
	yes | {"ForAllValues:StringNotEquals":{"aws:TagKeys":["x","y"]}}   | -
	no  | {"ForAllValues:StringEquals":{"aws:TagKeys":["a"]},"Null":{"aws:TagKeys":"false"}} | -

	# ForAnyValue: one of the request's values is.
	yes | {"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}       | aws:TagKeys=z,b
	no  | {"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}       | aws:TagKeys=y,z
	no  | {"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}       | -
	yes | {"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}}    | aws:TagKeys=a,z
	no  | {"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}}    | aws:TagKeys=a,b
	no  | {"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}}    | -
	yes | {"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-a/*"}} | aws:PrincipalOrgPaths=o-b/r,o-a/r/ou
	yes | {"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"a"}}     | -
	yes | {"ForAnyValue:NumericGreaterThan":{"aws:n":"5"}}             | aws:n=1,9
	no  | {"ForAllValues:NumericGreaterThan":{"aws:n":"5"}}            | aws:n=1,9

	# Several operators and several keys: all must hold.
	yes | {"StringEquals":{"aws:a":"1","aws:b":"2"}}                   | aws:a=1;aws:b=2
	no  | {"StringEquals":{"aws:a":"1","aws:b":"2"}}                   | aws:a=1;aws:b=3
	no  | {"StringEquals":{"aws:a":"1","aws:b":"2"}}                   | aws:a=1
	yes | {"StringEquals":{"aws:a":"1"},"NumericLessThan":{"aws:n":5}} | aws:a=1;aws:n=4
	no  | {"StringEquals":{"aws:a":"1"},"NumericLessThan":{"aws:n":5}} | aws:a=1;aws:n=5
	yes | {}                                                           | -

	# Keys that follow from principal and resource.
	yes | {"StringEquals":{"aws:username":"alice"}}                    | -
	yes | {"StringEquals":{"aws:username":"alice"}}                    | aws:username=mallory
	no  | {"StringEquals":{"aws:username":"mallory"}}                  | aws:username=mallory
	yes | {"StringEquals":{"aws:PrincipalAccount":"111122223333"}}     | -
	yes | {"StringEquals":{"aws:PrincipalType":"User"}}                | -
	yes | {"StringEquals":{"aws:userid":"AIDAALICE0000000000X"}}       | -
	yes | {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/team/*"}} | -
	yes | {"StringEquals":{"aws:ResourceAccount":"111122223333"}}      | -
	no  | {"StringNotEquals":{"aws:ResourceAccount":"${aws:PrincipalAccount}"}} | -

	# Keys of secrets, and tags.
	yes | {"StringEquals":{"secretsmanager:ResourceTag/Team":"db"}}    | secretsmanager:ResourceTag/team=db
	yes | {"StringLike":{"secretsmanager:Name":"prod/*"}}              | secretsmanager:Name=prod/db
	yes | {"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}} | secretsmanager:VersionStage=AWSCURRENT
	no  | {"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}} | secretsmanager:VersionStage=AWSPREVIOUS
	yes | {"NumericGreaterThanEquals":{"secretsmanager:RecoveryWindowInDays":"14"}} | secretsmanager:RecoveryWindowInDays=30

	# Variables.
	yes | {"StringEquals":{"aws:k":"${aws:username}"}}                          | aws:k=alice
	yes | {"StringLike":{"aws:k":"${aws:username}-*"}}                          | aws:k=alice-1
	yes | {"StringEquals":{"aws:k":"a-${aws:username}-${aws:PrincipalType}"}}   | aws:k=a-alice-User
	yes | {"StringEquals":{"aws:k":"${AWS:UserName}"}}                          | aws:k=alice
	yes | {"StringEquals":{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}}  | aws:PrincipalTag/team=db;aws:ResourceTag/team=db
	no  | {"StringEquals":{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}}  | aws:PrincipalTag/team=db;aws:ResourceTag/team=web
	no  | {"StringEquals":{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}}  | aws:PrincipalTag/team=db
	yes | {"StringEquals":{"aws:k":"${aws:PrincipalTag/team, 'none'}"}}         | aws:k=none
	yes | {"StringEquals":{"aws:k":"${aws:PrincipalTag/team, 'none'}"}}         | aws:k=db;aws:PrincipalTag/team=db
	yes | {"StringEquals":{"aws:k":"${aws:PrincipalTag/team, ''}"}}             | aws:k=
	no  | {"StringEquals":{"aws:k":"${aws:TagKeys}"}}                           | aws:k=a;aws:TagKeys=a,b
	yes | {"StringEquals":{"aws:k":"${aws:TagKeys}"}}                           | aws:k=a;aws:TagKeys=a
	no  | {"StringLike":{"aws:k":"${aws:PrincipalTag/p}"}}                      | aws:k=anything;aws:PrincipalTag/p=*
	yes | {"StringLike":{"aws:k":"${aws:PrincipalTag/p}"}}                      | aws:k=*;aws:PrincipalTag/p=*
	yes | {"StringLike":{"aws:k":"${*}x"}}                                      | aws:k=*x
	no  | {"StringLike":{"aws:k":"${*}x"}}                                      | aws:k=ax
	yes | {"StringEquals":{"aws:k":"${$}{aws:username}"}}                       | aws:k=${aws:username}
	yes | {"StringEquals":{"aws:k":"$5"}}                                       | aws:k=$5
	yes | {"ArnEquals":{"aws:SourceArn":"arn:aws:iam::*:user/*/${aws:username}"}} | aws:SourceArn=arn:aws:iam::111122223333:user/team/alice
	no  | {"StringNotEquals":{"aws:k":"${aws:PrincipalTag/team}"}}              | aws:k=x
	no  | {"StringNotLike":{"aws:k":["a","${aws:PrincipalTag/team}"]}}          | aws:k=x
`

func TestConditions(t *testing.T) {
	for _, row := range rows(t, conditionCases, 3) {
		p := mustParse(t, document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+row[1]+`}`), policy.IdentityPolicy)
		request := policy.Request{Principal: principal(t, "alice"), Action: get, Resource: secret, Context: context(row[2])}
		d := policy.Evaluate(request, policy.Set{Identity: []*policy.Policy{p}})
		if d.Allowed() != (row[0] == "yes") {
			t.Errorf("%s in %s: got %v, want %s", row[1], row[2], d.Allowed(), row[0])
		}
	}
}

func TestVariablesInResources(t *testing.T) {
	for _, row := range rows(t, `
		allow | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"            | alice/db-AbC1d2 | -
		none  | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"            | bob/db-AbC1d2   | -
		allow | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*"   | db/x-AbC1d2     | aws:PrincipalTag/team=db
		none  | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*"   | db/x-AbC1d2     | -
		none  | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*"   | db/x-AbC1d2     | aws:PrincipalTag/team=*
		allow | Allow | "Resource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team, 'all'}/*" | all/x-AbC1d2 | -
		allow | Allow | "Resource":"arn:aws:secretsmanager:*:${aws:PrincipalAccount}:secret:*"      | x-AbC1d2        | -
		allow | Allow | "NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"         | bob/db-AbC1d2   | -
		none  | Allow | "NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"         | alice/db-AbC1d2 | -
		none  | Allow | "NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*" | db/x-AbC1d2    | -
		deny  | Deny  | "NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*" | db/x-AbC1d2    | -
		none  | Deny  | "NotResource":"arn:aws:secretsmanager:*:*:secret:${aws:username}/*"         | alice/db-AbC1d2 | -
	`, 5) {
		p := mustParse(t, document(`{"Effect":"`+row[1]+`","Action":"*",`+row[2]+`}`), policy.IdentityPolicy)
		request := policy.Request{Principal: principal(t, "alice"), Action: get, Context: context(row[4]),
			Resource: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + row[3]}
		d := policy.Evaluate(request, policy.Set{Identity: []*policy.Policy{p}})
		if got := verdict(d); got != row[0] {
			t.Errorf("%v: got %s", row, got)
		}
	}
}

// TestOlderVersionHasNoVariables: in 2008-10-17, the default, ${…} is text.
func TestOlderVersionHasNoVariables(t *testing.T) {
	for _, version := range []string{``, `"Version":"2008-10-17",`} {
		p := mustParse(t, `{`+version+`"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:k":"${aws:username}"}}}}`, policy.IdentityPolicy)
		for value, want := range map[string]string{"alice": "none", "${aws:username}": "allow"} {
			request := policy.Request{Principal: principal(t, "alice"), Action: get, Resource: secret, Context: context("aws:k=" + value)}
			if got := verdict(policy.Evaluate(request, policy.Set{Identity: []*policy.Policy{p}})); got != want {
				t.Errorf("version %q, value %s: got %s, want %s", version, value, got, want)
			}
		}
	}
}

// TestNegationWithoutValueFailsSafe: comparing with a variable that has no
// value neither opens an Allow nor closes a Deny.
func TestNegationWithoutValueFailsSafe(t *testing.T) {
	const condition = `"Condition":{"StringNotEquals":{"aws:k":"${aws:PrincipalTag/team}"}}`
	deny := mustParse(t, document(`{"Effect":"Deny","Action":"*","Resource":"*",`+condition+`}`), policy.IdentityPolicy)
	request := policy.Request{Principal: principal(t, "alice"), Action: get, Resource: secret, Context: context("aws:k=x")}
	if got := verdict(policy.Evaluate(request, policy.Set{Identity: []*policy.Policy{deny}})); got != "deny" {
		t.Errorf("got %s, want deny", got)
	}
}

func TestContext(t *testing.T) {
	var c policy.Context
	c.Set("aws:SourceIp", "10.0.0.1")
	if got := c.Get("AWS:sourceip"); len(got) != 1 || got[0] != "10.0.0.1" {
		t.Errorf("got %v", got)
	}
	c.Set("AWS:SOURCEIP")
	if got := c.Get("aws:SourceIp"); got != nil {
		t.Errorf("after removal: got %v", got)
	}
}
