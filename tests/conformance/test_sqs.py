"""SQS with boto3: queues, attributes, sending, receiving, and what is refused."""

import hashlib
import json
import threading
import time

import pytest

from harness.clients import ACCOUNT, boto
from harness.queues import arn, attributes, counts, create, receive, refused


@pytest.fixture(scope="session")
def shared_sqs(shared_daemon):
    return boto(shared_daemon.url, "sqs")


@pytest.fixture
def sqs(daemon, shared_sqs):
    """The queues of the shared daemon."""
    return shared_sqs


def test_a_message_goes_round(sqs, name):
    url = create(sqs, name)
    sent = sqs.send_message(QueueUrl=url, MessageBody="hällo")
    assert sent["MD5OfMessageBody"] == hashlib.md5("hällo".encode()).hexdigest()
    [message] = receive(sqs, url, AttributeNames=["All"])
    assert (message["Body"], message["MessageId"]) == ("hällo", sent["MessageId"])
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    found = message["Attributes"]
    assert found["SenderId"] == ACCOUNT
    assert found["ApproximateReceiveCount"] == "1"
    assert int(found["SentTimestamp"]) <= int(found["ApproximateFirstReceiveTimestamp"])
    assert set(found) == {
        "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
    }
    assert counts(sqs, url) == (0, 1, 0)
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])  # again is no error
    assert counts(sqs, url) == (0, 0, 0)


def test_queues_are_made_once(sqs, name):
    url = create(sqs, name, DelaySeconds="5")
    assert url == f"{sqs.meta.endpoint_url}/{ACCOUNT}/{name}"
    assert create(sqs, name) == create(sqs, name, DelaySeconds="5", VisibilityTimeout="30") == url
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    message = refused("QueueAlreadyExists", create, sqs=sqs, name=name, DelaySeconds="6")
    assert message == "A queue already exists with the same name and a different value for attribute DelaySeconds"
    with pytest.raises(sqs.exceptions.QueueNameExists):
        create(sqs, name, VisibilityTimeout="1")
    refused("InvalidParameterValue", create, sqs=sqs, name="a b")
    refused("InvalidParameterValue", create, sqs=sqs, name=f"{name}.fifo")
    refused("InvalidParameterValue", create, sqs=sqs, name=name, FifoQueue="true")
    refused("InvalidAttributeName", create, sqs=sqs, name=f"{name}-2", FifoQueue="false")


def test_a_deleted_queue_is_gone(sqs, name):
    url = create(sqs, name)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.delete_queue(QueueUrl=url)
    gone = "AWS.SimpleQueueService.NonExistentQueue"
    assert refused(gone, sqs.send_message, QueueUrl=url, MessageBody="x") == "The specified queue does not exist."
    refused(gone, sqs.receive_message, QueueUrl=url)
    refused(gone, sqs.delete_queue, QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName=name)
    message = refused("AWS.SimpleQueueService.QueueDeletedRecently", create, sqs=sqs, name=name)
    assert message.startswith("You must wait 60 seconds after deleting a queue")
    refused("InvalidAddress", sqs.receive_message, QueueUrl="nowhere")


def test_queues_are_listed_by_prefix_and_in_pages(sqs, name):
    urls = [create(sqs, f"{name}-{n}") for n in range(5)]
    assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == urls
    pages, arguments = [], {"QueueNamePrefix": name, "MaxResults": 2}
    while True:
        page = sqs.list_queues(**arguments)
        pages.append(page["QueueUrls"])
        if "NextToken" not in page:
            break
        arguments["NextToken"] = page["NextToken"]
    assert pages == [urls[:2], urls[2:4], urls[4:]]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{name}-none")
    refused("InvalidParameterValue", sqs.list_queues, MaxResults=1001)


