"""The commands of the README, as they stand there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clients import Cli
from harness.daemon import environment, program

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
#: Language and command of each row of the table of languages.
ROWS = re.findall(r"^\| ([^|]+?) \| `lambd (dev [^`]+)` \|$", README, re.MULTILINE)


def test_the_readme_has_a_command_for_each_language():
    languages = {language.split(",")[0] for language, _ in ROWS}
    assert languages >= {"Python", "Node.js", "Ruby", "Java", "C#", "Go", "bash"}


@pytest.mark.parametrize("command", [command for _, command in ROWS], ids=[language for language, _ in ROWS])
def test_a_command_for_each_language(command, tmp_path):
    """Each deploys and answers; `--once` because nobody stays to edit."""
    arguments = shlex.split(command)
    # A copy, for what is built stays in the folder.
    copy = tmp_path / arguments[1]
    shutil.copytree(ROOT / arguments[1], copy, ignore=shutil.ignore_patterns("dist"))
    # As `lambd runtimes add java` has it; the .NET that another such command adds is at DOTNET_ROOT.
    settings = {**environment(), "LAMBD_JAVA_RUNTIME_CLIENT": f"{os.environ['LAMBD_JAVA_FUNCTIONS']}/client"}
    done = subprocess.run(
        [program(), *arguments, "--once", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")],
        capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answer = re.search(r"\{.*Hello, Ada!.*\}", done.stdout)
    assert answer, done.stdout
    assert set(json.loads(answer[0])) == {"message", "from"}


def test_a_failure_arrives_in_a_queue(own_daemon, tmp_path):
    """CORE-263: the commands of the section, one after the other."""
    section = README.split("## A failure that is not lost")[1]
    script = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]
    settings = Cli(own_daemon.url, tmp_path).environment()
    settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script], capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    messages = json.JSONDecoder().raw_decode(done.stdout[done.stdout.rindex('{\n    "Messages"') :])[0]["Messages"]
    record = json.loads(messages[0]["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorMessage"] == "out of paper"
