"""Published versions: what makes one, what it is, and how it goes."""

import pytest

from harness import logs as function_logs
from harness import packages
from harness.clients import boto
from harness.functions import Functions, arn, python_runtime

#: Tells what an instance knows of its version.
WHO = (
    "import os\n"
    "def handler(event, context):\n"
    "    return {'env': os.environ['AWS_LAMBDA_FUNCTION_VERSION'], 'version': context.function_version,\n"
    "            'arn': context.invoked_function_arn, 'stream': context.log_stream_name, 'says': SAYS}\n"
)


def who(says) -> bytes:
    """A package of WHO that also says something of its own."""
    return packages.package({"app.py": f"SAYS = {says!r}\n{WHO}"})


def create(functions, name, says="one", **settings) -> dict:
    return functions.create(name, who(says), python_runtime(), **settings)


def refused(error, call, **parameters) -> str:
    """The text of an error that a call must end in."""
    with pytest.raises(error) as refusal:
        call(**parameters)
    return refusal.value.response["Error"]["Message"]


def test_publish(functions, lambda_, name):
    """API-703, API-137.5, API-118.3,
    CORE-188, CORE-190, CORE-192, API-137: code, settings and an ARN of its own; active at once."""
    create(functions, name, MemorySize=192, Environment={"Variables": {"AA": "1"}})
    latest = lambda_.get_function_configuration(FunctionName=name)
    version = lambda_.publish_version(FunctionName=name)
    assert version.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    latest.pop("ResponseMetadata")
    assert version["RevisionId"] != latest["RevisionId"]
    own = {"FunctionArn": f"{arn(name)}:1", "Version": "1", "RevisionId": version["RevisionId"]}
    assert version == latest | own
    for named in ({"FunctionName": name, "Qualifier": "1"}, {"FunctionName": f"{arn(name)}:1"}):
        found = lambda_.get_function_configuration(**named)
        found.pop("ResponseMetadata")
        assert found == version
        assert lambda_.get_function(**named)["Configuration"] == version
    assert lambda_.get_function_configuration(FunctionName=name)["RevisionId"] != latest["RevisionId"]


def test_nothing_new_without_a_change(functions, lambda_, name):
    """CORE-191, API-137.6: the same version until code or configuration differ, whatever description is given."""
    create(functions, name)
    first = lambda_.publish_version(FunctionName=name, Description="first")
    assert (first["Version"], first["Description"]) == ("1", "first")
    again = lambda_.publish_version(FunctionName=name, Description="other")
    assert (again["Version"], again["Description"], again["RevisionId"]) == ("1", "first", first["RevisionId"])
    functions.configure(name, Timeout=7)
    assert functions.publish(name) == "2"
    functions.recode(name, who("two"))
    assert functions.publish(name) == "3"
    functions.configure(name, Timeout=7)
    assert functions.publish(name) == "3", "the same value again is no change"


def test_a_version_does_not_change(functions, lambda_, name):
    """API-105.19, API-147.10, API-148.17,
    CORE-189: updates reach $LATEST alone, and updates of a version are refused."""
    create(functions, name)
    functions.publish(name)
    before = lambda_.get_function_configuration(FunctionName=name, Qualifier="1")
    functions.recode(name, who("two"))
    functions.configure(name, Description="new", Environment={"Variables": {"BB": "2"}})
    after = lambda_.get_function_configuration(FunctionName=name, Qualifier="1")
    assert after["ResponseMetadata"].pop("RequestId") and before["ResponseMetadata"].pop("RequestId")
    assert {k: v for k, v in after.items() if k != "ResponseMetadata"} == {
        k: v for k, v in before.items() if k != "ResponseMetadata"
    }
    assert functions.invoke(name, Qualifier="1").good()["says"] == "one"
    assert functions.invoke(name).good()["says"] == "two"
    invalid = lambda_.exceptions.InvalidParameterValueException
    for named in (f"{name}:1", f"{arn(name)}:1"):
        refused(invalid, lambda_.update_function_configuration, FunctionName=named, Timeout=5)
        refused(invalid, lambda_.update_function_code, FunctionName=named, ZipFile=who("three"))
        refused(invalid, lambda_.publish_version, FunctionName=named)


def test_instances_know_their_version(functions, logs, name):
    """CORE-008, CORE-204, LANG1-040, RT-61: environment, context, log stream, START line and header agree."""
    create(functions, name)
    functions.publish(name)
    for qualifier, version in ((None, "$LATEST"), ("$LATEST", "$LATEST"), ("1", "1")):
        named = {"Qualifier": qualifier} if qualifier else {}
        result = functions.invoke(name, **named)
        found = result.good()
        assert (result.version, found["env"], found["version"]) == (version,) * 3
        assert found["arn"] == (f"{arn(name)}:{qualifier}" if qualifier else arn(name))
        assert f"/[{version}]" in found["stream"]
        lines = function_logs.of_request(logs, name, found["stream"], result.request_id)
        assert f"START RequestId: {result.request_id} Version: {version}\n" in lines


def test_publishing_leaves_instances_alone(functions, name):
    """RT-27: what runs has not changed, so the instance of $LATEST goes on."""
    create(functions, name)
    stream = functions.invoke(name).good()["stream"]
    functions.publish(name)
    assert functions.invoke(name).good()["stream"] == stream


def test_publish_with_create(functions, lambda_, name):
    """API-105.10: version 1 is there, pending and active together with $LATEST."""
    created = create(functions, name, Publish=True)
    assert (created["Version"], created["FunctionArn"], created["State"]) == ("1", arn(name), "Pending")
    waiter = lambda_.get_waiter("published_version_active")
    waiter.wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0.01, "MaxAttempts": 1000})
    assert functions.invoke(name, Qualifier="1").good()["version"] == "1"
    assert functions.publish(name) == "1"


