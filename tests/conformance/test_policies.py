"""Resource policies of functions, versions and aliases."""

import json

import pytest

from harness.clients import boto
from harness.functions import Functions, arn

CODE = "def handler(event, context):\n    return 1\n"
STATEMENT = r"([a-zA-Z0-9-_]+)"
VIOLATION = "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy "
PATTERN = VIOLATION + "regular expression pattern: "
ANY_ARN = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
NONE = ("ResourceNotFoundException", "The resource you requested does not exist.")


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


@pytest.fixture(scope="module")
def function(shared_lambda):
    """A function with a version and an alias."""
    name = "policies"
    functions = Functions(shared_lambda)
    functions.python(name, CODE)
    functions.publish(name)
    shared_lambda.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    return name


def grant(**changes) -> dict:
    return {"StatementId": "sns", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"} | changes


GRANTS = {
    "service": ({}, {"Service": "sns.amazonaws.com"}, None),
    "account": ({"Principal": "210987654321"}, {"AWS": "arn:aws:iam::210987654321:root"}, None),
    "user": ({"Principal": "arn:aws:iam::123456789012:user/developer"}, {"AWS": "arn:aws:iam::123456789012:user/developer"}, None),
    "everybody": ({"Principal": "*"}, "*", None),
    "source": (
        {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::bucket", "SourceAccount": "123456789012"},
        {"Service": "s3.amazonaws.com"},
        {"StringEquals": {"AWS:SourceAccount": "123456789012"}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}},
    ),
    "organisation": ({"Principal": "*", "PrincipalOrgID": "o-t194hfs8cz"}, "*", {"StringEquals": {"aws:PrincipalOrgID": "o-t194hfs8cz"}}),
    "token": (
        {"Principal": "alexa-connectedhome.amazon.com", "EventSourceToken": "amzn1.ask.skill-1"},
        {"Service": "alexa-connectedhome.amazon.com"},
        {"StringEquals": {"lambda:EventSourceToken": "amzn1.ask.skill-1"}},
    ),
    "url": (
        {"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        "*",
        {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
    ),
    "via url": ({"Principal": "*", "InvokedViaFunctionUrl": True}, "*", {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
}  # fmt: skip


@pytest.mark.parametrize("case", GRANTS)
def test_documents(lambda_, functions, name, case):
    """API-015, API-102.10, API-102.12, API-102.13, API-123.3, API-164,
    API-102, API-501, CORE-097, CORE-100..104, CORE-112, CORE-113: statement and document as the service writes them."""
    changes, principal, condition = GRANTS[case]
    functions.python(name, CODE)
    request = grant(**changes)
    answer = lambda_.add_permission(FunctionName=name, **request)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert "RevisionId" not in answer
    expected = {"Sid": "sns", "Effect": "Allow", "Principal": principal, "Action": request["Action"], "Resource": arn(name)}
    expected |= {"Condition": condition} if condition else {}
    assert answer["Statement"] == json.dumps(expected, separators=(",", ":"))
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": [expected]}
    assert lambda_.get_policy(FunctionName=name)["Policy"] == json.dumps(policy, separators=(",", ":"))


def test_each_holder_has_its_own(lambda_, function):
    """API-123.4,
    API-102.11, API-123, CORE-116..118: a version's and an alias's policy is seen under their name alone."""
    try:
        for number, holder in enumerate(({}, {"Qualifier": "1"}, {"Qualifier": "prod"})):
            request = grant(StatementId=f"s{number}")
            statement = json.loads(lambda_.add_permission(FunctionName=function, **request, **holder)["Statement"])
            qualified = ":".join([arn(function), *holder.values()])
            assert statement["Resource"] == qualified
            for found in (
                lambda_.get_policy(FunctionName=function, **holder),
                lambda_.get_policy(FunctionName=qualified),
            ):
                assert [s["Sid"] for s in json.loads(found["Policy"])["Statement"]] == [f"s{number}"]
    finally:
        for number, holder in enumerate(({}, {"Qualifier": "1"}, {"Qualifier": "prod"})):
            lambda_.remove_permission(FunctionName=function, StatementId=f"s{number}", **holder)
            assert error(lambda_.get_policy, FunctionName=function, **holder) == NONE


@pytest.mark.parametrize("holder", [{}, {"Qualifier": "1"}, {"Qualifier": "prod"}])
def test_revisions(lambda_, function, holder):
    """API-142.3,
    API-010, API-142, API-632, CORE-114: a stale revision changes nothing; the holder's own revision counts."""
    stale = (
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest "
        "Revision Id",
    )

    def holders() -> str:
        if holder.get("Qualifier") == "prod":
            return lambda_.get_alias(FunctionName=function, Name="prod")["RevisionId"]
        return lambda_.get_function_configuration(FunctionName=function, **holder)["RevisionId"]

    before = holders()
    assert error(lambda_.add_permission, FunctionName=function, **grant(RevisionId="no"), **holder) == stale
    lambda_.add_permission(FunctionName=function, **grant(RevisionId=before), **holder)
    first = lambda_.get_policy(FunctionName=function, **holder)["RevisionId"]
    assert before != first == holders()
    lambda_.add_permission(FunctionName=function, **grant(StatementId="two"), **holder)
    remove = {"FunctionName": function, "StatementId": "sns"} | holder
    assert error(lambda_.remove_permission, **remove, RevisionId=first) == stale
    policy = lambda_.get_policy(FunctionName=function, **holder)
    assert len(json.loads(policy["Policy"])["Statement"]) == 2
    done = lambda_.remove_permission(**remove, RevisionId=policy["RevisionId"])
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error(lambda_.remove_permission, **remove) == (
        "ResourceNotFoundException", "Statement sns is not found in resource policy.",
    )  # fmt: skip
    lambda_.remove_permission(**(remove | {"StatementId": "two"}))
    assert error(lambda_.remove_permission, **remove) == (
        "ResourceNotFoundException", "No policy is associated with the given resource.",
    )  # fmt: skip


BAD = {
    "statement": ({"StatementId": "a b"}, "ValidationException", PATTERN % ("a b", "statementId") + STATEMENT),
    "statement too long": ({"StatementId": "a" * 101}, "ValidationException", f"1 validation error detected: Value '{'a' * 101}' at 'statementId' failed to satisfy constraint: Member must have length less than or equal to 100"),
    "action": ({"Action": "s3:GetObject"}, "ValidationException", PATTERN % ("s3:GetObject", "action") + r"(lambda:[*]|lambda:[a-zA-Z]+|[*])"),
    "principal with spaces": ({"Principal": "a b"}, "ValidationException", PATTERN % ("a b", "principal") + r"[^\s]+"),
    "principal": ({"Principal": "nobody"}, "InvalidParameterValueException", "The provided principal was invalid. Please check the principal and try again."),
    "source": ({"SourceArn": "bucket"}, "ValidationException", PATTERN % ("bucket", "sourceArn") + ANY_ARN),
    "account": ({"SourceAccount": "1234"}, "ValidationException", PATTERN % ("1234", "sourceAccount") + r"\d{12}"),
    "organisation": ({"PrincipalOrgID": "org-11111111"}, "ValidationException", PATTERN % ("org-11111111", "principalOrgID") + r"o-[a-z0-9]{10,32}"),
    "token": ({"EventSourceToken": "a/b"}, "ValidationException", PATTERN % ("a/b", "eventSourceToken") + r"[a-zA-Z0-9._\-]+"),
    "url type": ({"FunctionUrlAuthType": "SOME"}, "ValidationException", VIOLATION % ("SOME", "functionUrlAuthType") + "enum value set: [NONE, AWS_IAM]"),
    "url type of another action": ({"FunctionUrlAuthType": "NONE"}, "InvalidParameterValueException", "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"),
    "$LATEST": ({"Qualifier": "$LATEST"}, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST."),
    "no version": ({"Qualifier": "7"}, "ResourceNotFoundException", "Function not found: ARN:7"),
    "no alias": ({"Qualifier": "no"}, "ResourceNotFoundException", "Cannot find alias arn: ARN:no"),
    "no function": ({"FunctionName": "no-such-function"}, "ResourceNotFoundException", f"Function not found: {arn('no-such-function')}"),
    "taken": ({"StatementId": "taken"}, "ResourceConflictException", "The statement id (taken) provided already exists. Please provide a new statement id, or remove the existing statement."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused(lambda_, function, case):
    """API-063..067, API-102, API-501, API-625, API-706: each with the service's own words."""
    changes, code, text = BAD[case]
    if case == "taken":
        lambda_.add_permission(FunctionName=function, **grant(StatementId="taken"))
    request = {"FunctionName": function} | grant(**changes)
    assert error(lambda_.add_permission, **request) == (code, text.replace("ARN", arn(function)))
    if case == "taken":
        lambda_.remove_permission(FunctionName=function, StatementId="taken")
    assert error(lambda_.get_policy, FunctionName=function) == NONE


def test_what_is_missing(wire, function):
    """API-102: botocore itself would refuse it."""
    reply = wire.json("POST", f"/2015-03-31/functions/{function}/policy", {})
    assert (reply.status, reply.error) == (400, "ValidationException")
    assert reply.message == "3 validation errors detected: " + "; ".join(
        f"Value null at '{member}' failed to satisfy constraint: Member must not be null"
        for member in ("statementId", "action", "principal")
    )
    reply = wire.json("DELETE", f"/2015-03-31/functions/{function}/policy/a%20b", {})
    assert reply.message == PATTERN % ("a b", "statementId") + "([a-zA-Z0-9-_.]+)"


def test_too_long(lambda_, functions, name):
    """CORE-077, API-304: 20 KB at most, and the policy stays what it was."""
    functions.python(name, CODE)
    source = "arn:aws:s3:::" + "b" * 4000
    for number in range(4):
        lambda_.add_permission(FunctionName=name, **grant(StatementId=f"s{number}", SourceArn=source))
    before = lambda_.get_policy(FunctionName=name)
    code, text = error(lambda_.add_permission, FunctionName=name, **grant(SourceArn=source))
    size = len(before["Policy"]) + (len(before["Policy"]) - 56) // 4 + 1
    assert code == "PolicyLengthExceededException"
    assert text.startswith("The final policy size (") and text.endswith(") is bigger than the limit (20480).")
    assert abs(int(text.split("(")[1].split(")")[0]) - size) < 10
    assert lambda_.get_policy(FunctionName=name)["Policy"] == before["Policy"]


def test_a_policy_goes_with_its_holder(lambda_, functions, name):
    """API-108: what comes later under the same name starts without one."""
    functions.python(name, CODE)
    functions.publish(name)
    lambda_.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    for holder in ({}, {"Qualifier": "prod"}):
        lambda_.add_permission(FunctionName=name, **grant(), **holder)
    lambda_.delete_alias(FunctionName=name, Name="prod")
    lambda_.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    assert error(lambda_.get_policy, FunctionName=name, Qualifier="prod") == NONE
    lambda_.delete_function(FunctionName=name)
    functions.python(name, CODE)
    assert error(lambda_.get_policy, FunctionName=name) == NONE


def test_policies_survive(own_daemon):
    """CORE-096: what was answered is there after the daemon was killed."""
    client = boto(own_daemon.url, "lambda")
    Functions(client).python("kept", CODE)
    client.add_permission(FunctionName="kept", **grant())
    client.put_function_concurrency(FunctionName="kept", ReservedConcurrentExecutions=0)
    before = client.get_policy(FunctionName="kept")["Policy"]
    own_daemon.restart_after_kill()
    client = boto(own_daemon.url, "lambda")
    assert client.get_policy(FunctionName="kept")["Policy"] == before
    code, _ = error(client.invoke, FunctionName="kept")
    assert code == "TooManyRequestsException"
