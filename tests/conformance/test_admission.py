"""Admission and pools over HTTP: how fast functions get instances, requests in a second, and room on the machine."""

import concurrent.futures
import json
import urllib.request

import pytest

from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions

#: Tells which instance it is and how it was started.
CODE = """import os, time

def handler(event, context):
    time.sleep(event.get("s", 0))
    return [os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], context.log_stream_name]
"""
PROVISIONED, ON_DEMAND = "provisioned-concurrency", "on-demand"


class Limited:
    """A daemon with limits of its own, and a client for it."""

    def __init__(self, daemon: Daemon):
        self.daemon = daemon
        self.client = boto(daemon.url, "lambda")
        self.functions = Functions(self.client)

    def told(self) -> dict:
        """What the daemon tells of its instances."""
        with urllib.request.urlopen(self.daemon.url + "/_lambd/instances") as answer:
            return json.load(answer)

    def invoke(self, name: str, seconds: float = 0, **more):
        """What the function returns, or the refusal."""
        try:
            return self.functions.invoke(name, {"s": seconds}, **more).good()
        except self.client.exceptions.TooManyRequestsException as refusal:
            return Refusal(refusal.response)

    def at_once(self, name: str, count: int, seconds: float) -> list:
        """The same of many events at one time."""
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.invoke(name, seconds), range(count)))

    def until_refused(self, name: str, **more):
        """Invokes until an event is refused: how many were not, and the refusal."""
        for taken in range(200):
            answer = self.invoke(name, **more)
            if isinstance(answer, Refusal):
                return taken, answer
        raise AssertionError("nothing is ever refused")


class Refusal:
    """Throttling, as a client sees it."""

    def __init__(self, response: dict):
        metadata = response["ResponseMetadata"]
        assert metadata["HTTPStatusCode"] == 429
        assert metadata["HTTPHeaders"]["x-amzn-errortype"] == "TooManyRequestsException"
        self.reason, self.text = response["Reason"], response["Error"]["Message"]
        self.retry_after = int(metadata["HTTPHeaders"]["retry-after"])

    def __repr__(self):
        return f"{self.reason}: {self.text}"


@pytest.fixture
def limited(tmp_path):
    """Starts a daemon with options."""
    daemons = []

    def start(*arguments: str) -> Limited:
        daemons.append(Daemon(tmp_path, arguments=arguments).start())
        return Limited(daemons[0])

    yield start
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.output()


def test_instances_become_more_at_a_pace(limited):
    """CORE-302, CORE-303, CORE-304, CORE-305, W40: a burst, then more by the minute, 429 beyond; idle instances end; the
    numbers agree."""
    lambd = limited("--scaling=region:3+60", "--idle-timeout=1s")
    lambd.functions.python("slow", CODE)
    answers = lambd.at_once("slow", 5, 1)
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(refused) == 2, answers
    assert {(r.reason, r.text, r.retry_after) for r in refused} == {
        ("ConcurrentInvocationLimitExceeded", "Rate Exceeded.", 1)
    }
    assert len({stream for _, stream in (a for a in answers if a not in refused)}) == 3
    told = lambd.told()
    assert (told["counters"]["started"], told["counters"]["throttled_scaling"]) == (3, 2)
    # One a second comes back: the fourth has room now, however many are asked for.
    answers = lambd.at_once("slow", 9, 0.5)
    assert 4 <= sum(not isinstance(answer, Refusal) for answer in answers) <= 5, answers
    assert lambd.told()["instances"]["total"] in (4, 5)
    wait_for(lambda: lambd.told()["instances"]["total"] == 0, "idle instances to end")
    assert lambd.told()["counters"]["expired"] == lambd.told()["counters"]["started"]


