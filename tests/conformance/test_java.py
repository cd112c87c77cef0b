"""Java functions on the JVMs of this machine, with AWS's own runtime interface client."""

import base64
import contextlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import logs, packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program
from harness.functions import Functions, arn, java_homes
from harness.roots import Root

#: Of several JDKs the oldest: what is compiled for Java 8 runs on all.
RUNTIME = min(java_homes(), key=lambda runtime: int(runtime.removeprefix("java")))

#: As in the guide.
EVENT = {"temperatureK": 281, "windKmh": -3, "humidityPct": 0.55, "pressureHPa": 1020}


def built() -> Path:
    """What Maven made of tests/java."""
    path = os.environ.get("LAMBD_JAVA_FUNCTIONS")
    if not path:
        raise RuntimeError("LAMBD_JAVA_FUNCTIONS must name what Maven made of tests/java; `cargo xtask test` sets it")
    return Path(path)


def below(directory: Path, prefix: str = "") -> dict:
    """The files below a directory, by name in a package."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {prefix + str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def classes():
    """The classes alone."""
    return below(built() / "classes")


@pytest.fixture(scope="module")
def whole(classes):
    """A package as Gradle makes it: classes at the root, libraries in lib/."""
    return packages.package({**classes, **below(built() / "lib", "lib/")})


@pytest.fixture(scope="module")
def java_daemon(tmp_path_factory):
    """A daemon with the client, which those of other tests do without."""
    folder = tmp_path_factory.mktemp("java")
    daemon = Daemon(folder, arguments=["--java-runtime-client", str(built() / "client")]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()
    # Of what libraries bring along, other tests need not be careful.
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def functions(java_daemon):
    """Functions of the daemon with the client."""
    return Functions(boto(java_daemon.url, "lambda"))


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def java(functions, whole):
    """Invokes a handler in a new function."""

    def invoke(handler, event=None, code=None, runtime=RUNTIME, raw=None, client=None, **settings):
        name = f"java-{next(_numbers)}"
        settings = {"MemorySize": 512, "Timeout": 20, **settings}
        functions.create(name, code or whole, runtime, handler, **settings)
        parameters = {"ClientContext": client} if client else {}
        result = functions.invoke(name, event, raw, **parameters)
        result.name = name
        return result

    return invoke


@pytest.mark.parametrize("runtime", sorted(java_homes()))
def test_each_jvm(java, runtime):
    """LANG1-057, LANG1-136, LANG1-137: static code and the constructor run once, before the first event."""
    result = java("example.HandlerInteger", 4, runtime=runtime)
    assert result.good() == 5
    assert result.log.startswith("static code runs\nthe constructor runs\nSTART RequestId: ")
    described = java("example.Machine::describe", {}, runtime=runtime).good()
    arguments = described.pop("arguments")
    assert described == {
        "version": runtime.removeprefix("java"), "home": java_homes()[runtime], "heapMiB": 421,
        "collectors": ["Copy", "MarkSweepCompact"], "directory": "/var/task", "charset": "UTF-8",
        "locale": "en_US", "execution": f"AWS_Lambda_{runtime}",
    }  # fmt: skip
    assert arguments[:3] == ["-XX:MaxHeapSize=445645k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def test_the_guides_handler(java, functions):
    """LANG1-131, LANG1-132, LANG1-140, LANG1-155: the event in the handler's type, and what it logs."""
    result = java("example.Handler", EVENT)
    assert result.good() == "200 OK"
    variables = re.search(r"ENVIRONMENT VARIABLES: (\{.*?\n\})", result.log, re.S)[1]
    assert json.loads(variables)["_HANDLER"] == "example.Handler"
    event = '{\n  "temperatureK": "281",\n  "windKmh": "-3",\n  "humidityPct": "0.55",\n  "pressureHPa": "1020"\n}'
    assert f"\nEVENT: {event}EVENT TYPE: class java.util.LinkedHashMap\nEND RequestId: " in result.log
    nested = functions.invoke(result.name, {"station": EVENT}).failed("java.lang.RuntimeException")
    assert nested["errorMessage"] == "An error occurred during JSON parsing"


