""".NET functions, on the .NET Core 3.1 that DOTNET_ROOT names."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program
from harness.functions import Functions
from harness.streams import stream

CORE = "Amazon.Lambda.Core.dll"


def assembly(name: str) -> bytes:
    return (Path(os.environ["LAMBD_DOTNET_ASSEMBLIES"]) / name).read_bytes()


def package(files=None):
    """Functions.dll and its library."""
    content = {name: assembly(name) for name in ("Functions.dll", CORE)}
    return packages.package({**content, **(files or {})})


@pytest.fixture
def dotnet(functions, name):
    """Creates a function with a handler of Functions.dll."""

    def create(handler, files=None, **settings):
        settings.setdefault("MemorySize", 256)
        functions.create(name, package(files), "dotnetcore3.1", "Functions::Functions." + handler, **settings)

    return create


def test_the_guides_function(functions, name, dotnet):
    """LANG2-081: what `dotnet new lambda.EmptyFunction` makes."""
    dotnet("Forms::Upper")
    assert functions.invoke(name, "Just Checking If Everything is OK").good() == "JUST CHECKING IF EVERYTHING IS OK"
    assert functions.invoke(name, raw=b"null").good() is None


def test_environment_and_context(functions, name, dotnet):
    """LANG2-045, LANG2-082, LANG2-084, LANG2-032"""
    dotnet("About::Context", Timeout=30)
    result = functions.invoke(name)
    context = result.good()
    assert (context["FunctionName"], context["AwsRequestId"]) == (name, result.request_id)
    assert context["MemoryLimitInMB"] == 256 and 0 < context["Remaining"] <= 30_000
    functions.configure(name, Handler="Functions::Functions.About::Variable")
    assert functions.invoke(name, "AWS_EXECUTION_ENV").good() == "AWS_Lambda_dotnetcore3.1"
    functions.configure(name, Handler="Functions::Functions.About::Log")
    assert "console \u00e9\nerror\nlibrary\nline\nno end\nEND RequestId: " in functions.invoke(name).log


def test_errors(functions, name, dotnet):
    """LANG2-090, LANG2-091, LANG2-092, LANG2-094, LANG2-190: in the payload and in the log."""
    dotnet("Errors::Throw")
    result = functions.invoke(name)
    document = result.failed("ArithmeticException")
    assert document["stackTrace"] == ["at Functions.Errors.Inner()", "at Functions.Errors.Throw()"]
    assert document["cause"]["errorType"] == "FormatException"
    assert document in [json.loads(line) for line in result.log.splitlines() if line.startswith("{")]
    functions.configure(name, Handler="Functions::Function.Handler::handle")
    document = functions.invoke(name).failed("LambdaException")
    assert document["errorMessage"] == "Unable to load type 'Function.Handler' from assembly 'Functions'."


def test_the_package_says_what_it_needs(functions, name, dotnet):
    """LANG2-062: a package for .NET Core 2.1 with the files of `dotnet publish`."""
    framework = ".NETCoreApp,Version=v2.1"
    package = {"runtime": {"lib/netstandard2.0/" + CORE: {"assemblyVersion": "1.0.0.0"}}}
    target = {"Functions/1.0.0": {"runtime": {"Functions.dll": {}}}, "Amazon.Lambda.Core/1.1.0": package}
    library = {"serviceable": False, "sha512": ""}
    libraries = {"Functions/1.0.0": {"type": "project", **library}, "Amazon.Lambda.Core/1.1.0": {"type": "package", **library}}
    dependencies = {"runtimeTarget": {"name": framework}, "targets": {framework: target}, "libraries": libraries}
    configuration = {"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "2.1.0"}}}
    dotnet("About::Core", files={
        "Functions.deps.json": json.dumps(dependencies), "Functions.runtimeconfig.json": json.dumps(configuration)})
    assert functions.invoke(name).good() == "/var/task/" + CORE


def test_response_streaming(lambda_, functions, name):
    """With a library of .NET 8: what is written before an error arrives, and the error behind it."""
    code = packages.package({file: assembly(f"later/{file}") for file in ("Later.dll", CORE)})
    functions.create(name, code, "dotnetcore3.1", "Later::Later.Streams::Handle", MemorySize=256)
    whole = stream(lambda_, name, "sw" + 2 * "b")
    assert whole.good() == "\u00e90 ".encode() + bytes(2 << 20)
    assert whole.answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"] == "application/octet-stream"
    broken = stream(lambda_, name, "hwx")
    assert broken.payload == b'{"statusCode":201}' + bytes(8) + "\u00e90 ".encode()
    # As `dotnetcore` runtimes tell of the errors of tasks.
    assert broken.failed("AggregateException")["cause"]["errorType"] == "FormatException"
    # Who does not stream gets the same in one piece.
    assert functions.invoke(name, "sw").payload == "\u00e90 ".encode()


def test_memory(functions, name, dotnet):
    """Garbage is collected before the sandbox's memory ends, and what does not fit is an exception."""
    dotnet("About::Collected", MemorySize=128, Timeout=60)
    assert functions.invoke(name, 40).good() == 8 << 20
    functions.configure(name, Handler="Functions::Functions.Errors::Memory")
    functions.invoke(name).failed("OutOfMemoryException")


def test_regions(functions, name, dotnet):
    """Languages and regions are those of the machine's ICU, if it has one; without one .NET runs all the same."""
    dotnet("About::Region")
    has_icu = any(Path("/usr/lib").glob("**/libicuuc.so.*"))
    assert functions.invoke(name).good() == ("," if has_icu else ".")


def test_another_version_runs_older_functions_only(lambda_, functions, name):
    """A function of a newer .NET is refused by name, with the remedy."""
    lambda_.create_function(
        FunctionName=name, Runtime="dotnet8", Handler="A::B::C", Role="arn:aws:iam::000000000000:role/lambda-ex",
        Code={"ZipFile": packages.package({"A.dll": b"x"})})
    with pytest.raises(lambda_.exceptions.InvalidRuntimeException, match="dotnet8 needs .NET 8, which is not installed"):
        functions.active(name)
        functions.invoke(name)


@pytest.fixture
def installed(tmp_path):
    """A data directory with .NET, by `lambd runtimes add`, here from a folder."""
    wheel = Path(os.environ["DOTNET_ROOT"]).parent
    add = [program(), "runtimes", "add", "dotnetcore3.1", "--from", str(wheel), "--data", str(tmp_path / "data")]
    done = subprocess.run(add, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    return tmp_path / "data"


def test_an_installed_toolchain(installed, tmp_path):
    """It goes before the machine's own."""
    daemon = Daemon(tmp_path, data=installed).start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        functions.create("net", package(), "dotnetcore3.1", "Functions::Functions.About::Variable")
        root = Path(functions.invoke("net", "DOTNET_ROOT").good())
        assert root.is_relative_to(installed / "toolchains") and root.name == "bin"
    finally:
        assert daemon.stop() == 0, daemon.output()


def test_without_mounts(installed, tmp_path):
    """At the level `process` the same files are where every user of the machine can reach them."""
    daemon = Daemon(tmp_path, data=installed, arguments=["--isolation", "process"]).start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        functions.create("net", package(), "dotnetcore3.1", "Functions::Functions.Forms::Upper")
        assert functions.invoke("net", "x").good() == "X"
    finally:
        assert daemon.stop() == 0, daemon.output()
