"""Python functions: handler, context, environment, logs, errors, reuse."""

import base64
import json
import re
import time

import pytest

from harness import logs as function_logs
from harness import packages
from harness.functions import arn, python_runtime

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_events_of_every_json_type(functions, name):
    """LANG1-105..107, LANG1-109, CORE-010: any JSON value comes in and goes out; no value is null."""
    functions.python(name, "def handler(event, context):\n    return [type(event).__name__, event]\n")
    cases = {"dict": {"a": 1}, "list": [1], "str": "ü", "int": 3, "float": 1.5, "NoneType": None, "bool": True}
    for kind, value in cases.items():
        assert functions.invoke(name, raw=json.dumps(value).encode()).good() == [kind, value]
    functions.python(f"{name}-none", "def handler(event, context):\n    pass\n")
    assert functions.invoke(f"{name}-none").payload == b"null"


def test_example_of_the_guide(functions, name):
    """LANG1-110: the guide's first handler."""
    source = (
        "def my_handler(event, context):\n"
        "    message = 'Hello {} {}!'.format(event['first_name'], event['last_name'])\n"
        "    return {'message': message}\n"
    )
    functions.python(name, source, "app.my_handler")
    assert functions.invoke(name, {"first_name": "Ada", "last_name": "L."}).good() == {"message": "Hello Ada L.!"}


def test_context(functions, name):
    """LANG1-111, LANG1-112, RT-33: every property of the context object, and the time that is left."""
    source = """import time
def handler(event, context):
    first = context.get_remaining_time_in_millis()
    time.sleep(0.2)
    return {
        "left": [first, context.get_remaining_time_in_millis()],
        "function_name": context.function_name,
        "function_version": context.function_version,
        "invoked_function_arn": context.invoked_function_arn,
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "aws_request_id": context.aws_request_id,
        "log_group_name": context.log_group_name,
        "log_stream_name": context.log_stream_name,
        "identity": hasattr(context, "identity"),
        "client_context": context.client_context is None,
    }
"""
    functions.python(name, source, Timeout=10, MemorySize=192)
    result = functions.invoke(name)
    context = result.good()
    first, second = context.pop("left")
    assert 5_000 < first <= 10_000
    assert 190 <= first - second < 2_000
    stream = context.pop("log_stream_name")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert str(context.pop("memory_limit_in_mb")) == "192"
    assert context == {
        "function_name": name,
        "function_version": "$LATEST",
        "invoked_function_arn": arn(name),
        "aws_request_id": result.request_id,
        "log_group_name": f"/aws/lambda/{name}",
        "identity": True,
        "client_context": True,
    }


def test_client_context(functions, name):
    """API-125.5, RT-63, LANG1-112: what the caller passes reaches the context object."""
    source = "def handler(event, context):\n    c = context.client_context\n    return [c.custom, c.env, c.client.app_title]\n"
    functions.python(name, source)
    sent = {"custom": {"k": "v"}, "env": {"locale": "de"}, "client": {"app_title": "T"}}
    encoded = base64.b64encode(json.dumps(sent).encode()).decode()
    assert functions.invoke(name, ClientContext=encoded).good() == [{"k": "v"}, {"locale": "de"}, "T"]


def test_output_goes_to_the_log(functions, logs, name):
    """LANG1-041, LANG1-114, LANG1-115, RT-56: print, stderr, logging and output during init."""
    source = """import logging, sys
print("during init")
logger = logging.getLogger()
logger.setLevel(logging.INFO)
def handler(event, context):
    print("printed ü")
    print("to stderr", file=sys.stderr)
    logger.info("logged %d", 7)
    logger.debug("not logged")
    return context.log_stream_name
"""
    functions.python(name, source)
    result = functions.invoke(name)
    logged = function_logs.of_request(logs, name, result.good(), result.request_id)
    texts = [message.rstrip("\n") for message in logged]
    for text in ("during init", "printed ü", "to stderr"):
        assert text in texts, texts
    record = rf"\[INFO\]\t{ISO}\t{result.request_id}\tlogged 7"
    assert any(re.fullmatch(record, text) for text in texts), texts
    assert not any("not logged" in text for text in texts)
    start = next(i for i, text in enumerate(texts) if text.startswith("START "))
    end = next(i for i, text in enumerate(texts) if text.startswith("END "))
    assert start < texts.index("printed ü") < end


