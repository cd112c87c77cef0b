"""Web applications and programs of others as functions: the Lambda Web Adapter, `lambda_http`, a runtime in C++."""

import functools
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import packages
from harness.functions import arn
from harness.streams import stream
from test_libraries import HTTP_EVENT

#: A web application that knows nothing of Lambda: plain `http.server`.
WEB_APPLICATION = """import http.server, json, os, sys

class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/image":
            return self.answer(200, bytes(range(256)), "image/png")
        if path == "/crash":
            os._exit(3)
        self.answer(200, b"ready", "text/plain")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        context = json.loads(self.headers["x-amzn-lambda-context"])
        told = {"path": self.path, "body": body, "cookie": self.headers["Cookie"], "arn": context["invoked_function_arn"]}
        self.answer(201, json.dumps(told).encode(), "application/json")

    def answer(self, status, content, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", "seen=yes")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        print("asked", *args[1:], flush=True)

http.server.HTTPServer(("127.0.0.1", 8080), Application).serve_forever()
"""


@functools.cache
def built(variable: str) -> bytes:
    """A program that the set-up has built."""
    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"{variable} must name a program; `cargo xtask test` builds it")
    return Path(path).read_bytes()


def event(method: str, path: str, body=None, **more) -> dict:
    """An event of an HTTP API."""
    http = {**HTTP_EVENT["requestContext"]["http"], "method": method, "path": path}
    context = {**HTTP_EVENT["requestContext"], "http": http}
    return {**HTTP_EVENT, "rawPath": path, "body": body, "requestContext": context, **more}


@pytest.fixture(scope="module")
def adapter(shared_lambda):
    """The layer of the Lambda Web Adapter, as AWS publishes it."""
    folder = os.environ.get("LAMBD_RUNTIME_CLIENTS")
    if not folder:
        raise RuntimeError("LAMBD_RUNTIME_CLIENTS must name the clients' folder; `cargo xtask test` sets it")
    program = (Path(folder) / "adapter/bin/lambda-adapter").read_bytes()
    path = "extensions/lambda-adapter"
    content = {"ZipFile": packages.package({path: program}, {path: packages.PROGRAM})}
    return shared_lambda.publish_layer_version(LayerName="web-adapter", Content=content)["LayerVersionArn"]


def web_application(functions, name, adapter, **variables):
    """A function whose bootstrap starts the application."""
    code = packages.package(
        {"bootstrap": "#!/bin/sh\nexec /usr/bin/python3 app.py\n", "app.py": WEB_APPLICATION},
        {"bootstrap": packages.PROGRAM},
    )
    functions.custom(
        name, code, Layers=[adapter], Timeout=20, MemorySize=256, Environment={"Variables": {"PORT": "8080", **variables}}
    )


def test_the_lambda_web_adapter(functions, name, adapter):
    """An unchanged web application behind the adapter's layer: it waits until the application is ready, then is the runtime."""
    web_application(functions, name, adapter)
    cold = functions.invoke(name, event("POST", "/items/7", '{"name": "ü"}', rawQueryString="q=a"))
    answer = cold.good()
    assert answer["statusCode"] == 201 and answer["cookies"] == ["seen=yes"]
    told = json.loads(answer["body"])
    assert (told["path"], told["body"], told["cookie"]) == ("/items/7?q=a", '{"name": "ü"}', "one=1")
    assert told["arn"] == arn(name)
    assert re.search(r"EXTENSION\tName: lambda-adapter\tState: Ready", cold.log), cold.log
    image = functions.invoke(name, event("GET", "/image")).good()
    assert image["isBase64Encoded"] is True and image["headers"]["content-type"] == "image/png"
    crashed = functions.invoke(name, event("GET", "/crash"))
    assert crashed.error is not None or crashed.good()["statusCode"] == 502
    assert functions.invoke(name, event("GET", "/image")).good()["statusCode"] == 200


