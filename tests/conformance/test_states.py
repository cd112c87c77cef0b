"""States of functions: what is told while work goes on behind an answer, what is allowed meanwhile, what a
crash leaves. The package that these tests use takes some time to unpack, so that there is something to see."""

import concurrent.futures
import threading

import pytest

from harness import packages
from harness.clients import boto
from harness.functions import ROLE, Functions, arn, python_runtime

MB = 1024 * 1024
CREATING = ("The function is being created.", "Creating")


def large(says: str) -> bytes:
    """A small zip of 240 MB, with a handler that says something."""
    source = f"def handler(event, context):\n    return {says!r}\n"
    return packages.package({"app.py": source, "zeros": bytes(120 * MB), "more-zeros": bytes(120 * MB)})


@pytest.fixture(scope="module")
def slow_packages():
    """Two of them, made once."""
    return large("old"), large("new")


def begin(client, name: str, code: bytes, **settings) -> dict:
    """Creates a function and does not wait."""
    return client.create_function(
        FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": code},
        **settings,
    )  # fmt: skip


def conflict(client, call, **parameters) -> str:
    """The text of the conflict that a call must end in."""
    with pytest.raises(client.exceptions.ResourceConflictException) as refusal:
        call(**parameters)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    return refusal.value.response["Error"]["Message"]


def update(document: dict) -> tuple:
    """What a document tells of the last update."""
    return tuple(document.get(f"LastUpdateStatus{part}") for part in ("", "Reason", "ReasonCode"))


def test_creation(functions, lambda_, name, slow_packages):
    """CORE-295, CORE-296, CORE-297, API-081..083, API-105.18, API-710: Pending with its reason, and closed to
    everything that needs the function, then Active."""
    created = begin(lambda_, name, slow_packages[0])
    assert (created["State"], created["StateReason"], created["StateReasonCode"]) == ("Pending", *CREATING)
    assert update(created) == (None, None, None)
    shown = lambda_.get_function_configuration(FunctionName=name)
    assert (shown["State"], shown["RevisionId"]) == ("Pending", created["RevisionId"])
    text = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    for call, parameters in (
        (lambda_.invoke, {}),
        (lambda_.invoke, {"InvocationType": "Event"}),
        (lambda_.update_function_code, {"ZipFile": slow_packages[1]}),
        (lambda_.update_function_configuration, {"Timeout": 4}),
        (lambda_.publish_version, {}),
    ):
        assert conflict(lambda_, call, FunctionName=name, **parameters) == text
    assert lambda_.get_function_configuration(FunctionName=name)["State"] == "Pending", "all that was in time"
    functions.active(name)
    active = lambda_.get_function_configuration(FunctionName=name)
    assert (active["State"], update(active)) == ("Active", ("Successful", None, None))
    assert "StateReason" not in active and "StateReasonCode" not in active
    assert active["RevisionId"] != created["RevisionId"]
    assert functions.invoke(name).good() == "old"


def test_update(functions, lambda_, name, slow_packages):
    """CORE-298, API-083, API-148.16: InProgress with its reason, what was there before still runs, other changes
    are refused, and an alias can be made all the same."""
    functions.python(name, "def handler(event, context):\n    return 'before'\n")
    changed = lambda_.update_function_code(FunctionName=name, ZipFile=slow_packages[1])
    assert changed["CodeSha256"] == packages.sha256(slow_packages[1])
    assert (changed["State"], update(changed)) == ("Active", ("InProgress", *CREATING))
    assert functions.invoke(name).good() == "before"
    text = f"The operation cannot be performed at this time. An update is in progress for resource: {arn(name)}"
    for call, parameters in (
        (lambda_.update_function_code, {"ZipFile": slow_packages[0]}),
        (lambda_.update_function_configuration, {"Timeout": 4}),
        (lambda_.publish_version, {}),
    ):
        assert conflict(lambda_, call, FunctionName=name, **parameters) == text
    lambda_.create_alias(FunctionName=name, Name="dev", FunctionVersion="$LATEST")
    assert functions.invoke(name, Qualifier="dev").good() == "before"
    assert update(lambda_.get_function_configuration(FunctionName=name))[0] == "InProgress", "all that was in time"
    functions.updated(name)
    assert update(lambda_.get_function_configuration(FunctionName=name)) == ("Successful", None, None)
    assert functions.invoke(name).good() == functions.invoke(name, Qualifier="dev").good() == "new"


def test_settings_are_in_force_at_once(functions, lambda_, name):
    """CORE-149, API-148: nothing has to be made ready for them, and the answer says so."""
    functions.python(name, "import os\ndef handler(event, context):\n    return os.environ['AA']\n")
    for value in ("1", "2"):
        changed = lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": {"AA": value}})
        assert (changed["State"], update(changed)) == ("Active", ("Successful", None, None))
        assert functions.invoke(name).good() == value


