"""Root file systems of their own for runtimes: directories, image layouts, archives of those."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program, wait_for
from harness.functions import Functions
from harness.roots import ARCHITECTURE, Layout, Root, bash_runtime, layer

#: The Python that runs the tests is the one that the image has.
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Another version, which no image here has.
OTHER = "python3.9" if PYTHON != "python3.9" else "python3.10"

LOOK = """import os, sys
def attempt(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return os.strerror(error.errno)
def handler(event, context):
    if "write" in event:
        return {path: attempt(lambda: open(os.path.join(path, "new"), "w")) for path in event["write"]}
    return {
        "release": open("/etc/os-release").read(),
        "executable": sys.executable,
        "version": sys.version.split()[0],
        "lists": {path: sorted(os.listdir(path)) for path in event["lists"]},
        "exist": [path for path in event["exist"] if os.path.exists(path)],
        "environment": dict(os.environ),
        "bash": os.popen("echo $BASH_VERSION").read(),
    }
"""

ANSWER = """local release; release="$(cat /etc/os-release)"
printf '{"release": "%s", "shell": "%s", "directory": "%s", "path": "%s", "event": %s}' \\
  "$release" "${BASH_VERSION:+bash}" "$PWD" "$PATH" "$1" """


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the root file systems are made."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def layout(place):
    """An image with Python: a base by gzip, Python by zstd, and a plain layer that changes both."""
    root = Root(place / "python").shell().python()
    root.write("etc/os-release", "ID=image\nVERSION_ID=1\n").write("etc/doomed", "x").write("srv/doomed/x", "x")
    layout = Layout(place / "layout")
    on_top = {"etc/.wh.doomed": "", "srv/doomed/.wh..wh..opq": "", "etc/os-release": "ID=image\nVERSION_ID=2\n"}
    layout.manifest = layout.image(
        "test", [root.tar("bin", "lib64", "etc", "srv", "usr/bin"), root.tar("usr/local"), layer(on_top)]
    )
    layout.image("other", [layer({"etc/os-release": "ID=other\n"})])
    return layout


@pytest.fixture(scope="module")
def directory(place):
    """A directory with nothing but a shell."""
    return Root(place / "directory").shell().write("etc/os-release", "ID=directory")


@pytest.fixture(scope="module")
def runtime(place):
    """A directory that brings a runtime along, as AWS's own images do."""
    root = Root(place / "runtime").shell().write("etc/os-release", "ID=runtime")
    return root.write("var/runtime/bootstrap", bash_runtime(ANSWER), 0o755)


@pytest.fixture(scope="module")
def chosen(layout, directory, runtime):
    """The options that choose all of them."""
    return [
        f"--runtime-root={PYTHON}={layout.path}:test",
        f"--runtime-root=provided.al2023={directory.path}",
        f"--runtime-root=java21={runtime.path}",
    ]


@pytest.fixture(scope="module")
def rooted(place, chosen):
    """A daemon that was given all of them."""
    folder = place / "daemon"
    folder.mkdir()
    daemon = Daemon(folder, arguments=chosen).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture
def functions(rooted):
    """Functions of that daemon."""
    return Functions(boto(rooted.url, "lambda"))


def tree(path: Path) -> dict:
    """Everything below a directory, with what would change if somebody wrote to it."""
    entries = (Path(folder) / name for folder, folders, files in os.walk(path) for name in folders + files)
    return {str(entry): (entry.lstat().st_mode, entry.lstat().st_size) for entry in entries}


def test_python_of_an_image(functions, name, tmp_path):
    """CORE-005, LANG1-029: interpreter, libraries and files are those of the image, not of the host."""
    canary = tmp_path / "canary"
    canary.write_text("host")
    functions.python(name, LOOK)
    event = {
        "lists": ["/", "/usr", "/usr/bin", "/usr/local/bin", "/srv/doomed", "/var"],
        "exist": ["/etc/doomed", str(canary), "/usr/share", "/home", "/root", "/work", "/sys/kernel", "/etc/shadow"],
    }
    found = functions.invoke(name, event).good()
    assert found["release"] == "ID=image\nVERSION_ID=2\n"
    assert found["executable"] == f"/usr/local/bin/{PYTHON}"
    assert found["version"] == sys.version.split()[0]
    assert found["exist"] == []
    lists = found["lists"]
    assert lists["/usr"] == ["bin", "local"]
    assert lists["/usr/bin"] == ["bash", "cat", "ls", "sh"]
    assert lists["/usr/local/bin"] == [PYTHON]
    assert lists["/srv/doomed"] == []
    assert {"bin", "dev", "etc", "lib64", "opt", "proc", "srv", "tmp", "usr", "var"} <= set(lists["/"])
    assert {"lang", "runtime", "task"} <= set(lists["/var"])
    assert found["bash"].strip() != ""


COMPILED = """import importlib.util, os, struct, sys
def handler(event, context):
    runtime = sys.modules["lambd_runtime"]
    source = os.stat(runtime.__file__)
    with open(runtime.__cached__, "rb") as compiled:
        magic, flags, time, size = struct.unpack("<4sIII", compiled.read(16))
    return [magic == importlib.util.MAGIC_NUMBER, flags, time - int(source.st_mtime), size - source.st_size]
"""


def test_bootstrap_is_compiled_for_an_image(functions, rooted, name):
    """The image's interpreter starts with lambd's bootstrap compiled, by itself and for itself alone."""
    bootstraps = rooted.data / "runtime/roots" / PYTHON / "python"
    wait_for(lambda: list(bootstraps.glob("__pycache__/*.pyc")), "the compiled bootstrap")
    functions.python(name, COMPILED)
    assert functions.invoke(name).good() == [True, 0, 0, 0]
    assert [entry.name for entry in (rooted.data / "runtime/roots").iterdir()] == [PYTHON]


def test_environment_of_an_image(functions, name):
    """CORE-154, CORE-155, LANG1-057: the variables are the documented ones in every root file system."""
    functions.python(name, LOOK)
    found = functions.invoke(name, {"lists": [], "exist": []}).good()["environment"]
    runtime, task = "/var/runtime", "/var/task"
    expected = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": f"/var/lang/lib:/lib64:/usr/lib64:{runtime}:{runtime}/lib:{task}:{task}/lib:/opt/lib",
        "LAMBDA_TASK_ROOT": task,
        "LAMBDA_RUNTIME_DIR": runtime,
        "PYTHONPATH": runtime,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
    }
    assert {key: found.get(key) for key in expected} == expected