def test_handlers_by_configuration_alone(functions, whole):
    """LANG1-127, LANG1-133, LANG1-134, LANG1-135, LANG1-W15: each type in and out, by either form of a handler's name."""
    functions.create("types", whole, RUNTIME, "example.HandlerString", MemorySize=512, Timeout=20)
    assert functions.invoke("types", "My string.").good() == "My string."
    weather = {"temperatureK": 282, "windKmh": -3, "humidityPct": 0.55, "pressureHPa": None}
    sent = {"temperatureK": 281, "windKmh": -3, "humidityPct": 0.55, "unknown": [1]}
    for handler, event, answer in [
        ("example.HandlerList", [1, 2, 3], 6),
        ("example.HandlerList::handleRequest", [4], 4),
        ("example.HandlerWeatherData", sent, {k: v for k, v in weather.items() if v is not None}),
        ("example.Pojo::greet", "Jim", "Hello Jim!"),
        ("example.Pojo::length", [1, "two", {}], 3),
        ("example.Pojo::half", 3.5, 1.75),
        ("example.Pojo::same", {"a": {"windKmh": 3}}, {"a": {"windKmh": 3}}),
        ("example.Pojo::nothing", {"key": 1}, None),
        ("example.Pojo::stream", {}, ord("{")),
        ("example.Pojo::overloaded", {}, "two parameters"),
    ]:
        functions.configure("types", Handler=handler)
        assert functions.invoke("types", event).good() == answer, handler


def test_streams_are_bytes(java, functions):
    """LANG1-130: what is read and written is not looked at; six megabytes go both ways."""
    raw = b' {"\\u0000": "\xc3\xa9 \xf0\x9f\x98\x80"} \n'
    result = java("example.HandlerStream", raw=raw)
    assert (result.error, result.payload) == (None, raw)
    assert "STREAM TYPE: class java.io.ByteArrayInputStream" in result.log
    large = json.dumps("\u00e9" * 3_140_000, ensure_ascii=False).encode()
    result = functions.invoke(result.name, raw=large)
    assert (result.error, result.payload) == (None, large)
    assert f", {len(large)} bytes" in result.log
    text = "\u00e9\U0001f600 \u4e16" * 100_000
    assert java("example.HandlerString", text).good() == text


def test_an_error(java, functions):
    """LANG1-160, LANG1-161: the guide's documents and log, to the letter."""
    result = java("example.HandlerDivide", [100, 0])
    name = result.name
    result.failed("java.lang.ArithmeticException")
    frames = '["example.HandlerDivide.handleRequest(HandlerDivide.java:28)","example.HandlerDivide.handleRequest(HandlerDivide.java:13)"]'
    assert result.payload.decode() == (
        '{"errorMessage":"/ by zero","errorType":"java.lang.ArithmeticException","stackTrace":' + frames + "}"
    )
    assert (
        "EVENT: [\n  100,\n  0\n]EVENT TYPE: class java.util.ArrayList/ by zero: java.lang.ArithmeticException\n"
        "java.lang.ArithmeticException: / by zero\n"
        "\tat example.HandlerDivide.handleRequest(HandlerDivide.java:28)\n"
        "\tat example.HandlerDivide.handleRequest(HandlerDivide.java:13)\n"
        "\nEND RequestId: "
    ) in result.log
    result = functions.invoke(name, [1000])
    assert result.payload.decode().startswith(
        '{"errorMessage":"Input must be an array that contains 2 numbers.","errorType":"example.InputLengthException",'
        '"stackTrace":["example.HandlerDivide.handleRequest(HandlerDivide.java:22)","example.HandlerDivide.handleRequest(Hand'
    )
    assert functions.invoke(name, [7, 2]).good() == 3


