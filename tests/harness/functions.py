"""Making and invoking functions with boto3, with the waiting that users do."""

import base64
import functools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .clients import ACCOUNT, REGION
from .daemon import environment

# A local daemon is ready within milliseconds; the waiters' own pace is a second.
PACE = {"Delay": 0.01, "MaxAttempts": 6000}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-ex"


def arn(name: str) -> str:
    """The ARN of a function."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


@functools.cache
def python_runtime() -> str:
    """The runtime identifier of this machine's Python."""
    return "python" + _printed("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


@functools.cache
def node_runtime() -> str:
    """The runtime identifier of this machine's Node.js."""
    return f"nodejs{_printed('node', '-p', 'process.versions.node.split(`.`)[0]')}.x"


@functools.cache
def ruby_version() -> str:
    """Major and minor version of this machine's Ruby."""
    return _printed("ruby", "-e", "print RUBY_VERSION[/\\d+\\.\\d+/]")


@functools.cache
def java_homes() -> dict:
    """The JDKs of this machine, by runtime identifier."""
    homes = {}
    for release in sorted(Path("/usr/lib/jvm").glob("*/release")):
        major = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(), re.M)[1]
        homes.setdefault(f"java{major}", str(release.parent.resolve()))
    return homes


def _printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout.strip()


@dataclass
class Result:
    """What an invocation brought back."""

    status: int
    payload: bytes
    error: str | None
    version: str | None
    log: str
    headers: dict

    @property
    def value(self):
        """The payload, read as JSON."""
        return json.loads(self.payload)

    @property
    def request_id(self) -> str:
        """The invocation's id, as the log has it too."""
        return self.headers["x-amzn-requestid"]

    def good(self):
        """The payload of a function that must have succeeded."""
        if self.error is not None:
            raise AssertionError(f"{self.error}: {self.payload.decode(errors='replace')}\n{self.log}")
        return self.value

    def failed(self, error_type: str) -> dict:
        """The error document of a function that must have failed in this way."""
        assert self.status == 200, self
        assert self.error == "Unhandled", self
        assert self.value.get("errorType") == error_type, self.value
        return self.value


class Functions:
    """The functions of one daemon."""

    def __init__(self, client):
        self.client = client

    def create(self, name: str, code: bytes, runtime: str, handler: str = "app.handler", **settings) -> dict:
        """Creates a function and waits until it can be invoked."""
        created = self.client.create_function(
            FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code={"ZipFile": code}, **settings
        )
        self.active(name)
        return created

    def active(self, name: str):
        """Waits until a new function can be invoked."""
        self.client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=PACE)

    def publish(self, name: str, **parameters) -> str:
        """Publishes what is there and returns the number."""
        return self.client.publish_version(FunctionName=name, **parameters)["Version"]

    def published(self, name: str, **parameters) -> str:
        """The same, and waits until the version can be invoked."""
        version = self.publish(name, **parameters)
        self.version_active(name, version)
        return version

    def version_active(self, name: str, version: str):
        """Waits until a version can be invoked: one with SnapStart is initialised first."""
        waiter = self.client.get_waiter("published_version_active")
        waiter.wait(FunctionName=name, Qualifier=version, WaiterConfig=PACE)

    def recode(self, name: str, code: bytes, **parameters) -> dict:
        """Changes the code and waits until it runs."""
        changed = self.client.update_function_code(FunctionName=name, ZipFile=code, **parameters)
        self.updated(name)
        return changed

    def python(self, name: str, source: str, handler: str = "app.handler", **settings) -> dict:
        """A Python function of one file, app.py."""
        return self.create(name, packages.package({"app.py": source}), python_runtime(), handler, **settings)

    def node(self, name: str, source: str, handler: str = "index.handler", **settings) -> dict:
        """A Node.js function of one file, index.js."""
        return self.create(name, packages.package({"index.js": source}), node_runtime(), handler, **settings)

    def ruby(self, name: str, source: str, handler: str = "function.handler", files=None, **settings) -> dict:
        """A Ruby function of one file, function.rb, and what is beside it."""
        # The oldest that can be created; the machine's own may be older still, and runs it all the same.
        return self.create(name, packages.package({"function.rb": source, **(files or {})}), "ruby3.2", handler, **settings)

    def custom(self, name: str, code: bytes, handler: str = "function.handler", **settings) -> dict:
        """A function with a runtime of its own."""
        return self.create(name, code, "provided.al2023", handler, **settings)

    def rust_echo(self, name: str, **settings) -> dict:
        """The Rust echo function, built on the lambda_runtime crate."""
        path = os.environ.get("LAMBD_RUST_ECHO_ZIP")
        if not path:
            raise RuntimeError("LAMBD_RUST_ECHO_ZIP must name a package; `cargo xtask test` builds it")
        with open(path, "rb") as zipped:
            return self.custom(name, zipped.read(), "bootstrap", **settings)

    def configure(self, name: str, **settings) -> dict:
        """Changes the configuration and waits until it is in force."""
        changed = self.client.update_function_configuration(FunctionName=name, **settings)
        self.updated(name)
        return changed

    def updated(self, name: str):
        """Waits until the last update is done."""
        self.client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=PACE)

    def invoke(self, name: str, event=None, raw: bytes | None = None, **parameters) -> Result:
        """Invokes a function with an event (or with raw bytes) and asks for the log's tail."""
        payload = raw if raw is not None else json.dumps({} if event is None else event).encode()
        parameters.setdefault("LogType", "Tail")
        answer = self.client.invoke(FunctionName=name, Payload=payload, **parameters)
        return Result(
            status=answer["StatusCode"],
            payload=answer["Payload"].read(),
            error=answer.get("FunctionError"),
            version=answer.get("ExecutedVersion"),
            log=base64.b64decode(answer.get("LogResult", "")).decode(errors="replace"),
            headers=answer["ResponseMetadata"]["HTTPHeaders"],
        )
