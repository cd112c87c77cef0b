"""Aliases: names that lead to versions, and sharing of events between two."""

import concurrent.futures
import threading

import pytest

from harness import logs as function_logs
from harness import packages
from harness.daemon import wait_for
from harness.functions import ROLE, Functions, arn

WHO = "def handler(event, context):\n    print('ran')\n    return [context.function_version, context.invoked_function_arn]\n"
PATTERN = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
WEIGHTS = "1 validation error detected: Value '{%s}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: "
VALUES = (
    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value "
    "greater than or equal to 0.0, Member must not be null]"
)
KEYS = (
    "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length "
    "greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]"
)


def create(functions, name: str, versions: int = 2):
    """A function with that many published versions."""
    functions.python(name, WHO)
    for number in range(versions):
        functions.configure(name, Timeout=10 + number)
        functions.publish(name)


def shared(**weights) -> dict:
    """A routing configuration: v2=0.5 means half to version 2."""
    return {"AdditionalVersionWeights": {key.removeprefix("v"): weight for key, weight in weights.items()}}


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


def test_life(functions, lambda_, name):
    """API-103.6, API-106.3, API-106.4, API-114.3, API-145.3, API-157, API-203,
    CORE-196, CORE-197, CORE-198, API-103, API-114, API-145, API-106: the whole life of an alias."""
    create(functions, name)
    created = lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description="d")
    assert created.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    revision = created["RevisionId"]
    expected = {
        "AliasArn": f"{arn(name)}:live", "Name": "live", "FunctionVersion": "1", "Description": "d",
        "RevisionId": revision,
    }  # fmt: skip
    assert created == expected
    found = lambda_.get_alias(FunctionName=arn(name), Name="live")
    found.pop("ResponseMetadata")
    assert found == expected
    assert functions.invoke(name, Qualifier="live").good() == ["1", f"{arn(name)}:live"]

    moved = lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "d")
    assert moved["RevisionId"] != revision
    result = functions.invoke(f"{arn(name)}:live")
    assert (result.version, result.good()) == ("2", ["2", f"{arn(name)}:live"])

    shown = lambda_.get_function(FunctionName=name, Qualifier="live")["Configuration"]
    assert (shown["FunctionArn"], shown["Version"]) == (f"{arn(name)}:live", "2")
    for _ in range(2):
        assert lambda_.delete_alias(FunctionName=name, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    missing = ("ResourceNotFoundException", f"Function not found: {arn(name)}:live")
    for call in (lambda_.invoke, lambda_.get_function, lambda_.get_function_configuration):
        assert error(call, FunctionName=name, Qualifier="live") == missing


def test_an_alias_of_latest(functions, lambda_, name):
    """CORE-196: it may lead to $LATEST, and then goes with it."""
    create(functions, name, versions=0)
    lambda_.create_alias(FunctionName=name, Name="dev", FunctionVersion="$LATEST")
    assert functions.invoke(name, Qualifier="dev").good() == ["$LATEST", f"{arn(name)}:dev"]
    functions.recode(name, packages.package({"app.py": "def handler(event, context):\n    return 'new'\n"}))
    assert functions.invoke(name, Qualifier="dev").good() == "new"


def test_lists(functions, lambda_, name):
    """API-127.4, API-127: in order of name, with paging, of one version too."""
    create(functions, name)
    for alias, version, routing in (("c", "1", shared(v2=0.5)), ("a", "1", {}), ("b", "2", {})):
        lambda_.create_alias(FunctionName=name, Name=alias, FunctionVersion=version, RoutingConfig=routing)
    paginator = lambda_.get_paginator("list_aliases")

    def names(size=10, **filters):
        pages = list(paginator.paginate(FunctionName=name, PaginationConfig={"PageSize": size}, **filters))
        assert all(len(page["Aliases"]) <= size for page in pages)
        return [alias["Name"] for page in pages for alias in page["Aliases"]]

    assert names() == names(size=1) == ["a", "b", "c"]
    assert names(FunctionVersion="1") == ["a", "c"]
    assert names(FunctionVersion="2") == ["b", "c"]
    assert names(FunctionVersion="$LATEST") == []
    assert lambda_.list_aliases(FunctionName=name)["Aliases"][2]["RoutingConfig"] == shared(v2=0.5)
    assert error(lambda_.list_aliases, FunctionName=f"{name}-no") == (
        "ResourceNotFoundException", f"Function not found: {arn(name)}-no",
    )  # fmt: skip


BAD = {
    "name of digits": ({"Name": "2024"}, "ValidationException", f"1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: {PATTERN}"),
    "two more versions": ({"RoutingConfig": shared(v1=0.1, v2=0.2)}, "InvalidParameterValueException", "Number of items in AdditionalVersionWeights cannot be greater than 1"),
    "weight too high": ({"RoutingConfig": shared(v2=2)}, "ValidationException", WEIGHTS % "2=2.0" + VALUES),
    "the same version": ({"RoutingConfig": shared(v1=0.5)}, "InvalidParameterValueException", "Invalid function version 1. Function version 1 is already included in routing configuration."),
    "$LATEST shares": ({"FunctionVersion": "$LATEST", "RoutingConfig": shared(v1=0.5)}, "InvalidParameterValueException", "$LATEST is not supported for an alias pointing to more than 1 version"),
    "$LATEST as second": ({"RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.5}}}, "ValidationException", WEIGHTS % "$LATEST=0.5" + KEYS),
    "version unknown": ({"FunctionVersion": "10"}, "ResourceNotFoundException", "Function not found: ARN:10"),
    "second unknown": ({"RoutingConfig": shared(v10=0.5)}, "ResourceNotFoundException", "Function not found: ARN:10"),
    "function unknown": ({"FunctionName": "no-such-function"}, "ResourceNotFoundException", f"Function not found: {arn('no-such-function')}:1"),
    "other roles": ({"RoutingConfig": shared(v3=0.5)}, "InvalidParameterValueException", "Function versions 1 and 3 have different execution roles. An alias can only point to versions with the same execution role."),
    "taken": ({"Name": "taken"}, "ResourceConflictException", "Alias already exists: ARN:taken"),
}  # fmt: skip


@pytest.fixture(scope="module")
def restricted(shared_lambda):
    """A function with three versions, of which the third has a role of its own."""
    functions, name = Functions(shared_lambda), "aliases-restricted"
    create(functions, name)
    functions.configure(name, Role=f"{ROLE}-other")
    functions.publish(name)
    shared_lambda.create_alias(FunctionName=name, Name="taken", FunctionVersion="1")
    return name


@pytest.mark.parametrize("case", BAD)
def test_refused(lambda_, restricted, case):
    """CORE-200, API-054, API-076, API-103.8, API-204, API-706: each with the service's own words."""
    changes, code, text = BAD[case]
    request = {"FunctionName": restricted, "Name": "fresh", "FunctionVersion": "1"} | changes
    assert error(lambda_.create_alias, **request) == (code, text.replace("ARN", arn(restricted)))
    if case not in ("taken", "function unknown", "name of digits"):
        assert error(lambda_.update_alias, **(request | {"Name": "taken"}))[0] == code
    assert [alias["Name"] for alias in lambda_.list_aliases(FunctionName=restricted)["Aliases"]] == ["taken"]


def test_a_weight_below_zero(wire, restricted):
    """API-706: botocore itself would refuse it."""
    document = {"Name": "fresh", "FunctionVersion": "1", "RoutingConfig": shared(v2=-1)}
    reply = wire.json("POST", f"/2015-03-31/functions/{restricted}/aliases", document)
    assert (reply.error, reply.message) == ("ValidationException", WEIGHTS % "2=-1.0" + VALUES)


def test_unknown(functions, lambda_, name):
    """API-306: absent aliases, in the words of each operation."""
    create(functions, name, versions=0)
    gone = f"{arn(name)}:gone"
    assert error(lambda_.get_alias, FunctionName=name, Name="gone")[1] == f"Cannot find alias arn: {gone}"
    assert error(lambda_.update_alias, FunctionName=name, Name="gone")[1] == f"Alias not found: {gone}"


def test_revisions(functions, lambda_, name):
    """API-010, API-011: 412 for another revision than the latest, and nothing changes."""
    create(functions, name, versions=1)
    first = lambda_.create_alias(FunctionName=name, Name="a", FunctionVersion="1")["RevisionId"]
    second = lambda_.update_alias(FunctionName=name, Name="a", Description="x", RevisionId=first)["RevisionId"]
    with pytest.raises(lambda_.exceptions.PreconditionFailedException) as refusal:
        lambda_.update_alias(FunctionName=name, Name="a", Description="y", RevisionId=first)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    found = lambda_.get_alias(FunctionName=name, Name="a")
    assert (found["Description"], found["RevisionId"]) == ("x", second)


def test_versions_in_use_stay(functions, lambda_, name):
    """API-108.4: neither version that an alias leads to can be deleted, until it leads elsewhere."""
    create(functions, name)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=shared(v2=0.1))
    for version in ("1", "2"):
        assert error(lambda_.delete_function, FunctionName=name, Qualifier=version) == (
            "ResourceConflictException",
            "Unable to delete version because the following aliases reference it: [live]",
        )
    text = "Deletion of aliases is not currently supported."
    assert error(lambda_.delete_function, FunctionName=name, Qualifier="live")[1] == text
    lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig={})
    lambda_.delete_function(FunctionName=name, Qualifier="2")
    lambda_.delete_function(FunctionName=name)
    create(functions, name, versions=1)
    assert lambda_.list_aliases(FunctionName=name)["Aliases"] == []


def counts(functions, name: str, times: int) -> dict:
    """How often each version ran, by header; the function must agree."""

    def once(_):
        result = functions.invoke(name, Qualifier="live", LogType="None")
        assert result.good()[0] == result.version
        return result.version

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(once, range(times)))
    return {version: versions.count(version) for version in set(versions)}