def test_causes(java):
    """A cause is in the log, as by AWS's newer runtimes."""
    result = java("example.Failures::causes")
    document = result.failed("java.lang.IllegalStateException")
    assert document["errorMessage"] == "cannot go on"
    assert document["stackTrace"][0] == "example.Failures.causes(Failures.java:13)"
    assert "\nCaused by: java.io.FileNotFoundException: no such file: \u00e9\n" in result.log


@pytest.mark.parametrize(
    ("handler", "message", "error_type"),
    [
        ("function.Handler", "Class not found: function.Handler", "java.lang.ClassNotFoundException"),
        (
            "example.Failures::handleRequest",
            "No public method named handleRequest with appropriate method signature found on class example.Failures",
            None,
        ),
        ("example.WeatherData", "Class does not implement an appropriate handler interface: example.WeatherData", None),
    ],
)
def test_a_wrong_handler(java, handler, message, error_type):
    """LANG2-190, LANG2-191"""
    result = java(handler)
    assert result.error == "Unhandled"
    assert (result.value["errorMessage"], result.value.get("errorType")) == (message, error_type)


def test_a_failed_init(java):
    """LANG1-020: code outside the handler runs at init, and its errors are those of the init."""
    result = java("example.FailingConstructor::handle")
    assert result.failed("java.lang.IllegalStateException")["errorMessage"] == "not today"
    assert "not today: java.lang.IllegalStateException\njava.lang.IllegalStateException: not today\n" in result.log
    assert "Phase: init\tStatus: error\tError Type: Runtime.BadFunctionCode" in result.log


