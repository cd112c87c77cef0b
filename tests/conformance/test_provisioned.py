"""Provisioned concurrency: real instances that are there before the first event."""

import concurrent.futures
import datetime
import os
import re
import signal

import pytest

from harness import packages
from harness.clients import ACCOUNT, boto
from harness.daemon import wait_for
from harness.functions import Functions, arn
from harness.processes import marked

#: Tells which instance it is, how it was started, and whether this event is its first.
CODE = """import os, time

events = 0


def handler(event, context):
    global events
    events += 1
    time.sleep(event.get("s", 0))
    if event.get("exit"):
        os._exit(1)
    kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    return [kind, context.log_stream_name, events, context.function_version]
"""
PROVISIONED, ON_DEMAND = "provisioned-concurrency", "on-demand"
PATH = "/2019-09-30/functions/{}/provisioned-concurrency"


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


def invalid(text: str) -> tuple:
    return "InvalidParameterValueException", text


def conflict(text: str) -> tuple:
    return "ResourceConflictException", text


class Provisioning:
    """Provisioned concurrency of one function."""

    def __init__(self, client, name: str):
        self.client, self.name = client, name
        self.functions = Functions(client)

    def put(self, qualifier: str, executions: int, ready: bool = True) -> dict:
        """Asks for instances, and waits until they are there."""
        answer = self.client.put_provisioned_concurrency_config(
            FunctionName=self.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=executions
        )
        if ready:
            self.wait(qualifier, "READY")
        return answer

    def get(self, qualifier: str) -> dict:
        """The answer without its metadata."""
        answer = self.client.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def wait(self, qualifier: str, status: str) -> dict:
        """Waits until the allocation has come this far."""

        def reached():
            found = self.get(qualifier)
            return found if found["Status"] == status else None

        return wait_for(reached, f"{self.name}:{qualifier} to be {status}")

    def delete(self, qualifier: str) -> int:
        """Gives the instances up and returns the status."""
        answer = self.client.delete_provisioned_concurrency_config(FunctionName=self.name, Qualifier=qualifier)
        return answer["ResponseMetadata"]["HTTPStatusCode"]

    def invoke(self, qualifier: str, **event) -> list:
        """Kind, log stream, number of the event in its instance, and version."""
        return self.functions.invoke(self.name, event, Qualifier=qualifier).good()


@pytest.fixture
def provisioning(lambda_, name):
    """A function with a version, an alias to it, and a mark in its environment."""
    made = Provisioning(lambda_, name)
    made.functions.python(name, CODE, Environment={"Variables": {"PYTHON_MARK": f"mark-{name}-{os.getpid()}-"}})
    made.functions.publish(name)
    lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield made
    try:
        lambda_.delete_function(FunctionName=name)
    except lambda_.exceptions.ResourceNotFoundException:
        pass


@pytest.fixture
def account(shared_daemon):
    """An account of this test's own: what is left of an account is nobody else's business then."""
    client = boto(shared_daemon.url, "lambda", key="321098765432")
    yield client
    for function in client.list_functions()["Functions"]:
        client.delete_function(FunctionName=function["FunctionName"])


def processes(name: str) -> int:
    """Processes of a function."""
    return len(marked(f"mark-{name}-{os.getpid()}-"))


