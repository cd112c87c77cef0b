"""What is there after ``kill -9``: functions, code, logs."""

import os
import signal
import threading
import urllib.request

from harness import logs as function_logs
from harness import packages
from harness.clients import boto
from harness.daemon import wait_for
from harness.functions import Functions
from harness.processes import child_of, marked

SOURCE = (
    "def handler(event, context):\n    print('hello from', event)\n    return [event, context.log_stream_name]\n"
)


def test_everything_survives_a_kill(own_daemon):
    """CORE-004, CORE-055, CORE-060, RT-27: configuration, package and logs are the same after SIGKILL."""
    lambda_ = boto(own_daemon.url, "lambda")
    functions = Functions(lambda_)
    functions.python("kept", SOURCE, Description="kept", Environment={"Variables": {"AA": "1"}}, Tags={"a": "b"})
    functions.python("deleted", SOURCE)
    lambda_.delete_function(FunctionName="deleted")
    result = functions.invoke("kept", 1)
    _, stream = result.good()
    logs = boto(own_daemon.url, "logs")
    logged = function_logs.of_request(logs, "kept", stream, result.request_id)
    before = lambda_.get_function(FunctionName="kept")
    package = urllib.request.urlopen(before["Code"]["Location"]).read()

    own_daemon.restart_after_kill()

    after = lambda_.get_function(FunctionName="kept")
    assert after["Configuration"] == before["Configuration"]
    assert after["Tags"] == before["Tags"]
    assert urllib.request.urlopen(after["Code"]["Location"]).read() == package
    assert [f["FunctionName"] for f in lambda_.list_functions()["Functions"]] == ["kept"]
    assert function_logs.messages(logs, "kept", stream) == logged
    again = functions.invoke("kept", 2)
    value, new_stream = again.good()
    assert value == 2
    assert new_stream != stream
    function_logs.of_request(logs, "kept", new_stream, again.request_id)
    assert function_logs.streams(logs, "kept") == sorted([stream, new_stream])


def test_an_acknowledged_change_survives_an_immediate_kill(own_daemon):
    """API-147, API-148: whatever got a 200 is there, however soon the crash comes."""
    lambda_ = boto(own_daemon.url, "lambda")
    functions = Functions(lambda_)
    functions.python("f", SOURCE)
    for round_ in range(3):
        code = packages.package({"app.py": f"def handler(event, context):\n    return {round_}\n"})
        lambda_.update_function_code(FunctionName="f", ZipFile=code)
        own_daemon.restart_after_kill()
        assert lambda_.get_function_configuration(FunctionName="f")["CodeSha256"] == packages.sha256(code)
        functions.updated("f")
        assert functions.invoke("f").good() == round_


def test_iam_roles_survive(own_daemon):
    """CORE-053: a role that was created is there after SIGKILL."""
    iam = boto(own_daemon.url, "iam")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')[
        "Role"
    ]
    own_daemon.restart_after_kill()
    assert iam.get_role(RoleName="r")["Role"]["RoleId"] == role["RoleId"]


def test_nothing_of_an_instance_outlives_the_daemon(own_daemon):
    """CORE-026: when the daemon is killed its sandboxes end too, instead of running on unseen."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    source = "import os\ndef handler(event, context):\n    return os.environ['PYTHON_MARK']\n"
    variables = {"PYTHON_MARK": f"outlived-{os.getpid()}-{own_daemon.port}"}
    functions.python("f", source, Environment={"Variables": variables})
    mark = functions.invoke("f").good()
    assert marked(mark)
    own_daemon.kill()
    wait_for(lambda: not marked(mark), "the sandboxes of a killed daemon to end", 10)


def test_the_daemon_ends_with_its_spawner(own_daemon):
    """CORE-006: a daemon that could start no function any more does not pretend to serve."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.python("f", "def handler(event, context):\n    return 1\n")
    assert functions.invoke("f").good() == 1
    os.kill(child_of(own_daemon.process.pid, "lambd-spawner"), signal.SIGKILL)
    assert own_daemon.wait_for_exit() == 1
    assert "lambd-spawner was killed" in own_daemon.output()
    own_daemon.start()
    assert functions.invoke("f").good() == 1


def test_sigterm_lets_the_event_in_flight_finish(own_daemon):
    """CORE-250: a synchronous caller gets the response although the daemon was asked to stop."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    source = (
        "import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(1)\n    return 'done'\n"
    )
    functions.python("f", source, Timeout=10)
    logs = boto(own_daemon.url, "logs")
    results = []
    caller = threading.Thread(target=lambda: results.append(functions.invoke("f")))
    caller.start()

    def begun():
        try:
            streams = function_logs.streams(logs, "f")
            return any("begun\n" in function_logs.messages(logs, "f", stream) for stream in streams)
        except logs.exceptions.ResourceNotFoundException:
            return False

    wait_for(begun, "the handler to begin")
    assert own_daemon.stop() == 0
    caller.join(30)
    assert results[0].good() == "done"
