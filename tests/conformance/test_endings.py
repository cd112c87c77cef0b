"""How an event can end badly: timeouts, crashes, floods, broken connections; each time in the documented error,
and the next event is served."""

import os
import re
import time

import pytest

from harness import logs as function_logs
from harness import packages
from harness.clients import Wire
from harness.daemon import wait_for
from harness.processes import marked, memory_peak

MS = r"\d+\.\d\d ms"
NUMBERS = rf"Duration: {MS}\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\t"


def logged_by(logs, name: str, request: str) -> list:
    """What the log has of one request, from START on."""
    for stream in function_logs.streams(logs, name):
        messages = function_logs.messages(logs, name, stream)
        starts = [n for n, message in enumerate(messages) if message.startswith(f"START RequestId: {request} ")]
        if starts:
            return function_logs.of_request(logs, name, stream, request)[starts[0] :]
    raise AssertionError(f"no log stream of {name} has {request}")


# -- timeouts --------------------------------------------------------------------------------------


def test_a_timeout_is_on_time(daemon, functions, logs, name):
    """API-125.15,
    CORE-143, CORE-313: at the function's limit to within 20 ms, as the client sees it (the best of some
    tries, because other tests and programs use the machine too)."""
    source = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
    functions.python(name, source, Timeout=1)
    wire = Wire(daemon.port)
    late = []
    for _ in range(6):
        wire.invoke(name, b"0")
        began = time.monotonic()
        reply = wire.invoke(name, b"30")
        late.append(time.monotonic() - began - 1)
        request = reply.headers["x-amzn-requestid"]
        assert reply.headers["x-amz-function-error"] == "Unhandled"
        assert reply.body == (
            b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: %s Error: Task timed out after 1.00 seconds"}'
            % request.encode()
        )
        if min(late) < 0.01:
            break
    assert all(seconds >= 0 for seconds in late), late
    assert min(late) < 0.02, late
    start, told, end, report = logged_by(logs, name, request)
    assert start == f"START RequestId: {request} Version: $LATEST\n"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {request} Task timed out after 1.00 seconds\n", told)
    assert end == f"END RequestId: {request}\n"
    assert re.fullmatch(rf"REPORT RequestId: {request}\t{NUMBERS}Status: timeout\n", report)
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in report


ESCAPES = """import os, signal, subprocess, sys, time
def ignoring():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)
def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid
def daemon():
    os.setsid()
    child(ignoring)
def handler(event, context):
    child(ignoring)
    os.waitpid(child(daemon), 0)
    os.kill(child(ignoring), signal.SIGSTOP)
    subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; while :; do :; done"])
    print("all up", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(30)
"""


def test_nothing_survives_a_timeout(functions, logs, name):
    """CORE-143: neither what ignores signals, nor a daemon, nor what is stopped, nor what is busy."""
    mark = f"survivor-{os.getpid()}-{name}"
    functions.python(name, ESCAPES, Timeout=1, Environment={"Variables": {"PYTHON_MARK": mark}})
    result = functions.invoke(name)
    left = marked(mark)
    began = time.monotonic()
    result.failed("Sandbox.Timedout")
    wait_for(lambda: not marked(mark), "the processes of the event to end", 2)
    assert time.monotonic() - began < 0.2, f"{len(left)} processes were left when the client had its answer"
    assert "all up\n" in logged_by(logs, name, result.request_id)


def test_output_at_the_timeout_stays_in_order(functions, logs, name):
    """LANG1-043: a function that writes until it is killed has no line behind END and REPORT."""
    source = "def handler(event, context):\n    n = 0\n    while True:\n        print(n, flush=True)\n        n += 1\n"
    functions.python(name, source, Timeout=1)
    result = functions.invoke(name)
    result.failed("Sandbox.Timedout")
    # The function's next instance has a stream of its own.
    functions.invoke(name)
    stream = next(s for s in function_logs.streams(logs, name) if _has(logs, name, s, result.request_id))
    messages = _all_messages(logs, name, stream)
    assert messages[-1].startswith(f"REPORT RequestId: {result.request_id}\t")
    assert messages[-2] == f"END RequestId: {result.request_id}\n"
    assert "Task timed out" in messages[-3]
    numbers = [int(message) for message in messages[1:-3] if message.strip().isdigit()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1000


def _has(logs, name, stream, request):
    tail = logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, limit=3)["events"]
    return any(f"REPORT RequestId: {request}" in event["message"] for event in tail)


