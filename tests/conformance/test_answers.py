"""What requests may say as a whole, and what answers say: every member, with its type, and no other."""

import base64
import re
import urllib.parse

import pytest

from harness import logs as function_logs
from harness import packages
from harness.clients import ACCOUNT, REGION
from harness.daemon import wait_for
from harness.functions import ROLE, Functions, arn, python_runtime

NAME = "answers"
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{NAME}:1"
CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})
ZIP = base64.b64encode(CODE).decode()
FUNCTIONS = "/2015-03-31/functions"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DIGEST = re.compile(r"[A-Za-z0-9+/]{43}=")
LINK = re.compile(r"http://\S+")

#: Everything that CreateFunction can be asked for, with values that have their effect here.
EVERYTHING = {
    "Code": {"ZipFile": ZIP},
    "DeadLetterConfig": {"TargetArn": ""},
    "Description": "all of it",
    "Environment": {"Variables": {"AA": "1"}},
    "FunctionName": NAME,
    "Handler": "app.handler",
    "KMSKeyArn": "",
    "Layers": [LAYER],
    "MemorySize": 192,
    "Publish": True,
    "Role": ROLE,
    "Runtime": python_runtime(),
    "Tags": {"a": "b"},
    "Timeout": 7,
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SecurityGroupIds": [], "SubnetIds": []},
}


def configuration(version: str, qualifier: str = "", name: str = NAME, **changes) -> dict:
    """A FunctionConfiguration: members to a value, a type or a pattern."""
    return {
        "CodeSha256": packages.sha256(CODE),
        "CodeSize": len(CODE),
        "Description": "all of it",
        "Environment": {"Variables": {"AA": "1"}},
        "FunctionArn": arn(name) + qualifier,
        "FunctionName": name,
        "Handler": "app.handler",
        "LastModified": TIME,
        "LastUpdateStatus": "Successful",
        "Layers": [{"Arn": LAYER, "CodeSize": len(CODE)}],
        "MemorySize": 192,
        "RevisionId": UUID,
        "Role": ROLE,
        "Runtime": python_runtime(),
        "State": "Active",
        "Timeout": 7,
        "TracingConfig": {"Mode": "PassThrough"},
        "Version": version,
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    } | changes


def listed(version: str, qualifier: str = "") -> dict:
    """The same in a list, where states are left out."""
    whole = configuration(version, qualifier)
    return {key: value for key, value in whole.items() if key not in ("State", "LastUpdateStatus")}


def agrees(found, expected, place: str = "answer"):
    """Every member is there, no other is, and each has its value, its type, or the form of a pattern."""
    match expected:
        case dict():
            assert set(found) == set(expected), place
            for key, value in expected.items():
                agrees(found[key], value, f"{place}.{key}")
        case list():
            assert len(found) == len(expected), place
            for number, value in enumerate(expected):
                agrees(found[number], value, f"{place}[{number}]")
        case re.Pattern():
            assert isinstance(found, str) and expected.fullmatch(found), (place, found)
        case type():
            assert type(found) is expected, (place, found)
        case _:
            assert found == expected, place


@pytest.fixture(scope="module")
def function(shared_lambda):
    """A function with all settings, a version and an alias with two versions."""
    shared_lambda.publish_layer_version(LayerName=NAME, Content={"ZipFile": CODE})
    request = {**EVERYTHING, "Code": {"ZipFile": CODE}}
    shared_lambda.create_function(**request)
    functions = Functions(shared_lambda)
    functions.active(NAME)
    shared_lambda.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=5)
    weights = {"AdditionalVersionWeights": {"2": 0.25}}
    functions.configure(NAME, Timeout=8)
    functions.publish(NAME)
    functions.configure(NAME, Timeout=7)
    shared_lambda.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1", RoutingConfig=weights)
    return NAME


def test_create_function(wire, lambda_, function):
    """API-105.17, API-105.22, API-150, API-152, API-210, API-214, API-715: the whole request; no tags in the answer."""
    name = f"{function}-new"
    reply = wire.json("POST", FUNCTIONS, EVERYTHING | {"FunctionName": name})
    assert reply.status == 201, reply
    expected = configuration("1", name=name, State="Pending", StateReason=str, StateReasonCode="Creating")
    del expected["LastUpdateStatus"]
    agrees(reply.json(), expected)
    Functions(lambda_).active(name)
    assert lambda_.list_tags(Resource=arn(name))["Tags"] == {"a": "b"}
    lambda_.delete_function(FunctionName=name)


CODE_LOCATION = {"Location": LINK, "RepositoryType": "S3"}
ALIAS = {
    "AliasArn": arn(NAME) + ":live", "Description": "", "FunctionVersion": "1", "Name": "live", "RevisionId": UUID,
    "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}},
}  # fmt: skip

