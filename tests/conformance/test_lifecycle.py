"""The life of an instance: initialisation and its second try, freezing, shutting down."""

import os
import re
import signal
import threading
import time

import pytest

from harness import logs as function_logs
from harness import packages
from harness.clients import boto
from harness.daemon import wait_for
from harness.functions import Functions, node_runtime, python_runtime
from harness.processes import child_of, marked

MS = r"\d+\.\d\d ms"
NUMBERS = rf"Duration: {MS}\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\t"


def init_report(phase: str, status: str) -> str:
    return rf"INIT_REPORT Init Duration: {MS}\tPhase: {phase}\tStatus: {status}\n"


def duration(line: str, field: str = "Duration") -> float:
    """A number of a REPORT or INIT_REPORT line, in milliseconds."""
    return float(re.search(rf"(?:^|[\t ]){field}: ([\d.]+) ms", line.removeprefix("INIT_REPORT"))[1])


def only_stream(logs, name: str) -> str:
    (stream,) = function_logs.streams(logs, name)
    return stream


def platform_lines(messages: list) -> list:
    """What the platform wrote, without the function's own output."""
    own = re.compile(r"INIT_REPORT |START |END |REPORT |RequestId: |\S+ [0-9a-f-]{36} Task timed out")
    return [message for message in messages if own.match(message)]


def matches(lines: list, patterns: list):
    """Each line matches its pattern, and there are no others."""
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns):
        assert re.fullmatch(pattern, line), (line, pattern)


# -- initialisation --------------------------------------------------------------------------------

