"""Invoke: types, log tail, payload rules, qualifiers, concurrency."""

import concurrent.futures
import json
import re

import pytest

from harness import packages
from harness.functions import arn

COUNT = "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n"
ECHO = "def handler(event, context):\n    return event\n"


def test_dry_run_does_not_run(functions, lambda_, wire, name):
    """API-125.7, API-125.17: 204 without a body, nothing runs, and what is wrong is still said."""
    functions.python(name, COUNT)
    answer = lambda_.invoke(FunctionName=name, InvocationType="DryRun", Payload=b"{}")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""
    assert functions.invoke(name).good() == 1
    reply = wire.invoke(f"{name}-not", b"{}", {"X-Amz-Invocation-Type": "DryRun"})
    assert (reply.status, reply.error) == (404, "ResourceNotFoundException")


def test_log_tail_is_the_last_4_kb(functions, name):
    """API-125.10, CORE-057, LANG1-052, LANG1-053: at most 4 KB, the end is kept."""
    functions.python(name, "def handler(event, context):\n    for n in range(1000):\n        print('line', n)\n")
    result = functions.invoke(name)
    assert 2048 < len(result.log.encode()) <= 4096
    assert "line 999\n" in result.log
    assert "line 0\n" not in result.log
    assert re.search(
        rf"END RequestId: {result.request_id}\nREPORT RequestId: {result.request_id}\t.*\n\Z", result.log
    )


def test_no_tail_unless_asked(functions, lambda_, name):
    """API-087: LogType None, the default, gives no log."""
    functions.python(name, ECHO)
    for parameters in ({}, {"LogType": "None"}):
        assert "LogResult" not in lambda_.invoke(FunctionName=name, Payload=b"1", **parameters)


def test_response_headers(functions, wire, name):
    """API-125, API-125.11, API-166, API-125.8, API-709, CORE-246: status, version and request id come as headers."""
    functions.python(name, ECHO)
    reply = wire.invoke(name, b'{"a": 1}')
    assert reply.status == 200
    assert reply.headers["X-Amz-Executed-Version"] == "$LATEST"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.headers["x-amzn-RequestId"])
    assert reply.headers["Content-Type"] == "application/json"
    assert "X-Amz-Function-Error" not in reply.headers
    assert "X-Amz-Log-Result" not in reply.headers
    assert reply.json() == {"a": 1}


def test_payload_that_is_not_json(functions, wire, name):
    """CORE-249, API-303, W33: the error of the guide, word for word."""
    functions.python(name, COUNT)
    reply = wire.invoke(name, b"value")
    assert (reply.status, reply.error) == (400, "InvalidRequestContentException")
    assert reply.message == (
        "Could not parse request body into json: Unrecognized token 'value': was expecting "
        "('true', 'false' or 'null')\n at [Source: (byte[])\"value\"; line: 1, column: 11]"
    )
    assert functions.invoke(name).good() == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"a": }',
        b"[1, 2",
        b"{'a': 1}",
        b'"open',
        b"1 2",
        b"nul",
        b'{"a": 01}',
        b"\xff\xfe",
        b'"\x01"',
        b'{"a"}',
    ],
    ids=repr,
)
def test_broken_json(functions, wire, name, payload):
    """API-125.20, API-303: every kind of broken JSON is refused before the function runs."""
    functions.python(name, COUNT)
    reply = wire.invoke(name, payload)
    assert (reply.status, reply.error) == (400, "InvalidRequestContentException")
    assert reply.message.startswith("Could not parse request body into json: ")
    assert functions.invoke(name).good() == 1


def test_deeply_nested_json(functions, wire, daemon, name):
    """API-303: nesting that would break a recursive parser breaks nothing here."""
    functions.python(name, "def handler(event, context):\n    return 'ran'\n")
    depth = 100_000
    reply = wire.invoke(name, b"[" * depth + b"]" * depth)
    assert reply.status in (200, 400)
    assert wire.invoke(name, b"[" * depth).status == 400
    assert daemon.healthy()


def test_payload_too_large(functions, wire, name):
    """CORE-082, API-310: more than 6 MB is 413."""
    functions.python(name, COUNT)
    reply = wire.invoke(name, b'"' + b"x" * (6 * 1024 * 1024 + 200) + b'"')
    assert (reply.status, reply.error) == (413, "RequestTooLargeException")
    assert functions.invoke(name).good() == 1


