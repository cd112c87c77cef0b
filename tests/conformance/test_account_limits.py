"""Limits that the operator sets, in place of those of the service."""

import concurrent.futures
import os

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import ROLE, Functions, python_runtime

MB = 1 << 20
SLOW = "import time\ndef handler(event, context):\n    time.sleep(event.get('s', 0))\n    return 1\n"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A client of a daemon with small limits."""
    arguments = ["--code-size-zipped=1MB", "--code-size-unzipped=2MB", "--total-code-size=3MB", "--concurrent-executions=3"]
    daemon = Daemon(tmp_path_factory.mktemp("limited"), arguments=arguments).start()
    yield boto(daemon.url, "lambda")
    assert daemon.stop() == 0, daemon.output()


def create(client, name: str, code: bytes):
    return client.create_function(
        FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": code}
    )


def refused(call, *arguments) -> str:
    with pytest.raises(Exception) as refusal:
        call(*arguments)
    return refusal.value.response["Error"]["Code"]


def test_limits_of_code(limited):
    """API-116, API-301, CORE-083: the account's settings tell them, and they are in force."""
    limit = limited.get_account_settings()["AccountLimit"]
    assert (limit["CodeSizeZipped"], limit["CodeSizeUnzipped"], limit["TotalCodeSize"]) == (MB, 2 * MB, 3 * MB)
    noise = os.urandom(900_000)
    assert refused(create, limited, "f", packages.package({"a": noise, "b": noise[:200_000]})) == "RequestEntityTooLargeException"
    assert refused(create, limited, "f", os.urandom(4 * MB)) == "RequestEntityTooLargeException"
    assert refused(create, limited, "f", packages.package({"zeros": bytes(2 * MB + 1)})) == "InvalidParameterValueException"
    for number in range(3):
        create(limited, f"f{number}", packages.package({"app.py": SLOW, "noise": noise}))
    assert refused(create, limited, "f3", packages.package({"noise": noise})) == "CodeStorageExceededException"


def test_limit_of_executions(limited):
    """CORE-071: as many events as that at one time, and not one more."""
    account = limited.get_account_settings()["AccountLimit"]
    assert (account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"]) == (3, 3)
    functions = Functions(limited)
    functions.python("slow", SLOW)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        running = [pool.submit(admitted, functions) for _ in range(3)]
        refusal = wait_for(lambda: throttled(functions), "an event to be refused")
        assert refusal == "ConcurrentInvocationLimitExceeded"
        assert [future.result().good() for future in running] == [1, 1, 1]
    assert functions.invoke("slow").good() == 1


def admitted(functions):
    """The result of an event that takes long, which may have to wait until it is let in."""
    while True:
        try:
            return functions.invoke("slow", {"s": 1})
        except functions.client.exceptions.TooManyRequestsException:
            continue


def throttled(functions):
    """The reason for which an event is refused, if it is."""
    try:
        functions.invoke("slow")
    except functions.client.exceptions.TooManyRequestsException as refusal:
        return refusal.response["Reason"]
    return None


@pytest.mark.parametrize("option", ["--code-size-zipped=1.5MB", "--total-code-size=0", "--concurrent-executions=0"])
def test_limits_that_are_none(tmp_path, option):
    """Refused with the option's name."""
    daemon = Daemon(tmp_path, arguments=[option]).spawn()
    assert daemon.wait_for_exit() == 2
    assert option.split("=")[0] in daemon.output()