def test_publish_with_code(functions, lambda_, name):
    """API-147.3: the version of the new code, which becomes active with it."""
    create(functions, name)
    answer = lambda_.update_function_code(FunctionName=name, ZipFile=who("two"), Publish=True)
    shown = (answer["Version"], answer["FunctionArn"], answer["State"], answer.get("LastUpdateStatus"))
    assert shown == ("1", f"{arn(name)}:1", "Pending", None)
    functions.updated(name)
    found = lambda_.get_function_configuration(FunctionName=name, Qualifier="1")
    assert (found["State"], found["LastUpdateStatus"]) == ("Active", "Successful")
    assert functions.invoke(name, Qualifier="1").good()["says"] == "two"


def test_preconditions(functions, lambda_, name):
    """API-010, API-137.2, API-137.4: the digest and the revision that the client has in mind."""
    stale = create(functions, name)["RevisionId"]
    current = lambda_.get_function_configuration(FunctionName=name)
    text = refused(
        lambda_.exceptions.InvalidParameterValueException,
        lambda_.publish_version, FunctionName=name, CodeSha256="wrong",
    )  # fmt: skip
    assert text == (
        f"CodeSHA256 (wrong) is different from current CodeSHA256 in $LATEST ({current['CodeSha256']}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    text = refused(
        lambda_.exceptions.PreconditionFailedException,
        lambda_.publish_version, FunctionName=name, RevisionId=stale,
    )  # fmt: skip
    assert text == (
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
        "retrieve the latest Revision Id"
    )
    assert len(lambda_.list_versions_by_function(FunctionName=name)["Versions"]) == 1
    right = {"CodeSha256": current["CodeSha256"], "RevisionId": current["RevisionId"]}
    assert functions.publish(name, **right) == "1"


def test_lists(functions, lambda_, name):
    """API-135, API-130, API-008, API-713, API-629: oldest last published, $LATEST first, qualified, no states."""
    create(functions, name)
    for number in range(1, 13):
        functions.configure(name, Timeout=number)
        assert functions.publish(name) == str(number)
    pages = list(lambda_.get_paginator("list_versions_by_function").paginate(FunctionName=name, PaginationConfig={"PageSize": 5}))
    assert [len(page["Versions"]) for page in pages] == [5, 5, 3]
    versions = [version for page in pages for version in page["Versions"]]
    expected = ["$LATEST", *map(str, range(1, 13))]
    assert [version["Version"] for version in versions] == expected
    assert [version["FunctionArn"] for version in versions] == [f"{arn(name)}:{number}" for number in expected]
    assert not [key for version in versions for key in version if "Status" in key or "State" in key]
    everything = lambda_.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 7})
    mine = [f for page in everything for f in page["Functions"] if f["FunctionName"] == name]
    assert mine == versions
    text = refused(
        lambda_.exceptions.ResourceNotFoundException,
        lambda_.list_versions_by_function, FunctionName=f"{name}-no",
    )  # fmt: skip
    assert text == f"Function not found: {arn(name)}-no"


def test_deletion(functions, lambda_, name):
    """API-108.3, API-505, API-108: one version goes, others stay, and its number is never used again."""
    create(functions, name)
    for timeout in (4, 5):
        functions.configure(name, Timeout=timeout)
        functions.publish(name)
    assert functions.invoke(name, Qualifier="2").good()["version"] == "2"
    lambda_.delete_function(FunctionName=name, Qualifier="2")
    missing = lambda_.exceptions.ResourceNotFoundException
    for call in (lambda_.get_function, lambda_.get_function_configuration, lambda_.invoke):
        assert refused(missing, call, FunctionName=name, Qualifier="2") == f"Function not found: {arn(name)}:2"
    lambda_.delete_function(FunctionName=f"{name}:2")
    assert functions.publish(name) == "3"
    invalid = lambda_.exceptions.InvalidParameterValueException
    text = refused(invalid, lambda_.delete_function, FunctionName=name, Qualifier="$LATEST")
    assert text == "$LATEST version cannot be deleted without deleting the function."
    lambda_.delete_function(FunctionName=name)
    assert refused(missing, functions.invoke, name=name, Qualifier="1") == f"Function not found: {arn(name)}:1"
    text = refused(missing, lambda_.delete_function, FunctionName=name, Qualifier="1")
    assert text == f"Function not found: {arn(name)}"
    create(functions, name)
    assert functions.publish(name) == "1", "a new function counts from 1"


def test_versions_survive_a_kill(own_daemon):
    """CORE-188, CORE-196: versions, aliases and the next number are the same after SIGKILL."""
    client = boto(own_daemon.url, "lambda")
    functions = Functions(client)
    create(functions, "f")
    functions.publish("f")
    functions.recode("f", who("two"))
    functions.publish("f")
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    client.delete_function(FunctionName="f", Qualifier="2")
    own_daemon.restart_after_kill()
    assert functions.invoke("f", Qualifier="live").good()["says"] == "one"
    assert functions.invoke("f").good()["says"] == "two"
    assert functions.publish("f") == "3"


def test_description_limit(functions, lambda_, name):
    """API-078: 256 characters."""
    create(functions, name)
    assert lambda_.publish_version(FunctionName=name, Description="d" * 256)["Description"] == "d" * 256
    with pytest.raises(lambda_.exceptions.ClientError) as refusal:
        lambda_.publish_version(FunctionName=name, Description="d" * 257)
    assert refusal.value.response["Error"]["Code"] == "ValidationException"