def test_requests_in_a_second(limited):
    """CORE-080, API-708, CORE-311: of callers who wait, and of those who do not, each for itself."""
    lambd = limited("--concurrent-executions=3", "--requests-per-execution=1")
    lambd.functions.python("f", CODE)
    taken, refusal = lambd.until_refused("f")
    assert taken >= 3
    assert (refusal.reason, refusal.text) == ("FunctionInvocationRateLimitExceeded", "Rate Exceeded.")
    assert refusal.retry_after == 1
    events = {"FunctionName": "f", "InvocationType": "Event", "Payload": b"{}"}
    with pytest.raises(lambd.client.exceptions.TooManyRequestsException) as refused:
        for _ in range(200):
            lambd.client.invoke(**events)
    refusal = Refusal(refused.value.response)
    assert (refusal.reason, refusal.text) == ("CallerRateLimitExceeded", "Rate exceeded")
    wait_for(lambda: not isinstance(lambd.invoke("f"), Refusal), "the next second")
    assert lambd.told()["counters"]["throttled_rate"] >= 2


def test_requests_for_reserved_executions(limited):
    """CORE-080, API-708: as many as those take, while the account takes more."""
    lambd = limited("--requests-per-execution=1")
    for name in ("f", "g"):
        lambd.functions.python(name, CODE)
    lambd.client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)

    def too_fast():
        # While an event is in progress, another is one too many.
        refusal = lambd.until_refused("f")[1]
        return refusal.reason == "ReservedFunctionInvocationRateLimitExceeded"

    wait_for(too_fast, "requests to come too fast for the reservation")
    for _ in range(5):
        assert not isinstance(lambd.invoke("g"), Refusal)
    wait_for(lambda: not isinstance(lambd.invoke("f"), Refusal), "the next second")


def test_provisioned_instances_have_a_rate_of_their_own(limited):
    """CORE-081, CORE-174, CORE-181, CORE-309, W20: what comes too fast for them spills over, and the metrics tell."""
    lambd = limited("--requests-per-execution=1")
    lambd.functions.python("f", CODE)
    lambd.functions.publish("f")
    lambd.client.put_provisioned_concurrency_config(
        FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    get = lambd.client.get_provisioned_concurrency_config
    wait_for(lambda: get(FunctionName="f", Qualifier="1")["Status"] == "READY", "the instance")
    kinds = [lambd.invoke("f", Qualifier="1")[0] for _ in range(3)]
    assert kinds[0] == PROVISIONED and ON_DEMAND in kinds
    wait_for(lambda: lambd.invoke("f", Qualifier="1")[0] == PROVISIONED, "the next second")
    (metrics,) = lambd.told()["metrics"]["provisioned"]
    assert (metrics["FunctionName"], metrics["Version"]) == ("f", "1")
    assert metrics["ProvisionedConcurrencyInvocations"] >= 2
    assert metrics["ProvisionedConcurrencySpilloverInvocations"] >= 1
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def in_use():
            slow = pool.submit(lambd.invoke, "f", 0.5, Qualifier="1")
            while not slow.done():
                told = lambd.told()["metrics"]
                if told["provisioned"][0]["ProvisionedConcurrencyUtilization"] == 1.0:
                    slow.result()
                    return told
            return None

        told = wait_for(in_use, "the provisioned instance to be in use")
    assert told["provisioned"][0]["ProvisionedConcurrentExecutions"] == 1
    assert (told["ConcurrentExecutions"], told["UnreservedConcurrentExecutions"]) == (1, 0)


def test_a_full_machine(limited):
    """CORE-302, CORE-311: idle instances make room for other functions; then events wait, and not for ever."""
    lambd = limited("--max-instances=2", "--wait-for-room=1s", "--scaling=off")
    for name in ("f", "g", "h"):
        lambd.functions.python(name, CODE)
    streams = {name: lambd.invoke(name)[1] for name in ("f", "g")}
    assert lambd.invoke("f")[1] == streams["f"]
    lambd.invoke("h")
    told = lambd.told()
    assert told["instances"]["most"] == 2 and told["instances"]["total"] <= 2
    assert told["counters"]["evicted_for_room"] == 1
    assert lambd.invoke("f")[1] == streams["f"], "it was g that was not used for longest"
    # Four events for two places: two wait until the first two are done.
    assert not any(isinstance(answer, Refusal) for answer in lambd.at_once("f", 4, 0.3))
    told = lambd.told()
    assert told["counters"]["waited"] >= 2 and told["instances"]["waiting"] == 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(lambd.invoke, "f", 2) for _ in range(2)]
        wait_for(lambda: lambd.told()["metrics"]["ConcurrentExecutions"] == 2, "both to be busy")
        refusal = lambd.invoke("g")
        assert isinstance(refusal, Refusal), refusal
        assert refusal.reason == "ConcurrentInvocationLimitExceeded"
        assert refusal.text == "Rate Exceeded. all 2 instances that this machine has room for are in use"
        assert not any(isinstance(event.result(), Refusal) for event in busy)
    assert lambd.told()["counters"]["throttled_machine"] == 1
    assert "an event is refused" in lambd.daemon.output()