def test_shares(functions, lambda_, name):
    """API-103.7, CORE-201, CORE-202, CORE-204: the second version gets its weight, and a shift is complete."""
    create(functions, name)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=shared(v2=0.25))
    found = counts(functions, name, 800)
    # 200 are expected with a deviation of 12: six of them are one run in some hundred million.
    assert 125 <= found["2"] <= 275 and found["1"] == 800 - found["2"], found
    for weight, only in ((0.0, "1"), (1.0, "2")):
        lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig=shared(v2=weight))
        assert counts(functions, name, 40) == {only: 40}
    shifted = lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig={})
    assert "RoutingConfig" not in shifted
    assert counts(functions, name, 40) == {"2": 40}


def test_a_moving_alias_never_misses(functions, lambda_, name):
    """CORE-198, CORE-199: callers of an alias that moves get one version or the other, and never an error."""
    create(functions, name, versions=2)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    stop = threading.Event()

    def move():
        version = 2
        while not stop.is_set():
            lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion=str(version))
            version = 3 - version

    mover = threading.Thread(target=move)
    mover.start()
    try:
        assert set(counts(functions, name, 200)) == {"1", "2"}
    finally:
        stop.set()
        mover.join()
    for version in ("1", "2"):
        lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
        assert functions.invoke(name, Qualifier="live").version == version, "at once after the answer"


