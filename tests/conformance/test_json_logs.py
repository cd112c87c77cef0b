"""Logs in JSON (LoggingConfig), and AWS_LAMBDA_EXEC_WRAPPER."""

import json

import pytest

from harness import packages

PYTHON = """import logging, os
def handler(event, context):
    print("plain")
    logging.debug("debug")
    logging.info("info %s", "ü", extra={"order": 7})
    logging.warning("warning")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    if event == "fail":
        raise ValueError("on purpose")
    return [os.environ.get("AWS_LAMBDA_LOG_FORMAT"), os.environ.get("AWS_LAMBDA_LOG_LEVEL")]
"""

NODE = """exports.handler = async (event) => {
  console.debug('debug');
  console.log('hello %s', 'you');
  console.info({ order: 7, text: 'two\\nlines' });
  console.warn('warning', new TypeError('bad'));
  console.error(new RangeError('worse'));
  if (event === 'fail') throw new Error('on purpose');
};
"""


def records(log: str) -> list:
    """The JSON objects of a log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def of_platform(log: str) -> dict:
    """The platform's records of a log, by type."""
    return {record["type"]: record["record"] for record in records(log) if "type" in record}


def of_function(log: str) -> list:
    """The function's own records."""
    return [record for record in records(log) if "type" not in record]


def json_log(**levels) -> dict:
    """The setting."""
    return {"LoggingConfig": {"LogFormat": "JSON", **levels}}


def test_the_records_of_python(functions, name):
    """API-523: records have the fields of AWS's runtime, lines that are printed stay as they are."""
    functions.python(name, PYTHON, **json_log())
    result = functions.invoke(name)
    assert result.good() == ["JSON", "INFO"]
    assert "plain\n" in result.log
    info, warning, caught = of_function(result.log)
    stamp = info.pop("timestamp")
    assert len(stamp) == 20 and stamp.endswith("Z") and stamp[10] == "T"
    assert info == {
        "level": "INFO", "message": "info ü", "logger": "root", "requestId": result.request_id, "order": 7
    }
    assert (warning["level"], warning["message"]) == ("WARNING", "warning")
    assert (caught["errorType"], caught["errorMessage"]) == ("ZeroDivisionError", "division by zero")
    assert caught["location"] == "/var/task/app.py:handler:10" and "1 / 0" in caught["stackTrace"][0]


def test_the_records_of_node(functions, name):
    """API-523: one value is the message as it is, several are one text; errors have fields of their own."""
    functions.node(name, NODE, **json_log())
    result = functions.invoke(name)
    hello, order, warning, worse = of_function(result.log)
    assert (hello["level"], hello["message"], hello["requestId"]) == ("INFO", "hello you", result.request_id)
    assert order["message"] == {"order": 7, "text": "two\nlines"}
    assert (warning["level"], warning["errorType"], warning["errorMessage"]) == ("WARN", "TypeError", "bad")
    assert warning["message"].startswith("warning TypeError: bad") and warning["stackTrace"][0] == "TypeError: bad"
    assert worse["message"]["errorType"] == "RangeError" and worse["level"] == "ERROR"


@pytest.mark.parametrize("language", ["python", "node"])
def test_errors_that_nobody_caught(functions, name, language):
    """API-523: the error of a handler is a record too."""
    getattr(functions, language)(name, {"python": PYTHON, "node": NODE}[language], **json_log(ApplicationLogLevel="ERROR"))
    result = functions.invoke(name, "fail")
    assert result.value["errorMessage"] == "on purpose"
    last = of_function(result.log)[-1]
    if language == "python":
        assert (last["log_level"], last["errorType"], last["requestId"]) == ("ERROR", "ValueError", result.request_id)
    else:
        assert (last["level"], last["message"]["errorMessage"]) == ("ERROR", "on purpose")
    assert of_platform(result.log)["platform.report"]["status"] == "success", "the runtime is well"


def test_levels_of_the_function(functions, name):
    """API-523: what is below ApplicationLogLevel is left out, by runtimes and by the platform; a change counts for
    the next event."""
    functions.python(name, PYTHON, **json_log(ApplicationLogLevel="DEBUG"))
    levels = lambda log: [record["level"] for record in of_function(log)]  # noqa: E731
    assert levels(functions.invoke(name).log) == ["DEBUG", "INFO", "WARNING", "ERROR"]
    functions.configure(name, LoggingConfig={"ApplicationLogLevel": "ERROR"})
    result = functions.invoke(name)
    assert levels(result.log) == ["ERROR"] and result.value == ["JSON", "ERROR"]
    functions.configure(name, LoggingConfig={"LogFormat": "Text"})
    result = functions.invoke(name)
    assert of_function(result.log) == [] and "START RequestId: " in result.log and result.value == [None, None]