def test_ends_of_the_process(java, functions):
    """CORE-086: an exit and exhausted memory end one event and no more."""
    result = java("example.Failures::exit")
    assert result.failed("Runtime.ExitError")["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert "before the end\n" in result.log
    functions.configure(result.name, Handler="example.Failures::exhaust", MemorySize=256)
    error = functions.invoke(result.name).failed("java.lang.OutOfMemoryError")
    assert error["errorMessage"] == "Java heap space"
    functions.configure(result.name, Handler="example.Pojo::greet")
    assert functions.invoke(result.name, "you").good() == "Hello you!"


def test_context(java):
    """LANG1-152, LANG1-156"""
    client = {
        "client": {"app_title": "title"}, "env": {"platform": "Linux"}, "custom": {"key": "value"},
    }  # fmt: skip
    result = java("example.HandlerContext", {}, client=base64.b64encode(json.dumps(client).encode()).decode())
    found = result.good()
    assert 0 < found.pop("remaining") <= 20_000
    stream = found.pop("logStreamName")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert found == {
        "functionName": result.name, "functionVersion": "$LATEST", "invokedFunctionArn": arn(result.name),
        "memoryLimit": 512, "awsRequestId": result.request_id, "logGroupName": f"/aws/lambda/{result.name}",
        "custom": {"key": "value"}, "appTitle": "title", "platform": "Linux",
    }  # fmt: skip
    assert "\na line by the logger\na line on stderr\nEND RequestId: " in result.log


def test_hooks_of_snapstart(java, functions):
    """`org.crac`, as AWS's documentation shows it: both hooks run in published versions, none in `$LATEST`."""
    latest = java("example.Hooks::handle", {}, runtime="java21", SnapStart={"ApplyOn": "PublishedVersions"})
    assert latest.good() == ["init"]
    version = functions.published(latest.name)
    assert functions.invoke(latest.name, Qualifier=version).good() == ["init", "before", "after"]


def test_log4j2_in_one_jar(java, java_daemon):
    """LANG1-145, LANG1-146, LANG1-157, LANG1-158, LANG2-001: the shaded jar that Maven makes is the package."""
    result = java("example.HandlerLog4j", {}, code=(built() / "shaded.jar").read_bytes())
    assert result.good() == "SUCCESS"
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d " + result.request_id
    lines = rf"\n{stamp} INFO  HandlerLog4j - EVENT TYPE: class java.util.LinkedHashMap\n{stamp} WARN  HandlerLog4j - caution\nEND "
    assert re.search(lines, result.log), result.log
    client = boto(java_daemon.url, "logs")
    (stream,) = logs.streams(client, result.name)
    messages = logs.of_request(client, result.name, stream, result.request_id)
    assert any(message.endswith("WARN  HandlerLog4j - caution\n") for message in messages), messages


def test_a_plain_jar_and_lib_in_order(java, functions, classes):
    """LANG1-021, LANG1-144, LANG1-147: jars of lib/ by name after the package itself, and after them those of layers."""
    result = java("example.Pojo::greet", "jar", code=(built() / "functions.jar").read_bytes())
    assert result.good() == "Hello jar!"

    def marked(text):
        return packages.package({"marker.txt": text})

    layer = {"java/lib/x.jar": marked("layer x"), "java/lib/X.jar": marked("layer X"), "java/lib/notes.txt": b"none"}
    published = functions.client.publish_layer_version(LayerName="marks", Content={"ZipFile": packages.package(layer)})
    jars = {f"lib/{name}.jar": marked(name) for name in ("b", "a", "B", "\u00e9")}
    code = packages.package({**classes, "marker.txt": b"package", **jars})
    result = java("example.Machine::resource", "marker.txt", code=code, Layers=[published["LayerVersionArn"]])
    assert result.good() == ["package", "B", "a", "b", "\u00e9", "layer X", "layer x"]


def test_events_of_services(java, functions):
    """LANG1-138, LANG1-139: types of aws-lambda-java-events."""
    sqs = {"Records": [{"messageId": "19dd0b57-xmpl", "body": "Hello from SQS!", "eventSourceARN": "arn:aws:sqs:x"}]}
    result = java("example.Events::sqs", sqs)
    assert result.good() == ["19dd0b57-xmpl Hello from SQS! arn:aws:sqs:x"]
    s3 = {
        "Records": [
            {"eventTime": "1970-01-01T00:00:01.500Z", "s3": {"bucket": {"name": "b"}, "object": {"key": "a+%C3%A9"}}}
        ]
    }
    functions.configure(result.name, Handler="example.Events::s3")
    assert functions.invoke(result.name, s3).good() == ["b/a \u00e9 at 1500"]
    functions.configure(result.name, Handler="example.Events::dynamodb")
    record = {"eventID": "c4ca", "eventName": "INSERT", "dynamodb": {"Keys": {"Id": {"N": "101"}}, "SizeBytes": 26}}
    stream = functions.invoke(result.name, {"Records": [record]})
    assert stream.good() == "200 OK"
    assert re.search(r"\nc4ca\nINSERT\n\{.*101.*\}\nEND ", stream.log), stream.log


def test_options_of_the_function(java):
    """The function's own options go before those that lambd would give."""
    options = "-Xmx99m -XX:+UseParallelGC -Duser.country=CA"
    described = java("example.Machine::describe", {}, Environment={"Variables": {"JAVA_TOOL_OPTIONS": options}})
    assert f"Picked up JAVA_TOOL_OPTIONS: {options}\n" in described.log
    assert described.good()["heapMiB"] < 100
    assert sorted(described.value["collectors"]) == ["PS MarkSweep", "PS Scavenge"]
    assert described.value["locale"] == "en_CA"


def test_another_version_says_so(java):
    """A newer JVM runs what is for an older one, and the log tells."""
    result = java("example.Pojo::greet", "you", runtime="java8.al2")
    if "java8" not in java_homes():
        assert f"lambd: java8.al2 is not installed on this machine; running on {RUNTIME} instead\n" in result.log
    assert result.good() == "Hello you!"


def test_a_root_file_system(tmp_path, whole):
    """A JDK of a root file system runs functions, and layers do not cover it."""
    (client,) = (built() / "client").glob("aws-lambda-java-runtime-interface-client-*.jar")
    machine = {"x86_64": "x86_64", "aarch64": "aarch_64"}[platform.machine()]
    with zipfile.ZipFile(client) as jar:
        native = jar.extract(f"jni/libaws-lambda-jni.linux-{machine}.so", tmp_path)
    root = Root(tmp_path / "root").shell().java(java_homes()[RUNTIME], native)
    arguments = ["--java-runtime-client", str(built() / "client"), "--runtime-root", f"java={root.path}"]
    daemon = Daemon(tmp_path, arguments=arguments).start()
    functions = Functions(boto(daemon.url, "lambda"))
    content = {"ZipFile": packages.package({"java/lib/x.jar": packages.package({"marker.txt": "layer"})})}
    layer = functions.client.publish_layer_version(LayerName="marks", Content=content)["LayerVersionArn"]
    settings = {"MemorySize": 512, "Timeout": 20}
    functions.create("rooted", whole, RUNTIME, "example.Machine::describe", **settings)
    assert functions.invoke("rooted").good()["home"] == "/opt/java/openjdk"
    functions.configure("rooted", Handler="example.Machine::resource", Layers=[layer])
    assert functions.invoke("rooted", "marker.txt").good() == ["layer"]
    assert daemon.stop() == 0, daemon.output()


def test_without_the_client(functions, shared_daemon, whole):
    """Who has not got the client is told how to get it."""
    functions = Functions(boto(shared_daemon.url, "lambda"))
    functions.create("no-client", whole, RUNTIME, "example.Handler")
    with pytest.raises(functions.client.exceptions.InvalidRuntimeException, match="lambd runtimes add java"):
        functions.invoke("no-client")


@contextlib.contextmanager
def repository(damaged=()):
    """A Maven repository that has the client; some files of it with one byte more."""
    jars = {jar.name: jar.read_bytes() for jar in (built() / "client").iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            group, name, version, file = self.path.removeprefix("/maven2/").rsplit("/", 3)
            assert file == f"{name}-{version}.jar" and group in ("com/amazonaws", "software/amazon/awssdk")
            self.send_response(200 if file in jars else 404)
            self.end_headers()
            self.wfile.write(jars.get(file, b"") + (b"x" if name in damaged else b""))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/maven2"
    server.shutdown()
    server.server_close()


def test_without_maven_the_client_comes_from_maven_central(tmp_path):
    """Asked for by way of a proxy that is not there."""
    settings = {**environment(), "PATH": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}
    command = [program(), "runtimes", "add", "java", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, env=settings)
    assert done.returncode == 2 and "cannot reach repo1.maven.org" in done.stderr, done.stderr


def test_the_client_is_added(own_daemon, whole, tmp_path):
    """A running daemon uses it from then on; what is not the file that lambd knows is not kept."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.create("later", whole, RUNTIME, "example.Pojo::greet", MemorySize=512, Timeout=20)
    with pytest.raises(functions.client.exceptions.InvalidRuntimeException):
        functions.invoke("later")

    def add(data, *arguments):
        command = [program(), "runtimes", "add", "java", "--data", str(data), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment())

    with repository(damaged=["utils-lite"]) as url:
        refused = add(own_daemon.data, "--maven-repository", url)
        assert refused.returncode == 2 and "utils-lite-2.34.0.jar has another checksum" in refused.stderr
    with repository() as url:
        added = add(own_daemon.data, "--maven-repository", url)
        assert added.returncode == 0, added.stderr
        assert "java 2.9.0 is installed: java-runtime-interface-client" in added.stdout
    assert functions.invoke("later", "you").good() == "Hello you!"
    # The machine's own Maven gets the same files.
    by_maven = add(tmp_path / "other")
    assert by_maven.returncode == 0, by_maven.stderr
    jars = [below(data / "toolchains/java-runtime-interface-client") for data in (own_daemon.data, tmp_path / "other")]
    assert len({name for name in jars[0] if name.endswith(".jar")}) == 5
    assert jars[0] | {"toolchain.json": b""} == jars[1] | {"toolchain.json": b""}
