"""Reserved concurrency, account settings, and settings of asynchronous invocation."""

import concurrent.futures
import datetime

import pytest

from harness import events
from harness.clients import ACCOUNT, REGION, boto
from harness.daemon import wait_for
from harness.functions import Functions, arn

CODE = "def handler(event, context):\n    print('ran')\n    if event.get('fail'):\n        raise ValueError('no')\n    return 1\n"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:destination"
OTHER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other"
DESTINATION = r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
MINIMUM = (
    "InvalidParameterValueException",
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
    "minimum value of [100].",
)


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


@pytest.fixture
def account(shared_daemon):
    """An account of this test's own: settings of an account are nobody else's then."""
    client = boto(shared_daemon.url, "lambda", key="210987654321")
    yield client
    for function in client.list_functions()["Functions"]:
        client.delete_function(FunctionName=function["FunctionName"])


def unreserved(account) -> int:
    return account.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]


def test_account_settings(account):
    """API-113.1, API-113.2, API-113, API-163, API-201, API-202, CORE-171: limits, and what is really used."""
    found = account.get_account_settings()
    assert found["AccountLimit"] == {
        "TotalCodeSize": 80530636800,
        "CodeSizeUnzipped": 262144000,
        "CodeSizeZipped": 52428800,
        "ConcurrentExecutions": 1000,
        "UnreservedConcurrentExecutions": 1000,
    }
    assert found["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}
    functions = Functions(account)
    functions.python("settings", CODE)
    functions.publish("settings")
    size = account.get_function_configuration(FunctionName="settings")["CodeSize"]
    assert account.get_account_settings()["AccountUsage"] == {"TotalCodeSize": 2 * size, "FunctionCount": 1}


def test_reservations(account):
    """API-109.2, API-117.2, API-138.5,
    API-109, API-117, API-138, API-116.4, CORE-166, CORE-167, CORE-170, CORE-171: W19."""
    functions = Functions(account)
    for name in ("one", "two"):
        functions.python(name, CODE)
    put = account.put_function_concurrency
    assert "ReservedConcurrentExecutions" not in account.get_function_concurrency(FunctionName="one")
    assert "Concurrency" not in account.get_function(FunctionName="one")
    assert put(FunctionName="one", ReservedConcurrentExecutions=100)["ReservedConcurrentExecutions"] == 100
    assert unreserved(account) == 900
    assert account.get_function_concurrency(FunctionName="one")["ReservedConcurrentExecutions"] == 100
    assert account.get_function(FunctionName="one")["Concurrency"] == {"ReservedConcurrentExecutions": 100}
    assert error(put, FunctionName="two", ReservedConcurrentExecutions=801) == MINIMUM
    put(FunctionName="two", ReservedConcurrentExecutions=800)
    assert error(put, FunctionName="one", ReservedConcurrentExecutions=101) == MINIMUM
    assert unreserved(account) == 100
    for _ in range(2):
        done = account.delete_function_concurrency(FunctionName="one")
        assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert unreserved(account) == 200
    account.delete_function(FunctionName="two")
    assert unreserved(account) == 1000


def test_nothing_reserved_never_runs(functions, lambda_, name):
    """API-138.4, API-312,
    API-138.6, API-125.14, API-708, CORE-145, CORE-168: versions and aliases neither, until the limit is removed."""
    functions.python(name, CODE)
    functions.publish(name)
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    for qualifier in ("$LATEST", "1"):
        with pytest.raises(lambda_.exceptions.TooManyRequestsException) as refusal:
            functions.invoke(name, Qualifier=qualifier)
        answer = refusal.value.response
        assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    lambda_.delete_function_concurrency(FunctionName=name)
    assert functions.invoke(name).good() == 1


def test_a_reservation_caps_its_function(functions, lambda_, name):
    """CORE-166, CORE-169: a second event at the same time is one too many, however free the account is."""
    functions.python(name, "import time\n\ndef handler(event, context):\n    print('ran')\n    time.sleep(event['s'])\n")
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    functions.invoke(name, {"s": 0})

    def throttled() -> bool:
        try:
            functions.invoke(name, {"s": 0})
        except lambda_.exceptions.TooManyRequestsException:
            return True
        return False

    def invoke_slowly():
        # It may itself come while the other one is looking whether it has.
        while True:
            try:
                return functions.invoke(name, {"s": 2})
            except lambda_.exceptions.TooManyRequestsException:
                continue

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(invoke_slowly)
        wait_for(throttled, "the function to be full")
        slow.result().good()
    assert not throttled()


BAD_RESERVATIONS = {
    "negative": (-1, "Value '-1' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0"),
    "absent": (None, "Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RESERVATIONS)
def test_bad_reservations(wire, case):
    """API-138.2, API-706."""
    value, text = BAD_RESERVATIONS[case]
    path = "/2017-10-31/functions/no-such-function/concurrency"
    reply = wire.json("PUT", path, {} if value is None else {"ReservedConcurrentExecutions": value})
    assert (reply.error, reply.message) == ("ValidationException", "1 validation error detected: " + text)


def test_reservations_of_what_has_none(functions, lambda_, name):
    """API-005, API-306: of functions alone, and of those that exist."""
    functions.python(name, CODE)
    functions.publish(name)
    for call, more in (
        (lambda_.put_function_concurrency, {"ReservedConcurrentExecutions": 1}),
        (lambda_.get_function_concurrency, {}),
        (lambda_.delete_function_concurrency, {}),
    ):
        assert error(call, FunctionName=f"{name}-no", **more) == (
            "ResourceNotFoundException", f"Function not found: {arn(name)}-no",
        )  # fmt: skip
        assert error(call, FunctionName=f"{name}:1", **more)[0] == "InvalidParameterValueException"


@pytest.fixture(scope="module")
def function(shared_lambda):
    """A function with a version and an alias."""
    name = "event-invoke"
    functions = Functions(shared_lambda)
    functions.python(name, CODE)
    functions.publish(name)
    shared_lambda.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    return name


def shown(answer) -> dict:
    """The settings of an answer, without what differs each time."""
    modified = answer.pop("LastModified")
    assert abs((datetime.datetime.now(datetime.timezone.utc) - modified).total_seconds()) < 60
    answer.pop("ResponseMetadata", None)
    return answer


@pytest.mark.parametrize("holder", [{}, {"Qualifier": "1"}, {"Qualifier": "prod"}])
def test_event_settings(lambda_, function, holder):
    """API-110.3, API-119.3, API-119.4, API-139.6, API-139.7, API-149.4..6, API-158,
    API-110, API-119, API-139, API-149, API-215, CORE-269..271: EX-35, EX-36, workflow 10."""
    missing = (
        "ResourceNotFoundException",
        f"The function {arn(function)}:{holder.get('Qualifier', '$LATEST')} doesn't have an EventInvokeConfig",
    )
    name = {"FunctionName": function} | holder
    for call in (lambda_.get_function_event_invoke_config, lambda_.delete_function_event_invoke_config):
        assert error(call, **name) == missing
    assert error(lambda_.update_function_event_invoke_config, **name, MaximumRetryAttempts=1) == missing
    put = lambda_.put_function_event_invoke_config(**name, MaximumEventAgeInSeconds=3600, MaximumRetryAttempts=0)
    expected = {
        "FunctionArn": f"{arn(function)}:{holder.get('Qualifier', '$LATEST')}",
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 3600,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    assert shown(put) == expected
    updated = lambda_.update_function_event_invoke_config(
        **name, DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    expected["DestinationConfig"]["OnFailure"] = {"Destination": QUEUE}
    assert shown(updated) == expected
    assert shown(lambda_.get_function_event_invoke_config(**name)) == expected
    updated = lambda_.update_function_event_invoke_config(**name, MaximumRetryAttempts=2)
    assert shown(updated) == expected | {"MaximumRetryAttempts": 2}
    replaced = lambda_.put_function_event_invoke_config(**name, MaximumRetryAttempts=1)
    assert shown(replaced) == {
        "FunctionArn": expected["FunctionArn"],
        "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    done = lambda_.delete_function_event_invoke_config(**name)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error(lambda_.get_function_event_invoke_config, **name) == missing


def test_lists_of_event_settings(lambda_, function):
    """API-129.3, API-129: of the function and its qualifiers, with paging."""
    qualifiers = ["$LATEST", "1", "prod"]
    for qualifier in qualifiers:
        lambda_.put_function_event_invoke_config(
            FunctionName=function, Qualifier=qualifier, MaximumRetryAttempts=0
        )
    paginator = lambda_.get_paginator("list_function_event_invoke_configs")
    for size in (1, 2, 50):
        pages = list(paginator.paginate(FunctionName=function, PaginationConfig={"PageSize": size}))
        found = [c["FunctionArn"] for page in pages for c in page["FunctionEventInvokeConfigs"]]
        assert found == [f"{arn(function)}:{qualifier}" for qualifier in qualifiers]
    assert error(lambda_.list_function_event_invoke_configs, FunctionName=function, MaxItems=51) == (
        "ValidationException",
        "1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: Member must have value less "
        "than or equal to 50",
    )
    for qualifier in qualifiers:
        lambda_.delete_function_event_invoke_config(FunctionName=function, Qualifier=qualifier)


def to(success=None, failure=None) -> dict:
    given = {"OnSuccess": success, "OnFailure": failure}
    return {"DestinationConfig": {key: {"Destination": value} for key, value in given.items() if value is not None}}


INVALID = "InvalidParameterValueException"
BAD = {
    "nothing": ({}, INVALID, "You must specify at least one of error handling or destination setting."),
    "attempts": ({"MaximumRetryAttempts": 3}, "ValidationException", "1 validation error detected: Value '3' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 2"),
    "age": ({"MaximumEventAgeInSeconds": 21601}, "ValidationException", "1 validation error detected: Value '21601' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value less than or equal to 21600"),
    "no ARN": (to("queue"), "ValidationException", "1 validation error detected: Value 'queue' at 'destinationConfig.onSuccess.destination' failed to satisfy constraint: Member must satisfy regular expression pattern: " + DESTINATION),
    "another service": (to(failure="arn:aws:dynamodb:us-east-1:000000000000:table/t"), INVALID, "The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination=arn:aws:dynamodb:us-east-1:000000000000:table/t)) is invalid."),
    "a bucket for successes": (to("arn:aws:s3:::b", QUEUE), INVALID, f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::b), onFailure=OnFailure(destination={QUEUE})) is invalid."),
    "itself": (to(arn("event-invoke")), INVALID, "You can't specify the function as a destination for itself."),
    "no function": ({"FunctionName": "no-such-function", "MaximumRetryAttempts": 0}, "ResourceNotFoundException", "The function doesn't exist."),
    "no version": ({"Qualifier": "9", "MaximumRetryAttempts": 0}, "ResourceNotFoundException", "The function doesn't exist."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_event_settings_refused(lambda_, function, case):
    """API-074, API-139, API-149, API-215, API-618, API-706: by Put and by Update."""
    changes, code, text = BAD[case]
    request = {"FunctionName": function} | changes
    assert error(lambda_.put_function_event_invoke_config, **request) == (code, text)
    assert error(lambda_.update_function_event_invoke_config, **request) == (code, text)


@pytest.mark.parametrize("destination", [QUEUE, OTHER, "arn:aws:s3:::b", "arn:aws:events:us-east-1:000000000000:event-bus/b"])
def test_destinations(lambda_, function, destination):
    """API-139.9, API-139.3, API-618, CORE-264: what is named need not exist; an empty one is none."""
    request = {"FunctionName": function, "Qualifier": "1"}
    put = lambda_.put_function_event_invoke_config(**request, **to(failure=destination))
    assert put["DestinationConfig"]["OnFailure"] == {"Destination": destination}
    cleared = lambda_.update_function_event_invoke_config(**request, **to(failure=""))
    assert cleared["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    lambda_.delete_function_event_invoke_config(**request)


def test_attempts_of_an_alias(functions, lambda_, daemon, name):
    """CORE-254, CORE-261: an event of the alias is given up after its first failure, where others wait a minute."""
    functions.python(name, CODE)
    functions.publish(name)
    lambda_.create_alias(FunctionName=name, Name="once", FunctionVersion="1")
    lambda_.put_function_event_invoke_config(FunctionName=name, Qualifier="once", MaximumRetryAttempts=0)
    event = {"FunctionName": name, "InvocationType": "Event", "Payload": b'{"fail": true}'}
    ids = [lambda_.invoke(**event, **q)["ResponseMetadata"]["RequestId"] for q in ({}, {"Qualifier": "once"})]

    def states() -> dict:
        return {event["requestId"]: event["state"] for event in events.shown(daemon, name)["events"]}

    wait_for(lambda: states().get(ids[1]) == "failed", "the event to be given up")
    wait_for(lambda: states()[ids[0]] == "retrying", "the other to wait for its next attempt")
