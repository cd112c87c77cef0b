"""The command line against a real daemon, and `lambd dev` as a developer runs it."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import packages
from harness.daemon import environment, free_port, program, wait_for
from harness.functions import python_runtime

ROOT = Path(__file__).resolve().parents[2]

GREET = """
def handler(event, context):
    print("greeting", event.get("name"))
    if event.get("fail"):
        raise ValueError("asked to fail")
    return {"message": "hello " + event.get("name", "nobody")}
"""


@pytest.fixture
def lambd(daemon):
    """Runs a client command against the shared daemon."""

    def run(*arguments, stdin=None):
        return subprocess.run(
            [program(), *arguments, "--endpoint", daemon.url],
            capture_output=True, text=True, input=stdin, env=environment(), timeout=60,
        )

    return run


@pytest.fixture
def greet(functions, name):
    """A function that greets."""
    functions.create(name, packages.package({"app.py": GREET}), python_runtime())
    return name


def test_invoke_prints_the_response(lambd, greet, tmp_path):
    """CORE-246: payload as text, from a file and from standard input."""
    event = '{"name": "Ada"}'
    (tmp_path / "event.json").write_text(event)
    for payload, stdin in [(event, None), (f"@{tmp_path}/event.json", None), ("-", event)]:
        done = lambd("invoke", greet, "--payload", payload, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"message": "hello Ada"}


def test_invoke_with_log_and_failure(lambd, greet):
    """CORE-057: the log tail on stderr; a function error is exit status 1."""
    done = lambd("invoke", greet, "--payload", '{"name": "Ada", "fail": true}', "--log")
    assert done.returncode == 1
    assert "asked to fail" in done.stderr
    assert "greeting Ada" in done.stderr and "REPORT RequestId: " in done.stderr


def test_invoke_of_nothing(lambd, name):
    """API-306: the API's own words, exit status 2."""
    done = lambd("invoke", name)
    assert done.returncode == 2
    assert f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}" in done.stderr


def test_a_daemon_that_is_not_there(tmp_path):
    """Exit status 3, with the remedy."""
    done = subprocess.run(
        [program(), "functions", "--endpoint", f"http://127.0.0.1:{free_port()}"],
        capture_output=True, text=True, env=environment(), timeout=30,
    )
    assert done.returncode == 3
    assert "lambd serve" in done.stderr


def test_asynchronous_invocation_runs(lambd, greet):
    """CORE-252, CORE-253: accepted at once, run soon after; seen through `lambd logs`."""
    done = lambd("invoke", greet, "--payload", '{"name": "Later"}', "--async")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: "greeting Later" in lambd("logs", greet).stdout, "the event to be processed")


def test_functions_for_people_and_for_scripts(lambd, greet):
    """CORE-063: the list as a table and as the API's own documents."""
    assert greet in lambd("functions").stdout
    listed = json.loads(lambd("functions", "--output", "json").stdout)
    assert any(f["FunctionName"] == greet and f["Version"] == "$LATEST" for f in listed)


def test_doctor():
    """It tells what the suite relies on, for people and for scripts."""
    people = subprocess.run([program(), "doctor"], capture_output=True, text=True, env=environment(), timeout=30)
    assert people.returncode == 0, people.stdout
    assert "namespaces" in people.stdout
    done = subprocess.run(
        [program(), "doctor", "--output", "json"], capture_output=True, text=True, env=environment(), timeout=30
    )
    report = json.loads(done.stdout)
    assert report["isolationInForce"] == "namespaces"
    assert any(r["id"] == python_runtime() for r in report["runtimes"])


def test_completions():
    """Every shell gets a script that names the commands."""
    for shell in ["bash", "zsh", "fish"]:
        done = subprocess.run([program(), "completions", shell], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and "invoke" in done.stdout


def dev(folder, data, *arguments):
    """The command line of `lambd dev` on a port of its own."""
    port = free_port()
    command = [program(), "dev", str(folder), "--data", str(data), "--listen", f"127.0.0.1:{port}", *arguments]
    return command, f"http://127.0.0.1:{port}"


def test_dev_runs_the_examples(tmp_path):
    """The README's first command: both functions are deployed, invoked and shown."""
    command, _ = dev(ROOT / "examples" / "hello", tmp_path, "--event", '{"name":"Ada"}', "--once")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Hello, Ada!") == 2, done.stdout


def test_dev_runs_a_sam_template(tmp_path):
    """A SAM application, with the runtime versions that the machine has."""
    command, _ = dev(ROOT / "examples" / "sam-app", tmp_path, "--event", '{"name":"Ada"}', "--once")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dev_once_tells_failure(tmp_path):
    """A failing function makes the exit status 1, so that CI notices."""
    folder = tmp_path / "failing"
    folder.mkdir()
    (folder / "lambd.toml").write_text('runtime = "python"\nhandler = "app.handler"\n')
    (folder / "app.py").write_text(GREET)
    command, _ = dev(folder, tmp_path / "data", "--event", '{"fail": true}', "--once")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "asked to fail" in done.stdout + done.stderr


def test_dev_redeploys_on_save(tmp_path):
    """From save to new code answering in under a second; a broken save keeps the old code; Ctrl-C ends it."""
    folder = tmp_path / "greeter"
    shutil.copytree(ROOT / "examples" / "hello" / "hello-python", folder)
    (folder / "app.py").write_text("def handler(event, context):\n    return 'one'\n")
    command, url = dev(folder, tmp_path / "data")
    out = open(tmp_path / "dev.log", "w+")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment())

    def answer():
        done = subprocess.run(
            [program(), "invoke", "greeter", "--endpoint", url], capture_output=True, text=True, env=environment()
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        wait_for(lambda: answer() == '"one"', "the first deploy")
        # What is being watched is known once the function answers; measured over three saves, the best
        # one counts: a loaded machine delays some.
        delays = []
        for text in ["two", "three", "four"]:
            saved = time.monotonic()
            (folder / "app.py").write_text(f"def handler(event, context):\n    return '{text}'\n")
            wait_for(lambda: answer() == f'"{text}"', "the new code")
            delays.append(time.monotonic() - saved)
        assert min(delays) < 1.0, delays
        (folder / "lambd.toml").write_text("runtime = \n")
        wait_for(lambda: "lambd.toml" in Path(out.name).read_text(), "the complaint about lambd.toml")
        assert answer() == '"four"'
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, Path(out.name).read_text()
    finally:
        if process.poll() is None:
            process.kill()
        out.close()
    assert os.path.exists(tmp_path / "data")
