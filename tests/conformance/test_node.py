"""Node.js functions: handler forms, context, console, errors."""

import re

import pytest

from harness import logs as function_logs
from harness import packages
from harness.functions import arn, node_runtime

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

HANDLERS = {
    "async": "exports.handler = async (event) => ({ got: event })",
    "callback": "exports.handler = (event, context, callback) => callback(null, { got: event })",
    "promise": "exports.handler = (event) => Promise.resolve({ got: event })",
    "late callback": "exports.handler = (event, context, callback) => { setTimeout(() => callback(null, { got: event }), 20) }",
}


@pytest.mark.parametrize("form", HANDLERS)
def test_handler_forms(functions, name, form):
    """LANG1-092..095, RT-4, RT-144: async, callback and promise handlers; the event comes back."""
    functions.node(name, HANDLERS[form])
    assert functions.invoke(name, {"k": ["ü", 1.5, None]}).good() == {"got": {"k": ["ü", 1.5, None]}}


def test_no_value_is_null(functions, name):
    """CORE-247: a function that returns nothing answers null."""
    functions.node(name, "exports.handler = async () => {}")
    assert functions.invoke(name).payload == b"null"


def test_es_module(functions, name):
    """CORE-140: index.mjs with an exported handler."""
    code = packages.package({"index.mjs": "export const handler = async (event) => event.n + 1"})
    functions.create(name, code, node_runtime(), "index.handler")
    assert functions.invoke(name, {"n": 1}).good() == 2


def test_context(functions, name):
    """LANG1-098, LANG1-099: the context's properties, and the time that is left."""
    source = """exports.handler = async (event, context) => ({
  left: context.getRemainingTimeInMillis(), functionName: context.functionName,
  functionVersion: context.functionVersion, invokedFunctionArn: context.invokedFunctionArn,
  memoryLimitInMB: context.memoryLimitInMB, awsRequestId: context.awsRequestId,
  logGroupName: context.logGroupName, waits: context.callbackWaitsForEmptyEventLoop })"""
    functions.node(name, source, Timeout=10, MemorySize=256)
    result = functions.invoke(name)
    context = result.good()
    assert 5_000 < context.pop("left") <= 10_000
    assert context == {
        "functionName": name,
        "functionVersion": "$LATEST",
        "invokedFunctionArn": arn(name),
        "memoryLimitInMB": "256",
        "awsRequestId": result.request_id,
        "logGroupName": f"/aws/lambda/{name}",
        "waits": True,
    }


def test_waits_for_the_event_loop_or_not(functions, name, stopwatch):
    """LANG1-095, LANG1-096: the response waits for pending timers unless the function says otherwise."""
    source = """exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event.wait
  setTimeout(() => console.log("Timeout complete."), event.ms)
  callback(null, "answer") }"""
    functions.node(name, source, Timeout=10)
    waited = functions.invoke(name, {"wait": True, "ms": 300})
    assert waited.good() == "answer"
    assert "Timeout complete." in waited.log
    before = stopwatch()
    at_once = functions.invoke(name, {"wait": False, "ms": 5000})
    assert at_once.good() == "answer"
    assert stopwatch() - before < 4
    assert "Timeout complete." not in at_once.log


def test_console(functions, logs, name):
    """LANG1-101, LANG1-102, CORE-059: prefix, levels, one event for a message of several lines."""
    source = """console.log("in init")
exports.handler = async (event, context) => {
  console.log("log %s", 1); console.info("info"); console.warn("warn"); console.error("err\\nor")
  process.stdout.write("bare\\n")
  return context.logStreamName }"""
    functions.node(name, source)
    result = functions.invoke(name)
    logged = function_logs.of_request(logs, name, result.good(), result.request_id)
    for level, text in (("INFO", "log 1"), ("INFO", "info"), ("WARN", "warn"), ("ERROR", "err\ror")):
        pattern = rf"{ISO}\t{result.request_id}\t{level}\t{text}\n?"
        assert any(re.fullmatch(pattern, message) for message in logged), (level, text, logged)
    assert any(message.rstrip("\n") == "bare" for message in logged)
    assert any(re.fullmatch(rf"{ISO}\tundefined\tINFO\tin init\n?", message) for message in logged), logged