def test_deletion_during_creation(functions, lambda_, name, slow_packages):
    """API-108, CORE-298: a function can go before it is there, and another takes its name."""
    begin(lambda_, name, slow_packages[0])
    lambda_.delete_function(FunctionName=name)
    functions.python(name, "def handler(event, context):\n    return 'next'\n")
    assert functions.invoke(name).good() == "next"
    assert lambda_.get_function_configuration(FunctionName=name)["State"] == "Active"


def test_creation_goes_on_after_a_kill(own_daemon, slow_packages):
    """CORE-295, API-105: what was acknowledged becomes active, by whichever daemon."""
    client = boto(own_daemon.url, "lambda")
    functions = Functions(client)
    begin(client, "f", slow_packages[0], Publish=True)
    own_daemon.restart_after_kill()
    functions.active("f")
    assert functions.invoke("f").good() == functions.invoke("f", Qualifier="1").good() == "old"


def test_an_update_goes_on_after_a_kill(own_daemon, slow_packages):
    """CORE-298, API-147: until the update is done, the next daemon runs what was there before."""
    client = boto(own_daemon.url, "lambda")
    functions = Functions(client)
    functions.create("f", slow_packages[0], python_runtime())
    client.update_function_code(FunctionName="f", ZipFile=slow_packages[1])
    own_daemon.restart_after_kill()
    found = functions.invoke("f").good()
    settled = update(client.get_function_configuration(FunctionName="f"))[0] == "Successful"
    assert found == "old" or settled
    functions.updated("f")
    assert functions.invoke("f").good() == "new"


def test_a_failed_package_fails_after_a_kill_too(own_daemon):
    """API-081, API-610: a package that cannot be unpacked is found out by the next daemon."""
    client = boto(own_daemon.url, "lambda")
    lying = packages.declared_size(packages.package({"zeros": bytes(300 * MB)}), 10)
    begin(client, "f", lying)
    own_daemon.restart_after_kill()
    with pytest.raises(Exception, match="Waiter FunctionActiveV2 failed"):
        Functions(client).active("f")
    found = client.get_function_configuration(FunctionName="f")
    assert (found["State"], found["StateReasonCode"]) == ("Failed", "InvalidZipFileException")


def test_racing_clients_lose_nothing(functions, daemon, name):
    """API-010, API-013, API-137: two clients that change and publish one function at the same time. Each update
    that was acknowledged is seen in what was published, no number is given twice, no version is torn."""
    functions.python(name, "import os\ndef handler(event, context):\n    return os.environ['PAIR']\n", Environment={"Variables": {"PAIR": "0"}})
    clients = [boto(daemon.url, "lambda") for _ in range(2)]
    barrier = threading.Barrier(2)

    def change(number: int) -> list:
        client, seen = clients[number], []
        for turn in range(25):
            barrier.wait()
            mark = f"{number}-{turn}"
            revision = client.get_function_configuration(FunctionName=name)["RevisionId"]
            try:
                changed = client.update_function_configuration(
                    FunctionName=name, Description=mark, Environment={"Variables": {"PAIR": mark}}, RevisionId=revision
                )
            except client.exceptions.PreconditionFailedException:
                seen.append(("refused", mark))
                continue
            assert changed["Description"] == mark
            version = client.publish_version(FunctionName=name)
            seen.append((version["Version"], mark))
        return seen

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        seen = [entry for found in pool.map(change, range(2)) for entry in found]
    versions = [
        version
        for page in clients[0].get_paginator("list_versions_by_function").paginate(FunctionName=name)
        for version in page["Versions"]
    ][1:]
    assert [version["Version"] for version in versions] == [str(n + 1) for n in range(len(versions))]
    # One of two rivals with the same revision always wins; both may, one after the other.
    marks = {version["Description"] for version in versions}
    accepted = {mark for version, mark in seen if version != "refused"}
    assert len(accepted) >= 25
    assert marks <= accepted
    for version in versions:
        assert version["Environment"]["Variables"]["PAIR"] == version["Description"]
    # Whatever a client published is its own change or one that came after it.
    for number, mark in seen:
        if number != "refused":
            turn = int(mark.split("-")[1])
            assert int(versions[int(number) - 1]["Description"].split("-")[1]) >= turn
    last = versions[-1]
    assert functions.invoke(name, Qualifier=last["Version"]).good() == last["Description"]


def test_racing_updates_all_arrive(functions, daemon, name):
    """API-010: changes of different settings without a revision do not undo each other."""
    functions.python(name, "def handler(event, context):\n    return 1\n")
    clients = [boto(daemon.url, "lambda") for _ in range(2)]

    def change(number: int):
        for turn in range(20):
            setting = {"Timeout": turn + 1} if number else {"MemorySize": 128 + turn}
            clients[number].update_function_configuration(FunctionName=name, **setting)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(change, range(2)))
    found = clients[0].get_function_configuration(FunctionName=name)
    assert (found["Timeout"], found["MemorySize"]) == (20, 147)
