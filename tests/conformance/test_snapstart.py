"""SnapStart: the setting, the hooks around a snapshot, and instances that begin with the image of a process."""

import concurrent.futures
import itertools
import json
import re

import pytest
from botocore.exceptions import ClientError

from harness import logs as log_lines
from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions
from test_ahead import SURROUNDINGS

#: The oldest Python whose functions can have it; what runs it here may be another.
PYTHON = "python3.12"
ON = {"ApplyOn": "PublishedVersions"}

HOOKS = """import os
from snapshot_restore_py import register_after_restore, register_before_snapshot

ran = ["init"]

@register_before_snapshot
def first():
    ran.append("before 1")

register_before_snapshot(ran.append, "before 2")

@register_after_restore
def third():
    if os.environ.get("FAIL"):
        raise ValueError("cannot restore")
    ran.append("after 1")

register_after_restore(lambda *args, more: ran.append(f"after {args} {more}"), 2, more="x")

def handler(event, context):
    return ran, os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""

#: Tells the process that was initialised from others by a number, which all instances of its image have.
MARKED = """import secrets
mark = secrets.token_hex()
def handler(event, context):
    return mark
"""


@pytest.fixture
def hooks(functions, name):
    """A Python function with hooks and SnapStart."""
    return functions.create(name, packages.package({"app.py": HOOKS}), PYTHON, SnapStart=ON)


def published(functions, name, source, **settings) -> str:
    """A version with SnapStart that is ready."""
    functions.create(name, packages.package({"app.py": source}), PYTHON, SnapStart=ON, **settings)
    return functions.published(name)


def messages(daemon, name) -> list:
    """All that a function has in its log."""
    client = boto(daemon.url, "logs")
    return [message for stream in log_lines.streams(client, name) for message in log_lines.messages(client, name, stream)]


def at_once(functions, name, version, count, event=None) -> list:
    """Answers of so many instances."""

    def one(_):
        return functions.invoke(name, event, Qualifier=version).good()

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_hooks_of_published_versions_run_around_a_snapshot(functions, lambda_, name, hooks):
    """Before a snapshot the last one comes first, after it the first; `$LATEST` runs none, as on AWS."""
    assert hooks["SnapStart"] == {**ON, "OptimizationStatus": "Off"}
    version = lambda_.publish_version(FunctionName=name)
    assert version["SnapStart"] == {**ON, "OptimizationStatus": "On"}
    assert version["State"] == "Pending"
    functions.version_active(name, version["Version"])
    assert lambda_.get_function_configuration(FunctionName=name)["SnapStart"]["OptimizationStatus"] == "Off"
    for _ in range(2):
        ran = functions.invoke(name, Qualifier=version["Version"]).good()
        assert ran == [["init", "before 2", "before 1", "after 1", "after (2,) x"], "snap-start"]
    assert functions.invoke(name).good() == [["init"], "on-demand"]


def test_a_hook_that_fails_fails_the_initialisation(functions, name, hooks):
    functions.configure(name, Environment={"Variables": {"FAIL": "1"}})
    version = functions.published(name)
    assert functions.invoke(name, Qualifier=version).failed("ValueError")["errorMessage"] == "cannot restore"


def test_the_setting(functions, lambda_, name, hooks):
    """API-503, API-523: it comes and goes like any other, and is refused where AWS has none."""
    version = lambda_.publish_version(FunctionName=name)["Version"]
    functions.configure(name, SnapStart={"ApplyOn": "None"})
    off = {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert lambda_.get_function_configuration(FunctionName=name)["SnapStart"] == off
    kept = lambda_.get_function_configuration(FunctionName=name, Qualifier=version)["SnapStart"]
    assert kept == {**ON, "OptimizationStatus": "On"}
    for runtime in ("python3.11", "nodejs22.x", "provided.al2023"):
        with pytest.raises(ClientError) as refused:
            functions.configure(name, Runtime=runtime, SnapStart=ON)
        error = refused.value.response["Error"]
        assert error["Code"] == "InvalidParameterValueException"
        assert error["Message"] == f"{runtime} is not supported for SnapStart enabled functions."


def test_custom_runtimes_ask_for_their_restoration(functions, name):
    """`/runtime/restore/next`, which AWS's clients call between their hooks, answers at once."""
    script = '  curl -sS -o /dev/null -w "%{http_code}" "$URL/restore/next" | curl -sS -d @- "$URL/invocation/$ID/response"'
    functions.custom(name, packages.bash(script))
    assert json.loads(functions.invoke(name).payload) == 200


