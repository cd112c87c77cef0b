"""A clock that tests move, so that retries need no waiting."""

import datetime
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import events, packages
from harness.clients import boto
from harness.daemon import Daemon, program, wait_for
from harness.functions import ROLE, Functions, python_runtime

FAIL = "def handler(event, context):\n    print('failing')\n    raise ValueError('no')\n"
CURIOUS = """
import json, os, urllib.request, urllib.error
def handler(event, context):
    url = os.environ["AWS_ENDPOINT_URL"] + "/_lambd/clock"
    request = urllib.request.Request(url, b'{"advanceSeconds": 60}', {"Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return json.load(error)["message"]
"""


@pytest.fixture
def manual(tmp_path):
    """A daemon whose clock stands still."""
    daemon = Daemon(tmp_path, arguments=["--clock", "manual"]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


def create(daemon, name, source):
    client = boto(daemon.url, "lambda")
    code = {"ZipFile": packages.package({"app.py": source})}
    client.create_function(FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code=code)
    Functions(client).active(name)
    return client


def post(daemon, body, content_type="application/json"):
    request = urllib.request.Request(f"{daemon.url}/_lambd/clock", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_retries_come_when_the_clock_is_moved(manual, name):
    """CORE-254: a failed event is tried again after one minute, then after two, then no more."""
    client, logs = create(manual, name, FAIL), boto(manual.url, "logs")

    def attempts():
        try:
            found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return 0
        return sum(event["message"] == "failing\n" for event in found)

    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wait_for(lambda: attempts() == 1, "the first attempt")
    for before, delay in [(1, 60), (2, 120)]:
        assert attempts() == before

        def waits():
            # The clock stands still: whatever is to be seen of the attempt, it has the time at which that was made.
            (event,) = events.shown(manual, name)["events"]
            return event["functionErrors"] == before and event["state"] == "retrying" and event["nextAt"]

        next_at = datetime.datetime.fromisoformat(wait_for(waits, "the outcome of the attempt"))
        now = datetime.datetime.fromisoformat(post(manual, b'{"advanceSeconds": 0}')[1]["now"])
        assert next_at - now == datetime.timedelta(seconds=delay)
        post(manual, json.dumps({"advanceSeconds": delay}).encode())
        wait_for(lambda: attempts() == before + 1, "the retry")
    post(manual, b'{"advanceSeconds": 3600}')
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wait_for(lambda: attempts() == 4, "another event, which is the only one left")


def clock(*arguments):
    """The command."""
    return subprocess.run([program(), "clock", *arguments], capture_output=True, text=True)


def test_the_command_shows_and_moves_it(manual):
    """`lambd clock` and `lambd clock advance`."""
    before = clock("--endpoint", manual.url)
    assert (before.returncode, before.stdout.split()[1]) == (0, "(manual)"), before
    after = clock("advance", "2h", "--endpoint", manual.url)
    assert after.returncode == 0, after
    assert (int(after.stdout[11:13]) - int(before.stdout[11:13])) % 24 == 2
    assert clock("--endpoint", manual.url).stdout == after.stdout


def test_functions_cannot_move_it(manual, name):
    """Whoever runs in a sandbox does not operate the daemon."""
    client = create(manual, name, CURIOUS)
    answer = client.invoke(FunctionName=name)
    assert json.load(answer["Payload"]) == "functions cannot use this endpoint"


@pytest.mark.parametrize("body, content_type", [
    (b"", "application/json"),
    (b"[]", "application/json"),
    (b'{"advanceSeconds": "1"}', "application/json"),
    (b'{"advanceSeconds": -1}', "application/json"),
    (b'{"advanceSeconds": 1, "by": 2}', "application/json"),
    (b'{"advanceSeconds": 1}', "text/plain"),
])
def test_other_requests_are_refused(manual, body, content_type):
    """A page in a browser can send text/plain without being asked."""
    status, error = post(manual, body, content_type)
    assert (status, error["__type"]) == (400, "InvalidParameterValueException")


def test_the_machines_clock_is_nobodys_to_move(daemon):
    """The default."""
    status, error = post(daemon, b'{"advanceSeconds": 1}')
    assert status == 409 and "--clock manual" in error["message"]
    refused = clock("advance", "1s", "--endpoint", daemon.url)
    assert refused.returncode == 2 and "--clock manual" in refused.stderr