def test_a_life(provisioning, lambda_, name):
    """API-112, API-124, API-124.3..7, API-140, API-140.4, API-162, CORE-172, CORE-175, CORE-307, W20: from the request to the end."""
    assert error(provisioning.get, qualifier="live") == (
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    )
    asked = provisioning.put("live", 2, ready=False)
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert asked["Status"] == "IN_PROGRESS"
    assert asked["RequestedProvisionedConcurrentExecutions"] == 2
    assert asked["AllocatedProvisionedConcurrentExecutions"] == 0
    changed = datetime.datetime.strptime(asked["LastModified"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs(datetime.datetime.now(datetime.timezone.utc) - changed) < datetime.timedelta(minutes=1)
    assert provisioning.wait("live", "READY") == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 2,
        "Status": "READY",
        "LastModified": asked["LastModified"],
    }
    kind, stream, events, version = provisioning.invoke("live")
    assert (kind, events, version) == (PROVISIONED, 1, "1")
    assert provisioning.invoke("1")[:3] == [PROVISIONED, stream, 2], "the version's instances, however it is named"
    assert provisioning.invoke("$LATEST")[0] == ON_DEMAND
    assert [provisioning.delete("live") for _ in range(2)] == [204, 204]
    assert error(provisioning.get, qualifier="live")[0] == "ProvisionedConcurrencyConfigNotFoundException"
    assert provisioning.invoke("live")[0] == ON_DEMAND
    lambda_.delete_function(FunctionName=name)
    wait_for(lambda: processes(name) == 0, "the instances to end")


def test_the_first_event_does_not_initialise(functions, lambda_, name):
    """CORE-172, CORE-177: the time of the initialisation is told with the first event, and is not part of it."""
    provisioning = Provisioning(lambda_, name)
    slow = "import time\ntime.sleep(0.3)\nprint('initialised')\n" + CODE
    functions.python(name, slow, MemorySize=256)
    functions.publish(name)
    provisioning.put("1", 1)
    first, second = (functions.invoke(name, Qualifier="1") for _ in range(2))
    report = {key: float(number) for key, number in re.findall(r"\t([A-Z][\w ]+): ([\d.]+) ms", first.log)}
    assert report["Init Duration"] >= 300 and report["Duration"] < 250 and report["Billed Duration"] < 250
    assert first.good()[0] == PROVISIONED and "initialised" in first.log
    assert "Init Duration" not in second.log
    lambda_.delete_function(FunctionName=name)


def test_too_much_spills_over(provisioning):
    """CORE-174: what the provisioned instances have no room for gets others, which then are of the ordinary kind."""
    provisioning.put("live", 2)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        running = [pool.submit(provisioning.invoke, "live", s=0.4) for _ in range(3)]
        wait_for(lambda: provisioning.get("live")["AvailableProvisionedConcurrentExecutions"] == 0, "two events")
        found = [future.result() for future in running]
    assert sorted(kind for kind, *_ in found) == [ON_DEMAND, PROVISIONED, PROVISIONED]
    assert len({stream for _, stream, *_ in found}) == 3
    assert provisioning.invoke("live")[0] == PROVISIONED
    state = provisioning.get("live")
    assert state["AvailableProvisionedConcurrentExecutions"] == state["AllocatedProvisionedConcurrentExecutions"] == 2


def test_more_and_fewer(provisioning, name):
    """API-140: another number changes what is missing or too much, and leaves the rest."""
    provisioning.put("live", 1)
    stream = provisioning.invoke("live")[1]
    provisioning.put("live", 2)
    provisioning.put("live", 1)
    assert provisioning.invoke("live")[:3] == [PROVISIONED, stream, 2]
    assert provisioning.get("live")["AllocatedProvisionedConcurrentExecutions"] == 1


def test_instances_that_end_are_replaced(provisioning, name):
    """CORE-172: one that is killed while it is idle, and one that ends at its event."""
    provisioning.put("live", 1)
    stream = provisioning.invoke("live")[1]
    for process in marked(f"mark-{name}-{os.getpid()}-"):
        os.kill(process, signal.SIGKILL)

    def replaced():
        # One event may meet it: what is frozen dies only when it is woken, by older kernels.
        found = provisioning.functions.invoke(name, Qualifier="live")
        fresh = found.error is None and found.value[0] == PROVISIONED and found.value[1] != stream
        return found.value if fresh else None

    _, second, events, _ = wait_for(replaced, "another instance")
    assert events == 1
    assert provisioning.functions.invoke(name, {"exit": True}, Qualifier="live").error == "Unhandled"
    provisioning.wait("live", "READY")
    kind, third, events, _ = provisioning.invoke("live")
    assert (kind, events) == (PROVISIONED, 1) and third not in (stream, second)


def test_they_move_with_their_alias(provisioning, lambda_, name):
    """CORE-179, W20: the old version's instances end, and the new one's are made as soon as it is there."""
    provisioning.put("live", 1)
    old = provisioning.invoke("live")[1]
    code = packages.package({"app.py": CODE + "\n"})
    assert lambda_.update_function_code(FunctionName=name, ZipFile=code, Publish=True)["Version"] == "2"
    lambda_.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    state = provisioning.wait("live", "READY")
    assert state["RequestedProvisionedConcurrentExecutions"] == 1
    kind, new, events, version = provisioning.invoke("live")
    assert (kind, events, version) == (PROVISIONED, 1, "2") and new != old
    assert provisioning.invoke("1")[0] == ON_DEMAND
    assert error(lambda_.update_alias, FunctionName=name, Name="live", FunctionVersion="$LATEST") == invalid(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    lambda_.delete_alias(FunctionName=name, Name="live")
    assert provisioning.invoke("2")[0] == ON_DEMAND, "they end with their alias"
    assert lambda_.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_another_network_makes_other_instances(provisioning, lambda_, name):
    """CORE-172: an instance has one network for all of its life."""
    provisioning.put("live", 1)
    old = provisioning.invoke("live")[1]
    lambda_.tag_resource(Resource=arn(name), Tags={"lambd:network": "none"})
    provisioning.wait("live", "READY")
    kind, new, events, _ = provisioning.invoke("live")
    assert (kind, events) == (PROVISIONED, 1) and new != old


def test_one_for_each_version(provisioning, lambda_, name):
    """CORE-178, W20: on the version or on one alias that leads to it."""
    lambda_.create_alias(FunctionName=name, Name="other", FunctionVersion="1")
    lambda_.create_alias(FunctionName=name, Name="unpublished", FunctionVersion="$LATEST")
    unpublished = invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
    for qualifier in ("$LATEST", "unpublished"):
        assert error(provisioning.put, qualifier=qualifier, executions=1) == unpublished
    provisioning.put("live", 1, ready=False)
    taken = conflict("Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
    assert error(provisioning.put, qualifier="other", executions=1) == taken
    assert error(provisioning.put, qualifier="1", executions=1) == conflict(
        "Version is pointed by a Provisioned Concurrency alias"
    )
    provisioning.functions.recode(name, packages.package({"app.py": CODE + "\n"}))
    provisioning.functions.publish(name)
    provisioning.put("2", 1, ready=False)
    assert error(lambda_.update_alias, FunctionName=name, Name="live", FunctionVersion="2") == taken
    lambda_.delete_function(FunctionName=name, Qualifier="2")
    configured = lambda_.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert [item["FunctionArn"] for item in configured] == [arn(name) + ":live"]


def test_an_alias_with_weights(provisioning, lambda_, name):
    """CORE-180: weights may come to it; while they are there its settings stay, and its first version is served."""
    provisioning.functions.recode(name, packages.package({"app.py": CODE + "\n"}))
    provisioning.functions.publish(name)
    provisioning.put("live", 1)
    weights = {"AdditionalVersionWeights": {"2": 1.0}}
    lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig=weights)
    refused = invalid("Alias with weights can not be used with Provisioned Concurrency")
    assert error(provisioning.put, qualifier="live", executions=2) == refused
    assert error(provisioning.delete, qualifier="live") == refused
    assert provisioning.get("live")["Status"] == "READY"
    assert provisioning.invoke("live")[0] == ON_DEMAND, "of the second version there are none"
    lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert provisioning.invoke("live")[0] == PROVISIONED
    assert provisioning.delete("live") == 204


def test_a_broken_function(functions, lambda_, name):
    """API-090, API-124.8: one that cannot be initialised says so, and its events still get the error."""
    provisioning = Provisioning(lambda_, name)
    functions.python(name, "raise ValueError('broken')\n")
    functions.publish(name)
    provisioning.put("1", 2, ready=False)
    failed = provisioning.wait("1", "FAILED")
    assert failed["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert failed["AllocatedProvisionedConcurrentExecutions"] == 0
    assert functions.invoke(name, Qualifier="1").failed("ValueError")["errorMessage"] == "broken"
    lambda_.delete_function(FunctionName=name)


def test_the_list(provisioning, lambda_, name):
    """API-007, API-133, API-133.2, API-133.4, API-223: of the function's versions and aliases, page by page."""
    for number in (2, 3):
        provisioning.functions.recode(name, packages.package({"app.py": CODE + "\n" * number}))
        provisioning.functions.publish(name)
        provisioning.put(str(number), 1, ready=False)
    provisioning.put("live", 1)
    for qualifier in ("2", "3"):
        provisioning.wait(qualifier, "READY")
    listed = lambda_.list_provisioned_concurrency_configs
    everything = listed(FunctionName=name)
    assert "NextMarker" not in everything
    found = everything["ProvisionedConcurrencyConfigs"]
    qualifiers = ["2", "3", "live"]
    assert found == [{"FunctionArn": f"{arn(name)}:{q}", **provisioning.get(q)} for q in qualifiers]
    pages = lambda_.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["ProvisionedConcurrencyConfigs"]) for page in pages] == [2, 1]
    assert error(listed, FunctionName=f"{name}-no") == (
        "ResourceNotFoundException", f"Function not found: {arn(name)}-no",
    )  # fmt: skip


@pytest.mark.parametrize("form", ["{}", f"{ACCOUNT}:function:{{}}", arn("{}")])
def test_names_of_the_function(provisioning, lambda_, name, form):
    """API-112.1, API-124.1, API-133.1, API-140.1: a name, a partial ARN, an ARN."""
    named = Provisioning(lambda_, form.format(name))
    named.put("live", 1)
    assert named.get("live") == provisioning.get("live")
    assert len(lambda_.list_provisioned_concurrency_configs(FunctionName=named.name)["ProvisionedConcurrencyConfigs"]) == 1
    assert named.delete("live") == 204
    assert error(provisioning.get, qualifier="live")[0] == "ProvisionedConcurrencyConfigNotFoundException"


def test_limits(account):
    """CORE-167, CORE-171, CORE-173, API-113: taken from the function's reservation, or from what all share."""
    provisioning = Provisioning(account, "limited")
    provisioning.functions.python("limited", CODE)
    provisioning.functions.publish("limited")

    def unreserved() -> int:
        return account.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]

    def reserve(executions: int):
        account.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=executions)

    assert error(provisioning.put, qualifier="1", executions=1001) == invalid(
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
    )
    assert error(provisioning.put, qualifier="1", executions=901) == invalid(
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    provisioning.put("1", 2)
    assert unreserved() == 998
    assert error(reserve, executions=1) == invalid(
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    reserve(2)
    assert unreserved() == 998
    assert "Status" in provisioning.get("1")
    assert account.get_function_concurrency(FunctionName="limited")["ReservedConcurrentExecutions"] == 2
    assert error(provisioning.put, qualifier="1", executions=3) == invalid(
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    assert provisioning.invoke("1")[0] == PROVISIONED
    with pytest.raises(account.exceptions.TooManyRequestsException) as refusal:
        provisioning.invoke("$LATEST")
    assert refusal.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    provisioning.delete("1")
    assert provisioning.invoke("$LATEST")[0] == ON_DEMAND


def test_they_come_back(own_daemon):
    """CORE-004, CORE-172: after a crash of the daemon, with what they were asked for."""
    provisioning = Provisioning(boto(own_daemon.url, "lambda"), "kept")
    provisioning.functions.python("kept", CODE)
    provisioning.functions.publish("kept")
    provisioning.client.create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
    provisioning.put("live", 2)
    before = provisioning.get("live")
    old = provisioning.invoke("live")[1]
    own_daemon.restart_after_kill()
    assert provisioning.wait("live", "READY") == before
    kind, new, events, _ = provisioning.invoke("live")
    assert (kind, events) == (PROVISIONED, 1) and new != old
    provisioning.delete("live")
    own_daemon.restart_after_kill()
    assert error(provisioning.get, qualifier="live")[0] == "ProvisionedConcurrencyConfigNotFoundException"
    assert provisioning.invoke("live")[0] == ON_DEMAND


QUALIFIER = "Value null at 'qualifier' failed to satisfy constraint: Member must not be null"
BAD = {
    "none": ("PUT", "?Qualifier=1", 0, "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1"),
    "absent": ("PUT", "?Qualifier=1", None, "1 validation error detected: Value null at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must not be null"),
    "both": ("PUT", "", None, "2 validation errors detected: Value null at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must not be null; " + QUALIFIER),
    "get-unqualified": ("GET", "", None, "1 validation error detected: " + QUALIFIER),
    "delete-unqualified": ("DELETE", "", None, "1 validation error detected: " + QUALIFIER),
    "page": ("GET", "?List=ALL&MaxItems=51", None, "1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 50"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(wire, case):
    """API-112, API-112.2, API-124.2, API-133.3, API-140.2, API-140.3, API-706."""
    method, query, executions, text = BAD[case]
    body = {} if executions is None else {"ProvisionedConcurrentExecutions": executions}
    reply = wire.json(method, PATH.format("no-such-function") + query, body if method == "PUT" else None)
    assert (reply.error, reply.message) == ("ValidationException", text)


def test_what_does_not_exist(functions, lambda_, name):
    """API-124.9, API-306, API-307: versions, aliases and functions, each in its own words."""
    functions.python(name, CODE)
    existing = invalid("The function resource provided must be an alias or a published version.")
    for call, more in (
        (lambda_.put_provisioned_concurrency_config, {"ProvisionedConcurrentExecutions": 1}),
        (lambda_.get_provisioned_concurrency_config, {}),
        (lambda_.delete_provisioned_concurrency_config, {}),
    ):
        for function in (name, f"{name}-no"):
            assert error(call, FunctionName=function, Qualifier="7", **more) == (
                "ResourceNotFoundException", f"Function not found: {arn(function)}:7",
            )  # fmt: skip
            assert error(call, FunctionName=function, Qualifier="no", **more) == (
                "ResourceNotFoundException", f"Cannot find alias arn: {arn(function)}:no",
            )  # fmt: skip
        if not more:
            assert error(call, FunctionName=name, Qualifier="$LATEST") == existing
