"""The official runtime interface clients, unmodified, as runtimes of their own: awslambdaric and aws-lambda-ric."""

import functools
import json
import os
from pathlib import Path

import pytest

from harness import packages
from harness.functions import arn
from harness.streams import stream

PYTHON = '#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric "$_HANDLER"\n'
NODE = '#!/bin/sh\nexec node node_modules/aws-lambda-ric/index.mjs "$_HANDLER"\n'

PYTHON_APP = """
import os, sys
def handler(event, context):
    print("printed")
    if "fail" in event:
        raise ValueError(event["fail"])
    if "exit" in event:
        os._exit(event["exit"])
    if "set" in event:
        return {1, 2}
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "name": context.function_name, "memory": context.memory_limit_in_mb,
            "left": context.get_remaining_time_in_millis()}
"""

NODE_APP = """
exports.handler = async (event, context) => {
  console.log("printed");
  if (event.fail) throw new RangeError(event.fail);
  if (event.exit) process.exit(event.exit);
  return { event, id: context.awsRequestId, arn: context.invokedFunctionArn, name: context.functionName,
           memory: context.memoryLimitInMB, left: context.getRemainingTimeInMillis() };
};
exports.stream = awslambda.streamifyResponse(async (event, responseStream) => {
  if (event.http) responseStream = awslambda.HttpResponseStream.from(responseStream, event.http);
  if (event.fail === 'before') throw new RangeError('before');
  responseStream.write('first ');
  if (event.wait) await new Promise((go) => setTimeout(go, event.wait));
  if (event.fail) throw new RangeError('after');
  for (let n = event.parts || 0; n > 0; n--) {
    if (!responseStream.write('x'.repeat(65536))) await new Promise((go) => responseStream.once('drain', go));
  }
  responseStream.end('last');
});
"""


@functools.cache
def client(language: str) -> dict:
    """The files of a client, as a package has them."""
    folder = os.environ.get("LAMBD_RUNTIME_CLIENTS")
    if not folder:
        raise RuntimeError("LAMBD_RUNTIME_CLIENTS must name the clients' folder; `cargo xtask test` sets it")
    root = Path(folder) / language
    parts = {"python": [""], "node": ["node_modules/aws-lambda-ric", "node_modules/@aws/lambda-invoke-store"]}[language]
    unused = {"__pycache__", "deps", "src", "scripts"}
    files = (path for part in parts for path in (root / part).rglob("*") if path.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in files if unused.isdisjoint(p.relative_to(root).parts)}


def code(language: str, app: str) -> bytes:
    """A package of a client with a function."""
    files = {"bootstrap": PYTHON, "app.py": app} if language == "python" else {"bootstrap": NODE, "app.js": app}
    return packages.package(client(language) | files, {"bootstrap": packages.PROGRAM})


@pytest.fixture(params=["python", "node"])
def language(request):
    """Each client in turn."""
    return request.param


APPS = {"python": PYTHON_APP, "node": NODE_APP}


def test_a_client_serves(functions, language, name):
    """RT-57..67: events, context and log through a client that AWS wrote; the same instance again."""
    functions.custom(name, code(language, APPS[language]), "app.handler", Timeout=10, MemorySize=256)
    for n in range(3):
        result = functions.invoke(name, {"n": n, "text": "ü\n\0"})
        value = result.good()
        assert 1_000 < value.pop("left") <= 10_000
        assert value == {
            "event": {"n": n, "text": "ü\n\0"},
            "id": result.request_id,
            "arn": arn(name),
            "name": name,
            "memory": "256",
        }
        assert "printed" in result.log
        assert ("Init Duration" in result.log) == (n == 0)


def test_a_client_fails(functions, language, name):
    """RT-68, RT-70: a handler's error, and a process that ends, each followed by a good event."""
    functions.custom(name, code(language, APPS[language]), "app.handler", Timeout=10)
    failed = functions.invoke(name, {"fail": "why"})
    assert failed.failed({"python": "ValueError", "node": "RangeError"}[language])["errorMessage"] == "why"
    assert "Init Duration" not in functions.invoke(name).log, "the same instance"
    assert functions.invoke(name, {"exit": 3}).failed("Runtime.ExitError")["errorMessage"].endswith("exit status 3")
    assert functions.invoke(name).good()["name"] == name


def test_a_python_result_that_is_no_json(functions, name):
    """RT-68: the client's own error."""
    functions.custom(name, code("python", PYTHON_APP), "app.handler", Timeout=10)
    assert functions.invoke(name, {"set": 1}).failed("Runtime.MarshalError")


@pytest.mark.parametrize(
    "language, app, handler, error_type",
    [
        ("python", "import nothing_of_that_name", "app.handler", "Runtime.ImportModuleError"),
        ("python", "def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("python", PYTHON_APP, "app.other", "Runtime.HandlerNotFound"),
        ("node", "require('nothing-of-that-name')", "app.handler", "Runtime.ImportModuleError"),
        ("node", "exports.handler = (", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("node", NODE_APP, "app.other", "Runtime.HandlerNotFound"),
    ],
)
def test_a_client_that_cannot_initialise(functions, name, language, app, handler, error_type):
    """RT-50, RT-69: what a client reports of its initialisation is what the caller gets."""
    functions.custom(name, code(language, app), handler, Timeout=10)
    assert functions.invoke(name).failed(error_type)


def test_the_node_client_streams(functions, lambda_, name):
    """API-415: AWS's own streaming client against our Runtime API: parts in time, prelude, errors, pace, Invoke."""
    functions.custom(name, code("node", NODE_APP), "app.stream", Timeout=20)
    streamed = stream(lambda_, name, {"wait": 600})
    assert streamed.good() == b"first last"
    assert streamed.times[-1] - streamed.times[0] > 0.4, streamed.times
    http = stream(lambda_, name, {"http": {"statusCode": 201}})
    assert http.good() == json.dumps({"statusCode": 201}, separators=(",", ":")).encode() + bytes(8) + b"first last"
    for fail, written in (("before", b""), ("after", b"first ")):
        streamed = stream(lambda_, name, {"fail": fail})
        assert (streamed.payload, streamed.failed("RangeError")["errorMessage"]) == (written, fail)
    large = stream(lambda_, name, {"parts": 320}).good()
    assert len(large) == 320 * 65536 + 10 and large.startswith(b"first x") and large.endswith(b"xlast")
    assert functions.invoke(name).payload == b"first last"
