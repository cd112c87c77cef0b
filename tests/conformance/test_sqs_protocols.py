"""SQS over the Query protocol by hand, its errors in both protocols, and the AWS CLI."""

import base64
import json
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from harness.clients import ACCOUNT, KEY, REGION, SECRET, CliSession, Wire
from harness.queues import arn

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@pytest.fixture
def query(wire):
    """Sends a request of the Query protocol; gives its status and its answer, without namespaces."""

    def send(action, path="/", method="POST", **members):
        form = urllib.parse.urlencode({"Action": action, "Version": "2012-11-05"} | members)
        if method == "GET":
            reply = signed(wire, "GET", f"{path}?{form}")
        else:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = signed(wire, "POST", path, form.encode(), headers)
        assert reply.headers["Content-Type"] == "text/xml"
        document = ElementTree.fromstring(reply.body)
        for element in document.iter():
            assert element.tag.startswith(NAMESPACE)
            element.tag = element.tag.removeprefix(NAMESPACE)
        return reply.status, document

    return send


def signed(wire, method, path, body=b"", headers=None):
    """Sends a request that is signed for SQS."""
    headers = dict(headers or {})
    request = botocore.awsrequest.AWSRequest(method, f"http://{wire.host}{path}", headers, body)
    credentials = botocore.credentials.Credentials(KEY, SECRET)
    botocore.auth.SigV4Auth(credentials, "sqs", REGION).add_auth(request)
    headers |= {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
    return wire.send(method, path, body, headers, signed=False)


def call(wire, operation, document):
    """Sends a request of the JSON protocol."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
    return signed(wire, "POST", "/", body, headers)


def good(answer):
    status, document = answer
    assert status == 200, ElementTree.tostring(document)
    assert document.find("ResponseMetadata/RequestId").text
    return document


def fault(answer):
    status, document = answer
    error = document.find("Error")
    assert document.tag == "ErrorResponse" and document.find("RequestId").text
    return status, error.findtext("Type"), error.findtext("Code"), error.findtext("Message")


def pairs(parent, entry, key="Name"):
    return {element.findtext(key): element.findtext("Value") for element in parent.findall(entry)}


def test_a_queues_life_in_the_query_protocol(query, wire, name):
    made = good(query("CreateQueue", QueueName=name, **{
        "Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "0",
        "Attribute.2.Name": "VisibilityTimeout", "Attribute.2.Value": "77",
        "Tag.1.Key": "k", "Tag.1.Value": "v",
    }))
    assert made.tag == "CreateQueueResponse"
    url = made.findtext("CreateQueueResult/QueueUrl")
    assert url == f"http://{wire.host}/{ACCOUNT}/{name}"
    path = f"/{ACCOUNT}/{name}"

    found = good(query("GetQueueAttributes", path, **{"AttributeName.1": "VisibilityTimeout", "AttributeName.2": "QueueArn"}))
    assert pairs(found.find("GetQueueAttributesResult"), "Attribute") == {
        "VisibilityTimeout": "77", "QueueArn": arn(name),
    }
    tags = good(query("ListQueueTags", QueueUrl=url)).find("ListQueueTagsResult")
    assert pairs(tags, "Tag", "Key") == {"k": "v"}
    listed = good(query("ListQueues", method="GET", QueueNamePrefix=name))
    assert [element.text for element in listed.findall("ListQueuesResult/QueueUrl")] == [url]

    sent = good(query("SendMessage", path, MessageBody="a <b> & c\r\n", **{
        "MessageAttribute.1.Name": "n",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "v",
    })).find("SendMessageResult")
    [message] = good(query("ReceiveMessage", path, method="GET", **{
        "AttributeName.1": "All", "MessageAttributeName.1": "All", "MaxNumberOfMessages": "10",
    })).findall("ReceiveMessageResult/Message")
    assert message.findtext("Body") == "a <b> & c\r\n"
    assert message.findtext("MessageId") == sent.findtext("MessageId")
    assert message.findtext("MD5OfMessageAttributes") == sent.findtext("MD5OfMessageAttributes")
    assert message.findtext("MessageAttribute/Value/StringValue") == "v"
    assert pairs(message, "Attribute")["ApproximateReceiveCount"] == "1"
    done = good(query("DeleteMessage", path, ReceiptHandle=message.findtext("ReceiptHandle")))
    assert done.tag == "DeleteMessageResponse" and len(done) == 1

    batch = good(query("SendMessageBatch", path, **{
        "SendMessageBatchRequestEntry.1.Id": "a", "SendMessageBatchRequestEntry.1.MessageBody": "x",
        "SendMessageBatchRequestEntry.2.Id": "b", "SendMessageBatchRequestEntry.2.MessageBody": "\x01",
        "SendMessageBatchRequestEntry.2.DelaySeconds": "1",
    })).find("SendMessageBatchResult")
    assert batch.findtext("SendMessageBatchResultEntry/Id") == "a"
    assert batch.findtext("BatchResultErrorEntry/Id") == "b"
    assert batch.findtext("BatchResultErrorEntry/SenderFault") == "true"
    good(query("DeleteQueue", path))
    assert fault(query("SendMessage", path, MessageBody="x")) == (
        400, "Sender", "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist for this wsdl version.",
    )


def test_errors_of_the_query_protocol(query):
    assert fault(query("FlyQueue"))[:3] == (400, "Sender", "InvalidAction")
    assert fault(query("CreateQueue"))[:3] == (400, "Sender", "MissingParameter")
    assert fault(query("SendMessage", MessageBody="x"))[:3] == (400, "Sender", "MissingParameter")
    assert fault(query("DeleteQueue", QueueUrl="nowhere"))[:3] == (404, "Sender", "InvalidAddress")
    assert fault(query("ListQueues", MaxResults="many"))[:3] == (400, "Sender", "MalformedInput")


def test_errors_of_the_json_protocol(wire, name):
    """Code, status and the header by which clients find the code that they knew before."""
    call(wire, "CreateQueue", {"QueueName": name})
    url = f"http://{wire.host}/{ACCOUNT}/{name}"
    for operation, document, status, code, older in [
        ("SendMessage", {"QueueUrl": url + "x", "MessageBody": "x"}, 400,
         "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
        ("CreateQueue", {"QueueName": name, "Attributes": {"DelaySeconds": "1"}}, 400,
         "com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists"),
        ("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": "x"}, 404,
         "com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"),
        ("SendMessage", {"QueueUrl": url}, 400,
         "com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter"),
        ("SendMessage", {"QueueUrl": url, "MessageBody": 5}, 400,
         "com.amazon.coral.service#SerializationException", "MalformedInput"),
        ("SendMessage", b"{", 400, "com.amazon.coral.service#SerializationException", "MalformedInput"),
        ("FlyQueue", {}, 400, "com.amazon.coral.service#UnknownOperationException", "InvalidAction"),
    ]:
        reply = call(wire, operation, document)
        assert (reply.status, reply.json()["__type"]) == (status, code)
        assert reply.headers["x-amzn-query-error"] == f"{older};Sender"
        assert reply.headers["Content-Type"] == "application/x-amz-json-1.0"


def test_a_request_without_a_credential_is_refused(wire):
    reply = wire.send("POST", "/", b"{}", {"X-Amz-Target": "AmazonSQS.ListQueues"}, signed=False)
    assert (reply.status, reply.headers["x-amzn-query-error"]) == (403, "MissingAuthenticationToken;Sender")


def test_the_queue_url_is_where_the_client_is(daemon, wire, name):
    made = call(wire, "CreateQueue", {"QueueName": name}).json()["QueueUrl"]
    assert made == f"http://{wire.host}/{ACCOUNT}/{name}"
    elsewhere = Wire(daemon.port)
    elsewhere.host = f"localhost:{daemon.port}"
    found = call(elsewhere, "GetQueueUrl", {"QueueName": name}).json()["QueueUrl"]
    assert found == f"http://{elsewhere.host}/{ACCOUNT}/{name}"
    # A queue is found by what is behind the host, whatever that is.
    for url in (f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}", found):
        assert call(wire, "ListQueueTags", {"QueueUrl": url}).status == 200


def test_binary_attributes_are_base64_in_json(wire, name):
    url = call(wire, "CreateQueue", {"QueueName": name}).json()["QueueUrl"]
    attribute = {"DataType": "Binary", "BinaryValue": base64.b64encode(b"\x00\x01").decode()}
    call(wire, "SendMessage", {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": {"b": attribute}})
    [message] = call(wire, "ReceiveMessage", {"QueueUrl": url, "MessageAttributeNames": ["b"]}).json()["Messages"]
    assert message["MessageAttributes"] == {"b": attribute}
    attribute["BinaryValue"] = "no base64"
    reply = call(wire, "SendMessage", {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": {"b": attribute}})
    assert (reply.status, reply.headers["x-amzn-query-error"]) == (400, "InvalidParameterValue;Sender")


def test_the_aws_command(cli, name):
    session = CliSession(cli)

    def run(*arguments):
        # Version 1 of the command has hosts of its own for SQS, which only the option replaces.
        return session.run("--endpoint-url", cli.url, "--output", "json", "sqs", *arguments)

    def good(*arguments):
        done = run(*arguments)
        assert done["status"] == 0, done["stderr"]
        return json.loads(done["stdout"] or "null")

    try:
        url = good("create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=60")["QueueUrl"]
        sent = good("send-message", "--queue-url", url, "--message-body", "from the command line")
        [message] = good("receive-message", "--queue-url", url, "--wait-time-seconds", "5")["Messages"]
        assert (message["Body"], message["MessageId"]) == ("from the command line", sent["MessageId"])
        good("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
        done = run("receive-message", "--queue-url", url + "-none")
        assert done["status"] != 0 and "(AWS.SimpleQueueService.NonExistentQueue)" in done["stderr"]
    finally:
        session.close()
