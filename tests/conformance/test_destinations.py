"""Outcomes of asynchronous events, told to queues, topics, buses, buckets and functions: moto's, which are not ours."""

import json
import re
import urllib.request

import pytest

from harness import packages
from harness.buses import Buses
from harness.clients import REGION, Cli, boto
from harness.daemon import Daemon, free_port, wait_for
from harness.events import act, shown
from harness.functions import Functions, arn, python_runtime
from harness.s3 import S3

FOREIGN = "123456789012"
HANDLER = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"got": event}
"""
COLLECT = "import json\ndef handler(event, context):\n    print('record', json.dumps(event))\n"


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = S3(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, moto):
    """A daemon whose queues, topics, buses and buckets are moto's, and whose clock stands still."""
    elsewhere = [f"--{service}-endpoint={moto.url}" for service in ("sqs", "sns", "eventbridge", "s3")]
    folder = tmp_path_factory.mktemp("destinations")
    daemon = Daemon(folder, arguments=[*elsewhere, "--clock", "manual"]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture
def foreign(moto):
    """Clients of moto."""
    return lambda service: boto(moto.url, service, key=FOREIGN)


@pytest.fixture
def functions(world):
    return Functions(boto(world.url, "lambda"))


def queue(foreign, name):
    """A queue of moto: its ARN and its URL."""
    sqs = foreign("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return f"arn:aws:sqs:{REGION}:{FOREIGN}:{name}", url


def received(foreign, url):
    """The next message of a queue."""
    sqs = foreign("sqs")

    def message():
        found = sqs.receive_message(
            QueueUrl=url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        ).get("Messages")
        return found and found[0]

    return wait_for(message, "a message")


def send(functions, name, event):
    answer = functions.client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())
    assert answer["StatusCode"] == 202
    return answer["ResponseMetadata"]["RequestId"]


def advance(daemon, seconds):
    body = json.dumps({"advanceSeconds": seconds}).encode()
    request = urllib.request.Request(f"{daemon.url}/_lambd/clock", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def create(functions, name, source=HANDLER, success=None, failure=None, attempts=0, **settings):
    functions.python(name, source, **settings)
    config = {}
    if success:
        config["OnSuccess"] = {"Destination": success}
    if failure:
        config["OnFailure"] = {"Destination": failure}
    functions.client.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=attempts, DestinationConfig=config
    )


def test_w36_a_success_goes_to_a_bus_and_a_failure_to_a_queue(world, functions, foreign, name):
    """CORE-258, CORE-263, CORE-266, EX-34: records as the guide has them."""
    failures, url = queue(foreign, f"{name}-failures")
    successes, success_url = queue(foreign, f"{name}-successes")
    bus = foreign("events").create_event_bus(Name=name)["EventBusArn"]
    create(functions, name, success=bus, failure=failures)
    send(functions, name, {"id": 0})
    wait_for(lambda: (s := shown(world, name))["queued"] + s["delivering"] == 0, "moto's bus to take the event")
    assert "DestinationDeliveryFailures" not in shown(world, name)["metrics"]

    functions.client.update_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": successes}}
    )
    request_id = send(functions, name, {"id": 1})
    record = json.loads(received(foreign, success_url)["Body"])
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{arn(name)}:$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"got": {"id": 1}}

    request_id = send(functions, name, {"fail": "no"})
    message = received(foreign, url)
    record = json.loads(message["Body"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    assert record.pop("responsePayload")["errorMessage"] == "no"
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{arn(name)}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"fail": "no"},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    }
    assert "Lineage=" in message["Attributes"]["AWSTraceHeader"]


