"""What the daemon does before it answers: counted and ordered instead of timed, so that no busy machine can fail it."""

import collections
import os
import re
import subprocess
import threading
import urllib.request

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, wait_for
from harness.functions import ROLE, Functions, python_runtime

#: The databases of a data directory.
DATABASES = ("lambd.db", "logs.db", "topics.db", "events.db", "queues.db")
#: An interpreter that tells its version when somebody opens the other end of a pipe.
SLOW = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char byte;
    int pipe = open(PIPE, O_RDONLY);
    if (pipe < 0 || read(pipe, &byte, 1) != 1) return 1;
    puts("v20.19.5");
    return 0;
}
"""


def syncs(daemon: Daemon) -> collections.Counter:
    """Starts the daemon, kills it when all of its start is over, and counts what it waited for the disk for."""
    trace = daemon.folder / "trace"
    # The daemon stays this process's child.
    daemon.prefix = ["strace", "-D", "-f", "-y", "-e", "trace=fsync,fdatasync,syncfs,sync", "-o", str(trace)]
    said = daemon.output() if daemon.log.exists() else ""
    daemon.start()
    pid = daemon.process.pid
    wait_for(lambda: "listens on" in daemon.output()[len(said) :], "the end of the start")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        tracer = re.search(r"^TracerPid:\s+([1-9]\d*)$", status.read(), re.MULTILINE)[1]
    daemon.kill()
    # It ends after the last process that it follows: until then one that was just being started, and is stopped by it,
    # may have the dead daemon's port and the lock of its directory.
    wait_for(lambda: not os.path.exists(f"/proc/{tracer}"), "the end of the trace")
    daemon.prefix = []
    found = re.findall(r"^\d+ +\w+\(\d+<([^>]*)>", trace.read_text(), re.MULTILINE)
    trace.unlink()
    prefix = f"{daemon.data}/"
    return collections.Counter(path.removeprefix(prefix) for path in found if f"{path}/".startswith(prefix))


def test_what_a_start_waits_for_the_disk_for(tmp_path):
    """A new data directory: once for each database and once for their names. One that is there: never."""
    daemon = Daemon(tmp_path)
    new = syncs(daemon)
    expected = {f"{database}.incoming": 1 for database in DATABASES} | {str(daemon.data): 1}
    assert new == expected
    daemon.start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        for number in range(3):
            functions.python(f"kept-{number}", "def handler(event, context):\n    return event\n")
        daemon.stop()
        assert syncs(daemon) == {}
        # And once more after a kill.
        daemon.start()
        daemon.kill()
        assert syncs(daemon) == {}
        daemon.start()
        assert functions.invoke("kept-2", 7).good() == 7
    finally:
        daemon.stop()


def test_only_who_needs_an_interpreter_waits_for_it(tmp_path, monkeypatch):
    """Health and the API are answered while an interpreter has not told its version; an invocation that comes early waits."""
    folder, pipe = tmp_path / "bin", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    source = tmp_path / "node.c"
    source.write_text(SLOW)
    subprocess.run(["cc", f'-DPIPE="{pipe}"', "-o", folder / "node", source], check=True)
    monkeypatch.setenv("PATH", f"{folder}:{environment()['PATH']}")
    daemon = Daemon(tmp_path).start()
    try:
        client = boto(daemon.url, "lambda")
        code = packages.package({"app.py": "def handler(event, context):\n    return event\n"})
        client.create_function(
            FunctionName="early", Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": code}
        )  # fmt: skip
        client.get_waiter("function_active_v2").wait(FunctionName="early", WaiterConfig={"Delay": 0.01})
        answers = []

        def invoke():
            answers.append(client.invoke(FunctionName="early", Payload=b"7")["Payload"].read())

        def runtimes():
            with urllib.request.urlopen(f"{daemon.url}/_lambd/runtimes") as answer:
                answers.append(answer.read())

        waiting = [threading.Thread(target=invoke), threading.Thread(target=runtimes)]
        for thread in waiting:
            thread.start()
        assert [f["FunctionName"] for f in client.list_functions()["Functions"]] == ["early"]
        assert daemon.healthy()
        assert answers == []
        assert "listens on" not in daemon.output()
        # Opening it waits for the interpreter, should that be late.
        with open(pipe, "wb") as other_end:
            other_end.write(b"x")
        for thread in waiting:
            thread.join(30)
        assert b"7" in answers
        assert any(b'"20.19.5"' in answer for answer in answers)
        wait_for(lambda: "nodejs20.x" in daemon.output(), "the daemon's first lines")
    finally:
        daemon.stop()
