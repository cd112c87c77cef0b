"""Event source mappings as settings: nothing is polled yet."""

import datetime
import time

import botocore.exceptions
import pytest

from harness import packages
from harness.clients import ACCOUNT, REGION, boto
from harness.functions import Functions, arn, python_runtime

CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})
NOTHING_POLLED = "lambd does not poll event sources yet"


def source(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def queue(name: str) -> str:
    return source("sqs", name)


def table(name: str) -> str:
    return source("dynamodb", f"table/{name}/stream/2019-06-10T19:26:16.525")


def stream(name: str) -> str:
    return source("kinesis", f"stream/{name}")


@pytest.fixture
def function(functions, name):
    """A function that nobody invokes."""
    functions.create(name, CODE, python_runtime())
    return name


@pytest.fixture(scope="module")
def some_function(shared_lambda):
    """One function for the tests that make no mapping of it."""
    name = "some-function-of-mappings"
    Functions(shared_lambda).create(name, CODE, python_runtime())
    return name


def plain(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def status(answer: dict) -> int:
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


STREAM_DEFAULTS = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
    "BisectBatchOnFunctionError": False,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "DestinationConfig": {},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
}
KAFKA_DEFAULTS = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "DestinationConfig": {},
    "LastProcessingResult": "No records processed",
}
BASIC = [{"Type": "BASIC_AUTH", "URI": source("secretsmanager", "secret:s")}]

