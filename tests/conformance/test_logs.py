"""CloudWatch Logs with boto3 and the ``aws`` command, without a function: CORE-060, LANG1-054."""

import re
import time

import pytest
from botocore.exceptions import ClientError

from harness.clients import ACCOUNT, REGION


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


@pytest.fixture
def group(logs, name):
    """A log group that is gone after the test."""
    group = f"/test/{name}"
    logs.create_log_group(logGroupName=group)
    yield group
    logs.delete_log_group(logGroupName=group)


def write(logs, group, stream, texts, start=None):
    """Makes a stream and puts one event a millisecond into it."""
    start = start or now() - 60_000
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": start + i, "message": text} for i, text in enumerate(texts)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def texts(reply) -> list:
    """The messages of a reply."""
    return [each["message"] for each in reply["events"]]


def names(reply) -> list:
    """The streams of a reply."""
    return [stream["logStreamName"] for stream in reply["logStreams"]]


def event(timestamp: int) -> dict:
    """An event of that time."""
    return {"timestamp": timestamp, "message": "x"}


def code_of(call, **arguments):
    """Error code and message of a call that must fail."""
    with pytest.raises(ClientError) as failure:
        call(**arguments)
    error = failure.value.response["Error"]
    return error["Code"], error["Message"]


def test_latest_events_in_order(logs, group, cli):
    """CORE-060, LANG1-054: ``--limit 5`` gives the latest five events, oldest first, and both tokens."""
    start = now() - 60_000
    write(logs, group, "s", [f"line {i}\n" for i in range(12)], start)
    reply = cli.json("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", "s", "--limit", "5")
    assert texts(reply) == [f"line {i}\n" for i in range(7, 12)]
    assert [event["timestamp"] for event in reply["events"]] == [start + i for i in range(7, 12)]
    assert all(abs(event["ingestionTime"] - now()) < 60_000 for event in reply["events"])
    assert re.fullmatch(r"f/\d{56}", reply["nextForwardToken"])
    assert re.fullmatch(r"b/\d{56}", reply["nextBackwardToken"])


def test_tokens_lead_through_a_stream_and_stay_at_its_ends(logs, group):
    """CORE-060: paging forward sees every event once; at the end the token does not change any more."""
    write(logs, group, "s", [str(i) for i in range(25)])
    arguments = {"logGroupName": group, "logStreamName": "s", "limit": 10}
    seen, reply = [], logs.get_log_events(**arguments, startFromHead=True)
    while True:
        seen += texts(reply)
        token = reply["nextForwardToken"]
        reply = logs.get_log_events(**arguments, nextToken=token)
        if reply["nextForwardToken"] == token:
            break
    assert seen == [str(i) for i in range(25)]
    assert texts(reply) == []
    back = logs.get_log_events(**arguments, nextToken=reply["nextBackwardToken"])
    assert texts(back) == [str(i) for i in range(15, 25)]


def test_times_bound_what_is_read(logs, group):
    """The start is included; the end is not for get-log-events and is for filter-log-events."""
    start = now() - 60_000
    write(logs, group, "s", list("abcde"), start)
    times = {"startTime": start + 1, "endTime": start + 3}
    assert texts(logs.get_log_events(logGroupName=group, logStreamName="s", **times)) == ["b", "c"]
    assert texts(logs.filter_log_events(logGroupName=group, **times)) == ["b", "c", "d"]


def test_filter_interleaves_streams_and_pages(logs, group, cli):
    """Events of all streams by time, page by page, each once; the command pages by itself."""
    start = now() - 60_000
    for stream in ("a", "b", "c"):
        write(logs, group, stream, [f"{stream}{i}" for i in range(20)], start)
    pages = list(
        logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 7})
    )
    assert len(pages) > 5
    events = [event for page in pages for event in page["events"]]
    assert [event["timestamp"] for event in events] == [start + i // 3 for i in range(60)]
    assert len({event["eventId"] for event in events}) == 60
    assert all(re.fullmatch(r"\d{56}", event["eventId"]) for event in events)
    arguments = ["logs", "filter-log-events", "--log-group-name", group, "--page-size", "9"]
    assert len(cli.json(*arguments)["events"]) == 60
    named = cli.json(*arguments, "--log-stream-names", "a", "c", "--max-items", "4")
    assert texts(named) == ["a0", "c0", "a1", "c1"]
    prefixed = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="b")
    assert texts(prefixed) == [f"b{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["ERROR disk full", "WARN disk slow", '{"level": "error", "code": 503}', "done"]),
        ("disk", ["ERROR disk full", "WARN disk slow"]),
        ("disk -ERROR", ["WARN disk slow"]),
        ("?ERROR ?done", ["ERROR disk full", "done"]),
        ('"disk full"', ["ERROR disk full"]),
        ('{ $.level = "error" && $.code >= 500 }', ['{"level": "error", "code": 503}']),
    ],
)
def test_filter_patterns(logs, group, pattern, expected):
    """Terms, phrases, exclusions, alternatives and JSON."""
    write(logs, group, "s", ["ERROR disk full", "WARN disk slow", '{"level": "error", "code": 503}', "done"])
    assert texts(logs.filter_log_events(logGroupName=group, filterPattern=pattern)) == expected


