"""Workflow W4 and its neighbours with boto3."""

import hashlib
import json
import urllib.request
import uuid

import pytest

from harness import logs as function_logs
from harness import packages
from harness.clients import ACCOUNT, boto
from harness.functions import ROLE, arn, node_runtime, python_runtime

ECHO = "def handler(event, context):\n    return event\n"


def test_end_to_end(daemon, lambda_, logs, name):
    """W4, CORE-053..058, CORE-064, CORE-065, LANG1-056: the whole life of a function."""
    iam = boto(daemon.url, "iam")
    trust = {"Version": "2012-10-17", "Statement": []}
    role = iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{name}-role"
    assert role["AssumeRolePolicyDocument"] == trust
    iam.attach_role_policy(RoleName=f"{name}-role", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")

    code = packages.package({"index.js": "exports.handler = async (e, c) => ({ e, stream: c.logStreamName })"})
    lambda_.create_function(
        FunctionName=name,
        Runtime=node_runtime(),
        Handler="index.handler",
        Role=role["Arn"],
        Code={"ZipFile": code},
    )
    lambda_.get_waiter("function_active_v2").wait(FunctionName=name)
    answer = lambda_.invoke(FunctionName=name, Payload=b'{"n": [1, 2.5, null, "\xc3\xbc"]}', LogType="Tail")
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    result = json.loads(answer["Payload"].read())
    assert result["e"] == {"n": [1, 2.5, None, "ü"]}
    request = answer["ResponseMetadata"]["RequestId"]
    found = function_logs.of_request(logs, name, result["stream"], request)
    assert found[0] == f"START RequestId: {request} Version: $LATEST\n"
    assert found[-2] == f"END RequestId: {request}\n"

    got = lambda_.get_function(FunctionName=name)
    assert urllib.request.urlopen(got["Code"]["Location"]).read() == code
    lambda_.delete_function(FunctionName=name)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName=name)
    assert function_logs.messages(logs, name, result["stream"]) == found


def test_waiters(lambda_, functions, name):
    """API-710: State and LastUpdateStatus are in both documents that the waiters poll."""
    functions.python(name, ECHO)
    for waiter in (
        "function_exists",
        "function_active",
        "function_active_v2",
        "function_updated",
        "function_updated_v2",
    ):
        lambda_.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"MaxAttempts": 1})


def test_paginator(functions, lambda_, name):
    """CORE-063, API-007: the list_functions paginator reaches every function once."""
    for number in range(3):
        functions.python(f"{name}-{number}", ECHO)
    pages = list(lambda_.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert all(len(page["Functions"]) <= 2 for page in pages)
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    assert len(names) == len(set(names))
    assert {f"{name}-{number}" for number in range(3)} <= set(names)


def test_configuration_document(functions, lambda_, name):
    """CORE-055, API-118, API-712, API-715: every field that today's clients read, with its default."""
    code = packages.package({"app.py": ECHO})
    functions.create(name, code, python_runtime(), Description="d", Tags={"team": "a"})
    document = lambda_.get_function_configuration(FunctionName=name)
    document.pop("ResponseMetadata")
    expected = {
        "FunctionName": name,
        "FunctionArn": arn(name),
        "Runtime": python_runtime(),
        "Role": ROLE,
        "Handler": "app.handler",
        "Description": "d",
        "Timeout": 3,
        "MemorySize": 128,
        "Version": "$LATEST",
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "CodeSize": len(code),
        "CodeSha256": packages.sha256(code),
        "TracingConfig": {"Mode": "PassThrough"},
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }
    assert {key: document.get(key) for key in expected} == expected
    assert str(uuid.UUID(document["RevisionId"])) == document["RevisionId"]
    assert "Tags" not in document
    got = lambda_.get_function(FunctionName=name)
    assert got["Configuration"] == document
    assert got["Tags"] == {"team": "a"}


def test_update_code(functions, lambda_, name):
    """API-147, API-011, RT-27: new code has a new digest and revision and is what runs next."""
    before = functions.python(name, ECHO)
    assert functions.invoke(name, 1).good() == 1
    code = packages.package({"app.py": "def handler(event, context):\n    return 'new'\n"})
    dry = lambda_.update_function_code(FunctionName=name, ZipFile=code, DryRun=True)
    assert dry["CodeSha256"] in (before["CodeSha256"], packages.sha256(code))
    assert lambda_.get_function_configuration(FunctionName=name)["CodeSha256"] == before["CodeSha256"]
    after = lambda_.update_function_code(FunctionName=name, ZipFile=code)
    functions.updated(name)
    assert after["CodeSha256"] == packages.sha256(code)
    assert after["CodeSize"] == len(code)
    assert after["RevisionId"] != before["RevisionId"]
    assert functions.invoke(name, 1).good() == "new"
    location = lambda_.get_function(FunctionName=name)["Code"]["Location"]
    assert hashlib.sha256(urllib.request.urlopen(location).read()).digest() == hashlib.sha256(code).digest()


def test_update_configuration(functions, lambda_, name):
    """API-148, CORE-149, CORE-162: what is given changes, what is not given stays."""
    before = functions.python(name, ECHO, Environment={"Variables": {"AA": "1", "BB": "2"}}, Description="old")
    functions.configure(name, MemorySize=256, Timeout=9)
    after = lambda_.get_function_configuration(FunctionName=name)
    assert (after["MemorySize"], after["Timeout"], after["Description"]) == (256, 9, "old")
    assert after["Environment"] == {"Variables": {"AA": "1", "BB": "2"}}
    assert after["RevisionId"] != before["RevisionId"]
    functions.configure(name, Environment={"Variables": {"CC": "3"}})
    assert lambda_.get_function_configuration(FunctionName=name)["Environment"] == {"Variables": {"CC": "3"}}
    functions.configure(name, Environment={"Variables": {}})
    assert not lambda_.get_function_configuration(FunctionName=name).get("Environment", {}).get("Variables")


def test_revision_guards_updates(functions, lambda_, name):
    """API-010, CORE-164: the current revision is accepted, a stale one is refused and changes nothing."""
    first = functions.python(name, ECHO)["RevisionId"]
    current = lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    functions.configure(name, Description="second", RevisionId=current)
    stale = (
        lambda: lambda_.update_function_configuration(FunctionName=name, Description="third", RevisionId=first),
        lambda: lambda_.update_function_code(
            FunctionName=name, ZipFile=packages.package({"app.py": "broken"}), RevisionId=first
        ),
    )
    for update in stale:
        with pytest.raises(lambda_.exceptions.PreconditionFailedException) as refused:
            update()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert lambda_.get_function_configuration(FunctionName=name)["Description"] == "second"
    assert functions.invoke(name, 5).good() == 5


def test_delete_and_create_again(functions, lambda_, name):
    """API-108, API-105: a deleted name is free, and its old code never runs again."""
    functions.python(name, "def handler(event, context):\n    return 'old'\n")
    assert functions.invoke(name).good() == "old"
    lambda_.delete_function(FunctionName=name)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        functions.invoke(name)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.delete_function(FunctionName=name)
    functions.python(name, "def handler(event, context):\n    return 'new'\n")
    assert functions.invoke(name).good() == "new"
