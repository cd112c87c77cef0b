"""Extensions, the Telemetry API and the Logs API, over the raw interface."""

import json
import os
import re
import time

import pytest

from harness import logs as function_logs
from harness import packages, processes
from harness.clients import ACCOUNT, boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions, arn

#: An extension that does what the variable of its name says.
EXTENSION = r'''#!/usr/bin/env python3
import http.client, http.server, json, os, signal, socket, subprocess, sys, threading, time
NAME = os.path.basename(sys.argv[0])
def call(method, path, body=None, **headers):
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    named = {"Lambda-Extension-" + key.replace("_", "-"): value for key, value in headers.items()}
    api.request(method, path, json.dumps(body) if body is not None else None, named)
    answer = api.getresponse()
    text = answer.read()
    return answer.status, answer.headers, json.loads(text) if text else None
def register(events, name=NAME, **headers):
    status, headers, body = call("POST", "/2020-01-01/extension/register", {"events": events}, Name=name, **headers)
    assert status == 200, body
    return headers["Lambda-Extension-Identifier"], body
def next_event(id):
    status, _, body = call("GET", "/2020-01-01/extension/event/next", Identifier=id)
    assert status == 200, body
    return body
def say(what, **more):
    print(NAME, what, json.dumps(more), flush=True)
def follow(id):
    while True:
        event = next_event(id)
        say(event["eventType"], **event)
        if event["eventType"] == "SHUTDOWN":
            return
exec(os.environ["DO_" + NAME])
'''

ANSWER = "def handler(event, context):\n    print('handled')\n    return 'ok'\n"


def layer(client, name: str, *extensions: str, mode: int = packages.PROGRAM) -> str:
    """Publishes a layer with these extensions."""
    files = {f"extensions/{extension}": EXTENSION for extension in extensions}
    content = packages.package(files, {file: mode for file in files})
    return client.publish_layer_version(LayerName=name, Content={"ZipFile": content})["LayerVersionArn"]


def extended(functions, name: str, plans: dict, source: str = ANSWER, mode: int = packages.PROGRAM, **settings):
    """A Python function with external extensions."""
    variables = {f"DO_{extension}": plan for extension, plan in plans.items()}
    functions.python(
        name,
        source,
        Layers=[layer(functions.client, name, *plans, mode=mode)],
        Environment={"Variables": variables},
        **settings,
    )


def lines(logs, name: str, until) -> list:
    """The function's log as soon as it has what is asked for."""

    def found():
        streams = function_logs.streams(logs, name)
        all_lines = [line for stream in streams for line in function_logs.messages(logs, name, stream)]
        return all_lines if any(until(line) for line in all_lines) else None

    return wait_for(found, f"the log of {name}", function_logs.LAG)


def said(log: list, who: str, what: str) -> list:
    """What an extension said, as documents."""
    start = f"{who} {what} "
    return [json.loads(line.removeprefix(start)) for line in log if line.startswith(start)]


