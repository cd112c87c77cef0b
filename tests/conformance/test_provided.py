"""Custom runtimes: the guide's bash tutorial, the Runtime API by hand, the Rust crate."""

import json
import re
from email.utils import parsedate_to_datetime

import pytest

from harness import logs as function_logs
from harness import packages
from harness.functions import ROLE, arn, python_runtime

TUTORIAL_BOOTSTRAP = """#!/bin/sh

set -euo pipefail

# Initialization - load function handler
source ${LAMBDA_TASK_ROOT}/$(echo ${_HANDLER} | cut -d. -f1).sh

# Processing
while true
do
    HEADERS="$(mktemp)"
    # Get an event. The HTTP request will block until one is received
    EVENT_DATA=$(curl -sS -LD "$HEADERS" -X GET "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next")

    # Extract request ID by scraping response headers received above
    REQUEST_ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)

    # Execute the handler function from the script
    RESPONSE=$($(echo "$_HANDLER" | cut -d. -f2) "$EVENT_DATA")

    # Send the response
    curl -X POST "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/$REQUEST_ID/response" -d "$RESPONSE"
done
"""
TUTORIAL_FUNCTION = """function handler () {
    EVENT_DATA=$1
    echo "$EVENT_DATA" 1>&2;
    RESPONSE="Echoing request: '$EVENT_DATA'"

    echo $RESPONSE
}
"""


def test_tutorial(functions, lambda_, logs, name):
    """W-2, RT-42..49, RT-53, RT-57..59, RT-66, RT-67, RT-72..75, RT-86: the guide's two files as they are."""
    code = packages.package(
        {"function.sh": TUTORIAL_FUNCTION, "bootstrap": TUTORIAL_BOOTSTRAP},
        {"function.sh": packages.PROGRAM, "bootstrap": packages.PROGRAM},
    )
    created = functions.create(name, code, "provided", "function.handler")
    assert created["Runtime"] == "provided"
    assert created["Version"] == "$LATEST"
    assert created["TracingConfig"] == {"Mode": "PassThrough"}
    assert created["CodeSha256"] == packages.sha256(code)
    for _ in range(2):
        result = functions.invoke(name, raw=b'{"text":"Hello"}')
        assert (result.status, result.error, result.version) == (200, None, "$LATEST")
        assert result.payload == b"""Echoing request: '{"text":"Hello"}'"""
    (stream,) = function_logs.streams(logs, name)
    logged = function_logs.of_request(logs, name, stream, result.request_id)
    assert '{"text":"Hello"}\n' in logged


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
def test_every_provided_runtime(functions, name, runtime):
    """RT-42, API-606: all three identifiers run a bootstrap; RT-67: the response's bytes are opaque."""
    code = packages.bash('curl -sS -d SUCCESS "$URL/invocation/$ID/response"')
    functions.create(name, code, runtime, "any.thing")
    assert functions.invoke(name).payload == b"SUCCESS"


def test_runtime_api_headers(functions, name):
    """RT-59..62, RT-49, RT-65: what the next event's headers and the environment tell a runtime."""
    script = """  { cat "$HEADERS"; echo "HANDLER=$_HANDLER"; echo "ROOT=$LAMBDA_TASK_ROOT"; echo "API=$AWS_LAMBDA_RUNTIME_API"; echo "PWD=$PWD"; } > /tmp/answer
  curl -sS --data-binary @/tmp/answer "$URL/invocation/$ID/response" """
    functions.custom(name, packages.bash(script), "f.handler", Timeout=10)
    result = functions.invoke(name)
    text = result.payload.decode()
    headers = {k.lower(): v for k, v in re.findall(r"^(lambda-[\w-]+): *(.*?)\r?$", text, re.M | re.I)}
    assert headers["lambda-runtime-aws-request-id"] == result.request_id
    assert headers["lambda-runtime-invoked-function-arn"] == arn(name)
    deadline = int(headers["lambda-runtime-deadline-ms"])
    now = parsedate_to_datetime(result.headers["date"]).timestamp() * 1000
    assert 5_000 < deadline - now < 13_000
    trace = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]"
    assert re.match(trace, headers["lambda-runtime-trace-id"]), headers
    assert "HANDLER=f.handler\n" in text
    assert "ROOT=/var/task\n" in text
    assert re.search(r"API=[\w.]+:\d+\n", text), text
    assert "PWD=/var/task\n" in text


def test_invocation_error(functions, name):
    """W-7, RT-68, RT-70, D-5: the error's body reaches the caller as it was sent."""
    error = r'{"errorMessage" : "Error parsing event data.", "errorType" : "InvalidEventDataException"}'
    script = f"""  curl -sS -X POST "$URL/invocation/$ID/error" -d '{error}' --header "Lambda-Runtime-Function-Error-Type: Unhandled" """
    functions.custom(name, packages.bash(script))
    for _ in range(2):
        result = functions.invoke(name)
        assert result.failed("InvalidEventDataException")["errorMessage"] == "Error parsing event data."
        assert result.payload.decode() == error