EXITING = "#!/bin/sh\necho going\nexit 7\n"
CRASHING = "#!/bin/bash\nkill -SEGV $$\n"
FAILING_INITS = {
    "exit": ("provided", EXITING, "Runtime.ExitError", "Runtime exited with error: exit status 7"),
    "crash": ("provided", CRASHING, "Runtime.ExitError", "Runtime exited with error: signal: segmentation fault"),
    "not a program": (
        "provided",
        "no program",
        "Runtime.InvalidEntrypoint",
        "fork/exec /var/task/bootstrap: exec format error",
    ),
    "missing": (
        "provided",
        None,
        "Runtime.InvalidEntrypoint",
        r"Couldn't find valid bootstrap\(s\): \[/var/task/bootstrap /opt/bootstrap\]",
    ),
    "exit of Python": ("python", "import sys\nsys.exit(3)\n", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
    "exit 0": ("provided", "#!/bin/sh\nexit 0\n", "Runtime.ExitError", "Runtime exited without providing a reason"),
    "memory": ("python", "hoard = b'x' * 2**30\n", "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
    "import": ("python", "import nothing_here\n", "Runtime.ImportModuleError", None),
    "import of Node.js": ("node", "require('nothing-here')\n", "Runtime.ImportModuleError", None),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILING_INITS)
def test_a_failing_init_is_tried_twice(functions, logs, name, case):
    """RT-50, RT-70, CORE-313: once in the init phase and once inside the event, with a line for each, and
    the error of the second try is the caller's."""
    runtime, source, error_type, text = FAILING_INITS[case]
    if runtime == "provided":
        package = packages.package({"other": "x"}) if source is None else packages.program(source)
        functions.custom(name, package)
    elif runtime == "python":
        functions.create(name, packages.package({"app.py": source}), python_runtime())
    else:
        functions.create(name, packages.package({"index.js": source}), node_runtime(), "index.handler")
    result = functions.invoke(name)
    document = result.failed(error_type)
    request = result.request_id
    expected = [
        init_report("init", rf"error\tError Type: {error_type}"),
        init_report("invoke", rf"error\tError Type: {error_type}"),
        rf"START RequestId: {request} Version: \$LATEST\n",
        rf"RequestId: {request} Error: {text}\n{error_type}\n",
        rf"END RequestId: {request}\n",
        rf"REPORT RequestId: {request}\t{NUMBERS}Status: error\tError Type: {error_type}\n",
    ]
    if text is None:
        # The runtime itself has told the error.
        assert "nothing" in document["errorMessage"]
        del expected[3]
    else:
        assert re.fullmatch(f"RequestId: {request} Error: {text}", document["errorMessage"])
    logged = function_logs.of_request(logs, name, only_stream(logs, name), request)
    matches(platform_lines(logged), expected)
    # The second try is part of the event's time, the first is not.
    first, second = (duration(line, "Init Duration") for line in platform_lines(logged)[:2])
    assert second <= duration(logged[-1]) < second + 1000, (first, second, logged[-1])
    assert "INIT_REPORT" in result.log
    if case == "exit":
        assert [m for m in logged if m == "going\n"] == ["going\n"] * 2
        assert logged.index("going\n") < logged.index(platform_lines(logged)[0])
    if case.startswith("import"):
        said = [n for n, m in enumerate(logged) if "Runtime.ImportModuleError" in m and not m.startswith(("INIT", "REP"))]
        reports = [n for n, m in enumerate(logged) if m.startswith("INIT_REPORT")]
        assert len(said) == 2, logged
        assert said[0] < reports[0] < said[1] < reports[1], logged


LATE_INIT = """import os, time
print("init begins")
while time.time() < float(os.environ["UNTIL"]):
    time.sleep(0.01)
n = 0
def handler(event, context):
    global n
    n += 1
    print("handled")
    return [n, context.get_remaining_time_in_millis()]
"""


@pytest.fixture(scope="module")
def slow_inits(shared_lambda, shared_logs):
    """Functions whose init overruns ten seconds, invoked at one time: result and log by name."""
    functions = Functions(shared_lambda)
    functions.custom("slow-never", packages.program("#!/bin/sh\necho waiting\nsleep 600\n"), Timeout=1)
    for name in ("slow-late", "slow-late-async"):
        late = {"UNTIL": str(time.time() + 12.5)}
        functions.python(name, LATE_INIT, Timeout=15, Environment={"Variables": late})
    results = {}

    def call(name, **parameters):
        began = time.monotonic()
        results[name] = (functions.invoke(name, **parameters), time.monotonic() - began)

    callers = [threading.Thread(target=call, args=(name,)) for name in ("slow-never", "slow-late")]
    callers.append(
        threading.Thread(
            target=call, args=("slow-late-async",), kwargs={"InvocationType": "Event", "LogType": "None"}
        )
    )
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    found = {}
    for name, (result, seconds) in results.items():
        request = result.request_id
        wait_for(lambda name=name: _streams(shared_logs, name), f"a log stream of {name}")
        logged = function_logs.of_request(shared_logs, name, only_stream(shared_logs, name), request)
        found[name] = (result, seconds, logged)
    yield found
    for name in results:
        shared_lambda.delete_function(FunctionName=name)


def _streams(logs, name):
    try:
        return function_logs.streams(logs, name)
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_an_init_that_never_ends(daemon, slow_inits):
    """RT-51, CORE-143: ten seconds in the init phase, then the function's own timeout."""
    result, seconds, logged = slow_inits["slow-never"]
    request = result.request_id
    message = f"RequestId: {request} Error: Task timed out after 1.00 seconds"
    assert result.failed("Sandbox.Timedout") == {"errorType": "Sandbox.Timedout", "errorMessage": message}
    matches(
        platform_lines(logged),
        [
            init_report("init", "timeout"),
            init_report("invoke", "timeout"),
            rf"START RequestId: {request} Version: \$LATEST\n",
            rf"\S+Z {request} Task timed out after 1.00 seconds\n",
            rf"END RequestId: {request}\n",
            rf"REPORT RequestId: {request}\t{NUMBERS}Status: timeout\n",
        ],
    )
    first, second = (duration(line, "Init Duration") for line in platform_lines(logged)[:2])
    assert 10_000 <= first < 10_500, first
    assert 900 < second < 1_200, second
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in logged[-1]
    assert logged.count("waiting\n") == 2
    assert 11 <= seconds < 13


@pytest.mark.parametrize("function", ["slow-late", "slow-late-async"])
def test_a_slow_init_succeeds_at_the_second_try(daemon, slow_inits, functions, function):
    """RT-51: inside the event, in the function's own time; the instance is good for more events."""
    result, seconds, logged = slow_inits[function]
    request = result.request_id
    assert logged == [
        "init begins\n",
        logged[1],
        "init begins\n",
        f"START RequestId: {request} Version: $LATEST\n",
        "handled\n",
        f"END RequestId: {request}\n",
        logged[6],
    ]
    assert re.fullmatch(init_report("init", "timeout"), logged[1])
    assert re.fullmatch(rf"REPORT RequestId: {request}\t{NUMBERS}\n", logged[6]), "no Init Duration"
    assert 1_000 < duration(logged[6]) < 4_000, "the second try counts"
    if function == "slow-late":
        n, remaining = result.good()
        assert (n, 11_000 < remaining < 14_000) == (1, True), "the second try used its part of the time"
        assert 11 < seconds < 16
    assert functions.invoke(function).good()[0] == 2


def test_init_does_not_count_towards_the_timeout(functions, name):
    """CORE-143: when the init phase was fine, the timeout is for the event alone."""
    functions.python(name, "import time\ntime.sleep(1.5)\ndef handler(event, context):\n    return 1\n", Timeout=1)
    result = functions.invoke(name)
    assert result.good() == 1
    report = result.log.splitlines()[-1]
    assert duration(report, "Init Duration") > 1500
    assert duration(report) < 1000


# -- between events --------------------------------------------------------------------------------


def test_timers_fire_on_thaw(functions, name):
    """RT-31: a timer that ran out while the instance was frozen fires with the next event, in Python and
    Node.js, and not before."""
    python = """import threading, time
fired = []
def handler(event, context):
    if event:
        threading.Timer(0.4, lambda: fired.append(time.time())).start()
        return time.time()
    time.sleep(0.2)
    return fired
"""
    node = """let fired = [];
exports.handler = async (event) => {
    if (event) { setTimeout(() => fired.push(Date.now() / 1000), 400); return Date.now() / 1000; }
    await new Promise(done => setTimeout(done, 200));
    return fired;
};
"""
    functions.python(name, python)
    functions.node(f"{name}-node", node)
    set_at = {function: functions.invoke(function, 1).good() for function in (name, f"{name}-node")}
    # Nothing to wait for: the point is that time passes and nothing happens.
    time.sleep(1.5)
    for function, began in set_at.items():
        (fired,) = functions.invoke(function, 0).good()
        assert fired - began > 1.4, (function, began, fired)


def test_instances_share_nothing(functions, name):
    """RT-29, RT-30, CORE-011: /tmp and globals are one instance's own, even at the same time."""
    source = """import os, time, uuid
mine = uuid.uuid4().hex
def handler(event, context):
    before = sorted(os.listdir("/tmp"))
    open("/tmp/" + mine, "w").close()
    time.sleep(0.5)
    return [mine, before, sorted(os.listdir("/tmp"))]
"""
    functions.python(name, source, Timeout=10)
    values = []
    callers = [
        threading.Thread(target=lambda: values.append(functions.invoke(name).good())) for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len({mine for mine, _, _ in values}) == 3
    for mine, before, after in values:
        assert (before, after) == ([], [mine])
    mine, before, after = functions.invoke(name).good()
    assert before == after == [mine]


def test_a_daemonised_child_belongs_to_the_instance(functions, lambda_, name):
    """RT-31: it runs on with events, is frozen between them, and ends with the instance."""
    source = """import os, time
def handler(event, context):
    if not os.path.exists("/tmp/ticks") and os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                with open("/tmp/ticks", "a") as file:
                    file.write("x")
                time.sleep(0.01)
        os._exit(0)
    time.sleep(event)
    return os.path.getsize("/tmp/ticks")
"""
    mark = f"daemonised-{os.getpid()}-{name}"
    functions.python(name, source, Timeout=10, Environment={"Variables": {"PYTHON_MARK": mark}})
    before = functions.invoke(name, 0.3).good()
    assert before > 0
    # Nothing to wait for: the point is that time passes and nothing happens.
    time.sleep(1)
    between = functions.invoke(name, 0).good()
    assert between - before < 40, (before, between)
    assert functions.invoke(name, 0.5).good() > between
    assert len(marked(mark)) == 2
    lambda_.delete_function(FunctionName=name)
    wait_for(lambda: not marked(mark), "the daemonised child to end", 5)


def test_death_at_the_thaw(functions, name):
    """CORE-017, RT-32: an event whose instance dies when it goes on gets the error; the next one does not."""
    source = """import os, threading, time
def handler(event, context):
    time.sleep(event)
    threading.Timer(0.4, lambda: os._exit(4)).start()
    return 1
"""
    functions.python(name, source, Timeout=10)
    assert functions.invoke(name, 0).good() == 1
    # Nothing to wait for: the timer runs out while the instance is frozen.
    time.sleep(1)
    message = functions.invoke(name, 5).failed("Runtime.ExitError")["errorMessage"]
    assert message.endswith("Error: Runtime exited with error: exit status 4")
    assert functions.invoke(name, 0).good() == 1


def test_a_runtime_that_ends_after_each_answer(functions, name):
    """RT-26, RT-32: it never asks for a second event, so none is lost with it."""
    script = """#!/bin/bash
URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
ID="$(curl -sS -D - -o /dev/null "$URL/next" | grep -Fi Lambda-Runtime-Aws-Request-Id | tr -d '[:space:]' | cut -d: -f2)"
curl -sS -d "$$" "$URL/$ID/response"
sleep 0.05
"""
    functions.custom(name, packages.program(script), Timeout=10)
    for _ in range(5):
        functions.invoke(name).good()


# -- the end ---------------------------------------------------------------------------------------

POLITE = """import os, signal, sys
def end(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
def handler(event, context):
    return context.log_stream_name
"""
STUBBORN = """import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    while True:
        signal.pause()
def handler(event, context):
    return 1
"""


@pytest.mark.parametrize("how", ["update", "delete"])
def test_a_retired_instance_is_asked_to_end(functions, lambda_, logs, name, how):
    """CORE-026: SIGTERM reaches it, frozen or not, and what it says then is in its log."""
    functions.python(name, POLITE)
    stream = functions.invoke(name).good()
    # Frozen meanwhile.
    time.sleep(0.3)
    if how == "update":
        functions.configure(name, Description="new")
    else:
        lambda_.delete_function(FunctionName=name)
    logged = wait_for(
        lambda: (found := function_logs.messages(logs, name, stream))[-1] == "bye\n" and found,
        "the last words",
        5,
    )
    assert logged[-2].startswith("REPORT ")


def test_a_stubborn_instance_is_killed_and_nobody_waits(functions, name):
    """CORE-026: what ignores SIGTERM is killed with all its children, while the next event is served (the
    best of some tries, because other tests and programs use the machine too)."""
    marks = [f"stubborn-{os.getpid()}-{name}-{n}" for n in range(4)]
    functions.python(name, STUBBORN, Environment={"Variables": {"PYTHON_MARK": marks[0]}})
    functions.invoke(name).good()
    assert len(marked(marks[0])) == 2
    waited = []
    for old, new in zip(marks, marks[1:]):
        functions.configure(name, Environment={"Variables": {"PYTHON_MARK": new}})
        began = time.monotonic()
        functions.invoke(name).good()
        waited.append(time.monotonic() - began)
        wait_for(lambda old=old: not marked(old), "the old instance to end", 5)
    assert min(waited) < 0.4, f"events waited for old instances: {waited}"


def test_stopping_the_daemon_asks_instances_to_end(own_daemon):
    """CORE-026: at the end of the daemon too, and their last words are kept."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.python("polite", POLITE)
    mark = f"stubborn-{os.getpid()}-{own_daemon.port}"
    functions.python("stubborn", STUBBORN, Environment={"Variables": {"PYTHON_MARK": mark}})
    stream = functions.invoke("polite").good()
    functions.invoke("stubborn").good()
    time.sleep(0.3)
    began = time.monotonic()
    assert own_daemon.stop() == 0
    assert time.monotonic() - began < 5
    assert not marked(mark)
    own_daemon.start()
    assert function_logs.messages(boto(own_daemon.url, "logs"), "polite", stream)[-1] == "bye\n"


def _groups(daemon: int) -> list:
    """Control groups that were made for a daemon, by its process id."""
    name = re.compile(rf"[/-]{daemon}-")
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if name.search(folder)]


@pytest.mark.parametrize("killed", ["daemon", "daemon and spawner"])
def test_nothing_is_left_after_a_kill(own_daemon, killed):
    """CORE-026: busy and frozen instances end with a killed daemon, and its next start removes what the
    kernel keeps of them; even frozen processes, when nobody was left to thaw them."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    mark = f"orphan-{os.getpid()}-{own_daemon.port}"
    source = STUBBORN.replace("return 1", "import time\n    print('busy', flush=True)\n    time.sleep(event)")
    for name in ("frozen", "busy"):
        functions.python(name, source, Timeout=60, Environment={"Variables": {"PYTHON_MARK": mark}})
    functions.invoke("frozen", 0)
    functions.invoke("busy", 50, InvocationType="Event", LogType="None")
    logs = boto(own_daemon.url, "logs")
    wait_for(lambda: _streams(logs, "busy") and len(marked(mark)) == 4, "both to run")
    time.sleep(0.3)
    old = own_daemon.process.pid
    before = marked(mark)
    if killed == "daemon":
        own_daemon.kill()
        wait_for(lambda: not marked(mark), "the instances of a killed daemon to end", 10)
    else:
        spawner = child_of(old, "lambd-spawner")
        # Not to notice, and end in good order.
        own_daemon.process.send_signal(signal.SIGSTOP)
        os.kill(spawner, signal.SIGKILL)
        own_daemon.kill()
    own_daemon.start()
    wait_for(lambda: not set(before) & set(marked(mark)), "the old instances to end", 10)
    wait_for(lambda: not _groups(old), "the old daemon's control groups to go", 10)
    # The event that was under way starts again, which is not the point here.
    boto(own_daemon.url, "lambda").delete_function(FunctionName="busy")
    own_daemon.kill()
