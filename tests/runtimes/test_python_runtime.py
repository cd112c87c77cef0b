"""The Python runtime on every interpreter that is installed here."""
import glob
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from lambda_process import ARN, ROOT, TRACE, Function

BOOTSTRAP = ROOT / "runtimes" / "python" / "bootstrap.py"
NBSP = "\u00a0"


def interpreters():
    """The python3 of PATH and each other minor version that pyenv or PATH has."""
    found = {}
    candidates = [shutil.which("python3")]
    candidates += [shutil.which("python3.%d" % minor) for minor in range(6, 15)]
    candidates += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")))
    for path in filter(None, candidates):
        probe = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[1]); print(sys.executable)"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if probe.returncode == 0:
            minor, real = probe.stdout.decode().split("\n")[:2]
            found.setdefault(int(minor), real)
    assert found, "no python3 on PATH"
    return [(minor, path) for minor, path in sorted(found.items()) if 6 <= minor <= 14]


@pytest.fixture(params=interpreters(), ids=lambda param: "3.%d" % param[0])
def python(request):
    return request.param


@pytest.fixture
def start(python, tmp_path):
    """Starts a function from its source, by default the handler of lambda_function."""
    running = []

    def start(source="", handler="lambda_function.lambda_handler", env=None, files=None):
        minor, path = python
        environment = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.%d" % minor}
        environment.update(env or {})
        sources = dict(files or {})
        if source:
            sources["lambda_function.py"] = source
        function = Function(tmp_path / str(len(running)), [path, "-s", str(BOOTSTRAP)],
                            sources, handler, environment)
        running.append(function)
        return function

    yield start
    for function in running:
        function.close()


def handler_of(body):
    lines = "".join("    %s\n" % line for line in body.split("\n"))
    return "def lambda_handler(event, context):\n" + lines


# ------------------------------------------------------------ events and responses

def test_event_types_arrive_as_python_values(start):
    """LANG1-106"""
    function = start(handler_of("return [type(event).__name__, event]"))
    for event, name in [({"a": 1}, "dict"), ([1], "list"), ("x", "str"), (7, "int"),
                        (1.5, "float"), (None, "NoneType"), (True, "bool")]:
        assert function.result(event) == [name, event]


def test_example_handler(start):
    """LANG1-105, LANG1-110"""
    function = start(
        "def my_handler(event, context):\n"
        "    message = 'Hello {} {}!'.format(event['first_name'], event['last_name'])\n"
        "    return {'message': message}\n", handler="lambda_function.my_handler")
    post = function.invoke({"first_name": "John", "last_name": "Smith"})
    assert post.body == b'{"message": "Hello John Smith!"}'
    assert post.headers["content-type"] == "application/json"


def test_nothing_returned_is_null(start):
    """LANG1-109"""
    assert start(handler_of("pass")).invoke({}).body == b"null"


RESPONSES = [  # what AWS's encoder writes for values that the standard one writes otherwise
    ("{'b': b'bytes', b'k': 1}", '{"b": "bytes", "k": 1}'),
    ("[Decimal('1.10'), Decimal('NaN'), {'d': Decimal('-3')}]", '[1.10, NaN, {"d": -3}]'),
    ("Point(1, Point(2, None))", '{"x": 1, "y": {"x": 2, "y": null}}'),
    ("[float('inf'), float('nan'), 1e100, -0.0]", "[Infinity, NaN, 1e+100, -0.0]"),
    ("{7: 1, 2.5: 2, None: 3, True: 4}", '{"7": 1, "2.5": 2, "null": 3, "true": 4}'),
    ("[Level.HIGH, {Level.HIGH: Text('t')}]", '[3, {"3": "t"}]'),
    ("[OrderedDict([('z', ()), ('a', {})]), [], [[1]]]", '[{"z": [], "a": {}}, [], [[1]]]'),
    ("'top\\nlevel'", '"top\\nlevel"'),
    ("True", "true"),
]