def test_an_unsupported_pattern_is_refused(logs, group):
    """What cannot be evaluated is an error, never an empty result."""
    code, message = code_of(logs.filter_log_events, logGroupName=group, filterPattern="[ip, user, status=404]")
    assert code == "InvalidParameterException"
    assert "support" in message


def test_streams_are_listed_in_both_orders(logs, group, cli):
    """LANG1-038: by name and by last event, with pages."""
    start = now() - 60_000
    for i, stream in enumerate(["s2", "s3", "s1", "t"]):
        write(logs, group, stream, ["x"], start + i)
    arguments = ["logs", "describe-log-streams", "--log-group-name", group]
    assert names(cli.json(*arguments, "--page-size", "2")) == ["s1", "s2", "s3", "t"]
    latest = cli.json(*arguments, "--order-by", "LastEventTime", "--descending", "--max-items", "2")
    assert names(latest) == ["t", "s1"]
    rest = cli.json(
        *arguments, "--order-by", "LastEventTime", "--descending", "--starting-token", latest["NextToken"]
    )
    assert names(rest) == ["s3", "s2"]
    assert names(logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="s")) == ["s1", "s2", "s3"]
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="t")["logStreams"][0]
    assert stream["firstEventTimestamp"] == stream["lastEventTimestamp"] == start + 3
    assert stream["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:t"


def test_groups_are_listed(logs, group, cli):
    """By prefix, by part of the name, and in pages."""
    for i in range(3):
        logs.create_log_group(logGroupName=f"{group}/{i}")
    listed = cli.json("logs", "describe-log-groups", "--log-group-name-prefix", f"{group}/", "--page-size", "2")
    assert [g["logGroupName"] for g in listed["logGroups"]] == [f"{group}/{i}" for i in range(3)]
    found = logs.describe_log_groups(logGroupNamePattern=f"{group.removeprefix('/test')}/1")["logGroups"]
    assert [g["arn"] for g in found] == [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}/1:*"]
    for i in range(3):
        logs.delete_log_group(logGroupName=f"{group}/{i}")


def test_batches_have_rules(logs, group):
    """Batches are in order; events that are too old or too new are left out and reported."""
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    put = {"logGroupName": group, "logStreamName": "s"}
    code, message = code_of(logs.put_log_events, **put, logEvents=[event(now()), event(now() - 5000)])
    assert code == "InvalidParameterException"
    assert message == "Log events in a single PutLogEvents request must be in chronological order."
    day = 86_400_000
    reply = logs.put_log_events(**put, logEvents=[event(now() - 15 * day), event(now() - 14 * day - 60_000)])
    assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
    reply = logs.put_log_events(**put, logEvents=[event(now()), event(now() + 3 * 3_600_000)], sequenceToken="1")
    assert reply["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert len(logs.get_log_events(**put, startFromHead=True)["events"]) == 1


def test_retention_and_tags(logs, group):
    """What Terraform and CDK set on a group is given back."""
    logs.put_retention_policy(logGroupName=group, retentionInDays=14)
    described = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]
    assert described["retentionInDays"] == 14
    assert (
        code_of(logs.put_retention_policy, logGroupName=group, retentionInDays=2)[0] == "InvalidParameterException"
    )
    logs.delete_retention_policy(logGroupName=group)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]
    arn = described["logGroupArn"]
    logs.tag_resource(resourceArn=arn, tags={"team": "a", "stage": "b"})
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "b"}


def test_errors(logs, group, name):
    """Codes and texts of the service."""
    missing = ("ResourceNotFoundException", "The specified log group does not exist.")
    assert code_of(logs.get_log_events, logGroupName=f"no-{name}", logStreamName="s") == missing
    assert code_of(logs.delete_log_group, logGroupName=f"no-{name}") == missing
    missing = ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert code_of(logs.get_log_events, logGroupName=group, logStreamName="s") == missing
    assert code_of(logs.create_log_group, logGroupName=group)[0] == "ResourceAlreadyExistsException"
    code, message = code_of(logs.create_log_group, logGroupName="with space")
    assert code == "InvalidParameterException"
    assert message.startswith(
        "1 validation error detected: Value 'with space' at 'logGroupName' failed to satisfy"
    )
    code, message = code_of(logs.start_query, logGroupName=group, startTime=0, endTime=1, queryString="x")
    assert code == "UnknownOperationException"
    assert "docs/compatibility.md" in message
