"""Queues of SQS, for tests that use some."""

import pytest
from botocore.exceptions import ClientError

from harness.clients import ACCOUNT, REGION


def refused(code, call, **arguments):
    """Makes a call that must fail with a code; gives the message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]


def create(sqs, name, **attributes):
    """Makes a queue; gives its URL."""
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def attributes(sqs, url, *names):
    """Attributes of a queue; all of them when none is named."""
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names or ["All"])).get("Attributes", {})


def arn(name, account=ACCOUNT):
    """The ARN of a queue."""
    return f"arn:aws:sqs:{REGION}:{account}:{name}"


def receive(sqs, url, **arguments):
    """Messages of a queue."""
    return sqs.receive_message(QueueUrl=url, **arguments).get("Messages", [])


def counts(sqs, url):
    """Visible, in flight, delayed."""
    found = attributes(sqs, url)
    names = ("", "NotVisible", "Delayed")
    return tuple(int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)