def test_attributes_have_defaults_and_limits(sqs, name):
    url = create(sqs, name)
    found = attributes(sqs, url)
    created, modified = int(found.pop("CreatedTimestamp")), int(found.pop("LastModifiedTimestamp"))
    assert created == modified and abs(created - time.time()) < 60
    assert found == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": arn(name),
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    change = lambda **new: sqs.set_queue_attributes(QueueUrl=url, Attributes=new)
    change(VisibilityTimeout="0", Policy='{"Statement":[]}', KmsMasterKeyId="alias/k")
    found = attributes(sqs, url, "VisibilityTimeout", "Policy", "SqsManagedSseEnabled", "RedrivePolicy")
    assert found == {"VisibilityTimeout": "0", "Policy": '{"Statement":[]}', "SqsManagedSseEnabled": "false"}
    change(Policy="")
    assert attributes(sqs, url, "Policy") == {}
    assert sqs.get_queue_attributes(QueueUrl=url).get("Attributes") is None
    for attribute, value in [("VisibilityTimeout", "43201"), ("DelaySeconds", "x"), ("Policy", "x")]:
        message = refused("InvalidAttributeValue", change, **{attribute: value})
        assert message == f"Invalid value for the parameter {attribute}."
    assert refused("InvalidAttributeName", change, Colour="red") == "Unknown Attribute Colour."
    with pytest.raises(sqs.exceptions.InvalidAttributeName):
        attributes(sqs, url, "Colour")
    assert refused("InvalidAttributeName", change, ContentBasedDeduplication="true") == (
        "Unknown Attribute ContentBasedDeduplication."
    )


def test_message_attributes_are_digested_and_chosen(sqs, name):
    """The client checks the digests of body and attributes itself."""
    url = create(sqs, name)
    given = {
        "foo.one": {"DataType": "String", "StringValue": "eins"},
        "foo.two": {"DataType": "Number.int", "StringValue": "-2.5e3"},
        "bar": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="x", MessageAttributes=given, MessageSystemAttributes=trace
    )
    assert {"MD5OfMessageAttributes", "MD5OfMessageSystemAttributes"} <= set(sent)
    wanted = {"All": set(given), "bar": {"bar"}, "foo.*": {"foo.one", "foo.two"}, ".*": set(given), "ba": set()}
    for pattern, expected in wanted.items():
        [message] = receive(sqs, url, MessageAttributeNames=[pattern], VisibilityTimeout=0)
        found = message.get("MessageAttributes", {})
        assert set(found) == expected, pattern
        assert all(found[key] == given[key] for key in found)
        assert ("MD5OfMessageAttributes" in message) == bool(expected)
        assert "Attributes" not in message
    [message] = receive(sqs, url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": trace["AWSTraceHeader"]["StringValue"]}


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ({"DataType": "String", "StringValue": ""}, "must contain a non-empty value of type 'String'."),
        ({"DataType": "Number", "StringValue": "many"}, "Can't cast the value of message (user) attribute 'a'"),
        ({"DataType": "Text", "StringValue": "x"}, "The type of message (user) attribute 'a' is invalid."),
    ],
)
def test_message_attributes_that_are_none(sqs, shared_daemon, attribute, says):
    url = create(sqs, "no-attributes")
    message = refused(
        "InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x", MessageAttributes={"a": attribute}
    )
    assert says in message


def test_messages_that_are_none(sqs, name):
    url = create(sqs, name, MaximumMessageSize="1024")
    send = lambda **message: sqs.send_message(**{"QueueUrl": url, "MessageBody": "x"} | message)
    assert refused("MissingParameter", send, MessageBody="").endswith("MessageBody.")
    refused("InvalidMessageContents", send, MessageBody="a\x01b")
    send(MessageBody="x" * 1024)
    assert refused("InvalidParameterValue", send, MessageBody="x" * 1025) == (
        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
    )
    refused("InvalidParameterValue", send, DelaySeconds=901)
    refused("InvalidParameterValue", send, MessageDeduplicationId="d")
    eleven = {f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(11)}
    assert "[11] exceeds the allowed maximum [10]" in refused("InvalidParameterValue", send, MessageAttributes=eleven)


def test_the_largest_message(sqs, name):
    url = create(sqs, name)
    body = "é" * (512 * 1024)
    sqs.send_message(QueueUrl=url, MessageBody=body)
    [message] = receive(sqs, url)
    assert message["Body"] == body
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody=body + "x")
    entries = [{"Id": "a", "MessageBody": body}, {"Id": "b", "MessageBody": "x"}]
    assert refused("AWS.SimpleQueueService.BatchRequestTooLong", sqs.send_message_batch, QueueUrl=url, Entries=entries) == (
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."
    )