def test_records_of_custom_runtimes_are_left_out_by_the_platform(functions, name):
    """API-523: any JSON object with a level counts, however it is written."""
    body = packages.bash(
        """echo '{"level":"debug","n":1}'; echo '{"n":2,"level":"WARN"}'; echo '{"n":3}'; echo '{broken'; echo plain
        curl -sS "$URL/invocation/$ID/response" -d "\\"$AWS_LAMBDA_LOG_LEVEL\\"" > /dev/null"""
    )
    functions.custom(name, body, **json_log(ApplicationLogLevel="WARN"))
    result = functions.invoke(name)
    assert result.good() == "WARN"
    assert [line for line in result.log.splitlines() if "platform." not in line] == [
        '{"n":2,"level":"WARN"}', "{broken", "plain"
    ]


def test_levels_of_the_platform(functions, name):
    """API-523: START, END and REPORT are records; how many there are is for SystemLogLevel to say."""
    functions.python(name, "def handler(event, context):\n    return 'x' * 10\n", **json_log(SystemLogLevel="DEBUG"))
    result = functions.invoke(name)
    told = of_platform(result.log)
    # The order in which they are told.
    assert list(told) == [
        "platform.initStart", "platform.initRuntimeDone", "platform.initReport",
        "platform.start", "platform.runtimeDone", "platform.report",
    ]
    assert told["platform.initStart"]["functionName"] == name
    assert told["platform.initReport"]["metrics"]["durationMs"] > 0
    assert told["platform.start"] == {"requestId": result.request_id, "version": "$LATEST"}
    assert told["platform.runtimeDone"]["metrics"]["producedBytes"] == 12
    metrics = told["platform.report"]["metrics"]
    assert metrics["memorySizeMB"] == 128 and metrics["billedDurationMs"] >= metrics["durationMs"]
    assert metrics["initDurationMs"] == told["platform.initReport"]["metrics"]["durationMs"]
    functions.configure(name, LoggingConfig={"SystemLogLevel": "INFO"})
    assert list(of_platform(functions.invoke(name).log)) == ["platform.start", "platform.report"]
    functions.configure(name, LoggingConfig={"SystemLogLevel": "WARN"})
    assert of_platform(functions.invoke(name).log) == {}


def test_failures_are_records_of_the_platform(functions, name):
    """API-523: an exit and a timeout are warnings of the platform."""
    source = "import os, time\ndef handler(event, context):\n    os._exit(3) if event == 'exit' else time.sleep(60)\n"
    functions.python(name, source, Timeout=1, **json_log(SystemLogLevel="WARN"))
    told = of_platform(functions.invoke(name, "exit").log)
    assert told["platform.report"]["errorType"] == told["platform.runtimeDone"]["errorType"] == "Runtime.ExitError"
    assert told["platform.report"]["status"] == "error" and "platform.start" not in told
    told = of_platform(functions.invoke(name, "sleep").log)
    assert told["platform.report"]["status"] == told["platform.runtimeDone"]["status"] == "timeout"
    assert "platform.initReport" not in told


# ------------------------------------------------------------------------------------------- the exec wrapper

WRAPPER = """#!/bin/bash
echo "wrapped: $1 $#"
export FROM_WRAPPER="yes"
exec "$@"
"""

SHOWS = {
    "python": "import os\ndef handler(event, context):\n    return os.environ.get('FROM_WRAPPER')\n",
    "node": "exports.handler = async () => process.env.FROM_WRAPPER || null;\n",
    "ruby": "def handler(event:, context:)\n  ENV['FROM_WRAPPER']\nend\n",
}


@pytest.mark.parametrize("language", list(SHOWS))
def test_a_wrapper_of_a_layer_starts_the_runtime(functions, lambda_, name, language):
    """The wrapper gets the command line of the runtime, and what it exports is there."""
    layer = packages.package({"wrap": WRAPPER}, modes={"wrap": 0o755})
    layer = lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": layer})["LayerVersionArn"]
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}}
    getattr(functions, language)(name, SHOWS[language], Layers=[layer], Environment=variables)
    result = functions.invoke(name)
    assert result.good() == "yes"
    assert "wrapped: /" in result.log
    functions.configure(name, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": ""}})
    assert functions.invoke(name).good() is None


@pytest.mark.parametrize(
    "mode, path, status, text",
    [
        (0o644, "/var/task/wrap", 126, "/var/task/wrap: is not an executable"),
        (0o755, "/opt/none", 127, "/opt/none: does not exist"),
    ],
)
def test_a_wrapper_that_cannot_be_started(functions, name, mode, path, status, text):
    """What is wrong is in the log, and the exit status in the error."""
    code = packages.package({"app.py": SHOWS["python"], "wrap": WRAPPER}, modes={"wrap": mode})
    functions.create(name, code, "python3.12", Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": path}})
    result = functions.invoke(name)
    assert result.failed("Runtime.ExitError")["errorMessage"].endswith(f"exit status {status}")
    assert text in result.log
