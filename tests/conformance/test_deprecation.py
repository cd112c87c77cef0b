"""The phases of a runtime's deprecation, as the service has them and switched off."""

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon
from harness.functions import Functions

SOURCE = packages.package({"app.py": "def handler(event, context):\n    return event"})
#: Blocked for creation and for changes since 2022, whenever the tests run.
OLD, NEW = "python3.6", "python3.14"
WORDS = (
    f"The runtime parameter of {OLD} is no longer supported for creating or updating AWS Lambda functions. We recommend "
    f"you use the new runtime ({NEW}) while creating or updating functions."
)


def refusal(lambda_, call, **parameters) -> str:
    """The message of a request that is refused."""
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException) as refused:
        call(**parameters)
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Error"]["Message"]


def test_phases(tmp_path):
    """RT-35, RT-36, RT-37, RT-40: told of by default; where enforced, none is created or changed, and all run."""
    daemon = Daemon(tmp_path).start()
    lambda_ = boto(daemon.url, "lambda")
    functions = Functions(lambda_)
    functions.create("old", SOURCE, OLD)
    functions.configure("old", Description="changed")
    assert functions.invoke("old", {"a": 1}).good() == {"a": 1}
    told = [line for line in daemon.output().splitlines() if "a function has a runtime that is deprecated" in line]
    assert told and f'"{OLD}"' in told[0], daemon.output()
    assert daemon.stop() == 0

    daemon.arguments = ["--runtime-deprecation", "enforce"]
    daemon.start()
    assert functions.invoke("old", {"a": 2}).good() == {"a": 2}
    role = "arn:aws:iam::000000000000:role/r"
    create = {"FunctionName": "new", "Role": role, "Handler": "app.handler", "Code": {"ZipFile": SOURCE}}
    assert refusal(lambda_, lambda_.create_function, Runtime=OLD, **create) == WORDS
    configure = lambda_.update_function_configuration
    assert refusal(lambda_, configure, FunctionName="old", Description="again") == WORDS
    assert refusal(lambda_, lambda_.update_function_code, FunctionName="old", ZipFile=SOURCE) == WORDS
    assert lambda_.get_function_configuration(FunctionName="old")["Description"] == "changed"
    # A newer runtime is what is recommended, so it is the one change that is possible.
    assert functions.configure("old", Runtime=NEW)["Runtime"] == NEW
    assert refusal(lambda_, configure, FunctionName="old", Runtime=OLD) == WORDS
    assert functions.invoke("old", {"a": 3}).good() == {"a": 3}
    assert daemon.stop() == 0

    daemon.arguments = ["--runtime-deprecation", "off"]
    before = daemon.output().count("is deprecated")
    daemon.start()
    functions.create("new", SOURCE, OLD)
    for never in ("nodejs8.10", "dotnetcore1.0"):
        message = refusal(lambda_, lambda_.create_function, Runtime=never, **{**create, "FunctionName": "never"})
        assert message.startswith(f"The runtime parameter of {never} is no longer supported"), message
    assert daemon.output().count("is deprecated") == before
    assert daemon.stop() == 0