def test_unhandled_exception(functions, logs, name):
    """API-125.11, API-125.12, LANG1-058..061, LANG1-116, LANG1-117, CORE-314: the document, the header, the log."""
    source = (
        "def handler(event, context):\n    return inner(event)\n\ndef inner(x):\n    raise ValueError('bad ü')\n"
    )
    functions.python(name, source)
    result = functions.invoke(name)
    document = result.failed("ValueError")
    assert document["errorMessage"] == "bad ü"
    trace = document["stackTrace"]
    assert [re.sub(r"\n\s+\^+\n?$", "\n", frame) for frame in trace] == [
        '  File "/var/task/app.py", line 2, in handler\n    return inner(event)\n',
        "  File \"/var/task/app.py\", line 5, in inner\n    raise ValueError('bad ü')\n",
    ]
    assert "[ERROR] ValueError: bad ü" in result.log
    assert functions.invoke(name).failed("ValueError")["errorMessage"] == "bad ü"


FAULTS = {
    "no module": ("x = 1\n", "missing.handler", "Runtime.ImportModuleError", r"Unable to import module 'missing'"),
    "no function": ("x = 1\n", "app.nope", "Runtime.HandlerNotFound", r"Handler 'nope' missing on module 'app'"),
    "syntax": ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError", r"Syntax error in module 'app'"),
    "import": (
        "import nothing_here\n",
        "app.handler",
        "Runtime.ImportModuleError",
        r"No module named 'nothing_here'",
    ),
    "marshal": (
        "def handler(event, context):\n    return {1, 2}\n",
        "app.handler",
        "Runtime.MarshalError",
        r"Object of type set is not JSON serializable",
    ),
    "exit": (
        "import sys\ndef handler(event, context):\n    sys.exit(3)\n",
        "app.handler",
        "Runtime.ExitError",
        r"RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 3",
    ),
    "hard exit": (
        "import os\ndef handler(event, context):\n    os._exit(0)\n",
        "app.handler",
        "Runtime.ExitError",
        r"RequestId: [0-9a-f-]{36} Error: Runtime exited without providing a reason",
    ),
    "signal": (
        "import os, signal\ndef handler(event, context):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        "app.handler",
        "Runtime.ExitError",
        r"RequestId: [0-9a-f-]{36} Error: Runtime exited with error: signal: killed",
    ),
    "exit in init": ("import sys\nsys.exit(1)\n", "app.handler", "Runtime.ExitError", r"exit status 1"),
    "raise in init": ("raise RuntimeError('no init')\n", "app.handler", "RuntimeError", r"no init"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(functions, name, fault):
    """LANG1-065, LANG1-108, CORE-313, RT-50: faults that the runtime finds, twice in a row."""
    source, handler, error_type, message = FAULTS[fault]
    functions.python(name, source, handler)
    for _ in range(2):
        document = functions.invoke(name).failed(error_type)
        assert re.search(message, document["errorMessage"]), document


def test_a_fault_does_not_stay(functions, name):
    """CORE-017, RT-26: after an exit the next event gets a fresh instance."""
    source = "import os\nn = 0\ndef handler(event, context):\n    global n\n    n += 1\n    if event: os._exit(1)\n    return n\n"
    functions.python(name, source)
    assert functions.invoke(name, 0).good() == 1
    functions.invoke(name, 1).failed("Runtime.ExitError")
    assert functions.invoke(name, 0).good() == 1


def test_timeout(functions, name, stopwatch):
    """CORE-143, CORE-313, LANG2-218: the message has two decimals; the instance is not used again."""
    source = "import time\nn = 0\ndef handler(event, context):\n    global n\n    n += 1\n    time.sleep(event)\n    return n\n"
    functions.python(name, source, Timeout=1)
    before = stopwatch()
    result = functions.invoke(name, 30)
    assert 0.9 < stopwatch() - before < 8
    document = result.failed("Sandbox.Timedout")
    assert document["errorMessage"] == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert "Task timed out after 1.00 seconds" in result.log
    assert re.search(rf"REPORT RequestId: {result.request_id}\tDuration: 1\d{{3}}\.\d\d ms", result.log), (
        result.log
    )
    assert functions.invoke(name, 0).good() == 1


def test_busy_loop_times_out(functions, name):
    """CORE-143: a handler that never returns is stopped even if it never sleeps."""
    functions.python(name, "def handler(event, context):\n    while True: pass\n", Timeout=1)
    functions.invoke(name).failed("Sandbox.Timedout")


def test_warm_reuse(functions, name):
    """RT-26, RT-29, RT-30, RT-34, CORE-017, LANG1-046: globals and /tmp stay; init runs and shows once."""
    source = """import os
n = 0
def handler(event, context):
    global n
    n += 1
    with open("/tmp/count", "a") as file:
        file.write("x")
    return [n, os.path.getsize("/tmp/count"), context.log_stream_name]
"""
    functions.python(name, source)
    first, second = functions.invoke(name), functions.invoke(name)
    stream = first.good()[2]
    assert first.value == [1, 1, stream]
    assert second.good() == [2, 2, stream]
    assert "Init Duration: " in first.log
    assert "Init Duration: " not in second.log


@pytest.mark.parametrize("update", ["code", "configuration"])
def test_an_update_brings_a_new_instance(functions, lambda_, name, update):
    """RT-27, RT-30, LANG1-039: after either kind of update nothing of the old instance is seen."""
    source = "import os\nn = 0\ndef handler(event, context):\n    global n\n    n += 1\n    fresh = not os.path.exists('/tmp/x')\n    open('/tmp/x', 'w').close()\n    return [n, fresh, context.log_stream_name]\n"
    functions.python(name, source)
    n, fresh, old = functions.invoke(name).good()
    assert (n, fresh) == (1, True)
    if update == "code":
        lambda_.update_function_code(FunctionName=name, ZipFile=packages.package({"app.py": source + "# new\n"}))
        functions.updated(name)
    else:
        functions.configure(name, Description="new")
    n, fresh, new = functions.invoke(name).good()
    assert (n, fresh) == (1, True)
    assert new != old


def test_package_with_folders_and_modules(functions, name):
    """RT-107, CORE-140, RT-46: a handler in a folder, a module beside it, a program with its mode."""
    files = {
        "src/handlers/main.py": "import subprocess, helper\ndef run(event, context):\n    return [helper.WORD, subprocess.check_output(['/var/task/tool']).decode()]\n",
        "helper.py": "WORD = 'helped'\n",
        "tool": "#!/bin/sh\necho ran\n",
    }
    code = packages.package(files, {"tool": packages.PROGRAM})
    functions.create(name, code, python_runtime(), "src/handlers/main.run")
    assert functions.invoke(name).good() == ["helped", "ran\n"]


def test_large_payloads(functions, name):
    """CORE-082: 6 MB go in and out; a response over the limit is a function error."""
    functions.python(name, "def handler(event, context):\n    return 'x' * event if isinstance(event, int) else len(event)\n", Timeout=30)  # fmt: skip
    big = 6 * 1024 * 1024 - 2
    assert functions.invoke(name, "y" * big).good() == big
    assert len(functions.invoke(name, big).good()) == big
    document = functions.invoke(name, 7 * 1024 * 1024).failed("Function.ResponseSizeTooLarge")
    assert "6291556" in document["errorMessage"]


def test_between_events_the_instance_is_frozen(functions, name):
    """RT-28, RT-31, CORE-302: a background thread stops with the response and goes on with the next event."""
    source = """import threading, time
ticks = 0
def count():
    global ticks
    while True:
        time.sleep(0.01)
        ticks += 1
threading.Thread(target=count, daemon=True).start()
def handler(event, context):
    time.sleep(event)
    return ticks
"""
    functions.python(name, source, Timeout=10)
    before = functions.invoke(name, 0.1).good()
    # Nothing to wait for: the point is that time passes and nothing happens.
    time.sleep(1)
    after = functions.invoke(name, 0).good()
    assert before > 0
    assert after - before < 50, (before, after)
