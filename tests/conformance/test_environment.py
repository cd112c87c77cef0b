"""Environment variables: what functions see, and what may be set."""

import re

import pytest

from harness import packages
from harness.functions import (
    ACCOUNT,
    REGION,
    Functions,
    arn,
    node_runtime,
    python_runtime,
)

DUMP = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"


def test_defined_variables(functions, name):
    """CORE-154, CORE-155, LANG1-057, RT-20, RT-49: every variable of the guide with its value."""
    functions.python(name, DUMP, MemorySize=256)
    result = functions.invoke(name)
    found = result.good()
    expected = {
        "_HANDLER": "app.handler",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{python_runtime()}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found["AWS_LAMBDA_LOG_STREAM_NAME"])
    assert (found["TZ"], found["LANG"]) == (":UTC", "en_US.UTF-8")
    assert found["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    libraries = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    assert found["LD_LIBRARY_PATH"] == f"/var/lang/lib:{libraries}"
    assert found["PYTHONPATH"] == "/var/runtime"
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", found["_X_AMZN_TRACE_ID"])
    assert found["AWS_ACCESS_KEY_ID"] and found["AWS_SECRET_ACCESS_KEY"] and found["AWS_SESSION_TOKEN"]


def test_node_variables(functions, name):
    """CORE-155, RT-20: what the Node.js runtime adds."""
    functions.node(name, "exports.handler = async () => process.env")
    found = functions.invoke(name).good()
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{node_runtime()}"
    assert "/opt/nodejs/node_modules" in found["NODE_PATH"].split(":")


BASH_DUMP = """
python3 -c 'import json, os; print(json.dumps(dict(os.environ)))' > /tmp/environment
curl -sS -X POST "$URL/invocation/$ID/response" --data-binary @/tmp/environment > /dev/null
"""
RUBY_DUMP = "def handler(event:, context:) = ENV.to_h"


@pytest.mark.parametrize("language", ["python", "node", "ruby", "provided.al2023", "provided"])
def test_each_runtime_has_the_documented_variables(functions, name, language):
    """CORE-154, CORE-155, RT-20, RT-49: those of all runtimes, and what each adds."""
    settings = {"Timeout": 20, "MemorySize": 256}
    if language == "python":
        functions.python(name, DUMP, **settings)
        adds = {"PYTHONPATH": "/var/runtime"}
    elif language == "node":
        functions.node(name, "exports.handler = async () => process.env", **settings)
        major = node_runtime().removesuffix(".x").removeprefix("nodejs")
        opt = f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules"
        adds = {"NODE_PATH": f"{opt}:/var/runtime:/var/task"}
    elif language == "ruby":
        functions.ruby(name, RUBY_DUMP, **settings)
        adds = {"RUBYLIB": "/var/task:/var/runtime/lib:/opt/ruby/lib"}
    else:
        functions.create(name, packages.bash(BASH_DUMP), language, "function.handler", **settings)
        adds = {}
    found = functions.invoke(name).good()
    runtime = functions.client.get_function_configuration(FunctionName=name)["Runtime"]
    expected = {
        "_HANDLER": functions.client.get_function_configuration(FunctionName=name)["Handler"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": None if language == "provided.al2023" else f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        **adds,
    }
    assert {key: found.get(key) for key in expected} == expected
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_LOG_STREAM_NAME"):
        assert found[key], key
    # A custom runtime gets the trace by its own request, not by the environment.
    assert ("_X_AMZN_TRACE_ID" in found) == (language in ("python", "node", "ruby"))


def test_nothing_of_the_daemon_leaks(functions, name):
    """CORE-005: the environment of the daemon is not the function's."""
    functions.python(name, DUMP)
    found = set(functions.invoke(name).good())
    known = r"AWS_.*|_AWS_XRAY_DAEMON_.*|LAMBDA_.*|_HANDLER|_X_AMZN_.*|_LAMBDA_.*|TZ|LANG|LC_CTYPE|PATH|LD_LIBRARY_PATH|PYTHON.*|PWD|SHLVL|_|HOME"
    assert [key for key in found if not re.fullmatch(known, key)] == []


def test_own_variables(functions, name):
    """CORE-151, CORE-153, RT-143: values come as they are; PATH and others may be extended."""
    own = {"BUCKET": "my-bucket", "UML": "ü €", "SPACES": " a  b ", "LINES": "a\nb", "EQ": "a=b=c", "EMPTY": ""}
    functions.python(
        name, DUMP, Environment={"Variables": own | {"PATH": "/opt/mine:/usr/bin:/bin", "LANG": "C.UTF-8"}}
    )
    found = functions.invoke(name).good()
    assert {key: found.get(key) for key in own} == own
    assert found["PATH"] == "/opt/mine:/usr/bin:/bin"
    assert found["LANG"] == "C.UTF-8"


RESERVED = [
    "_HANDLER", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
]  # fmt: skip


@pytest.fixture(scope="module")
def victim(shared_lambda):
    """A function whose configuration nobody manages to break."""
    Functions(shared_lambda).python("env-victim", DUMP, Environment={"Variables": {"KEPT": "1"}})
    return "env-victim"


def refused(lambda_, name, variables):
    """The error of an update to these variables, which must change nothing."""
    with pytest.raises(lambda_.exceptions.ClientError) as error:
        lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    kept = lambda_.get_function_configuration(FunctionName=name)
    assert kept["Environment"] == {"Variables": {"KEPT": "1"}}
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error.value.response["Error"]


@pytest.mark.parametrize("key", RESERVED)
def test_reserved_keys(lambda_, victim, key):
    """CORE-154, LANG2-194: setting a reserved key is refused in the words of the guide."""
    error = refused(lambda_, victim, {"FINE": "1", key: "x"})
    if key == "_HANDLER":  # not a legal key in the first place
        assert error["Code"] in ("InvalidParameterValueException", "ValidationException")
        return
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"].startswith(
        "Lambda was unable to configure your environment variables because the environment variables you have "
        "provided contains reserved keys that are currently not supported for modification."
    )
    assert key in error["Message"]


@pytest.mark.parametrize("key", ["A", "1A", "_AA", "A-B", "A B", "ÄÖ", "A.B"])
def test_bad_keys(lambda_, victim, key):
    """CORE-152, API-075: a letter first, at least two characters, letters, digits and underscore."""
    error = refused(lambda_, victim, {key: "x"})
    assert error["Code"] in ("ValidationException", "InvalidParameterValueException")


def test_size(functions, lambda_, victim, name):
    """CORE-076, CORE-152: 4 KB of keys and values are fine, more is refused."""
    functions.python(name, DUMP, Environment={"Variables": {"KEY": "x" * 3900}})
    assert len(functions.invoke(name).good()["KEY"]) == 3900
    error = refused(lambda_, victim, {"K1": "x" * 2048, "K2": "x" * 2049})
    assert error["Code"] == "InvalidParameterValueException"
    assert "4KB" in error["Message"].replace(" ", "")


def test_names_for_the_arn(functions, name):
    """RT-61: the function can tell its own ARN, account and region included."""
    functions.python(name, "def handler(event, context):\n    return context.invoked_function_arn\n")
    assert functions.invoke(name).good() == arn(name)
    assert ACCOUNT in arn(name)