@pytest.mark.parametrize("expression, expected", RESPONSES)
def test_response_encoding(start, expression, expected):
    """LANG1-107"""
    function = start(
        "from collections import OrderedDict, namedtuple\n"
        "from decimal import Decimal\nfrom enum import IntEnum\n"
        "Point = namedtuple('Point', 'x y')\n"
        "class Level(IntEnum):\n    HIGH = 3\n"
        "class Text(str):\n    pass\n" + handler_of("return " + expression))
    assert function.invoke().body.decode() == expected


def test_bytes_pass_through(start):
    post = start(handler_of("return bytes(range(256))")).invoke()
    assert post.body == bytes(range(256))
    assert post.headers["content-type"] == "application/unknown"


@pytest.mark.parametrize("runtime, expected", [
    ("AWS_Lambda_python3.11", '"\\u00e9\\ud83d\\ude00\\u2028"'),
    ("AWS_Lambda_python3.12", '"\u00e9\U0001f600\u2028"'),
])
def test_non_ascii_is_escaped_up_to_python_3_11(start, runtime, expected):
    function = start(handler_of("return event"), env={"AWS_EXECUTION_ENV": runtime})
    assert function.invoke("\u00e9\U0001f600\u2028").body.decode() == expected


@pytest.mark.parametrize("expression, reason", [
    ("object()", "Object of type object is not JSON serializable"),
    ("{'s': {1}}", "Object of type set is not JSON serializable"),
    ("{(1, 2): 3}", "keys must be str, int, float, bool or None, not tuple"),
    ("loop", "Circular reference detected"),
])
def test_response_that_json_cannot_carry(start, expression, reason):
    """LANG1-108"""
    function = start("loop = []\nloop.append(loop)\n" + handler_of("return " + expression))
    error = function.error()
    assert error == {
        "errorMessage": "Unable to marshal response: " + reason,
        "errorType": "Runtime.MarshalError", "requestId": function.request_id, "stackTrace": []}
    assert function.log == ("[ERROR] Runtime.MarshalError: Unable to marshal response: "
                            + reason + "\rTraceback (most recent call last):\n")


@pytest.mark.parametrize("raw, reason", [
    (b'{"a": }', "Expecting value: line 1 column 7 (char 6)"),
    (b"[1] 2", "Extra data: line 1 column 5 (char 4)"),
    (b"", "Expecting value: line 1 column 1 (char 0)"),
])
def test_event_that_is_not_json(start, raw, reason):
    function = start(handler_of("return 1"))
    error = function.error(raw=raw)
    assert (error["errorType"], error["errorMessage"]) == (
        "Runtime.UnmarshalError", "Unable to unmarshal input: " + reason)
    assert function.result() == 1


def test_white_space_and_unicode_in_events(start):
    function = start(handler_of("return event"))
    assert function.result(raw=b' \r\n\t{"k" : "\xc3\xa9\\ud83d\\ude00"} \n') == {
        "k": "\u00e9\U0001f600"}


def test_other_content_type_arrives_as_bytes(start):
    function = start(handler_of("return [type(event).__name__, event]"))
    assert function.result(raw=b"\x61\x62", Content_Type="text/plain") == ["bytes", "ab"]


def test_six_megabytes_both_ways(start):
    function = start(handler_of("return event['text'] + '!'"))
    text = "x" * (6 * 1024 * 1024 - 100)
    assert function.result({"text": text}) == text + "!"


def test_module_state_lives_between_events(start):
    """RT-29, RT-34, LANG1-020"""
    function = start("count = 0\n" + handler_of("global count\ncount += 1\nreturn count"))
    assert [function.result() for _ in range(3)] == [1, 2, 3]


# ------------------------------------------------------------ context and environment