def test_batches_succeed_and_fail_by_entry(sqs, name):
    url = create(sqs, name, MaximumMessageSize="1024")
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(8)]
    entries += [{"Id": "big", "MessageBody": "x" * 1025}, {"Id": "bad", "MessageBody": "\x02"}]
    done = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in done["Successful"]] == [str(n) for n in range(8)]
    failed = {entry["Id"]: entry for entry in done["Failed"]}
    assert failed["big"] == {
        "Id": "big",
        "SenderFault": True,
        "Code": "InvalidParameterValue",
        "Message": "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
    }
    assert failed["bad"]["Code"] == "InvalidMessageContents"
    messages = receive(sqs, url, MaxNumberOfMessages=10)
    assert [message["Body"] for message in messages] == [f"m{n}" for n in range(8)]
    handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    changes = [entry | {"VisibilityTimeout": 60} for entry in handles[:2]] + [{"Id": "x", "ReceiptHandle": "garbage"}]
    done = sqs.change_message_visibility_batch(QueueUrl=url, Entries=changes)
    assert [entry["Id"] for entry in done["Successful"]] == ["0", "1"]
    assert [entry["Code"] for entry in done["Failed"]] == ["ReceiptHandleIsInvalid"]
    done = sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    assert len(done["Successful"]) == 8 and "Failed" not in done
    assert counts(sqs, url) == (0, 0, 0)


def test_batches_that_are_none(sqs, name):
    url = create(sqs, name)
    prefix = "AWS.SimpleQueueService."
    entry = {"Id": "a", "MessageBody": "x"}
    for code, entries in [
        ("EmptyBatchRequest", []),
        ("TooManyEntriesInBatchRequest", [entry | {"Id": str(n)} for n in range(11)]),
        ("BatchEntryIdsNotDistinct", [entry, entry]),
        ("InvalidBatchEntryId", [entry | {"Id": "a:b"}]),
        ("InvalidBatchEntryId", [entry | {"Id": "a" * 81}]),
    ]:
        refused(prefix + code, sqs.send_message_batch, QueueUrl=url, Entries=entries)
    refused(prefix + "EmptyBatchRequest", sqs.delete_message_batch, QueueUrl=url, Entries=[])
    refused(prefix + "EmptyBatchRequest", sqs.change_message_visibility_batch, QueueUrl=url, Entries=[])
    assert counts(sqs, url) == (0, 0, 0)


def test_receipts_and_numbers_that_are_none(sqs, name):
    url, other = create(sqs, name), create(sqs, f"{name}-other")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [message] = receive(sqs, url)
    handle = message["ReceiptHandle"]
    for call in (sqs.delete_message, lambda **a: sqs.change_message_visibility(VisibilityTimeout=1, **a)):
        assert refused("ReceiptHandleIsInvalid", call, QueueUrl=url, ReceiptHandle="garbage") == (
            'The input receipt handle "garbage" is not a valid receipt handle.'
        )
        refused("ReceiptHandleIsInvalid", call, QueueUrl=other, ReceiptHandle=handle)
    refused("InvalidParameterValue", receive, sqs=sqs, url=url, MaxNumberOfMessages=11)
    refused("InvalidParameterValue", receive, sqs=sqs, url=url, WaitTimeSeconds=21)
    change = lambda seconds: sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds
    )
    refused("InvalidParameterValue", change, seconds=43201)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    assert refused("InvalidParameterValue", change, seconds=1) == (
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: "
        "Message does not exist or is not available for visibility timeout change."
    )