def test_unhandled_error(functions, name):
    """LANG1-058, LANG1-059, LANG1-103, LANG1-104: document with trace, log line with stack."""
    functions.node(
        name,
        "class Own extends Error { constructor(m) { super(m); this.name = 'Own' } }\nexports.handler = async () => { throw new Own('bad') }",
    )
    result = functions.invoke(name)
    document = result.failed("Own")
    assert document["errorMessage"] == "bad"
    assert document["trace"][0] == "Own: bad"
    assert re.match(r"    at .*/var/task/index\.js:2:\d+", document["trace"][1]), document
    line = rf'{ISO}\t{result.request_id}\tERROR\tInvoke Error \t?\{{"errorType":"Own","errorMessage":"bad"'
    assert re.search(line.replace(" \\t?", "\\s+"), result.log), result.log
    assert '"stack":[' in result.log


@pytest.mark.parametrize("form", ["callback(new TypeError('bad'))", "throw new TypeError('bad')"])
def test_errors_of_callback_handlers(functions, name, form):
    """LANG1-094, RT-68: an error given to the callback or thrown synchronously."""
    functions.node(name, f"exports.handler = (event, context, callback) => {{ {form} }}")
    assert functions.invoke(name).failed("TypeError")["errorMessage"] == "bad"


FAULTS = {
    "no module": ("exports.x = 1", "missing.handler", "Runtime.ImportModuleError", r"Cannot find module 'missing'"),
    "no function": ("exports.x = 1", "index.nope", "Runtime.HandlerNotFound", r"index\.nope is undefined or not exported"),
    "syntax": ("exports.handler = (", "index.handler", "Runtime.UserCodeSyntaxError", r"SyntaxError: "),
    "require": ("require('nothing-here')", "index.handler", "Runtime.ImportModuleError", r"Cannot find module 'nothing-here'"),
    "exit": ("exports.handler = async () => process.exit(4)", "index.handler", "Runtime.ExitError", r"exit status 4"),
    "throw in init": ("throw new RangeError('no init')", "index.handler", "RangeError", r"no init"),
    "cycle": (
        "exports.handler = async () => { const a = {}; a.a = a; return a }",
        "index.handler",
        "Runtime.MarshalError|TypeError|Error",
        r"circular structure|Unable to stringify response body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(functions, name, fault):
    """LANG1-065, LANG1-094, CORE-313, RT-50: faults that the runtime finds, twice in a row."""
    source, handler, error_types, message = FAULTS[fault]
    functions.node(name, source, handler)
    for _ in range(2):
        result = functions.invoke(name)
        assert result.value.get("errorType") in error_types.split("|"), result
        document = result.failed(result.value["errorType"])
        assert re.search(message, document["errorMessage"]), document


def test_unhandled_rejection(functions, name):
    """CORE-313: a promise that nobody waits for ends the process, which is a function error."""
    functions.node(name, "exports.handler = (e, c, callback) => { Promise.reject(new Error('lost')) }")
    document = functions.invoke(name).failed("Runtime.UnhandledPromiseRejection")
    assert "lost" in document["errorMessage"]


def test_timeout(functions, name):
    """CORE-143: a promise that never settles keeps the function until its timeout."""
    functions.node(name, "exports.handler = () => new Promise(() => setInterval(() => {}, 1000))", Timeout=1)
    result = functions.invoke(name)
    message = result.failed("Sandbox.Timedout")["errorMessage"]
    assert message == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"


def test_warm_reuse(functions, name):
    """RT-29, RT-30, CORE-017: module state and /tmp stay between events."""
    source = """const fs = require('fs'); let n = 0
exports.handler = async () => { fs.appendFileSync('/tmp/n', 'x'); return [++n, fs.statSync('/tmp/n').size] }"""
    functions.node(name, source)
    assert [functions.invoke(name).good() for _ in range(3)] == [[1, 1], [2, 2], [3, 3]]