def test_context(start):
    """LANG1-111, LANG1-112"""
    function = start(handler_of(
        "c = context.client_context\n"
        "return {n: getattr(context, n) for n in ('function_name', 'function_version',\n"
        "    'invoked_function_arn', 'memory_limit_in_mb', 'aws_request_id', 'log_group_name',\n"
        "    'log_stream_name', 'tenant_id')}, [\n"
        "    context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id], [\n"
        "    c.client.installation_id, c.client.app_title, c.client.app_version_name,\n"
        "    c.client.app_version_code, c.client.app_package_name, c.custom, c.env]"))
    values, identity, client = function.result(
        Lambda_Runtime_Cognito_Identity=json.dumps(
            {"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}),
        Lambda_Runtime_Client_Context=json.dumps(
            {"client": {"installation_id": "i", "app_title": "t", "app_version_name": "n",
                        "app_version_code": "c"}, "custom": {"k": "v"}, "env": {"locale": "fr"}}))
    assert values == {
        "function_name": "my-function", "function_version": "$LATEST",
        "invoked_function_arn": ARN, "memory_limit_in_mb": "512",
        "aws_request_id": function.request_id, "log_group_name": "/aws/lambda/my-function",
        "log_stream_name": "2020/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0",
        "tenant_id": None}
    assert identity == ["id", "pool"]
    assert client == ["i", "t", "n", "c", None, {"k": "v"}, {"locale": "fr"}]


def test_context_without_mobile_client(start):
    function = start(handler_of(
        "return [context.client_context, context.identity.cognito_identity_id, repr(context)]"))
    client, identity, shown = function.result()
    assert client is None and identity is None
    assert shown.startswith("LambdaContext([aws_request_id=%s,log_group" % function.request_id)
    assert shown.endswith(
        "client_context=None,identity=CognitoIdentity([cognito_identity_id=None,"
        "cognito_identity_pool_id=None]),tenant_id=None])")


def test_malformed_client_context(start):
    error = start(handler_of("pass")).error(Lambda_Runtime_Client_Context="{")
    assert error["errorType"] == "Runtime.LambdaContextUnmarshalError"
    assert error["errorMessage"].startswith("Unable to parse Client Context JSON: ")


def test_remaining_time_falls(start):
    """LANG1-111, LANG1-113"""
    function = start(handler_of(
        "import time\nfirst = context.get_remaining_time_in_millis()\ntime.sleep(0.2)\n"
        "return [first, context.get_remaining_time_in_millis()]"))
    first, second = function.result(timeout_ms=5000)
    assert isinstance(first, int) and 3000 < first <= 5000
    assert 150 < first - second < 2000
    assert function.result(timeout_ms=-10000) == [0, 0]


def test_arn_is_that_of_each_event(start):
    """RT-61"""
    function = start(handler_of("return context.invoked_function_arn"))
    assert function.result() == ARN
    assert function.result(Lambda_Runtime_Invoked_Function_Arn=ARN + ":live") == ARN + ":live"


def test_trace_id_is_set_for_each_event(start):
    """RT-53"""
    function = start("import os\n" + handler_of("return os.environ.get('_X_AMZN_TRACE_ID')"))
    assert function.result() == TRACE
    assert function.result(Lambda_Runtime_Trace_Id="Root=2") == "Root=2"
    assert function.result(Lambda_Runtime_Trace_Id=None) is None


def test_working_directory_and_search_path(start, python):
    """LANG1-029, LANG1-032"""
    minor, _ = python
    function = start("import os, sys\n" + handler_of(
        "return [os.getcwd(), sys.path[:4], os.environ['PYTHONPATH']]"))
    directory, path, variable = function.result()
    assert Path(directory) == function.task
    assert path == [str(function.task), "/opt/python/lib/python3.%d/site-packages" % minor,
                    "/opt/python", str(BOOTSTRAP.parent)]
    assert variable == "/var/runtime"


def test_own_python_path_replaces_the_layers(start, tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "helper.py").write_text("value = 5\n")
    function = start("import sys, helper\n" + handler_of("return [helper.value, sys.path]"),
                     env={"PYTHONPATH": str(tmp_path / "extra")})
    value, path = function.result()
    assert value == 5
    assert path[0] == str(function.task) and "/opt/python" not in path


def test_pth_files_of_the_code_directory_count(start, tmp_path):
    function = start(handler_of("import helper\nreturn helper.value"),
                     files={"extra.pth": "vendored\n", "vendored/helper.py": "value = 6\n"})
    assert function.result() == 6


def test_packaged_module_wins_over_the_interpreters(start):
    """LANG1-031"""
    function = start("import wave\n" + handler_of("return wave.mine"),
                     files={"wave.py": "mine = True\n"})
    assert function.result() is True


@pytest.mark.parametrize("handler", [
    "pkg/sub/module.function", "pkg.sub.module.function"])
def test_nested_handler(start, handler):
    function = start(handler=handler, files={
        "pkg/__init__.py": "", "pkg/sub/__init__.py": "",
        "pkg/sub/module.py": "def function(event, context):\n    return __name__\n"})
    assert function.result() == "pkg.sub.module"


# ------------------------------------------------------------ output

def test_print_is_verbatim_and_in_order_with_stderr(start):
    """LANG1-114, RT-56"""
    function = start("import sys\nprint('init')\n" + handler_of(
        "print('one\\ntwo')\nprint('three', file=sys.stderr)\nprint('four \\u00e9', end='')\n"
        "sys.stdout.buffer.write(b'\\n')"))
    function.invoke()
    assert function.log == "init\none\ntwo\nthree\nfour \u00e9\n"
    function.invoke()
    assert function.log.count("three") == 2


def test_part_of_a_line_is_written_before_the_response(start):
    function = start(handler_of("print('no newline', end='')"))
    function.invoke()
    assert function.log == "no newline"


LOG_LINE = (r"\[%s\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t%s\t%s\n")


def test_root_logger_format(start):
    """LANG1-115"""
    function = start(
        "import logging\nlogger = logging.getLogger()\nlogging.warning('at init')\n"
        "logger.setLevel(logging.INFO)\n" + handler_of(
            "logger.info('## %s', 'EVENT')\nlogger.debug('hidden')\n"
            "logging.getLogger('named').error('bad')"))
    function.invoke()
    request = function.request_id
    assert re.fullmatch(
        LOG_LINE % ("WARNING", "", "at init") + LOG_LINE % ("INFO", request, "## EVENT")
        + LOG_LINE % ("ERROR", request, "bad"), function.log)


def test_root_logger_is_as_on_aws(start):
    """LANG1-115: one handler, level WARNING, and basicConfig is without effect."""
    function = start(
        "import logging.handlers\nfrom logging import INFO\n"
        "logging.basicConfig(level=INFO, format='mine')\n" + handler_of(
            "root = logging.getLogger()\nh = root.handlers\nlogging.info('hidden')\n"
            "return [len(h), type(h[0]).__name__, root.level, h[0].formatter._fmt,\n"
            "        logging.__spec__.loader is logging.__loader__,\n"
            "        type(logging.__loader__).__name__]"))
    count, kind, level, form, same, loader = function.result()
    assert (count, kind, level) == (1, "LambdaLoggerHandler", 30)
    assert form == "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    assert same and loader == "SourceFileLoader"
    assert function.log == ""


def test_logging_has_its_handler_when_first_imported_in_the_handler(start):
    function = start(handler_of("import logging\nlogging.error('late')"))
    function.invoke()
    assert re.fullmatch(LOG_LINE % ("ERROR", function.request_id, "late"), function.log)


def test_own_formatter_sees_the_request_id(start):
    function = start("import logging\n" + handler_of(
        "logging.getLogger().handlers[0].setFormatter(\n"
        "    logging.Formatter('%(aws_request_id)s %(message)s|'))\nlogging.error('x')"))
    function.invoke()
    assert function.log == function.request_id + " x|"


JSON_LOG = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}


def test_records_in_json(start):
    function = start(
        "import logging\n" + handler_of(
            "logger = logging.getLogger('named')\nlogger.debug('hidden')\n"
            "logger.info('a\\nb %d', 1, extra={'order': 7, 'odd': {1}, 'name_': None})\n"
            "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logger.exception('caught')\n"
            "logger.log(35, 'between')\nprint('plain')"), env=JSON_LOG)
    function.invoke()
    info, caught, between, plain = function.log.splitlines()
    info, caught, between = json.loads(info), json.loads(caught), json.loads(between)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", info.pop("timestamp"))
    assert list(info) == ["level", "message", "logger", "requestId", "order", "odd"]
    assert (info["message"], info["logger"], info["odd"]) == ("a\nb 1", "named", "{1}")
    assert info["requestId"] == function.request_id
    assert caught["errorType"] == "ZeroDivisionError" and "in lambda_handler" in caught["stackTrace"][0]
    assert caught["location"].startswith(str(function.task / "lambda_function.py:lambda_handler:"))
    assert (between["level"], plain) == ("WARNING", "plain")


@pytest.mark.parametrize("level, effective", [("TRACE", 10), ("WARN", 30), ("FATAL", 50)])
def test_level_of_the_root_logger(start, level, effective):
    env = dict(JSON_LOG, AWS_LAMBDA_LOG_LEVEL=level)
    function = start("import logging\n" + handler_of("return logging.getLogger().level"), env=env)
    assert function.result() == effective


def test_errors_in_json(start):
    function = start(handler_of("raise ValueError('\u00e9')"), env=JSON_LOG)
    document = function.invoke().json
    record = json.loads(function.log)
    assert list(record)[:2] == ["timestamp", "log_level"] and record["log_level"] == "ERROR"
    assert dict(record, **document) == record, "the whole document is in it"


def test_nothing_costly_is_imported_before_user_code(start):
    """Start time: these modules load only when the function asks for them."""
    function = start("import sys\nloaded = sorted(sys.modules)\n" + handler_of("return loaded"))
    baseline = start(  # what the interpreter's own site-packages pull in
        "import subprocess, sys\n" + handler_of(
            "code = 'import sys; print(\" \".join(sys.modules))'\n"
            "return subprocess.check_output([sys.executable, '-s', '-c', code]).decode().split()"))
    costly = {"json", "re", "logging", "traceback", "socket", "http", "importlib.util"}
    assert costly & set(function.result()) <= set(baseline.result())


# ------------------------------------------------------------ errors

def test_exception_document_and_log(start):
    """LANG1-116, LANG1-117, LANG1-058, LANG1-061"""
    function = start("def lambda_handler(event, context):\n    return x + 10\n")
    path = str(function.task / "lambda_function.py")
    post = function.invoke()
    assert post.path == "invocation/%s/error" % function.request_id
    assert post.headers["lambda-runtime-function-error-type"] == "NameError"
    assert post.json == {
        "errorMessage": "name 'x' is not defined", "errorType": "NameError",
        "requestId": function.request_id, "stackTrace": [
            '  File "%s", line 2, in lambda_handler\n    return x + 10\n' % path]}
    assert list(post.json) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert function.log == (
        "[ERROR] NameError: name 'x' is not defined\rTraceback (most recent call last):\r"
        + NBSP * 2 + 'File "%s", line 2, in lambda_handler\r' % path
        + NBSP * 4 + "return x + 10\n")
    assert json.loads(post.headers["lambda-runtime-function-xray-error-cause"]) == {
        "working_directory": str(function.task), "paths": [path], "exceptions": [{
            "message": "name 'x' is not defined", "type": "NameError",
            "stack": [{"label": "lambda_handler", "path": path, "line": 2}]}]}


def test_next_event_after_an_error_succeeds(start):
    function = start(handler_of("return 1 / event"))
    assert function.error(0)["errorType"] == "ZeroDivisionError"
    assert function.result(1) == 1


def test_error_names_and_texts_beyond_ascii(start):
    function = start("class \u00c9chec(Exception):\n    pass\n"
                     + handler_of("raise \u00c9chec('d\u00e9j\u00e0\\r\\nvu \\ud800')"))
    post = function.invoke()
    assert post.json["errorType"] == "\u00c9chec"
    assert post.json["errorMessage"].startswith("d\u00e9j\u00e0\r\nvu ")
    assert post.headers["lambda-runtime-function-error-type"] == "\\u00c9chec"


def test_wrong_signature_shows_no_frame_of_the_runtime(start):
    error = start("def lambda_handler():\n    pass\n").error()
    assert error["errorType"] == "TypeError" and error["stackTrace"] == []


def test_exit_in_the_handler_ends_the_process(start):
    """The service, not the runtime, reports an exit."""
    function = start("import sys\n" + handler_of("print('bye')\nsys.exit(3)"))
    function.send({})
    assert function.exit_status() == 3
    assert function.api.posts.empty() and function.log == "bye\n"


INIT_ERRORS = [
    ("lambda_function.lambda_handler", {}, "ImportModuleError",
     "Unable to import module 'lambda_function': No module named 'lambda_function'"),
    ("lambda_function.lambda_handler", {"lambda_function.py": "import missing\n"},
     "ImportModuleError", "Unable to import module 'lambda_function': No module named 'missing'"),
    ("lambda_function.nope", {"lambda_function.py": "\n"}, "HandlerNotFound",
     "Handler 'nope' missing on module 'lambda_function'"),
    ("nodot", {}, "MalformedHandlerName",
     "Bad handler 'nodot': not enough values to unpack (expected 2, got 1)"),
    ("sys.exit", {}, "BuiltInModuleConflict",
     "Cannot use built-in module sys as a handler module"),
]


@pytest.mark.parametrize("handler, files, kind, message", INIT_ERRORS)
def test_handler_that_cannot_be_loaded(start, handler, files, kind, message):
    """LANG2-190, LANG2-191, RT-69"""
    function = start(handler=handler, files=dict({"other.txt": ""}, **files))
    error, status = function.init_error()
    assert error == {"errorMessage": message, "errorType": "Runtime." + kind,
                     "requestId": "", "stackTrace": []}
    assert status == 1
    assert function.api.requests == [("POST", "/2018-06-01/runtime/init/error")]
    assert function.log == (
        "[ERROR] Runtime.%s: %s\rTraceback (most recent call last):\n" % (kind, message))


def test_syntax_error(start):
    function = start("def lambda_handler(event, context):\n    return 1 +\n")
    error, status = function.init_error()
    assert error["errorType"] == "Runtime.UserCodeSyntaxError" and status == 1
    assert error["errorMessage"] == (
        "Syntax error in module 'lambda_function': invalid syntax (lambda_function.py, line 2)")
    assert error["stackTrace"] == [
        '  File "%s" Line 2\n        return 1 +\n' % (function.task / "lambda_function.py")]


def test_exception_in_module_code(start):
    function = start("import os\nos.environ['MISSING']\n")
    error, status = function.init_error()
    assert (error["errorType"], error["errorMessage"], status) == ("KeyError", "'MISSING'", 1)
    assert error["stackTrace"][0] == (
        '  File "%s", line 2, in <module>\n    os.environ[\'MISSING\']\n'
        % (function.task / "lambda_function.py"))


# ------------------------------------------------------------ the connection

def test_one_connection_and_no_poll_before_the_answer(start):
    """RT-53, RT-65"""
    function = start(handler_of("return event"))
    assert [function.result(n) for n in range(5)] == list(range(5))
    assert function.api.connections == 1
    kinds = [method for method, _ in function.api.requests]
    assert kinds[:10] == ["GET", "POST"] * 5


def test_replies_in_pieces(start):
    function = start(handler_of("return event"))
    function.api.chop = 7
    event = {"text": "y" * 300}
    assert [function.result(event) for _ in range(3)] == [event] * 3


def test_server_that_closes_after_each_answer(start):
    """RT-65: the runtime connects again, without losing or repeating an answer."""
    function = start(handler_of("return event"))
    function.api.close_after_post = True
    assert [function.result(n) for n in range(4)] == [0, 1, 2, 3]
    assert function.api.posts.empty()


def test_refused_response_does_not_end_the_runtime(start):
    function = start(handler_of("return event"))
    function.api.post_status = 413
    function.invoke(1)
    function.api.post_status = 202
    assert function.result(2) == 2


def test_default_socket_timeout_of_user_code_does_not_matter(start):
    function = start("import socket\nsocket.setdefaulttimeout(0.05)\n"
                     + handler_of("return event"))
    function.api.close_after_post = True
    assert function.result(1) == 1
    time.sleep(0.3)  # longer than the timeout that user code has set
    assert function.result(2) == 2
