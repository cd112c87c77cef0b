"""`lambd dev --debug`: functions under their language's debugger, as an editor uses it."""

import os
import pathlib
import shutil
import subprocess
import threading
import time

import pytest

from harness.clients import boto
from harness.daemon import environment, free_port, program, wait_for
from harness.debuggers import Dap, Inspector
from harness.functions import Functions, java_homes, node_runtime, python_runtime

PYTHON = """WORD = "at init"
def handler(event, context):
    value = event["n"] * 2
    return value + 1
"""

NODE = """const word = 'at init';
exports.handler = async (event) => {
  const value = event.n * 2;
  return value + 1;
};
"""

RUBY = """def handler(event:, context:)
  value = event['n'] * 2
  value + 1
end
"""


class Dev:
    """A running `lambd dev` with one function, which is debugged."""

    def __init__(self, folder: pathlib.Path, runtime: str, handler: str, files: dict, *arguments, extra=None, more="", path=None):
        self.debug_port, self.port = free_port(), free_port()
        function = folder / "function"
        function.mkdir()
        (function / "lambd.toml").write_text(f'runtime = "{runtime}"\nhandler = "{handler}"\ntimeout = 1\n{more}')
        for name, text in files.items():
            (function / name).write_text(text)
        if extra:
            shutil.copytree(extra, function / extra.name, ignore=shutil.ignore_patterns("__pycache__"))
        command = [program(), "dev", str(function), "--data", str(folder / "data")]
        command += ["--listen", f"127.0.0.1:{self.port}", "--debug", f"function:{self.debug_port}", *arguments]
        settings = environment()
        if path:
            settings["PATH"] = f"{path}:{settings['PATH']}"
        self.log = folder / "dev.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=settings
            )
        wait_for(lambda: "watching 1 function" in self.text() or self.process.poll() is not None, "the deploy")
        assert self.process.poll() is None, self.text()
        client = boto(f"http://127.0.0.1:{self.port}", "lambda")
        self.functions = Functions(client)
        self.functions.active("function")

    def text(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")

    def begin(self, number: int = 20):
        """Invokes the function in the background: a list that will have the result, and the thread."""
        results = []
        thread = threading.Thread(target=lambda: results.append(self.functions.invoke("function", {"n": number})))
        thread.start()
        return results, thread

    def end(self):
        """Ends it."""
        self.process.terminate()
        assert self.process.wait(60) == 0, self.text()


def conversation(client: subprocess.Popen):
    """Writing commands to a debugger on a terminal, and reading its words up to those that are expected."""
    said = []
    # What it does not say in time, it never will.
    timer = threading.Timer(60, client.kill)
    timer.daemon = True
    timer.start()

    def until(text: str) -> str:
        """The rest of the line with this text; prompts have no end of line."""
        word = ""
        while text not in word:
            byte = client.stdout.read(1)
            if not byte:
                raise AssertionError(f"it ended without {text}: {''.join(said)}")
            said.append(byte)
            word += byte
        rest = client.stdout.readline()
        said.append(rest)
        return text + rest

    def say(command: str):
        client.stdin.write(command + "\n")
        client.stdin.flush()

    return say, until


def debugpy() -> pathlib.Path:
    """The debugger for Python, which packages and layers may bring along."""
    return pathlib.Path(os.environ["LAMBD_PYTHON_LIBRARIES"]) / "debugpy"


def attach_to_python(dev, line: int) -> Dap:
    """Attaches with a breakpoint, while the instance waits for it."""
    dap = Dap(dev.debug_port)
    dap.ask("initialize", adapterID="test")
    dap.send("attach", justMyCode=False)
    dap.event("initialized")
    dap.ask("setBreakpoints", source={"path": "/var/task/app.py"}, breakpoints=[{"line": line}])
    dap.send("configurationDone")
    return dap


@pytest.fixture
def python(tmp_path):
    """A Python function that is debugged."""
    dev = Dev(tmp_path, python_runtime(), "app.handler", {"app.py": PYTHON}, extra=debugpy())
    yield dev
    dev.end()


def test_python_stops_at_breakpoints_and_time_does_not_count(python):
    """The instance waits for debugpy's client; at a breakpoint the timeout of a second passes, without effect."""
    assert f"runs under debugpy: its instances wait for you to attach to 127.0.0.1:{python.debug_port}" in python.text()
    results, thread = python.begin()
    dap = attach_to_python(python, 4)
    thread_id = dap.event("stopped")["threadId"]
    frame = dap.ask("stackTrace", threadId=thread_id)["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("handler", 4)
    assert dap.ask("evaluate", expression="value", frameId=frame["id"])["result"] == "40"
    # The timeout itself is what is awaited.
    time.sleep(1.5)
    assert results == []
    dap.ask("setBreakpoints", source={"path": "/var/task/app.py"}, breakpoints=[])
    dap.ask("continue", threadId=thread_id)
    thread.join(60)
    assert results[0].good() == 41
    # The next event is the same instance's, and those that come together are processed in turn.
    together = [python.begin(n) for n in (1, 2, 3)]
    for _, other in together:
        other.join(60)
    assert [results[0].good() for results, _ in together] == [3, 5, 7]
    assert python.text().count("Debugger warning") <= 1
    dap.close()


def test_time_counts_again_when_the_debugger_has_left(python):
    """A function that hangs after the debugger has detached times out."""
    source = "import time\ndef handler(event, context):\n    time.sleep(event['n'])\n    return 1\n"
    folder = python.log.parent / "function"
    before = python.functions.client.get_function_configuration(FunctionName="function")["CodeSha256"]
    (folder / "app.py").write_text(source)
    changed = lambda: python.functions.client.get_function_configuration(FunctionName="function")  # noqa: E731
    wait_for(lambda: changed()["CodeSha256"] != before and changed()["LastUpdateStatus"] == "Successful", "the deploy")
    results, thread = python.begin(60)
    dap = attach_to_python(python, 3)
    thread_id = dap.event("stopped")["threadId"]
    dap.ask("continue", threadId=thread_id)
    dap.ask("disconnect", terminateDebuggee=False)
    dap.close()
    thread.join(60)
    assert results[0].failed("Sandbox.Timedout")


def test_without_debugpy_the_log_says_what_to_do(tmp_path):
    """Neither the package nor the interpreter has it."""
    dev = Dev(tmp_path, python_runtime(), "app.handler", {"app.py": PYTHON})
    try:
        result = dev.functions.invoke("function", {"n": 1})
        result.failed("Runtime.ExitError")
        assert "debugpy is neither in the package, nor in a layer" in result.log
        assert "-m pip install debugpy" in result.log
    finally:
        dev.end()


@pytest.mark.parametrize("network", ["none", "host"])
def test_node_stops_at_breakpoints(tmp_path, network):
    """The inspector; breakpoints in the module's own code count as well. Where the network is the host's, the
    debugger has another port, and this one leads to it."""
    arguments = ["--network", network, "--allow-host-network"]
    dev = Dev(tmp_path, node_runtime(), "index.handler", {"index.js": NODE}, *arguments)
    try:
        results, thread = dev.begin()
        inspector = Inspector(dev.debug_port)
        inspector.ask("Runtime.enable")
        inspector.ask("Debugger.enable")
        for line in (0, 3):
            inspector.ask("Debugger.setBreakpointByUrl", lineNumber=line, urlRegex=".*/index\\.js$")
        inspector.ask("Runtime.runIfWaitingForDebugger")
        paused = inspector.event("Debugger.paused")
        assert paused["callFrames"][0]["location"]["lineNumber"] == 0
        inspector.ask("Debugger.resume")
        frame = inspector.event("Debugger.paused")["callFrames"][0]
        assert frame["location"]["lineNumber"] == 3
        shown = inspector.ask("Debugger.evaluateOnCallFrame", callFrameId=frame["callFrameId"], expression="value")
        assert shown["result"]["value"] == 40
        inspector.ask("Debugger.resume")
        thread.join(60)
        assert results[0].good() == 41
        inspector.close()
    finally:
        dev.end()


def test_ruby_stops_at_breakpoints(tmp_path):
    """rdbg, the client that comes with Ruby's debugger."""
    dev = Dev(tmp_path, "ruby3.2", "function.handler", {"function.rb": RUBY})
    try:
        results, thread = dev.begin()
        client = "$stdout.sync = true; Gem.paths = ENV.to_h.merge('GEM_PATH' => Gem.default_path.join(':')); require 'debug/client'; " \
            "DEBUGGER__::Client.new(ARGV).connect"
        settings = {**environment(), "RUBY_DEBUG_NO_COLOR": "1", "RUBY_DEBUG_NO_RELINE": "1"}
        rdbg = subprocess.Popen(
            ["ruby", "-e", client, "127.0.0.1", str(dev.debug_port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=settings,
        )
        say, until = conversation(rdbg)
        # It stops where it is when the client comes, if it did not wait yet, and where it would wait.
        until("=>#0")
        say("break /var/task/function.rb:3")
        until("BP - Line")
        say("continue")
        while "function.rb:3" not in until("=>#0"):
            say("continue")
        say("p value * 1000")
        until("=> 40000")
        say("continue")
        thread.join(60)
        assert results[0].good() == 41
        rdbg.kill()
        rdbg.communicate()
    finally:
        dev.end()


JAVA = """package app;
public class Handler {
    public int handle(java.util.Map<String, Integer> event) {
        int value = event.get("n") * 2;
        return value + 1;
    }
}
"""


def test_java_stops_at_breakpoints(tmp_path):
    """jdb, over JDWP."""
    sources, classes = tmp_path / "sources", tmp_path / "function" / "app"
    sources.mkdir()
    (sources / "Handler.java").write_text(JAVA)
    command = ["javac", "-g", "-nowarn", "-Xlint:-options", "--release", "8", "-d", str(tmp_path / "classes")]
    subprocess.run([*command, str(sources / "Handler.java")], check=True, env=environment())
    client = str(pathlib.Path(os.environ["LAMBD_JAVA_FUNCTIONS"]) / "client")
    runtime = min(java_homes(), key=lambda name: int(name.removeprefix("java")))
    arguments = ["--java-runtime-client", client]
    dev = Dev(tmp_path, runtime, "app.Handler::handle", {}, *arguments, extra=tmp_path / "classes" / "app")
    assert classes.is_dir()
    try:
        results, thread = dev.begin()
        jdb = subprocess.Popen(
            ["jdb", "-attach", f"127.0.0.1:{dev.debug_port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
        )
        say, until = conversation(jdb)
        say("stop at app.Handler:5")
        until("Deferring breakpoint app.Handler:5")
        say("resume")
        until("Breakpoint hit:")
        say("print value * 1000")
        until("= 40000")
        say("cont")
        thread.join(60)
        assert results[0].good() == 41
        jdb.kill()
        jdb.communicate()
    finally:
        dev.end()


GO = """package main

import "github.com/aws/aws-lambda-go/lambda"

type event struct{ N int }

func handle(e event) (int, error) {
	value := e.N * 2
	return value + 1, nil
}

func main() { lambda.Start(handle) }
"""
GO_BUILD = """build = "CGO_ENABLED=0 go build -gcflags='-N -l' -o dist/bootstrap ."
package = "dist"
"""


def go_module() -> dict:
    """A function in Go with the module of tests/go."""
    module = pathlib.Path(__file__).parents[1] / "go"
    return {"main.go": GO, **{name: (module / name).read_text() for name in ("go.mod", "go.sum")}}


def test_go_stops_at_breakpoints(tmp_path):
    """Delve attaches from outside before the first event, and for nobody but its own user. When its client leaves, even at a breakpoint and without a word,
    the function goes on; and somebody may attach again."""
    delve = pathlib.Path(os.environ["LAMBD_RUNTIME_CLIENTS"]) / "delve"
    dev = Dev(tmp_path, "provided.al2023", "bootstrap", go_module(), more=GO_BUILD, path=delve)

    def attach() -> Dap:
        dap = Dap(dev.debug_port)
        dap.ask("initialize", adapterID="test")
        dap.send("attach", mode="remote")
        dap.event("initialized")
        dap.ask("setBreakpoints", source={"path": str(tmp_path / "function" / "main.go")}, breakpoints=[{"line": 9}])
        dap.send("configurationDone")
        return dap

    try:
        assert f"runs under Delve: its instances wait for you to attach to 127.0.0.1:{dev.debug_port}" in dev.text()
        results, thread = dev.begin()
        stranger = "import socket, sys; assert socket.create_connection(('127.0.0.1', int(sys.argv[1]))).recv(1) == b''"
        subprocess.run(["/usr/bin/python3", "-c", stranger, str(dev.debug_port)], check=True, user="nobody", timeout=60)
        dap = attach()
        thread_id = dap.event("stopped")["threadId"]
        frame = dap.ask("stackTrace", threadId=thread_id)["stackFrames"][0]
        assert (frame["name"], frame["line"]) == ("main.handle", 9)
        assert dap.ask("evaluate", expression="value", frameId=frame["id"])["result"] == "40"
        # The timeout itself is what is awaited.
        time.sleep(1.5)
        assert results == []
        dap.ask("continue", threadId=thread_id)
        thread.join(60)
        assert results[0].good() == 41
        dap.ask("disconnect", terminateDebuggee=False)
        dap.close()
        # The instance is the same, so nobody is waited for.
        assert dev.functions.invoke("function", {"n": 1}).good() == 3
        dap = attach()
        results, thread = dev.begin(2)
        dap.event("stopped")
        dap.close()
        thread.join(60)
        assert results[0].good() == 5
    finally:
        dev.end()


def test_go_needs_delve(tmp_path):
    """The remedy is named before anything is started."""
    function = tmp_path / "function"
    function.mkdir()
    (function / "go.mod").write_text("module example.com/function\n")
    (function / "lambd.toml").write_text('runtime = "provided.al2023"\nhandler = "bootstrap"\n')
    command = [program(), "dev", str(function), "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--debug", "function"]
    done = subprocess.run(command, capture_output=True, text=True, env={**environment(), "PATH": str(tmp_path)}, timeout=60)
    assert done.returncode == 2 and "no dlv is on the path" in done.stderr, done.stderr
    assert "go install github.com/go-delve/delve/cmd/dlv@latest" in done.stderr


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--debug", "other"], "no function named other here; there is function, python"),
        (["--debug", "python", "--isolation", "process"], "functions at the isolation level process may not listen"),
        (["--debug", "function:0"], "a port is a number from 1 to 65535"),
        (["--debug", "function"], "lambd starts no debugger for provided.al2023, the runtime of function"),
    ],
)
def test_what_cannot_be_debugged_is_refused(tmp_path, arguments, text):
    """Before anything is started, with the reason."""
    for name, runtime in [("function", "provided.al2023"), ("python", python_runtime())]:
        folder = tmp_path / "project" / name
        folder.mkdir(parents=True)
        (folder / "lambd.toml").write_text(f'runtime = "{runtime}"\nhandler = "app.handler"\n')
    command = [program(), "dev", str(tmp_path / "project"), "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode in (2, 3) and text in done.stderr, done.stderr


def test_a_port_that_is_taken(tmp_path):
    """Is refused with what to do."""
    dev = Dev(tmp_path, node_runtime(), "index.handler", {"index.js": NODE})
    try:
        folder = tmp_path / "function"
        command = [program(), "dev", str(folder), "--data", str(tmp_path / "other"), "--listen", "127.0.0.1:0"]
        command += ["--debug", f"function:{dev.debug_port}"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
        assert done.returncode == 3 and "cannot listen for a debugger on 127.0.0.1:" in done.stderr
        assert "--debug NAME:PORT" in done.stderr
    finally:
        dev.end()
