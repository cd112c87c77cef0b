"""The Node.js runtime on the `node` of PATH."""
import fcntl
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from lambda_process import ARN, ROOT, TRACE, Function

BOOTSTRAP = ROOT / "runtimes" / "nodejs" / "bootstrap.cjs"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def start(tmp_path):
    """Starts a function from its source, by default index.handler of index.js."""
    running = []

    def start(source="", handler="index.handler", env=None, files=None, name="index.js", **kw):
        sources = dict(files or {})
        if source:
            sources[name] = source
        environment = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
        environment.update(env or {})
        function = Function(tmp_path / str(len(running)), [shutil.which("node"), str(BOOTSTRAP)],
                            sources, handler, environment, **kw)
        running.append(function)
        return function

    yield start
    for function in running:
        function.close()


def async_handler(body):
    return "exports.handler = async (event, context) => { %s };" % body


def callback_handler(body):
    return "exports.handler = (event, context, callback) => { %s };" % body


# ------------------------------------------------------------ handlers and responses

@pytest.mark.parametrize("source, expected", [
    (async_handler("return event.n + 1"), b"8"),
    (async_handler("return undefined"), b"null"),
    (async_handler("return () => 1"), b"null"),
    (async_handler("return {a: undefined, b: '\u00e9'}"), '{"b":"\u00e9"}'.encode()),
    (async_handler("return context.succeed('first'), 'second'"), b'"first"'),
    ("exports.handler = () => new Promise(r => setTimeout(r, 5, 'later'))", b'"later"'),
    ("exports.handler = () => ({then: (ok) => ok('thenable')})", b'"thenable"'),
    (callback_handler("callback(null, event)"), b'{"n":7}'),
    (callback_handler("callback()"), b"null"),
    (callback_handler("setTimeout(() => callback(null, 'late'), 5)"), b'"late"'),
    (callback_handler("callback(null, 1); callback(null, 2)"), b"1"),
    (callback_handler("context.done(null, 'done')"), b'"done"'),
    (callback_handler("context.succeed('succeed')"), b'"succeed"'),
    (callback_handler("return 'a value without a promise is not an answer'"), b"null"),
    (async_handler("await new Promise(() => {})"), b"null"),
], ids=range(15))
def test_ways_to_answer(start, source, expected):
    """LANG1-092, LANG1-093, LANG1-094"""
    function = start(source)
    for _ in range(2):
        post = function.invoke({"n": 7})
        assert post.path == "invocation/%s/response" % function.request_id
        assert post.body == expected
        assert post.headers["content-type"] == "application/json"


def test_response_of_a_callback_waits_for_the_event_loop(start):
    """LANG1-095"""
    function = start(callback_handler(
        "setTimeout(() => console.log('timer done'), 300); callback(null, 'ok')"))
    begin = time.time()
    assert function.result() == "ok"
    assert time.time() - begin > 0.28 and "timer done" in function.log
    assert function.result() == "ok"


def test_response_does_not_wait_when_told_so(start):
    """LANG1-096, LANG1-097"""
    function = start(callback_handler(
        "context.callbackWaitsForEmptyEventLoop = false;"
        "if (event === 1) setTimeout(() => console.log('Timeout complete.'), 400);"
        "if (event === 2) setTimeout(() => callback(null, 2), 800); else callback(null, 1)"))
    begin = time.time()
    assert function.result(1) == 1
    assert time.time() - begin < 0.39 or "Timeout complete." not in function.log
    assert function.result(2) == 2
    assert re.search("\t%s\tINFO\tTimeout complete.\n" % function.request_id, function.log)


def test_response_of_an_async_handler_does_not_wait(start):
    """LANG1-093"""
    function = start(async_handler("setTimeout(() => console.log('fired'), 5000); return 1"))
    assert function.result() == 1
    assert "fired" not in function.log


def test_callback_after_the_answer_is_ignored(start):
    function = start("let old;" + callback_handler(
        "if (old) old(null, 'old'); else old = callback; "
        "if (event) callback(null, 'new')"))
    assert function.result(0) is None  # nobody called back: null once all is done
    assert function.result(1) == "new"
    assert "ERROR\tInvocation has already been reported as done." in function.log