def test_w37_a_dead_letter_queue_gets_the_event(world, functions, foreign, tmp_path, name):
    """CORE-272, CORE-273, CORE-276, CORE-277, CORE-259, API-105.2, API-148.2, API-206: by the AWS CLI, and locked in a version."""
    target, url = queue(foreign, name)
    functions.python(name, HANDLER)
    cli = Cli(world.url, tmp_path)
    changed = cli.json(
        "lambda", "update-function-configuration", "--function-name", name,
        "--dead-letter-config", f"TargetArn={target}",
    )  # fmt: skip
    assert changed["DeadLetterConfig"] == {"TargetArn": target}
    functions.updated(name)
    version = functions.publish(name)
    functions.configure(name, DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in functions.client.get_function_configuration(FunctionName=name)

    functions.client.put_function_event_invoke_config(FunctionName=name, Qualifier=version, MaximumRetryAttempts=0)
    request_id = send(functions, f"{name}:{version}", {"fail": "x" * 2000})
    message = received(foreign, url)
    assert json.loads(message["Body"]) == {"fail": "x" * 2000}
    attributes = {key: (of["DataType"], of["StringValue"]) for key, of in message["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "x" * 1024),
    }


def test_w37_a_dead_letter_topic_and_a_destination_both_get_theirs(functions, foreign, name):
    """CORE-274, API-139.9: a destination in addition to a dead letter topic."""
    letters, letters_url = queue(foreign, f"{name}-letters")
    records, records_url = queue(foreign, f"{name}-records")
    topic = foreign("sns").create_topic(Name=name)["TopicArn"]
    foreign("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=letters)
    create(functions, name, failure=records, DeadLetterConfig={"TargetArn": topic})
    request_id = send(functions, name, {"fail": "no"})
    notification = json.loads(received(foreign, letters_url)["Body"])
    assert json.loads(notification["Message"]) == {"fail": "no"}
    assert notification["MessageAttributes"]["RequestID"]["Value"] == request_id
    assert json.loads(received(foreign, records_url)["Body"])["requestContext"]["requestId"] == request_id


def test_a_failure_goes_to_a_bucket(functions, foreign, name):
    """API-618: an object for each event, as the service names them."""
    bucket = f"b-{name}".lower()
    foreign("s3").create_bucket(Bucket=bucket)
    create(functions, name, failure=f"arn:aws:s3:::{bucket}")
    request_id = send(functions, name, {"fail": "no"})
    objects = wait_for(lambda: foreign("s3").list_objects_v2(Bucket=bucket).get("Contents"), "an object")
    key = objects[0]["Key"]
    pattern = rf"aws/lambda/async/{name}/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\dT\d\d\.\d\d\.\d\d-{request_id}"
    assert re.fullmatch(pattern, key)
    record = json.load(foreign("s3").get_object(Bucket=bucket, Key=key)["Body"])
    assert record["requestPayload"] == {"fail": "no"}


def test_a_function_gets_the_records_of_another(world, functions, name):
    """CORE-258: a function as destination; its event is the record."""
    collector = f"{name}-collector"
    functions.python(collector, COLLECT)
    create(functions, name, success=arn(collector))
    request_id = send(functions, name, {"id": 7})
    logs = boto(world.url, "logs")

    def record():
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{collector}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return next((e["message"][7:] for e in events if e["message"].startswith("record ")), None)

    found = json.loads(wait_for(record, "the record"))
    assert found["requestContext"]["requestId"] == request_id
    assert found["responsePayload"] == {"got": {"id": 7}}


@pytest.fixture(scope="module")
def buses():
    server = Buses()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def bus_world(tmp_path_factory, buses):
    """A daemon whose events go to our reading of botocore's model: moto says nothing of what it gets."""
    folder = tmp_path_factory.mktemp("buses")
    daemon = Daemon(folder, arguments=[f"--eventbridge-endpoint={buses.url}", "--clock", "manual"]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.mark.parametrize("kind", ["Success", "Failure"])
def test_what_a_bus_gets(bus_world, buses, name, kind):
    """CORE-258, CORE-263, CORE-266: `lambda` tells of an invocation result with the record as its detail."""
    functions = Functions(boto(bus_world.url, "lambda"))
    bus = f"arn:aws:events:{REGION}:{FOREIGN}:event-bus/{name}"
    create(functions, name, success=bus, failure=bus)
    event = {"fail": "no"} if kind == "Failure" else {"id": "ü"}
    request_id = send(functions, name, event)

    def arrived():
        assert not buses.wrong, buses.wrong
        return [entry for entry in buses.entries if entry["EventBusName"] == bus]

    [entry] = wait_for(arrived, "the event")
    record = json.loads(entry.pop("Detail"))
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};", entry.pop("TraceHeader"))
    assert entry == {
        "EventBusName": bus,
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {kind}",
        "Resources": [bus, f"{arn(name)}:$LATEST"],
    }
    assert record["version"] == "1.0"
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{arn(name)}:$LATEST",
        "condition": "RetriesExhausted" if kind == "Failure" else "Success",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == event
    if kind == "Failure":
        assert record["responseContext"]["functionError"] == "Unhandled"
        assert record["responsePayload"]["errorMessage"] == "no"
    else:
        assert record["responsePayload"] == {"got": event}
    wait_for(lambda: shown(bus_world, name)["delivering"] == 0, "the end of the delivery")
    assert "DestinationDeliveryFailures" not in shown(bus_world, name)["metrics"]


def test_an_event_that_a_bus_does_not_take(bus_world, buses, name):
    """In a request that it takes: for now, and then the event comes again; or for good, and that is counted."""
    functions = Functions(boto(bus_world.url, "lambda"))
    bus = f"arn:aws:events:{REGION}:{FOREIGN}:event-bus/{name}"
    create(functions, name, success=bus)
    buses.errors.append("ThrottlingException")
    send(functions, name, {"id": 1})
    wait_for(lambda: (s := shown(bus_world, name)["events"]) and s[0]["systemErrors"] == 1, "the first attempt")
    advance(bus_world, 60)
    wait_for(lambda: shown(bus_world, name)["delivering"] == 0, "the second attempt")
    assert "DestinationDeliveryFailures" not in shown(bus_world, name)["metrics"]
    assert len([entry for entry in buses.entries if entry["EventBusName"] == bus]) == 2

    buses.errors.append("MalformedDetail")
    send(functions, name, {"id": 2})
    wait_for(lambda: shown(bus_world, name)["metrics"].get("DestinationDeliveryFailures") == 1, "the refusal")
    assert not buses.wrong, buses.wrong


def test_a_bus_that_is_not_there_is_told(world, functions, name):
    """moto's bus refuses an event for a bus that it does not have, so the one above was taken by its bus."""
    create(functions, name, success=f"arn:aws:events:{REGION}:{FOREIGN}:event-bus/no-such-bus")
    send(functions, name, {"id": 1})
    wait_for(lambda: shown(world, name)["metrics"].get("DestinationDeliveryFailures") == 1, "the refusal")


def test_what_cannot_be_delivered_is_counted_and_stops_nothing(world, functions, name):
    """CORE-278: DestinationDeliveryFailures and DeadLetterErrors; the event is kept for an operator."""
    nowhere = f"arn:aws:sqs:{REGION}:{FOREIGN}:no-such-queue"
    create(functions, name, failure=nowhere, DeadLetterConfig={"TargetArn": nowhere})
    send(functions, name, {"fail": "no"})
    found = wait_for(lambda: (s := shown(world, name)) and s["failed"] == 1 and s, "the event to be given up")
    metrics = found["metrics"]
    counted = {key: metrics[key] for key in ("AsyncEventsReceived", "AsyncEventsDropped", "DeadLetterErrors")}
    assert counted == {"AsyncEventsReceived": 1, "AsyncEventsDropped": 1, "DeadLetterErrors": 1}
    assert metrics["DestinationDeliveryFailures"] == 1
    assert "not delivered" in found["events"][0]["lastError"]


def test_a_target_that_is_away_gets_its_record_when_it_is_back(tmp_path, moto, foreign, name):
    """Deliveries are tried again; other events go on meanwhile."""
    away = f"http://127.0.0.1:{free_port()}"
    arguments = ["--clock", "manual", f"--sns-endpoint={moto.url}"]
    daemon = Daemon(tmp_path, arguments=[*arguments, f"--sqs-endpoint={away}"]).start()
    functions = Functions(boto(daemon.url, "lambda"))
    target, url = queue(foreign, name)
    create(functions, name, success=target)
    send(functions, name, {"id": 1})
    stuck = wait_for(lambda: (s := shown(daemon, name)) and s["delivering"] and s["events"], "the delivery")
    wait_for(lambda: shown(daemon, name)["events"][0]["systemErrors"] == 1, "the first attempt")
    assert stuck[0]["state"] == "delivering"
    assert functions.invoke(name, {"id": 2}).good() == {"got": {"id": 2}}
    assert daemon.stop() == 0, daemon.output()
    # What is in the queue outlives the daemon; the next one finds the target, when its clock is there.
    daemon.arguments = ["--async-backoff", "1s", f"--sqs-endpoint={moto.url}"]
    daemon.start()
    assert json.loads(received(foreign, url)["Body"])["requestPayload"] == {"id": 1}
    assert wait_for(lambda: shown(daemon, name)["delivering"] == 0, "the end") and daemon.stop() == 0


def test_buses_and_buckets_need_an_endpoint(own_daemon, name):
    """Without one the failure says which option is missing."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    create(functions, name, failure=f"arn:aws:events:{REGION}:000000000000:event-bus/default")
    send(functions, name, {"fail": "no"})
    found = wait_for(lambda: (s := shown(own_daemon, name)) and s["failed"] and s["events"], "the failure")
    assert "--eventbridge-endpoint" in found[0]["lastError"]


def test_reserved_concurrency_zero_fails_at_once(functions, foreign, name):
    """CORE-168: straight to the failure path, without an attempt."""
    target, url = queue(foreign, name)
    create(functions, name, failure=target, attempts=2)
    functions.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    send(functions, name, {"id": 1})
    record = json.loads(received(foreign, url)["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record and "responsePayload" not in record


def test_events_of_a_deleted_function_are_told(world, functions, foreign, name):
    """Drained to where failures went when the event was accepted, and counted."""
    target, url = queue(foreign, name)
    create(functions, name, failure=target)
    act(world, name, {"action": "pause"})
    send(functions, name, {"id": 1})
    functions.client.delete_function(FunctionName=name)
    act(world, name, {"action": "resume"})
    record = json.loads(received(foreign, url)["Body"])
    assert record["responseContext"]["statusCode"] == 404
    assert wait_for(lambda: shown(world, name)["metrics"].get("AsyncEventsDropped"), "the count") == 1


@pytest.mark.parametrize(
    "bad", ["arn:aws:sqs:us-east-1:123456789012:q.fifo", "arn:aws:lambda:us-east-1:123456789012:function:f"]
)
def test_other_dead_letter_targets_are_refused(functions, name, bad):
    """CORE-274, API-206."""
    with pytest.raises(functions.client.exceptions.InvalidParameterValueException, match="DeadLetterConfig"):
        functions.client.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", DeadLetterConfig={"TargetArn": bad},
            Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": packages.package({"app.py": HANDLER})},
        )  # fmt: skip
