"""Go functions: programs that are built with aws-lambda-go, as they are."""

import base64
import json
import os

import pytest

from harness import packages
from harness.functions import arn


@pytest.fixture(scope="module")
def program():
    """The program of the functions in tests/go."""
    path = os.environ.get("LAMBD_GO_FUNCTIONS")
    if not path:
        raise RuntimeError("LAMBD_GO_FUNCTIONS must name the program of tests/go; `cargo xtask test` builds it")
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture
def go(functions, program, name):
    """Makes the test's function with one of the handlers, as go1.x or as a custom runtime."""

    def make(handler, runtime="go1.x"):
        file = "main" if runtime == "go1.x" else "bootstrap"
        code = packages.package({file: program}, {file: packages.PROGRAM})
        functions.create(name, code, runtime, "main", Environment={"Variables": {"HANDLER": handler}})
        return lambda event=None, **parameters: functions.invoke(name, event, **parameters)

    return make


@pytest.mark.parametrize("runtime", ["go1.x", "provided.al2023"])
def test_hello(go, runtime):
    """LANG2-003, LANG2-005, LANG2-006, LANG2-008: the handler's name is the executable's."""
    assert go("hello", runtime)({"name": "Jim"}).good() == "Hello Jim!"


def test_globals_live(go):
    """LANG2-012"""
    invoke = go("counter")
    assert [invoke().good() for _ in range(3)] == [1, 2, 3]


def test_an_error_and_a_panic(go, functions, name):
    """LANG2-025, LANG2-012: the library's own documents."""
    invoke = go("onlyErrors")
    assert json.loads(invoke().payload) == {"errorMessage": "something went wrong!", "errorType": "errorString"}
    functions.configure(name, Environment={"Variables": {"HANDLER": "crash"}})
    document = invoke().failed("string")
    assert document["errorMessage"] == "out of order"
    assert any(frame["label"] == "crash" for frame in document["stackTrace"])


def test_context(go, name):
    """LANG2-020, LANG2-021, LANG2-022, LANG2-045"""
    client = base64.b64encode(json.dumps({"custom": {"key": "value"}}).encode()).decode()
    result = go("look")({}, ClientContext=client)
    found = result.good()
    left = found.pop("Left")
    assert 0 < left <= 3000
    assert found == {
        "Function": name, "Version": "$LATEST", "Group": f"/aws/lambda/{name}", "Memory": 128,
        "RequestID": result.request_id, "Arn": arn(name), "Execution": "AWS_Lambda_go1.x", "Custom": "value",
    }  # fmt: skip


def test_payloads_and_output(go):
    """LANG2-032: six megabytes both ways, and what is printed as it is."""
    text = "\u00e9" * 1_000_000
    result = go("echo")(text)
    assert result.good() == text
    assert f"echoing {len(json.dumps(text))}\n" in result.log


def test_a_wrong_handler(go, functions, name):
    """LANG2-190"""
    invoke = go("hello")
    functions.configure(name, Handler="other")
    error = invoke().failed("Runtime.InvalidEntrypoint")
    assert error["errorMessage"].endswith("fork/exec /var/task/other: no such file or directory")


def test_a_program_from_before_the_runtime_api(functions, name):
    """It is not waited for until a timeout that explains nothing."""
    functions.create(name, packages.package({"main": b"\x7fELF _LAMBDA_SERVER_PORT"}, {"main": packages.PROGRAM}), "go1.x", "main")
    error = functions.invoke(name).failed("Runtime.InvalidEntrypoint")
    assert "build it with version 1.18 of aws-lambda-go or a later one" in error["errorMessage"]
