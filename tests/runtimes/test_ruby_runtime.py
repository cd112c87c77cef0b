"""The Ruby runtime on the `ruby` of PATH."""
import json
import re
import shutil
import subprocess

import pytest

from lambda_process import ARN, ROOT, TRACE, Function

RUNTIME = ROOT / "runtimes" / "ruby"
VERSION = subprocess.run(["ruby", "-e", "print RUBY_VERSION"], capture_output=True, text=True, check=True).stdout
#: How Ruby quotes names in messages and traces.
QUOTE = "`" if tuple(map(int, VERSION.split(".")[:2])) < (3, 4) else "'"


@pytest.fixture
def start(tmp_path):
    """Starts a function from its source, by default function.handler of function.rb."""
    running = []

    def start(source="", handler="function.handler", env=None, files=None, **kw):
        sources = dict(files or {})
        if source:
            sources["function.rb"] = source
        directory = tmp_path / str(len(running))
        environment = {"RUBYLIB": "%s:%s" % (directory / "task", RUNTIME / "lib")}
        environment.update(env or {})
        function = Function(directory, [shutil.which("ruby"), str(RUNTIME / "bootstrap.rb")],
                            sources, handler, environment, **kw)
        running.append(function)
        return function

    yield start
    for function in running:
        function.close()


def handler(body):
    return "def handler(event:, context:)\n%s\nend\n" % body


# ------------------------------------------------------------ handlers and responses

@pytest.mark.parametrize("body, expected", [
    ("event['n'] + 1", b"8"),
    ("event", b'{"n":7}'),
    ("nil", b"null"),
    ("{ a: :b, 'c' => [1.5, true], d: \"\u00e9\" }", '{"a":"b","c":[1.5,true],"d":"\u00e9"}'.encode()),
    ("Struct.new(:x) { def to_json(*a) = {x: x}.to_json(*a) }.new(1)", b'{"x":1}'),
    ("JSON.generate(event)", b'"{\\"n\\":7}"'),
    ("event.inspect.class.name", b'"String"'),
])
def test_responses(start, body, expected):
    """LANG1-118, LANG1-120, LANG1-121"""
    function = start(handler(body))
    for _ in range(2):
        post = function.invoke({"n": 7})
        assert post.path == "invocation/%s/response" % function.request_id
        assert post.body == expected
        assert post.headers["content-type"] == "application/json"


@pytest.mark.parametrize("raw, expected", [
    (b'"text"', "String"), (b"[1]", "Array"), (b"1", "Integer"), (b"null", "NilClass"), (b"{}", "Hash"),
])
def test_events(start, raw, expected):
    """LANG1-120"""
    assert start(handler("event.class.name")).result(raw=raw) == expected


def test_a_stream_is_the_response_as_it_is(start):
    function = start("require 'stringio'\n" + handler("StringIO.new(\"\\x00\\xff\".b)"))
    post = function.invoke()
    assert (post.body, post.headers["content-type"]) == (b"\x00\xff", "application/unknown")


def test_a_method_of_a_class(start):
    """LANG1-119"""
    source = """
        module LambdaFunctions
          class Handler
            def self.process(event:, context:)
              "Hello!"
            end
          end
        end
    """
    function = start(handler="source.LambdaFunctions::Handler.process", files={"source.rb": source})
    assert function.result({}) == "Hello!"


def test_a_file_in_a_folder_and_what_it_requires(start):
    files = {
        "lib/app.rb": "require 'helper'\nrequire_relative 'near'\n" + handler("HELPER + NEAR"),
        "helper.rb": "HELPER = 'a'", "lib/near.rb": "NEAR = 'b'",
    }
    assert start(handler="lib/app.handler", files=files).result() == "ab"


def test_state_lives_between_events(start):
    """LANG1-020"""
    function = start("$n = 0\n" + handler("$n += 1"))
    assert [function.result() for _ in range(3)] == [1, 2, 3]


def test_six_megabytes_both_ways(start):
    text = "\u00e9" * (3 << 20)
    assert start(handler("event")).result(text) == text


def test_gems_of_the_package(start, tmp_path):
    """LANG1-035"""
    gems = tmp_path / "0" / "task" / "vendor" / "bundle" / "ruby" / (".".join(VERSION.split(".")[:2]) + ".0")
    spec = "Gem::Specification.new { |s| s.name = 'tiny'; s.version = '1.2.3'; s.summary = s.authors = 'x'; s.files = [] }"
    for name, text in {"specifications/tiny-1.2.3.gemspec": spec, "gems/tiny-1.2.3/lib/tiny.rb": "TINY = 'a gem'"}.items():
        (gems / name).parent.mkdir(parents=True)
        (gems / name).write_text(text)
    function = start("require 'tiny'\n" + handler("TINY"), env={"GEM_PATH": str(gems)})
    assert function.result() == "a gem"


# ------------------------------------------------------------ context

