"""Functions in containers of crun, which must be installed: what a user sees is as at the level namespaces."""

import json
import os
import re
import subprocess

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program, wait_for
from harness.functions import Functions
from harness.roots import Root, bash_runtime

OCI = ["--isolation", "oci", "--oci-runtime", "crun"]


@pytest.fixture(scope="module")
def contained(tmp_path_factory):
    """A daemon whose functions run in containers, some of them with a root file system of their own."""
    folder = tmp_path_factory.mktemp("oci")
    root = Root(folder / "root").shell().write("etc/os-release", "ID=directory")
    daemon = Daemon(folder, arguments=[*OCI, f"--runtime-root=provided.al2={root.path}"]).start()
    yield daemon
    assert daemon.alive(), f"the daemon died:\n{daemon.output()}"
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture(scope="module")
def client(contained):
    """The Lambda API of that daemon."""
    return boto(contained.url, "lambda")


@pytest.fixture
def functions(client):
    """Functions of that daemon."""
    return Functions(client)


def test_python(functions, name):
    """Output, environment, context and result; globals and /tmp persist from event to event."""
    source = """import os
events = 0
def handler(event, context):
    global events
    events += 1
    print("event", events)
    with open("/tmp/events", "a") as file:
        file.write("x")
    return {"event": event, "events": events, "tmp": os.path.getsize("/tmp/events"), "uid": os.getuid(),
            "stage": os.environ["STAGE"], "limit": context.memory_limit_in_mb,
            "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit())}
"""
    functions.python(name, source, Environment={"Variables": {"STAGE": "test"}})
    for number in (1, 2, 3):
        result = functions.invoke(name, {"n": number})
        value = result.good()
        assert (value["event"], value["events"], value["tmp"]) == ({"n": number}, number, number)
        assert (value["uid"], value["stage"], value["limit"]) == (993, "test", "128")
        assert len(value["processes"]) == 2, "the init and the function; the runtime is gone"
        assert f"event {number}\n" in result.log


def test_node(functions, name):
    """A handler that awaits, and one that fails."""
    source = """exports.handler = async (event) => {
  await new Promise((done) => setTimeout(done, 5));
  if (event.fail) throw new TypeError("told to");
  console.log("node", event.n);
  return { n: event.n };
};
"""
    functions.node(name, source)
    result = functions.invoke(name, {"n": 4})
    assert result.good() == {"n": 4}
    assert "node 4" in result.log
    assert functions.invoke(name, {"fail": True}).failed("TypeError")["errorMessage"] == "told to"


def test_provided(functions, name):
    """Custom runtimes: a script, for which /bin/sh is bash, and a program."""
    functions.custom(name, packages.program(bash_runtime('printf "[\\"%s\\", %s]" "${BASH_VERSION:+bash}" "$1"')))
    assert functions.invoke(name, {"a": 1}).good() == ["bash", {"a": 1}]
    functions.rust_echo(f"{name}-rust")
    assert functions.invoke(f"{name}-rust", {"a": [1]}).good() == {"a": [1]}


def test_a_bootstrap_that_cannot_run(functions, name):
    """RT-45: missing, not executable, no program: told in the documented error."""
    for number, code in enumerate(
        [packages.package({"README": "no bootstrap here"}), packages.program("#!/no/such/interpreter\n")]
    ):
        functions.custom(f"{name}-{number}", code)
        functions.invoke(f"{name}-{number}").failed("Runtime.InvalidEntrypoint")


def test_timeout(functions, name):
    """CORE-143: the event ends at the limit, and the next one is served by a new instance."""
    functions.python(
        name, "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'done'\n", Timeout=1
    )
    document = functions.invoke(name, 30).failed("Sandbox.Timedout")
    assert document["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert functions.invoke(name, 0).good() == "done"


@pytest.mark.parametrize(
    ("crash", "status"),
    [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), 9)", "signal: killed"), ("os.abort()", "signal: aborted")],
)
def test_crash(functions, name, crash, status):
    """CORE-313: an exit code and a signal are told apart, and the next event is served."""
    source = f"import os\ndef handler(event, context):\n    if event:\n        {crash}\n    return 'alive'\n"
    functions.python(name, source)
    document = functions.invoke(name, True).failed("Runtime.ExitError")
    assert status in document["errorMessage"], document
    assert functions.invoke(name, False).good() == "alive"