def test_life_of_an_external_extension(functions, logs, name):
    """Registered, told of events and of the end; told of in the log; with the documented environment."""
    plan = """
id, body = register(["INVOKE", "SHUTDOWN"], Accept_Feature="accountId")
say("registered", id=id, body=body, env=dict(os.environ), cwd=os.getcwd(), uid=os.getuid())
follow(id)
"""
    extended(functions, name, {"watcher": plan, "idler": "id, _ = register([])\nfollow(id)"})
    before = time.time() * 1000
    result = functions.invoke(name)
    assert result.good() == "ok"
    text = result.log
    assert "EXTENSION\tName: idler\tState: Ready\tEvents: []\n" in text
    assert "EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in text
    assert text.index("EXTENSION\t") < text.index("START ")
    functions.configure(name, MemorySize=256)
    log = lines(logs, name, lambda line: line.startswith("watcher SHUTDOWN"))
    registered = said(log, "watcher", "registered")[0]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", registered["id"])
    assert registered["body"] == {
        "functionName": name,
        "functionVersion": "$LATEST",
        "handler": "app.handler",
        "accountId": ACCOUNT,
    }
    env = registered["env"]
    given = ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    given += ["AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_ACCESS_KEY_ID"]
    given += ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PATH", "LD_LIBRARY_PATH", "TZ", "DO_watcher"]
    assert set(given) <= set(env), sorted(env)
    withheld = {"_HANDLER", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"}
    withheld |= {"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS"}
    assert not withheld & set(env), sorted(env)
    assert registered["uid"] == 993 and registered["cwd"] == "/"
    (event,) = said(log, "watcher", "INVOKE")
    assert event.pop("deadlineMs") >= before + 2000
    trace = event.pop("tracing")
    assert trace["type"] == "X-Amzn-Trace-Id" and trace["value"].startswith("Root=1-")
    assert event == {
        "eventType": "INVOKE",
        "requestId": result.request_id,
        "invokedFunctionArn": arn(name),
    }
    (event,) = said(log, "watcher", "SHUTDOWN")
    assert event.pop("deadlineMs") > before
    assert event == {"eventType": "SHUTDOWN", "shutdownReason": "spindown"}
    assert not said(log, "idler", "SHUTDOWN")


def test_the_answer_does_not_wait_for_extensions(functions, logs, name, stopwatch):
    """The caller has the answer when the runtime has given it; the instance is busy until its extensions are done."""
    plan = """
id, _ = register(["INVOKE"])
next_event(id)
while True:
    time.sleep(0.8)
    next_event(id)
"""
    extended(functions, name, {"slow": plan}, Timeout=10)
    functions.client.get_function(FunctionName=name)
    first = functions.invoke(name)
    assert first.good() == "ok"
    duration = float(re.search(r"\tDuration: ([\d.]+) ms", first.log)[1])
    billed = int(re.search(r"Billed Duration: (\d+) ms", first.log)[1])
    assert duration >= 800 and billed >= 800, "the extension's time counts, and the log's tail has it"
    begun = stopwatch()
    quick = functions.invoke(name, LogType="None")
    assert quick.good() == "ok"
    assert stopwatch() - begun < 0.7
    # The instance is not free yet, so that this one has another.
    functions.invoke(name, LogType="None").good()
    log = lines(logs, name, lambda line: line.startswith(f"REPORT RequestId: {quick.request_id}"))
    report = next(line for line in log if line.startswith(f"REPORT RequestId: {quick.request_id}"))
    assert float(re.search(r"\tDuration: ([\d.]+) ms", report)[1]) >= 800
    assert len(function_logs.streams(logs, name)) == 2


def test_a_slow_extension_runs_into_the_timeout(functions, logs, name):
    """Function and extensions share the timeout; extensions are told of it."""
    plan = """
id, _ = register(["INVOKE", "SHUTDOWN"])
next_event(id)
time.sleep(1.3)
follow(id)
"""
    extended(functions, name, {"slow": plan}, Timeout=1)
    result = functions.invoke(name, LogType="None")
    assert result.good() == "ok", "the answer was there before"
    log = lines(logs, name, lambda line: line.startswith("slow SHUTDOWN"))
    assert any("Task timed out after 1.00 seconds" in line for line in log)
    report = next(line for line in log if line.startswith("REPORT"))
    assert "\tDuration: 1000.00 ms\t" in report and "Status: timeout" in report
    assert said(log, "slow", "SHUTDOWN")[0]["shutdownReason"] == "timeout"


def test_extensions_are_told_of_a_failure(functions, logs, name):
    """When the runtime fails, its extensions have their time all the same."""
    plan = 'id, _ = register(["INVOKE", "SHUTDOWN"])\nfollow(id)'
    source = "import os\ndef handler(event, context):\n    os._exit(3)\n"
    extended(functions, name, {"watcher": plan}, source)
    functions.invoke(name).failed("Runtime.ExitError")
    log = lines(logs, name, lambda line: line.startswith("watcher SHUTDOWN"))
    assert said(log, "watcher", "SHUTDOWN")[0]["shutdownReason"] == "failure"


@pytest.mark.parametrize(
    "plan, kind, message, state",
    [
        ("sys.exit(7)", "Extension.Crash", "exit status 7", "Exited"),
        ("id, _ = register([])\nos.kill(os.getpid(), 9)", "Extension.Crash", "signal: killed", "Exited"),
        (
            "id, _ = register([])\n"
            'answer = call("POST", "/2020-01-01/extension/init/error", {}, Identifier=id, Function_Error_Type="My.Own")\n'
            'assert answer[0] == 202 and answer[2] == {"status": "OK"}, answer\n'
            "sys.exit(1)",
            "Extension.InitError",
            "exit status 1",
            "InitError",
        ),
    ],
    ids=["crash", "killed", "init-error"],
)
def test_failures_in_the_init_phase(functions, name, plan, kind, message, state):
    """The event fails with the service's words, after a second try."""
    extended(functions, name, {"bad": plan})
    result = functions.invoke(name)
    document = result.failed(kind)
    assert document["errorMessage"] == f"RequestId: {result.request_id} Error: {message}"
    assert f"EXTENSION\tName: bad\tState: {state}\t" in result.log
    assert f"Phase: invoke\tStatus: error\tError Type: {kind}\n" in result.log


def test_failures_in_an_event(functions, name):
    """An extension that ends during an event ends it, and the environment; so does one that reports an error."""
    crash = 'id, _ = register(["INVOKE"])\nnext_event(id)\nos._exit(5)'
    source = "import time\ndef handler(event, context):\n    time.sleep(event.get('seconds', 0))\n"
    extended(functions, name, {"bad": crash}, source, Timeout=20)
    result = functions.invoke(name, {"seconds": 15})
    assert result.failed("Extension.Crash")["errorMessage"] == f"RequestId: {result.request_id} Error: exit status 5"
    exits = (
        'id, _ = register(["INVOKE"])\nnext_event(id)\n'
        'call("POST", "/2020-01-01/extension/exit/error", {}, Identifier=id, Function_Error_Type="My.Own")\n'
        "sys.exit(1)"
    )
    functions.configure(name, Environment={"Variables": {"DO_bad": exits}})
    functions.invoke(name, {"seconds": 15}).failed("Extension.ExitError")


def test_a_file_that_cannot_be_executed(functions, name):
    """It is told of by name."""
    extended(functions, name, {"bad": ""}, mode=packages.FILE)
    result = functions.invoke(name)
    document = result.failed("Extension.LaunchError")
    assert document["errorMessage"].endswith("Error: fork/exec /opt/extensions/bad: permission denied")
    assert "EXTENSION\tName: bad\tState: LaunchError\tEvents: []\tError Type: PermissionDenied\n" in result.log


def test_eleven_are_too_many(functions, name):
    """Ten may be; with the eleventh nothing starts."""
    extended(functions, name, {f"e{number:02}": "id, _ = register([])\nfollow(id)" for number in range(11)})
    result = functions.invoke(name)
    assert "Extension limit (10) reached" in result.failed("Extension.LaunchError")["errorMessage"]
    assert "EXTENSION\tName: e10\tState: LaunchError\tEvents: []\tError Type: TooManyExtensions\n" in result.log


def test_calls_that_are_refused(functions, logs, name):
    """Registering twice, strangers, bodies out of bounds, the wrong time: the service's documents."""
    plan = """
PATH = "/2020-01-01/extension/"
id, _ = register(["INVOKE"])
stranger = "01234567-89ab-4cde-8f01-23456789abcd"
refused = [
    call("POST", PATH + "register", {"events": []}, Name=NAME),
    call("POST", PATH + "register", {"events": []}),
    call("POST", PATH + "register", {"events": ["SHUTDOWN"]}, Name="internal"),
    call("POST", PATH + "register", {"events": ["PARTY"]}, Name="internal"),
    call("POST", PATH + "register", [1], Name="internal"),
    call("GET", PATH + "event/next"),
    call("GET", PATH + "event/next", Identifier="me"),
    call("GET", PATH + "event/next", Identifier=stranger),
    call("POST", PATH + "init/error", {}, Identifier=id),
    call("PUT", "/2022-07-01/telemetry", {}, Identifier=stranger),
    call("PUT", "/2022-07-01/telemetry", {"types": []}, Identifier=id),
    call("POST", PATH + "register", {"events": ["x" * 100000]}, Name="internal"),
    call("GET", PATH + "register"),
]
say("refused", all=[(status, body["errorType"]) for status, _, body in refused])
next_event(id)
late = [
    call("POST", PATH + "register", {"events": ["INVOKE"]}, Name="internal"),
    call("PUT", "/2022-07-01/telemetry", {"schemaVersion": "2022-12-13"}, Identifier=id),
    call("PUT", "/2020-08-15/logs", {}, Identifier=id),
]
say("late", all=[(status, body["errorType"]) for status, _, body in late])
follow(id)
"""
    extended(functions, name, {"rude": plan})
    log = functions.invoke(name).log.splitlines()
    assert said(log, "rude", "refused")[0]["all"] == [
        [403, "Extension.InvalidExtensionState"],
        [403, "Extension.InvalidExtensionName"],
        [403, "Extension.InvalidEventType"],
        [403, "Extension.InvalidEventType"],
        [403, "InvalidRequestFormat"],
        [403, "Extension.MissingExtensionIdentifier"],
        [403, "Extension.InvalidExtensionIdentifier"],
        [403, "Extension.UnknownExtensionIdentifier"],
        [403, "Extension.MissingHeader"],
        [403, "Extension.UnknownExtensionIdentifier"],
        [400, "ValidationError"],
        [413, "RequestEntityTooLarge"],
        [404, "InvalidPath"],
    ]
    assert said(log, "rude", "late")[0]["all"] == [
        [403, "Extension.RegistrationClosed"],
        [403, "Telemetry.SubscriptionClosed"],
        [403, "Logs.SubscriptionClosed"],
    ]


def test_an_internal_extension(functions, name):
    """A thread of the function's process: told of events before it is frozen, and never of the end."""
    source = (
        EXTENSION.replace('exec(os.environ["DO_" + NAME])', "")
        + """
id, body = register(["INVOKE"], "inside")
seen = []
def work():
    while True:
        seen.append(next_event(id))
threading.Thread(target=work, daemon=True).start()
def handler(event, context):
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        time.sleep(0.001)
    found, seen[:] = list(seen), []
    return found
"""
    )
    functions.python(name, source)
    for number in range(2):
        result = functions.invoke(name)
        (event,) = result.good()
        assert (event["eventType"], event["requestId"]) == ("INVOKE", result.request_id)
        assert ("EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]\n" in result.log) == (number == 0)


RECEIVER = """
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        with open("/tmp/records", "a") as file:
            for record in body:
                file.write(json.dumps(record) + "\\n")
    do_PUT = do_POST
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
PORT = server.server_port
id, _ = register(["INVOKE", "SHUTDOWN"])
"""

RECORDS = """
import json, time
print("init")
def handler(event, context):
    print("handled")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with open("/tmp/records") as file:
                records = [json.loads(line) for line in file]
        except FileNotFoundError:
            records = []
        if any(record["type"] == event.get("until") for record in records):
            return records
        time.sleep(0.005)
    return records
"""


def test_telemetry_over_http(functions, name):
    """All that happened since the environment began, in order, in the schema of the Telemetry API."""
    plan = (
        RECEIVER
        + """
answer = call("PUT", "/2022-07-01/telemetry", {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function", "extension"],
    "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{PORT}/here"},
}, Identifier=id)
assert (answer[0], answer[2]) == (200, "OK"), answer
socket.getaddrinfo("sandbox.localdomain", PORT)
say("subscribed")
follow(id)
"""
    )
    extended(functions, name, {"reader": plan}, RECORDS, Timeout=10)
    first = functions.invoke(name, {"until": "platform.start"})
    assert "TELEMETRY\tName: reader\tState: Subscribed\tTypes: [Platform, Function, Extension]\n" in first.log
    records = functions.invoke(name, {"until": "platform.report"}).good()
    kinds = [record["type"] for record in records]
    wanted = ["platform.initStart", "platform.telemetrySubscription", "platform.initRuntimeDone"]
    wanted += ["platform.extension", "platform.initReport", "platform.start", "platform.runtimeDone", "platform.report"]
    assert [kind for kind in kinds if kind.startswith("platform.")][: len(wanted)] == wanted
    by_kind = {record["type"]: record["record"] for record in reversed(records)}
    assert by_kind["platform.initStart"]["initializationType"] == "on-demand"
    assert by_kind["platform.initStart"]["phase"] == "init"
    assert by_kind["platform.initRuntimeDone"]["status"] == "success"
    assert by_kind["platform.initReport"]["metrics"]["durationMs"] > 0
    assert by_kind["platform.extension"] == {"name": "reader", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    assert by_kind["platform.telemetrySubscription"] == {
        "name": "reader",
        "state": "Subscribed",
        "types": ["platform", "function", "extension"],
    }
    start = by_kind["platform.start"]
    assert (start["requestId"], start["version"]) == (first.request_id, "$LATEST")
    assert start["tracing"]["type"] == "X-Amzn-Trace-Id"
    done = by_kind["platform.runtimeDone"]
    assert (done["requestId"], done["status"]) == (first.request_id, "success")
    assert done["metrics"]["producedBytes"] == len(first.payload)
    report = by_kind["platform.report"]
    assert (report["requestId"], report["status"]) == (first.request_id, "success")
    assert {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"} <= set(report["metrics"])
    texts = [record["record"] for record in records if record["type"] == "function"]
    assert texts[:2] == ["init", "handled"]
    assert any(record["type"] == "extension" and record["record"].startswith("reader subscribed") for record in records)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"]) for record in records)


def test_logs_over_tcp(functions, name):
    """The Logs API's own records, one a line."""
    plan = """
listener = socket.create_server(("0.0.0.0", 0))
def receive():
    stream, _ = listener.accept()
    with open("/tmp/records", "wb", buffering=0) as file, stream.makefile("rb") as received:
        for line in received:
            file.write(line)
threading.Thread(target=receive, daemon=True).start()
id, _ = register(["INVOKE"])
asked = {
    "schemaVersion": "2021-03-18",
    "types": ["platform", "function"],
    "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
    "destination": {"protocol": "TCP", "port": listener.getsockname()[1]},
}
assert call("PUT", "/2020-08-15/logs", asked, Identifier=id)[0] == 200
other = call("PUT", "/2022-07-01/telemetry", {**asked, "schemaVersion": "2022-12-13"}, Identifier=id)
assert (other[0], other[2]["errorType"]) == (400, "ValidationError"), other
follow(id)
"""
    extended(functions, name, {"reader": plan}, RECORDS, Timeout=10)
    first = functions.invoke(name, {"until": "platform.start"})
    assert "LOGS\tName: reader\tState: Subscribed\tTypes: [Platform, Function]\n" in first.log
    records = functions.invoke(name, {"until": "platform.report"}).good()
    platform = [record for record in records if record["type"].startswith("platform.")]
    assert [record["type"] for record in platform[:6]] == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        "platform.runtimeDone",
        "platform.end",
        "platform.report",
    ]
    assert platform[3]["record"] == {"requestId": first.request_id, "status": "success"}
    assert platform[4]["record"] == {"requestId": first.request_id}
    assert set(platform[5]["record"]) == {"requestId", "metrics"}


def test_an_extension_on_the_rust_crate(functions, logs, name):
    """One that nobody wrote for us: the lambda-extension crate, with a telemetry processor."""
    with open(os.environ["LAMBD_RUST_EXTENSION_ZIP"], "rb") as zipped:
        version = functions.client.publish_layer_version(LayerName=name, Content={"ZipFile": zipped.read()})
    functions.python(name, ANSWER, Layers=[version["LayerVersionArn"]])
    result = functions.invoke(name)
    assert result.good() == "ok"
    assert "EXTENSION\tName: rust-extension\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in result.log
    functions.configure(name, MemorySize=256)
    log = [line.strip() for line in lines(logs, name, lambda line: line.startswith("crate SHUTDOWN"))]
    assert f"crate INVOKE {result.request_id}" in log
    assert "crate initStart" in log and "crate function handled" in log
    assert f"crate report {result.request_id}" in log, "what waits is delivered before the end"
    assert "crate SHUTDOWN spindown" in log


def test_a_subscriber_that_never_reads(functions, name, stopwatch):
    """A flood is not held up by it."""
    plan = """
listener = socket.create_server(("0.0.0.0", 0))
id, _ = register(["INVOKE"])
answer = call("PUT", "/2022-07-01/telemetry", {
    "schemaVersion": "2022-07-01",
    "types": ["platform", "function"],
    "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{listener.getsockname()[1]}"},
}, Identifier=id)
assert answer[0] == 200, answer
follow(id)
"""
    source = "def handler(event, context):\n    for _ in range(2000):\n        print('x' * 1000)\n    return 'ok'\n"
    extended(functions, name, {"deaf": plan}, source, Timeout=20)
    for _ in range(2):
        assert functions.invoke(name, LogType="None").good() == "ok"
    assert stopwatch() < 10


def test_nothing_is_left_of_an_extension_that_multiplies(functions, daemon, logs, name):
    """Its children end with the environment, whoever they say they are."""
    mark = f"left-{name}-behind"
    plan = f"""
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "1000"], {{"MARK": "{mark}"}})
id, _ = register(["INVOKE", "SHUTDOWN"])
follow(id)
time.sleep(1000)
"""
    extended(functions, name, {"many": plan})
    functions.invoke(name).good()
    assert len(processes.marked(f"MARK={mark}")) == 3
    functions.configure(name, MemorySize=256)
    lines(logs, name, lambda line: line.startswith("many SHUTDOWN"))
    wait_for(lambda: not processes.marked(f"MARK={mark}"), "the end of all processes", 5)


@pytest.mark.parametrize("level", ["process", "oci"])
def test_at_other_isolation_levels(tmp_path, name, level):
    """The same at the other levels: an extension with a subscription, and the end."""
    plan = (
        RECEIVER.replace("/tmp/records", "{TMP}/records").replace('"{TMP}', 'os.environ.get("TMPDIR", "/tmp") + "')
        + """
answer = call("PUT", "/2022-07-01/telemetry", {
    "schemaVersion": "2022-12-13",
    "types": ["platform"],
    "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{PORT}"},
}, Identifier=id)
assert (answer[0], answer[2]) == (200, "OK"), answer
follow(id)
"""
    )
    source = RECORDS.replace('open("/tmp/records")', 'open(__import__("os").environ.get("TMPDIR", "/tmp") + "/records")')
    # At the level process nothing can listen without a network.
    network = "host" if level == "process" else "none"
    daemon = Daemon(tmp_path, arguments=["--isolation", level, "--network", network]).start()
    try:
        client = boto(daemon.url, "lambda")
        functions = Functions(client)
        extended(functions, name, {"reader": plan}, source, Timeout=10)
        result = functions.invoke(name, {"until": "platform.start"})
        assert "platform.initStart" in [record["type"] for record in result.good()], result.log
        assert "EXTENSION\tName: reader\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in result.log
        functions.configure(name, MemorySize=256)
        lines(boto(daemon.url, "logs"), name, lambda line: line.startswith("reader SHUTDOWN"))
    finally:
        assert daemon.stop() == 0, daemon.output()