def test_events_keep_the_alias(functions, lambda_, logs, name):
    """CORE-204, CORE-252: an event sent to an alias runs on the version that it leads to."""
    create(functions, name, versions=1)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    answer = lambda_.invoke(FunctionName=name, Qualifier="live", InvocationType="Event", Payload=b"{}")
    request = answer["ResponseMetadata"]["RequestId"]

    def started():
        try:
            streams = function_logs.streams(logs, name)
        except logs.exceptions.ResourceNotFoundException:
            return None
        lines = [line for stream in streams for line in function_logs.messages(logs, name, stream)]
        return [line for line in lines if line.startswith(f"START RequestId: {request}")]

    assert wait_for(started, "the event to run") == [f"START RequestId: {request} Version: 1\n"]


def test_waiting_events_follow_the_alias(functions, lambda_, logs, name):
    """CORE-199, CORE-253: an event that waits in the queue goes where the alias leads when its turn comes."""
    slow = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
    functions.python(name, slow, Timeout=20)
    functions.publish(name)
    functions.configure(name, Timeout=21)
    functions.publish(name)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")

    def send(seconds: float) -> str:
        event = b"%f" % seconds
        answer = lambda_.invoke(FunctionName=name, Qualifier="live", InvocationType="Event", Payload=event)
        return answer["ResponseMetadata"]["RequestId"]

    # As many as run at one time, and one that must wait for them.
    first = [send(3) for _ in range(16)]
    waiting = send(0)
    lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion="2")

    def starts():
        try:
            streams = function_logs.streams(logs, name)
        except logs.exceptions.ResourceNotFoundException:
            return {}
        lines = [line for stream in streams for line in function_logs.messages(logs, name, stream)]
        words = [line.split() for line in lines if line.startswith("START ")]
        return {request: version for _, _, request, _, version in words}

    wait_for(lambda: {waiting, *first} <= starts().keys(), "every event to run", 60)
    assert starts() == dict.fromkeys(first, "1") | {waiting: "2"}
