"""The .NET runtime on the .NET of DOTNET_ROOT, with a library of the names of AWS's Amazon.Lambda.Core."""
import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from lambda_process import ARN, ROOT, TRACE, Function

RUNTIME = ROOT / "runtimes" / "dotnet"
DOTNET = Path(os.environ["DOTNET_ROOT"]) / "dotnet"
ASSEMBLIES = Path(os.environ["LAMBD_DOTNET_ASSEMBLIES"])
CORE = "Amazon.Lambda.Core.dll"
FORMAT = "The valid format is 'ASSEMBLY::TYPE::METHOD'."
AT = "https://example.com/"


@pytest.fixture
def start(tmp_path):
    """Starts a handler of Functions.dll, or one that is named in full."""
    running = []

    def start(handler, assemblies=("Functions.dll", CORE), env=None, runtime="dotnetcore3.1", arguments=()):
        if handler.count("::") == 1:
            handler = "Functions::Functions." + handler
        directory = tmp_path / str(len(running))
        (directory / "task").mkdir(parents=True)
        for assembly in assemblies:
            shutil.copy(ASSEMBLIES / assembly, directory / "task")
        environment = {"AWS_EXECUTION_ENV": "AWS_Lambda_" + runtime, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
        # What the daemon sets as well.
        environment.update({"DOTNET_ROLL_FORWARD": "Major", **(env or {})})
        command = [str(DOTNET), "exec", *arguments, str(RUNTIME / "bootstrap.dll")]
        function = Function(directory, command, {"page.html": "<h1>\u00e9</h1>"}, handler, environment)
        running.append(function)
        return function

    yield start
    for function in running:
        function.close()


def test_the_assembly_is_what_its_sources_make():
    """`cargo xtask dotnet` writes it anew after a change."""
    assert (RUNTIME / "bootstrap.dll").read_bytes() == (ASSEMBLIES / "bootstrap.dll").read_bytes()


# ------------------------------------------------------------ handlers and responses

@pytest.mark.parametrize("method, event, expected", [
    ("Upper", "Just Checking", b'"JUST CHECKING"'),
    ("Double", {"Name": "\u00e9", "Count": 4, "Parts": []}, b'{"Name":"\\u00E9","Count":8,"Parts":[]}'),
    ("Counts", ["a", "b", "a"], b'{"a":2,"b":1}'),
    ("Static", 7, b"8"),
    ("NoInput", {"any": "thing"}, b'"made"'),
    ("OnlyContext", {"any": "thing"}, b'"my-function"'),
    ("Nothing", "x", b""),
    ("NothingLater", "x", b""),
    ("Later", "x", b'"x!"'),
    ("Done", "x", b'"x"'),
    ("Hidden", "x", b'"hidden x"'),
    ("Marked", "x", b'<"x">'),
    ("Rest", "x", b'x"'),
    ("NoStream", "x", b""),
    ("FromFile", "x", "<h1>\u00e9</h1>".encode()),
    ("System.String Overloaded(Int32)", 1, b'"number"'),
])
def test_forms_of_handlers(start, method, event, expected):
    """LANG2-070, LANG2-072, LANG2-074, LANG2-075, LANG2-076, LANG2-077, LANG2-078, LANG2-081"""
    function = start("Forms::" + method)
    for _ in range(2):
        post = function.invoke(event)
        assert (post.path, post.body) == ("invocation/%s/response" % function.request_id, expected)
        assert post.headers["content-type"] == "application/json"


def test_null_is_an_input(start):
    """LANG2-081"""
    assert start("Forms::Upper").result(None) is None


def test_a_method_may_be_inherited_and_its_type_a_struct(start):
    assert start("Inherited::Upper").result("x") == "X"
    assert start("Value::Handle").result("x") == "struct x"
    assert start("Abstract::Static").result("x") == "static"


def test_one_object_serves_all_events(start):
    function = start("Forms::Calls")
    assert [function.result() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("method", ["Same", "SameLater"])
def test_streams_are_as_they_are(start, method):
    """LANG2-073: whatever bytes, and six megabytes of them both ways."""
    function = start("Forms::" + method)
    for raw in (b"", b"\x00\xff\r\n\r\n\xfe", bytes(range(256)) * (6 << 12)):
        assert function.invoke(raw=raw).body == raw


def test_six_megabytes_of_text(start):
    text = "\u00e9" * (1 << 20)
    assert start("Forms::Done").result(text) == text


def test_an_assembly_needs_no_library_for_streams(start):
    """LANG2-073"""
    function = start("Plain::Plain.Function::Same", assemblies=["Plain.dll"])
    assert function.invoke(raw=b"\xff").body == b"\xff"


def test_the_packages_own_list_and_configuration(start, tmp_path):
    """LANG2-062: what `dotnet publish` writes beside the assemblies."""
    package = {"runtime": {"lib/netstandard2.0/" + CORE: {"assemblyVersion": "1.0.0.0"}}}
    target = {"Functions/1.0.0": {"runtime": {"Functions.dll": {}}}, "Amazon.Lambda.Core/1.1.0": package}
    library = {"serviceable": False, "sha512": ""}
    framework = ".NETCoreApp,Version=v2.1"
    deps = {"runtimeTarget": {"name": framework}, "targets": {framework: target}, "libraries": {
        "Functions/1.0.0": {"type": "project", **library}, "Amazon.Lambda.Core/1.1.0": {"type": "package", **library}}}
    configuration = {"runtimeOptions": {"tfm": "netcoreapp2.1", "framework": {
        "name": "Microsoft.NETCore.App", "version": "2.1.0"}}}
    task = tmp_path / "0" / "task"
    files = {"Functions.deps.json": deps, "Functions.runtimeconfig.json": configuration}
    arguments = ["--depsfile", str(tmp_path / "Functions.deps.json"),
                 "--runtimeconfig", str(tmp_path / "Functions.runtimeconfig.json")]
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    for assembly in ("Functions.dll", CORE):
        shutil.copy(ASSEMBLIES / assembly, tmp_path)
    function = start("About::Core", assemblies=[], arguments=arguments)
    assert not (task / CORE).exists()
    assert function.result() == str(tmp_path / CORE)


# ------------------------------------------------------------ context

def test_context(start):
    """LANG2-082"""
    function = start("About::Context")
    client = {"client": {"app_title": "\u00e9 \"x\"", "installation_id": "i", "more": [{"}": 1}]},
              "custom": {"a": "\\\n\u00e9", "n": 1.5}, "env": {}}
    result = function.result(**{
        "Lambda_Runtime_Client_Context": json.dumps(client),
        "Lambda_Runtime_Cognito_Identity": '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}',
    }, timeout_ms=5000)
    assert 0 < result.pop("Remaining") <= 5000
    assert result == {
        "AwsRequestId": function.request_id, "FunctionName": "my-function", "FunctionVersion": "$LATEST",
        "InvokedFunctionArn": ARN, "LogGroupName": "/aws/lambda/my-function",
        "LogStreamName": "2020/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0", "MemoryLimitInMB": 512,
        "Identity": "i/p", "Client": "\u00e9 \"x\"/i", "Custom": {"a": "\\\n\u00e9", "n": "1.5"}, "Env": {}, "Trace": TRACE,
    }
    absent = function.result(Lambda_Runtime_Trace_Id=None)
    assert [absent[name] for name in ("Identity", "Client", "Custom", "Trace")] == ["/", None, None, None]


def test_remaining_time_passes(start):
    """LANG2-083"""
    assert 119 <= start("About::Passing").result() < 1000


def test_members_of_later_libraries(start, tmp_path):
    """Those of AWS's library for .NET 8: the context's, and the logger's with levels."""
    env = {"AWS_LAMBDA_HANDLER_LOG_FORMAT": "Unformatted"}
    function = start("Later::Later.Function::Handle", assemblies=["later/Later.dll", "later/" + CORE], runtime="dotnet8", env=env)
    post = function.invoke(Lambda_Runtime_Aws_Tenant_Id="blue")
    assert post.body.decode() == TRACE + " blue"
    assert function.log == (
        "context \u00e9 has 007 of {x}\nplain {Name}\nlibrary True\nSystem.FormatException: bad\ntext\n")


# ------------------------------------------------------------ output

def test_output_is_verbatim_and_in_order(start):
    """LANG2-032, LANG2-084"""
    function = start("About::Log")
    function.invoke()
    assert function.log == "console \u00e9\nerror\nlibrary\nline\nno end\n"


def test_lines_since_net_6(start):
    """Time, request id and level before each line, the console's too."""
    function = start("About::Log", runtime="dotnet6")
    function.invoke()
    lines = [line.split("\t") for line in function.log.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line[0]) for line in lines), lines
    assert {line[1] for line in lines} == {function.request_id}
    assert [line[2:] for line in lines] == [
        ["info", "console \u00e9"], ["fail", "error"], ["info", "library"], ["info", "line"], ["info", "no end"]
    ]  # fmt: skip
    later = start("Later::Later.Function::Handle", assemblies=["later/Later.dll", "later/" + CORE], runtime="dotnet8")
    later.invoke()
    told = [line.split("\t")[2:] for line in later.log.splitlines()]
    assert told == [
        ["warn", "context \u00e9 has 007 of {x}"], ["dbug", "plain {Name}"], ["fail", "library True"], [], ["info", "text"]
    ]  # fmt: skip


def test_records_in_json(start):
    env = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    assemblies = ["later/Later.dll", "later/" + CORE]
    function = start("Later::Later.Function::Handle", assemblies=assemblies, runtime="dotnet8", env=env)
    function.invoke()
    records = [json.loads(line) for line in function.log.splitlines()]
    for record in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
        assert (record.pop("requestId"), record.pop("traceId")) == (function.request_id, TRACE)
    assert records == [
        {"level": "Warning", "message": "context \u00e9 has 007 of {x}", "Name": "\u00e9", "Count": 7},
        {"level": "Debug", "message": "plain {Name}"},
        {"level": "Error", "message": "library True", "0": True, "errorType": "FormatException", "errorMessage": "bad"},
        {"level": "Information", "message": "text"},
    ]
    function = start("Errors::Throw", env=env)
    document = function.error()
    record = json.loads(function.log)
    assert record["level"] == "Error" and document.items() <= record.items()


# ------------------------------------------------------------ errors

INNER = ["at Functions.Errors.Inner()"]
CAUSE = {"errorType": "FormatException", "errorMessage": "\"inner\"\n\u00e9"}
ARITHMETIC = {"errorType": "ArithmeticException", "errorMessage": "Sorry, 2 + 2 = 5"}


def test_an_error_and_its_cause(start):
    """LANG2-090, LANG2-091, LANG2-094: as the payload and in the log."""
    function = start("Errors::Throw")
    for _ in range(2):  # the instance lives on
        document = function.error()
        assert document == {**ARITHMETIC, "stackTrace": INNER + ["at Functions.Errors.Throw()"], "cause": CAUSE}
    assert [json.loads(line) for line in function.log.splitlines()] == [document] * 2


@pytest.mark.parametrize("method", ["ThrowLater", "ThrowValueLater"])
def test_errors_of_tasks(start, method):
    """LANG2-094, LANG2-W17: .NET Core's runtimes wrapped them; those since .NET 6 do not."""
    wrapped = start("Errors::" + method).error()
    assert wrapped["errorType"] == "AggregateException"
    assert wrapped["errorMessage"] == "One or more errors occurred. (Sorry, 2 + 2 = 5)"
    assert all(frame.startswith("at System.Threading.Tasks.Task") for frame in wrapped["stackTrace"])
    bare = start("Errors::" + method, runtime="dotnet8").error()
    for document in (wrapped["cause"], bare):
        assert {**ARITHMETIC, "cause": CAUSE}.items() <= document.items()
        assert document["stackTrace"][:1] == INNER
        assert all(re.match("at |--- End of stack trace ", frame) for frame in document["stackTrace"])
        assert not any("Lambd." in frame for frame in document["stackTrace"])


def test_all_of_several_errors(start):
    """LANG2-091"""
    document = start("Errors::Several", runtime="dotnet8").error()
    assert [cause["errorType"] for cause in document["causes"]] == ["ArithmeticException", "FormatException"]
    assert document["cause"] == document["causes"][0]


def test_what_x_ray_shows(start):
    function = start("Errors::Throw")
    cause = json.loads(function.invoke().headers["lambda-runtime-function-xray-error-cause"])
    assert cause["working_directory"] == str(function.task)
    assert [(e["type"], e["message"], [f["label"] for f in e["stack"]]) for e in cause["exceptions"]] == [
        ("ArithmeticException", "Sorry, 2 + 2 = 5", ["Functions.Errors.Inner()", "Functions.Errors.Throw()"]),
        ("FormatException", CAUSE["errorMessage"], []),
    ]


@pytest.mark.parametrize("raw, kind", [(b"{", "JsonException"), (b"7", "JsonException")])
def test_events_that_do_not_fit(start, raw, kind):
    function = start("Errors::Echo")
    assert function.error(raw=raw)["errorType"] == kind
    assert function.result("alive") == "alive"


def test_results_that_cannot_be_written(start):
    function = start("Errors::Cycle")
    document = function.error()
    assert document["errorType"] == "JsonException"
    assert "cycle" in document["errorMessage"]


def test_a_message_that_throws(start):
    assert start("Errors::BadMessage").error()["errorType"] == "Unspeakable"


@pytest.mark.parametrize("method, status, said", [
    ("Exit", 3, ""), ("Deep", -6, "Stack overflow"), ("ThreadThrows", -6, "Unhandled exception"),
])
def test_ends_of_the_process(start, method, status, said):
    function = start("Errors::" + method)
    function.send({})
    assert function.exit_status() == status
    assert said in function.log


def test_memory_that_is_not_there(start):
    """An error like others, for which the limit of the heap is below that of the sandbox."""
    function = start("Errors::Memory", env={"COMPlus_GCHeapHardLimit": "4000000"})
    assert function.error()["errorType"] == "OutOfMemoryException"
    assert function.error()["errorType"] == "OutOfMemoryException"


@pytest.mark.parametrize("handler, message", [
    (AT, f"Invalid lambda function handler: '{AT}'. {FORMAT}"),
    ("", f"Empty lambda function handler. {FORMAT}"),
    ("Functions::::Handle", f"Invalid lambda function handler: 'Functions::::Handle', the type is missing. {FORMAT}"),
    ("Function::Function.Handler::handle",
     "Could not find the specified handler assembly with the file name 'Function, Culture=neutral, PublicKeyToken=null'. "
     "The assembly should be located in the root of your uploaded .zip file."),
    ("Functions::Function.Handler::handle", "Unable to load type 'Function.Handler' from assembly 'Functions'."),
    ("Forms::handle", "Unable to find method 'handle' in type 'Functions.Forms' from assembly 'Functions': "
                      "Found no methods matching method name 'handle'."),
    ("Forms::Overloaded", "The method 'Overloaded' in type 'Functions.Forms' appears to have a number of overloads. To call "
                          "this method please specify a complete method signature. Possible candidates are:\n"
                          "System.String Overloaded(System.String)\nSystem.String Overloaded(Int32)."),
    ("Refused::Generic", "because it is a generic method."),
    ("Refused::Params", "because it is a 'params' method."),
    ("Refused::AsyncVoid", "because it is an 'async void' method."),
    ("Refused::Pointer", "because it uses the type 'System.Int32*'."),
    ("Refused::Three", "the method has more than 2 parameters."),
    ("Refused::Second", "but the second parameter is not of type 'Amazon.Lambda.Core.ILambdaContext'."),
    ("Refused::BadSerializer", "The indicated serializer 'Functions.NoConstructor' does not define a public zero-parameter"),
    ("Refused::WrongSerializer", "The 'Functions.NoSerializer' class is invalid: it does not implement"),
    ("Abstract::Handle", "because its type 'Functions.Abstract' is abstract."),
    ("Abstract::Missing", "because it is an abstract method."),
    ("Generic`1::Handle", "because it is generic."),
])
def test_handlers_that_cannot_be_used(start, handler, message):
    """LANG2-071, LANG2-072, LANG2-079, LANG2-092, LANG2-190, LANG2-191"""
    function = start(handler)
    document, status = function.init_error()
    assert message in document["errorMessage"]
    assert document["errorType"] == "LambdaException" and "stackTrace" not in document
    assert status == 1
    assert json.loads(function.log) == document


@pytest.mark.parametrize("method, message", [
    ("Text", "while attempting to deserialize input data of type 'System.String'."),
    ("Output", "while attempting to serialize output data of type 'System.String'."),
])
def test_types_without_a_serializer(start, method, message):
    """LANG2-073, LANG2-092"""
    document, _ = start("Plain::Plain.Function::" + method, assemblies=["Plain.dll"]).init_error()
    assert document["errorType"] == "LambdaException"
    assert document["errorMessage"].startswith("Could not find the LambdaSerializerAttribute on the assembly 'Plain'")
    assert message in document["errorMessage"]


def test_a_constructor_that_throws(start):
    """LANG2-093"""
    document, _ = start("ThrowsInConstructor::Handle").init_error()
    assert document.pop("cause")["cause"] == {
        **ARITHMETIC, "stackTrace": ["at Functions.ThrowsInConstructor..ctor()"]}
    assert document == {"errorType": "LambdaException", "errorMessage": (
        "An exception was thrown when the constructor for type 'Functions.ThrowsInConstructor' was invoked. "
        "Check inner exception for more details.")}


def test_a_static_constructor_that_throws(start):
    """LANG2-093"""
    function = start("ThrowsInStaticConstructor::Handle")
    post = function.invoke()
    causes, at = [], post.json
    while at:
        causes.append(at["errorType"])
        at = at.get("cause")
    assert causes[-2:] == ["TypeInitializationException", "FormatException"], post.json


# ------------------------------------------------------------ Runtime API

def test_one_connection_and_no_poll_before_the_answer(start):
    function = start("Errors::Echo")
    for number in "abc":
        function.result(number)
    assert function.api.connections == 1
    methods = [method for method, _ in function.api.requests]
    assert methods[:6] == ["GET", "POST"] * 3 and methods[6:] in ([], ["GET"])


def test_replies_in_pieces(start):
    function = start("Errors::Echo")
    function.api.chop = 3
    assert [function.result("\u00e9" * 30) for _ in range(2)] == ["\u00e9" * 30] * 2


def test_a_server_that_closes_after_each_answer(start):
    function = start("Errors::Echo")
    function.api.close_after_post = True
    assert [function.result(text) for text in "abc"] == list("abc")


def test_a_refused_response_does_not_end_the_runtime(start):
    function = start("Errors::Echo")
    function.api.post_status = 413
    function.invoke("1")
    function.api.post_status = 202
    assert function.result("2") == "2"


def test_a_service_that_is_broken_ends_the_runtime(start):
    function = start("Errors::Echo")
    function.api.post_status = 500
    function.invoke("1")
    assert function.exit_status() == -6
    assert "the Runtime API answered 500" in function.log


def test_the_end_is_silent(start):
    function = start("Errors::Echo")
    function.result("1")
    function.process.terminate()
    function.exit_status()
    assert function.log == ""


# ------------------------------------------------------------ response streaming

LATER = ["later/Later.dll", "later/" + CORE]


@pytest.fixture
def streams(start):
    """A function that streams: each letter of its event is a step."""
    return lambda env=None: start("Later::Later.Streams::Handle", assemblies=LATER, runtime="dotnet8", env=env)


def test_a_streamed_response(streams):
    """As often as the function is asked to, and buffered responses between."""
    function = streams()
    for _ in range(2):
        post = function.invoke("sw0w")
        assert post.path == "invocation/%s/response" % function.request_id
        assert post.body == "\u00e90 \u00e94 ".encode() and post.trailers == {}
        assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert post.headers["content-type"] == "application/octet-stream"
        assert function.invoke("").body == b"no stream"
    assert function.invoke("s").body == b""
    assert function.api.connections == 1


def test_what_is_written_goes_out_at_once(streams, tmp_path):
    gate = tmp_path / "gate"
    function = streams({"GO": os.path.relpath(gate, "/tmp")})
    function.send("swfw")
    assert function.api.chunks.get(timeout=20) == "\u00e90 ".encode()
    assert function.api.posts.empty()
    gate.touch()
    assert function.answer().body == "\u00e90 \u00e94 ".encode()


def test_an_http_response_has_a_prelude(streams):
    """JSON, eight zeros, body."""
    post = streams().invoke("hw")
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert post.body == b'{"statusCode":201}' + bytes(8) + "\u00e90 ".encode()


def test_large_streams_arrive_whole(streams):
    assert streams().invoke("s" + 10 * "b").body == bytes(10 << 20)


@pytest.mark.parametrize("steps, body, message", [
    ("swx", "\u00e90 ", "on purpose"),
    ("sx", "", "on purpose"),
    ("sws", "\u00e90 ", "There can be only one response stream for an event."),
])
def test_an_error_after_the_begin_is_in_the_trailers(streams, steps, body, message):
    function = streams()
    for _ in range(2):
        post = function.invoke(steps)
        assert post.body == body.encode()
        document = json.loads(base64.b64decode(post.trailers["lambda-runtime-function-error-body"]))
        assert post.trailers["lambda-runtime-function-error-type"] == document["errorType"]
        assert document["errorMessage"] == message
        assert json.dumps(message)[1:-1] in function.log
    assert function.invoke("x").path.endswith("/error")


def test_a_stream_ends_with_its_event(start):
    function = start("Later::Later.Streams::TooLate", assemblies=LATER, runtime="dotnet8")
    assert function.invoke().body == b""
    post = function.invoke()
    assert post.path.endswith("/error") and post.json["errorMessage"] == "The response stream is over."


def test_a_stream_that_is_refused(streams):
    """The runtime lives on."""
    function = streams()
    function.api.post_status = 413
    function.invoke("sw")
    function.api.post_status = 202
    assert function.invoke("sw").body == "\u00e90 ".encode()


# ------------------------------------------------------------ SnapStart

def test_hooks_run_around_a_snapshot_that_is_none(start):
    """Before it the last one comes first, after it the first; without SnapStart there are none."""
    hooks = "Later::Later.Hooks::Handle"
    env = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    function = start(hooks, assemblies=LATER, runtime="dotnet8", env=env)
    for _ in range(2):
        assert function.invoke().body == b"before 2, before 1, after 1, after 2"
    assert start(hooks, assemblies=LATER, runtime="dotnet8").invoke().body == b""
    # A library that has no hooks is as good as ever.
    assert start("Forms::NoInput", env=env).result() == "made"


@pytest.mark.parametrize("fails, path, kind", [
    ("before 1", "init/error", "Runtime.BeforeSnapshotError"),
    ("after 1", "restore/error", "Runtime.AfterRestoreError"),
])
def test_a_hook_that_fails(start, fails, path, kind):
    env = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "FAIL": fails}
    function = start("Later::Later.Hooks::Handle", assemblies=LATER, runtime="dotnet8", env=env)
    post = function.answer()
    assert (post.path, post.headers["lambda-runtime-function-error-type"]) == (path, kind)
    assert (post.json["errorType"], post.json["errorMessage"]) == ("FormatException", "on purpose")
    assert function.exit_status() == 1