def test_nothing_of_an_image_can_be_written(functions, rooted, name):
    """CORE-005: the root file system is shared by all functions on it, and none of them can change it."""
    functions.python(name, LOOK)
    before = tree(rooted.data / "images")
    paths = ["/", "/etc", "/usr", "/usr/local/lib", "/srv/doomed", "/var", "/var/task", "/var/runtime", "/opt"]
    written = functions.invoke(name, {"write": [*paths, "/tmp"]}).good()
    refusals = {"Read-only file system", "Permission denied"}
    assert written.pop("/tmp") == "ok"
    assert set(written) == set(paths) and set(written.values()) <= refusals, written
    assert tree(rooted.data / "images") == before


def test_provided_in_a_directory(functions, directory, name):
    """RT-42, RT-86: the function's own bootstrap sees the chosen root file system, and /bin/sh is its bash."""
    before = tree(directory.path)
    functions.custom(name, packages.program(bash_runtime(ANSWER)))
    for event in ({"text": "ü"}, 2):
        found = functions.invoke(name, event).good()
        assert found["event"] == event
        assert (found["release"], found["shell"], found["directory"]) == ("ID=directory", "bash", "/var/task")
    assert tree(directory.path) == before


def test_other_identifiers_stay_on_the_host(functions, name):
    """A root file system is for the runtimes it was chosen for."""
    functions.create(name, packages.bash('curl -sS -d "$(ls /usr)" "$URL/invocation/$ID/response"'), "provided")
    assert b"share" in functions.invoke(name).payload


def test_runtime_of_the_image(functions, name):
    """An image with /var/runtime/bootstrap is a runtime, also of a language lambd does not know."""
    functions.create(name, packages.package({"Handler.class": "x"}), "java21", "Handler::handle")
    result = functions.invoke(name, {"a": 1})
    assert result.good()["release"] == "ID=runtime"
    assert result.value["event"] == {"a": 1}
    assert "Init Duration" in result.log


def test_start_up_names_them(rooted):
    """The runtimes that the root file systems add are told when the daemon starts."""
    assert "java21" in rooted.output() and PYTHON in rooted.output()