#: Requirement, method, path, and the whole answer.
READ = [
    ("API-118.3 API-118.4 API-150 API-214 API-509", f"{FUNCTIONS}/{NAME}/configuration", configuration("$LATEST")),
    ("API-118.3 API-118.4 API-150", f"{FUNCTIONS}/{NAME}/configuration?Qualifier=1", configuration("1", ":1")),
    (
        "API-116 API-116.3 API-116.4 API-116.5 API-116.6 API-151 API-213 API-508", f"{FUNCTIONS}/{NAME}",
        {"Code": CODE_LOCATION, "Concurrency": {"ReservedConcurrentExecutions": 5}, "Configuration": configuration("$LATEST"), "Tags": {"a": "b"}},
    ),
    ("API-203 API-157", f"{FUNCTIONS}/{NAME}/aliases/live", ALIAS),
    ("API-165 API-127.4", f"{FUNCTIONS}/{NAME}/aliases?MaxItems=1", {"Aliases": [ALIAS]}),
    ("API-165 API-117.2", f"/2019-09-30/functions/{NAME}/concurrency", {"ReservedConcurrentExecutions": 5}),
    ("API-165 API-134.2", f"/2017-03-31/tags/{urllib.parse.quote(arn(NAME), safe='')}", {"Tags": {"a": "b"}}),
    (
        "API-135.3 API-165 API-517", f"{FUNCTIONS}/{NAME}/versions",
        {"Versions": [listed("$LATEST", ":$LATEST"), listed("1", ":1"), listed("2", ":2") | {"Timeout": 8}]},
    ),
    ("API-135.3 API-165", f"{FUNCTIONS}/{NAME}/versions?MaxItems=1", {"Versions": [listed("$LATEST", ":$LATEST")], "NextMarker": str}),
    (
        "API-161 API-132.4 API-220", f"/2018-10-31/layers/{NAME}/versions",
        {"LayerVersions": [{"CreatedDate": TIME, "Description": "", "LayerVersionArn": LAYER, "Version": 1}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", READ, ids=lambda row: f"{row[0]} {row[1]}")
def test_read(wire, function, row):
    """Each row names its own requirements."""
    _, path, expected = row
    reply = wire.send("GET", path)
    assert reply.status == 200, reply
    assert reply.headers["Content-Type"] == "application/json"
    agrees(reply.json(), expected)


def test_what_belongs_to_the_function_is_not_of_its_versions(lambda_, function):
    """API-116.7, API-105.20: a version is shown with its own code and settings."""
    plain = lambda_.get_function(FunctionName=function)
    version = lambda_.get_function(FunctionName=function, Qualifier="2")
    assert (plain["Configuration"]["Timeout"], version["Configuration"]["Timeout"]) == (7, 8)
    assert "Concurrency" in plain and "Concurrency" not in version


def test_list_functions(lambda_, function):
    """API-130.4, API-130.5, API-514: one entry of each function, that of $LATEST, without its state."""
    pages = lambda_.get_paginator("list_functions").paginate()
    entries = [f for page in pages for f in page["Functions"] if f["FunctionName"] == function]
    assert len(entries) == 1
    agrees(entries[0], listed("$LATEST"))


def test_list_layers(lambda_, function):
    """API-131.3, API-161, API-217, API-220: the newest version of each layer."""
    pages = lambda_.get_paginator("list_layers").paginate()
    (layer,) = [layer for page in pages for layer in page["Layers"] if layer["LayerName"] == NAME]
    newest = {"CreatedDate": TIME, "Description": "", "LayerVersionArn": LAYER, "Version": 1}
    agrees(layer, {"LayerArn": LAYER.removesuffix(":1"), "LayerName": NAME, "LatestMatchingVersion": newest})


def test_update_function_configuration(wire, lambda_, function, name):
    """API-148.15, API-150, API-153: the whole request, and the whole answer."""
    Functions(lambda_).create(name, CODE, python_runtime())
    revision = lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    left_out = ("Code", "FunctionName", "Publish", "Tags", "Layers")
    request = {key: value for key, value in EVERYTHING.items() if key not in left_out}
    reply = wire.json("PUT", f"{FUNCTIONS}/{name}/configuration", request | {"RevisionId": revision})
    assert reply.status == 200, reply
    expected = configuration("$LATEST", name=name)
    del expected["Layers"]
    agrees(reply.json(), expected)


def test_update_function_code(wire, lambda_, function, name):
    """API-147.2, API-147.9, API-147.11, API-154: code at top level; a dry run leaves things as they are."""
    functions = Functions(lambda_)
    functions.create(name, CODE, python_runtime())
    before = lambda_.get_function_configuration(FunctionName=name)
    new = packages.package({"app.py": "def handler(event, context):\n    return 2\n"})
    path = f"{FUNCTIONS}/{name}/code"
    inside = wire.json("PUT", path, {"Code": {"ZipFile": ZIP}})
    assert (inside.status, inside.error) == (400, "InvalidParameterValueException")
    request = {"DryRun": True, "Publish": False, "RevisionId": before["RevisionId"], "ZipFile": base64.b64encode(new).decode()}
    dry = wire.json("PUT", path, request)
    assert dry.status == 200, dry
    assert lambda_.get_function_configuration(FunctionName=name)["CodeSha256"] == before["CodeSha256"]
    reply = wire.json("PUT", path, request | {"DryRun": False})
    expected = configuration(
        "$LATEST", name=name, CodeSha256=packages.sha256(new), CodeSize=len(new), Description="", MemorySize=128, Timeout=3,
        LastUpdateStatus="InProgress", LastUpdateStatusReason=str, LastUpdateStatusReasonCode="Creating",
    )  # fmt: skip
    del expected["Environment"], expected["Layers"]
    agrees(reply.json(), expected)
    functions.updated(name)
    assert functions.invoke(name).good() == 2


def test_publish_version(wire, lambda_, function, name):
    """API-137.5, API-165, API-519: the whole request, and the whole answer."""
    Functions(lambda_).create(name, CODE, python_runtime())
    latest = lambda_.get_function_configuration(FunctionName=name)
    request = {"CodeSha256": latest["CodeSha256"], "Description": "one", "RevisionId": latest["RevisionId"]}
    reply = wire.json("POST", f"{FUNCTIONS}/{name}/versions", request)
    assert reply.status == 201, reply
    expected = configuration("1", ":1", name=name, Description="one", MemorySize=128, Timeout=3)
    del expected["Environment"], expected["Layers"]
    agrees(reply.json(), expected)


def test_names_that_cannot_be_changed(wire, lambda_, function):
    """API-145.4, API-146.13: an alias keeps its name, a mapping its source and position, whatever is sent."""
    renamed = wire.json("PUT", f"{FUNCTIONS}/{function}/aliases/live", {"Name": "other"})
    assert (renamed.status, renamed.json()["Name"]) == (200, "live")
    source = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}"
    made = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=source, StartingPosition="LATEST")
    moved = {"EventSourceArn": f"{source}-2", "StartingPosition": "TRIM_HORIZON", "StartingPositionTimestamp": 1}
    assert wire.json("PUT", f"/2015-03-31/event-source-mappings/{made['UUID']}", moved).status == 202
    found = lambda_.get_event_source_mapping(UUID=made["UUID"])
    assert (found["EventSourceArn"], found["StartingPosition"]) == (source, "LATEST")
    assert "StartingPositionTimestamp" not in found
    lambda_.delete_event_source_mapping(UUID=made["UUID"])


def test_invoke_async(wire, lambda_, logs, name):
    """API-126, API-126.3..5, API-631: 202 at once, by the old path with its slash; the event runs; 256 KB at most."""
    functions = Functions(lambda_)
    functions.python(name, "def handler(event, context):\n    print('got', event, context.invoked_function_arn)\n")
    path = f"/2014-11-13/functions/{name}/invoke-async/"
    reply = wire.send("POST", path + "?Qualifier=1", b'{"n": 1}', {"X-Amz-Invocation-Type": "DryRun"})
    assert (reply.status, reply.json()) == (202, {"Status": 202})
    assert "X-Amz-Executed-Version" not in reply.headers
    def said() -> bool:
        try:
            streams = function_logs.streams(logs, name)
        except logs.exceptions.ResourceNotFoundException:
            return False
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", logStreamNames=streams)["events"]
        return any(event["message"].strip() == f"got {{'n': 1}} {arn(name)}" for event in found)

    wait_for(said, "the event to run")
    for size, status in ((256 * 1024, 202), (256 * 1024 + 1, 413)):
        assert wire.send("POST", path, b'"' + b"x" * (size - 2) + b'"').status == status, size


def test_how_terraform_takes_things_away(lambda_, function, name):
    """API-714: empty values clear, the ARN of a version goes with the same qualifier, and what is gone is not found."""
    functions = Functions(lambda_)
    functions.create(name, CODE, python_runtime(), Layers=[LAYER], Environment={"Variables": {"AA": "1"}})
    functions.configure(
        name, Environment={"Variables": {}}, Layers=[], VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        DeadLetterConfig={"TargetArn": ""}, KMSKeyArn="",
    )  # fmt: skip
    found = lambda_.get_function_configuration(FunctionName=name)
    assert not {"Environment", "Layers", "VpcConfig", "DeadLetterConfig", "KMSKeyArn"} & found.keys()
    version = functions.publish(name)
    assert lambda_.get_function(FunctionName=f"{arn(name)}:{version}", Qualifier=version)["Configuration"]["Version"] == version
    lambda_.delete_function(FunctionName=name)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.delete_function(FunctionName=name)