class TestImages:
    """Where processes are restored: on x86-64, by a daemon of root's, at the level `namespaces`."""

    def test_a_version_is_initialised_once(self, functions, lambda_, daemon, name):
        """It is pending until then, and its instances begin with what that left; their log says so."""
        source = "import time\ntime.sleep(1)\nprint('initialised')\n" + MARKED
        functions.create(name, packages.package({"app.py": source}), PYTHON, SnapStart=ON)
        version = functions.publish(name)
        with pytest.raises(ClientError) as pending:
            functions.invoke(name, Qualifier=version)
        assert pending.value.response["Error"]["Code"] == "ResourceConflictException"
        functions.version_active(name, version)
        first = functions.invoke(name, Qualifier=version)
        marks = {first.good(), *at_once(functions, name, version, 4)}
        assert len(marks) == 1
        report = re.search(
            r"Billed Duration: (\d+) ms\t.*\tRestore Duration: ([\d.]+) ms\tBilled Restore Duration: (\d+) ms\t\n", first.log
        )
        assert report and "Init Duration" not in first.log, first.log
        assert float(report[2]) < 500, "not a second"
        assert "".join(messages(daemon, name)).count("initialised\n") == 1

    def test_each_version_has_an_image_of_its_own(self, functions, name):
        one = published(functions, name, MARKED)
        functions.configure(name, Environment={"Variables": {"OTHER": "1"}})
        other = functions.published(name)
        assert functions.invoke(name, Qualifier=one).good() != functions.invoke(name, Qualifier=other).good()

    def test_a_function_that_is_made_again_has_another(self, functions, lambda_, name):
        """Same name, same code, same number of the version."""
        version = published(functions, name, MARKED)
        mark = functions.invoke(name, Qualifier=version).good()
        lambda_.delete_function(FunctionName=name)
        assert published(functions, name, MARKED) == version
        assert functions.invoke(name, Qualifier=version).good() != mark

    def test_instances_share_no_randomness(self, functions, name):
        source = """import random, secrets, socket, ssl, tempfile, time, uuid, os, gc
random.random(), ssl.RAND_bytes(4), tempfile.NamedTemporaryFile().close()
os.environ["SET"] = "at init"
mine = {"set": "at init"}
def handler(event, context):
    time.sleep(0.4)
    own = [random.random(), random.SystemRandom().random(), secrets.token_hex(), str(uuid.uuid4()), tempfile.mkstemp()[1],
           ssl.RAND_bytes(8).hex(), context.log_stream_name, os.environ["AWS_SESSION_TOKEN"], os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]]
    socket.create_connection(("127.0.0.1", 9001)).close()
    return own, [os.environ["SET"], mine, os.environ["MINE"], os.environ.get("_LAMBD_SNAPSHOT"), len(os.listdir("/tmp")), os.getpid(),
                 sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:3], os.read(0, 1).decode()]
"""
        version = published(functions, name, source, Environment={"Variables": {"MINE": "ü = 1"}}, Timeout=30)
        answers = at_once(functions, name, version, 8)
        for of_all in zip(*(own for own, _ in answers), strict=True):
            assert len(set(of_all)) == 8, of_all
        for _, same in answers:
            assert same == ["at init", {"set": "at init"}, "ü = 1", None, 1, 3, [0, 1, 2], ""]

    def test_an_instance_is_confined_like_any_other(self, functions, name):
        """Identity, rights, limits, files, mounts and signals are those of a process that was started in full."""
        source = """import subprocess
def handler(event, context):
    return subprocess.run(["/bin/bash", "-c", event["script"]], capture_output=True, text=True).stdout
"""
        version = published(functions, name, source, MemorySize=256)
        # What differs by right, or is the same by name alone.
        script = "cat <<END\n" + SURROUNDINGS.replace("TRACE_ID", "TRACE_ID\\|_VERSION=\\|INITIALIZATION_TYPE") + "\nEND\n"
        found = functions.invoke(name, {"script": script}, Qualifier=version)
        expected = functions.invoke(name, {"script": script})
        assert "Restore Duration" in found.log
        assert found.good().splitlines() == expected.good().splitlines()

    @pytest.mark.parametrize(
        ("init", "reason"),
        [
            ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "the process has 2 threads"),
            ("import socket\nheld = socket.socket()", r"the process has an open socket \(descriptor \d+\)"),
            ("open('/tmp/left', 'w').close()", "the process left /tmp/left"),
            ("import subprocess\nheld = subprocess.Popen(['sleep', '60'])", "the process has child processes"),
            ("raise ValueError('broken')", "the initialisation failed"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_restored_initialises_anew(self, functions, daemon, name, init, reason):
        """The version becomes active all the same, and its log says why it has no image."""
        version = published(functions, name, f"{init}\n{MARKED}")
        line = rf"SNAPSTART No snapshot: {reason}\. Instances of this version initialise anew\.\n"
        wait_for(lambda: any(re.fullmatch(line, text) for text in messages(daemon, name)), f"its log says: {reason}")
        result = functions.invoke(name, Qualifier=version)
        if "raise" in init:
            result.failed("ValueError")
        else:
            assert re.search(r"\tInit Duration: ", result.log) and "Restore" not in result.log

    def test_records_of_a_log_in_json(self, functions, daemon, name):
        """In the schema of the Telemetry API; the names are AWS's."""
        logging = {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}
        version = published(functions, name, MARKED, LoggingConfig=logging)
        log = functions.invoke(name, Qualifier=version).log
        records = [json.loads(line) for line in log.splitlines()]
        kinds = [record["type"] for record in records]
        assert kinds[:4] == ["platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport", "platform.start"]
        assert records[0]["record"]["functionVersion"] == version
        metrics = records[-1]["record"]["metrics"]
        assert metrics["restoreDurationMs"] >= metrics["billedRestoreDurationMs"] - 1 and "initDurationMs" not in metrics

    def test_a_daemon_that_starts_again_takes_the_image_again(self, own_daemon):
        """Images are memory. Until there is one, instances initialise."""
        functions = Functions(boto(own_daemon.url, "lambda"))
        version = published(functions, "again", "import time\n" + MARKED.replace("return", "time.sleep(0.2)\n    return"))
        mark = functions.invoke("again", Qualifier=version).good()
        assert own_daemon.stop() == 0, own_daemon.output()
        own_daemon.start()
        functions = Functions(boto(own_daemon.url, "lambda"))
        first = functions.invoke("again", Qualifier=version)
        assert "Init Duration" in first.log and first.good() != mark
        counts = itertools.count(2)
        wait_for(lambda: any("Restore Duration" in log for log in several(functions, "again", version, next(counts))), "one is restored")

    def test_other_levels_initialise(self, tmp_path):
        """Without an image the version is active as soon as it is published, and nothing is said of it."""
        daemon = Daemon(tmp_path, arguments=["--isolation", "process"]).start()
        functions = Functions(boto(daemon.url, "lambda"))
        version = published(functions, "plain", HOOKS)
        result = functions.invoke("plain", Qualifier=version)
        assert result.good()[0] == ["init", "before 2", "before 1", "after 1", "after (2,) x"]
        assert "Init Duration" in result.log and not any("SNAPSTART" in line for line in messages(daemon, "plain"))
        assert daemon.stop() == 0, daemon.output()


def several(functions, name, version, count) -> list:
    """Logs of so many invocations at the same time, which takes as many instances."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [result.log for result in pool.map(lambda _: functions.invoke(name, Qualifier=version), range(count))]
