"""/tmp of functions: how much it holds, what stays in it, what is left of it."""

import glob
import json
import os
import subprocess

import pytest

from harness.clients import boto
from harness.daemon import environment, program, wait_for
from harness.functions import Functions

MB = 1 << 20

#: Writes as many MB as the event says to a file, until that fails. Returns how many and why not more.
FILL = """def handler(event, context):
    block, written = b'x' * (1 << 20), 0
    try:
        with open('/tmp/big', 'wb', buffering=0) as file:
            while written < event:
                if file.write(block) != len(block):
                    break
                written += 1
        return [written, None]
    except OSError as error:
        return [written, error.strerror]
"""

#: Runs Python in an instance.
RUN = """import errno, os, shutil, subprocess
def handler(event, context):
    scope = dict(globals())
    exec(event, scope)
    return scope["result"]
"""


def on_disk(daemon) -> bool:
    """Whether the daemon says that /tmp is disk. As root it has to be."""
    lines = wait_for(lambda: [line for line in daemon.output().splitlines() if "isolation" in line], "its first lines")
    said = lines[0]
    assert ("tmp: disk" in said) != ("tmp: memory (" in said), said
    assert "tmp: disk" in said or os.geteuid() != 0, f"root needs mke2fs and loop devices for this test: {said}"
    return "tmp: disk" in said


def volumes(daemon) -> int:
    """File systems of the daemon that exist, used or waiting."""
    count = 0
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            with open(path, encoding="utf-8") as file:
                count += file.read().startswith(str(daemon.data))
        except OSError:
            pass  # It has gone meanwhile.
    return count


@pytest.fixture
def runner(functions, name):
    """Runs Python in a function: ``runner(code)`` gives the ``result`` that the code sets."""
    functions.python(name, RUN, Timeout=60)
    return lambda code: functions.invoke(name, code).good()


def test_tmp_is_disk_of_limited_size(functions, daemon, name):
    """RT-30, CORE-086: /tmp holds 512 MB and no more, whatever the function's memory; the function goes on."""
    # Where /tmp is memory, the function needs as much of that.
    functions.python(name, FILL, MemorySize=128 if on_disk(daemon) else 1024, Timeout=60)
    assert functions.invoke(name, 300).good() == [300, None]
    assert functions.invoke(name, 512).good() == [512, None]
    assert functions.invoke(name, 513).good() == [512, "No space left on device"]
    assert functions.invoke(name, 100).good() == [100, None], "the same instance has room again"


def test_ephemeral_storage_sets_the_size(functions, daemon, name):
    """API-503: EphemeralStorage is the size of /tmp in MB."""
    memory = 128 if on_disk(daemon) else 2048
    settings = {"MemorySize": memory, "Timeout": 60, "EphemeralStorage": {"Size": 1024}}
    functions.python(name, FILL, **settings)
    assert functions.invoke(name, 1025).good() == [1024, "No space left on device"]
    functions.configure(name, EphemeralStorage={"Size": 600})
    assert functions.invoke(name, 700).good() == [600, "No space left on device"]


def test_tmp_stays_for_an_instance_and_no_longer(functions, name, runner):
    """RT-30, W-8: a later event finds what an earlier one wrote; a new instance finds nothing."""
    assert runner("result = os.listdir('/tmp')") == []
    assert runner("open('/tmp/kept', 'w').write('yes'); os.makedirs('/tmp/a/b'); result = 1") == 1
    assert runner("result = sorted(os.listdir('/tmp')), open('/tmp/kept').read()") == [["a", "kept"], "yes"]
    for n in range(5):
        functions.configure(name, Description=f"a new instance, number {n}")
        assert runner("result = os.listdir('/tmp'); open('/tmp/kept', 'w').write('no')") == []


def test_df_shows_the_limit(daemon, runner):
    """CORE-086: programs that look first see the limit, not the host's disk."""
    total, used, free = runner("result = tuple(shutil.disk_usage('/tmp'))")
    assert 512 * MB <= free < 513 * MB, (total, used, free)
    assert used < MB


def test_files_are_counted(daemon, runner):
    """CORE-005: as many files fit as there are blocks of 4 KB, and no more, so empty ones end too."""
    files = runner("result = os.statvfs('/tmp').f_favail")
    if on_disk(daemon):
        assert 131072 <= files < 160000


def test_nothing_is_left_of_tmp(own_daemon):
    """CORE-005: what a function leaves goes with its instance; a stopped or killed daemon leaves nothing."""
    if not on_disk(own_daemon):
        assert volumes(own_daemon) == 0
        return
    functions = Functions(boto(own_daemon.url, "lambda"))
    wait_for(lambda: volumes(own_daemon) == 4, "the volumes that wait for functions")
    hostile = """def handler(event, context):
    import os
    for n in range(200):
        os.makedirs('/tmp/' + 'd/' * n, exist_ok=True)
    os.mkdir('/tmp/locked', 0)
    os.symlink('/', '/tmp/root')
    with open('/tmp/real', 'wb') as file:
        file.write(b'x' * (50 << 20))
"""
    names = [f"left-{n}" for n in range(3)]
    for name in names:
        functions.python(name, hostile, MemorySize=256)
        assert functions.invoke(name).error is None
    assert volumes(own_daemon) >= 4
    for name in names:
        functions.client.delete_function(FunctionName=name)
    # Four wait for instances, and each interpreter that was started ahead has one already.
    waiting = lambda: 4 + own_daemon.started_ahead()["waiting"]  # noqa: E731
    wait_for(lambda: volumes(own_daemon) == waiting(), "the volumes of deleted functions to be gone")
    own_daemon.kill()
    wait_for(lambda: volumes(own_daemon) == 0, "the volumes of a killed daemon to be gone")
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert str(own_daemon.data) not in mounts.read()
    assert os.listdir(own_daemon.data / "scratch") == []
    own_daemon.start()
    functions.python("after", hostile, MemorySize=256)
    assert functions.invoke("after").error is None
    assert own_daemon.stop() == 0
    wait_for(lambda: volumes(own_daemon) == 0, "the volumes of a stopped daemon to be gone")


def test_doctor_says_what_tmp_is(daemon):
    """CORE-086: the same answer as the daemon's first lines, with the remedy if it is memory."""
    command = [program(), "doctor", "--output", "json", "--data", str(daemon.data)]
    report = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=30)
    limits = json.loads(report.stdout)["limits"]
    check = next(check for check in limits if check["name"] == "/tmp")
    if on_disk(daemon):
        assert check["detail"] == "disk", check
    else:
        assert check["detail"].startswith("memory") and check["remedy"], check