def test_the_lambda_web_adapter_streams(functions, name, adapter):
    """The same in the mode in which it streams: a prelude, then the bytes."""
    web_application(functions, name, adapter, AWS_LWA_INVOKE_MODE="response_stream")
    prelude, body = stream(functions.client, name, event("GET", "/image")).good().split(b"\0" * 8, 1)
    head = json.loads(prelude)
    assert (head["statusCode"], head["cookies"], head["headers"]["content-type"]) == (200, ["seen=yes"], "image/png")
    assert body == bytes(range(256))


def test_lambda_http(functions, name):
    """API Gateway's events of both formats on the `lambda_http` crate."""
    functions.custom(name, packages.package({"bootstrap": built("LAMBD_RUST_HTTP")}, {"bootstrap": packages.PROGRAM}))
    answer = functions.invoke(name, event("POST", "/items/7", '{"price": 1.5}', pathParameters={"id": "7"})).good()
    assert answer["statusCode"] == 201 and sorted(answer["cookies"]) == ["a=1", "b=2"]
    assert json.loads(answer["body"]) == {
        "method": "POST", "path": "/items/7", "q": ["a b", "c"], "parameter": "7", "json": {"price": 1.5}, "function": name
    }  # fmt: skip
    rest = {
        "resource": "/items/{id}", "path": "/items/8", "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": {"q": "x"}, "multiValueQueryStringParameters": {"q": ["x", "y"]},
        "pathParameters": {"id": "8"}, "stageVariables": None, "body": None, "isBase64Encoded": False,
        "requestContext": {"accountId": "123456789012", "apiId": "api", "stage": "prod", "resourceId": "r", "requestId": "id",
                           "resourcePath": "/items/{id}", "httpMethod": "GET", "identity": {"sourceIp": "192.0.2.1"}},
    }  # fmt: skip
    answer = functions.invoke(name, rest).good()
    told = json.loads(answer["body"])
    assert (told["method"], told["q"], told["parameter"], told["json"]) == ("GET", ["x", "y"], "8", None)
    assert answer["multiValueHeaders"]["set-cookie"] == ["a=1", "b=2"]
    binary = functions.invoke(name, event("GET", "/binary")).good()
    assert binary["isBase64Encoded"] is True and binary["headers"]["content-type"] == "image/png"
    failed = functions.invoke(name, event("GET", "/fail"))
    assert failed.error == "Unhandled" and json.loads(failed.payload)["errorMessage"] == "on purpose"


def test_a_runtime_in_cpp(functions, name, tmp_path):
    """RT-42, RT-67, RT-68: packed as aws-lambda-cpp packs programs, with the C library that they were built with."""
    program = os.environ["LAMBD_CPP_FUNCTION"]
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = re.findall(r"(/\S+)", listed)
    loader = next(path for path in libraries if "/ld-linux" in path)
    files = {f"lib/{os.path.basename(path)}": Path(path).read_bytes() for path in libraries}
    files["bin/cpp-function"] = built("LAMBD_CPP_FUNCTION")
    files["bootstrap"] = (
        "#!/bin/bash\nset -euo pipefail\n"
        f"exec $LAMBDA_TASK_ROOT/lib/{os.path.basename(loader)} --library-path $LAMBDA_TASK_ROOT/lib "
        "$LAMBDA_TASK_ROOT/bin/cpp-function ${_HANDLER}\n"
    )
    functions.custom(name, packages.package(files, dict.fromkeys(files, packages.PROGRAM)))
    for number in range(2):
        result = functions.invoke(name, {"number": number, "text": "ü"})
        assert result.good() == {"event": {"number": number, "text": "ü"}, "arn": arn(name)}
        assert f"handling {result.request_id}\n" in result.log
    assert functions.invoke(name, "binary").payload == bytes(range(256))
    assert functions.invoke(name, {"fail": 1}).failed("CppError")["errorMessage"] == "on purpose"
    large = "x" * 5_000_000
    assert functions.invoke(name, large).good()["event"] == large