#: What is asked for, who is said to have asked, and what is shown beside it.
KINDS = {
    "sqs": (
        {"EventSourceArn": queue("q")},
        "USER_INITIATED",
        {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    ),
    "fifo": (
        {"EventSourceArn": queue("q.fifo"), "BatchSize": 5},
        "USER_INITIATED",
        {"MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    ),
    "dynamodb": ({"EventSourceArn": table("t"), "StartingPosition": "LATEST"}, "User action", STREAM_DEFAULTS),
    "kinesis": ({"EventSourceArn": stream("s"), "StartingPosition": "TRIM_HORIZON"}, "User action", STREAM_DEFAULTS),
    "consumer": (
        {"EventSourceArn": stream("s/consumer/c:1573616353"), "StartingPosition": "LATEST"},
        "User action",
        STREAM_DEFAULTS,
    ),
    "msk": (
        {
            "EventSourceArn": source("kafka", "cluster/c/1"), "StartingPosition": "LATEST", "Topics": ["topic"],
            "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "mine"},
        },
        "USER_INITIATED",
        KAFKA_DEFAULTS,
    ),
    "mq": (
        {"EventSourceArn": source("mq", "broker:b:b-1"), "Queues": ["q"], "SourceAccessConfigurations": BASIC},
        "USER_INITIATED",
        {"BatchSize": 100, "LastProcessingResult": "No records processed"},
    ),
    "documentdb": (
        {
            "EventSourceArn": source("rds", "cluster:c"), "StartingPosition": "LATEST",
            "SourceAccessConfigurations": BASIC,
            "DocumentDBEventSourceConfig": {"DatabaseName": "db", "CollectionName": "c", "FullDocument": "UpdateLookup"},
        },
        "USER_INITIATED",
        {"BatchSize": 100, "LastProcessingResult": "No records processed"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_life(lambda_, function, kind):
    """API-104.13, API-107.2, API-115.2, API-155, API-504, API-507,
    CORE-283, CORE-284, API-104, API-107, API-115, API-211, API-616, SVC1-251, SVC2-58, SVC2-140: defaults by
    kind of source, Creating, then Enabled, then Deleting, then gone."""
    asked, who, defaults = KINDS[kind]
    before = time.time()
    made = lambda_.create_event_source_mapping(FunctionName=function, **asked)
    assert status(made) == 202
    uuid = made["UUID"]
    expected = asked | defaults | {
        "UUID": uuid,
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{uuid}",
        "FunctionArn": arn(function),
        "State": "Creating",
        "StateTransitionReason": who,
    }  # fmt: skip
    modified = made["LastModified"]
    assert before - 1 <= modified.timestamp() <= time.time() + 1
    assert {k: v for k, v in plain(made).items() if k != "LastModified"} == expected

    read = plain(lambda_.get_event_source_mapping(UUID=uuid))
    reason = read["StateTransitionReason"]
    assert reason.startswith(f"{who}; ") and NOTHING_POLLED in reason
    settled = plain(made) | {"State": "Enabled", "StateTransitionReason": reason}
    assert read == settled

    gone = lambda_.delete_event_source_mapping(UUID=uuid)
    assert status(gone) == 202
    assert plain(gone) == plain(made) | {"State": "Deleting"}
    missing = ("ResourceNotFoundException", "The resource you requested does not exist.")
    for call in (lambda_.get_event_source_mapping, lambda_.delete_event_source_mapping, lambda_.update_event_source_mapping):
        assert error(call, UUID=uuid) == missing


def test_self_managed_kafka(lambda_, function):
    """API-502, API-605: a mapping without the ARN of a source; its UUID is the consumer group."""
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a.example.com:9092", "b.example.com:9092"]}}
    asked = {"SelfManagedEventSource": servers, "Topics": ["topic"], "StartingPosition": "LATEST"}
    made = lambda_.create_event_source_mapping(FunctionName=function, **asked)
    assert "EventSourceArn" not in made
    assert made["SelfManagedEventSource"] == servers
    assert made["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": made["UUID"]}
    turned = asked | {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b.example.com:9092", "a.example.com:9092"]}}}
    code, text = error(lambda_.create_event_source_mapping, FunctionName=function, **turned)
    assert code == "ResourceConflictException" and text.endswith(made["UUID"])
    other = lambda_.create_event_source_mapping(FunctionName=function, **(asked | {"Topics": ["other"]}))
    assert other["UUID"] != made["UUID"]


EVERYTHING = {
    "BatchSize": 7, "MaximumBatchingWindowInSeconds": 3, "ParallelizationFactor": 4,
    "MaximumRecordAgeInSeconds": 3600, "BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 2,
    "TumblingWindowInSeconds": 30, "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {"OnFailure": {"Destination": queue("dlq")}},
    "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1, {"prefix": "x"}]}}'}]},
    "MetricsConfig": {"Metrics": ["EventCount"]},
}  # fmt: skip


def test_every_setting_of_a_stream(lambda_, function):
    """API-705,
    API-104.1..12, API-502, SVC2-43: what was asked for is what is kept, and a moment is a number of seconds."""
    at = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    asked = EVERYTHING | {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": at}
    made = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=stream("all"), **asked)
    read = lambda_.get_event_source_mapping(UUID=made["UUID"])
    for answer in (made, read):
        assert {key: answer[key] for key in asked} == asked


def test_update(lambda_, function):
    """API-146.11,
    API-146, API-521, SVC1-252, SVC1-253, SVC2-59: the answer shows the old values, the next request the new ones."""
    made = plain(lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=stream("u"), StartingPosition="LATEST"))
    uuid = made["UUID"]
    answer = lambda_.update_event_source_mapping(UUID=uuid, **EVERYTHING)
    assert status(answer) == 202
    assert answer["LastModified"] >= made["LastModified"]
    assert plain(answer) == made | {"State": "Updating", "LastModified": answer["LastModified"]}
    read = plain(lambda_.get_event_source_mapping(UUID=uuid))
    assert {key: read[key] for key in EVERYTHING} == EVERYTHING
    assert (read["State"], read["StartingPosition"]) == ("Enabled", "LATEST")
    lambda_.update_event_source_mapping(UUID=uuid, BatchSize=9)
    changed = plain(lambda_.get_event_source_mapping(UUID=uuid))
    assert changed == read | {"BatchSize": 9, "LastModified": changed["LastModified"]}, "the rest stays"
    lambda_.update_event_source_mapping(UUID=uuid, FilterCriteria={}, MetricsConfig={"Metrics": []}, FunctionResponseTypes=[])
    cleared = lambda_.get_event_source_mapping(UUID=uuid)
    assert "FilterCriteria" not in cleared and "MetricsConfig" not in cleared
    assert cleared["FunctionResponseTypes"] == []


def test_pause_and_resume(lambda_, function):
    """API-104.15, API-089, API-104.4, API-146.12: Enabled shows in the state alone."""
    made = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue("p"), Enabled=False)
    uuid = made["UUID"]

    def state():
        read = lambda_.get_event_source_mapping(UUID=uuid)
        assert "Enabled" not in read
        assert (NOTHING_POLLED in read["StateTransitionReason"]) == (read["State"] == "Enabled")
        return read["State"]

    assert (made["State"], state()) == ("Creating", "Disabled")
    for enabled, answered, settled in ((True, "Enabling", "Enabled"), (True, "Updating", "Enabled"), (False, "Disabling", "Disabled"), (False, "Updating", "Disabled")):
        assert lambda_.update_event_source_mapping(UUID=uuid, Enabled=enabled)["State"] == answered
        assert state() == settled


CONFLICTS = {
    "sqs": (KINDS["sqs"][0], 'An event source mapping with SQS arn (" {source} ") and function (" {function} ")'),
    "kinesis": (KINDS["kinesis"][0], 'The event source arn (" {source} ") and function (" {function} ") provided mapping'),
    "dynamodb": (KINDS["dynamodb"][0], 'The event source arn (" {source} ") and function (" {function} ") provided mapping'),
    "msk": (KINDS["msk"][0], 'An event source mapping with event source arn ("{source}"), function ("{function}") and topics ("topic")'),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFLICTS)
def test_one_mapping_of_a_source_and_a_function(lambda_, function, kind):
    """API-104, API-308: the same source and function again is a conflict that names the mapping that is there."""
    asked, begin = CONFLICTS[kind]
    first = lambda_.create_event_source_mapping(FunctionName=function, **asked)["UUID"]
    text = begin.format(source=asked["EventSourceArn"], function=function)
    text += f" already exists. Please update or delete the existing mapping with UUID {first}"
    for again in (asked, asked | {"BatchSize": 1, "Enabled": False}):
        conflict = error(lambda_.create_event_source_mapping, FunctionName=function, **again)
        assert conflict == ("ResourceConflictException", text)
    lambda_.publish_version(FunctionName=function)
    second = lambda_.create_event_source_mapping(FunctionName=f"{function}:1", **asked)["UUID"]
    code, text = error(lambda_.update_event_source_mapping, UUID=second, FunctionName=function)
    assert code == "ResourceConflictException" and text.endswith(first)
    lambda_.delete_event_source_mapping(UUID=first)
    lambda_.update_event_source_mapping(UUID=second, FunctionName=function)
    assert lambda_.get_event_source_mapping(UUID=second)["FunctionArn"] == arn(function)


def test_names_of_functions(lambda_, function):
    """API-005, CORE-193, API-104.6: name, partial and full ARN, version, alias and $LATEST."""
    lambda_.publish_version(FunctionName=function)
    lambda_.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    forms = {
        function: "", f"{ACCOUNT}:function:{function}": "", arn(function): "",
        f"{function}:1": ":1", f"{arn(function)}:1": ":1", f"{function}:live": ":live", f"{function}:$LATEST": ":$LATEST",
    }  # fmt: skip
    for number, (form, suffix) in enumerate(forms.items()):
        made = lambda_.create_event_source_mapping(FunctionName=form, EventSourceArn=queue(f"n{number}"))
        assert made["FunctionArn"] == arn(function) + suffix, form
    for absent in (f"{function}-no", f"{function}:2", f"{function}:dead"):
        refused = ("InvalidParameterValueException", "Function does not exist")
        assert error(lambda_.create_event_source_mapping, FunctionName=absent, EventSourceArn=queue("n")) == refused
        made = lambda_.list_event_source_mappings(FunctionName=function)["EventSourceMappings"][0]
        assert error(lambda_.update_event_source_mapping, UUID=made["UUID"], FunctionName=absent) == refused


def test_lists(lambda_, function):
    """API-128.4, API-128.5, API-513,
    API-128, API-007, API-628, SVC2-60, SVC2-56: by source, by function with its qualifier, in stable pages."""
    lambda_.publish_version(FunctionName=function)
    made = {}
    for number in range(5):
        mapping = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue(f"{function}-{number}"))
        made[mapping["UUID"]] = number
    version = lambda_.create_event_source_mapping(FunctionName=f"{function}:1", EventSourceArn=queue(f"{function}-0"))["UUID"]

    def listed(**parameters) -> list:
        pages = lambda_.get_paginator("list_event_source_mappings").paginate(**parameters)
        return [mapping["UUID"] for page in pages for mapping in page["EventSourceMappings"]]

    assert sorted(listed(FunctionName=function)) == sorted(made)
    assert listed(FunctionName=f"{function}:1") == [version]
    of_source = [uuid for uuid, number in made.items() if number == 0] + [version]
    assert sorted(listed(EventSourceArn=queue(f"{function}-0"))) == sorted(of_source)
    assert listed(EventSourceArn=queue(f"{function}-0"), FunctionName=f"{function}:1") == [version]
    assert listed(EventSourceArn=queue("of-nobody")) == []
    everything = listed()
    assert set(made) | {version} <= set(everything)
    assert listed(PaginationConfig={"PageSize": 2}) == everything

    first = lambda_.list_event_source_mappings(FunctionName=function, MaxItems=2)
    ordered = listed(FunctionName=function)
    assert [mapping["UUID"] for mapping in first["EventSourceMappings"]] == ordered[:2]
    lambda_.delete_event_source_mapping(UUID=ordered[1])
    rest = lambda_.list_event_source_mappings(FunctionName=function, MaxItems=9, Marker=first["NextMarker"])
    assert [mapping["UUID"] for mapping in rest["EventSourceMappings"]] == ordered[2:]
    assert "NextMarker" not in rest
    item = rest["EventSourceMappings"][0]
    assert item == plain(lambda_.get_event_source_mapping(UUID=item["UUID"]))
    assert error(lambda_.list_event_source_mappings, FunctionName=f"{function}-no") == (
        "ResourceNotFoundException", f"Function not found: {arn(function)}-no",
    )  # fmt: skip


def test_a_page_has_a_hundred_at_most(lambda_, function):
    """API-628: whatever MaxItems says."""
    uuids = {
        lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue(f"{function}-{n}"))["UUID"]
        for n in range(101)
    }
    page = lambda_.list_event_source_mappings(FunctionName=function, MaxItems=10_000)
    assert len(page["EventSourceMappings"]) == 100
    last = lambda_.list_event_source_mappings(FunctionName=function, Marker=page["NextMarker"])
    seen = {mapping["UUID"] for mapping in page["EventSourceMappings"] + last["EventSourceMappings"]}
    assert seen == uuids


def test_a_deleted_function_leaves_its_mappings(lambda_, function):
    """API-108.5: mappings are not removed with their function, and find it again when it comes back."""
    uuid = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue("left"))["UUID"]
    lambda_.delete_function(FunctionName=function)
    assert lambda_.get_event_source_mapping(UUID=uuid)["FunctionArn"] == arn(function)
    assert [m["UUID"] for m in lambda_.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]] == [uuid]
    lambda_.update_event_source_mapping(UUID=uuid, BatchSize=3)
    assert lambda_.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"


def test_tags(lambda_, function):
    """API-502, API-603, API-143, API-144, API-134: at creation, and by the mapping's ARN."""
    made = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue("t"), Tags={"a": "1"})
    resource = made["EventSourceMappingArn"]
    assert "Tags" not in made
    assert lambda_.list_tags(Resource=resource)["Tags"] == {"a": "1"}
    lambda_.tag_resource(Resource=resource, Tags={"a": "2", "b": "ü"})
    assert lambda_.list_tags(Resource=resource)["Tags"] == {"a": "2", "b": "ü"}
    lambda_.update_event_source_mapping(UUID=made["UUID"], BatchSize=2)
    lambda_.untag_resource(Resource=resource, TagKeys=["a", "never"])
    assert lambda_.list_tags(Resource=resource)["Tags"] == {"b": "ü"}
    assert lambda_.get_event_source_mapping(UUID=made["UUID"])["BatchSize"] == 2
    for bad in ({"k" * 129: "v"}, {"aws:x": "v"}, {str(n): "" for n in range(50)}):
        assert error(lambda_.tag_resource, Resource=resource, Tags=bad)[0] == "InvalidParameterValueException"
    assert error(lambda_.create_event_source_mapping, FunctionName=function, EventSourceArn=queue("u"), Tags={"aws:x": "v"})[0] == "InvalidParameterValueException"
    lambda_.delete_event_source_mapping(UUID=made["UUID"])
    missing = ("ResourceNotFoundException", f"Resource not found: {resource}")
    assert error(lambda_.list_tags, Resource=resource) == missing
    assert error(lambda_.tag_resource, Resource=resource, Tags={"k": "v"}) == missing