def test_init_error(functions, name):
    """W-7, RT-50, RT-69, RT-70, D-6: an error during init is what the caller gets."""
    error = r'{"errorMessage" : "Failed to load function.", "errorType" : "InvalidFunctionException"}'
    script = (
        "#!/bin/bash\n"
        f"""curl -sS -X POST "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/init/error" -d '{error}' --header "Lambda-Runtime-Function-Error-Type: Unhandled"\n"""
        "exit 1\n"
    )
    functions.custom(name, packages.program(script))
    for _ in range(2):
        result = functions.invoke(name)
        assert result.failed("InvalidFunctionException")["errorMessage"] == "Failed to load function."


def test_wrong_request_id(functions, name):
    """RT-66, RT-71: a response to another request is refused and does not become this one's."""
    script = """  LAST="$(cat /tmp/last)"
  status() { curl -sS -o /dev/null -w '%{http_code}' -d "$2" "$URL/invocation/$1/response"; }
  WRONG="$(status 00000000-0000-4000-8000-000000000000 wrong)"
  status "$ID" "\\"$WRONG $LAST\\"" > /tmp/last"""
    functions.custom(name, packages.bash(script))
    assert functions.invoke(name).good().strip() in ("400", "403", "404")
    assert functions.invoke(name).good().split()[1] == "202"


MISSING = {
    "missing": packages.package({"function.sh": "true"}),
    "not executable": packages.package({"bootstrap": "#!/bin/sh\nexit 0\n"}),
    "a folder": packages.package({"bootstrap/file": "x"}),
}


@pytest.mark.parametrize("case", MISSING)
def test_no_bootstrap(functions, lambda_, name, case):
    """RT-45, W-6: create succeeds, the error comes at invocation and names the file."""
    functions.custom(name, MISSING[case])
    for _ in range(2):
        document = functions.invoke(name).failed("Runtime.InvalidEntrypoint")
        assert "bootstrap" in document["errorMessage"], document
    lambda_.update_function_code(
        FunctionName=name, ZipFile=packages.bash('curl -sS -d 1 "$URL/invocation/$ID/response"')
    )
    functions.updated(name)
    assert functions.invoke(name).good() == 1


def test_bootstrap_that_cannot_run(functions, name):
    """RT-45, CORE-313: a bootstrap whose interpreter does not exist is a function error."""
    functions.custom(name, packages.program("#!/no/such/interpreter\n"))
    functions.invoke(name).failed("Runtime.InvalidEntrypoint")


def test_bootstrap_that_exits(functions, logs, name):
    """CORE-313, RT-56: a runtime that ends before it asks for an event; what it wrote is in the log."""
    functions.custom(name, packages.program("#!/bin/sh\necho going\nexit 7\n"))
    result = functions.invoke(name)
    assert "exit status 7" in result.failed("Runtime.ExitError")["errorMessage"]
    (stream,) = function_logs.streams(logs, name)
    assert "going\n" in function_logs.of_request(logs, name, stream, result.request_id)


def test_report_of_a_cold_start(functions, name):
    """RT-52, D-4, LANG1-045, LANG1-050: field order of the REPORT line as in the guide."""
    functions.custom(name, packages.bash('curl -sS -d 1 "$URL/invocation/$ID/response"'))
    cold, warm = functions.invoke(name), functions.invoke(name)
    number = r"\d+\.\d\d ms"
    common = rf"Duration: {number}\tBilled Duration: \d+ ms ?\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\t"
    report = rf"REPORT RequestId: {cold.request_id}\t({common}Init Duration: {number}\t|Init Duration: {number}\t{common})\n"
    assert re.search(report, cold.log), cold.log
    assert re.search(rf"REPORT RequestId: {warm.request_id}\t{common}\n", warm.log), warm.log


def test_rust_echo(functions, name):
    """RT-25, RT-54, RT-55: a function on the unmodified lambda_runtime crate: values, context, errors."""
    functions.rust_echo(name, Timeout=10)
    event = {"text": "ü", "list": [1, 2.5, None], "nested": {"a": {}}}
    assert functions.invoke(name, event).good() == event
    result = functions.invoke(name, {"context": True})
    context = result.good()
    assert context["request_id"] == result.request_id
    assert context["arn"] == arn(name)
    assert (context["function_name"], context["version"], context["memory"]) == (name, "$LATEST", 128)
    assert context["log_group"] == f"/aws/lambda/{name}"
    failed = functions.invoke(name, {"fail": "on purpose"})
    assert failed.error == "Unhandled"
    assert failed.value["errorMessage"] == "on purpose"
    assert functions.invoke(name, 1).good() == 1


def test_runtime_can_be_changed(functions, lambda_, name):
    """RT-18, CORE-140: runtime and handler are configuration and can change together."""
    code = packages.package(
        {
            "bootstrap": "#!/bin/sh\nexit 1\n",
            "app.py": "def handler(event, context):\n    return 'python'\n",
        },
        {"bootstrap": packages.PROGRAM},
    )
    functions.custom(name, code)
    assert functions.invoke(name).error == "Unhandled"
    functions.configure(name, Runtime=python_runtime(), Handler="app.handler")
    assert functions.invoke(name).good() == "python"


def test_old_runtimes_are_refused(lambda_, name):
    """RT-36, RT-37: creating a function with a runtime that is out of support fails and says so."""
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException) as refused:
        lambda_.create_function(
            FunctionName=name, Runtime="nodejs4.3", Handler="index.handler", Role=ROLE,
            Code={"ZipFile": packages.package({"index.js": "1"})},
        )  # fmt: skip
    assert "nodejs4.3" in json.dumps(refused.value.response["Error"])