def test_content_types(functions, wire, name):
    """API-311, API-702: an explicit type other than JSON is 415; none at all is fine."""
    functions.python(name, ECHO)
    for good in ("application/json", "application/json; charset=utf-8", "application/x-amz-json-1.1"):
        assert wire.invoke(name, b"1", {"Content-Type": good}).status == 200, good
    for bad in ("text/plain", "application/xml", "image/png"):
        reply = wire.invoke(name, b"1", {"Content-Type": bad})
        assert (reply.status, reply.error) == (415, "UnsupportedMediaTypeException"), bad


def test_empty_payload(functions, wire, lambda_, name):
    """API-702: Invoke without a payload is legal; the function gets an empty event."""
    functions.python(name, "def handler(event, context):\n    return [event]\n")
    reply = wire.invoke(name)
    assert reply.status == 200
    assert reply.json() in ([{}], [None])
    assert json.loads(lambda_.invoke(FunctionName=name)["Payload"].read()) == reply.json()


def test_unknown_function(wire, lambda_, name):
    """API-306, CORE-311: 404 with the full ARN in the message."""
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException) as refused:
        lambda_.invoke(FunctionName=name)
    assert refused.value.response["Error"]["Message"] == f"Function not found: {arn(name)}"
    reply = wire.invoke(name)
    assert (reply.status, reply.error) == (404, "ResourceNotFoundException")
    assert reply.json() == {"Type": "User", "Message": f"Function not found: {arn(name)}"}


def test_qualifiers(functions, wire, name):
    """API-005, API-006, API-701, CORE-008: $LATEST in every place; unknown ones are 404, bad ones 400."""
    functions.python(name, "def handler(event, context):\n    return context.invoked_function_arn\n")
    assert wire.invoke(name, b"1").json() == arn(name)
    for reply in (
        wire.invoke(name, b"1", query="?Qualifier=%24LATEST"),
        wire.invoke(name, b"1", query="?Qualifier=$LATEST"),
        wire.invoke(f"{name}%3A%24LATEST", b"1"),
    ):
        assert (reply.status, reply.headers["X-Amz-Executed-Version"]) == (200, "$LATEST"), reply
        assert reply.json() == f"{arn(name)}:$LATEST"
    for unknown in ("7", "PROD"):
        reply = wire.invoke(name, b"1", query=f"?Qualifier={unknown}")
        assert (reply.status, reply.error) == (404, "ResourceNotFoundException"), unknown
        assert reply.message == f"Function not found: {arn(name)}:{unknown}"
    for bad in ("a%20b", "a%2Fb", "x" * 129):
        assert wire.invoke(name, b"1", query=f"?Qualifier={bad}").status == 400, bad


def test_parallel_invokes_get_instances_of_their_own(functions, name, stopwatch):
    """CORE-011, CORE-302, RT-33: as many instances as events at a time, reused afterwards."""
    source = "import time\nn = 0\ndef handler(event, context):\n    global n\n    n += 1\n    time.sleep(event)\n    return [n, context.log_stream_name]\n"
    functions.python(name, source, Timeout=20)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = [r.good() for r in pool.map(lambda _: functions.invoke(name, 1.5), range(6))]
    streams = {stream for _, stream in results}
    assert [n for n, _ in results] == [1] * 6
    assert len(streams) == 6
    assert stopwatch() < 8.5, "the events waited for each other"
    n, stream = functions.invoke(name, 0).good()
    assert (n, stream in streams) == (2, True)


def test_many_requests_on_few_instances(functions, name):
    """CORE-017, CORE-302: each caller gets the answer to its own event, under load."""
    functions.rust_echo(name, Timeout=20)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: functions.invoke(name, {"n": n}, LogType="None").good(), range(200)))
    assert results == [{"n": n} for n in range(200)]


def test_update_while_events_run(functions, lambda_, name):
    """CORE-298, RT-27: an event in flight ends with the code that it began with."""
    slow = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'old'\n"
    functions.python(name, slow, Timeout=10)
    functions.invoke(name, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(functions.invoke, name, 2)
        while not running.running():
            pass
        code = packages.package({"app.py": "def handler(event, context):\n    return 'new'\n"})
        lambda_.update_function_code(FunctionName=name, ZipFile=code)
        functions.updated(name)
        assert functions.invoke(name, 0).good() == "new"
        assert running.result().good() in ("old", "new")
    assert functions.invoke(name, 0).good() == "new"


@pytest.mark.parametrize("header", ["X-Amz-Invocation-Type", "X-Amz-Log-Type"])
def test_bad_header_values(functions, wire, name, header):
    """API-086, API-087, API-302: a value that is not in the enum is refused."""
    functions.python(name, COUNT)
    reply = wire.invoke(name, b"1", {header: "Sometimes"})
    assert reply.status == 400
    assert reply.error in ("InvalidParameterValueException", "ValidationException")
    assert functions.invoke(name).good() == 1