def test_module_state_lives_between_events(start):
    """RT-29, RT-34, LANG1-020"""
    function = start("let count = 0;" + async_handler("return ++count"))
    assert [function.result() for _ in range(3)] == [1, 2, 3]


def test_six_megabytes_both_ways(start):
    function = start(async_handler("return event.text + '\u00e9'"))
    text = "\u00e9" * (3 * 1024 * 1024 - 100)
    post = function.invoke(raw=json.dumps({"text": text}, ensure_ascii=False).encode())
    assert post.json == text + "\u00e9"


# ------------------------------------------------------------ loading

LAYOUTS = [
    ("index.handler", {"index.js": "exports.handler = async () => 'cjs'"}, "cjs"),
    ("index.handler", {"index.mjs": "export const handler = async () => 'mjs'"}, "mjs"),
    ("index.handler", {"index.cjs": "exports.handler = async () => 'ext'"}, "ext"),
    ("index.handler", {"index.js": "export const handler = async () => 'esm'",
                       "package.json": '{"type": "module"}'}, "esm"),
    ("index.handler", {"index.js": "exports.handler = async () => 'js'",
                       "index.mjs": "export const handler = async () => 'mjs'"}, "js"),
    ("index.handler", {"index.mjs": "const v = await Promise.resolve('tla');\n"
                                    "export const handler = async () => v"}, "tla"),
    ("index.a.b", {"index.js": "exports.a = {b: async () => 'nested'}"}, "nested"),
    ("src/handlers/index.handler",
     {"src/handlers/index.js": "exports.handler = async () => 'deep'"}, "deep"),
    ("src/app.handler", {"src/app.js": "export const handler = async () => 'near'",
                         "src/package.json": '{"type": "module"}', "package.json": "{}"}, "near"),
    ("main.handler", {"node_modules/main/index.js": "exports.handler = async () => 'module'"},
     "module"),
    ("dir.handler", {"dir/index.js": "exports.handler = async () => 'folder'"}, "folder"),
]


@pytest.mark.parametrize("handler, files, expected", LAYOUTS)
def test_where_the_handler_is_found(start, handler, files, expected):
    """LANG1-091, LANG1-030"""
    assert start(handler=handler, files=files).result() == expected


LOAD_ERRORS = [
    ("index.handler", {"other.js": ""}, "Runtime.ImportModuleError",
     "Error: Cannot find module 'index'\nRequire stack:\n- %s" % BOOTSTRAP),
    ("index.handler", {"index.js": "require('missing')"}, "Runtime.ImportModuleError",
     "Error: Cannot find module 'missing'\nRequire stack:\n- {task}/index.js\n- %s" % BOOTSTRAP),
    ("index.handler", {"index.js": "exports.other = 1"}, "Runtime.HandlerNotFound",
     "index.handler is undefined or not exported"),
    ("index.handler", {"index.js": "exports.handler = 'text'"}, "Runtime.HandlerNotFound",
     "index.handler is not a function"),
    ("index", {"index.js": ""}, "Runtime.MalformedHandlerName", "Bad handler"),
    ("../index.handler", {"index.js": ""}, "Runtime.MalformedHandlerName",
     "'../index.handler' is not a valid handler name. Use absolute paths when specifying root "
     "directories in handler names."),
    ("index.handler", {"index.js": "exports.handler = ("}, "Runtime.UserCodeSyntaxError",
     "SyntaxError: Unexpected end of input"),
    ("index.handler", {"index.mjs": "export const handler = ("}, "Runtime.UserCodeSyntaxError",
     "SyntaxError: Unexpected end of input"),
    ("index.handler", {"index.js": "throw new TypeError('at init')"}, "TypeError", "at init"),
    ("index.handler", {"index.mjs": "await null; throw new TypeError('late')"}, "TypeError",
     "late"),
]


@pytest.mark.parametrize("handler, files, kind, message", LOAD_ERRORS)
def test_handler_that_cannot_be_loaded(start, handler, files, kind, message):
    """LANG2-190, LANG2-191, RT-69"""
    function = start(handler=handler, files=files)
    message = message.replace("{task}", str(function.task))
    error, status = function.init_error()
    assert (error["errorType"], error["errorMessage"], status) == (kind, message, 129)
    lines = (kind + ": " + message).split("\n")
    assert error["trace"][:len(lines)] == lines or "SyntaxError" in kind or kind == "TypeError"
    assert function.api.requests == [("POST", "/2018-06-01/runtime/init/error")]
    stamp, request, level, text, logged = function.log.split("\t")
    assert (request, level, text) == ("undefined", "ERROR", "Uncaught Exception ")
    assert json.loads(logged)["errorType"] == kind