def violation(value, at: str, constraint: str) -> str:
    return f"1 validation error detected: Value {value} at '{at}' failed to satisfy constraint: {constraint}"


LATEST = {"StartingPosition": "LATEST"}
#: What is sent beside a function that exists, and the error that comes of it.
BAD = {
    "no source": ({}, "InvalidParameterValueException", "Unrecognized event source."),
    "not an arn": ({"EventSourceArn": "q"}, "ValidationException", "Value 'q' at 'eventSourceArn' failed"),
    "another service": ({"EventSourceArn": "arn:aws:s3:::b"}, "InvalidParameterValueException", "Unrecognized event source"),
    "batch 0": ({"EventSourceArn": queue("b"), "BatchSize": 0}, "ValidationException", violation("'0'", "batchSize", "Member must have value greater than or equal to 1")),
    "batch 10001": ({"EventSourceArn": queue("b"), "BatchSize": 10001}, "ValidationException", violation("'10001'", "batchSize", "Member must have value less than or equal to 10000")),
    "batch 11 of a queue": ({"EventSourceArn": queue("b"), "BatchSize": 11}, "InvalidParameterValueException", "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"),
    "batch 11 of a fifo queue": ({"EventSourceArn": queue("b.fifo"), "BatchSize": 11}, "InvalidParameterValueException", "FIFO queues"),
    "window of a fifo queue": ({"EventSourceArn": queue("b.fifo"), "MaximumBatchingWindowInSeconds": 1}, "InvalidParameterValueException", "Batching window is not supported for FIFO queues"),
    "window 301": ({"EventSourceArn": queue("b"), "MaximumBatchingWindowInSeconds": 301}, "ValidationException", "'maximumBatchingWindowInSeconds'"),
    "position of a queue": ({"EventSourceArn": queue("b")} | LATEST, "InvalidParameterValueException", "StartingPosition is not valid for SQS event sources."),
    "no position": ({"EventSourceArn": stream("b")}, "InvalidParameterValueException", "Value null at 'startingPosition' failed to satisfy constraint: Member must not be null"),
    "unknown position": ({"EventSourceArn": stream("b"), "StartingPosition": "FIRST"}, "ValidationException", "enum value set: [TRIM_HORIZON, LATEST, AT_TIMESTAMP]"),
    "timestamp of a table": ({"EventSourceArn": table("b"), "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1}, "InvalidParameterValueException", "Unsupported starting position for arn type"),
    "no timestamp": ({"EventSourceArn": stream("b"), "StartingPosition": "AT_TIMESTAMP"}, "InvalidParameterValueException", "Need to specify a timestamp"),
    "timestamp in the future": ({"EventSourceArn": stream("b"), "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 4e9}, "InvalidParameterValueException", "cannot be in the future"),
    "factor 11": ({"EventSourceArn": stream("b"), "ParallelizationFactor": 11} | LATEST, "ValidationException", "'parallelizationFactor'"),
    "factor of a queue": ({"EventSourceArn": queue("b"), "ParallelizationFactor": 2}, "InvalidParameterValueException", "Unsupported 'parallelizationFactor' parameter for given event source mapping type."),
    "age 59": ({"EventSourceArn": stream("b"), "MaximumRecordAgeInSeconds": 59} | LATEST, "InvalidParameterValueException", "MaximumRecordAgeInSeconds"),
    "age 604801": ({"EventSourceArn": stream("b"), "MaximumRecordAgeInSeconds": 604801} | LATEST, "ValidationException", "'maximumRecordAgeInSeconds'"),
    "attempts -2": ({"EventSourceArn": stream("b"), "MaximumRetryAttempts": -2} | LATEST, "ValidationException", "'maximumRetryAttempts'"),
    "tumbling 901": ({"EventSourceArn": stream("b"), "TumblingWindowInSeconds": 901} | LATEST, "ValidationException", "'tumblingWindowInSeconds'"),
    "concurrency 1": ({"EventSourceArn": queue("b"), "ScalingConfig": {"MaximumConcurrency": 1}}, "ValidationException", "'scalingConfig.maximumConcurrency'"),
    "concurrency of a stream": ({"EventSourceArn": stream("b"), "ScalingConfig": {"MaximumConcurrency": 2}} | LATEST, "InvalidParameterValueException", "Unsupported 'scalingConfig'"),
    "success destination": ({"EventSourceArn": stream("b"), "DestinationConfig": {"OnSuccess": {"Destination": queue("d")}}} | LATEST, "InvalidParameterValueException", "OnSuccess"),
    "function as destination": ({"EventSourceArn": stream("b"), "DestinationConfig": {"OnFailure": {"Destination": arn("d")}}} | LATEST, "InvalidParameterValueException", "it must be an SQS queue"),
    "response type": ({"EventSourceArn": queue("b"), "FunctionResponseTypes": ["All"]}, "ValidationException", "[ReportBatchItemFailures]"),
    "filter that is no JSON": ({"EventSourceArn": queue("b"), "FilterCriteria": {"Filters": [{"Pattern": "a"}]}}, "InvalidParameterValueException", "Invalid filter pattern definition."),
    "filter without lists": ({"EventSourceArn": queue("b"), "FilterCriteria": {"Filters": [{"Pattern": '{"a":"b"}'}]}}, "InvalidParameterValueException", "Invalid filter pattern definition."),
    "filter of 4097": ({"EventSourceArn": queue("b"), "FilterCriteria": {"Filters": [{"Pattern": "x" * 4097}]}}, "ValidationException", "at 'filterCriteria.filters.1.member.pattern'"),
    "eleven filters": ({"EventSourceArn": queue("b"), "FilterCriteria": {"Filters": [{"Pattern": "{}"}] * 11}}, "InvalidParameterValueException", "at most 10 filters"),
    "topics of a queue": ({"EventSourceArn": queue("b"), "Topics": ["tt"]}, "InvalidParameterValueException", "Unsupported 'topics'"),
    "two topics": ({"EventSourceArn": source("kafka", "cluster/c/1"), "Topics": ["aa", "bb"]} | LATEST, "ValidationException", "'topics'"),
    "no topic": ({"EventSourceArn": source("kafka", "cluster/c/1")} | LATEST, "InvalidParameterValueException", "Topics"),
    "broker without access": ({"EventSourceArn": source("mq", "broker:b:1"), "Queues": ["q"]}, "InvalidParameterValueException", "BASIC_AUTH"),
    "kind of access": ({"EventSourceArn": source("mq", "broker:b:1"), "Queues": ["q"], "SourceAccessConfigurations": [{"Type": "NONE", "URI": "x"}]}, "ValidationException", "'sourceAccessConfigurations.1.member.type'"),
    "key": ({"EventSourceArn": queue("b"), "KMSKeyArn": source("kms", "key/k")}, "InvalidParameterValueException", "KMSKeyArn"),
    "type of a number": ({"EventSourceArn": queue("b"), "BatchSize": "5"}, "SerializationException", ""),
    "type of an object": ({"EventSourceArn": queue("b"), "ScalingConfig": []}, "SerializationException", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused(wire, lambda_, some_function, case):
    """API-104, API-605, API-612..618, API-706: what no mapping can be, in AWS's words where they are known."""
    body, code, part = BAD[case]
    reply = wire.json("POST", "/2015-03-31/event-source-mappings", {"FunctionName": some_function} | body)
    assert (reply.status, reply.error) == (400, code), reply.message
    assert part in reply.message
    assert lambda_.list_event_source_mappings(FunctionName=some_function)["EventSourceMappings"] == []


def test_several_violations_at_once(wire, some_function):
    """API-706: AWS reports all that its model finds."""
    reply = wire.json("POST", "/2015-03-31/event-source-mappings/", {"EventSourceArn": "x", "BatchSize": 0})
    assert reply.error == "ValidationException"
    assert reply.message.startswith("3 validation errors detected: ")
    assert "Value null at 'functionName'" in reply.message


def test_updates_are_checked_as_a_whole(lambda_, function):
    """API-146.2, API-612: a change must fit what is there; one that is refused changes nothing."""
    uuid = lambda_.create_event_source_mapping(
        FunctionName=function, EventSourceArn=queue("w"), BatchSize=100, MaximumBatchingWindowInSeconds=5
    )["UUID"]  # fmt: skip
    before = plain(lambda_.get_event_source_mapping(UUID=uuid))
    for change in ({"MaximumBatchingWindowInSeconds": 0}, {"BisectBatchOnFunctionError": True}, {"BatchSize": 10_001}):
        assert error(lambda_.update_event_source_mapping, UUID=uuid, **change)[0] in (
            "InvalidParameterValueException", "ValidationException",
        )  # fmt: skip
    assert plain(lambda_.get_event_source_mapping(UUID=uuid)) == before
    lambda_.update_event_source_mapping(UUID=uuid, BatchSize=10, MaximumBatchingWindowInSeconds=0)
    assert lambda_.get_event_source_mapping(UUID=uuid)["BatchSize"] == 10


def test_accounts_do_not_share_mappings(daemon, lambda_, function):
    """CORE-004: a mapping of another account is not there."""
    uuid = lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=queue("acc"))["UUID"]
    other = boto(daemon.url, "lambda", key="123456789012")
    assert error(other.get_event_source_mapping, UUID=uuid)[0] == "ResourceNotFoundException"
    assert other.list_event_source_mappings()["EventSourceMappings"] == []