def test_one_function_s_share_of_the_machine(limited):
    """CORE-302: others are not in the way of a function, nor it in theirs."""
    lambd = limited("--max-instances-per-function=1")
    for name in ("f", "g"):
        lambd.functions.python(name, CODE)
    answers = lambd.at_once("f", 3, 0.2)
    assert len({stream for _, stream in answers}) == 1, "one after the other"
    lambd.invoke("g")
    assert lambd.told()["instances"]["total"] == 2


def test_instances_are_recycled(limited):
    """CORE-177: after their time both kinds of instances are initialised anew."""
    lambd = limited("--recycle-after=1s")
    lambd.functions.python("f", CODE)
    lambd.functions.publish("f")
    lambd.client.put_provisioned_concurrency_config(
        FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    wait_for(lambda: lambd.invoke("f", Qualifier="1")[0] == PROVISIONED, "the provisioned instance")
    for more in ({}, {"Qualifier": "1"}):
        kind, first = lambd.invoke("f", **more)

        def another():
            now, stream = lambd.invoke("f", **more)
            return now == kind and stream != first

        wait_for(another, f"another instance {more}")
    assert lambd.told()["counters"]["recycled"] >= 2
    get = lambd.client.get_provisioned_concurrency_config
    assert get(FunctionName="f", Qualifier="1")["AllocatedProvisionedConcurrentExecutions"] == 1


def test_short_memory_ends_idle_instances(limited):
    """CORE-302: where more memory is to stay free than there is, nothing stays idle, and functions run all the same."""
    lambd = limited("--min-free-memory=1000000GB")
    lambd.functions.python("f", CODE)
    first = lambd.invoke("f")[1]
    wait_for(lambda: lambd.told()["instances"]["total"] == 0, "the idle instance to end")
    assert lambd.told()["instances"]["memory_is_short"]
    assert lambd.invoke("f")[1] != first
    assert lambd.told()["counters"]["evicted_for_memory"] >= 1
    assert "free memory is very short" in lambd.daemon.output()


def test_functions_cannot_look(functions, name):
    """What the daemon tells of its instances is not for functions."""
    code = """import json, os, urllib.error, urllib.request

def handler(event, context):
    try:
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_lambd/instances").status
    except urllib.error.HTTPError as refusal:
        return refusal.code
"""
    functions.python(name, code)
    assert functions.invoke(name).good() == 403


@pytest.mark.parametrize(
    "option",
    ["--scaling=region:5", "--requests-per-execution=0", "--max-instances=0", "--idle-timeout=0s", "--recycle-after=soon"],
)
def test_options_that_are_none(tmp_path, option):
    """Refused with the option's name."""
    daemon = Daemon(tmp_path, arguments=[option]).spawn()
    assert daemon.wait_for_exit() == 2
    assert option.split("=")[0] in daemon.output()