def test_visibility_given_back(sqs, name):
    url = create(sqs, name)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [first] = receive(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    [second] = receive(sqs, url, AttributeNames=["ApproximateReceiveCount"])
    assert second["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert counts(sqs, url) == (0, 1, 0), "an older receipt deletes nothing"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert counts(sqs, url) == (0, 0, 0)


def test_a_long_poll_ends_with_a_message(sqs, daemon, name, stopwatch):
    url = create(sqs, name)
    got = []
    poll = threading.Thread(target=lambda: got.extend(receive(boto(daemon.url, "sqs"), url, WaitTimeSeconds=20)))
    poll.start()
    time.sleep(0.3)  # nothing tells that a poll waits; if it does not yet, it finds the message at once
    sqs.send_message(QueueUrl=url, MessageBody="x")
    poll.join(15)
    assert [message["Body"] for message in got] == ["x"]
    assert stopwatch() < 15


def test_a_long_poll_ends_without_one(sqs, name, stopwatch):
    url = create(sqs, name, ReceiveMessageWaitTimeSeconds="1")
    assert receive(sqs, url) == []
    assert 0.9 < stopwatch() < 10


def test_purge_empties_a_queue_at_once(sqs, name):
    url = create(sqs, name)
    sqs.send_message(QueueUrl=url, MessageBody="received")
    [message] = receive(sqs, url)
    sqs.send_message(QueueUrl=url, MessageBody="waiting")
    sqs.purge_queue(QueueUrl=url)
    assert counts(sqs, url) == (0, 0, 0)
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert refused("AWS.SimpleQueueService.PurgeQueueInProgress", sqs.purge_queue, QueueUrl=url) == (
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds."
    )
    sqs.send_message(QueueUrl=url, MessageBody="new")
    assert [message["Body"] for message in receive(sqs, url)] == ["new"]


def test_tags(sqs, name):
    url = sqs.create_queue(QueueName=name, tags={"a": "1"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2", "c": ""})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "2", "c": ""}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "c", "none"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    refused("InvalidParameterValue", sqs.tag_queue, QueueUrl=url, Tags={str(n): "" for n in range(50)})
    sqs.untag_queue(QueueUrl=url, TagKeys=["b"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=url)


def test_permissions_open_a_queue_to_another_account(sqs, daemon, name):
    url = create(sqs, name)
    other = boto(daemon.url, "sqs", key="111111111111")
    refused("AccessDenied", other.send_message, QueueUrl=url, MessageBody="x")
    permit = lambda **a: sqs.add_permission(
        **{"QueueUrl": url, "Label": "them", "AWSAccountIds": ["111111111111"], "Actions": ["SendMessage"]} | a
    )
    permit()
    policy = json.loads(attributes(sqs, url, "Policy")["Policy"])
    assert policy == {
        "Version": "2008-10-17",
        "Id": f"{arn(name)}/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "them",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
                "Action": "SQS:SendMessage",
                "Resource": arn(name),
            }
        ],
    }
    other.send_message(QueueUrl=url, MessageBody="x")
    [message] = receive(sqs, url, AttributeNames=["SenderId"])
    assert message["Attributes"]["SenderId"] == "111111111111"
    refused("AccessDenied", other.receive_message, QueueUrl=url)
    refused("AccessDenied", other.delete_queue, QueueUrl=url)
    assert refused("InvalidParameterValue", permit) == "Value them for parameter Label is invalid. Reason: Already exists."
    refused("InvalidParameterValue", permit, Label="b", Actions=["CreateQueue"])
    sqs.remove_permission(QueueUrl=url, Label="them")
    assert attributes(sqs, url, "Policy") == {}
    refused("InvalidParameterValue", sqs.remove_permission, QueueUrl=url, Label="them")
    refused("AccessDenied", other.send_message, QueueUrl=url, MessageBody="x")


def test_accounts_and_regions_have_queues_of_their_own(daemon, sqs, name):
    create(sqs, name)
    other = boto(daemon.url, "sqs", key="222222222222")
    assert create(other, name, DelaySeconds="9") == f"{daemon.url}/222222222222/{name}"
    assert attributes(other, f"{daemon.url}/222222222222/{name}", "QueueArn")["QueueArn"] == arn(name, "222222222222")
    refused(
        "AWS.SimpleQueueService.NonExistentQueue",
        boto(daemon.url, "sqs").get_queue_url, QueueName=name, QueueOwnerAWSAccountId="333333333333",
    )
