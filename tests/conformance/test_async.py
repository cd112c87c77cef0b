"""Asynchronous invocation: safe from the 202 on."""

import hashlib
import json
import subprocess

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import program, wait_for
from harness.events import act, shown
from harness.functions import ROLE, Functions, arn, python_runtime

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


def test_w34_w35_by_the_cli(cli, functions, lambda_, logs, name):
    """CORE-252, CORE-269, CORE-270: 202 and an empty answer; age and retries, then a destination beside them."""
    functions.create(name, packages.package({"app.py": NOTE}), python_runtime())
    answer = cli.json(
        "lambda", "invoke", "--function-name", name, "--invocation-type", "Event",
        "--payload", '{"id": 34}', "response.json",
    )  # fmt: skip
    assert answer == {"StatusCode": 202}
    assert (cli.home / "response.json").read_bytes() == b""
    wait_for(lambda: "got 34" in "".join(messages(logs, name)), "the event to run")
    cli.run(
        "lambda", "put-function-event-invoke-config", "--function-name", name,
        "--maximum-event-age-in-seconds", "3600", "--maximum-retry-attempts", "0",
    )  # fmt: skip
    queue = "arn:aws:sqs:us-east-1:000000000000:destination"
    changed = cli.json(
        "lambda", "update-function-event-invoke-config", "--function-name", name,
        "--destination-config", json.dumps({"OnFailure": {"Destination": queue}}),
    )  # fmt: skip
    assert (changed["MaximumEventAgeInSeconds"], changed["MaximumRetryAttempts"]) == (3600, 0)
    assert changed["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": queue}}


CONTEXT = "def handler(event, context):\n    print('context', context.client_context.custom['a'], context.invoked_function_arn)\n"


def test_an_event_keeps_what_it_came_with(functions, lambda_, logs, name):
    """Client context and qualifier are those of the request, across the queue."""
    functions.create(name, packages.package({"app.py": CONTEXT}), python_runtime())
    version = functions.publish(name)
    context = "eyJjdXN0b20iOiB7ImEiOiAiYiJ9fQ=="  # {"custom": {"a": "b"}}
    lambda_.invoke(
        FunctionName=name, Qualifier=version, InvocationType="Event", ClientContext=context, Payload=b"{}"
    )
    line = wait_for(lambda: [m for m in messages(logs, name) if m.startswith("context")], "the event")[0]
    assert line.split()[1] == "b" and line.split()[2].endswith(f":{name}:{version}")


# What an SDK does inside a function: it hands the trace header on.
SELF = """
import json, os, urllib.request
def handler(event, context):
    print("ran", event["n"])
    payload = json.dumps({"n": event["n"] + 1}).encode()
    path = f"/2015-03-31/functions/{context.function_name}/invocations"
    signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
    trace = os.environ["_X_AMZN_TRACE_ID"]
    headers = {"X-Amzn-Trace-Id": trace, "X-Amz-Invocation-Type": "Event", "Authorization": signed}
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, payload, headers)).read()
"""


def test_a_function_that_invokes_itself_is_stopped(own_daemon, name):
    """API-418, API-419: after sixteen runs in one chain of requests, unless it may."""
    client, logs = boto(own_daemon.url, "lambda"), boto(own_daemon.url, "logs")
    functions = Functions(client)
    functions.python(name, SELF)

    def ran():
        return sum(message.startswith("ran ") for message in messages(logs, name))

    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    found = wait_for(lambda: (s := shown(own_daemon, name)) and s["failed"] == 1 and s, "the loop to be stopped")
    assert ran() == 16
    assert found["metrics"]["RecursiveInvocationsDropped"] == 1
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=" + lineage(name, 16)
    with pytest.raises(client.exceptions.ClientError, match="RecursiveInvocationException"):
        invoke_with_trace(client, name, trace)
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert act(own_daemon, name, {"action": "replay"})[1]["events"] == 1
    wait_for(lambda: ran() > 20, "the loop to go on")
    client.delete_function(FunctionName=name)


def lineage(name, count):
    """The field of the trace header, as documented in docs/async.md."""
    return f"{hashlib.sha256(arn(name).encode()).hexdigest()[:8]}:{count}"


def invoke_with_trace(client, name, trace):
    def add(request, **_):
        request.headers["X-Amzn-Trace-Id"] = trace

    client.meta.events.register("before-sign.lambda.Invoke", add)
    try:
        return client.invoke(FunctionName=name, Payload=b'{"n": 1}')
    finally:
        client.meta.events.unregister("before-sign.lambda.Invoke", add)


def test_an_operator_sees_and_steers_a_queue(own_daemon, name):
    """`lambd events`: what waits, runs again and has failed; pause over a restart, purge, replay."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.python(name, FAIL)

    def events(*arguments):
        command = [program(), "events", *arguments, "--endpoint", own_daemon.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send():
        functions.client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")

    send()
    wait_for(lambda: "retrying" in events(name), "the retry to be told")
    told = json.loads(events(name, "--json"))
    assert (told["queued"], told["events"][0]["lastError"], told["events"][0]["functionErrors"]) == (1, "no", 1)
    assert told["metrics"]["AsyncEventsReceived"] == 1
    events("pause", name)
    send()
    own_daemon.restart_after_kill()
    told = json.loads(events(name, "-o", "json"))
    assert told["paused"] and told["queued"] == 2 and told["inFlight"] == 0
    assert "2 events removed" in events("purge", name)
    functions.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    events("resume", name)
    send()
    wait_for(lambda: json.loads(events(name, "--json"))["failed"] == 1, "the event to fail")
    functions.recode(name, packages.package({"app.py": "def handler(event, context):\n    print('good')\n"}))
    failed = json.loads(events(name, "--json"))["events"][0]["requestId"]
    assert "1 events begun again" in events("replay", name, "--request-id", failed)
    logs = boto(own_daemon.url, "logs")
    wait_for(lambda: "good\n" in messages(logs, name), "the event to run again")
    assert name in events()


@pytest.mark.parametrize(
    "action, content_type",
    [({"action": "explode"}, "application/json"), ({"action": "purge"}, "text/plain"), ({"action": "pause", "x": 1}, "application/json")],
)
def test_other_actions_are_refused(daemon, name, action, content_type):
    status, answer = act(daemon, name, action, content_type)
    assert status == 400 and "expected" in answer["message"]
