"""Asynchronous invocation: safe from the 202 on."""

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import wait_for
from harness.functions import ROLE, Functions, python_runtime

NOTE = "def handler(event, context):\n    print('got', event['id'], context.aws_request_id)\n"
FAIL = "def handler(event, context):\n    print('failing')\n    raise ValueError('no')\n"


def messages(logs, name):
    """What the function wrote; nothing before its first event."""
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"] for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_an_accepted_event_runs(functions, lambda_, logs, name):
    """API-125.16, API-166,
    CORE-252, API-125.7: 202 with an empty body, then the event runs under its own request id."""
    functions.create(name, packages.package({"app.py": NOTE}), python_runtime())
    answer = lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"id": 1}')
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    line = f"got 1 {answer['ResponseMetadata']['RequestId']}\n"
    wait_for(lambda: line in messages(logs, name), "the event to run")


def test_accepted_events_survive_a_kill(own_daemon, name):
    """CORE-253: what got its 202 runs, even if the daemon is killed right after."""
    client = boto(own_daemon.url, "lambda")
    zipped = packages.package({"app.py": NOTE})
    client.create_function(
        FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped}
    )
    Functions(client).active(name)
    for number in range(20):
        payload = b'{"id": %d}' % number
        assert client.invoke(FunctionName=name, InvocationType="Event", Payload=payload)["StatusCode"] == 202
    own_daemon.restart_after_kill()
    logs = boto(own_daemon.url, "logs")

    def all_ran():
        seen = "".join(messages(logs, name))
        return all(f"got {number} " in seen for number in range(20))

    # Output of the instant of the kill may be lost with the instance, its event may not: such an event
    # is still queued and runs again.
    wait_for(all_ran, "all events to run", patience=60)


SLOW = "import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(1)\n    print('ended')\n"


def test_sigterm_waits_for_an_event_in_flight(own_daemon, name):
    """CORE-253: an accepted event that runs while the daemon is asked to stop runs to its end, once."""
    client, logs = boto(own_daemon.url, "lambda"), boto(own_daemon.url, "logs")
    zipped = packages.package({"app.py": SLOW})
    client.create_function(
        FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped}
    )
    Functions(client).active(name)
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wait_for(lambda: "begun\n" in messages(logs, name), "the event to begin")
    assert own_daemon.stop() == 0
    own_daemon.start()
    # An event after it shows that the queue was read again.
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wait_for(lambda: messages(logs, name).count("ended\n") >= 2, "both events to end")
    assert messages(logs, name).count("begun\n") == 2


def test_a_failing_event_is_not_retried_at_once(functions, lambda_, logs, name):
    """CORE-254: the second attempt does not come at once (the unit tests step through the minutes)."""
    functions.create(name, packages.package({"app.py": FAIL}), python_runtime())
    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wait_for(lambda: "failing\n" in messages(logs, name), "the first attempt")
    # Events of others go on meanwhile: the failed one does not hold up the queue.
    other = f"{name}-other"
    functions.create(other, packages.package({"app.py": NOTE}), python_runtime())
    lambda_.invoke(FunctionName=other, InvocationType="Event", Payload=b'{"id": 2}')
    wait_for(lambda: "got 2" in "".join(messages(logs, other)), "another function's event")
    assert messages(logs, name).count("failing\n") == 1


@pytest.mark.parametrize("size, status", [(1024 * 1024, 202), (1024 * 1024 + 1, 413)])
def test_the_payload_limit(functions, wire, name, size, status):
    """API-631: 1 MB for asynchronous events, to the byte."""
    functions.create(name, packages.package({"app.py": NOTE}), python_runtime())
    payload = b'"' + b"x" * (size - 2) + b'"'
    answer = wire.invoke(name, payload, {"X-Amz-Invocation-Type": "Event"})
    assert answer.status == status