# ------------------------------------------------------------ context and environment

def test_context(start):
    """LANG1-098, LANG1-099, LANG1-100"""
    function = start(async_handler("return [context, context.getRemainingTimeInMillis()]"))
    client = {"client": {"installation_id": "i", "app_title": "\u00e9"}, "Custom": {"k": "v"},
              "env": {"platform": "p", "locale": "fr"}}
    identity = {"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}
    context, remaining = function.result(
        timeout_ms=5000, Lambda_Runtime_Cognito_Identity=json.dumps(identity),
        Lambda_Runtime_Client_Context=json.dumps(client, ensure_ascii=False))
    assert 3000 < remaining <= 5000
    assert context == {
        "callbackWaitsForEmptyEventLoop": True, "functionName": "my-function",
        "functionVersion": "$LATEST", "invokedFunctionArn": ARN, "memoryLimitInMB": "512",
        "awsRequestId": function.request_id, "logGroupName": "/aws/lambda/my-function",
        "logStreamName": "2020/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0",
        "identity": identity, "clientContext": client}


def test_context_without_mobile_client(start):
    function = start(async_handler(
        "return [typeof context.identity, typeof context.clientContext, typeof context.tenantId,"
        " typeof context.done, typeof context.fail, typeof context.succeed]"))
    assert function.result() == ["undefined"] * 3 + ["function"] * 3


def test_malformed_client_context(start):
    error = start(async_handler("")).error(Lambda_Runtime_Client_Context="{")
    assert error["errorMessage"].startswith("Cannot parse ClientContext as json: SyntaxError: ")


def test_arn_and_trace_id_are_those_of_each_event(start):
    """RT-53, RT-61"""
    function = start(async_handler(
        "return [context.invokedFunctionArn, process.env._X_AMZN_TRACE_ID, process.cwd()]"))
    assert function.result() == [ARN, TRACE, str(function.task)]
    assert function.result(Lambda_Runtime_Invoked_Function_Arn=ARN + ":live",
                           Lambda_Runtime_Trace_Id=None)[:2] == [ARN + ":live", None]


# ------------------------------------------------------------ console

def test_console_lines(start):
    """LANG1-101, LANG1-102"""
    function = start("console.log('init');" + async_handler(
        "console.log('EVENT\\n%j', event, {a: 1}); console.info('i'); console.warn('w');"
        "console.error('e'); console.debug('d'); console.trace('t'); console.log()"))
    function.invoke({"key": "value"})
    request = function.request_id
    levels = [("INFO", "EVENT\r{\"key\":\"value\"} { a: 1 }"), ("INFO", "i"), ("WARN", "w"),
              ("ERROR", "e"), ("DEBUG", "d"), ("TRACE", "t"), ("INFO", "undefined")]
    lines = function.log.split("\n")
    assert re.fullmatch(STAMP + "\tundefined\tINFO\tinit", lines[0])
    for line, (level, text) in zip(lines[1:], levels):
        stamp, rest = line.split("\t", 1)
        assert re.fullmatch(STAMP, stamp) and rest == "\t".join([request, level, text])
    assert lines[len(levels) + 1:] == [""]


def test_order_with_direct_writes(start):
    """RT-56"""
    function = start(async_handler(
        "process.stdout.write('one\\n'); console.log('two'); process.stderr.write('three\\n');"
        "require('fs').writeSync(1, 'four\\n')"))
    function.invoke()
    assert [line.split("\t")[-1] for line in function.log.splitlines()] == [
        "one", "two", "three", "four"]


def test_console_survives_a_full_non_blocking_pipe(start):
    """LANG1-101: nothing is lost when the reader of the log is slow."""
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    function = start(async_handler("for (let i = 0; i < 40; i++) console.log('x'.repeat(9000))"),
                     stdout=writer)
    os.close(writer)
    function.send({})
    time.sleep(0.5)
    total = b""
    with open(reader, "rb") as pipe:
        while total.count(b"\n") < 40:
            total += pipe.read1(65536)
    assert function.answer().body == b"null"
    assert total.count(b"x") == 40 * 9000



def test_records_in_json(start):
    function = start(async_handler(
        "console.debug('hidden'); console.log({a: 1, e: new TypeError('t')}); console.warn('x %s', 'y', new Error('z'));"
        "const ring = {}; ring.ring = ring; console.error(ring); console.log(1n); console.fatal('f'); console.log()"),
        env={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
    function.invoke()
    log, warn, ring, big, fatal, nothing = map(json.loads, function.log.splitlines())
    assert list(log) == ["timestamp", "level", "requestId", "message"] and re.fullmatch(STAMP, log["timestamp"])
    assert log["requestId"] == function.request_id
    error = log["message"]["e"]
    assert (log["message"]["a"], error["errorType"], error["errorMessage"]) == (1, "TypeError", "t")
    assert error["stackTrace"][0] == "TypeError: t"
    assert warn["message"].startswith("x y Error: z") and warn["errorMessage"] == "z"
    assert "[Circular" in ring["message"] and big["message"] == "1n"
    assert fatal["level"] == "FATAL" and "message" not in nothing


def test_levels_without_json(start):
    function = start(async_handler("console.info('i'); console.warn('w')"), env={"AWS_LAMBDA_LOG_LEVEL": "warn"})
    function.invoke()
    assert [line.split("\t")[-1] for line in function.log.splitlines()] == ["w"]


def test_errors_in_json(start):
    function = start(async_handler("throw new RangeError('r')"), env={"AWS_LAMBDA_LOG_FORMAT": "JSON"})
    function.invoke()
    record = json.loads(function.log)
    assert record["level"] == "ERROR"
    assert (record["message"]["errorType"], record["message"]["errorMessage"]) == ("RangeError", "r")


# ------------------------------------------------------------ errors

def test_error_document_and_log(start):
    """LANG1-103, LANG1-104, LANG1-058, LANG1-061"""
    function = start("exports.handler = async function() {\n  return x + 10\n}\n")
    post = function.invoke()
    assert post.path.endswith("/error")
    assert post.headers["lambda-runtime-function-error-type"] == "ReferenceError"
    assert list(post.json) == ["errorType", "errorMessage", "trace"]
    assert (post.json["errorType"], post.json["errorMessage"]) == (
        "ReferenceError", "x is not defined")
    frames = post.json["trace"]
    assert frames[0] == "ReferenceError: x is not defined"
    assert re.fullmatch(r"    at \S*handler \(%s/index\.js:2:3\)" % function.task,
                        frames[1])
    prefix, _, logged = function.log.partition("\tERROR\tInvoke Error \t")
    assert re.fullmatch(STAMP + "\t" + function.request_id, prefix)
    assert json.loads(logged) == {
        "errorType": "ReferenceError", "errorMessage": "x is not defined", "stack": frames}
    assert function.log.count("\n") == 1
    cause = json.loads(post.headers["lambda-runtime-function-xray-error-cause"])
    assert cause["exceptions"][0]["stack"][0]["path"] == str(function.task / "index.js")
    assert cause["exceptions"][0]["stack"][0]["line"] == 2


@pytest.mark.parametrize("source, kind, message", [
    (async_handler("throw new RangeError('r\u00e9\\nr')"), "RangeError", "r\u00e9\nr"),
    (callback_handler("throw new Error('sync')"), "Error", "sync"),
    (callback_handler("callback(new Error('cb'))"), "Error", "cb"),
    (callback_handler("callback('text')"), "string", "text"),
    (callback_handler("context.fail(new Error('failed'))"), "Error", "failed"),
    (callback_handler("context.fail()"), "string", "handled"),
    (callback_handler("context.done(new Error('done'))"), "Error", "done"),
    (async_handler("throw 42"), "number", "42"),
    (async_handler("throw {toString: () => 'obj'}"), "object", "obj"),
    (async_handler("throw undefined"), "string", "handled"),
    (async_handler("const a = {}; a.a = a; return a"), "Error", "Unable to stringify response body"),
    (async_handler("return 10n"), "Error", "Unable to stringify response body"),
    (callback_handler("callback(null, 10n)"), "Error", "Unable to stringify response body"),
], ids=range(13))
def test_errors(start, source, kind, message):
    """LANG1-093, LANG1-094"""
    function = start(source)
    for _ in range(2):
        error = function.error()
        assert (error["errorType"], error["errorMessage"]) == (kind, message)
        assert function.log.count("\n") == function.log.count("\tInvoke Error \t")


def test_own_fields_of_an_error_are_logged(start):
    function = start(async_handler(
        "throw Object.assign(new Error('m'), {code: 'E1', detail: {n: 1}, name: 'Mine'})"))
    assert function.error()["errorType"] == "Mine"
    logged = json.loads(function.log.split("\t")[-1])
    assert (logged["code"], logged["detail"], logged["errorType"]) == ("E1", {"n": 1}, "Mine")


def test_event_that_is_not_json(start):
    function = start(async_handler("return 1"))
    assert function.error(raw=b'{"a": }')["errorType"] == "SyntaxError"
    assert function.result() == 1


def test_uncaught_exception_ends_the_process(start):
    function = start(callback_handler("setTimeout(() => { throw new Error('boom') }, 5)"))
    error = function.error()
    assert (error["errorType"], error["errorMessage"]) == ("Error", "boom")
    assert function.exit_status() == 129
    assert "\t%s\tERROR\tUncaught Exception \t{" % function.request_id in function.log


def test_unhandled_rejection_ends_the_process(start):
    function = start(callback_handler("Promise.reject(new Error('lost')); setTimeout(() => {}, 99)"))
    error = function.error()
    assert (error["errorType"], error["errorMessage"]) == (
        "Runtime.UnhandledPromiseRejection", "Error: lost")
    assert function.exit_status() == 128
    logged = json.loads(function.log.split("\tUnhandled Promise Rejection \t")[1])
    assert logged["reason"]["errorMessage"] == "lost"


@pytest.mark.parametrize("lateness", [0, 200])
def test_unhandled_rejection_outside_events_is_an_init_error(start, lateness):
    function = start("setTimeout(() => Promise.reject(1), %d);" % lateness + async_handler(""))
    error, status = function.init_error()
    assert error["errorType"] == "Runtime.UnhandledPromiseRejection" and status == 128


def test_exception_between_events_ends_the_process(start):
    function = start(async_handler("setTimeout(() => { throw new Error('late') }, 100)"))
    function.invoke()
    assert function.exit_status() == 129
    assert function.api.posts.empty() and "\tUncaught Exception \t" in function.log


def test_exit_in_the_handler_ends_the_process(start):
    """The service, not the runtime, reports an exit."""
    function = start(async_handler("console.log('bye'); process.exit(3)"))
    function.send({})
    assert function.exit_status() == 3
    assert function.api.posts.empty() and function.log.endswith("\tbye\n")


# ------------------------------------------------------------ the connection

def test_one_connection_and_no_poll_before_the_answer(start):
    """RT-53, RT-65"""
    function = start(async_handler("return event"))
    assert [function.result(n) for n in range(5)] == list(range(5))
    assert function.api.connections == 1
    assert [method for method, _ in function.api.requests][:10] == ["GET", "POST"] * 5


def test_replies_in_pieces(start):
    function = start(async_handler("return event"))
    function.api.chop = 7
    event = {"text": "\u00e9" * 150}
    assert [function.result(event) for _ in range(3)] == [event] * 3


def test_server_that_closes_after_each_answer(start):
    """RT-65: the runtime connects again, without losing or repeating an answer."""
    function = start(async_handler("return event"))
    function.api.close_after_post = True
    assert [function.result(n) for n in range(4)] == [0, 1, 2, 3]
    assert function.api.posts.empty()


def test_refused_response_does_not_end_the_runtime(start):
    function = start(async_handler("return event"))
    function.api.post_status = 413
    function.invoke(1)
    function.api.post_status = 202
    assert function.result(2) == 2


def test_syntax_of_the_oldest_node():
    """The floor is Node.js 12: operators of later versions would not parse there."""
    source = re.sub(r"/\*.*?\*/|//[^\n]*", "", BOOTSTRAP.read_text(), flags=re.S)
    assert not re.search(r"\?\.[a-zA-Z\[(]|\?\?|\|\|=|&&=|#[a-z]+\b\s*[=(;]", source)
    subprocess.run([shutil.which("node"), "--check", str(BOOTSTRAP)], check=True)