def listed(*arguments, **variables):
    """What ``lambd runtimes`` lists, by identifier."""
    done = subprocess.run(
        [program(), "runtimes", "-o", "json", *arguments],
        capture_output=True, text=True, timeout=60, env=environment() | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {runtime["id"]: runtime for runtime in json.loads(done.stdout)}


def test_runtimes_are_listed(rooted, chosen, layout, directory, runtime):
    """`lambd runtimes` tells what runs each runtime, also while a daemon uses the same directory."""
    runtimes = listed("--data", str(rooted.data), *chosen)
    image = {"kind": "image", "path": str(layout.path), "digest": layout.manifest["digest"]}
    python = runtimes[PYTHON]
    # Of AWS's calendar, which goes on.
    assert python.pop("deprecated") in (True, False) and "deprecation" in python
    del python["deprecation"]
    assert python == {
        "id": PYTHON,
        "state": "available",
        "version": sys.version.split()[0],
        "runs": {"kind": "interpreter", "path": f"/usr/local/bin/{PYTHON}"},
        "root": image,
        "toolchain": None,
        "sdk": None,
        "remedy": None,
    }
    assert runtimes["java21"]["runs"] == {"kind": "root"}
    assert runtimes["java21"]["root"] == {"kind": "directory", "path": str(runtime.path)}
    assert runtimes["provided.al2023"]["root"] == {"kind": "directory", "path": str(directory.path)}
    assert (runtimes["provided"]["runs"], runtimes["provided"]["root"]) == ({"kind": "function"}, {"kind": "host"})
    assert runtimes["dotnet8"]["state"] == "missing" and "--runtime-root dotnet8=" in runtimes["dotnet8"]["remedy"]

    done = subprocess.run(
        [program(), "runtimes", "--data", str(rooted.data), *chosen],
        capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{PYTHON} ")]
    assert f"/usr/local/bin/{PYTHON} in image {layout.manifest['digest'][:19]} of {layout.path}" in line


def test_options_from_the_environment(directory, runtime, tmp_path):
    """A list in the variable means the same as the option given several times."""
    value = f"provided={directory.path},java21={runtime.path}"
    runtimes = listed("--data", str(tmp_path / "data"), LAMBD_RUNTIME_ROOTS=value)
    assert runtimes["provided.al2"]["root"]["path"] == str(directory.path)
    assert runtimes["java21"]["state"] == "available"
    assert not (tmp_path / "data").exists(), "directories are used where they are"


def test_a_family_and_its_nearest_version(layout, tmp_path):
    """A root file system for a whole family runs what it has, and says so in the log."""
    archive = layout.archive(tmp_path / "image.tar")
    daemon = Daemon(tmp_path, arguments=[f"--runtime-root=python={archive}:test"]).start()
    functions = Functions(boto(daemon.url, "lambda"))
    functions.create("nearest", packages.package({"app.py": LOOK}), OTHER)
    result = functions.invoke("nearest", {"lists": [], "exist": []})
    assert result.good()["version"] == sys.version.split()[0]
    logs = boto(daemon.url, "logs")
    messages = [event["message"] for event in logs.filter_log_events(logGroupName="/aws/lambda/nearest")["events"]]
    notice = f"lambd: {OTHER} is not in the root file system {archive}; running on {PYTHON} instead\n"
    assert notice in messages, messages
    assert daemon.stop() == 0, daemon.output()


def test_images_are_kept_while_they_are_needed(layout, tmp_path):
    """Unpacked once, found again after a crash, removed when no option names it any more."""
    daemon = Daemon(tmp_path, arguments=[f"--runtime-root=python={layout.path}:test"]).start()
    images = daemon.data / "images"
    image = images / layout.manifest["digest"].removeprefix("sha256:")
    made = image.stat().st_ino
    (images / "incoming").mkdir()
    daemon.restart_after_kill()
    assert image.stat().st_ino == made
    assert not (images / "incoming").exists()
    daemon.stop()
    daemon.arguments = [f"--runtime-root=provided={layout.path}:other"]
    daemon.start()
    assert not image.exists() and len(list(images.iterdir())) == 2, "the lock and the other image"
    daemon.stop()
    daemon.arguments = []
    daemon.start()
    assert [entry.name for entry in images.iterdir()] == ["lock"]
    assert daemon.stop() == 0


def damaged(layout, tmp_path):
    """A copy of the layout with one byte of its largest layer changed."""
    copy = tmp_path / "damaged"
    shutil.copytree(layout.path, copy)
    blob = copy / "blobs/sha256" / layout.manifest["layers"][1]["digest"].removeprefix("sha256:")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    return copy


def climbing(layout, tmp_path):
    """A layout with an entry that would land outside."""
    bad = Layout(tmp_path / "climbing")
    bad.image("test", [layer({"../../../../../escaped": "x"})])
    return bad.path


def foreign(layout, tmp_path):
    """A layout of an image for another machine."""
    bad = Layout(tmp_path / "foreign")
    bad.image("test", [layer({"a": "x"})])
    platform = {"os": "linux", "architecture": "s390x"}
    index = {"schemaVersion": 2, "manifests": [bad.manifests[0] | {"platform": platform}]}
    (bad.path / "index.json").write_text(json.dumps(index))
    return bad.path


def empty(layout, tmp_path):
    """A directory with nothing in it."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def broken(layout, tmp_path):
    """A root file system whose interpreter does not run."""
    return Root(tmp_path / "broken").write(f"usr/bin/{PYTHON}", "\x7fELF no program", 0o755).path


def bare(layout, tmp_path):
    """A root file system without any interpreter."""
    return Root(tmp_path / "bare").write("etc/os-release", "ID=bare").path


BAD = {
    "no form": (lambda *_: "", "not of the form ID=PATH", f"{PYTHON}{{path}}"),
    "unknown runtime": (bare, '"pythn" is no runtime', "pythn={path}"),
    "nothing there": (lambda *_: "/no/such/place", "No such file", f"{PYTHON}={{path}}"),
    "empty": (empty, "is empty", f"{PYTHON}={{path}}"),
    "the host": (lambda *_: "/", "own root file system", "provided={path}"),
    "no interpreter": (bare, "it has no Python", f"{PYTHON}={{path}}"),
    "other version": (lambda layout, _: layout.path, f"only {PYTHON.removeprefix('python')}", f"{OTHER}={{path}}:test"),
    "broken interpreter": (broken, "does not run", f"{PYTHON}={{path}}"),
    "no runtime": (bare, "lambd has no runtime of its own for python2.7", "python2.7={path}"),
    "unknown tag": (lambda layout, _: layout.path, 'no image with tag "none"; there is other, test', "python={path}:none"),
    "no tag": (lambda layout, _: layout.path, "several images: other, test", "python={path}"),
    "damaged": (damaged, "is damaged", "python={path}:test"),
    "climbing": (climbing, "leads out of the archive", "provided={path}"),
    "foreign": (foreign, f"no image for linux/{ARCHITECTURE}, only for linux/s390x", "provided={path}"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_values_stop_the_start(layout, tmp_path, case):
    """What cannot be used is refused with its value, the reason and what to do; nothing stays behind."""
    make, reason, value = BAD[case]
    value = value.format(path=make(layout, tmp_path))
    daemon = Daemon(tmp_path, arguments=["--runtime-root", value]).spawn()
    assert daemon.wait_for_exit() in (2, 3)
    said = daemon.output()
    assert reason in said, said
    assert "--runtime-root" in said and value in said, said
    assert "panicked" not in said
    assert case == "no form" or "try:" in said, said
    images = daemon.data / "images"
    left = [entry.name for entry in images.iterdir() if entry.name != "lock"] if images.exists() else []
    # An image that is sound stays for the next try.
    assert left == [] or case == "other version", left
    assert not list(tmp_path.glob("**/escaped"))


def test_one_runtime_has_one_root(directory, tmp_path):
    """Two root file systems for one runtime are a mistake."""
    option = f"--runtime-root=provided={directory.path}"
    daemon = Daemon(tmp_path, arguments=[option, option]).spawn()
    assert daemon.wait_for_exit() == 3
    assert "provided has more than one root file system" in daemon.output()


def test_node_of_a_directory(place, tmp_path):
    """Node.js is found in the root file system too, by its own version."""
    node = os.path.realpath(shutil.which("node"))
    root = Root(place / "node").program(node, "usr/local/bin/node").write("etc/os-release", "ID=node")
    daemon = Daemon(tmp_path, arguments=[f"--runtime-root=nodejs={root.path}"]).start()
    functions = Functions(boto(daemon.url, "lambda"))
    code = "exports.handler = async () => [process.execPath, require('fs').readdirSync('/usr'), process.env.NODE_PATH]"
    functions.node("node", code)
    path, usr, node_path = functions.invoke("node").good()
    assert (path, usr) == ("/usr/local/bin/node", ["local"])
    assert "/var/runtime" in node_path.split(":")
    assert daemon.stop() == 0, daemon.output()