def _all_messages(logs, name: str, stream: str) -> list:
    """All messages of a long stream, page by page."""
    found, token = [], None
    while True:
        parameters = {"nextToken": token} if token else {"startFromHead": True}
        page = logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, **parameters)
        found += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            return found
        token = page["nextForwardToken"]


# -- ends of the process ---------------------------------------------------------------------------

KILLED = "Runtime exited with error: signal: killed"
ENDINGS = {
    "exit 0": ("os._exit(0)", "Runtime.ExitError", "Runtime exited without providing a reason"),
    "exit 5": ("os._exit(5)", "Runtime.ExitError", "Runtime exited with error: exit status 5"),
    "sys.exit": ("import sys; sys.exit(6)", "Runtime.ExitError", "Runtime exited with error: exit status 6"),
    "SIGSEGV": (
        "import ctypes; ctypes.string_at(0)",
        "Runtime.ExitError",
        "Runtime exited with error: signal: segmentation fault",
    ),
    "SIGABRT": ("os.abort()", "Runtime.ExitError", "Runtime exited with error: signal: aborted"),
    "SIGKILL": ("os.kill(os.getpid(), 9); import time; time.sleep(9)", "Runtime.ExitError", KILLED),
    "out of memory": ("hoard = b'x' * 2**30", "Runtime.OutOfMemory", KILLED),
    "out of memory by little": (
        "hoard = []\n        while True: hoard.append(bytearray(2**20))",
        "Runtime.OutOfMemory",
        KILLED,
    ),
    "with a child left": (
        "os.fork() or __import__('time').sleep(60); os._exit(7)",
        "Runtime.ExitError",
        "Runtime exited with error: exit status 7",
    ),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_the_process_ends(functions, logs, name, case):
    """CORE-017, CORE-313, LANG1-043..048: document, header and log of each way to die; the next event gets
    a fresh instance, and nothing of the old one is left."""
    code, error_type, text = ENDINGS[case]
    source = f"import os\nn = 0\ndef handler(event, context):\n    global n\n    n += 1\n    if event:\n        os.write(1, b'last words')\n        {code}\n    return n\n"
    mark = f"ended-{os.getpid()}-{name}"
    functions.python(name, source, Timeout=20, Environment={"Variables": {"PYTHON_MARK": mark}})
    assert functions.invoke(name, 0).good() == 1
    old = marked(mark)
    result = functions.invoke(name, 1)
    request = result.request_id
    message = f"RequestId: {request} Error: {text}"
    assert result.failed(error_type) == {"errorType": error_type, "errorMessage": message}
    start, words, told, end, report = logged_by(logs, name, request)
    assert start == f"START RequestId: {request} Version: $LATEST\n"
    assert words == "last words\n"
    assert told == f"{message}\n{error_type}\n"
    assert end == f"END RequestId: {request}\n"
    assert re.fullmatch(rf"REPORT RequestId: {request}\t{NUMBERS}Status: error\tError Type: {error_type}\n", report)
    if error_type == "Runtime.OutOfMemory":
        assert 120 <= int(re.search(r"Max Memory Used: (\d+) MB", report)[1]) <= 128
    assert functions.invoke(name, 0).good() == 1
    assert not set(old) & set(marked(mark))


# -- output ----------------------------------------------------------------------------------------

FLOOD = 30_000


def test_a_flood_of_output(daemon, functions, logs, name):
    """LANG1-041, RT-56: 30 MB in one event: every line is kept, in order, and the daemon's memory stays as it
    is, because a function that writes faster than its log is stored waits."""
    source = f"""def handler(event, context):
    for n in range({FLOOD}):
        print(f"{{n:08}} " + "x" * 1000)
    return n
"""
    functions.python(name, source, Timeout=60)
    before = memory_peak(daemon.process.pid)
    result = functions.invoke(name)
    assert result.good() == FLOOD - 1
    (stream,) = function_logs.streams(logs, name)
    wait_for(lambda: _has(logs, name, stream, result.request_id), "the REPORT line")
    grown = memory_peak(daemon.process.pid) - before
    assert grown < 64 * 1024 * 1024, f"the daemon grew by {grown >> 20} MiB"
    lines = [message for message in _all_messages(logs, name, stream) if message[8:10] == " x"]
    assert [int(line[:8]) for line in lines] == list(range(FLOOD))
    assert {len(line) for line in lines} == {1010}


# -- the Runtime API -------------------------------------------------------------------------------

#: Handlers that misuse the connection to the Runtime API behind their runtime's back.
MISUSE = """import os, socket, threading, time
def call(text, read=True):
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(text.encode())
    answer = b""
    while read and (piece := connection.recv(65536)):
        answer += piece
        if b"\\r\\n\\r\\n" in answer: break
    connection.close()
    return answer.decode()
PREFIX = "/2018-06-01/runtime/invocation"
def half_sent(context):
    call(f"POST {PREFIX}/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100\\r\\n\\r\\nhalf", read=False)
def asked_again(context):
    answer = call(f"GET {PREFIX}/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert answer.startswith("HTTP/1.1 200") and context.aws_request_id in answer, answer
def two_answers(context):
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    first = socket.create_connection((host, int(port)))
    first.sendall(f"POST {PREFIX}/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9\\r\\n\\r\\nhal".encode())
    time.sleep(0.1)
    answer = call(f"POST {PREFIX}/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6\\r\\n\\r\\nsecond")
    assert answer.startswith("HTTP/1.1 403"), answer
    first.close()
    time.sleep(0.1)
def garbage(context):
    assert call("this is not HTTP\\r\\n\\r\\n").startswith("HTTP/1.1 400")
def many(context):
    for _ in range(40):
        call(f"GET {PREFIX}/nothing HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
def handler(event, context):
    globals()[event](context)
    return "whole"
"""


@pytest.mark.parametrize("case", ["half_sent", "asked_again", "two_answers", "garbage", "many"])
def test_misused_runtime_api(functions, name, case):
    """RT-65..71: an answer that breaks off, a second process that asks, two answers at once: the event ends with
    the whole answer of its runtime, and so does the next."""
    functions.python(name, MISUSE, Timeout=10)
    for _ in range(2):
        assert functions.invoke(name, case).good() == "whole"


def test_a_connection_that_breaks_while_it_waits(functions, name):
    """RT-65: a runtime whose call for the next event was cut off calls again and gets the event."""
    script = """#!/bin/bash
URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  curl -sS -m 0.2 "$URL/next" -D /tmp/headers -o /tmp/event 2>/dev/null || continue
  ID="$(grep -Fi Lambda-Runtime-Aws-Request-Id /tmp/headers | tr -d '[:space:]' | cut -d: -f2)"
  curl -sS --data-binary @/tmp/event "$URL/$ID/response"
done
"""
    functions.custom(name, packages.program(script), Timeout=5)
    for n in range(6):
        assert functions.invoke(name, {"n": n}).good() == {"n": n}
        time.sleep(0.15 * (n % 3))


def test_an_event_that_got_lost_is_given_again(functions, name):
    """RT-65: what was taken and never answered is there when the runtime asks again."""
    body = """  curl -sS "$URL/invocation/next" > /tmp/again
  curl -sS --data-binary @/tmp/again "$URL/invocation/$ID/response" """
    functions.custom(name, packages.bash(body), Timeout=5)
    for n in range(3):
        assert functions.invoke(name, {"n": n}).good() == {"n": n}


def test_a_runtime_that_loses_its_connection_for_good(functions, name):
    """CORE-143: it never answers, the event times out, and the next one gets a fresh instance."""
    source = """import os, time
def handler(event, context):
    if event:
        os.closerange(3, 1024)
        time.sleep(60)
    return "fine"
"""
    functions.python(name, source, Timeout=1)
    assert functions.invoke(name, 0).good() == "fine"
    functions.invoke(name, 1).failed("Sandbox.Timedout")
    assert functions.invoke(name, 0).good() == "fine"


def test_two_processes_of_one_runtime(functions, name):
    """RT-65, RT-71: workers that race for events: each event has one answer, and none is lost."""
    script = """#!/bin/bash
URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
work() {
  while true; do
    EVENT="$(curl -sS -D "/tmp/headers.$1" "$URL/next")"
    ID="$(grep -Fi Lambda-Runtime-Aws-Request-Id "/tmp/headers.$1" | tr -d '[:space:]' | cut -d: -f2)"
    curl -sS -o /dev/null -d "[$1, $EVENT]" "$URL/$ID/response"
  done
}
work 1 & work 2 & work 3 &
wait
"""
    functions.custom(name, packages.program(script), Timeout=5)
    workers = set()
    for n in range(12):
        worker, event = functions.invoke(name, n).good()
        assert event == n
        workers.add(worker)
    assert len(workers) > 1