def test_out_of_memory(functions, name):
    """The memory limit holds for the container, and ends only the function that passed it."""
    functions.python(name, "def handler(event, context):\n    return len(bytearray(event << 20))\n")
    document = functions.invoke(name, 500)
    assert document.error == "Unhandled", document
    assert functions.invoke(name, 10).good() == 10 << 20


def test_report(functions, name):
    """The REPORT line has the memory of the function, without that of the runtime."""
    functions.python(name, "def handler(event, context):\n    return len(bytearray(event << 20))\n")
    used = []
    for megabytes in (1, 60):
        log = functions.invoke(name, megabytes).log
        report = re.search(
            r"REPORT RequestId: .*\tMemory Size: 128 MB\tMax Memory Used: (\d+) MB", log
        )
        assert report, log
        used.append(int(report.group(1)))
    assert used[0] < 60 <= used[1] < 128, used


def test_background_work_stops_between_events(functions, name):
    """A thread goes on only while an event is in progress: the container is frozen between events."""
    source = """import threading, time
beats = 0
def beat():
    global beats
    while True:
        beats += 1
        time.sleep(0.01)
threading.Thread(target=beat, daemon=True).start()
def handler(event, context):
    time.sleep(0.2)
    return beats
"""
    functions.python(name, source)
    first = functions.invoke(name).good()
    subprocess.run(["sleep", "2"], check=True)
    assert functions.invoke(name).good() - first < 100


def test_the_endpoint_inside(functions, name):
    """Functions reach lambd's own services from a container."""
    source = """import json, os, urllib.request
def handler(event, context):
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/20260101/{os.environ['AWS_REGION']}/lambda/aws4_request"
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/2015-03-31/functions/{context.function_name}/configuration",
        headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["FunctionName"]
"""
    functions.python(name, source, Timeout=20)
    assert functions.invoke(name).good() == name


def test_a_root_file_system_of_its_own(functions, name):
    """RT-86: a directory as root, in a container."""
    code = packages.program(bash_runtime('printf "\\"%s\\"" "$(cat /etc/os-release)"'))
    functions.create(name, code, "provided.al2", "function.handler")
    assert functions.invoke(name).good() == "ID=directory"


def test_nothing_is_left(contained, functions, name):
    """When the function is deleted, no process, mount or file of a container is left."""
    functions.python(name, "import os\ndef handler(event, context):\n    return os.readlink('/proc/self/ns/mnt')\n")
    namespace = functions.invoke(name).good()

    def members():
        links = [f"/proc/{pid}/ns/mnt" for pid in os.listdir("/proc") if pid.isdigit()]
        return [link for link in links if os.path.exists(link) and os.readlink(link) == namespace]

    assert members()
    functions.client.delete_function(FunctionName=name)
    wait_for(lambda: not members(), "the last process of the container to be gone")
    below = [path for path in contained.data.rglob("*") if path.name == "config.json" or "rootfs" in path.name]
    assert not below, below


def test_start_up_and_doctor_name_the_runtime(contained):
    """CORE-009: which runtime is in force, with its version."""
    version = subprocess.run(["crun", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    assert f"oci with crun {version}" in contained.output()
    done = subprocess.run(
        [program(), "doctor", "-o", "json", *OCI], capture_output=True, text=True, env=environment(), timeout=60
    )
    report = json.loads(done.stdout)
    assert report["isolationInForce"] == f"oci with crun {version}"
    assert {"name": f"oci with crun {version}", "status": "available"} in report["isolation"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--oci-runtime", "no-such-runtime"], "no-such-runtime is not in PATH"),
        (["--oci-runtime", "/bin/false"], "--version ended with"),
        (["--oci-runtime", "/bin/true"], "a trial container of true"),
        (["--oci-runtime-arg", "--no-such-option"], "unrecognized option '--no-such-option'"),
    ],
    ids=["missing", "no version", "no runtime", "bad option"],
)
def test_a_runtime_that_does_not_work_stops_the_start(tmp_path, arguments, reason):
    """What was demanded and cannot be had is told, and nothing weaker is used instead."""
    command = [program(), "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--isolation", "oci"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode > 0
    assert "isolation level oci does not work here" in done.stderr, done.stderr
    assert reason in done.stderr, done.stderr