def test_context(start):
    """LANG1-122"""
    names = ["aws_request_id", "invoked_function_arn", "log_group_name", "log_stream_name", "function_name",
             "memory_limit_in_mb", "function_version", "identity", "client_context"]
    fields = ", ".join("%s: context.%s" % (name, name) for name in names)
    function = start(handler("{%s, deadline: context.deadline_ms, left: context.get_remaining_time_in_millis, "
                             "trace: ENV['_X_AMZN_TRACE_ID'], now: (Time.now.to_f * 1000).to_i}" % fields))
    client = {"client": {"app_title": "\u00e9"}, "custom": {"a": 1}}
    result = function.result(**{
        "Lambda_Runtime_Client_Context": json.dumps(client, ensure_ascii=False),
        "Lambda_Runtime_Cognito_Identity": '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}',
    }, timeout_ms=5000)
    deadline, left, now = (result.pop(key) for key in ("deadline", "left", "now"))
    assert abs(deadline - now - left) < 1000 and 0 < left <= 5000
    assert result == {
        "aws_request_id": function.request_id, "invoked_function_arn": ARN,
        "log_group_name": "/aws/lambda/my-function",
        "log_stream_name": "2020/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0",
        "function_name": "my-function", "memory_limit_in_mb": "512", "function_version": "$LATEST",
        "identity": {"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}, "client_context": client,
        "trace": TRACE,
    }
    assert function.result(Lambda_Runtime_Trace_Id=None, timeout_ms=-100)["trace"] is None


def test_what_is_absent_and_a_deadline_that_is_over(start):
    body = "[context.identity, context.client_context, context.get_remaining_time_in_millis]"
    assert start(handler(body)).result(timeout_ms=-100) == [None, None, 0]


# ------------------------------------------------------------ output

def test_output_is_verbatim_and_in_order(start):
    """LANG1-123"""
    function = start("puts 'init'\n" + handler("puts ['A', 'b']; print 'no end'; $stderr.puts '!'; system('echo child')"))
    function.result()
    assert function.log == "init\nA\nb\nno end!\nchild\n"


def test_logger_writes_the_request_id(start):
    """LANG1-124"""
    source = "require 'logger'\nL = Logger.new($stdout)\n" + handler(
        "L.info('## EVENT'); L.debug(event); Logger.new(nil, level: Logger::WARN).info('no'); "
        "Logger.new($stderr, progname: 'me').error(\"\u00e9\")")
    function = start(source)
    function.result({"key1": "value1"})
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} #%d\]" % function.process.pid
    lines = function.log.splitlines()
    for line, (letter, level, rest) in zip(lines, [
        ("I", " INFO", " -- : ## EVENT"), ("D", "DEBUG", r" -- : \{\"key1\" ?=> ?\"value1\"\}"), ("E", "ERROR", " -- me: \u00e9"),
    ], strict=True):
        assert re.fullmatch(r"%s, %s %s %s%s" % (letter, stamp, level, function.request_id, rest), line), line


def test_logger_is_there_unasked_and_a_file_is_a_file(start):
    function = start(handler("Logger.new('own.log').info('x'); File.read('own.log').lines.last"))
    assert re.fullmatch(r"I, \[\S+ #\d+\]  INFO -- : x\n", function.result())


# ------------------------------------------------------------ errors

def test_error_document_and_log(start):
    """LANG1-125, LANG1-126: the guide's example."""
    function = start('def handler(event:, context:)\n    puts "Processing event..."\n    [1, 2, 3].first("two")\n    "Success"\nend\n')
    for _ in range(2):  # the instance lives on
        document = function.error()
        path = function.task / "function.rb"
        assert document == {
            "errorMessage": "no implicit conversion of String into Integer",
            "errorType": "Function<TypeError>",
            "stackTrace": [
                f"{path}:3:in {QUOTE}{'Array#' if QUOTE == chr(39) else ''}first'",
                f"{path}:3:in {QUOTE}{'Object#' if QUOTE == chr(39) else ''}handler'",
            ],
        }
    text = "Processing event...\nError raised from handler method\n" + json.dumps(document, indent=2) + "\n"
    assert function.log == text * 2


def test_what_x_ray_shows(start):
    function = start(handler("raise 'w\u00e4h'"))
    post = function.invoke()
    cause = json.loads(post.headers["lambda-runtime-function-xray-error-cause"])
    assert cause["working_directory"] == str(function.task)
    assert cause["exceptions"] == [{
        "message": "w\u00e4h", "type": "Function<RuntimeError>",
        "stack": [{"path": str(function.task / "function.rb"), "line": 2,
                   "label": "handler" if QUOTE == "`" else "Object#handler"}],
    }]


def test_a_cause_that_is_too_long_is_left_out(start):
    post = start(handler("raise 'x' * 40_000")).invoke()
    assert "lambda-runtime-function-xray-error-cause" not in post.headers
    assert len(post.json["errorMessage"]) == 40000


@pytest.mark.parametrize("body, kind, message", [
    ("raise ArgumentError, \"\\xff\"", "Function<ArgumentError>", "\ufffd"),
    ("raise Class.new(StandardError) { def self.to_s; \"A\\nB\" end }", "Function<A\nB>", None),
    ("0.0 / 0", "Function<JSON::GeneratorError>", None),
    ("\"\\xff\"", "Function<JSON::GeneratorError>", None),
])
def test_errors_that_an_instance_survives(start, body, kind, message):
    function = start(handler("return 'alive' if event\n" + body))
    post = function.invoke(None)
    assert post.path.endswith("/error")
    assert post.json["errorType"] == kind
    assert message is None or post.json["errorMessage"] == message
    assert function.result(True) == "alive"


@pytest.mark.parametrize("body, kind, message", [
    ("nothing.at_all", "NameError", "undefined local variable or method"),
    ("event.nothing", "NoMethodError", "undefined method"),
    ("exit 3", "SystemExit", "exit"),
    ("def deep = deep\ndeep", "SystemStackError", "stack level too deep"),
    ("raise Exception, 'grave'", "Exception", "grave"),
    ("raise NotImplementedError", "NotImplementedError", "NotImplementedError"),
])
def test_errors_that_end_the_process(start, body, kind, message):
    function = start(handler(body))
    document = function.error()
    assert document["errorType"] == f"Function<{kind}>"
    assert message in document["errorMessage"]
    assert len(document["stackTrace"]) <= 100
    assert function.exit_status() == 255
    assert function.log.startswith("Critical exception from handler\n{\n")


def test_a_missing_method(start):
    """LANG2-191"""
    function = start("def other(event:, context:)\nend\n")
    message = function.error()["errorMessage"]
    assert re.match(r"undefined method [`']handler' for (#<LambdaHandler:0x[0-9a-f]{16}>|an instance of LambdaHandler)", message), message


@pytest.mark.parametrize("handler_name, files, kind, message", [
    ("function.handler", {"other.rb": ""}, "LoadError", "cannot load such file -- function"),
    ("handler", {"handler.rb": ""}, "ArgumentError", 'Invalid handler ["handler"], must be of form FILENAME.METHOD'),
    ("function.handler", {"function.rb": "def ("}, "SyntaxError", "function.rb:1: syntax error"),
    ("function.handler", {"function.rb": "raise 'at init'"}, "RuntimeError", "at init"),
    ("function.handler", {"function.rb": "exit"}, "SystemExit", "exit"),
])
def test_handlers_that_cannot_be_loaded(start, handler_name, files, kind, message):
    """LANG2-190"""
    function = start(handler=handler_name, files=files)
    document, status = function.init_error()
    assert (document["errorType"], status) == (f"Init<{kind}>", 252)
    assert message in document["errorMessage"]
    assert function.log.startswith(f"Init error when loading handler {handler_name}\n{{\n")


def test_an_event_that_is_not_json(start):
    function = start(handler("event"))
    assert function.error(raw=b"{")["errorType"] == "Function<JSON::ParserError>"
    assert function.result(1) == 1


# ------------------------------------------------------------ Runtime API

def test_one_connection_and_no_poll_before_the_answer(start):
    function = start(handler("event"))
    for number in range(3):
        function.result(number)
    assert function.api.connections == 1
    ids = [request[1] for request in function.api.requests if request[0] == "POST"]
    assert len(ids) == 3
    assert [method for method, _ in function.api.requests] == ["GET", "POST"] * 3 + ["GET"] or \
        [method for method, _ in function.api.requests] == ["GET", "POST"] * 3


def test_replies_in_pieces(start):
    function = start(handler("event"))
    function.api.chop = 3
    assert function.result("\u00e9" * 30) == "\u00e9" * 30


def test_a_server_that_closes_after_each_answer(start):
    function = start(handler("event"))
    function.api.close_after_post = True
    assert [function.result(n) for n in range(3)] == [0, 1, 2]


def test_a_refused_response_does_not_end_the_runtime(start):
    function = start(handler("event"))
    function.api.post_status = 413
    function.result(1)
    function.api.post_status = 202
    assert function.result(2) == 2


def test_a_service_that_is_broken_ends_the_runtime(start):
    function = start(handler("event"))
    function.api.post_status = 500
    function.invoke(1)
    assert function.exit_status() == 1
    assert "the Runtime API answered 500" in function.log


@pytest.mark.parametrize("answered", [True, False])
def test_the_end_is_silent(start, answered):
    """Whether it waits for an event or, still, for the reply to its response."""
    function = start(handler("event"))
    if not answered:
        function.api.replies_to_posts.clear()
    function.result(1)
    function.process.terminate()
    assert function.exit_status() == 0
    assert function.log == ""
